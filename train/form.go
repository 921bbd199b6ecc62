package train

import (
	"fmt"
	"math"
	"slices"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// Form is what the structure of a network says of its answer z(θ, x) as a
// function of the parameters, whatever their values are.
type Form struct {
	// Affine: z is affine in θ, so that the loss, convex in z, is convex in θ.
	Affine bool

	// Degree k ≥ 0: z(cθ, x) = cᵏ·z(θ, x) for every c ≥ 0. −1 if the structure does
	// not show that for any k.
	Degree int

	// Kinks: an operator that need not have two derivatives everywhere, such as
	// ReLU, depends on θ.
	Kinks bool

	// Layers L > 0: the network is one chain of L layers without biases, and
	// ‖z(θ, x)‖₂ ≤ Gain·‖a(x)‖₂·Π‖W_l‖_F with a(x) what enters the first layer, the
	// input itself in most networks. 0 if the structure does not show that; NoChain
	// says why.
	Layers  int
	Gain    float64
	NoChain string

	chain []*graph.Param // the W_l
	root  *graph.Value   // a(x)
}

// Form looks at the structure of the objective's network.
func (f *Objective) Form() Form {
	weights := make(map[*graph.Value]*graph.Param, len(f.weights))
	for _, w := range f.weights {
		weights[w.Value] = w
	}
	return formOf(f.loss, f.loss.Outputs[1], weights)
}

// trait is what is known of one value: a [Form], for a part of the network.
type trait struct {
	depends bool         // on θ
	weight  *graph.Param // the value is this parameter itself
	affine  bool
	degree  int // −1: none
	kinks   bool
	gain    float64 // 0: no bound
	chain   []*graph.Param
	root    *graph.Value
	why     string // there is no bound
}

// formOf follows the operators from the inputs to z.
func formOf(g *graph.Graph, z *graph.Value, weights map[*graph.Value]*graph.Param) Form {
	a := &analysis{batch: g.Inputs[0].Type.Shape[0], traits: make(map[*graph.Value]trait)}
	for v, w := range weights {
		a.traits[v] = trait{depends: true, weight: w, affine: true, degree: 1, why: fmt.Sprintf("parameter %q is read beside a layer", w.Name)}
	}
	for _, n := range g.Nodes {
		t := a.follow(n)
		for _, v := range n.Out {
			if v != nil {
				a.traits[v] = t
			}
		}
	}
	t := a.of(z)
	form := Form{Affine: t.affine, Degree: t.degree, Kinks: t.kinks, NoChain: t.why}
	if t.depends && t.gain > 0 {
		form.Layers, form.Gain, form.NoChain = len(t.chain), t.gain, ""
		form.chain, form.root = t.chain, t.root
	}
	return form
}

type analysis struct {
	batch  tensor.Dim // every example stands for itself along the first axis
	traits map[*graph.Value]trait
}

// of is the trait of a value; what does not depend on θ may start a chain.
func (a *analysis) of(v *graph.Value) trait {
	if t, ok := a.traits[v]; ok && t.depends {
		return t
	}
	return trait{affine: true, gain: 1, root: v}
}

// follow derives the trait of a node's outputs.
func (a *analysis) follow(n *graph.Node) trait {
	depends := false
	for _, v := range n.Reads() {
		depends = depends || a.of(v).depends
	}
	if !depends {
		return trait{affine: true}
	}
	switch kind := n.Kind(); kind {
	case "MatMul":
		return a.product(n, 1)
	case "Gemm":
		if n.Attrs.Int("transA", 0) != 0 {
			return a.opaque(n)
		}
		return a.shifted(n, a.product(n, math.Abs(n.Attrs.Float("alpha", 1))))
	case "Conv":
		return a.shifted(n, a.product(n, a.convGain(n)))
	case "Mul":
		return a.product(n, 0)
	case "Add", "Sub", "Sum", "Mean", "Concat":
		return a.sum(n)
	case "BatchNormalization":
		return a.normalization(n)
	case "Identity", "Transpose":
		t := a.unary(n, 1)
		t.weight = a.of(n.In[0]).weight
		return t
	case "Neg", "Flatten", "Reshape", "Squeeze", "Unsqueeze":
		return a.unary(n, 1)
	case "Dropout":
		if n.Input(2) != nil {
			return a.opaque(n)
		}
		return a.unary(n, 1)
	case "AveragePool", "MaxPool":
		t := a.unary(n, a.poolGain(n))
		if kind == "MaxPool" {
			t.affine, t.kinks = false, true
		}
		return t
	case "GlobalAveragePool":
		return a.unary(n, a.averageGain(n))
	case "ReduceSum", "ReduceMean", "Slice", "Gather", "Expand", "Div":
		return a.unary(n, 0)
	}
	return a.activation(n)
}

// opaque is all that can be said of an operator that is not known here.
func (a *analysis) opaque(n *graph.Node) trait {
	return trait{depends: true, degree: -1, kinks: true, why: fmt.Sprintf("%s is not an operator with a bound", n)}
}

// unary is an operator linear in its first input; the others must not depend on
// θ. ‖y‖ ≤ gain·‖x‖; 0 if there is no bound.
func (a *analysis) unary(n *graph.Node, gain float64) trait {
	for _, v := range n.In[1:] {
		if v != nil && a.of(v).depends {
			return a.opaque(n)
		}
	}
	t := a.of(n.In[0])
	t.weight = nil
	return a.bounded(n, t, gain)
}

func (a *analysis) bounded(n *graph.Node, t trait, gain float64) trait {
	if y := n.Out[0].Type; y.Rank() < 1 || !y.Shape[0].Same(a.batch) {
		gain = 0
	}
	if t.gain *= gain; t.gain == 0 && t.why == "" {
		t.why = fmt.Sprintf("%s has no bound", n)
	}
	return t
}

// product is a bilinear operator of its first two inputs. Where the second is a
// weight, ‖y‖ ≤ gain·‖W‖_F·‖x‖.
func (a *analysis) product(n *graph.Node, gain float64) trait {
	x, w := a.of(n.In[0]), a.of(n.In[1])
	t := trait{depends: true, affine: x.affine && w.affine && !(x.depends && w.depends), degree: -1, kinks: x.kinks || w.kinks}
	if x.degree >= 0 && w.degree >= 0 {
		t.degree = x.degree + w.degree
	}
	switch {
	case x.why != "" && x.depends:
		t.why = x.why
	case w.weight == nil || n.Kind() != "Conv" && w.weight.Data.Rank() > 2:
		t.why = fmt.Sprintf("%s does not multiply by a weight", n)
	case slices.Contains(x.chain, w.weight):
		t.why = fmt.Sprintf("parameter %q is shared by several layers", w.weight.Name)
	default:
		t.root, t.gain, t.chain = x.root, x.gain, append(x.chain[:len(x.chain):len(x.chain)], w.weight)
		t = a.bounded(n, t, gain)
	}
	return t
}

// shifted adds the bias of Gemm or Conv.
func (a *analysis) shifted(n *graph.Node, t trait) trait {
	if n.Input(2) == nil {
		return t
	}
	b := a.of(n.In[2])
	t.affine, t.kinks = t.affine && b.affine, t.kinks || b.kinks
	if b.degree != t.degree {
		t.degree = -1
	}
	t.gain = 0
	if t.why == "" {
		t.why = fmt.Sprintf("%s has a bias", n)
	}
	return t
}

// sum is an operator linear in all inputs together: of equal degrees it is
// homogeneous.
func (a *analysis) sum(n *graph.Node) trait {
	t := trait{depends: true, affine: true, degree: a.of(n.In[0]).degree, why: fmt.Sprintf("%s joins branches or adds a bias", n)}
	for _, v := range n.In {
		x := a.of(v)
		t.affine, t.kinks = t.affine && x.affine, t.kinks || x.kinks
		if x.degree != t.degree {
			t.degree = -1
		}
	}
	return t
}

// normalization is (x − mean)/√(variance + ε)·scale + bias with the running
// statistics: a constant shift and a product.
func (a *analysis) normalization(n *graph.Node) trait {
	x, scale, bias := a.of(n.In[0]), a.of(n.In[1]), a.of(n.In[2])
	t := trait{depends: true, degree: -1, kinks: x.kinks, why: fmt.Sprintf("%s shifts by a mean", n)}
	t.affine = x.affine && !(x.depends && scale.depends)
	if !x.depends && scale.degree == bias.degree {
		t.degree = scale.degree
	}
	return t
}

// homogeneousActivations are those with σ(cx) = c·σ(x) for c ≥ 0.
var homogeneousActivations = map[string]bool{"Relu": true, "LeakyRelu": true, "Abs": true, "GlobalMaxPool": true}

// smoothActivations are those with two continuous derivatives.
var smoothActivations = map[string]bool{"Tanh": true, "Sigmoid": true, "Softplus": true, "Gelu": true, "Swish": true, "Mish": true, "Erf": true,
	"Exp": true, "Sin": true, "Cos": true, "Softmax": true, "LogSoftmax": true}

// contractions are those with |σ(x)| ≤ |x|.
var contractions = map[string]bool{"Relu": true, "Abs": true, "Tanh": true, "Gelu": true, "Swish": true, "Mish": true, "HardSwish": true,
	"Softsign": true, "Sin": true, "GlobalMaxPool": true}

// activation is a function of one input that is not linear.
func (a *analysis) activation(n *graph.Node) trait {
	kind := n.Kind()
	gain := 0.0
	switch {
	case contractions[kind]:
		gain = 1
	case kind == "LeakyRelu":
		gain = max(1, math.Abs(n.Attrs.Float("alpha", 0.01)))
	case !smoothActivations[kind]:
		return a.opaque(n)
	}
	t := a.unary(n, gain)
	t.affine = false
	if !homogeneousActivations[kind] {
		t.degree = -1
	}
	t.kinks = t.kinks || !smoothActivations[kind]
	return t
}

// convGain bounds a convolution: its output is W times the patches of x, and each
// element of x stands in so many patches at most.
func (a *analysis) convGain(n *graph.Node) float64 {
	x, okX := spatial(n.In[0].Type)
	w, okW := n.In[1].Type.Static()
	if !okX || !okW {
		return 0
	}
	win, err := graph.ConvGeometry(n, x, w)
	if err != nil {
		return 0
	}
	return math.Sqrt(overlap(win, x[2:]))
}

// poolGain bounds a pooling: the square of a maximum is at most the sum of the
// squares in its window, and of an average of k at most a k-th of it.
func (a *analysis) poolGain(n *graph.Node) float64 {
	x, ok := spatial(n.In[0].Type)
	if !ok {
		return 0
	}
	win, err := graph.PoolGeometry(n, x)
	if err != nil {
		return 0
	}
	size := overlap(win, x[2:])
	if n.Kind() == "AveragePool" && inside(win, x[2:]) {
		for _, k := range win.Kernel {
			size /= float64(k)
		}
	}
	return math.Sqrt(size)
}

// averageGain: of an average of all P pixels the square is at most a P-th of the
// sum of the squares.
func (a *analysis) averageGain(n *graph.Node) float64 {
	x, ok := spatial(n.In[0].Type)
	if !ok {
		return 0
	}
	pixels, _ := tensor.Size(x[2:])
	return 1 / math.Sqrt(float64(pixels))
}

// spatial is a shape with 1 for the batch, if the rest is known.
func spatial(t tensor.Type) ([]int, bool) {
	if t.Rank() < 3 {
		return nil, false
	}
	rest, ok := tensor.Type{Shape: t.Shape[1:]}.Static()
	return append([]int{1}, rest...), ok
}

// overlap is the largest number of windows that an element stands in.
func overlap(win graph.Window, sizes []int) float64 {
	all := 1.0
	for axis, size := range sizes {
		counts := make([]int, size)
		for o := range win.Out[axis] {
			for k := range win.Kernel[axis] {
				if at := o*win.Strides[axis] - win.Pads[axis] + k*win.Dilations[axis]; at >= 0 && at < size {
					counts[at]++
				}
			}
		}
		most := 0
		for _, c := range counts {
			most = max(most, c)
		}
		all *= float64(most)
	}
	return all
}

// inside reports whether no window reaches beyond the edges.
func inside(win graph.Window, sizes []int) bool {
	for axis, size := range sizes {
		last := (win.Out[axis]-1)*win.Strides[axis] - win.Pads[axis] + (win.Kernel[axis]-1)*win.Dilations[axis]
		if win.Pads[axis] > 0 || last >= size {
			return false
		}
	}
	return true
}
