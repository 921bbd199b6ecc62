package train

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/internal/testkit"
	"github.com/compactify/compactify/tensor"
)

// stepTolerance: parameters are float32, the steps worked out by hand are not.
const stepTolerance = 1e-6

// TestStepsByHand trains y = w·x on x=1, target 0, for which the loss is w² and
// its gradient 2w.
func TestStepsByHand(t *testing.T) {
	set := table(t, data.Regress, []float64{1, 0})
	sgd := func(steps int, rate, momentum, lambda float64, decay Decay) float64 {
		w, v := 1.0, 0.0
		for k := range steps {
			eta := rate
			if decay == Cosine {
				eta = rate * (1 + math.Cos(math.Pi*float64(k)/float64(steps))) / 2
			}
			v = momentum*v + 2*w
			w = (w - eta*v) / (1 + 2*eta*lambda)
		}
		return w
	}
	adam := func(steps int, rate, lambda float64) float64 {
		w, m, v := 1.0, 0.0, 0.0
		for k := 1; k <= steps; k++ {
			g := 2 * w
			m, v = 0.9*m+0.1*g, 0.999*v+0.001*g*g
			mHat, vHat := m/(1-math.Pow(0.9, float64(k))), v/(1-math.Pow(0.999, float64(k)))
			w = (w - rate*mHat/(math.Sqrt(vHat)+1e-8)) / (1 + 2*rate*lambda)
		}
		return w
	}
	for _, c := range []struct {
		name string
		o    Options
		want float64
	}{
		{"one step of gradient descent", Options{Optimizer: SGD, Rate: 0.1}, 0.8}, // 1 − 0.1·2
		{"the default rate", Options{Optimizer: SGD}, 0.9},                        // 1 − 0.05·2
		{"momentum", Options{Optimizer: SGD, Rate: 0.1, Momentum: 0.5, Epochs: 5}, sgd(5, 0.1, 0.5, 0, Constant)},
		{"cosine decay", Options{Optimizer: SGD, Rate: 0.1, Decay: Cosine, Epochs: 5}, sgd(5, 0.1, 0, 0, Cosine)},
		{"proximal penalty", Options{Optimizer: SGD, Rate: 0.1, Penalties: ridge(3), Epochs: 4}, sgd(4, 0.1, 0, 3, Constant)},
		// ηλ = 50: an explicit step would multiply by 1 − 2ηλ = −99.
		{"a penalty far beyond 1/η", Options{Optimizer: SGD, Rate: 0.1, Penalties: ridge(500), Epochs: 3}, sgd(3, 0.1, 0, 500, Constant)},
		{"one step of Adam", Options{Rate: 0.1}, 0.9}, // a first step has the size of the rate
		{"Adam", Options{Rate: 0.1, Epochs: 6}, adam(6, 0.1, 0)},
		{"Adam's default rate", Options{Epochs: 3}, adam(3, 1e-3, 0)},
		{"Adam with a penalty", Options{Rate: 0.1, Penalties: ridge(2), Epochs: 4}, adam(4, 0.1, 2)},
	} {
		m, epochs := mustRun(t, linear(t, 1, 1), set, c.o)
		if got := param(t, m, "w"); math.Abs(got[0]-c.want) > stepTolerance {
			t.Errorf("%s: got w = %v, want %v", c.name, got[0], c.want)
		}
		if e := epochs[0]; e.Loss != 1 || !math.IsNaN(e.Metric) || e.Lambda != lambdaOf(c.o) {
			t.Errorf("%s: first epoch: got %+v, want the loss 1 before the step, and no metric", c.name, e)
		}
	}
}

// TestProximalShrinkIsExact: without a gradient a step is θ/(1 + 2ηλ), to the
// last bit of the float32 product.
func TestProximalShrinkIsExact(t *testing.T) {
	set := table(t, data.Regress, []float64{0, 0, 0})
	for _, lambda := range []float64{1e-4, 0.5, 5, 1e4} {
		m, epochs := mustRun(t, linear(t, 1, 1, -3), set, Options{Optimizer: SGD, Rate: 0.1, Penalties: ridge(lambda)})
		shrink := float32(1 / (1 + 2*0.1*lambda))
		want := []float64{float64(shrink), float64(-3 * shrink)}
		if got := param(t, m, "w"); !slices.Equal(got, want) {
			t.Errorf("λ = %v: got %v, want %v", lambda, got, want)
		}
		if norm := math.Hypot(want[0], want[1]); math.Abs(epochs[0].Norm-norm) > 1e-12 {
			t.Errorf("λ = %v: norm: got %v, want %v", lambda, epochs[0].Norm, norm)
		}
	}
}

// TestQuadraticMultipliers is oracle 11 and row 8: on a quadratic of curvatures h
// gradient descent multiplies each coordinate by 1 − ηh, the loss falls exactly
// while η < 2/h, and ρ = (L_k − L_{k+1})/(η‖g‖²) is 1 − ηκ/2 with κ = h.
func TestQuadraticMultipliers(t *testing.T) {
	// Rows (2,0) and (0,1), targets 0: loss (4w₁² + w₂²)/2, curvatures 4 and 1.
	set := table(t, data.Regress, []float64{2, 0, 0}, []float64{0, 1, 0})
	h := []float64{4, 1}
	start := []float64{1, -2}
	loss := func(w []float64) float64 { return (h[0]*w[0]*w[0] + h[1]*w[1]*w[1]) / 2 }
	for _, eta := range []float64{0.1, 0.4, 0.6} { // 2/4 = 0.5 lies between
		const steps = 5
		m, epochs := mustRun(t, linear(t, 1, 1, -2), set, Options{Optimizer: SGD, Rate: eta, Epochs: steps})
		want := make([]float64, 2)
		for i := range want {
			want[i] = start[i] * math.Pow(1-eta*h[i], steps)
		}
		if err := testkit.Close(param(t, m, "w"), want, 1e-5); err != nil {
			t.Errorf("η = %v: θ after %d steps: %v", eta, steps, err)
		}
		if last := epochs[steps-1].Loss; (last < epochs[0].Loss) != (eta < 0.5) || math.Abs(epochs[0].Loss-loss(start)) > 1e-5 {
			t.Errorf("η = %v: loss from %v to %v, want a fall exactly below 2/h = 0.5", eta, epochs[0].Loss, last)
		}
	}
	alone := table(t, data.Regress, []float64{2, 0, 0}, []float64{0, 0, 0})
	_, epochs := mustRun(t, linear(t, 1, 1, 0), alone, Options{Optimizer: SGD, Rate: 0.1, Epochs: 2})
	rho := (epochs[0].Loss - epochs[1].Loss) / (0.1 * 16) // g = h·w = 4
	if kappa := 2 * (1 - rho) / 0.1; math.Abs(kappa-4) > 1e-4 {
		t.Errorf("κ: got %v, want the curvature 4", kappa)
	}
}

func TestMasksHoldZeros(t *testing.T) {
	set := table(t, data.Regress, []float64{1, 1, 1, 7}, []float64{2, 0, 1, 3})
	mask := map[string]*Mask{"w": {Keep: []bool{true, false, true}}}
	g := linear(t, 1, 0.5, 0.5, 0.5)
	for _, o := range []Options{{}, {Optimizer: SGD, Momentum: 0.9}, {Penalties: ridge(0.1)}, {Frozen: map[string]bool{"w": true}}} {
		o.Masks, o.Epochs = mask, 20
		m, _ := mustRun(t, g, set, o)
		if w := param(t, m, "w"); w[1] != 0 || w[0] == 0 || w[2] == 0 {
			t.Errorf("%+v: got %v, want a zero in the middle alone", o, w)
		}
	}
	if w := param(t, g, "w"); w[1] != 0.5 {
		t.Errorf("the model given: got %v, want it as it was", w)
	}
	for name, m := range map[string]*Mask{"w": {Keep: []bool{true}}, "nothing": {Keep: []bool{true}}} {
		if _, _, err := Run(context.Background(), g, set, Options{Masks: map[string]*Mask{name: m}}); err == nil || !strings.Contains(err.Error(), "mask") {
			t.Errorf("mask of %q that does not fit: got error %v, want one that says so", name, err)
		}
	}
}

func TestFrozenAndUnrelatedParametersStay(t *testing.T) {
	set := table(t, data.Regress, []float64{1, 1, 5}, []float64{2, 1, 3})
	g := build(t, 2, func(b *graph.Builder, x *graph.Value) *graph.Value {
		y := b.Op("MatMul", x, b.Param("w", tensor.Of([]float32{1, 1, 1, 1}, 2, 2)))
		return b.Op("MatMul", y, b.Param("v", tensor.Of([]float32{1, 1}, 2, 1)))
	})
	b := graph.NewBuilder(g, "other") // a second output with a weight of its own
	g.Outputs = append(g.Outputs, b.Op("MatMul", g.Inputs[0], b.Param("aside", tensor.Of([]float32{1, 1}, 2, 1))))
	m, _ := mustRun(t, g, set, Options{Frozen: map[string]bool{"w": true}, Epochs: 3})
	for name, moves := range map[string]bool{"w": false, "v": true, "aside": false} {
		if got := slices.ContainsFunc(param(t, m, name), func(x float64) bool { return x != 1 }); got != moves {
			t.Errorf("parameter %q moved: got %v, want %v", name, got, moves)
		}
	}
	if len(m.Outputs) != 2 {
		t.Errorf("outputs: got %d, want both", len(m.Outputs))
	}
}

// constant is a teacher that gives every example one distribution.
type constant []float32

func (c constant) Teach(_ context.Context, dst []float32, _ tensor.Tensor) error {
	for len(dst) > 0 {
		dst = dst[copy(dst, c):]
	}
	return nil
}

// TestTeacher: the loss is the cross-entropy of the teacher's distribution, its
// gradient softmax − target, with or without labels in the data.
func TestTeacher(t *testing.T) {
	target := constant{0.9, 0.1}
	set := table(t, data.Classify, []float64{1, 0}, []float64{1, 1})
	for _, set := range []*data.Set{set, set.Unlabeled()} {
		m, epochs := mustRun(t, linear(t, 2, 0, 0), set, Options{Optimizer: SGD, Rate: 1, Teacher: target})
		if want := math.Ln2; math.Abs(epochs[0].Loss-want) > stepTolerance { // uniform answers cost log 2
			t.Errorf("loss: got %v, want log 2 = %v", epochs[0].Loss, want)
		}
		if err := testkit.Close(param(t, m, "w"), []float64{0.4, -0.4}, stepTolerance); err != nil { // 0.9 − ½ and 0.1 − ½
			t.Errorf("weights after a step: %v", err)
		}
		if got := epochs[0].Metric; set.Labeled() != (got == 0.5) {
			t.Errorf("labelled %v: accuracy: got %v, want 0.5 or NaN", set.Labeled(), got)
		}
		m, _ = mustRun(t, linear(t, 2, 0, 0), set, Options{Optimizer: SGD, Rate: 1, Teacher: target, Epochs: 500})
		w := param(t, m, "w")
		if got := 1 / (1 + math.Exp(w[1]-w[0])); math.Abs(got-0.9) > 1e-3 {
			t.Errorf("answer after training: got %v, want the teacher's 0.9", got)
		}
	}
}

// TestLabelsShare: a teacher whose answers are labels through and through is not heard:
// training comes to the same bits as without. With a share of a half, the loss of equal
// answers (log 2) is that of both: neither distribution changes it.
func TestLabelsShare(t *testing.T) {
	set := table(t, data.Classify, []float64{1, 0, 0}, []float64{0, 1, 1})
	o := Options{Optimizer: SGD, Rate: 1, Epochs: 3, Batch: 2}
	plain, _ := mustRun(t, linear(t, 2, 0, 0, 0, 0), set, o)
	o.Teacher, o.Labels = constant{0.9, 0.1}, 1
	all, _ := mustRun(t, linear(t, 2, 0, 0, 0, 0), set, o)
	if got, want := param(t, all, "w"), param(t, plain, "w"); !slices.Equal(got, want) {
		t.Errorf("labels alone: got weights %v, want %v", got, want)
	}
	// One step from zero weights moves them by the mean of (target − ½)·x.
	o.Epochs, o.Labels = 1, 0.5
	half, _ := mustRun(t, linear(t, 2, 0, 0, 0, 0), set, o)
	for i, want := range []float64{(0.95 - 0.5) / 2, (0.05 - 0.5) / 2, (0.45 - 0.5) / 2, (0.55 - 0.5) / 2} {
		if got := param(t, half, "w")[i]; math.Abs(got-want) > 1e-6 {
			t.Errorf("half of the labels: weight %d: got %v, want %v", i, got, want)
		}
	}
}

// TestHeadsTrainThroughTheirLogits: a softmax at the end changes nothing.
func TestHeadsTrainThroughTheirLogits(t *testing.T) {
	set := table(t, data.Classify, []float64{1, 2, 0}, []float64{3, 1, 1}, []float64{2, 2, 1})
	var want []float64
	for _, op := range []string{"", "Softmax", "LogSoftmax", "Identity"} {
		g := linear(t, 2, 0.1, 0.2, 0.3, 0.4)
		if op != "" {
			g.Outputs[0] = graph.NewBuilder(g, "head").Op(op, g.Outputs[0])
		}
		m, _ := mustRun(t, g, set, Options{Epochs: 4, Seed: 3})
		got := param(t, m, "w")
		if want == nil {
			want = got
		}
		if !slices.Equal(got, want) {
			t.Errorf("head %q: got %v, want %v, as with logits", op, got, want)
		}
	}
}

// TestRunningStatistics: running ← 0.9·running + 0.1·batch, with the biased
// variance, by ONNX's definition of BatchNormalization. Finish makes the model
// answer by them.
func TestRunningStatistics(t *testing.T) {
	set := table(t, data.Regress, []float64{1, 0}, []float64{2, 0}, []float64{6, 0}) // mean 3, variance 14/3
	g := build(t, 1, func(b *graph.Builder, x *graph.Value) *graph.Value {
		vec := func(name string, v float32) *graph.Value { return b.Param(name, tensor.Of([]float32{v}, 1)) }
		return b.With("BatchNormalization", graph.Attributes{graph.Int("training_mode", 1), graph.Float("momentum", 0.9)},
			x, vec("scale", 1), vec("bias", 0), vec("mean", 0), vec("variance", 1))
	})
	mean, variance := 0.0, 1.0
	for epochs := 1; epochs <= 3; epochs++ {
		mean, variance = 0.9*mean+0.1*3, 0.9*variance+0.1*14/3
		m, _ := mustRun(t, g, set, Options{Epochs: epochs, Optimizer: SGD, Rate: 1e-3})
		if err := testkit.Close(append(param(t, m, "mean"), param(t, m, "variance")...), []float64{mean, variance}, stepTolerance); err != nil {
			t.Errorf("mean and variance after %d epochs: %v", epochs, err)
		}
		done := Finish(m)
		if err := done.Validate(); err != nil {
			t.Fatal(err)
		}
		scale, bias := param(t, done, "scale")[0], param(t, done, "bias")[0]
		want := scale*(5-mean)/math.Sqrt(variance+1e-5) + bias
		if got := forward(t, done, 1, 5).At(0); math.Abs(got-want) > 1e-5 {
			t.Errorf("answer to 5 after %d epochs: got %v, want %v", epochs, got, want)
		}
	}
	if got := param(t, g, "mean")[0]; got != 0 {
		t.Errorf("running mean of the model given: got %v, want it as it was", got)
	}
}

func TestDivergenceIsAnError(t *testing.T) {
	set := table(t, data.Regress, []float64{1e10, 0})
	m, _, err := Run(context.Background(), linear(t, 1, 1), set, Options{Optimizer: SGD, Rate: 1e15, Epochs: 50})
	if !errors.Is(err, ErrDiverged) || m == nil {
		t.Errorf("got the model %v and error %v, want the model so far and ErrDiverged", m, err)
	}
	// One step to infinity, with no step after it to notice.
	_, _, err = Run(context.Background(), linear(t, 1, 1), set, Options{Optimizer: SGD, Rate: 1e30})
	if !errors.Is(err, ErrDiverged) {
		t.Errorf("infinite parameters after the last step: got error %v, want ErrDiverged", err)
	}
}

func TestCancelledRunReturnsWhatItHas(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	set := table(t, data.Regress, []float64{1, 0}, []float64{1, 0}, []float64{1, 0})
	steps := 0
	g := linear(t, 1, 1)
	m, epochs, err := Run(ctx, g, set, Options{Optimizer: SGD, Rate: 0.1, Batch: 1, Epochs: 4, Step: func(done float64) {
		if steps++; steps == 4 {
			if math.Abs(done-4.0/12) > 1e-12 {
				t.Errorf("share done after 4 of 12 steps: got %v", done)
			}
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || len(epochs) != 1 || steps != 4 {
		t.Errorf("got %d epochs, %d steps, error %v, want 1, 4 and the context's", len(epochs), steps, err)
	}
	if got, want := param(t, m, "w")[0], math.Pow(0.8, 4); math.Abs(got-want) > stepTolerance {
		t.Errorf("w after 4 steps: got %v, want 0.8⁴ = %v", got, want)
	}
}

func TestRunRefuses(t *testing.T) {
	set := table(t, data.Classify, []float64{1, 2, 0}, []float64{3, 4, 1}, []float64{3, 4, 2})
	values := table(t, data.Regress, []float64{1, 2, 0.5}, []float64{1, 2, 0.7})
	fixed := linear(t, 3, 1, 2, 3, 4, 5, 6)
	fixed.Inputs[0].Type.Shape[0] = tensor.Fixed(2)
	double := &graph.Graph{Name: "double", Opset: map[string]int{"": graph.LatestOpset}}
	b := graph.NewBuilder(double, "v")
	double.Outputs = []*graph.Value{b.Op("MatMul", b.Input("x", tensor.Type{DType: tensor.Float64, Shape: []tensor.Dim{tensor.Symbol("N"), tensor.Fixed(2)}}),
		b.Param("w", tensor.New(tensor.Float64, 2, 3)))}
	for _, c := range []struct {
		name string
		g    *graph.Graph
		set  *data.Set
		o    Options
		says string
	}{
		{"no examples", linear(t, 3, 1, 2, 3, 4, 5, 6), set.Subset(nil), Options{}, "is empty"},
		{"no labels", linear(t, 3, 1, 2, 3, 4, 5, 6), set.Unlabeled(), Options{}, "no labels, and there is no teacher"},
		{"too few outputs", linear(t, 2, 1, 2, 3, 4), set, Options{}, "got 3 classes, want at most 2"},
		{"too many outputs for numbers", linear(t, 2, 1, 2, 3, 4), values, Options{}, "one target value per example"},
		{"another shape", linear(t, 3, 1, 2, 3), set, Options{}, "shape of an example"},
		{"an output that is not there", linear(t, 3, 1, 2, 3, 4, 5, 6), set, Options{Output: "y"}, `output "y": not in the graph`},
		{"a fixed batch", fixed, set, Options{}, "batch: got 3, want 2"},
		{"float64", double, set, Options{}, "want float32"},
		{"a negative rate", linear(t, 3, 1, 2, 3, 4, 5, 6), set, Options{Rate: -1}, "rate: got -1"},
		{"a momentum of 1", linear(t, 3, 1, 2, 3, 4, 5, 6), set, Options{Momentum: 1}, "momentum: got 1"},
		{"an unknown penalty", linear(t, 3, 1, 2, 3, 4, 5, 6), set, Options{Penalties: []Penalty{{Kind: "l3"}}}, `penalty "l3": want l2, l1`},
		{"a share beyond 1", linear(t, 3, 1, 2, 3, 4, 5, 6), set, Options{Penalties: []Penalty{{Kind: ElasticNet, Alpha: 2}}}, "alpha: got 2"},
		{"dropping all", linear(t, 3, 1, 2, 3, 4, 5, 6), set, Options{Dropout: Dropout{Hidden: 1}}, "dropout of hidden: got probability 1"},
		{"smoothing of all", linear(t, 3, 1, 2, 3, 4, 5, 6), set, Options{Smoothing: 1}, "label smoothing: got 1"},
	} {
		if _, _, err := Run(context.Background(), c.g, c.set, c.o); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got error %v, want one that says %q", c.name, err, c.says)
		}
	}
	if _, _, err := Run(context.Background(), fixed, set, Options{Batch: 2}); err != nil {
		t.Errorf("a fixed batch of 2 in batches of 2: %v", err)
	}
}

// TestSameBitsAtAnyThreads trains a small network with every kind of layer on
// one to five threads, on two of them twice.
func TestSameBitsAtAnyThreads(t *testing.T) {
	set := glyphs(t, 48)
	g, err := NewModel("lenet5", []int{1, 28, 28}, 10, 1)
	if err != nil {
		t.Fatal(err)
	}
	digests := make(map[string]bool)
	for _, threads := range []int{1, 2, 2, 3, 5} {
		pool := kernel.NewPool(threads, kernel.Best())
		m, _ := mustRun(t, g, set, Options{Batch: 16, Seed: 7, Pool: pool, Penalties: ridge(1e-4)})
		pool.Close()
		digests[m.Digest()] = true
	}
	if len(digests) != 1 {
		t.Errorf("parameters at 1, 2, 2, 3 and 5 threads: got %d different models, want one", len(digests))
	}
	other, _ := mustRun(t, g, set, Options{Batch: 16, Seed: 8, Penalties: ridge(1e-4)})
	if digests[other.Digest()] {
		t.Error("another seed gave the same model")
	}
}

// TestStepsRunWithoutAllocating: neither the batch, nor the gradient, nor the
// optimiser's update takes memory.
func TestStepsRunWithoutAllocating(t *testing.T) {
	set := glyphs(t, 32)
	g, err := NewModel("lenet5", []int{1, 28, 28}, 10, 1)
	if err != nil {
		t.Fatal(err)
	}
	var all []Penalty
	for _, kind := range PenaltyKinds {
		all = append(all, Penalty{Kind: kind, Lambda: Always(0.1)})
	}
	for _, threads := range []int{1, 2} {
		pool := kernel.NewPool(threads, kernel.Best())
		defer pool.Close()
		run, err := newTrainer(g, set, Options{Batch: 16, Pool: pool, Penalties: all}.withDefaults(set.Len()))
		if err == nil {
			err = run.compile()
		}
		if err != nil {
			t.Fatal(err)
		}
		run.rate, run.proximal.strengths = 0.1, strengthsAt(run.o.Penalties, 0, 1)
		batch := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
		if n := testing.AllocsPerRun(5, func() {
			if _, err := run.step(t.Context(), run.set, batch); err != nil {
				t.Fatal(err)
			}
			run.hits(batch)
			if err := run.update(); err != nil {
				t.Fatal(err)
			}
		}); n > 0 {
			t.Errorf("%d threads: allocations per step: got %v, want none", threads, n)
		}
	}
}

// ridge is the penalty λ‖θ‖² alone.
func ridge(lambda float64) []Penalty { return []Penalty{{Kind: L2, Lambda: Always(lambda)}} }

// lambdaOf is λ of the only penalty.
func lambdaOf(o Options) float64 {
	for _, p := range o.Penalties {
		return p.Lambda.At(0, 1)
	}
	return 0
}
