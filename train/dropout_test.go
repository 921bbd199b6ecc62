package train

import (
	"fmt"
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

// masksOf draws a run's masks for the step at hand.
func masksOf(t testing.TB, run *trainer) [][]float32 {
	t.Helper()
	if err := run.drawMasks(); err != nil {
		t.Fatal(err)
	}
	var list [][]float32
	for _, m := range run.masks {
		list = append(list, slices.Clone(tensor.Data[float32](run.in[m.input])))
	}
	return list
}

// TestMasks: two values, as many zeros as the probability says, a mean of one, and
// other places in every step and for every seed, on any number of threads the same.
func TestMasks(t *testing.T) {
	g, err := NewModel("mlp:784-61-10", []int{28, 28}, 10, 1)
	if err != nil {
		t.Fatal(err)
	}
	set := glyphs(t, 64)
	for _, p := range []float64{0.01, 0.5, 0.9, 1.0 / 3} {
		o := Options{Batch: 50, Dropout: Dropout{Input: p, Hidden: p, Weights: p}, Seed: 4}
		run := compiled(t, g, set, o)
		masks := masksOf(t, run)
		wantSizes := []int{50 * 784, 784 * 61, 50 * 61, 61 * 10}
		if len(masks) != len(wantSizes) {
			t.Fatalf("masks: got %d, want the input's, two of weights and the hidden layer's", len(masks))
		}
		for k, mask := range masks {
			if len(mask) != wantSizes[k] {
				t.Errorf("mask %d: got %d places, want %d", k, len(mask), wantSizes[k])
			}
			zeros, sum := 0, 0.0
			for _, x := range mask {
				switch {
				case x == 0:
					zeros++
				case x != run.masks[k].keep || math.Abs(float64(x)*(1-p)-1) > 1e-4: // probabilities are multiples of 2⁻¹⁶
					t.Fatalf("p = %v, mask %d: got %v, want 0 or %v", p, k, x, 1/(1-p))
				}
				sum += float64(x)
			}
			n := float64(len(mask))
			// Five standard deviations: wrong by chance once in two million.
			if off := math.Abs(float64(zeros) - n*p); off > 5*math.Sqrt(n*p*(1-p))+n*0x1p-17 {
				t.Errorf("p = %v, mask %d: zeros: got %d of %d, off by %v", p, k, zeros, len(mask), off)
			}
			if off := math.Abs(sum/n - 1); off > 5*math.Sqrt(p/(1-p)/n) {
				t.Errorf("p = %v, mask %d: mean: got %v, want 1", p, k, sum/n)
			}
		}
		run.done++
		next := masksOf(t, run)
		run.done--
		if !sameMasks(masksOf(t, run), masks) {
			t.Errorf("p = %v: the same step drew other masks", p)
		}
		o.Seed = 5
		other := masksOf(t, compiled(t, g, set, o))
		for k, mask := range masks {
			// Two draws agree in a share of p² + (1−p)², give or take five deviations.
			agree, n := p*p+(1-p)*(1-p), float64(len(mask))
			for about, with := range map[string][]float32{"the next step": next[k], "another seed": other[k]} {
				same := 0.0
				for i := range mask {
					if mask[i] == with[i] {
						same++
					}
				}
				if math.Abs(same-n*agree) > 5*math.Sqrt(n*agree*(1-agree))+n*0x1p-15 {
					t.Errorf("p = %v, mask %d: agrees with %s in %v of %v places, want about %v", p, k, about, same, n, n*agree)
				}
			}
		}
	}
}

func sameMasks(a, b [][]float32) bool {
	return slices.EqualFunc(a, b, func(x, y []float32) bool { return slices.Equal(x, y) })
}

func TestMasksAtAnyThreads(t *testing.T) {
	g, err := NewModel("lenet5", []int{1, 28, 28}, 10, 1)
	if err != nil {
		t.Fatal(err)
	}
	set := glyphs(t, 32)
	digests, models := make(map[string]bool), make(map[string]bool)
	for _, threads := range []int{1, 2, 5} {
		pool := kernel.NewPool(threads, kernel.Best())
		o := Options{Batch: 16, Pool: pool, Dropout: Dropout{Input: 0.2, Hidden: 0.5, Weights: 0.1}}
		digests[fmt.Sprint(masksOf(t, compiled(t, g, set, o)))] = true
		m, _ := mustRun(t, g, set, o)
		models[m.Digest()] = true
		pool.Close()
	}
	if len(digests) != 1 || len(models) != 1 {
		t.Errorf("1, 2 and 5 threads: got %d different masks and %d different models, want one", len(digests), len(models))
	}
}

// TestWhereMasksStand counts the masks: the input once, however it is read, what dense
// layers read otherwise, and weights.
func TestWhereMasksStand(t *testing.T) {
	image := func(arch string) *graph.Graph {
		g, err := NewModel(arch, []int{1, 28, 28}, 10, 1)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	set := glyphs(t, 8)
	twice := build(t, 784, func(b *graph.Builder, x *graph.Value) *graph.Value {
		w := func(name string) *graph.Value { return b.Param(name, tensor.New(tensor.Float32, 784, 10)) }
		flat := b.With("Flatten", graph.Attributes{graph.Int("axis", 1)}, x)
		return b.Op("Add", b.Op("MatMul", flat, w("v")), b.Op("MatMul", x, w("w")))
	})
	for _, c := range []struct {
		name string
		g    *graph.Graph
		d    Dropout
		want []string // shapes for a batch of 4
	}{
		{"input through Flatten", image("lenet-300-100"), Dropout{Input: 0.2, Hidden: 0.5}, []string{"[4 1 28 28]", "[4 300]", "[4 100]"}},
		{"hidden alone", image("lenet-300-100"), Dropout{Hidden: 0.5}, []string{"[4 300]", "[4 100]"}},
		{"input alone", image("lenet-300-100"), Dropout{Input: 0.5}, []string{"[4 1 28 28]"}},
		{"input read twice", twice, Dropout{Input: 0.5, Hidden: 0.5}, []string{"[4 784]"}},
		{"convolutions", image("lenet5"), Dropout{Input: 0.2, Hidden: 0.5}, []string{"[4 1 28 28]", "[4 400]", "[4 120]", "[4 84]"}},
		{"weights", image("lenet5"), Dropout{Weights: 0.5}, []string{"[6 1 5 5]", "[16 6 5 5]", "[120 400]", "[84 120]", "[10 84]"}},
		{"a residual network", image("resnet8"), Dropout{Hidden: 0.5}, []string{"[4 64]"}},
		{"nothing", image("lenet5"), Dropout{}, nil},
	} {
		run := compiled(t, c.g, set, Options{Batch: 4, Dropout: c.d})
		var got []string
		for _, m := range run.masks {
			got = append(got, fmt.Sprint(run.in[m.input].Shape()))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got masks of %v, want %v", c.name, got, c.want)
		}
	}
	alone := linear(t, 2, 1, 2, 3, 4)
	set = table(t, data.Classify, []float64{1, 2, 0}, []float64{3, 4, 1})
	if _, _, err := Run(t.Context(), alone, set, Options{Dropout: Dropout{Hidden: 0.5}}); err == nil || !strings.Contains(err.Error(), "want something to drop") {
		t.Errorf("nothing hidden: got error %v, want one that says so", err)
	}
	for _, p := range []float64{-0.1, 1, math.NaN(), math.Inf(1)} {
		if _, _, err := Run(t.Context(), alone, set, Options{Dropout: Dropout{Input: p}}); err == nil || !strings.Contains(err.Error(), "[0, 1)") {
			t.Errorf("probability %v: got error %v, want one that names [0, 1)", p, err)
		}
	}
}

// TestGradientsUnderFixedMasks: with the masks held, the gradient is that of the loss, by
// differences, for values and for weights that are dropped.
func TestGradientsUnderFixedMasks(t *testing.T) {
	g, err := NewModel("mlp:4-5-3", []int{4}, 3, 2)
	if err != nil {
		t.Fatal(err)
	}
	set := table(t, data.Classify, []float64{1, -2, 0.5, 1, 0}, []float64{0.3, 1, -1, 2, 1}, []float64{-1, 1, 0.7, 0.1, 2})
	run := compiled(t, g, set, Options{Optimizer: SGD, Dropout: Dropout{Input: 0.3, Hidden: 0.4, Weights: 0.3}, Monitor: &Monitor{}, Seed: 12, Smoothing: 0.1})
	if _, err := run.step(t.Context(), run.set, []int{0, 1, 2}); err != nil {
		t.Fatal(err)
	}
	loss := func() float64 { // under the masks that were drawn
		if err := run.watch.program.Run(t.Context(), run.in, run.watch.out); err != nil {
			t.Fatal(err)
		}
		return run.watch.out[0].At(0)
	}
	if got, want := loss(), run.out[run.lossAt()].At(0); math.Abs(got-want) > 1e-6 {
		t.Errorf("loss: the monitor's program got %v, the gradient's %v", got, want)
	}
	const h = 1.0 / 64 // float32 carries about 1e-7/h of error, the cube of h the rest
	zeros := 0
	for i, w := range run.weights {
		gradient := slices.Clone(tensor.Data[float32](run.out[run.lossAt()+1+i]))
		for j := range w.data {
			was := w.data[j]
			w.data[j] = was + h
			up := loss()
			w.data[j] = was - h
			down := loss()
			w.data[j] = was
			if want := (up - down) / (2 * h); math.Abs(float64(gradient[j])-want) > 2e-4 {
				t.Errorf("weight %s, element %d: gradient: got %v, want %v", w.param.Name, j, gradient[j], want)
			}
			if gradient[j] == 0 {
				zeros++
			}
		}
	}
	if zeros == 0 {
		t.Error("no gradient is zero: nothing was dropped")
	}
}

// TestLinearDropout is oracle 24. For y = x·w with inputs dropped with probability ½ and
// kept values doubled, the expected squared error over all 16 masks of the two
// examples is
//
//	‖y − Xw‖² + Σ_j w_j² Σ_i x_ij²        (the weighted ridge, (1−p)/p = 1)
//
// with X = [[1,1],[0,1]], y = (1,1): its minimum is w* = (2/7, 3/7), of value 6/7. In the
// oracle's own scale w̃ = w·p/p: inverted scaling makes the two the same.
func TestLinearDropout(t *testing.T) {
	x, y := [2][2]float64{{1, 1}, {0, 1}}, [2]float64{1, 1}
	set := table(t, data.Regress, []float64{x[0][0], x[0][1], y[0]}, []float64{x[1][0], x[1][1], y[1]})
	run := compiled(t, linear(t, 1, 2.0/7, 3.0/7), set, Options{Optimizer: SGD, Dropout: Dropout{Input: 0.5}, Monitor: &Monitor{}})
	if len(run.masks) != 1 {
		t.Fatalf("masks: got %d, want one", len(run.masks))
	}
	if _, err := run.step(t.Context(), run.set, []int{0, 1}); err != nil {
		t.Fatal(err)
	}
	mask, w := tensor.Data[float32](run.in[run.masks[0].input]), run.weights[0].data
	keep := run.masks[0].keep
	mean := func() (loss float64, gradient [2]float64) {
		for m := range 16 {
			for i := range mask {
				mask[i] = keep * float32(m>>i&1)
			}
			if err := run.program.Run(t.Context(), run.in, run.out); err != nil {
				t.Fatal(err)
			}
			loss += run.out[run.lossAt()].At(0) / 16 * 2 // the sum of two examples
			for j, g := range tensor.Data[float32](run.out[run.lossAt()+1]) {
				gradient[j] += float64(g) / 16 * 2
			}
		}
		return loss, gradient
	}
	loss, gradient := mean()
	if math.Abs(loss-6.0/7) > stepTolerance || math.Hypot(gradient[0], gradient[1]) > stepTolerance {
		t.Errorf("at (2/7, 3/7): got the loss %v and gradient %v, want 6/7 and zero", loss, gradient)
	}
	w[0], w[1] = 0.3, -1.2
	loss, gradient = mean()
	var want float64
	var slope [2]float64
	for i := range x {
		r := y[i] - x[i][0]*0.3 + x[i][1]*1.2
		want += r * r
		for j, wj := range []float64{0.3, -1.2} {
			want += wj * wj * x[i][j] * x[i][j]
			slope[j] += -2*r*x[i][j] + 2*wj*x[i][j]*x[i][j]
		}
	}
	if err := testkit.Close([]float64{loss, gradient[0], gradient[1]}, []float64{want, slope[0], slope[1]}, 1e-5); err != nil {
		t.Errorf("loss and gradient at (0.3, −1.2): %v", err)
	}
}

// TestDropoutDescendsToTheWeightedRidge: training itself gets there, up to the noise of
// its steps.
func TestDropoutDescendsToTheWeightedRidge(t *testing.T) {
	set := table(t, data.Regress, []float64{1, 1, 1}, []float64{0, 1, 1})
	rates, err := ParseSchedule("geom:0.1..1e-4")
	if err != nil {
		t.Fatal(err)
	}
	m, _ := mustRun(t, linear(t, 1, 0, 0), set, Options{Optimizer: SGD, Rates: rates, Dropout: Dropout{Input: 0.5}, Epochs: 12000})
	if err := testkit.Close(param(t, m, "w"), []float64{2.0 / 7, 3.0 / 7}, 0.02); err != nil {
		t.Errorf("weights: %v", err)
	}
}
