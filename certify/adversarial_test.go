package certify

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
	"github.com/compactify/compactify/train"
)

// twoClasses are four examples that a line does not separate.
func twoClasses(t testing.TB) *data.Set {
	return table(t, data.Classify, []float64{1, 2, 0}, []float64{-1, 1, 1}, []float64{2, -1, 1}, []float64{1, 2, 1})
}

// TestNotFiniteWeights: of weights that are no numbers nothing is proved or refuted.
func TestNotFiniteWeights(t *testing.T) {
	for _, x := range []float64{math.NaN(), math.Inf(1)} {
		g := linear(t, 2, 1, float32(x), 0.5, -1)
		for id, c := range judged(t, penalised(t, g, twoClasses(t), train.L2, 0.1)) {
			if c.Verdict != compactify.NotApplicable {
				t.Errorf("%v among the weights: %s: got %s, want not applicable", x, id, c.Verdict)
			}
		}
	}
}

// TestUnitAnswers: an answer of length 1, Wx/‖Wx‖, jumps at θ = 0, where it is 0/0. The
// infimum of L + λ‖θ‖² is then that of L alone, in the limit θ → 0 along the best
// direction, and is not attained.
func TestUnitAnswers(t *testing.T) {
	g := build(t, 2, func(b *graph.Builder, x *graph.Value) *graph.Value {
		z := b.Op("MatMul", x, b.Param("w", tensor.Of([]float32{1, 0.2, 0.5, -1}, 2, 2)))
		squares := b.With("ReduceSum", graph.Attributes{graph.Int("keepdims", 1)}, b.Op("Mul", z, z), b.Const(tensor.Of([]int64{1}, 1)))
		return b.Op("Div", z, b.Op("Sqrt", squares))
	})
	claims := judged(t, penalised(t, g, twoClasses(t), train.L2, 0.1))
	check(t, claims["row3"], compactify.Inconclusive, 0, nil)
	check(t, claims["row6"], compactify.NotApplicable, 0, nil)
	for id, c := range claims {
		if c.Verdict == compactify.Verified && id != "row2" { // which holds of any L ≥ 0
			t.Errorf("%s: got verified: %v", id, c)
		}
	}
}

// TestSingleClass: with one column L is 0 everywhere, so that every θ is a minimiser
// and no orbit moves.
func TestSingleClass(t *testing.T) {
	set := table(t, data.Classify, []float64{1, 2, 0}, []float64{-1, 1, 0}, []float64{2, -1, 0})
	if c := judged(t, penalised(t, linear(t, 1, 1, 2), set, train.L2, 0))["row7"]; c.Verdict != compactify.NotApplicable {
		t.Errorf("got %s: %s, want not applicable", c.Verdict, c.Statement)
	}
}

// TestSampleKeepsShares: classes that are equally frequent stay so, and with them the
// zero of the last bias's gradient at θ = 0, which is the mean of ⅓ − target.
func TestSampleKeepsShares(t *testing.T) {
	var rows [][]float64
	for i := range 300 {
		rows = append(rows, []float64{float64(i%7) - 3, float64(i%5) - 2, float64(i % 3)})
	}
	got := make([]int, 3)
	some := sample(table(t, data.Classify, rows...), 100, 1)
	for i := range some.Len() {
		got[some.Label(i)]++
	}
	if got[0] != got[1] || got[1] != got[2] || got[0] < 25 || some.Len() > 100 {
		t.Errorf("got %v examples of each class, want equally many, together at most 100", got)
	}
}

// TestReplayElsewhere: a witness against one model says nothing of another.
func TestReplayElsewhere(t *testing.T) {
	set := twoClasses(t)
	own, other := penalised(t, linear(t, 2, 1, 0.2, 0.5, -1), set, train.L2, 0), penalised(t, linear(t, 2, 1, 0.2, 0.5, -2), set, train.L2, 0)
	for _, claim := range []string{"row5", "row8", "row11"} {
		j, err := newJudge(own, Options{Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		w := j.compare(claim, "to go there", j.theta, []float64{100, -100, 100, -100})
		if err := settle(context.Background(), own, j.o, w); err != nil {
			t.Fatal(err)
		}
		file, err := w.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Replay(context.Background(), other, file, j.o); !errors.Is(err, ErrWitness) {
			t.Errorf("%s: replayed on another model: got %v, want ErrWitness", claim, err)
		}
	}
}
