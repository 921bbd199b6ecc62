package compress

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/paths"
	"github.com/compactify/compactify/tensor"
	"github.com/compactify/compactify/train"
)

// blameOf is the trained job's blame for a compressed form of its model; nil
// stands for all layers at the given bits.
func blameOf(t *testing.T, job Job, compact *graph.Graph, bits int, budget compactify.Budget) (*Blame, *Evaluator) {
	t.Helper()
	g, _, err := Prepare(job.Model)
	if err != nil {
		t.Fatal(err)
	}
	e, err := NewEvaluator(context.Background(), g, job.Train, "", job.Pool, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := MeasureBlame(context.Background(), BlameJob{Model: g, Eval: e, Compact: compact, Scheme: paths.Scheme{Bits: bits}, Budget: budget})
	if err != nil {
		t.Fatal(err)
	}
	return b, e
}

// TestBlameFindsTheDamagedLayer: of a model stored at 8 bits, one layer is then
// turned upside down. It stands first; restored, the model answers as before; and
// the repair needs that one layer.
func TestBlameFindsTheDamagedLayer(t *testing.T) {
	job := smallJob(t)
	g, _, err := Prepare(job.Model)
	if err != nil {
		t.Fatal(err)
	}
	q, err := paths.QuantizeWeights(job.Pool, g, paths.Uniform(g, paths.Scheme{Bits: 8}))
	if err != nil {
		t.Fatal(err)
	}
	damaged := g.Layers()[1].Name()
	for _, p := range q.Params {
		if strings.HasPrefix(p.Name, damaged) && p.Data.DType() == tensor.Float32 {
			p.Data = p.Data.Clone()
			for i := range p.Data.Len() {
				p.Data.Set(i, -p.Data.At(i))
			}
		}
	}
	b, e := blameOf(t, job, q, 0, compactify.Budget{Kind: compactify.MetricDrop, Limit: 1})
	if len(b.Layers) != 3 || b.Layers[0].Name != damaged {
		t.Fatalf("got %d layers, %q first, want 3, %q first", len(b.Layers), b.Layers[0].Name, damaged)
	}
	worst := b.Layers[0]
	whole, err := e.Evaluate(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(float64(b.Compressed.KL)-whole.KL) > 1e-9 || float64(b.File.KL) != whole.KL || float64(b.Compressed.Metric) != whole.Metric {
		t.Errorf("compressed: got KL %v, file %v, want %v as measured of the model itself", b.Compressed.KL, b.File.KL, whole.KL)
	}
	if worst.SNR > -6 || worst.SNR < -6.1 { // |w − (−w)|² = 4|w|²
		t.Errorf("SNR of a negated weight: got %v dB, want about −10·log₁₀ 4", worst.SNR)
	}
	if b.Baseline.Metric-worst.MetricOnly < 0.1 || math.Abs(float64(b.Baseline.Metric-worst.MetricRestored)) > 0.01 {
		t.Errorf("metric: got %v originally, %v with only %q compressed, %v with it restored", b.Baseline.Metric, worst.MetricOnly, damaged, worst.MetricRestored)
	}
	for _, l := range b.Layers[1:] {
		if l.KL > 1e-3 || l.Fix != nil || l.Form != "8 bits per output channel" {
			t.Errorf("layer %q, stored well: got KL %v, form %q and fix %v", l.Name, l.KL, l.Form, l.Fix)
		}
	}
	// Eight bits are all there are: nothing but the original weights mends it.
	if worst.Fix == nil || worst.Fix.Form != "float32" || len(b.Repaired.Fixes) != 1 || b.Repaired.Fixes[0].Layer != damaged || !b.Repaired.Fits {
		t.Errorf("fix: got %+v, repaired %+v, want the one layer in float32 and a model that fits", worst.Fix, b.Repaired)
	}
}

// TestBlameAtBits: all layers at few bits are worse than each alone, and the
// repair ends inside a budget that only the original keeps.
func TestBlameAtBits(t *testing.T) {
	b, _ := blameOf(t, smallJob(t), nil, 2, compactify.Budget{Kind: compactify.KLFrom, Limit: 0})
	for i, l := range b.Layers {
		if l.KL <= 0 || l.Form != "2 bits per output channel" || l.BytesAfter >= l.Bytes {
			t.Errorf("got %+v, want a layer of 2 bits that costs something", l)
		}
		if i > 0 && l.KL > b.Layers[i-1].KL {
			t.Errorf("layer %d has KL %v, the one before %v: want the worst first", i, l.KL, b.Layers[i-1].KL)
		}
	}
	if !b.Repaired.Fits || b.Repaired.KL != 0 || b.Repaired.Metric != b.Baseline.Metric {
		t.Errorf("repaired: got %+v, want the original again: the budget allows nothing", b.Repaired.BlameMeasure)
	}
	last := math.Inf(1)
	if n := len(b.Repaired.Fixes); n > 0 {
		last = float64(b.Repaired.Fixes[n-1].Spent)
	}
	if last != 0 {
		t.Errorf("spent after the last fix: got %v, want 0", last)
	}
}

// TestBlameReadsStoredForms: what a file as it is written stands for, whatever its
// names and however a matrix lies in it.
func TestBlameReadsStoredForms(t *testing.T) {
	job := smallJob(t)
	g, _, err := Prepare(job.Model)
	if err != nil {
		t.Fatal(err)
	}
	for _, bits := range []int{2, 4, 8} {
		q, err := paths.QuantizeWeights(job.Pool, g, paths.Uniform(g, paths.Scheme{Bits: bits}))
		if err != nil {
			t.Fatal(err)
		}
		file, err := Encode(q)
		if err != nil {
			t.Fatal(err)
		}
		back, err := reload(file)
		if err != nil {
			t.Fatal(err)
		}
		if back, _, err = Prepare(back); err != nil {
			t.Fatal(err)
		}
		fromFile, _ := blameOf(t, job, back, 0, job.Budget)
		fromScheme, _ := blameOf(t, job, nil, bits, job.Budget)
		for i, l := range fromFile.Layers {
			if want := fromScheme.Layers[i]; l.Name != want.Name || l.KL != want.KL || l.SNR != want.SNR || l.Form != want.Form || l.BytesAfter != want.BytesAfter {
				t.Errorf("%d bits: layer of the file: got %+v, want %+v", bits, l, want)
			}
		}
	}
}

func TestBlameRefusesAnotherModel(t *testing.T) {
	job := smallJob(t)
	g, _, err := Prepare(job.Model)
	if err != nil {
		t.Fatal(err)
	}
	e, err := NewEvaluator(context.Background(), g, job.Train, "", job.Pool, nil)
	if err != nil {
		t.Fatal(err)
	}
	for arch, want := range map[string]string{
		"mlp:2-24-3":       "layers: got 2, want 3",
		"mlp:2-12-8-3":     "shape in the compressed model: got",
		"mlp:2-24-16-16-3": "layers: got 4, want 3",
	} {
		other, err := train.NewModel(arch, []int{2}, 3, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range other.Params { // as another exporter would name them
			p.Name = "other/" + p.Name
		}
		_, err = MeasureBlame(context.Background(), BlameJob{Model: g, Eval: e, Compact: other})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %v, want one that says %q", arch, err, want)
		}
	}
}

// TestBlameOfOneOutput: a layer of one output channel has one scale whatever was
// asked for, so that a scale per channel mends nothing: the repair goes on to more
// bits, and ends. With an SNR for the budget, layers are in the order of theirs.
func TestBlameOfOneOutput(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	g := &graph.Graph{Name: "one", Opset: map[string]int{"": graph.LatestOpset}}
	b := graph.NewBuilder(g, "v")
	random := func(name string, shape ...int) *graph.Value {
		values := make([]float32, shape[0]*shape[1])
		for i := range values {
			values[i] = float32(r.NormFloat64())
		}
		return b.Param(name, tensor.Of(values, shape...))
	}
	x := b.Input("x", tensor.Type{DType: tensor.Float32, Shape: []tensor.Dim{tensor.Symbol("N"), tensor.Fixed(2)}})
	g.Outputs = []*graph.Value{b.Op("MatMul", b.Op("Relu", b.Op("MatMul", x, random("w1", 2, 8))), random("w2", 8, 1))}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	rows := make([][]float64, 60)
	for i := range rows {
		rows[i] = []float64{r.NormFloat64(), r.NormFloat64(), r.NormFloat64()}
	}
	job := Job{Model: g, Train: numbers(t, data.Regress, rows...), Pool: onePool(t)}
	got, _ := blameOf(t, job, nil, 2, compactify.Budget{Kind: compactify.MinSNR, Limit: 200})
	if n := len(got.Repaired.Fixes); n != 6 || !got.Repaired.Fits {
		t.Errorf("got %d fixes, want 4 bits, 8 bits and floats of 2 layers: %+v", n, got.Repaired)
	}
	if len(got.Layers) != 2 || got.Layers[0].OutputSNR > got.Layers[1].OutputSNR {
		t.Errorf("got %+v, want the least SNR of the outputs first", got.Layers)
	}
}
