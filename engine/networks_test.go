package engine

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/testkit"
	"github.com/compactify/compactify/tensor"
)

// network is a classifier in float64 with cross-entropy: inputs x and target
// with n examples each, then the weights.
type network struct {
	g      *graph.Graph
	logits *graph.Value
	at     []tensor.Tensor

	b *graph.Builder
	r points
}

const (
	networkExamples = 3
	networkClasses  = 4
)

// newNetwork builds a network whose body maps x to logits.
func newNetwork(t *testing.T, x []int, body func(n *network, x *graph.Value) *graph.Value) *network {
	t.Helper()
	n := &network{g: &graph.Graph{Name: t.Name(), Opset: map[string]int{"": graph.LatestOpset}}, r: points{rand.New(rand.NewPCG(11, 12))}}
	n.b = graph.NewBuilder(n.g, "n")
	batch := tensor.Symbol("N")
	image := n.b.Input("x", tensor.Type{DType: tensor.Float64, Shape: append([]tensor.Dim{batch}, tensor.TypeOf(tensor.Float64, x...).Shape...)})
	target := n.b.Input("p", tensor.Type{DType: tensor.Float64, Shape: []tensor.Dim{batch, tensor.Fixed(networkClasses)}})
	n.at = list{n.r.normal(append([]int{networkExamples}, x...)...), n.r.probabilities(networkExamples, networkClasses)}
	n.logits = body(n, image)
	n.g.Outputs = []*graph.Value{n.b.Op("compactify.SoftmaxCrossEntropy", n.logits, target)}
	if err := n.b.Err(); err != nil {
		t.Fatal(err)
	}
	return n
}

// weight is an input whose elements have the standard deviation that keeps the
// size of what goes through.
func (n *network) weight(fan int, shape ...int) *graph.Value {
	w := n.r.normal(shape...)
	for i := range w.Len() {
		w.Set(i, w.At(i)/float64(fan)*2)
	}
	n.at = append(n.at, w)
	return n.b.Input("w", w.Type())
}

func (n *network) conv(x *graph.Value, in, out, size, stride, pad int) *graph.Value {
	a := attrs{graph.Ints("strides", stride, stride), graph.Ints("pads", pad, pad, pad, pad)}
	return n.b.With("Conv", a, x, n.weight(in*size, out, in, size, size), n.weight(4, out))
}

func (n *network) dense(x *graph.Value, in, out int) *graph.Value {
	return n.b.With("Gemm", attrs{graph.Int("transB", 1)}, x, n.weight(in/2, out, in), n.weight(4, out))
}

func (n *network) pool(x *graph.Value) *graph.Value {
	return n.b.With("MaxPool", attrs{graph.Ints("kernel_shape", 2, 2), graph.Ints("strides", 2, 2)}, x)
}

// norm is a batch normalisation in training mode.
func (n *network) norm(x *graph.Value, channels int) *graph.Value {
	ones := make([]float64, channels)
	for i := range ones {
		ones[i] = 1
	}
	unit := n.b.Const(tensor.Of(ones, channels))
	return n.b.With("BatchNormalization", attrs{graph.Int("training_mode", 1)}, x, n.weight(2, channels), n.weight(2, channels), unit, unit)
}

// lenet is LeNet-5 with ReLU for 16×16 images.
func lenet(n *network, x *graph.Value) *graph.Value {
	h := n.pool(n.b.Op("Relu", n.conv(x, 1, 6, 5, 1, 2)))
	h = n.pool(n.b.Op("Relu", n.conv(h, 6, 16, 5, 1, 0)))
	h = n.b.Op("Relu", n.dense(n.b.With("Flatten", nil, h), 64, 30))
	return n.dense(h, 30, networkClasses)
}

// resnet is two residual blocks with batch normalisation, the second of which
// halves the image.
func resnet(n *network, x *graph.Value) *graph.Value {
	h := n.b.Op("Relu", n.norm(n.conv(x, 2, 4, 3, 1, 1), 4))
	y := n.norm(n.conv(n.b.Op("Relu", n.norm(n.conv(h, 4, 4, 3, 1, 1), 4)), 4, 4, 3, 1, 1), 4)
	h = n.b.Op("Relu", n.b.Op("Add", h, y))
	y = n.norm(n.conv(n.b.Op("Relu", n.norm(n.conv(h, 4, 6, 3, 2, 1), 6)), 6, 6, 3, 1, 1), 6)
	h = n.b.Op("Relu", n.b.Op("Add", n.norm(n.conv(h, 4, 6, 1, 2, 0), 6), y))
	return n.dense(n.b.With("Flatten", nil, n.b.Op("GlobalAveragePool", h)), 6, networkClasses)
}

// lstm classifies sequences by the last state of both directions.
func lstm(n *network, x *graph.Value) *graph.Value {
	const in, hidden = 3, 5
	a := attrs{graph.Int("hidden_size", hidden), graph.Text("direction", "bidirectional"), graph.Int("layout", 1)}
	h := n.b.Multi("LSTM", a, 2, x, n.weight(2, 2, 4*hidden, in), n.weight(2, 2, 4*hidden, hidden), n.weight(4, 2, 8*hidden))[1]
	return n.dense(n.b.With("Flatten", nil, h), 2*hidden, networkClasses)
}

var networks = []struct {
	name    string
	x       []int
	body    func(*network, *graph.Value) *graph.Value
	coupled bool // the examples of a batch influence each other
}{
	{"lenet", []int{1, 16, 16}, lenet, false},
	{"resnet", []int{2, 8, 8}, resnet, true},
	{"lstm", []int{6, 3}, lstm, false},
}

// moved is a point plus h times a direction in the weights.
func (n *network) moved(v []tensor.Tensor, h float64) []tensor.Tensor {
	at := copies(n.at)
	for i, d := range v {
		for k := range d.Len() {
			at[2+i].Set(k, at[2+i].At(k)+h*d.At(k))
		}
	}
	return at
}

// differenceStep is small against the distance to the kinks of the networks, and
// differenceTolerance what central differences of that step are good for.
const (
	differenceStep      = 1e-5
	differenceTolerance = 1e-6
)

// TestDerivativesOfNetworks compares directional derivatives with differences of
// the loss, Hessian-vector products with differences of the gradient, forward
// mode with reverse mode, and Gauss-Newton products with the Hessian's where the
// loss is one of the logits alone.
func TestDerivativesOfNetworks(t *testing.T) {
	for _, c := range networks {
		t.Run(c.name, func(t *testing.T) {
			n := newNetwork(t, c.x, c.body)
			weights := n.g.Inputs[2:]
			v, w := like(n.r.Rand, weights), like(n.r.Rand, weights)
			run := func(g *graph.Graph, in ...[]tensor.Tensor) []tensor.Tensor {
				t.Helper()
				return copies(networkRunner(t, g)(slices.Concat(in...)))
			}
			loss := networkRunner(t, n.g)
			ahead, back := n.moved(v, differenceStep), n.moved(v, -differenceStep)
			slope := (loss(ahead)[0].At(0) - loss(back)[0].At(0)) / (2 * differenceStep)
			gradient := must(t)(Gradient(n.g, n.g.Outputs[0], weights))
			g := run(gradient, n.at)[1:]
			closeTo(t, "⟨gradient, v⟩", pairing(g, v), slope, differenceTolerance)
			closeTo(t, "Jv", run(must(t)(JVP(n.g, n.g.Outputs[:1], weights)), n.at, v)[1].At(0), pairing(g, v), exact)

			product := must(t)(HessianVector(n.g, n.g.Outputs[0], weights))
			hv := run(product, n.at, v)[1:]
			closeTo(t, "⟨w, Hv⟩", pairing(w, hv), pairing(v, run(product, n.at, w)[1:]), exact)
			gAhead, gBack := run(gradient, ahead)[1:], run(gradient, back)[1:]
			scale := 0.0
			for i := range hv {
				for k := range hv[i].Len() {
					scale = max(scale, hv[i].At(k), -hv[i].At(k))
				}
			}
			for i := range hv {
				for k := range hv[i].Len() {
					want := (gAhead[i].At(k) - gBack[i].At(k)) / (2 * differenceStep)
					if d := hv[i].At(k) - want; max(d, -d) > 10*differenceTolerance*scale {
						t.Fatalf("Hv: weight %d, entry %d: got %v, want %v", i, k, hv[i].At(k), want)
					}
				}
			}
			curved := must(t)(GaussNewtonVector(n.g, n.g.Outputs[0], n.logits, weights))
			gv := run(curved, n.at, v)[1:]
			closeTo(t, "⟨w, Gv⟩", pairing(w, gv), pairing(v, run(curved, n.at, w)[1:]), exact)
			if pairing(v, gv) <= 0 {
				t.Errorf("⟨v, Gv⟩: got %v, want above 0", pairing(v, gv))
			}
			last := len(weights) - 1 // the logits are linear in the last bias
			only := make([]tensor.Tensor, len(v))
			for i := range v {
				only[i] = tensor.New(tensor.Float64, v[i].Shape()...)
			}
			only[last] = v[last]
			if err := testkit.Close(run(curved, n.at, only)[1+last].Float64s(), run(product, n.at, only)[1+last].Float64s(), exact); err != nil {
				t.Errorf("Gauss-Newton and Hessian in the last bias: %v", err)
			}
		})
	}
}

func closeTo(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if err := testkit.Close([]float64{got}, []float64{want}, tolerance); err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

func networkRunner(t *testing.T, g *graph.Graph) func(in []tensor.Tensor) []tensor.Tensor {
	t.Helper()
	p, err := Compile(g, Options{Dims: map[string]int{"N": networkExamples}})
	if err != nil {
		t.Fatal(err)
	}
	out := make([]tensor.Tensor, len(g.Outputs))
	return func(in []tensor.Tensor) []tensor.Tensor {
		t.Helper()
		if err := p.Run(t.Context(), in, out); err != nil {
			t.Fatal(err)
		}
		return out
	}
}

// TestPerExampleOfNetworks: the gradients of the examples are those that each
// has in a batch of its own; the rows of the logits' Jacobians add up to the
// pullback of their cotangents. The size may be a symbol.
func TestPerExampleOfNetworks(t *testing.T) {
	for _, c := range networks {
		t.Run(c.name, func(t *testing.T) {
			n := newNetwork(t, c.x, c.body)
			weights := n.g.Inputs[2:]
			gradient := must(t)(Gradient(n.g, n.g.Outputs[0], weights))
			one, err := Compile(gradient, Options{Dims: map[string]int{"N": 1}})
			if err != nil {
				t.Fatal(err)
			}
			for _, size := range []tensor.Dim{tensor.Fixed(networkExamples), tensor.Symbol("N")} {
				all := must(t)(PerExample(n.g, n.g.Outputs[0], weights, n.g.Inputs[:2], size))
				got := copies(networkRunner(t, all)(n.at))
				for e := range networkExamples {
					at := slices.Clone(n.at)
					for i := range 2 {
						at[i] = example(n.at[i], e)
					}
					want := make([]tensor.Tensor, len(gradient.Outputs))
					if err := one.Run(t.Context(), at, want); err != nil {
						t.Fatal(err)
					}
					for i := range want {
						if err := testkit.Close(example(got[i], e).Float64s(), want[i].Float64s(), exact); err != nil {
							t.Errorf("size %v, example %d, output %d: %v", size, e, i, err)
						}
					}
				}
			}
			if c.coupled {
				return
			}
			rows := copies(networkRunner(t, must(t)(PerExample(n.g, n.logits, weights, n.g.Inputs[:1], tensor.Fixed(networkExamples))))(n.at))
			u := n.r.normal(networkExamples, networkClasses)
			pulledBack := copies(networkRunner(t, must(t)(VJP(n.g, []*graph.Value{n.logits}, weights)))(append(slices.Clone(n.at), u)))
			for i := range weights {
				if err := testkit.Close(pulled(u, rows[1+i]), pulledBack[1+i].Float64s(), exact); err != nil {
					t.Errorf("Jacobian of weight %d: %v", i, err)
				}
			}
		})
	}
}

// example is a batch of one.
func example(batch tensor.Tensor, i int) tensor.Tensor {
	shape := slices.Clone(batch.Shape())
	shape[0] = 1
	size := elements(shape)
	return tensor.Of(slices.Clone(tensor.Data[float64](batch)[i*size:(i+1)*size]), shape...)
}

// TestCostOfDerivatives: a Jacobian-vector product takes at most three steps for
// each of the model's (its own, the tangent's, and the sum where both operands
// move), and no derivative of a sequence model grows with its length.
func TestCostOfDerivatives(t *testing.T) {
	steps := func(g *graph.Graph) int {
		p, err := Compile(g, Options{Dims: map[string]int{"N": networkExamples}, Unfused: true})
		if err != nil {
			t.Fatal(err)
		}
		return p.Steps()
	}
	n := newNetwork(t, networks[0].x, lenet)
	own, moved := steps(n.g), steps(must(t)(JVP(n.g, n.g.Outputs[:1], n.g.Inputs[2:])))
	if moved > 6*own {
		t.Errorf("steps of a Jacobian-vector product: got %d for a model of %d", moved, own)
	}
	var sizes []int
	for _, length := range []int{4, 8} {
		s := newNetwork(t, []int{length, 3}, lstm)
		sizes = append(sizes, steps(must(t)(HessianVector(s.g, s.g.Outputs[0], s.g.Inputs[2:]))))
	}
	if sizes[0] != sizes[1] {
		t.Errorf("steps of a Hessian-vector product of 4 and 8 time steps: got %v", sizes)
	}
	t.Logf("steps: model %d, Jacobian-vector product %d", own, moved)
}

// TestHessianOfNetwork: the Jacobian of the gradient is the matrix that
// Hessian-vector products multiply with, and symmetric; with examples at once it
// is that of each example.
func TestHessianOfNetwork(t *testing.T) {
	n := newNetwork(t, []int{3}, func(n *network, x *graph.Value) *graph.Value {
		return n.dense(n.b.Op("Tanh", n.dense(x, 3, 2)), 2, networkClasses)
	})
	w := n.g.Inputs[2:3]
	gradient := must(t)(Gradient(n.g, n.g.Outputs[0], w))
	hessian := must(t)(Jacobian(gradient, gradient.Outputs[1], gradient.Inputs[2:3]))
	h := copies(networkRunner(t, hessian)(n.at))[2]
	v := like(n.r.Rand, w)
	product := copies(networkRunner(t, must(t)(HessianVector(n.g, n.g.Outputs[0], w)))(append(slices.Clone(n.at), v...)))[1]
	if err := testkit.Close(pulled(v[0], h), product.Float64s(), exact); err != nil {
		t.Errorf("vᵀH: %v", err)
	}
	size := v[0].Len()
	for i := range size {
		for k := range i {
			closeTo(t, "entry opposite", h.At(i*size+k), h.At(k*size+i), exact)
		}
	}
	each := must(t)(PerExample(gradient, gradient.Outputs[1], gradient.Inputs[2:3], gradient.Inputs[:2], tensor.Fixed(networkExamples)))
	all := copies(networkRunner(t, each)(n.at))[1]
	mean := make([]float64, h.Len())
	for i := range all.Len() {
		mean[i%len(mean)] += all.At(i) / networkExamples
	}
	if err := testkit.Close(mean, h.Float64s(), exact); err != nil {
		t.Errorf("mean of the examples' Hessians: %v", err)
	}
}
