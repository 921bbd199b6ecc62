package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/compactify/compactify/internal/calculus"
	"github.com/compactify/compactify/internal/jsonnum"
	"github.com/compactify/compactify/train"
	"golang.org/x/net/html"
)

// walkToZero is a record as a run under a growing λ leaves it; figures are made up,
// but their sizes and relations are those of real runs.
func walkToZero() *train.Record {
	r := &train.Record{Arch: "lenet-300-100", Seed: 1, Optimizer: "sgd", Batch: 128, Planned: 20, Rate: "0.05",
		Penalties: []train.PenaltyRecord{{Kind: train.L2, Schedule: "geom:1e-08..100"}},
		Initial:   train.PlaceRecord{Loss: 2.412, Norm: 31.2}, Final: train.PlaceRecord{Loss: 2.302585, Norm: 2.1e-5}, Zero: train.PlaceRecord{Loss: num(math.Log(10))},
		Files: train.FilesRecord{Initial: train.InitialFile, Model: "model.onnx", Rise: train.RiseFile}}
	r.Data.Source, r.Data.Hash, r.Data.Examples, r.Data.Classes = "../data/mnist", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", 60000, 10
	r.Descent = &train.DescentRecord{Every: 16, Function: "objective of the batch"}
	d := r.Descent
	const perEpoch = 469
	for e := range 20 {
		lambda := 1e-8 * math.Pow(10, 10*float64(e)/19)
		shrink := 1 / (1 + math.Pow(lambda/3e-3, 1.4))
		loss := math.Log(10) - (math.Log(10)-0.25/math.Pow(float64(e+1), 1.1))*shrink
		norm := 34 * shrink / (1 + 1e4*max(0, lambda-0.1)*max(0, lambda-0.1))
		x := train.EpochRecord{Loss: num(loss), Metric: num(0.1124 + 0.885*shrink*(1-0.06/float64(e+1))), Norm: num(norm), Lambda: num(lambda), Rate: 0.05,
			Penalty: num(lambda * norm * norm), ValidLoss: num(math.NaN()), ValidMetric: num(math.NaN())}
		if e < 19 {
			x.Schedule = num((math.Pow(10, 10.0/19) - 1) * lambda * norm * norm)
		}
		r.Epochs = append(r.Epochs, x)
		for s := 0; s < perEpoch; s += 16 {
			k := e*perEpoch + s + 1
			kappa := (6+4*math.Sin(float64(k)/70)+float64(k*7919%97)/12)*shrink - 0.3
			edge := 2/0.05 + 2*lambda
			if k == 1+3*perEpoch || k == 1+5*perEpoch+160 {
				kappa = edge * 1.3
			}
			y := train.SampleRecord{Step: k, Epoch: e + 1, Rate: 0.05, Lambda: num(lambda), Objective: num(loss), ObjectiveAfter: num(loss - 0.001*(edge-kappa)), Kappa: num(kappa), Edge: num(edge), Norm: num(norm)}
			y.Energy, y.EnergyAfter = y.Objective, y.ObjectiveAfter
			d.Samples = append(d.Samples, y)
			d.MaxKappa = max(d.MaxKappa, y.Kappa)
			if kappa > edge {
				d.AtEdge++
				d.Increases++
				d.Largest = max(d.Largest, y.EnergyAfter-y.Energy)
				d.Total += y.EnergyAfter - y.Energy
			}
		}
	}
	d.Steps, d.Measured = 20*perEpoch, len(d.Samples)
	return r
}

// plainRun has a constant λ₁, validation examples and dropout.
func plainRun() *train.Record {
	r := walkToZero()
	r.Arch, r.Optimizer, r.Momentum, r.Rate, r.Planned = "lenet5", "momentum", 0.9, "geom:0.05..0.0005", 80
	r.Penalties = []train.PenaltyRecord{{Kind: train.ElasticNet, Schedule: "1e-05", Alpha: 0.5}, {Kind: train.MaxNorm, Schedule: "2"}}
	r.Dropout.Hidden = 0.5
	r.Smoothing = 0.1
	r.Final = train.PlaceRecord{Loss: 0.0231, Norm: 24.7, Penalty: 0.011}
	r.Descent.Function = "total energy of the batch"
	r.Epochs = nil
	for e := range 64 {
		x := float64(e + 1)
		r.Epochs = append(r.Epochs, train.EpochRecord{Loss: num(0.02 + 0.5/x), Metric: num(1 - 0.005 - 0.12/x), Norm: num(31 - 6*(1-1/x)), Lambda: 1e-5, Rate: num(0.05 * math.Pow(0.1, x/32)),
			Penalty: num(0.011), Zeros: int(40000 * (1 - 1/x)), ValidLoss: num(0.05 + 0.3/x + 0.0004*x), ValidMetric: num(0.985 - 0.08/x)})
	}
	return r
}

// flowRun is a record of a gradient flow.
func flowRun(t *testing.T) *train.Record {
	t.Helper()
	r := walkToZero()
	r.Arch, r.Optimizer, r.Rate, r.Descent, r.Epochs = "mlp:16-8-2", "sgd", "", nil, r.Epochs[:0]
	r.Penalties = []train.PenaltyRecord{{Kind: train.L2, Schedule: "0.001"}}
	r.Final = train.PlaceRecord{Loss: 0.31, Norm: 4.7}
	f := train.FlowRecord{Time: 100, Reached: 100, End: calculus.FlowTime, Tolerance: 1e-6, Double: true, Balance: -3.1e-7, Relative: 1.5e-7, Dissipated: 2.05, Length: 5.2,
		Steps: 312, Implicit: 40, Rejected: 9, Switches: 2, Gradients: 2210, Products: 512}
	for e := range 11 {
		x := float64(e)
		f.Points = append(f.Points, train.FlowPoint{Time: num(10 * x), Lambda: 0.001, Objective: num(0.33 + 2.05*math.Exp(-x)), Gradient: num(1.1 * math.Exp(-x)), Norm: num(5 - 0.03*x)})
		if e > 0 {
			r.Epochs = append(r.Epochs, train.EpochRecord{Loss: num(0.31 + 2*math.Exp(-x)), Metric: num(0.9 - 0.8*math.Exp(-x)), Norm: num(5 - 0.03*x), Lambda: 0.001, Rate: num(math.NaN()), Turn: num(math.NaN()),
				Penalty: 0.02, ValidLoss: num(math.NaN()), ValidMetric: num(math.NaN())})
		}
	}
	text, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	raw := json.RawMessage(text)
	r.Flow = &raw
	return r
}

func walkSummary() TrainingSummary {
	return TrainingSummary{Title: "Compactify training: lenet-300-100", MetricName: "top-1 accuracy", Metric: 0.1135, HeldOut: 10000, Threshold: 0.34,
		Boundary: []string{"supported: the run tends to θ = 0. ‖θ‖ fell from 31.2 to 2.1e-05."},
		Bounds: []string{"sublevel: supported. 20 of 20 iterates inside, up to 0.41 of the radius; L̲ = 0: a cross-entropy is at least 0.",
			"critical points: not applicable. No Lipschitz constant of the gradient is known."},
		FixedPoint: "supported: an attractor. ‖g(0)‖ = 0, λ_min H(0) + 2λ = 200.",
		Notes:      []string{"The network has no biases: L(0) = log 10."}}
}

func trainingPage(t *testing.T, r *train.Record, s TrainingSummary) []byte {
	t.Helper()
	b, err := Training(r, s)
	if err != nil {
		t.Fatal(err)
	}
	wellFormed(t, b)
	return b
}

func TestTrainingGolden(t *testing.T) {
	golden(t, "training.html", trainingPage(t, walkToZero(), walkSummary()))
	s := walkSummary()
	s.Title, s.Metric, s.Notes = "Compactify training: lenet5", 0.9912, nil
	s.Sharpness = []Sharpness{{Epoch: 16, Largest: 21, Bound: 0.4}, {Epoch: 32, Largest: 31, Bound: 0.6}, {Epoch: 64, Largest: 38.5, Bound: 0.7}}
	golden(t, "training-plain.html", trainingPage(t, plainRun(), s))
	s.Title, s.Sharpness, s.Loss, s.Metric = "Compactify training: mlp:16-8-2", nil, "squared hinge", 0.9
	golden(t, "training-flow.html", trainingPage(t, flowRun(t), s))
}

func TestTrainingSays(t *testing.T) {
	walk := trainingPage(t, walkToZero(), walkSummary())
	s := walkSummary()
	s.Metric, s.Threshold = 0.9912, 0.3
	plain := trainingPage(t, plainRun(), s)
	adam := plainRun()
	adam.Optimizer, adam.Descent.Function = "adam", "objective of the batch"
	s.Sharpness = []Sharpness{{Epoch: 64, Largest: 38.5, Bound: 0.7}}
	other := trainingPage(t, adam, s)
	s.Sharpness, s.Loss = nil, "squared hinge"
	flow := trainingPage(t, flowRun(t), s)
	stopped := walkToZero()
	stopped.Initial, stopped.Final, stopped.Zero, stopped.Epochs = train.PlaceRecord{}, train.PlaceRecord{}, train.PlaceRecord{}, stopped.Epochs[:3]
	broken := trainingPage(t, stopped, TrainingSummary{Title: "stopped"})
	for _, c := range []struct {
		name string
		page []byte
		want []string
		not  []string
	}{
		{"walk", walk, []string{"below the threshold 0.34", "L(0) = 2.3026 nats", "The walk along λ", "edge 2/η + 2λ", "of the batch was larger, by", "2 measured steps were above it", "λ̇R", ">∞</text>", "10⁻⁸"},
			[]string{"validation", "Momentum", "exactly zero</text>"}},
		{"plain", plain, []string{"lenet5: top\u20111 accuracy 99.12 %", "times the threshold", "The run, epoch by epoch", "validation accuracy", "exactly zero</text>", "total energy", "α = 0.5", "30 of 64 epochs", "under dropout", "no longer than c = 2"},
			[]string{">∞</text>", "λ̇R", "eigenvalue"}},
		{"adam", other, []string{"by Adam", "Adam has no function", "38.5 ± 0.7 after epoch 64", "λ<sub>min</sub>", "largest eigenvalue of the Hessian"}, []string{"total energy"}},
		{"flow", flow, []string{"along the gradient flow, for a time of 100", "312 steps, 40 of them", "−3.1 × 10⁻⁷", "squared hinge", "Penalised loss along the flow"},
			[]string{"nats", "by stochastic", "Optimiser", "Rate η", "rate η", "mean of its batches"}},
		{"stopped", broken, []string{"for 3 epochs of 20 planned", "‖θ‖ is 34"}, []string{"boundary θ = 0", "L(0)", "not measured", "the model stands"}},
	} {
		text := html.UnescapeString(string(c.page))
		for _, want := range c.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: the page does not say %q", c.name, want)
			}
		}
		for _, not := range c.not {
			if strings.Contains(text, not) {
				t.Errorf("%s: the page says %q", c.name, not)
			}
		}
	}
}

// Names come from foreign files: none may become markup.
func TestTrainingEscapes(t *testing.T) {
	const attack = `"><script>alert(1)</script><img src=x onerror=alert(2)>'`
	r, s := walkToZero(), walkSummary()
	everyString(reflect.ValueOf(r).Elem(), attack)
	everyString(reflect.ValueOf(r.Descent).Elem(), attack)
	everyString(reflect.ValueOf(&s).Elem(), attack)
	if p := trainingPage(t, r, s); !bytes.Contains(p, []byte("&lt;script&gt;")) {
		t.Error("the hostile name is not on the page at all")
	}
}

func TestTrainingOfOddFigures(t *testing.T) {
	for _, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, -1, 1e300, -1e300, 1e-300, math.MaxFloat64} {
		for _, r := range []*train.Record{walkToZero(), plainRun()} {
			s := walkSummary()
			s.Metric, s.Threshold, s.Sharpness = x, x, []Sharpness{{Epoch: 3, Largest: x, Bound: x}}
			set := func(v reflect.Value) {
				if v.Type() == reflect.TypeFor[jsonnum.Float]() {
					v.SetFloat(x)
				}
			}
			everyLeaf(reflect.ValueOf(r.Descent).Elem(), set)
			trainingPage(t, r, s)
			everyLeaf(reflect.ValueOf(r).Elem(), set)
			trainingPage(t, r, s)
		}
	}
	for _, n := range []int{0, 1, -1, math.MaxInt, math.MinInt} {
		r := walkToZero()
		set := func(v reflect.Value) {
			if v.Kind() == reflect.Int {
				v.SetInt(int64(n))
			}
		}
		everyLeaf(reflect.ValueOf(r).Elem(), set)
		everyLeaf(reflect.ValueOf(r.Descent).Elem(), set)
		trainingPage(t, r, walkSummary())
	}
}

// TestTrainingBreaksOff: a run may end at any point.
func TestTrainingBreaksOff(t *testing.T) {
	trainingPage(t, &train.Record{}, TrainingSummary{})
	for n := range 4 {
		r := walkToZero()
		r.Epochs = r.Epochs[:n]
		r.Descent.Samples, r.Descent.Measured = r.Descent.Samples[:n], n
		trainingPage(t, r, walkSummary())
	}
	r := walkToZero()
	r.Descent = nil
	trainingPage(t, r, walkSummary())
	r.Epochs[3].Loss, r.Epochs[19].Norm = num(math.NaN()), 0
	trainingPage(t, r, walkSummary())
}

func TestThinned(t *testing.T) {
	for n := range 200 {
		got := thinned(n, 30)
		if len(got) != min(n, 30) {
			t.Fatalf("%d: got %d indices", n, len(got))
		}
		for i, k := range got {
			switch {
			case i == 0 && k != 0, i == len(got)-1 && k != n-1, i > 0 && k <= got[i-1]:
				t.Fatalf("%d: got %v, want ascending from 0 to %d", n, got, n-1)
			case i > 1 && n > 30 && max(k-got[i-1], got[i-1]-got[i-2])-min(k-got[i-1], got[i-1]-got[i-2]) > 1:
				t.Fatalf("%d: got %v, want equal distances", n, got)
			}
		}
	}
}

func TestLogAxisTicks(t *testing.T) {
	for _, values := range [][]float64{{1e-8, 1e2}, {2.4, 4.3}, {2.41, 2.43}, {0.5, 0.9}, {1e-140, 1e140}, {1, 1000}, {3, 3}, {1e-5, 20}} {
		a := newLogAxis("x", values).withEnds("0", "∞")
		if len(a.ticks) < 4 || len(a.ticks) > 13 {
			t.Errorf("axis of %v: %d ticks", values, len(a.ticks))
		}
		seen := map[string]bool{}
		for _, k := range a.ticks {
			if p := a.position(k.at); !(p >= -1e-9 && p <= 1+1e-9) || seen[k.label] {
				t.Errorf("axis of %v: tick %s at %v", values, k.label, p)
			}
			seen[k.label] = true
		}
		for i, want := range []float64{0, 1} {
			if got := a.position([]float64{0, math.Inf(1)}[i]); got != want {
				t.Errorf("axis of %v: end %d at %v, want %v", values, i, got, want)
			}
		}
		if lo, hi := a.position(values[0]), a.position(values[1]); !(lo > endRoom/2 && hi < 1-endRoom/2 && lo <= hi) {
			t.Errorf("axis of %v: %s", values, fmt.Sprint(lo, hi))
		}
	}
}
