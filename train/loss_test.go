package train

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// lossOn runs a loss and its gradient in z on one batch.
func lossOn(t *testing.T, loss Loss, z, p []float64, classes int) (float64, []float64) {
	t.Helper()
	g := &graph.Graph{Name: "loss", Opset: map[string]int{"": graph.LatestOpset}}
	b := graph.NewBuilder(g, "v")
	in := b.Input("z", tensor.Type{DType: tensor.Float64, Shape: []tensor.Dim{tensor.Fixed(len(z) / classes), tensor.Fixed(classes)}})
	y := meanLoss(b, in, loss)
	g.Outputs = []*graph.Value{y}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	g, err := engine.Gradient(g, y, []*graph.Value{in})
	if err != nil {
		t.Fatal(err)
	}
	program, err := engine.Compile(g, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	out := make([]tensor.Tensor, len(program.Outputs()))
	rows := len(z) / classes
	if err := program.Run(context.Background(), []tensor.Tensor{tensor.Of(z, rows, classes), tensor.Of(p, rows, classes)}, out); err != nil {
		t.Fatal(err)
	}
	return out[0].At(0), out[len(out)-1].Float64s()
}

// TestLosses: values by hand, derivatives against central differences of the values.
func TestLosses(t *testing.T) {
	z, p := []float64{0.5, -2, 3, 0.25, 1.5, -0.5}, []float64{1, 0, 0, 0, 0, 1}
	for _, c := range []struct {
		loss Loss
		want float64
	}{
		// Shortfalls 1−z of the right class and 1+z of the others: 0.5, −1, 4; 1.25, 2.5, 1.5.
		{SquaredHinge, (0.25 + 0 + 16 + 1.5625 + 6.25 + 2.25) / 2},
		{SquaredError, (0.25 + 4 + 9 + 0.0625 + 2.25 + 2.25) / 6},
		{CrossEntropy, (math.Log(math.Exp(0.5)+math.Exp(-2)+math.Exp(3)) - 0.5 + math.Log(math.Exp(0.25)+math.Exp(1.5)+math.Exp(-0.5)) + 0.5) / 2},
	} {
		got, gradient := lossOn(t, c.loss, z, p, 3)
		if math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%s: got %v, want %v", c.loss, got, c.want)
		}
		for i := range z {
			const h = 1e-5
			moved := append([]float64(nil), z...)
			moved[i] = z[i] + h
			up, _ := lossOn(t, c.loss, moved, p, 3)
			moved[i] = z[i] - h
			down, _ := lossOn(t, c.loss, moved, p, 3)
			if want := (up - down) / (2 * h); math.Abs(gradient[i]-want) > 1e-8 {
				t.Errorf("%s: derivative %d: got %v, want %v", c.loss, i, gradient[i], want)
			}
		}
	}
}

// TestLossOfValidation: the trainer's loss of a batch and the validator's loss of the
// same examples are one function.
func TestLossOfValidation(t *testing.T) {
	set := glyphs(t, 8)
	g, err := NewModel("mlp:784-10", []int{1, 28, 28}, 10, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, loss := range []Loss{"", CrossEntropy, SquaredHinge, SquaredError} {
		// A rate too small to move a float32, so that both see the same weights.
		_, epochs := mustRun(t, g, set, Options{Batch: 8, Rate: 1e-30, Optimizer: SGD, Loss: loss, Validation: set})
		if e := epochs[0]; math.Abs(e.Loss/e.ValidLoss-1) > 1e-5 || e.Metric != e.ValidMetric {
			t.Errorf("%q: got %v in training, %v in validation", loss, e.Loss, e.ValidLoss)
		}
	}
}

// TestLossesTrain: each loss brings a classifier to the same answers.
func TestLossesTrain(t *testing.T) {
	set := table(t, data.Classify, []float64{0, 0, 0}, []float64{3, 0, 1}, []float64{0, 3, 2})
	for _, loss := range []Loss{CrossEntropy, SquaredHinge, SquaredError} {
		g, err := NewModel("mlp:2-3", []int{2}, 3, 1)
		if err != nil {
			t.Fatal(err)
		}
		_, epochs := mustRun(t, g, set, Options{Epochs: 200, Batch: 3, Rate: 0.05, Loss: loss})
		if e := epochs[len(epochs)-1]; e.Metric != 1 {
			t.Errorf("%s: accuracy: got %v, want 1", loss, e.Metric)
		}
	}
}

func TestLossRefuses(t *testing.T) {
	classes := table(t, data.Classify, []float64{0, 0}, []float64{3, 1})
	numbers := table(t, data.Regress, []float64{0, 0.5}, []float64{3, 1.5})
	g := linear(t, 2, 1, 2)
	for _, c := range []struct {
		set  *data.Set
		o    Options
		says string
	}{
		{classes, Options{Loss: "hinge"}, `loss "hinge": want cross-entropy, squared-hinge or squared-error`},
		{numbers, Options{Loss: SquaredHinge}, "has no classes, want squared-error"},
		{numbers, Options{Loss: CrossEntropy}, "has no classes, want squared-error"},
		{classes, Options{Loss: SquaredHinge, Teacher: uniform{}}, "the targets are a teacher's"},
	} {
		if _, _, err := Run(context.Background(), g, c.set, c.o); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: got error %v, want one that says %q", c.o, err, c.says)
		}
	}
}

// uniform is a teacher that knows nothing.
type uniform struct{}

func (uniform) Teach(_ context.Context, dst []float32, x tensor.Tensor) error {
	for i := range dst {
		dst[i] = float32(x.Shape()[0]) / float32(len(dst))
	}
	return nil
}
