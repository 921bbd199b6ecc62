package certify

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
	"github.com/compactify/compactify/train"
)

// near: figures of models of float32 weights.
const near = 1e-5

// TestRidge: oracle 1, X = diag(1, 2), y = (1, 1), λ = ½. θ = (0.5, 0.4), L(0) = 1,
// L(θ) = (0.5² + 0.2²)/2 = 0.145, ‖θ‖² = 0.41, L_λ = 0.35, g(0) = −(1, 2), M = 4.
func TestRidge(t *testing.T) {
	claims := judged(t, penalised(t, linear(t, 1, 0.5, 0.4), ridgeSet(t), train.L2, 0.5))
	check(t, claims["row2"], compactify.Verified, near, map[string]float64{
		"level": 0.35, "radius": math.Sqrt(0.35 / 0.5), "norm": math.Sqrt(0.41), "loss": 0.145, "lower_bound": 0})
	check(t, claims["row3"], compactify.Verified, near, map[string]float64{"two_lambda": 1})
	if got := claims["row3"].Statement; got != "L + λR has exactly one minimiser" {
		t.Errorf("row3: got %q, want uniqueness, as L is convex", got)
	}
	check(t, claims["row4"], compactify.Verified, near, map[string]float64{
		"bound": math.Sqrt(1 / 0.5), "gradient_at_zero": math.Sqrt(5), "leading_term": math.Sqrt(5), "lipschitz": 4})
	if holds(t, claims["row4"], "2λ exceeds") {
		t.Error("row4: 2λ = 1 was said to exceed M = 4")
	}
	check(t, claims["row5"], compactify.Verified, near, map[string]float64{"kkt": math.Inf(1), "lower": math.Inf(1)})
	check(t, claims["row6"], compactify.Supported, near, map[string]float64{"gradient_at_zero": math.Sqrt(5)})
	if holds(t, claims["row6"], "g(0) = 0") {
		t.Error("row6: g(0) = −(1, 2) was said to be 0")
	}
	check(t, claims["row7"], compactify.Verified, near, map[string]float64{"degree": 1, "radius": 1}) // √(L(0)/2λ)
	check(t, claims["row8"], compactify.Supported, near, nil)
	check(t, claims["row10"], compactify.Supported, 1e-6, map[string]float64{"gradient": 0, "hessian_min": 2, "hessian_max": 5})
	check(t, claims["row11"], compactify.NotApplicable, 0, map[string]float64{"zeros": 0, "parameters": 2})
	check(t, claims["row12"], compactify.Supported, near, map[string]float64{"arrival_tau": 0.5, "thresholds": 2, "change_at_zero": 0.855})
}

// TestCriticalBound: with 2λ > M every critical point has ‖θ‖ ≤ ‖g(0)‖/(2λ − M).
func TestCriticalBound(t *testing.T) {
	a, b := ridgeAt(4)
	c := judged(t, penalised(t, linear(t, 1, float32(a), float32(b)), ridgeSet(t), train.L2, 4))["row4"]
	check(t, c, compactify.Verified, near, map[string]float64{"bound_critical": math.Sqrt(5) / 4, "norm": math.Hypot(a, b)})
	if !holds(t, c, "2λ exceeds") || math.Hypot(a, b) > math.Sqrt(5)/4 {
		t.Errorf("got %v, want the bound met", c)
	}
}

// TestProductAtZero: oracle 5, ½(uv−1)² + λ(u²+v²): eigenvalues of H(0) 2λ ± 1, so
// that 0 is a saddle for λ = 0.3 and an attractor for λ = 0.7; λ_arr = ½.
func TestProductAtZero(t *testing.T) {
	for _, c := range []struct {
		lambda    float64
		verdict   compactify.Verdict
		statement string
	}{
		{0.3, compactify.Supported, "θ = 0 is a saddle of the gradient flow of L + λ‖θ‖²"},
		{0.7, compactify.Verified, "θ = 0 is an attractor of the gradient flow of L + λ‖θ‖²"}, // by L(0) − L ≤ C|u||v|
	} {
		uv := max(0, 1-2*c.lambda)
		g, set := product(t, float32(math.Sqrt(uv)), float32(math.Sqrt(uv)))
		claims := judged(t, penalised(t, g, set, train.L2, c.lambda))
		check(t, claims["row6"], c.verdict, near, map[string]float64{"gradient_at_zero": 0, "hessian_min": -1, "margin": 2*c.lambda - 1})
		if got := claims["row6"].Statement; got != c.statement {
			t.Errorf("row6, λ = %v: got %q, want %q", c.lambda, got, c.statement)
		}
		check(t, claims["row5"], compactify.Verified, 1e-3, map[string]float64{"kkt": 0.5, "lower": 0.5, "upper": 0.5})
		// ⟨θ, ∇L⟩ = 2(uv−1)uv ≥ −2·L(0): beyond √(2·½/2λ).
		check(t, claims["row7"], compactify.Verified, near, map[string]float64{"degree": 2, "radius": math.Sqrt(0.5 / c.lambda)})
		check(t, claims["row10"], compactify.Supported, 1e-6, map[string]float64{"gradient": 0})
	}
}

// TestArrival: oracle 6, (θ²−1)²: λ_arr = 2 for ‖θ‖², (4/3)√(2/3) for ‖θ‖₁, where KKT
// says 0.
func TestArrival(t *testing.T) {
	for _, c := range []struct {
		kind     train.PenaltyKind
		kkt, arr float64
	}{{train.L2, 2, 2}, {train.L1, 0, 4. / 3 * math.Sqrt(2./3)}} {
		g, set := squared(t, 0.9)
		claim := judged(t, penalised(t, g, set, c.kind, 0.1))["row5"]
		if got := claim.Numbers.Get("kkt"); math.Abs(got-c.kkt) > 1e-6 {
			t.Errorf("%s: KKT: got %v, want %v", c.kind, got, c.kkt)
		}
		if got := claim.Numbers.Get("lower"); got > c.arr*(1+1e-9) || got < c.arr*(1-1e-4) {
			t.Errorf("%s: lower bound: got %v, want nearly %v and no more", c.kind, got, c.arr)
		}
		if got := claim.Numbers.Get("upper"); got < c.arr {
			t.Errorf("%s: upper bound: got %v, want at least %v", c.kind, got, c.arr)
		}
	}
}

// TestCurvatureAlongStep: oracle 11: along an eigenvector of a quadratic the curvature
// of a step of gradient descent is the eigenvalue.
func TestCurvatureAlongStep(t *testing.T) {
	for _, c := range []struct {
		theta []float32
		kappa float64
	}{{[]float32{2, 0.5}, 1}, {[]float32{1, 1.5}, 4}} {
		claim := judged(t, penalised(t, linear(t, 1, c.theta...), ridgeSet(t), train.L2, 0))["row8"]
		eta := claim.Numbers.Get("rate")
		check(t, claim, compactify.Supported, 1e-9, map[string]float64{
			"kappa": c.kappa, "rho": 1 - eta*c.kappa/2, "edge": 2 / eta, "curvature_along_least": c.kappa, "curvature_along_most": c.kappa})
	}
}

// TestRise: a rate above 2/h raises the loss; the witness says so again, and not on
// other examples.
func TestRise(t *testing.T) {
	s := penalised(t, linear(t, 1, 2, 0), table(t, data.Regress, []float64{1, 0, 1}, []float64{0, 2, 0}), train.L2, 0.25)
	s.Record = &train.Record{Optimizer: "sgd", Epochs: []train.EpochRecord{{Rate: 4, Norm: 2}}, Planned: 1}
	c := judged(t, s)["row8"]
	// The edge 2/4 + 2·¼ = 1 is the curvature: with any larger rate F rises.
	if c.Verdict == compactify.Refuted {
		t.Errorf("at the edge: got %v, want no rise", c)
	}
	s.Record.Epochs[0].Rate = 8
	c = judged(t, s)["row8"]
	check(t, c, compactify.Refuted, 1e-9, map[string]float64{"kappa": 1, "edge": 0.75})
	w := c.Evidence()
	if w == nil {
		t.Fatal("got no witness")
	}
	replays(t, s, w)
	other := *s
	other.Set = table(t, data.Regress, []float64{1, 0, 1}, []float64{0, 2, 2})
	file, _ := w.Encode()
	if _, err := Replay(t.Context(), &other, file, Options{}); err == nil {
		t.Error("other examples: got no error")
	}
}

// replays wants a witness to come out again, and an altered figure not to.
func replays(t *testing.T, s *Subject, w *Witness) {
	t.Helper()
	file, err := w.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := DecodeWitness(file)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := back.Encode(); !bytes.Equal(again, file) {
		t.Error("the witness is not the same after a round trip")
	}
	r, err := Replay(t.Context(), s, file, Options{})
	if err != nil || !r.Confirmed {
		t.Fatalf("replay: got %+v, %v, want it confirmed", r, err)
	}
	back.B.Loss *= 1.01
	file, _ = back.Encode()
	if r, err := Replay(t.Context(), s, file, Options{}); err != nil || r.Confirmed {
		t.Errorf("replay of altered figures: got %+v, %v, want it not confirmed", r, err)
	}
}

// walkOf is the subject of a walk along the ridge path of oracle 1, with claimed
// points at λ's and the weights there.
func walkOf(t *testing.T, lambdas []float64, at func(lambda float64) (a, b float64)) *Subject {
	t.Helper()
	s := &Subject{Kind: Walked, Path: "l2", Name: "walk", Set: ridgeSet(t), Walk: &WalkRecord{Arrival: math.NaN()}}
	for i, lambda := range lambdas {
		a, b := at(lambda)
		file := string(rune('a'+i)) + ".onnx"
		s.Models = append(s.Models, Place{lambda / (1 + lambda), file, linear(t, 1, float32(a), float32(b))})
		m := ClaimedMinimiser{Lambda: num(lambda), File: file}
		m.Loss = num(((1-a)*(1-a) + (1-2*b)*(1-2*b)) / 2)
		m.Penalty = num(a*a + b*b)
		s.Walk.Claimed = append(s.Walk.Claimed, m)
	}
	s.File, s.Model = s.Models[0].File, s.Models[0].Model
	s.Penalties = []train.Penalty{{Kind: train.L2, Lambda: train.Always(lambdas[0])}}
	return s
}

// TestPath: oracle 29: on an exact path R falls, L rises and v is concave. A point
// that is none of it is refuted by another one.
func TestPath(t *testing.T) {
	lambdas := []float64{0.1, 0.5, 1, 2, 4}
	check(t, judged(t, walkOf(t, lambdas, ridgeAt))["row11"], compactify.Supported, 0, map[string]float64{"points": 5, "disproved": 0, "computed_again": 5, "zeros": 0})

	lazy := walkOf(t, lambdas, func(lambda float64) (a, b float64) {
		if lambda == 2 {
			lambda = 8 // too far
		}
		return ridgeAt(lambda)
	})
	c := judged(t, lazy)["row11"]
	check(t, c, compactify.Refuted, near, map[string]float64{"disproved": 1, "gap_lambda": 2})
	if c.Evidence() == nil {
		t.Fatal("got no witness")
	}
	replays(t, lazy, c.Evidence())

	lying := walkOf(t, lambdas, ridgeAt)
	lying.Walk.Claimed[2].Loss *= 0.9
	c = judged(t, lying)["row11"]
	if check(t, c, compactify.Refuted, 0, nil); c.Witness == nil || *c.Witness != resultFile {
		t.Errorf("a record that is not so: got witness %v, want %s", c.Witness, resultFile)
	}
}

// TestEarlyArrival: a walk that says to be at 0 too early is refuted by a point.
func TestEarlyArrival(t *testing.T) {
	g, set := squared(t, 0.9)
	s := penalised(t, g, set, train.L2, 0.1)
	s.Walk = &WalkRecord{Arrival: 2.001}
	if c := judged(t, s)["row5"]; c.Verdict == compactify.Refuted {
		t.Errorf("arrival at 2: got %v", c.Notes)
	}
	s.Walk.Arrival = 1
	c := judged(t, s)["row5"]
	check(t, c, compactify.Refuted, 0, map[string]float64{"recorded_arrival": 1})
	replays(t, s, c.Evidence())
}

// TestSeparable: without a penalty the direction of a linear classifier that is right
// on every example is a way to infinity.
func TestSeparable(t *testing.T) {
	apart := table(t, data.Classify, []float64{1, 2, 0}, []float64{3, -1, 0}, []float64{-1, -2, 1}, []float64{-3, 1, 1})
	c := judged(t, penalised(t, linear(t, 2, 3, -3, 2, -2), apart, train.L2, 0))["row7"] // oracle 8: ŵ ∝ (3, 2)
	check(t, c, compactify.Verified, 0, nil)
	// Oracle 30: y·x = (1, 0), (0, 1), (−1, −1): the minimiser is 0.
	mixed := table(t, data.Classify, []float64{1, 0, 0}, []float64{0, 1, 0}, []float64{-1, -1, 0}, []float64{-1, 0, 1}, []float64{0, -1, 1}, []float64{1, 1, 1})
	c = judged(t, penalised(t, linear(t, 2, 0.1, 0, 0, 0), mixed, train.L2, 0))["row7"]
	check(t, c, compactify.Verified, 0, map[string]float64{"inequalities": 6, "tied": 6})
	if !strings.Contains(c.Statement, "finite minimiser") {
		t.Errorf("got %q", c.Statement)
	}
	// A model that is wrong on separable data, and data where one example is tied.
	c = judged(t, penalised(t, linear(t, 2, -3, 3, -2, 2), apart, train.L2, 0))["row7"]
	if check(t, c, compactify.Verified, 0, map[string]float64{"tied": 0}); !strings.Contains(c.Statement, "no minimiser") {
		t.Errorf("got %q", c.Statement)
	}
	touching := table(t, data.Classify, []float64{0, 1, 0}, []float64{0, 1, 1}, []float64{2, 1, 1})
	c = judged(t, penalised(t, linear(t, 2, 1, 0, 0, 0), touching, train.L2, 0))["row7"]
	if check(t, c, compactify.Verified, 0, map[string]float64{"tied": 2}); !strings.Contains(c.Statement, "quasi-separable") {
		t.Errorf("got %q", c.Statement)
	}
}

// TestScaleInvariance: oracle 10: where a normalisation follows the batch, θ → 0 leaves
// the function as it is, and row 4 says so.
func TestScaleInvariance(t *testing.T) {
	one := func(x float32) tensor.Tensor { return tensor.Of([]float32{x, x}, 2) }
	g := build(t, 2, func(b *graph.Builder, x *graph.Value) *graph.Value {
		h := b.Op("MatMul", x, b.Param("w", tensor.Of([]float32{3, -3, 2, -2}, 2, 2)))
		return b.Op("BatchNormalization", h, b.Param("scale", one(0.01)), b.Param("shift", one(0)), b.Param("mean", one(0)), b.Param("variance", one(1)))
	})
	set := table(t, data.Classify, []float64{1, 2, 0}, []float64{3, -1, 0}, []float64{-1, -2, 1}, []float64{-3, 1, 1})
	c := judged(t, penalised(t, g, set, train.L2, 0.1))["row4"]
	if share := c.Numbers.Get("scale_invariant_share"); share < 0.99 || !noted(c, "f(cθ) = f(θ)") {
		t.Errorf("got share %v and notes %v, want nearly all of ‖θ‖²", share, c.Notes)
	}
}

// TestSpheres: with a bias behind a hidden layer nothing is proved, and signs on
// spheres are sampled.
func TestSpheres(t *testing.T) {
	g, err := train.NewModel("mlp:2-3-2", []int{2}, 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	set := table(t, data.Classify, []float64{1, 2, 0}, []float64{3, -1, 0}, []float64{-1, -2, 1}, []float64{-3, 1, 1})
	c := judged(t, penalised(t, g, set, train.L2, 0.5))["row7"]
	check(t, c, compactify.Supported, 0, nil)
	if from := c.Numbers.Get("inwards_from"); !(from > 0) || math.IsInf(from, 1) {
		t.Errorf("got %v, want a radius", from)
	}
}

// TestOtherPenalties: balls and directions of penalties other than ‖θ‖².
func TestOtherPenalties(t *testing.T) {
	for _, c := range []struct {
		l    lambdas
		want float64
	}{
		{lambdas{l2: 0.25}, 4}, {lambdas{l1: 2}, 2}, {lambdas{group: 4}, 1},
		{lambdas{l1: 3, l2: 1}, 1}, // r² + 3r = 4
		{lambdas{}, math.Inf(1)},
	} {
		if got := c.l.ball(4); math.Abs(got-c.want) > 1e-12 && got != c.want {
			t.Errorf("%+v: radius for an excess of 4: got %v, want %v", c.l, got, c.want)
		}
	}
	claims := judged(t, penalised(t, linear(t, 1, 0.5, 0), ridgeSet(t), train.L1, 0.5))
	check(t, claims["row2"], compactify.Verified, near, map[string]float64{"radius": 2 * (0.625 + 0.25)}) // L = (¼+1)/2
	check(t, claims["row4"], compactify.NotApplicable, 0, nil)
	check(t, claims["row5"], compactify.Verified, near, map[string]float64{"kkt": 2, "upper": 2}) // ‖g(0)‖_∞
	check(t, claims["row6"], compactify.NotApplicable, 0, nil)
	// g + λ·sign: axis 1 has −½ + ½ = 0, axis 2 is at 0 with |−2| − ½.
	check(t, claims["row10"], compactify.Inconclusive, near, map[string]float64{"gradient": 1.5})
	max := judged(t, penalised(t, linear(t, 1, 0.5, 0), ridgeSet(t), train.MaxNorm, 1))
	for _, id := range []string{"row2", "row3", "row4", "row10"} {
		check(t, max[id], compactify.NotApplicable, 0, nil)
	}
}

// TestNoLoss: what has no loss is not applicable, with the reason, not an error.
func TestNoLoss(t *testing.T) {
	set := table(t, data.Regress, []float64{1, 0, 1}, []float64{0, 2, 1}).Unlabeled()
	for id, c := range judged(t, penalised(t, linear(t, 1, 1, 1), set, train.L2, 1)) {
		if c.Verdict != compactify.NotApplicable || len(c.Hypotheses) == 0 || c.Hypotheses[0].Holds {
			t.Errorf("%s: got %s, %v, want not applicable for want of labels", id, c.Verdict, c.Hypotheses)
		}
	}
}

// TestContradictions: figures of a step that cannot all be true are found.
func TestContradictions(t *testing.T) {
	good := train.SampleRecord{Step: 3, Epoch: 1, Rate: 0.5, Loss: 1, LossAfter: 0.9, Objective: 1.5, ObjectiveAfter: 1.3, Norm: 2, Kappa: 1, Edge: 4}
	l2 := lambdas{l2: 0.1, radius: math.Inf(1)}
	if got := contradiction(good, l2); got != "" {
		t.Errorf("got %q of figures that agree", got)
	}
	for name, spoil := range map[string]func(*train.SampleRecord){
		"a rise below the edge": func(s *train.SampleRecord) { s.Objective = 1.2 },
		"a fall above the edge": func(s *train.SampleRecord) { s.Kappa = 5 },
		"another penalty":       func(s *train.SampleRecord) { s.LossAfter = 0.8 },
		"another norm":          func(s *train.SampleRecord) { s.Norm = 2.1 },
	} {
		s := good
		spoil(&s)
		if contradiction(s, l2) == "" {
			t.Errorf("%s: not found", name)
		}
	}
}

// TestNumbers: order is kept, NaN and infinities are strings.
func TestNumbers(t *testing.T) {
	n := Numbers{{"z", 1.5}, {"a", math.NaN()}, {"m", math.Inf(1)}}
	text, err := json.Marshal(n)
	if err != nil || string(text) != `{"z":1.5,"a":"NaN","m":"Infinity"}` {
		t.Fatalf("got %s, %v", text, err)
	}
	var back Numbers
	if err := json.Unmarshal(text, &back); err != nil || len(back) != 3 || back[0] != n[0] || !math.IsNaN(back.Get("a")) || back[2] != n[2] {
		t.Errorf("got %v, %v, want %v", back, err, n)
	}
	if !math.IsNaN(n.Get("none")) {
		t.Error("a name that is not there: want NaN")
	}
	if err := json.Unmarshal([]byte(`[1]`), &back); err == nil {
		t.Error("a list: got no error")
	}
}

// TestSameBits: claims do not depend on the number of threads, or on the order of
// calls.
func TestSameBits(t *testing.T) {
	g, set := product(t, 0.5, 0.8)
	first := judged(t, penalised(t, g, set, train.L2, 0.3))
	again := judged(t, penalised(t, g, set, train.L2, 0.3))
	if !reflect.DeepEqual(first, again) {
		t.Error("two calls differ")
	}
}
