package paths

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
	"github.com/compactify/compactify/train"
)

// fully are settings under which every place is trained on all examples at once until
// nothing moves any more.
func fully(set *data.Set) Regular {
	return Regular{Set: set, Lambda: [2]float64{1e-3, 10}, Rungs: 12, Epochs: 3000, Batch: set.Len(), Rate: 0.02}
}

func walked(t *testing.T, kind string, g *graph.Graph, r Regular) compactify.Path {
	t.Helper()
	p, err := New(kind, g, Options{Regular: r})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func modelAt(t *testing.T, p compactify.Path, x float64) *graph.Graph {
	t.Helper()
	g, err := p.At(context.Background(), x)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// twice is y = x·w·w, with the one number w.
func twice(t *testing.T, w float32) *graph.Graph {
	t.Helper()
	g := &graph.Graph{Name: "twice", Opset: map[string]int{"": graph.LatestOpset}}
	b := graph.NewBuilder(g, "v")
	x := b.Input("x", tensor.Type{DType: tensor.Float32, Shape: []tensor.Dim{tensor.Symbol("N"), tensor.Fixed(1)}})
	v := b.Param("w1", tensor.Of([]float32{w}, 1, 1))
	g.Outputs = []*graph.Value{b.Op("MatMul", b.Op("MatMul", x, v), v)}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	return g
}

// TestOraclesOnPaths: the models of the paths are the exact minimisers of the
// theory's oracles. The mean squared error is 2/n times ½RSS, and so is λ.
func TestOraclesOnPaths(t *testing.T) {
	const c, s = 0.6, 0.8 // an orthonormal X
	diagonal := table(t, data.Regress, []float64{1, 0, 1}, []float64{0, 2, 1})
	rotation := table(t, data.Regress, []float64{c, -s, 1}, []float64{s, c, 0.5}) // Xᵀy = (1, −0.5)
	lasso := table(t, data.Regress, []float64{3, 0, 3, 3}, []float64{0, -3, -1, 3}, []float64{1, 0, 0, -1})
	one := table(t, data.Regress, []float64{1, 1})
	for _, c := range []struct {
		about  string
		kind   string
		model  *graph.Graph
		set    *data.Set
		lambda float64
		want   []float64
	}{
		{"oracle 1 at λ=½", "l2", vector(t, 0.9, 0.9), diagonal, 0.5, []float64{0.5, 0.4}},
		{"oracle 2 at λ=0.2: soft threshold", "l1", vector(t, 1, -1), rotation, 0.2, []float64{0.8, -0.3}},
		{"oracle 2 at λ=0.7", "l1", vector(t, 1, -1), rotation, 0.7, []float64{0.3, 0}},
		{"oracle 2 at λ=1.1", "l1", vector(t, 1, -1), rotation, 1.1, []float64{0, 0}},
		{"oracle 3 at 6·2/3", "l1", vector(t, 0, 0, 0), lasso, 4, []float64{0.2, -1.0 / 3, 0}},
		{"oracle 3 beyond 9·2/3", "l1", vector(t, 0, 0, 0), lasso, 6.01, []float64{0, 0, 0}},
		{"elastic, X=diag(1,2): (σ−αλ)₊/(σ²+2(1−α)λ), α=½, λ=1", "elastic", vector(t, 0.9, 0.9), diagonal, 1, []float64{0.25, 0.3}},
		{"group, X=diag(1,2): one group of two, see below", "group", vector(t, 0.9, 0.9), diagonal, 0.5, groupOptimum(0.5)},
		{"oracle 5 at λ=0.15·2: uv = 0.7", "l2", product(t, tensor.Of([]float32{1}, 1, 1), tensor.Of([]float32{0.9}, 1, 1)), one, 0.3, []float64{math.Sqrt(0.7)}},
		{"oracle 6, L2, λ=1", "l2", twice(t, 1), one, 1, []float64{math.Sqrt(0.5)}},
		{"oracle 6, L1, λ=1: 4θ³ − 4θ + 1 = 0", "l1", twice(t, 1), one, 1, []float64{0.8375654352833230}},
		{"oracle 6, L1, λ=1.1, after the jump at 1.0886621", "l1", twice(t, 1), one, 1.1, []float64{0}},
	} {
		p := walked(t, c.kind, c.model, fully(c.set))
		got := param(t, modelAt(t, p, tOf(c.lambda)), "w1").Float64s()
		for i, want := range c.want {
			if math.Abs(got[i]-want) > 2e-4 {
				t.Errorf("%s: got %v, want %v", c.about, got, c.want)
				break
			}
		}
	}
}

// groupOptimum is the minimum of ½RSS + λ√2·‖θ‖ for X = diag(1, 2), y = (1, 1):
// stationary where σ_i²θ_i − σ_i + λ√2·θ_i/‖θ‖ = 0, that is θ_i = σ_i/(σ_i² + k) with
// k = λ√2/‖θ‖.
func groupOptimum(lambda float64) []float64 {
	k := 1.0
	for range 1000 {
		k = lambda * math.Sqrt2 / math.Hypot(1/(1+k), 2/(4+k))
	}
	return []float64{1 / (1 + k), 2 / (4 + k)}
}

// TestWalkedPathsAreMinimal is oracle 29 on whole walks: nothing on the paths of
// oracles 1, 3, 5 and 6 disproves that their points are the global minimisers.
func TestWalkedPathsAreMinimal(t *testing.T) {
	diagonal := table(t, data.Regress, []float64{1, 0, 1}, []float64{0, 2, 1})
	lasso := table(t, data.Regress, []float64{3, 0, 3, 3}, []float64{0, -3, -1, 3}, []float64{1, 0, 0, -1})
	one := table(t, data.Regress, []float64{1, 1})
	for _, c := range []struct {
		about, kind string
		model       *graph.Graph
		set         *data.Set
		arrival     float64 // λ_arr; +Inf if only in the limit
	}{
		{"oracle 1", "l2", vector(t, 0.9, 0.9), diagonal, math.Inf(1)},
		{"oracle 3", "l1", vector(t, 0, 0, 0), lasso, 6},
		{"oracle 5", "l2", product(t, tensor.Of([]float32{1}, 1, 1), tensor.Of([]float32{0.9}, 1, 1)), one, 1},
		{"oracle 6, L2", "l2", twice(t, 1), one, 2},
		{"oracle 6, L1", "l1", twice(t, 1), one, 1.0886621},
	} {
		p := walked(t, c.kind, c.model, fully(c.set)).(*Penalised)
		for _, x := range p.Grid(13) {
			modelAt(t, p, x)
		}
		m := p.Minimisers()
		if got := compactify.CheckMinimality(m, 1e-6); len(got.Beaten) > 0 || !got.Monotone || !got.Concave {
			t.Errorf("%s: got %+v of %v, want no point beaten", c.about, got, m)
		}
		for _, q := range m {
			if zero := q.Penalty < 1e-9; !q.Given && zero != (q.Lambda >= c.arrival) {
				t.Errorf("%s at λ=%v: got R = %v, want arrival at λ=%v", c.about, q.Lambda, q.Penalty, c.arrival)
			}
		}
	}
}

// TestMinimalityFindsAPathTrainedTooLittle: after a few steps at each place the next
// one is still better at the λ before.
func TestMinimalityFindsAPathTrainedTooLittle(t *testing.T) {
	diagonal := table(t, data.Regress, []float64{1, 0, 1}, []float64{0, 2, 1})
	r := fully(diagonal)
	r.Epochs, r.Rate = 3, 0.01
	p := walked(t, "l2", vector(t, 3, 3), r).(*Penalised)
	for _, x := range p.Grid(13) {
		modelAt(t, p, x)
	}
	if got := compactify.CheckMinimality(p.Minimisers(), 1e-6); len(got.Beaten) == 0 {
		t.Errorf("got %+v, want points beaten by later ones", got)
	}
}

// Oracle 24: dropout with p = ½ of the linear model X = [[1,1],[0,1]], y = (1,1). The
// loss expected over all 16 masks is that of the weighted ridge, with its minimum at
// (2/7, 3/7), where the sum of squares is 6/7; training under dropout finds it.
func TestDropoutOracle(t *testing.T) {
	x, y := [2][2]float64{{1, 1}, {0, 1}}, [2]float64{1, 1}
	masked := func(w [2]float64) float64 {
		sum := 0.0
		for code := range 16 {
			for i := range x {
				r := y[i]
				for j := range w {
					if code>>(2*i+j)&1 == 1 {
						r -= 2 * x[i][j] * w[j] // divided by p
					}
				}
				sum += r * r / 16
			}
		}
		return sum
	}
	ridge := func(w [2]float64) float64 {
		sum := w[0]*w[0]*1 + w[1]*w[1]*2 // (1−p)/p·diag(XᵀX)
		for i := range x {
			r := y[i] - x[i][0]*w[0] - x[i][1]*w[1]
			sum += r * r
		}
		return sum
	}
	best := [2]float64{2.0 / 7, 3.0 / 7}
	for _, w := range [][2]float64{best, {1, 2}, {-0.3, 0.7}} {
		if math.Abs(masked(w)-ridge(w)) > 1e-12 {
			t.Errorf("w=%v: got %v over all masks, want %v, the weighted ridge", w, masked(w), ridge(w))
		}
	}
	if got := masked(best); math.Abs(got-6.0/7) > 1e-12 {
		t.Errorf("loss at (2/7, 3/7): got %v, want 6/7", got)
	}
	rows := [][]float64{{1, 1, 1}, {0, 1, 1}}
	var many [][]float64 // the same examples often, so that a step sees many masks
	for range 500 {
		many = append(many, rows...)
	}
	r := Regular{Set: table(t, data.Regress, many...), Rungs: 1, Epochs: 300, Batch: 1000, Rate: 0.05}
	p := walked(t, "dropout", vector(t, 1, 0), r)
	got := param(t, modelAt(t, p, 0.5), "w1").Float64s()
	if math.Abs(got[0]-best[0]) > 0.02 || math.Abs(got[1]-best[1]) > 0.02 {
		t.Errorf("trained under dropout: got %v, want %v", got, best)
	}
}

// mlp is a small classifier with biases, and examples of three classes, of which one
// is rarer.
func mlp(t *testing.T) (*graph.Graph, *data.Set) {
	g, err := train.NewModel("mlp:2-8-3", []int{2}, 3, 1)
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]float64
	for i := range 50 {
		k := i % 5 % 3 // shares 2/5, 2/5, 1/5
		a := 2*math.Pi*float64(k)/3 + 0.01*float64(i)
		rows = append(rows, []float64{math.Cos(a), math.Sin(a), float64(k)})
	}
	return g, table(t, data.Classify, rows...)
}

// TestLimitsOfPaths: the model at t=1 has the loss of the best constant answer, or of
// no answer at all.
func TestLimitsOfPaths(t *testing.T) {
	g, set := mlp(t)
	entropy := -(0.8*math.Log(0.4) + 0.2*math.Log(0.2))
	for kind, want := range map[string]float64{"l2": math.Log(3), "l1": math.Log(3), "elastic": math.Log(3), "group": math.Log(3), "maxnorm": entropy, "dropout": entropy} {
		p := walked(t, kind, g, Regular{Set: set, Epochs: 1, Rungs: 2})
		modelAt(t, p, 1)
		stops := p.(interface{ Stops() []Stop }).Stops()
		if got := stops[len(stops)-1]; got.T != 1 || math.Abs(got.Loss-want) > 1e-6 {
			t.Errorf("%s: got %+v, want loss %v at t=1", kind, got, want)
		}
	}
	regress := table(t, data.Regress, []float64{1, 0, 1}, []float64{0, 2, 2})
	biased, err := train.NewModel("mlp:2-4-1", []int{2}, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	end := modelAt(t, walked(t, "dropout", biased, Regular{Set: regress}), 1)
	if got := param(t, end, "fc2.bias").At(0); got != 1.5 {
		t.Errorf("last bias: got %v, want the mean of the targets, 1.5", got)
	}
}

// TestRidgeNearItsLimit: for large λ the weights are −g(0)/2λ, here of the last bias
// alone: shares 2/5, 2/5 and 1/5 against 1/3 each.
func TestRidgeNearItsLimit(t *testing.T) {
	g, set := mlp(t)
	p := walked(t, "l2", g, Regular{Set: set, Epochs: 1})
	const lambda = 1e4
	end := modelAt(t, p, tOf(lambda))
	for k, share := range []float64{0.4, 0.4, 0.2} {
		want := (share - 1.0/3) / (2 * lambda)
		if got := param(t, end, "fc2.bias").At(k); math.Abs(got/want-1) > 2e-3 {
			t.Errorf("bias %d at λ=%v: got %v, want −g(0)/2λ = %v", k, lambda, got, want)
		}
	}
	for _, x := range param(t, end, "fc1.weight").Float64s() {
		if x != 0 {
			t.Errorf("first layer: got %v, want 0: it has no gradient at zero", x)
		}
	}
}

// TestWarmStarts: X = diag(1, 2) has the curvatures 1 and 4 under ½RSS, so that a rate of
// 10 becomes ½/4; and a step to λ=10 begins with the multiple c of the weights, a power of
// √½, with the least ½RSS + λ‖cθ‖², near c = θᵀXᵀy/(‖Xθ‖² + 2λ‖θ‖²) = 2.7/36.45: 1/16.
func TestWarmStarts(t *testing.T) {
	diagonal := table(t, data.Regress, []float64{1, 0, 1}, []float64{0, 2, 1})
	r := fully(diagonal)
	r.Rate = 10
	p := walked(t, "l2", vector(t, 0.9, 0.9), r).(*Penalised)
	if got, err := p.firstRate(context.Background()); err != nil || math.Abs(got-0.125) > 1e-6 {
		t.Errorf("rate: got %v, error %v, want 1/8", got, err)
	}
	got, changed, err := p.shrunk(context.Background(), tOf(10), []float64{0.9, 0.9})
	if want := 0.9 / 16.0; err != nil || !changed || math.Abs(got[0]-want) > 1e-9 || got[1] != got[0] {
		t.Errorf("start at λ=10: got %v, changed %v, error %v, want %v twice", got, changed, err, want)
	}
	if _, changed, err := p.shrunk(context.Background(), tOf(1e-3), []float64{0.5, 0.4}); err != nil || changed {
		t.Errorf("start at λ=1e-3: changed %v, error %v, want the weights themselves", changed, err)
	}
}

// TestPathsDoNotRememberTheOrder: the model at t is the same whatever was asked for
// before.
func TestPathsDoNotRememberTheOrder(t *testing.T) {
	g, set := mlp(t)
	for _, k := range Kinds {
		if !k.Trains {
			continue
		}
		r := Regular{Set: set, Epochs: 2, Rungs: 3, Batch: 10}
		a, b := walked(t, k.Name, g, r), walked(t, k.Name, g, r)
		ts := []float64{0.1, 0.3, 0.6, 0.9, 0.95}
		for i := range ts {
			modelAt(t, b, ts[len(ts)-1-i])
		}
		for _, x := range ts {
			if modelAt(t, a, x).Digest() != modelAt(t, b, x).Digest() {
				t.Errorf("%s at t=%v: got different models up and down the path", k.Name, x)
			}
		}
	}
}

// TestMaxNormHoldsTheBall: the norms are at most the radius, and the losses nest.
func TestMaxNormHoldsTheBall(t *testing.T) {
	g, set := mlp(t)
	p := walked(t, "maxnorm", g, Regular{Set: set, Epochs: 100, Rungs: 4, Batch: 50}).(*MaxNorm)
	for _, x := range []float64{0, 0.2, 0.4, 0.6, 0.8, 1} {
		modelAt(t, p, x)
	}
	for _, s := range p.Stops() {
		if s.Penalty > s.Param*(1+1e-5) {
			t.Errorf("t=%v: got the norm %v, want at most c = %v", s.T, s.Penalty, s.Param)
		}
	}
	if p.Param(0) != radiusOf(g) || p.Param(1) != 0 {
		t.Errorf("radius: got %v to %v, want c_max = %v to 0", p.Param(0), p.Param(1), radiusOf(g))
	}
}

// TestGroupsGo: with the group penalty whole units become zero, all of them before the
// penalty of single weights would need to.
func TestGroupsGo(t *testing.T) {
	g, set := mlp(t)
	r := Regular{Set: set, Epochs: 200, Lambda: [2]float64{1e-4, 1}, Rungs: 9, Batch: 50, Rate: 0.1}
	p := walked(t, "group", g, r).(*Penalised)
	for _, x := range p.Grid(10) {
		modelAt(t, p, x)
	}
	stops := p.Stops()
	some := false
	for _, s := range stops {
		some = some || s.ZeroGroups > 0 && s.ZeroGroups < s.Groups
	}
	last := stops[len(stops)-1]
	if !some || stops[0].ZeroGroups != 0 || last.ZeroGroups != 11 || last.Zeros != last.Weights {
		t.Errorf("got %+v, want units to go one after the other, all 8+3 in the end", stops)
	}
}

// TestCutZeros: units that the group penalty took can be cut out, and the model
// answers the same.
func TestCutZeros(t *testing.T) {
	g, set := mlp(t)
	r := Regular{Set: set, Epochs: 200, Lambda: [2]float64{1e-4, 1}, Rungs: 9, Batch: 50}
	p := walked(t, "group", g, r).(*Penalised)
	model, zero := g, 0
	for _, x := range p.Grid(10) {
		if zero == 0 {
			model = modelAt(t, p, x)
			zero, _ = train.ZeroGroups(model)
		}
	}
	smaller, cut, err := CutZeros(model)
	if err != nil {
		t.Fatal(err)
	}
	if cut == 0 || cut != zero || param(t, smaller, "fc1.weight").Shape()[0] != 8-cut {
		t.Errorf("got %d units cut, want all %d that are zero", cut, zero)
	}
	want := evaluate(t, model)
	for i, x := range evaluate(t, smaller) {
		if math.Abs(x-want[i]) > 1e-6 {
			t.Errorf("answer %d: got %v, want %v", i, x, want[i])
		}
	}
	if same, cut, err := CutZeros(g); same != g || cut != 0 || err != nil {
		t.Errorf("of a model without zeros: got %d cut, error %v, want the model itself", cut, err)
	}
	end := modelAt(t, p, 1)
	if smaller, cut, err = CutZeros(end); err != nil || cut != 7 {
		t.Errorf("of the zero model: got %d cut, error %v, want all but one", cut, err)
	}
	evaluate(t, smaller)
}

// TestPenalisedGrid: λ at equal factors between the ends of the schedule, and halfway
// by its logarithm.
func TestPenalisedGrid(t *testing.T) {
	g, set := mlp(t)
	p := walked(t, "l1", g, Regular{Set: set, Lambda: [2]float64{1e-4, 1}, Rungs: 5}).(*Penalised)
	for i, x := range p.Grid(6)[1:6] {
		if got, want := p.Param(x), math.Pow(10, float64(i-4)); math.Abs(got/want-1) > 1e-9 {
			t.Errorf("λ %d: got %v, want %v", i, got, want)
		}
	}
	for _, c := range []struct{ a, b, want float64 }{{1e-4, 1e-2, 1e-3}, {0, 1e-2, 1e-3}, {1, math.Inf(1), 10}, {0, math.Inf(1), 1e-2}} {
		b := 1.0
		if !math.IsInf(c.b, 1) {
			b = tOf(c.b)
		}
		if got := p.Param(p.Between(tOf(c.a), b)); math.Abs(got/c.want-1) > 1e-9 {
			t.Errorf("between λ=%v and %v: got %v, want %v", c.a, c.b, got, c.want)
		}
	}
	if got := p.Between(0, tOf(1e-4)); got != 0 {
		t.Errorf("below the first λ: got %v, want 0, nothing in between", got)
	}
	if a := math.Nextafter(1, 0); p.Between(a, 1) != a {
		t.Errorf("next to 1: got %v, want %v, nothing in between", p.Between(a, 1), a)
	}
}

func TestRegularRefuses(t *testing.T) {
	g, set := mlp(t)
	for _, c := range []struct {
		kind string
		r    Regular
		want string
	}{
		{"l2", Regular{}, "path l2: no examples to train on"},
		{"dropout", Regular{Set: set.Unlabeled()}, "has no labels"},
		{"l1", Regular{Set: set, Lambda: [2]float64{-1, 2}}, "lambda: got -1 to 2"},
		{"l1", Regular{Set: set, Lambda: [2]float64{2, 1}}, "lambda: got 2 to 1"},
		{"elastic", Regular{Set: set, Alpha: 2}, "alpha: got 2"},
		{"l2", Regular{Set: set, Rate: -1}, "rate: got -1"},
		{"maxnorm", Regular{Set: set, Output: "nowhere"}, "nowhere"},
	} {
		if _, err := New(c.kind, g, Options{Regular: c.r}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, %+v: got error %v, want %q", c.kind, c.r, err, c.want)
		}
	}
}
