package engine

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/testkit"
	"github.com/compactify/compactify/tensor"
)

// exact is for identities between derivatives, relative to the largest entry:
// rounding alone.
const exact = 1e-10

// TestForwardAndReverseAgree: for every case and random u and v, ⟨u, Jv⟩ =
// ⟨Jᵀu, v⟩ with J of all its outputs; Jv of the gradient (forward over reverse),
// the gradient of ⟨Jv, 1⟩ (reverse over forward) and HessianVector (reverse over
// reverse) give the same Hv, and ⟨w, Hv⟩ = ⟨v, Hw⟩.
func TestForwardAndReverseAgree(t *testing.T) {
	for _, c := range gradientCases() {
		t.Run(strings.ReplaceAll(c.String(), " ", "_"), func(t *testing.T) {
			r := rand.New(rand.NewPCG(3, 4))
			g, at := c.build(t, r)
			if len(at) == 0 {
				return
			}
			y := c.outputsOf(g)
			checkTranspose(t, r, g, y, at)
			checkHessian(t, r, g, at)
		})
	}
}

// outputsOf finds the floating-point outputs of the operator under test in the
// graph that build made.
func (c gradientCase) outputsOf(g *graph.Graph) []*graph.Value {
	var list []*graph.Value
	for _, n := range g.Nodes {
		if n.Kind() != c.op {
			continue
		}
		for _, v := range n.Out {
			if v == nil {
				continue
			}
			if _, ok := v.Type.Static(); ok && v.Type.DType == tensor.Float64 {
				list = append(list, v)
			}
		}
		break
	}
	return list
}

func like(r *rand.Rand, values []*graph.Value) []tensor.Tensor {
	list := make([]tensor.Tensor, len(values))
	for i, v := range values {
		sizes, _ := v.Type.Static()
		list[i] = random(r, tensor.Float64, sizes...)
	}
	return list
}

func pairing(a, b []tensor.Tensor) float64 {
	sum := 0.0
	for i := range a {
		sum += dot(a[i].Float64s(), b[i].Float64s())
	}
	return sum
}

func copies(list []tensor.Tensor) []tensor.Tensor {
	out := make([]tensor.Tensor, len(list))
	for i, t := range list {
		out[i] = t.Clone()
	}
	return out
}

func must(t *testing.T) func(*graph.Graph, error) *graph.Graph {
	return func(g *graph.Graph, err error) *graph.Graph {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
}

// extended is the outputs a derivative added, at a point and in directions.
func extended(t *testing.T, g *graph.Graph, outputs int, in ...[]tensor.Tensor) []tensor.Tensor {
	t.Helper()
	return copies(evaluator(t, g)(slices.Concat(in...))[outputs:])
}

func checkTranspose(t *testing.T, r *rand.Rand, g *graph.Graph, y []*graph.Value, at []tensor.Tensor) {
	t.Helper()
	if len(y) == 0 {
		return
	}
	u, v := like(r, y), like(r, g.Inputs)
	forward := extended(t, must(t)(JVP(g, y, g.Inputs)), len(g.Outputs), at, v)
	reverse := extended(t, must(t)(VJP(g, y, g.Inputs)), len(g.Outputs), at, u)
	if err := testkit.Close([]float64{pairing(u, forward)}, []float64{pairing(reverse, v)}, exact); err != nil {
		t.Errorf("⟨u, Jv⟩ and ⟨Jᵀu, v⟩: %v", err)
	}
}

func checkHessian(t *testing.T, r *rand.Rand, g *graph.Graph, at []tensor.Tensor) {
	t.Helper()
	v, w := like(r, g.Inputs), like(r, g.Inputs)
	hv := must(t)(HessianVector(g, g.Outputs[0], g.Inputs))
	product := extended(t, hv, 1, at, v)
	if err := testkit.Close([]float64{pairing(w, product)}, []float64{pairing(v, extended(t, hv, 1, at, w))}, exact); err != nil {
		t.Errorf("⟨w, Hv⟩ and ⟨v, Hw⟩: %v", err)
	}
	d := must(t)(Gradient(g, g.Outputs[0], g.Inputs))
	others := map[string]*graph.Graph{"forward over reverse": must(t)(JVP(d, d.Outputs[1:], d.Inputs))}
	moved := must(t)(JVP(g, g.Outputs, g.Inputs))
	others["reverse over forward"] = must(t)(Gradient(moved, moved.Outputs[1], moved.Inputs[:len(at)]))
	for name, other := range others {
		got := extended(t, other, len(other.Outputs)-len(at), at, v)
		for i := range got {
			if err := testkit.Close(got[i].Float64s(), product[i].Float64s(), exact); err != nil {
				t.Errorf("%s, input %d: %v", name, i, err)
			}
		}
	}
}
