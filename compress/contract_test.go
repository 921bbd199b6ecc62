package compress

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/compactify/compactify"
)

// answered is an outcome with the given numbers of examples that were right
// before and after, before only, after only and never.
func answered(both, lost, won, neither int) (original, compact Outcome) {
	original.Task, compact.Task = Classification, Classification
	for _, c := range []struct {
		n             int
		before, after float64
	}{{both, 1, 1}, {lost, 1, 0}, {won, 0, 1}, {neither, 0, 0}} {
		for range c.n {
			original.Score = append(original.Score, c.before)
			compact.Score = append(compact.Score, c.after)
		}
	}
	original.Loss, compact.Loss = original.Score, compact.Score
	return original, compact
}

func near(a, b, tolerance float64) bool { return math.Abs(a-b) <= tolerance }

// TestPairedProportions against the interval of Agresti and Min 2005 (their
// "Wald+2") worked out by hand. The first row is their discipline's standing
// example, approval of a prime minister by 1,600 people asked twice: 150 turned
// away and 86 turned to. The plain Wald interval of it is 4.0 ± 1.96·0.95 points
// (A. Agresti, "Categorical Data Analysis", 2nd edition, section 10.1.1).
func TestPairedProportions(t *testing.T) {
	for _, c := range []struct {
		both, lost, won, neither int
		estimate, lo, hi         float64
	}{
		// n+2 = 1602, b+½ = 150.5, c+½ = 86.5: 64/1602 ± 1.95996·√(237 − 64²/1602)/1602
		{794, 150, 86, 570, 4, 2.121719, 5.868294},
		// Nothing changed: 0 ± 1.95996·√1/102, not a point.
		{90, 0, 0, 10, 0, -1.921533, 1.921533},
		// Everything lost: 10/12 ± 1.95996·√(11 − 100/12)/12, cut off at 100.
		{0, 10, 0, 0, 100, 56.661602, 100},
		{0, 0, 10, 0, -100, -100, -56.661602},
	} {
		original, compact := answered(c.both, c.lost, c.won, c.neither)
		estimate, lo, hi := pairedProportions(original.Score, compact.Score)
		if !near(estimate, c.estimate, 1e-9) || !near(lo, c.lo, 1e-5) || !near(hi, c.hi, 1e-5) {
			t.Errorf("%+v: got %v in [%v, %v]", c, estimate, lo, hi)
		}
	}
}

// TestStudent95 against the table of Abramowitz and Stegun, 26.10.
func TestStudent95(t *testing.T) {
	for freedom, want := range map[float64]float64{1: 12.706, 2: 4.303, 3: 3.182, 5: 2.571, 10: 2.228, 30: 2.042, 120: 1.980} {
		if got := student95(freedom); !near(got/want, 1, 0.01) {
			t.Errorf("%v degrees of freedom: got %v, want %v", freedom, got, want)
		}
	}
}

// TestPairedMean: of the differences 1, 2, 3, 4 the mean is 2.5 and the standard
// error √(5/3)/2.
func TestPairedMean(t *testing.T) {
	half := student95(3) * math.Sqrt(5.0/3) / 2
	estimate, lo, hi := pairedMean([]float64{2, 4, 6, 8}, []float64{1, 2, 3, 4}, 10)
	if !near(estimate, 25, 1e-12) || !near(lo, 25-10*half, 1e-12) || !near(hi, 25+10*half, 1e-12) {
		t.Errorf("got %v in [%v, %v], want 25 ± %v", estimate, lo, hi, 10*half)
	}
	if estimate, lo, hi = pairedMean([]float64{0.25}, nil, 1); estimate != 0.25 || !math.IsInf(lo, -1) || !math.IsInf(hi, 1) {
		t.Errorf("one example: got %v in [%v, %v], want 0.25 and no bound", estimate, lo, hi)
	}
}

// TestRatioIntervalCovers checks the delta method by simulation: the interval
// holds the true ratio, 20 dB, in 95 % of samples. Of 4,000 the standard error
// is 0.35 %; the normal approximation at 200 examples is allowed one more.
func TestRatioIntervalCovers(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const samples, n = 4000, 200
	inside := 0
	power, noise := make([]float64, n), make([]float64, n)
	for range samples {
		for i := range power {
			scale := 0.5 + r.Float64() // large answers have large errors
			power[i], noise[i] = 100*scale*r.ExpFloat64(), scale*r.ExpFloat64()
		}
		if _, lo, hi := ratioInterval(power, noise); lo <= 20 && 20 <= hi {
			inside++
		}
	}
	if share := float64(inside) / samples; !near(share, 0.95, 0.02) {
		t.Errorf("coverage: got %v, want 0.95", share)
	}
	if estimate, lo, hi := ratioInterval([]float64{1, 2}, []float64{0, 0}); !math.IsInf(estimate, 1) || estimate != lo || lo != hi {
		t.Errorf("no noise: got %v in [%v, %v], want +Inf", estimate, lo, hi)
	}
	if estimate, lo, hi := ratioInterval([]float64{10}, []float64{1}); !near(estimate, 10, 1e-12) || !math.IsInf(lo, -1) || !math.IsInf(hi, 1) {
		t.Errorf("one example: got %v in [%v, %v], want 10 dB and no bound", estimate, lo, hi)
	}
}

func TestVerdicts(t *testing.T) {
	original, compact := answered(794, 150, 86, 570) // 4 points, up to 5.87
	losses := func(x ...float64) Outcome {
		return Outcome{Task: Classification, Loss: x, KL: x, Signals: []SignalNoise{{Noise: x, Power: x}}}
	}
	for _, c := range []struct {
		kind              compactify.BudgetKind
		limit             float64
		original, compact Outcome
		want              Keeping
	}{
		{compactify.MetricDrop, 6, original, compact, Met},
		{compactify.MetricDrop, 5, original, compact, MetWithin},
		{compactify.MetricDrop, 4, original, compact, MetWithin},
		{compactify.MetricDrop, 3.9, original, compact, NotMet},
		// Differences 0.1 and 0.3: 0.2 ± 12.706·0.1, Student's t of one degree of freedom.
		{compactify.LossRise, 1.471, losses(1, 1), losses(1.1, 1.3), Met},
		{compactify.LossRise, 1.47, losses(1, 1), losses(1.1, 1.3), MetWithin},
		{compactify.LossRise, 0.19, losses(1, 1), losses(1.1, 1.3), NotMet},
		{compactify.KLFrom, 1.471, losses(0, 0), losses(0.1, 0.3), Met},
		{compactify.KLFrom, 1.47, losses(0, 0), losses(0.1, 0.3), MetWithin},
		{compactify.KLFrom, 0, losses(0, 0), losses(0, 0), Met},
		{compactify.KLFrom, 100, losses(0, 0), losses(math.NaN(), 0), NotMet},
		// Power and noise are equal: exactly 0 dB.
		{compactify.MinSNR, 0, losses(1, 1), losses(3, 5), Met},
		{compactify.MinSNR, 0.1, losses(1, 1), losses(3, 5), NotMet},
	} {
		got := newContract(compactify.Budget{Kind: c.kind, Limit: c.limit}, c.original, c.compact)
		if got.Verdict != c.want || got.Kind != string(c.kind) || float64(got.Limit) != c.limit || got.Examples != len(c.original.Loss) {
			t.Errorf("%v within %v: got %+v, want %s", c.kind, c.limit, got, c.want)
		}
	}
}

// TestNoVerdictWithoutTheQuantity: a signal has no metric, and no budget of it is
// met; nor has a regression whose targets are all equal.
func TestNoVerdictWithoutTheQuantity(t *testing.T) {
	nan := []float64{math.NaN(), math.NaN()}
	for _, o := range []Outcome{
		{Task: Signal, Loss: []float64{0, 0}, Score: nan, KL: nan},
		{Task: Regression, Loss: []float64{0, 0}, Score: []float64{1, 1}, KL: nan, Base: 0},
	} {
		for _, b := range []compactify.Budget{{Kind: compactify.MetricDrop, Limit: 100}, {Kind: compactify.KLFrom, Limit: 100}} {
			if got := newContract(b, o, o); got.Verdict != NotMet {
				t.Errorf("%s under %v: got %s, want NOT MET", o.Task, b, got.Verdict)
			}
		}
	}
}

// TestRegressionDrop: R² = 1 − mean squared error/variance. With errors 1 and 3
// on both examples and a variance of 8 it falls by 2/8.
func TestRegressionDrop(t *testing.T) {
	before := Outcome{Task: Regression, Score: []float64{1, 1}, Base: 8}
	after := Outcome{Task: Regression, Score: []float64{3, 3}, Base: 8}
	if estimate, lo, hi, _ := interval(compactify.DefaultBudget, before, after); estimate != 25 || lo != 25 || hi != 25 {
		t.Errorf("drop of R²: got %v in [%v, %v], want 25 points", estimate, lo, hi)
	}
}

// TestWouldFit: the budget named is met, and one digit less is not.
func TestWouldFit(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	w := &work{Job: Job{Budget: compactify.Budget{Kind: compactify.LossRise}}}
	at := func(x float64) *trial {
		return &trial{contract: newContract(w.Budget, Outcome{Loss: []float64{0, 0}}, Outcome{Loss: []float64{x, x}})}
	}
	for range 2000 {
		x := math.Exp(20*r.Float64() - 15)
		b := w.wouldFit(at(x))
		if !b.Within(x) || b.Limit > x*1.1 {
			t.Errorf("needs %v: got %v, want the next number of two digits", x, b)
		}
		if back, err := compactify.ParseBudget(b.String()); err != nil || back != b || len(fmt.Sprintf("%.1e", b.Limit)) > 8 {
			t.Errorf("needs %v: %v reads back as %v, error %v", x, b, back, err)
		}
	}
	for x, want := range map[float64]float64{0.04: 0.04, 0.0401: 0.041, 1.04: 1.1, 9.96: 10, 0.001: 0.001, -1: 0, 0: 0} {
		if got := w.wouldFit(at(x)); got.Limit != want {
			t.Errorf("needs %v: got %v, want %v", x, got, want)
		}
	}
	if got := w.wouldFit(at(math.NaN())); got != (compactify.Budget{}) {
		t.Errorf("needs what is not a number: got %v, want none", got)
	}
	w.Budget.Kind = compactify.MinSNR
	noisy := &trial{contract: Contract{Kind: string(compactify.MinSNR)}}
	noisy.contract.CI95[0] = 17.6
	if got := w.wouldFit(noisy); got.Limit != 17 {
		t.Errorf("reaches 17.6 dB: got %v, want snr:17", got)
	}
}

// TestEqualOutputs: a model whose outputs are those of the original to the last bit,
// be they all zero, has an infinite ratio and fits; the ratio of one example has no
// interval and does not.
func TestEqualOutputs(t *testing.T) {
	b := compactify.Budget{Kind: compactify.MinSNR, Limit: 30}
	for n, want := range map[int]bool{3: true, 1: false} {
		for _, power := range []float64{0, 2} {
			s := SignalNoise{Power: make([]float64, n), Noise: make([]float64, n)}
			for i := range s.Power {
				s.Power[i] = power
			}
			o := Outcome{Loss: make([]float64, n), Signals: []SignalNoise{s}}
			if got := (&trial{contract: newContract(b, o, o)}).fits(); got != want {
				t.Errorf("%d examples of power %v: got %v, want %v", n, power, got, want)
			}
		}
	}
}

// TestDropInterval: with one view of each example it is the adjusted Wald
// interval; copies of the same outcomes tell nothing new; other outcomes do.
func TestDropInterval(t *testing.T) {
	original := []float64{1, 1, 1, 0, 1, 0, 1, 1, 1, 1}
	compact := []float64{1, 0, 1, 1, 1, 0, 1, 1, 0, 0}
	n := len(original)
	e, lo, hi := pairedProportions(original, compact)
	for views := 1; views <= 3; views++ {
		got, gotLo, gotHi := DropInterval(n, slices.Repeat(original, views), slices.Repeat(compact, views))
		if math.Abs(got-e) > 1e-9 || math.Abs(gotLo-lo) > 1e-9 || math.Abs(gotHi-hi) > 1e-9 {
			t.Errorf("%d equal views: got %v [%v, %v], want %v [%v, %v]", views, got, gotLo, gotHi, e, lo, hi)
		}
	}
	turned := slices.Concat(compact[5:], compact[:5])
	_, lo2, hi2 := DropInterval(n, slices.Repeat(original, 2), slices.Concat(compact, turned))
	if hi2-lo2 >= hi-lo {
		t.Errorf("two views: got a width of %v, want less than %v", hi2-lo2, hi-lo)
	}
	if e, lo, hi := DropInterval(n, original, original); e != 0 || lo >= 0 || hi <= 0 {
		t.Errorf("nothing changed: got %v [%v, %v], want 0 inside an interval", e, lo, hi)
	}
}
