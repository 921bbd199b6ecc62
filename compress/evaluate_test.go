package compress

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// numbers is a data set of rows, the last column the label.
func numbers(t testing.TB, task data.Task, rows ...[]float64) *data.Set {
	t.Helper()
	var text strings.Builder
	for _, row := range rows {
		text.WriteString(strings.Trim(strings.Join(strings.Fields(fmt.Sprint(row)), ","), "[]") + "\n")
	}
	file := filepath.Join(t.TempDir(), "table.csv")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	src, err := data.Open(file, data.Options{Task: task})
	if err != nil {
		t.Fatal(err)
	}
	return src.Train
}

// scaled is the model y = op(c·x) for rows of the given length; "" means no
// operator.
func scaled(t testing.TB, width int, c float32, op string) *graph.Graph {
	t.Helper()
	g := &graph.Graph{Name: "scaled", Opset: map[string]int{"": graph.LatestOpset}}
	b := graph.NewBuilder(g, "v")
	y := b.Op("Mul", b.Input("x", tensor.Type{DType: tensor.Float32, Shape: []tensor.Dim{tensor.Symbol("N"), tensor.Fixed(width)}}),
		b.Const(tensor.Scalar(c)))
	if op != "" {
		y = b.Op(op, y)
	}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	y.Name = "y"
	g.Outputs = []*graph.Value{y}
	return g
}

func onePool(t testing.TB) *kernel.Pool {
	pool := kernel.NewPool(1, kernel.Best())
	t.Cleanup(pool.Close)
	return pool
}

// ln(4)·(1, 0) has the softmax (0.8, 0.2), half of it (2/3, 1/3).
var ln4 = math.Log(4)

// TestEvaluatorKnowsHeads: the three heads of one classifier are measured alike.
// On (ln 4, 0) the original answers (0.8, 0.2), the model of half the logits
// (2/3, 1/3).
func TestEvaluatorKnowsHeads(t *testing.T) {
	set := numbers(t, data.Classify, []float64{ln4, 0, 0}, []float64{0, ln4, 1}, []float64{ln4, 0, 1})
	for op, head := range map[string]string{"": "logits", "Softmax": "probabilities", "LogSoftmax": "log-probabilities"} {
		original := scaled(t, 2, 1, op)
		e, err := NewEvaluator(context.Background(), original, set, "", onePool(t), nil)
		if err != nil {
			t.Fatal(err)
		}
		if string(e.Head()) != head || e.Task() != Classification || e.Len() != 3 || e.Output() != "y" {
			t.Errorf("%q: got head %s, task %s", op, e.Head(), e.Task())
		}
		for _, c := range []struct {
			scale            float32
			loss, metric, kl float64
		}{
			// Two right at −log 0.8, one wrong at −log 0.2.
			{1, -(2*math.Log(0.8) + math.Log(0.2)) / 3, 2.0 / 3, 0},
			{0.5, -(2*math.Log(2.0/3) + math.Log(1.0/3)) / 3, 2.0 / 3, 0.8*math.Log(0.8/(2.0/3)) + 0.2*math.Log(0.2/(1.0/3))},
			{-1, -(2*math.Log(0.2) + math.Log(0.8)) / 3, 1.0 / 3, 0.6 * ln4}, // (0.8 − 0.2)·log(0.8/0.2)
		} {
			m, err := e.Evaluate(context.Background(), scaled(t, 2, c.scale, op))
			if err != nil {
				t.Fatal(err)
			}
			if !near(m.Loss, c.loss, 1e-6) || !near(m.Metric, c.metric, 1e-12) || !near(m.KL, c.kl, 1e-6) || m.Examples != 3 {
				t.Errorf("%q scaled by %v: got %+v, want loss %v, metric %v, KL %v", op, c.scale, m, c.loss, c.metric, c.kl)
			}
			if math.IsInf(m.SNR, 1) != (c.scale == 1) {
				t.Errorf("%q scaled by %v: SNR: got %v", op, c.scale, m.SNR)
			}
		}
	}
}

// TestEvaluatorImitation: without labels the original's own answers stand for
// them: its loss is their entropy.
func TestEvaluatorImitation(t *testing.T) {
	set := numbers(t, data.Classify, []float64{ln4, 0, 0}, []float64{0, ln4, 1}).Unlabeled()
	e, err := NewEvaluator(context.Background(), scaled(t, 2, 1, ""), set, "", onePool(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	entropy := -0.8*math.Log(0.8) - 0.2*math.Log(0.2)
	for _, c := range []struct {
		scale    float32
		metric   float64
		loss, db float64
	}{
		{1, 1, entropy, math.Inf(1)},
		{0.5, 1, -0.8*math.Log(2.0/3) - 0.2*math.Log(1.0/3), 10 * math.Log10(4)}, // noise is a quarter of the power
		{-1, 0, -0.8*math.Log(0.2) - 0.2*math.Log(0.8), -10 * math.Log10(4)},
	} {
		m, err := e.Evaluate(context.Background(), scaled(t, 2, c.scale, ""))
		if err != nil || e.Task() != Imitation {
			t.Fatal(err, e.Task())
		}
		if !near(m.Loss, c.loss, 1e-6) || m.Metric != c.metric || m.SNR != c.db && !near(m.SNR, c.db, 1e-5) {
			t.Errorf("scaled by %v: got %+v, want %+v", c.scale, m, c)
		}
	}
}

// TestDoubt: an answer that the original thinks less likely costs the difference,
// whatever the label.
func TestDoubt(t *testing.T) {
	set := numbers(t, data.Classify, []float64{1, 0, 0}, []float64{0, 2, 1})
	e, err := NewEvaluator(context.Background(), scaled(t, 2, 1, "Softmax"), set, "", onePool(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	first, second := 1/(1+math.Exp(-1)), 1/(1+math.Exp(-2)) // the probabilities of the top classes
	for c, want := range map[float32][]float64{2: {0, 0}, -1: {2*first - 1, 2*second - 1}} {
		o, err := e.Outcomes(context.Background(), scaled(t, 2, c, "Softmax"))
		if err != nil {
			t.Fatal(err)
		}
		for i, w := range want {
			if math.Abs(o.Doubt[i]-w) > 1e-6 {
				t.Errorf("factor %v, example %d: got a cost of %v, want %v", c, i, o.Doubt[i], w)
			}
		}
		if want := (first + second) / 2; math.Abs(o.Sure-want) > 1e-6 {
			t.Errorf("mean probability of the top class: got %v, want %v", o.Sure, want)
		}
	}
}

// TestEvaluatorRegression: targets 1, 2, 3 have the variance 2/3; the model that
// answers half of them is off by 14/12 on average.
func TestEvaluatorRegression(t *testing.T) {
	for _, shift := range []float64{0, 1 << 20} { // the variance of targets far from zero
		set := numbers(t, data.Regress, []float64{1, 1 + shift}, []float64{2, 2 + shift}, []float64{3, 3 + shift})
		e, err := NewEvaluator(context.Background(), scaled(t, 1, 1, ""), set, "", onePool(t), nil)
		if err != nil || e.Task() != Regression {
			t.Fatal(err, e.Task())
		}
		o, err := e.Outcomes(context.Background(), scaled(t, 1, 0.5, ""))
		if err != nil || !near(o.Base, 2.0/3, 1e-9) {
			t.Errorf("variance of the targets: got %v, error %v, want 2/3", o.Base, err)
		}
		m := e.Summarize(o)
		if shift == 0 && (!near(m.Loss, 14.0/12, 1e-9) || !near(m.Metric, 1-14.0/12/(2.0/3), 1e-9)) || !math.IsNaN(m.KL) {
			t.Errorf("half of each: got %+v, want loss 14/12 and R² −3/4", m)
		}
	}
}

func TestEvaluatorSignal(t *testing.T) {
	set := numbers(t, data.Regress, []float64{1, 0}, []float64{3, 0}).Unlabeled()
	e, err := NewEvaluator(context.Background(), scaled(t, 1, 2, ""), set, "", onePool(t), nil)
	if err != nil || e.Task() != Signal || e.MetricName() != "none" {
		t.Fatal(err, e.Task())
	}
	m, err := e.Evaluate(context.Background(), scaled(t, 1, 1, ""))
	// Answers 2 and 6 became 1 and 3: noise 1 + 9, power 4 + 36.
	if err != nil || !near(m.Loss, 5, 1e-12) || !near(m.SNR, 10*math.Log10(4), 1e-9) || !math.IsNaN(m.Metric) || !math.IsNaN(m.KL) {
		t.Errorf("got %+v, error %v, want loss 5, 6.02 dB, and neither metric nor KL", m, err)
	}
}

// TestMasksAreSignals: what an elementwise function makes is no vector of logits, so
// without labels neither a top class nor a divergence is defined for it.
func TestMasksAreSignals(t *testing.T) {
	labelled := numbers(t, data.Classify, []float64{1, 2, 0}, []float64{3, 1, 1})
	ctx, pool := context.Background(), onePool(t)
	for _, op := range []string{"Sigmoid", "HardSigmoid", "Tanh", "Relu", "Clip"} {
		g := scaled(t, 2, 1, op)
		e, err := NewEvaluator(ctx, g, labelled.Unlabeled(), "", pool, nil)
		if err != nil {
			t.Fatal(err)
		}
		o, err := e.Outcomes(ctx, g)
		if err != nil || e.Task() != Signal || e.headName() != "signal" {
			t.Errorf("%s: got task %s, head %s, error %v, want a signal", op, e.Task(), e.headName(), err)
		}
		for _, b := range []string{"1pp", "kl:0.1", "0.1nats"} {
			budget, err := compactify.ParseBudget(b)
			if err != nil {
				t.Fatal(err)
			}
			if err := e.checkBudget(budget, o); err == nil || !strings.Contains(err.Error(), "made by "+op) || !strings.Contains(err.Error(), "snr:") {
				t.Errorf("%s, %s: got error %v, want one that names the operator and snr:", op, b, err)
			}
		}
		if err := e.checkBudget(compactify.Budget{Kind: compactify.MinSNR, Limit: 20}, o); err != nil {
			t.Errorf("%s, snr:20: %v", op, err)
		}
		if e, err = NewEvaluator(ctx, g, labelled, "", pool, nil); err != nil || e.Task() != Classification {
			t.Errorf("%s with labels of classes: got error %v, want them to count", op, err)
		}
	}
}

func TestEvaluatorRefuses(t *testing.T) {
	three := numbers(t, data.Classify, []float64{1, 2, 0}, []float64{1, 2, 1}, []float64{1, 2, 2})
	values := numbers(t, data.Regress, []float64{1, 2, 0.5}, []float64{1, 2, 0.7})
	for _, c := range []struct {
		set    *data.Set
		g      *graph.Graph
		output string
		says   string
	}{
		{three.Subset(nil), scaled(t, 2, 1, ""), "", "the data set is empty"},
		{three, scaled(t, 2, 1, ""), "", "labels of 3 classes, want at most 2"},
		{three, scaled(t, 2, 1, ""), "z", `output "z": not in the graph`},
		{three, scaled(t, 3, 1, ""), "", "shape of an example"},
		{values, scaled(t, 2, 1, ""), "", "got 2 entries, want 1"},
	} {
		if _, err := NewEvaluator(context.Background(), c.g, c.set, c.output, onePool(t), nil); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("got error %v, want one that says %q", err, c.says)
		}
	}
	e, err := NewEvaluator(context.Background(), scaled(t, 2, 1, ""), three.Unlabeled(), "", onePool(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	other := scaled(t, 2, 1, "")
	b := graph.NewBuilder(other, "wide")
	wide := b.With("Concat", graph.Attributes{graph.Int("axis", 1)}, other.Outputs[0], other.Outputs[0])
	other.Outputs[0].Name, wide.Name = "was", "y"
	other.Outputs[0] = wide
	if _, err := e.Evaluate(context.Background(), other); err == nil || !strings.Contains(err.Error(), "got 4 entries, want 2 as in the original") {
		t.Errorf("answers of another size: got error %v, want one that says so", err)
	}
}

// TestEvaluatorRunsCoupledExamplesAlone: a model that takes the mean of its batch away
// answers every example with zeros, as it does where it is deployed with batches of one.
func TestEvaluatorRunsCoupledExamplesAlone(t *testing.T) {
	g := scaled(t, 2, 1, "")
	b := graph.NewBuilder(g, "w")
	y := g.Outputs[0]
	y.Name = "inner"
	out := b.Op("Sub", y, b.With("ReduceMean", graph.Attributes{graph.Int("keepdims", 1)}, y, b.Const(tensor.Ints(0))))
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	out.Name = "y"
	g.Outputs = []*graph.Value{out}
	e, err := NewEvaluator(context.Background(), g, clouds(t, 100).Unlabeled(), "", onePool(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !e.coupled || e.batch != 1 {
		t.Errorf("coupled: got %v with batches of %d, want batches of 1", e.coupled, e.batch)
	}
	for i, row := range e.answers[0] {
		if row[0] != 0 || row[1] != 0 {
			t.Fatalf("example %d: got %v, want zeros", i, row)
		}
	}
}

// TestEvaluatorBatches: results do not depend on how examples fall into batches,
// nor on a batch the model is fixed at.
func TestEvaluatorBatches(t *testing.T) {
	var rows [][]float64
	for i := range 2*evaluationBatch + 7 {
		rows = append(rows, []float64{float64(i % 5), float64(i % 3), float64(i % 2)})
	}
	set := numbers(t, data.Classify, rows...)
	var want []compactify.Measure
	for _, batch := range []int{0, 1, 10, 1000} {
		g := scaled(t, 2, 1, "")
		if batch > 0 {
			g.Inputs[0].Type.Shape[0] = tensor.Fixed(batch)
			if err := g.Infer(); err != nil {
				t.Fatal(err)
			}
		}
		e, err := NewEvaluator(context.Background(), g, set, "", onePool(t), func(*graph.Graph) (int, error) { return 42, nil })
		if err != nil {
			t.Fatal(err)
		}
		m, err := e.Evaluate(context.Background(), g)
		if err != nil || m.Bytes != 42 {
			t.Fatal(m, err)
		}
		if want = append(want, m); m != want[0] {
			t.Errorf("batch %d: got %+v, want %+v", batch, m, want[0])
		}
	}
}
