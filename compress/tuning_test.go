package compress

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/paths"
	"github.com/compactify/compactify/tensor"
)

// dense is the model op(x·w) with w [in, out]; "" means no operator.
func dense(t testing.TB, out int, op string, w ...float32) *graph.Graph {
	t.Helper()
	g := &graph.Graph{Name: "dense", Opset: map[string]int{"": graph.LatestOpset}}
	b := graph.NewBuilder(g, "v")
	x := b.Input("x", tensor.Type{DType: tensor.Float32, Shape: []tensor.Dim{tensor.Symbol("N"), tensor.Fixed(len(w) / out)}})
	y := b.Op("MatMul", x, b.Param("w", tensor.Of(w, len(w)/out, out)))
	if op != "" {
		y = b.Op(op, y)
	}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	g.Outputs = []*graph.Value{y}
	return g
}

func judged(t testing.TB, g *graph.Graph, set *data.Set) *Evaluator {
	t.Helper()
	e, err := NewEvaluator(context.Background(), g, set, "", onePool(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestGradientsOfDrawnLabels: at two equal logits of x·w each label has probability
// ½ and the gradient of an example's loss is ±x/2. The mean of 8 independent ones
// has the variance x²/32: a gradient of the distance from the original's answers
// would be 0 instead.
func TestGradientsOfDrawnLabels(t *testing.T) {
	rows := make([][]float64, 4000)
	for i := range rows {
		rows[i] = []float64{1, 3, 0}
	}
	set := numbers(t, data.Regress, rows...).Unlabeled()
	g := dense(t, 2, "Softmax", 0.5, 0.5, 0.5, 0.5)
	got, err := Gradients(context.Background(), g, set, judged(t, g, set), 1, onePool(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, x := range []float64{1, 1, 3, 3} {
		want := x / math.Sqrt(32)
		if math.Abs(float64(got["w"][i])-want) > 0.15*want { // five standard deviations of 500 batches
			t.Errorf("weight %d: got %v, want %v", i, got["w"][i], want)
		}
	}
	again, err := Gradients(context.Background(), g, set, judged(t, g, set), 1, onePool(t), nil)
	if err != nil || !slices.Equal(again["w"], got["w"]) {
		t.Errorf("again: got %v, %v, want %v", again["w"], err, got["w"])
	}
}

// TestGradientsOfLabels: with labels the gradient is theirs. All 8 examples are
// alike, x = 2 of class 1, so that ∂L/∂w = x·(p − (0, 1)) with p = (½, ½).
func TestGradientsOfLabels(t *testing.T) {
	rows := make([][]float64, 8)
	for i := range rows {
		rows[i] = []float64{2, 1}
	}
	rows = append(rows, []float64{2, 0}) // a class 0, which does not fill a batch
	set := numbers(t, data.Classify, rows...)
	g := dense(t, 2, "", 0.25, 0.25)
	got, err := Gradients(context.Background(), g, set, judged(t, g, set), 1, onePool(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	if w := got["w"]; math.Abs(float64(w[0])-1) > 1e-6 || math.Abs(float64(w[1])-1) > 1e-6 {
		t.Errorf("got %v, want (1, 1), sizes of 2·(½, −½)", w)
	}
}

func TestGradientsOfSignalsAreRefused(t *testing.T) {
	set := numbers(t, data.Regress, []float64{1, 2, 0}, []float64{3, 4, 0}).Unlabeled()
	g := dense(t, 1, "", 1, 2)
	_, err := Gradients(context.Background(), g, set, judged(t, g, set), 1, onePool(t), nil)
	if err == nil || !strings.Contains(err.Error(), "no gradient at the original") {
		t.Errorf("got error %v, want one that says why", err)
	}
}

func TestDraw(t *testing.T) {
	for u, want := range map[float64]int{0: 1, 0.24: 1, 0.25: 3, 0.999: 3} {
		row := []float32{0, 0.25, 0, 0.75, 0}
		draw(row, u)
		for k, p := range row {
			if (k == want) != (p == 1) || p != 0 && p != 1 {
				t.Errorf("u = %v: got %v, want class %d alone", u, row, want)
			}
		}
	}
}

// TestTuningMendsAPrunedModel: the first of two equal inputs is pruned; training
// moves its part to the other, and the removed weights stay at zero.
func TestTuningMendsAPrunedModel(t *testing.T) {
	var rows [][]float64
	for i := range 256 {
		x := float64(i%16) - 7.5
		rows = append(rows, []float64{x, x, float64(i % 2)})
	}
	set := numbers(t, data.Classify, rows...)
	g := dense(t, 2, "", 0.9, -0.9, 1, -1)
	judge := judged(t, g, set)
	tuning := &Tuning{Graph: g, Training: set, Judge: judge, Seed: 1, Pool: onePool(t)}
	if bytes, err := tuning.Check(); err != nil || bytes <= 0 {
		t.Fatalf("check: got %d bytes, error %v, want some and none", bytes, err)
	}
	for _, schedule := range paths.Schedules {
		kl := make([]float64, 2)
		for i, tune := range []paths.Tune{nil, tuning.For(150)} {
			p, err := paths.NewPrune(g, paths.Options{Tune: tune, Schedule: schedule})
			if err != nil {
				t.Fatal(err)
			}
			m, err := p.At(context.Background(), 0.5)
			if err != nil {
				t.Fatal(err)
			}
			measure, err := judge.Evaluate(context.Background(), m)
			if err != nil {
				t.Fatal(err)
			}
			zeros := 0
			for _, x := range m.Layers()[0].Param.Data.Float64s() {
				if x == 0 {
					zeros++
				}
			}
			if kl[i] = measure.KL; zeros != 2 {
				t.Errorf("%s: got %d zeros, want 2", schedule, zeros)
			}
		}
		if kl[1] > kl[0]/2 {
			t.Errorf("%s: KL from the original: got %v untuned, %v tuned, want less than half", schedule, kl[0], kl[1])
		}
	}
}

func TestTuningIsRefusedByName(t *testing.T) {
	unlabeled := numbers(t, data.Regress, []float64{1, 2, 0}, []float64{3, 4, 0}).Unlabeled()
	signal, classifier := dense(t, 1, "", 1, 2), dense(t, 2, "Softmax", 1, 2, 3, 4)
	fixed := dense(t, 2, "Softmax", 1, 2, 3, 4)
	fixed.Inputs[0].Type.Shape[0] = tensor.Fixed(1)
	for name, c := range map[string]struct {
		tuning *Tuning
		want   string
	}{
		"no labels": {&Tuning{Graph: classifier, Training: unlabeled, Labels: true}, "has none"},
		"signals":   {&Tuning{Graph: signal, Training: unlabeled}, "only distributions are imitated"},
		"batch":     {&Tuning{Graph: fixed, Training: unlabeled}, "batch is fixed at 1"},
		"one":       {&Tuning{Graph: classifier, Training: unlabeled.Subset([]int{0})}, "got 1, want at least 2"},
	} {
		c.tuning.Judge, c.tuning.Pool = judged(t, c.tuning.Graph, c.tuning.Training), onePool(t)
		if _, err := c.tuning.Check(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want %q in it", name, err, c.want)
		}
	}
}

// TestZerosNote: of 1000 weights 872 have indices of two bytes: 5.872 bytes each.
func TestZerosNote(t *testing.T) {
	note := ZerosNote(dense(t, 10, "", make([]float32, 1000)...))
	for _, want := range []string{"unstructured zeros: expect 1.0×", "takes 5.9 bytes", "68 % of 32 bits", "17 % of 8 bits", "8.5 % of 4 bits", "4.3 % of 2 bits"} {
		if !strings.Contains(note, want) {
			t.Errorf("got %q, want %q in it", note, want)
		}
	}
}

// TestAloneNote: a matrix that two products read along different axes is named, one
// that a layer has to itself is not.
func TestAloneNote(t *testing.T) {
	g := &graph.Graph{Name: "shared", Opset: map[string]int{"": graph.LatestOpset}}
	b := graph.NewBuilder(g, "v")
	x := b.Input("x", tensor.Type{DType: tensor.Float32, Shape: []tensor.Dim{tensor.Symbol("N"), tensor.Fixed(2)}})
	both := b.Param("both", tensor.Of([]float32{1, 2, 3, 4}, 2, 2))
	y := b.With("Gemm", graph.Attributes{graph.Int("transB", 1)}, b.Op("MatMul", x, both), both)
	g.Outputs = []*graph.Value{b.Op("MatMul", y, b.Param("own", tensor.Of([]float32{1, 2}, 2, 1)))}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	if note := AloneNote(g); !strings.HasSuffix(note, `: "both"`) {
		t.Errorf("got %q, want the shared matrix alone", note)
	}
	if note := AloneNote(dense(t, 1, "", 1, 2)); note != "" {
		t.Errorf("nothing shared: got %q, want no note", note)
	}
}
