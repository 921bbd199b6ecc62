package train

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/stream"
	"github.com/compactify/compactify/tensor"
)

// Architecture says what [Architecture.Model] builds. Fields left at zero give the
// network's usual parts.
type Architecture struct {
	// Name is one of lenet5 (6/16/120/84; Y. LeCun et al., "Gradient-based learning
	// applied to document recognition", Proc. IEEE 1998, with ReLU and maximum
	// pooling), lenet5-caffe (20/50/500, the example network of Caffe, with one
	// ReLU), lenet-300-100, mlp:A-B-...-Z (A inputs, Z classes), resnet8 (after MLPerf
	// Tiny) and resnet20 (K. He et al., CVPR 2016, section 4.2, with 1×1 convolutions
	// in the shortcuts that widen).
	Name string

	NoBias      bool    // convolutions and dense layers have no bias; normalisations keep theirs
	BatchNorm   bool    // layers that an activation follows are normalised over the batch instead of having a bias; resnets always are
	NormOutput  bool    // with BatchNorm, resnets apart: the answer is normalised too
	NormEpsilon float64 // added to variances under the root; 0 means 1e-5

	Activation Activation // "" means ReLU
	Init       Init       // "" means HeUniform
}

// Activation is the function between layers.
type Activation string

// The activations.
const (
	ReLU     Activation = "relu"     // max(0, x)
	Logistic Activation = "logistic" // 1/(1+e^−x)
	Tanh     Activation = "tanh"
)

// operators are the activations' operators.
var operators = map[Activation]string{"": "Relu", ReLU: "Relu", Logistic: "Sigmoid", Tanh: "Tanh"}

// Init is how initial weights are drawn. Biases begin at zero.
type Init string

// The initialisations, uniform in ±bound. The fans of a convolution count its
// channels times the size of its kernel.
const (
	HeUniform     Init = "he-uniform"     // √(6/fan-in), variance 2/fan-in: K. He et al., "Delving deep into rectifiers", ICCV 2015, equation 10
	GlorotUniform Init = "glorot-uniform" // √(6/(fan-in + fan-out)): X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010, equation 16

	// GlorotLogistic is four times that, for the logistic function: its slope at 0 is a
	// quarter of tanh's.
	GlorotLogistic Init = "glorot-logistic"
)

// check refuses what there is not.
func (a Architecture) check() error {
	if operators[a.Activation] == "" {
		return fmt.Errorf("activation %q: want relu, logistic or tanh", a.Activation)
	}
	switch a.Init {
	case "", HeUniform, GlorotUniform, GlorotLogistic:
	default:
		return fmt.Errorf("initial weights %q: want he-uniform, glorot-uniform or glorot-logistic", a.Init)
	}
	if !(a.NormEpsilon >= 0) || math.IsInf(a.NormEpsilon, 0) {
		return fmt.Errorf("epsilon of batch normalisation: got %v, want a number ≥ 0", a.NormEpsilon)
	}
	return nil
}

// NewModel is [Architecture.Model] of a network with its usual parts.
func NewModel(arch string, shape []int, classes int, seed uint64) (*graph.Graph, error) {
	return Architecture{Name: arch}.Model(shape, classes, seed)
}

// Model builds a classifier with random weights for examples of the given shape;
// its output "logits" has one column per class and its batch dimension is "N".
func (a Architecture) Model(shape []int, classes int, seed uint64) (*graph.Graph, error) {
	fail := func(err error) (*graph.Graph, error) {
		return nil, fmt.Errorf("new model %q for examples of shape %v: %w", a.Name, shape, err)
	}
	if n, ok := tensor.Size(shape); !ok || n < 1 || classes < 1 {
		return fail(fmt.Errorf("%d classes: want at least one value and one class", classes))
	}
	if err := a.check(); err != nil {
		return fail(err)
	}
	g := &graph.Graph{Name: a.Name, Opset: map[string]int{"": graph.LatestOpset}}
	w := &architect{Architecture: a, b: graph.NewBuilder(g, "v"), seed: seed}
	in := tensor.Type{DType: tensor.Float32, Shape: []tensor.Dim{tensor.Symbol("N")}}
	for _, n := range shape {
		in.Shape = append(in.Shape, tensor.Fixed(n))
	}
	y, err := w.body(a.Name, w.b.Input("input", in), shape, classes)
	if err == nil {
		err = w.b.Err()
	}
	if err != nil {
		return fail(err)
	}
	y.Name = "logits"
	g.Outputs = []*graph.Value{y}
	return g, nil
}

// architect builds layers with weights drawn from streams named by the seed and
// the layer.
type architect struct {
	Architecture
	b    *graph.Builder
	seed uint64
}

func (a *architect) body(arch string, x *graph.Value, shape []int, classes int) (*graph.Value, error) {
	mlp, isMLP := strings.CutPrefix(arch, "mlp:")
	switch {
	case arch == "lenet-300-100":
		return a.mlp(x, []int{flatSize(shape), 300, 100, classes})
	case isMLP:
		widths, err := parseWidths(mlp, flatSize(shape), classes)
		if err != nil {
			return nil, err
		}
		return a.mlp(x, widths)
	}
	if len(shape) != 3 {
		return nil, fmt.Errorf("got examples of shape %v, want images [channels, height, width]", shape)
	}
	switch arch {
	case "lenet5":
		return a.lenet(x, shape, []int{6, 16}, []int{120, 84}, classes, 2, a.act)
	case "lenet5-caffe":
		linear := func(x *graph.Value) *graph.Value { return x }
		return a.lenet(x, shape, []int{20, 50}, []int{500}, classes, 0, linear)
	case "resnet8":
		return a.resnet(x, shape, []int{16, 32, 64}, 1, classes), nil
	case "resnet20":
		return a.resnet(x, shape, []int{16, 32, 64}, 3, classes), nil
	}
	return nil, fmt.Errorf("unknown architecture: want lenet5, lenet5-caffe, lenet-300-100, mlp:A-B-..., resnet8 or resnet20")
}

func flatSize(shape []int) int {
	n, _ := tensor.Size(shape)
	return n
}

// maxWeights bounds the weights of a dense model: 1 GiB of them.
const maxWeights = 1 << 28

func parseWidths(s string, in, out int) ([]int, error) {
	var widths []int
	for _, part := range strings.Split(s, "-") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("layer width %q: want a number of at least 1", part)
		}
		widths = append(widths, n)
	}
	if len(widths) < 2 || widths[0] != in || widths[len(widths)-1] != out {
		return nil, fmt.Errorf("layer widths %v: want %d inputs first and %d classes last", widths, in, out)
	}
	return widths, nil
}

// checkWidths refuses dense layers that would fill the memory.
func checkWidths(widths []int) error {
	total := 0.0
	for i := 1; i < len(widths); i++ {
		total += float64(widths[i-1]) * float64(widths[i])
	}
	if total > maxWeights {
		return fmt.Errorf("layer widths %v: got %.3g weights, want at most %d", widths, total, maxWeights)
	}
	return nil
}

// weights draws a parameter as Init says.
func (a *architect) weights(name string, fanIn, fanOut int, shape ...int) *graph.Value {
	t := tensor.New(tensor.Float32, shape...)
	r := stream.New(a.seed, "init/"+name, 0)
	bound := math.Sqrt(6 / float64(fanIn))
	switch a.Init {
	case GlorotUniform:
		bound = math.Sqrt(6 / float64(fanIn+fanOut))
	case GlorotLogistic:
		bound = 4 * math.Sqrt(6/float64(fanIn+fanOut))
	}
	for i, data := 0, tensor.Data[float32](t); i < len(data); i++ {
		data[i] = float32(bound * (2*r.Float64() - 1))
	}
	return a.b.Param(name, t)
}

// constant makes a vector parameter with equal entries.
func (a *architect) constant(name string, n int, v float32) *graph.Value {
	data := make([]float32, n)
	for i := range data {
		data[i] = v
	}
	return a.b.Param(name, tensor.Of(data, n))
}

func (a *architect) dense(name string, x *graph.Value, in, out int, bias bool) *graph.Value {
	inputs := []*graph.Value{x, a.weights(name+".weight", in, out, out, in)}
	if bias && !a.NoBias {
		inputs = append(inputs, a.constant(name+".bias", out, 0))
	}
	return a.b.With("Gemm", graph.Attributes{graph.Int("transB", 1)}, inputs...)
}

func (a *architect) conv(name string, x *graph.Value, in, out, kernel, stride, pad int, bias bool) *graph.Value {
	attrs := graph.Attributes{graph.Ints("kernel_shape", kernel, kernel)}
	if stride != 1 {
		attrs = append(attrs, graph.Ints("strides", stride, stride))
	}
	if pad != 0 {
		attrs = append(attrs, graph.Ints("pads", pad, pad, pad, pad))
	}
	inputs := []*graph.Value{x, a.weights(name+".weight", in*kernel*kernel, out*kernel*kernel, out, in, kernel, kernel)}
	if bias && !a.NoBias {
		inputs = append(inputs, a.constant(name+".bias", out, 0))
	}
	return a.b.With("Conv", attrs, inputs...)
}

// act is the activation.
func (a *architect) act(x *graph.Value) *graph.Value { return a.b.Op(operators[a.Activation], x) }

func (a *architect) flatten(x *graph.Value) *graph.Value {
	if x.Type.Rank() == 2 {
		return x
	}
	return a.b.With("Flatten", graph.Attributes{graph.Int("axis", 1)}, x)
}

func (a *architect) mlp(x *graph.Value, widths []int) (*graph.Value, error) {
	if err := checkWidths(widths); err != nil {
		return nil, err
	}
	x = a.flatten(x)
	for i := 1; i < len(widths); i++ {
		last, name := i == len(widths)-1, fmt.Sprintf("fc%d", i)
		normal := a.BatchNorm && (!last || a.NormOutput)
		x = a.dense(name, x, widths[i-1], widths[i], !normal)
		if normal {
			x = a.batchNorm(name+".bn", x, widths[i])
		}
		if !last {
			x = a.act(x)
		}
	}
	return x, nil
}

// lenet is two convolutions of 5×5, each with an activation and pooling by 2,
// and dense layers.
func (a *architect) lenet(x *graph.Value, shape, channels, hidden []int, classes, pad int, act func(*graph.Value) *graph.Value) (*graph.Value, error) {
	in := shape[0]
	for i, out := range channels {
		name := fmt.Sprintf("conv%d", i+1)
		x = a.conv(name, x, in, out, 5, 1, pad, !a.BatchNorm)
		if a.BatchNorm {
			x = a.batchNorm(name+".bn", x, out)
		}
		x = act(x)
		x = a.b.With("MaxPool", graph.Attributes{graph.Ints("kernel_shape", 2, 2), graph.Ints("strides", 2, 2)}, x)
		in, pad = out, 0
	}
	if a.b.Err() != nil {
		return nil, a.b.Err()
	}
	flat, _ := tensor.Type{Shape: x.Type.Shape[1:]}.Static()
	return a.mlp(x, append(append([]int{flatSize(flat)}, hidden...), classes))
}

// batchNorm normalises over the batch in training; [Finish] turns it into its
// inference form.
func (a *architect) batchNorm(name string, x *graph.Value, channels int) *graph.Value {
	attrs := graph.Attributes{graph.Int("training_mode", 1), graph.Float("momentum", 0.9)}
	if a.NormEpsilon > 0 {
		attrs = append(attrs, graph.Float("epsilon", float32(a.NormEpsilon)))
	}
	return a.b.With("BatchNormalization", attrs, x,
		a.constant(name+".scale", channels, 1), a.constant(name+".bias", channels, 0),
		a.constant(name+".mean", channels, 0), a.constant(name+".variance", channels, 1))
}

// resnet stacks stages of basic blocks, each stage but the first at half the
// resolution; the shortcut into a wider stage is a 1×1 convolution.
func (a *architect) resnet(x *graph.Value, shape, channels []int, blocks, classes int) *graph.Value {
	in := channels[0]
	x = a.act(a.batchNorm("stem.bn", a.conv("stem", x, shape[0], in, 3, 1, 1, false), in))
	for s, out := range channels {
		for k := range blocks {
			stride := 1
			if s > 0 && k == 0 {
				stride = 2
			}
			x = a.block(fmt.Sprintf("stage%d.%d", s+1, k+1), x, in, out, stride)
			in = out
		}
	}
	x = a.flatten(a.b.Op("GlobalAveragePool", x))
	return a.dense("fc", x, in, classes, true)
}

func (a *architect) block(name string, x *graph.Value, in, out, stride int) *graph.Value {
	y := a.act(a.batchNorm(name+".bn1", a.conv(name+".conv1", x, in, out, 3, stride, 1, false), out))
	y = a.batchNorm(name+".bn2", a.conv(name+".conv2", y, out, out, 3, 1, 1, false), out)
	if in != out {
		x = a.batchNorm(name+".bns", a.conv(name+".shortcut", x, in, out, 1, stride, 0, false), out)
	}
	return a.act(a.b.Op("Add", x, y))
}

// Finish returns the model in its inference form: batch normalisations use
// their running statistics.
func Finish(g *graph.Graph) *graph.Graph {
	done, _ := g.Clone()
	for _, n := range done.Nodes {
		if followsBatches(n) {
			n.Attrs = n.Attrs.Without("training_mode", "momentum")
			n.Out = n.Out[:1:1]
		}
	}
	return done
}

// WithWeights is the network with the parameters of another model that has them by
// the same names: the form that trains of a model in inference form.
func WithWeights(g, from *graph.Graph) *graph.Graph {
	byName := make(map[string]*graph.Param)
	for _, p := range from.Params {
		byName[p.Name] = p
	}
	c, _ := g.Clone()
	for _, p := range c.Params {
		if q := byName[p.Name]; q != nil && p.Data.DType() == q.Data.DType() && slices.Equal(p.Data.Shape(), q.Data.Shape()) {
			p.Data = q.Data
		}
	}
	return c
}
