package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/testkit"
	"github.com/compactify/compactify/tensor"
)

// TestBatchAgainstLoop: for every case, its outputs and its gradient for three
// examples at once are those of one after the other, when all inputs differ and
// when only the first or the last does.
func TestBatchAgainstLoop(t *testing.T) {
	for _, c := range gradientCases() {
		t.Run(strings.ReplaceAll(c.String(), " ", "_"), func(t *testing.T) {
			r := rand.New(rand.NewPCG(3, 4))
			g, at := c.build(t, r)
			if len(at) == 0 || !c.batches() {
				return
			}
			d := must(t)(Gradient(g, g.Outputs[0], g.Inputs))
			d.Outputs = append(d.Outputs, c.outputsOf(d)...)
			one := evaluator(t, d)
			var examples [][]tensor.Tensor
			for range 3 {
				examples = append(examples, c.nearby(r, at))
			}
			choices := [][]int{upTo(len(at))}
			if len(at) > 1 {
				choices = append(choices, []int{0}, []int{len(at) - 1})
			}
			for _, which := range choices {
				checkBatch(t, d, one, examples, which)
			}
		})
	}
}

// batches reports whether the outputs have the same shape for all examples, and
// examples near each other differ in their values alone.
func (c gradientCase) batches() bool { return c.op != "NonZero" && c.op != "Unique" && c.op != "Range" }

// nearby is another example: the same values in other places would change what
// is smooth, so that they are only scaled a little.
func (c gradientCase) nearby(r *rand.Rand, at []tensor.Tensor) []tensor.Tensor {
	out := copies(at)
	for _, x := range out {
		for i := range x.Len() {
			x.Set(i, x.At(i)*(1+0.002*r.Float64()))
		}
	}
	return out
}

func upTo(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

func checkBatch(t *testing.T, g *graph.Graph, one func([]tensor.Tensor) []tensor.Tensor, examples [][]tensor.Tensor, which []int) {
	t.Helper()
	var differing []*graph.Value
	for _, i := range which {
		differing = append(differing, g.Inputs[i])
	}
	all := must(t)(Batch(g, tensor.Fixed(len(examples)), differing))
	in := copies(examples[0])
	for _, i := range which {
		list := make([]tensor.Tensor, len(examples))
		for n := range examples {
			list[n] = examples[n][i]
		}
		in[i] = stacked(list)
	}
	got := copies(evaluator(t, all)(in))
	for n := range examples {
		at := slices.Clone(examples[0])
		for _, i := range which {
			at[i] = examples[n][i]
		}
		for k, want := range one(at) {
			y := got[k]
			if !slices.Equal(y.Shape(), append([]int{len(examples)}, want.Shape()...)) {
				t.Errorf("inputs %v, output %d: got %v for examples of %v", which, k, y, want)
				return
			}
			part := y.Float64s()[n*want.Len() : (n+1)*want.Len()]
			if err := testkit.Close(part, want.Float64s(), exact); err != nil {
				t.Errorf("inputs %v, example %d, output %d: %v", which, n, k, err)
			}
		}
	}
}

// stacked joins tensors along a new leading axis.
func stacked(list []tensor.Tensor) tensor.Tensor {
	t, err := stack(list, 0)
	if err != nil {
		panic(fmt.Sprint("stack: ", err)) // the examples have one shape
	}
	return t
}

// TestJacobianAgainstProducts: for every case, the rows of the Jacobian are
// those that the pullback of unit vectors gives, whichever way it is found.
func TestJacobianAgainstProducts(t *testing.T) {
	for _, c := range gradientCases() {
		t.Run(strings.ReplaceAll(c.String(), " ", "_"), func(t *testing.T) {
			r := rand.New(rand.NewPCG(3, 4))
			g, at := c.build(t, r)
			if len(at) == 0 {
				return
			}
			for _, y := range c.outputsOf(g) {
				u := like(r, []*graph.Value{y})
				if u[0].Len() == 0 {
					continue
				}
				want := extended(t, must(t)(VJP(g, []*graph.Value{y}, g.Inputs)), len(g.Outputs), at, u)
				got := extended(t, must(t)(Jacobian(g, y, g.Inputs)), len(g.Outputs), at)
				for i, jacobian := range got {
					if !slices.Equal(jacobian.Shape(), slices.Concat(u[0].Shape(), at[i].Shape())) {
						t.Fatalf("input %d: got %v for an output %v and an input %v", i, jacobian, u[0], at[i])
					}
					if err := testkit.Close(pulled(u[0], jacobian), want[i].Float64s(), exact); err != nil {
						t.Errorf("input %d: %v", i, err)
					}
				}
			}
		})
	}
}

// pulled is uᵀJ.
func pulled(u, jacobian tensor.Tensor) []float64 {
	columns := jacobian.Len() / max(1, u.Len())
	sum := make([]float64, columns)
	for i := range u.Len() {
		for k := range columns {
			sum[k] += u.At(i) * jacobian.At(i*columns+k)
		}
	}
	return sum
}

// exampleByExample are the operators that may run so: what decides their work or
// their shape differs between examples.
var exampleByExample = []string{"If", "Loop", "NonZero", "Unique", "Range", "EyeLike", "OneHot", "MaxUnpool", "ReverseSequence",
	"DequantizeLinear", "Pad", "DFT"}

// TestBatchRunsAtOnce: neither the operators of networks nor their gradients fall
// back to a Scan over the examples.
func TestBatchRunsAtOnce(t *testing.T) {
	for _, c := range gradientCases() {
		g, at := c.build(t, rand.New(rand.NewPCG(3, 4)))
		if len(at) == 0 || slices.Contains(exampleByExample, c.op) {
			continue
		}
		d := must(t)(Gradient(g, g.Outputs[0], g.Inputs))
		for _, n := range must(t)(Batch(d, tensor.Fixed(3), d.Inputs)).Nodes {
			body, _ := n.Attrs.Get("body")
			if n.Kind() == "Scan" && len(body.G.Nodes) == 1 {
				t.Errorf("%v: %s runs example by example", c, body.G.Nodes[0].Kind())
			}
		}
	}
}

// Equal calls make equal graphs, whichever of several inputs the number of examples
// is read from.
func TestBatchMakesEqualGraphs(t *testing.T) {
	g := &graph.Graph{Name: "sum", Opset: map[string]int{"": graph.LatestOpset}}
	b := graph.NewBuilder(g, "t")
	for i := range 8 {
		x := b.Input(fmt.Sprintf("x%d", i), tensor.TypeOf(tensor.Float32, 3))
		if i == 0 {
			g.Outputs = []*graph.Value{x}
			continue
		}
		g.Outputs[0] = b.Op("Add", g.Outputs[0], x)
	}
	g.Outputs = append(g.Outputs, b.Param("same for all", tensor.Of([]float32{1, 2}, 2)))
	written := make(map[string]bool)
	for range 8 {
		many := must(t)(Batch(g, tensor.Symbol("N"), g.Inputs))
		text := ""
		for _, n := range many.Nodes {
			text += n.Kind()
			for _, v := range n.In {
				text += " " + v.Name
			}
			text += "\n"
		}
		written[text] = true
	}
	if len(written) != 1 {
		t.Errorf("graphs of 8 equal calls: got %d different ones, want one", len(written))
	}
}

// Without values that differ there are no examples to count.
func TestBatchOfNothingIsRefused(t *testing.T) {
	g := addTwice()
	if _, err := Batch(g, tensor.Symbol("M"), nil); err == nil || !strings.Contains(err.Error(), "got none") {
		t.Errorf("batch over no value: got %v, want an error that says so", err)
	}
	if _, err := PerExample(g, g.Outputs[0], nil, nil, tensor.Symbol("M")); err == nil || !strings.Contains(err.Error(), "got none") {
		t.Errorf("derivatives for no examples: got %v, want an error that says so", err)
	}
}
