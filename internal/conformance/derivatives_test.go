package conformance

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/format/onnx"
	"github.com/compactify/compactify/format/safetensors"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// derivativeTolerance is for identities between derivatives that both sides
// compute in float32, relative to the product of the vectors' lengths.
const derivativeTolerance = 1e-4

// differentiable are real models that derivatives of both orders go through.
var differentiable = []string{"mnist-pytorch/cnn_mnist_pytorch", "mlperf-tiny/image_classification/*", "mlperf-tiny/keyword_spotting/*",
	"resnet-cifar10/*", "silero-vad/silero_vad_16k_op15"}

// TestDerivativesOfModels checks at the inputs kept beside real models that
// forward mode is the transpose of reverse mode, ⟨u, Jv⟩ = ⟨Jᵀu, v⟩, and that
// Hessians are symmetric, ⟨w, Hv⟩ = ⟨v, Hw⟩, in all floating-point parameters.
func TestDerivativesOfModels(t *testing.T) {
	for _, name := range differentiable {
		found, _ := filepath.Glob(filepath.Join(dataFolder(t), "models", filepath.FromSlash(name)+".golden.safetensors"))
		if len(found) == 0 {
			t.Errorf("%s: no model with golden inputs", name)
		}
		for _, golden := range found {
			t.Run(filepath.Base(golden), func(t *testing.T) { checkDerivatives(t, golden) })
		}
	}
}

// point is a model, its inputs and the parameters to differentiate it in.
type point struct {
	g       *graph.Graph
	inputs  []tensor.Tensor
	weights []*graph.Value
}

func readPoint(golden string) (*point, error) {
	g, err := onnx.Read(strings.TrimSuffix(golden, ".golden.safetensors") + ".onnx")
	if err != nil {
		return nil, err
	}
	tensors, err := safetensors.Read(golden)
	if err != nil {
		return nil, err
	}
	p := &point{}
	for _, v := range g.Inputs {
		in, ok := tensors.Tensor("in/" + v.Name)
		if !ok {
			return nil, fmt.Errorf("input %q: not among the golden tensors", v.Name)
		}
		p.inputs = append(p.inputs, in)
		v.Type = in.Type()
	}
	// Conditions on shapes are decided, as derivatives want known ranks.
	if p.g, _, err = engine.Simplify(g); err != nil {
		return nil, err
	}
	for _, w := range p.g.Params {
		if w.Data.DType() == tensor.Float32 && w.Data.Rank() > 0 { // not the 2 of a square
			p.weights = append(p.weights, w.Value)
		}
	}
	return p, nil
}

// run computes the outputs that a derivative added.
func (p *point) run(t *testing.T, g *graph.Graph, more ...tensor.Tensor) []tensor.Tensor {
	t.Helper()
	shapes := make(map[string][]int)
	for i, v := range g.Inputs {
		if i < len(p.inputs) {
			shapes[v.Name] = p.inputs[i].Shape()
		} else {
			shapes[v.Name] = more[i-len(p.inputs)].Shape()
		}
	}
	program, err := engine.Compile(g, engine.Options{Shapes: shapes})
	if err != nil {
		t.Fatal(err)
	}
	out := make([]tensor.Tensor, len(g.Outputs))
	if err := program.Run(t.Context(), append(p.inputs[:len(p.inputs):len(p.inputs)], more...), out); err != nil {
		t.Fatal(err)
	}
	return out[len(p.g.Outputs):]
}

// direction draws tensors like the weights, each as long as 1/√n of them.
func (p *point) direction(r *rand.Rand) []tensor.Tensor {
	list := make([]tensor.Tensor, len(p.weights))
	for i, w := range p.weights {
		sizes, _ := w.Type.Static()
		list[i] = drawn(r, sizes...)
	}
	return list
}

func drawn(r *rand.Rand, shape ...int) tensor.Tensor {
	x := tensor.New(tensor.Float32, shape...)
	for i := range x.Len() {
		x.Set(i, r.NormFloat64()/math.Sqrt(float64(x.Len())))
	}
	return x
}

// along is ⟨a, b⟩ and ‖a‖·‖b‖.
func along(a, b []tensor.Tensor) (product, size float64) {
	var aa, bb float64
	for i := range a {
		x, y := a[i].Float64s(), b[i].Float64s()
		for k := range x {
			product += x[k] * y[k]
			aa += x[k] * x[k]
			bb += y[k] * y[k]
		}
	}
	return product, math.Sqrt(aa * bb)
}

func checkDerivatives(t *testing.T, golden string) {
	p, err := readPoint(golden)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	y := p.g.Outputs[:1]
	v, w := p.direction(r), p.direction(r)
	forward, err := engine.JVP(p.g, y, p.weights)
	if err != nil {
		t.Fatal(err)
	}
	jv := p.run(t, forward, v...)
	u := []tensor.Tensor{drawn(r, jv[0].Shape()...)}
	reverse, err := engine.VJP(p.g, y, p.weights)
	if err != nil {
		t.Fatal(err)
	}
	ju := p.run(t, reverse, u...)
	same(t, "⟨u, Jv⟩ and ⟨Jᵀu, v⟩", u, jv, ju, v)

	b := graph.NewBuilder(p.g, "sum_")
	loss := b.With("ReduceSum", graph.Attributes{graph.Int("keepdims", 0)}, b.Op("Mul", y[0], y[0]))
	p.g.Outputs = append(p.g.Outputs, loss)
	if b.Err() != nil {
		t.Fatal(b.Err())
	}
	product, err := engine.HessianVector(p.g, loss, p.weights)
	if err != nil {
		t.Fatal(err)
	}
	hv := clones(p.run(t, product, v...))
	same(t, "⟨w, Hv⟩ and ⟨v, Hw⟩", w, hv, v, clones(p.run(t, product, w...)))
}

func clones(list []tensor.Tensor) []tensor.Tensor {
	out := make([]tensor.Tensor, len(list))
	for i, x := range list {
		out[i] = x.Clone()
	}
	return out
}

// same compares ⟨a, b⟩ with ⟨c, d⟩.
func same(t *testing.T, what string, a, b, c, d []tensor.Tensor) {
	t.Helper()
	left, size := along(a, b)
	right, other := along(c, d)
	if size == 0 || !(math.Abs(left-right) <= derivativeTolerance*max(size, other)) {
		t.Errorf("%s: got %v and %v, lengths %v and %v", what, left, right, size, other)
	}
}
