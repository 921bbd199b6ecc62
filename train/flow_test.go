package train

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/calculus"
)

func mustFlow(t *testing.T, g *graph.Graph, set *data.Set, o FlowOptions) (*graph.Graph, []Epoch, *FlowRecord) {
	t.Helper()
	m, epochs, r, err := Flow(context.Background(), g, set, o)
	if err != nil {
		t.Fatal(err)
	}
	return m, epochs, r
}

// TestFlowQuadratic is oracle 11 through a model: the mean of squares over two
// examples, X = diag(1, 2) and y = 0, has the Hessian diag(1, 4), with λ‖θ‖² diag(1, 4) +
// 2λ; the flow is e^{−Ht}θ₀.
func TestFlowQuadratic(t *testing.T) {
	set := table(t, data.Regress, []float64{1, 0, 0}, []float64{0, 2, 0})
	const lambda = 0.25
	m, epochs, r := mustFlow(t, linear(t, 1, 3, -2), set, FlowOptions{Time: 2, Epochs: 4, Double: true, Tolerance: 1e-6, Penalties: []Penalty{{Kind: L2, Lambda: Always(lambda)}}})
	w := param(t, m, "w")
	want := []float64{3 * math.Exp(-2*(1+2*lambda)), -2 * math.Exp(-2*(4+2*lambda))}
	if math.Abs(w[0]-want[0]) > 1e-5 || math.Abs(w[1]-want[1]) > 1e-5 {
		t.Errorf("got %v, want %v", w, want)
	}
	if len(epochs) != 4 || len(r.Points) != 5 || r.End != calculus.FlowTime || r.Reached != 2 || r.Rises != 0 {
		t.Fatalf("got %d epochs, %+v", len(epochs), r)
	}
	if got, want := epochs[0].Turn, math.Atan2(2*math.Exp(-0.5*4.5), 3*math.Exp(-0.5*1.5))-math.Atan2(2, 3); math.Abs(got-math.Abs(want)) > 1e-5 {
		t.Errorf("turn of the first part: got %v, want %v", got, want)
	}
	for e, p := range r.Points[1:] {
		at := 0.5 * float64(e+1)
		if norm := math.Hypot(3*math.Exp(-at*(1+2*lambda)), 2*math.Exp(-at*(4+2*lambda))); float64(p.Time) != at || math.Abs(epochs[e].Norm-norm) > 1e-5 || float64(p.Norm) != epochs[e].Norm {
			t.Errorf("part %d: got %+v, %+v, want ‖θ‖ = %v", e, p, epochs[e], norm)
		}
		if off := float64(p.Objective) - epochs[e].Loss - epochs[e].Penalty; math.Abs(off) > 1e-12 {
			t.Errorf("part %d: loss and penalty are off by %v", e, off)
		}
	}
}

// TestFlowSoftmax: a linear softmax model. The balance holds to the tolerance, in both
// arithmetics and with every method, and falls short of nothing that λ adds.
func TestFlowSoftmax(t *testing.T) {
	g, err := NewModel("mlp:784-10", []int{1, 28, 28}, 10, 1)
	if err != nil {
		t.Fatal(err)
	}
	set := glyphs(t, 20)
	lambda, err := ParseSchedule("geom:1e-4..1e-2")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		o    FlowOptions
		most float64 // relative residual
	}{
		{"float64", FlowOptions{Double: true, Tolerance: 1e-6}, 1e-6},
		{"float64, tight", FlowOptions{Double: true, Tolerance: 1e-9}, 1e-9},
		{"float64, implicit", FlowOptions{Double: true, Tolerance: 1e-5, Method: calculus.FlowImplicit}, 1e-5},
		{"float32", FlowOptions{Tolerance: 1e-4}, 1e-4},
		{"by default", FlowOptions{}, 1e-3},
		{"float64, λ grows", FlowOptions{Double: true, Tolerance: 1e-6, Penalties: []Penalty{{Kind: L2, Lambda: lambda}}}, 1e-6},
	} {
		c.o.Time, c.o.Epochs = 0.5, 4
		_, epochs, r := mustFlow(t, g, set, c.o)
		t.Logf("%s: balance %.1e of %.3f, %d steps (%d implicit), %d rejected, %d gradients, %d products, rises %d of %.1e", c.name,
			float64(r.Balance), float64(r.Dissipated), r.Steps, r.Implicit, r.Rejected, r.Gradients, r.Products, r.Rises, float64(r.MaxRise))
		if !(float64(r.Relative) <= c.most) {
			t.Errorf("%s: residual %v, relative %v", c.name, r.Balance, r.Relative)
		}
		firstPoint, last := r.Points[0], r.Points[len(r.Points)-1]
		total := float64(firstPoint.Objective - last.Objective + r.Schedule - r.Dissipated)
		// Points are those of their own λ; the first differs by none.
		if math.Abs(total-float64(r.Balance)) > 1e-12 {
			t.Errorf("%s: residual %v, by the points %v", c.name, r.Balance, total)
		}
		if len(epochs) != 4 || !(epochs[3].Metric >= epochs[0].Metric) || c.o.Penalties == nil && !(epochs[3].Loss < epochs[0].Loss) {
			t.Errorf("%s: got %+v", c.name, epochs)
		}
		if _, err := json.Marshal(r); err != nil {
			t.Error(err)
		}
	}
}

// TestFlowCritical: the flow stands still at a minimum, and the rest of the time is
// recorded all the same.
func TestFlowCritical(t *testing.T) {
	set := table(t, data.Regress, []float64{1, 0, 0}, []float64{0, 2, 0})
	_, epochs, r := mustFlow(t, linear(t, 1, 3, -2), set, FlowOptions{Time: 100, Epochs: 10, Double: true, Gradient: 1e-3})
	if r.End != calculus.FlowCritical || len(epochs) != 10 || len(r.Points) != 12 || !(r.Reached < 20) {
		t.Errorf("got %d epochs, %+v", len(epochs), r)
	}
	_, epochs, r = mustFlow(t, linear(t, 1, 0, 0), set, FlowOptions{Epochs: 3, Double: true})
	if r.End != calculus.FlowCritical || len(epochs) != 3 || r.Steps != 0 || r.Balance != 0 || r.Relative != 0 {
		t.Errorf("at the minimum: got %d epochs, %+v", len(epochs), r)
	}
}

func TestFlowEnds(t *testing.T) {
	set := table(t, data.Regress, []float64{1, 0, 1}, []float64{0, 2, 1})
	g := linear(t, 1, 3, -2)
	for _, c := range []struct {
		o    FlowOptions
		says string
	}{
		{FlowOptions{Time: -1}, "time -1"}, {FlowOptions{Time: math.Inf(1)}, "time +Inf"}, {FlowOptions{Epochs: -1}, "-1 parts"},
		{FlowOptions{Penalties: []Penalty{{Kind: GroupLasso, Lambda: Always(1)}}}, "group: it has no gradient where weights are zero"},
		{FlowOptions{Method: "euler"}, `method: got "euler"`},
	} {
		if _, _, _, err := Flow(context.Background(), g, set, c.o); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: got error %v, want one that says %q", c.o, err, c.says)
		}
	}
	_, epochs, r := mustFlow(t, g, set, FlowOptions{Time: 10, Budget: 50, Double: true})
	if r.End != calculus.FlowBudget || len(epochs) == 20 || !(r.Reached < 10) || r.Gradients > 60 {
		t.Errorf("budget: got %d epochs, %+v", len(epochs), r)
	}
	ctx, cancel := context.WithCancel(context.Background())
	m, epochs, r, err := Flow(ctx, g, set, FlowOptions{Time: 10, Double: true, Epoch: func(Epoch) { cancel() }})
	if !errors.Is(err, context.Canceled) || m == nil || len(epochs) != 1 || r.Reached < 0.5 {
		t.Errorf("cancelled: got %d epochs, %+v, error %v", len(epochs), r, err)
	}
	if _, _, _, err := Flow(context.Background(), linear(t, 1, float32(math.NaN()), 1), set, FlowOptions{}); !errors.Is(err, ErrDiverged) {
		t.Errorf("NaN at the start: got error %v", err)
	}
}

// TestFlowKinks: the loss of a network with ReLU is not C¹. Its flow slides along
// kinks, where the loss falls by less than ∫‖∇L‖², but fall it does.
func TestFlowKinks(t *testing.T) {
	g, err := NewModel("mlp:784-8-10", []int{1, 28, 28}, 10, 1)
	if err != nil {
		t.Fatal(err)
	}
	_, epochs, r := mustFlow(t, g, glyphs(t, 20), FlowOptions{Time: 0.5, Epochs: 5, Double: true, Tolerance: 1e-2})
	t.Logf("balance %.1e of %.3f in %d steps", float64(r.Balance), float64(r.Dissipated), r.Steps)
	if r.End != calculus.FlowTime || r.Kinks != "Relu" || r.Rises > 0 || !(r.Relative < 0.5) || !(epochs[4].Loss < 0.9*epochs[0].Loss) {
		t.Errorf("got %+v", r)
	}
}
