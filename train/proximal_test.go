package train

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/internal/stream"
	"github.com/compactify/compactify/internal/testkit"
	"github.com/compactify/compactify/tensor"
)

// compiled is a run that is ready for its first step.
func compiled(t testing.TB, g *graph.Graph, set *data.Set, o Options) *trainer {
	t.Helper()
	run, err := newTrainer(g, set, o.withDefaults(set.Len()))
	if err == nil {
		err = run.compile()
	}
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// proximalTolerance is for numbers computed in float32, relative to the weight before
// the step.
const proximalTolerance = 1e-6

// TestProximalStepsAreMinimisers: x = prox(v) fulfils the conditions of Karush, Kuhn and
// Tucker for the minimum of ½‖x − v‖² + ηλR(x), for every penalty and combinations
// of them, from steps that change nothing to those that leave nothing.
func TestProximalStepsAreMinimisers(t *testing.T) {
	layers := map[string]*graph.Graph{
		"rows":    build(t, 3, func(b *graph.Builder, x *graph.Value) *graph.Value { return gemmOf(b, x, 1, 4, 3, false) }),
		"columns": build(t, 3, func(b *graph.Builder, x *graph.Value) *graph.Value { return gemmOf(b, x, 0, 3, 4, false) }),
		"bias":    build(t, 3, func(b *graph.Builder, x *graph.Value) *graph.Value { return gemmOf(b, x, 0, 3, 4, true) }),
	}
	set := table(t, data.Classify, []float64{1, 2, 3, 0}, []float64{1, 2, 3, 3})
	for name, g := range layers {
		run := compiled(t, g, set, Options{Optimizer: SGD})
		for mix := range 1 << 4 {
			for _, size := range []float64{1e-6, 0.05, 0.5, 3, 1e6} {
				var p []Penalty
				for i, kind := range []PenaltyKind{L1, GroupLasso, L2, ElasticNet} {
					if mix>>i&1 == 1 {
						p = append(p, Penalty{Kind: kind, Lambda: Always(size)})
					}
				}
				for _, radius := range []float64{math.Inf(1), 0.7, 0} {
					q := p
					if !math.IsInf(radius, 1) {
						q = append(q[:len(q):len(q)], Penalty{Kind: MaxNorm, Lambda: Always(radius)})
					}
					if name == "bias" && mix>>1&1 == 1 && !math.IsInf(radius, 1) {
						continue // the one case where steps one after the other are not the joint minimum
					}
					about := fmt.Sprintf("%s, penalties %04b of %v, radius %v", name, mix, size, radius)
					checkProximal(t, about, run, strengthsAt(q, 0, 1))
				}
			}
		}
	}
}

// gemmOf is a dense layer of random weights.
func gemmOf(b *graph.Builder, x *graph.Value, transB, rows, columns int, bias bool) *graph.Value {
	w := tensor.New(tensor.Float32, rows, columns)
	in := []*graph.Value{x, b.Param("w", w)}
	if bias {
		in = append(in, b.Param("b", tensor.New(tensor.Float32, 4)))
	}
	return b.With("Gemm", graph.Attributes{graph.Int("transB", transB)}, in...)
}

func checkProximal(t *testing.T, about string, run *trainer, s strengths) {
	t.Helper()
	r := stream.New(3, "test/proximal", 0)
	before := make([][]float64, len(run.weights))
	for i, w := range run.weights {
		for j := range w.data {
			w.data[j] = float32(r.NormFloat64())
			if j%5 == 4 {
				w.data[j] = float32(math.Copysign(0, r.NormFloat64()))
			}
			before[i] = append(before[i], float64(w.data[j]))
		}
	}
	const rate = 0.5
	run.proximal.strengths = s
	if err := run.proximal.step(rate); err != nil {
		t.Fatal(err)
	}
	for i, w := range run.weights {
		for _, x := range w.data {
			if x == 0 && math.Signbit(float64(x)) && !s.none() {
				t.Errorf("%s: got −0", about)
			}
		}
		u := run.proximal.groups[i]
		if u.member {
			continue
		}
		for k := range u.count {
			var v, x []float64
			for j := range w.data {
				if j/u.inner%u.count == k {
					v, x = append(v, before[i][j]), append(x, float64(w.data[j]))
				}
			}
			incoming := len(v)
			if u.bias >= 0 {
				v, x = append(v, before[u.bias][k]), append(x, float64(run.weights[u.bias].data[k]))
			}
			if err := minimises(x, v, incoming, rate, s); err != nil {
				t.Errorf("%s, unit %d: from %v to %v: %v", about, k, v, x, err)
			}
		}
	}
}

// minimises checks the conditions for one group, the first members of which are held in
// the ball.
func minimises(x, v []float64, incoming int, rate float64, s strengths) error {
	group := rate * s.group * math.Sqrt(float64(len(v)))
	norm, length := math.Sqrt(sumSquares(x)), math.Sqrt(sumSquares(x[:incoming]))
	if length > s.radius*(1+proximalTolerance) {
		return fmt.Errorf("norm: got %v, want at most %v", length, s.radius)
	}
	if s.radius == 0 {
		return nil
	}
	multiplier := math.NaN() // of the ball, the same for all of them
	soft := 0.0              // ‖soft threshold of v‖², for groups that vanish
	for i := range x {
		tolerance := 2 * proximalTolerance * math.Abs(v[i])
		soft += math.Pow(max(0, math.Abs(v[i])-rate*s.l1), 2)
		if x[i] == 0 {
			if norm > 0 && math.Abs(v[i]) > rate*s.l1+tolerance {
				return fmt.Errorf("member %d: got 0, want more: |v| is above %v", i, rate*s.l1)
			}
			continue
		}
		rest := v[i] - x[i] - math.Copysign(rate*s.l1, x[i]) - group*x[i]/norm - 2*rate*s.l2*x[i]
		got := rest / x[i]
		tolerance /= math.Abs(x[i])
		switch {
		case i >= incoming || length < s.radius*(1-proximalTolerance):
			if math.Abs(got) > tolerance {
				return fmt.Errorf("member %d: subgradient: got %v·x left over, want 0", i, got)
			}
		case got < -tolerance:
			return fmt.Errorf("member %d: multiplier of the ball: got %v, want at least 0", i, got)
		case math.IsNaN(multiplier):
			multiplier = got
		case math.Abs(got-multiplier) > 10*tolerance+1e-5*math.Abs(multiplier):
			return fmt.Errorf("member %d: multiplier of the ball: got %v, want %v as of the others", i, got, multiplier)
		}
	}
	// A ridge of 1e6 may take what is left below the least float32.
	if norm == 0 && math.Sqrt(soft) > group*(1+proximalTolerance)+1e-30*(1+2*rate*s.l2) {
		return fmt.Errorf("got zero, want more: the soft threshold has norm %v, above %v", math.Sqrt(soft), group)
	}
	return nil
}

func sumSquares(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v * v
	}
	return sum
}

// TestProximalStepsLeaveNoNegativeZero: weights that underflow under a ridge become 0
// without a sign.
func TestProximalStepsLeaveNoNegativeZero(t *testing.T) {
	set := table(t, data.Regress, []float64{0, 0, 0})
	m, epochs := mustRun(t, linear(t, 1, -3, 3), set, Options{Optimizer: SGD, Rate: 1, Penalties: ridge(1e6), Epochs: 20})
	for _, w := range param(t, m, "w") {
		if w != 0 || math.Signbit(w) {
			t.Errorf("after 20 factors of 5e-7: got %v, want 0", w)
		}
	}
	if last := epochs[19]; last.Zeros != 2 || last.Norm != 0 || last.Penalty != 0 {
		t.Errorf("last epoch: got %+v, want 2 zeros, norm and penalty 0", last)
	}
}

// TestProximalStepsAtAnyThreads: units and elements are divided among workers, the
// result is the same.
func TestProximalStepsAtAnyThreads(t *testing.T) {
	g, err := NewModel("mlp:784-64-10", []int{28, 28}, 10, 1)
	if err != nil {
		t.Fatal(err)
	}
	set := glyphs(t, 16)
	var all []Penalty
	for _, kind := range PenaltyKinds {
		all = append(all, Penalty{Kind: kind, Lambda: Always(1e-3)})
	}
	all[len(all)-1].Lambda = Always(0.5)
	digests := make(map[string]bool)
	for _, threads := range []int{1, 2, 5} {
		pool := kernel.NewPool(threads, kernel.Best())
		m, _ := mustRun(t, g, set, Options{Batch: 8, Pool: pool, Optimizer: Nesterov, Momentum: 0.9, Penalties: all, Epochs: 2})
		pool.Close()
		digests[m.Digest()] = true
	}
	if len(digests) != 1 {
		t.Errorf("1, 2 and 5 threads: got %d different models, want one", len(digests))
	}
}

// TestOracles1And2: full-batch descent with proximal steps arrives at the ridge and the
// lasso in closed form. The mean squared error of n examples is 2/n times ½RSS, and so
// is λ.
func TestOracles1And2(t *testing.T) {
	// Oracle 1: X = diag(1,2), y = (1,1), λ = ½ of ½RSS, hence λ = ½ of RSS/2.
	set := table(t, data.Regress, []float64{1, 0, 1}, []float64{0, 2, 1})
	m, _ := mustRun(t, linear(t, 1, -1, 3), set, Options{Optimizer: SGD, Rate: 0.2, Penalties: ridge(0.5), Epochs: 200})
	if err := testkit.Close(param(t, m, "w"), []float64{0.5, 0.4}, stepTolerance); err != nil {
		t.Errorf("ridge: %v", err)
	}
	// Oracle 2: X the identity of three dimensions, so that the least squares are y; its
	// soft threshold at λ, and ⅔λ on the mean of squares.
	y := []float64{2, -0.7, 0.3}
	set = table(t, data.Regress, []float64{1, 0, 0, y[0]}, []float64{0, 1, 0, y[1]}, []float64{0, 0, 1, y[2]})
	for _, lambda := range []float64{0, 0.25, 0.5, 1, 2, 3} {
		m, epochs := mustRun(t, linear(t, 1, 1, 1, 1), set, Options{Optimizer: SGD, Rate: 1, Penalties: []Penalty{{Kind: L1, Lambda: Always(lambda * 2 / 3)}}, Epochs: 60})
		var want []float64
		zeros := 0
		for _, x := range y {
			want = append(want, math.Copysign(max(0, math.Abs(x)-lambda), x))
			if math.Abs(x) <= lambda {
				zeros++
			}
		}
		if err := testkit.Close(param(t, m, "w"), want, stepTolerance); err != nil {
			t.Errorf("lasso at λ = %v: %v", lambda, err)
		}
		if got := epochs[59].Zeros; got != zeros {
			t.Errorf("lasso at λ = %v: zeros: got %d, want %d", lambda, got, zeros)
		}
	}
}

// TestGroupLassoArrivesAtZero: for λ above max_g ‖g_g(0)‖/√|g| the whole network is zero,
// below it is not, and units vanish as wholes.
func TestGroupLassoArrivesAtZero(t *testing.T) {
	set := table(t, data.Classify, []float64{1, 0, 0}, []float64{0, 1, 1}, []float64{1, 1, 2})
	// At θ = 0 answers are uniform: the gradient of unit k is the mean of (⅓ − [k=label])·x.
	arrival := 0.0
	for k := range 3 {
		g := [2]float64{}
		for i, x := range [3][2]float64{{1, 0}, {0, 1}, {1, 1}} {
			d := 1.0 / 3
			if i == k {
				d -= 1
			}
			g[0], g[1] = g[0]+d*x[0]/3, g[1]+d*x[1]/3
		}
		arrival = max(arrival, math.Hypot(g[0], g[1])/math.Sqrt2)
	}
	for _, at := range []float64{0.98, 1.02} {
		m, epochs := mustRun(t, linear(t, 3, 0.5, -0.2, 0.1, 0.3, 0.7, -0.4), set, Options{Optimizer: SGD, Rate: 0.5, Penalties: []Penalty{{Kind: GroupLasso, Lambda: Always(at * arrival)}}, Epochs: 1000})
		w := param(t, m, "w")
		zero := epochs[len(epochs)-1].Zeros == 6
		if zero != (at > 1) {
			t.Errorf("λ = %v·λ_arr: got %v, want zero exactly above 1", at, w)
		}
		for k := range 3 {
			if (w[k] == 0) != (w[3+k] == 0) {
				t.Errorf("λ = %v·λ_arr: unit %d: got (%v, %v), want both zero or none", at, k, w[k], w[3+k])
			}
		}
	}
}

// TestMaxNormHolds: after every epoch no unit is longer than the radius.
func TestMaxNormHolds(t *testing.T) {
	g, err := NewModel("lenet5", []int{1, 28, 28}, 10, 1)
	if err != nil {
		t.Fatal(err)
	}
	const radius = 0.4
	p := Penalty{Kind: MaxNorm, Lambda: Always(radius)}
	for _, o := range []Options{{Optimizer: SGD, Rate: 0.5, Momentum: 0.9}, {Optimizer: Adam, Rate: 0.01}, {Optimizer: Nesterov, Momentum: 0.5}} {
		o.Penalties, o.Batch, o.Epochs = []Penalty{p}, 16, 2
		o.Look = func(e Epoch, m *graph.Graph) error {
			if got := p.Value(m); got > radius*(1+1e-6) {
				return fmt.Errorf("longest unit: got %v, want at most %v", got, radius)
			}
			if e.Lambda != radius || e.Penalty != 0 {
				return fmt.Errorf("record: got %+v, want the radius and no penalty", e)
			}
			return nil
		}
		m, _, err := Run(context.Background(), g, glyphs(t, 16), o)
		if err != nil {
			t.Errorf("optimiser %d: %v", o.Optimizer, err)
			continue
		}
		if got := p.Value(m); got < radius/2 {
			t.Errorf("optimiser %d: longest unit: got %v, want the radius to have held something", o.Optimizer, got)
		}
	}
}
