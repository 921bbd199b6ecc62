package compress

import (
	"context"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/paths"
	"github.com/compactify/compactify/tensor"
	"github.com/compactify/compactify/train"
)

// TestCalibrationMemory: the statistics of 10,000 examples take as many bytes as
// those of 100, and so does taking them: but for a batch nothing is kept.
func TestCalibrationMemory(t *testing.T) {
	g, err := train.NewModel("mlp:2-256-256-3", []int{2}, 3, 1)
	if err != nil {
		t.Fatal(err)
	}
	pool := onePool(t)
	var kept, took []int
	for _, n := range []int{100, 10000} {
		set := clouds(t, n)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		c, err := Calibrate(context.Background(), g, set, pool)
		if err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		kept, took = append(kept, c.Bytes()), append(took, int(after.TotalAlloc-before.TotalAlloc))
		for name, h := range c.counts {
			if h.Count()%uint64(n) != 0 || h.Count() == 0 {
				t.Errorf("%s of %d examples: got %d elements", name, n, h.Count())
			}
		}
	}
	if kept[0] != kept[1] || kept[0] == 0 || kept[0] > 3*paths.HistogramBytes {
		t.Errorf("bytes kept of 100 and of 10,000 examples: got %d, want the same, of three values", kept)
	}
	// All that grows is what a batch's bookkeeping leaves for the collector: if the
	// 512 activations of each of 9,900 examples were copied, it would be 20 MB.
	if grown := took[1] - took[0]; grown > 4<<20 {
		t.Errorf("bytes allocated for 9,900 more examples: got %d", grown)
	}
}

// TestCalibrationSpans: ranges are the extremes of the activations, whatever the
// batch.
func TestCalibrationSpans(t *testing.T) {
	set := numbers(t, data.Classify, []float64{1, -2, 0}, []float64{5, 7, 1}, []float64{-3, 0.5, 2})
	g, err := train.NewModel("mlp:2-4-3", []int{2}, 3, 1)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Calibrate(context.Background(), g, set, onePool(t))
	if err != nil {
		t.Fatal(err)
	}
	in := g.Inputs[0].Name
	if got := c.Ranges(paths.FitMinMax)[in]; got != (paths.Range{Lo: -3, Hi: 7}) || c.Examples != 3 {
		t.Errorf("input over %d examples: got %v, want -3 to 7", c.Examples, got)
	}
	for name, r := range c.Ranges(paths.FitEntropy) {
		if r.Lo > 0 || r.Hi < 0 || math.IsNaN(r.Hi-r.Lo) {
			t.Errorf("%s: got %v", name, r)
		}
	}
}

// TestCalibrationNamesTheNode: activations that are not finite are refused with
// the node that makes them.
func TestCalibrationNamesTheNode(t *testing.T) {
	g := &graph.Graph{Name: "roots", Opset: map[string]int{"": graph.LatestOpset}}
	b := graph.NewBuilder(g, "v")
	x := b.Input("x", tensor.Type{DType: tensor.Float32, Shape: []tensor.Dim{tensor.Symbol("N"), tensor.Fixed(2)}})
	b.Append(&graph.Node{Name: "the root", Op: "Sqrt", In: []*graph.Value{x}, Out: []*graph.Value{{Name: "r"}}})
	root := g.Nodes[0].Out[0]
	g.Outputs = []*graph.Value{b.Op("MatMul", root, b.Param("w", tensor.Of([]float32{1, 2}, 2, 1)))}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	set := numbers(t, data.Regress, []float64{1, 4, 0}, []float64{9, -1, 0})
	_, err := Calibrate(context.Background(), g, set, onePool(t))
	want := `calibrate graph "roots": Sqrt "the root", output "r": got 1 of 4 elements that are NaN or infinite, want finite numbers`
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestRangesAreChosen by what costs least, unless the user says how.
func TestRangesAreChosen(t *testing.T) {
	job := smallJob(t)
	job.Finetune, job.Activation = -1, true
	job.Budget = compactify.Budget{Kind: compactify.MetricDrop, Limit: 50}
	for _, ranges := range []string{"", "percentile"} {
		job.Ranges = ranges
		r, err := runInto(t, context.Background(), job)
		if err != nil {
			t.Fatal(err)
		}
		a := r.Activations
		if a == nil || a.Examples == 0 || ranges == "" && a.Bytes == 0 {
			t.Fatalf("ranges %q: got %+v", ranges, a)
		}
		if ranges != "" {
			if a.Ranges != ranges || len(a.Tried) != 0 {
				t.Errorf("ranges %q: got %q after trying %v", ranges, a.Ranges, a.Tried)
			}
			continue
		}
		best := slices.MinFunc(a.Tried, func(x, y RangeTrial) int {
			return int(math.Copysign(1, float64(x.Harm-y.Harm)))
		})
		if len(a.Tried) != len(rangeFits) || float64(best.Harm) <= 0 || !slices.ContainsFunc(a.Tried, func(x RangeTrial) bool { return x.Ranges == a.Ranges && x.Harm == best.Harm }) {
			t.Errorf("got %q of %v", a.Ranges, a.Tried)
		}
	}
	if _, err := ParseRanges("fixed-point"); err == nil || !strings.Contains(err.Error(), "want best, minmax") {
		t.Errorf("ranges of weights alone: got error %v", err)
	}
}

// BenchmarkCalibrate prints what stays resident after so many examples.
func BenchmarkCalibrate(b *testing.B) {
	g, err := train.NewModel("lenet5", []int{1, 28, 28}, 10, 1)
	if err != nil {
		b.Fatal(err)
	}
	source, err := data.Open("glyphs", data.Options{Seed: 1})
	if err != nil {
		b.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{100, 10000} {
		b.Run(map[int]string{100: "100", 10000: "10000"}[n], func(b *testing.B) {
			set := source.Train.Subset(r.Perm(source.Train.Len())[:n])
			for b.Loop() {
				c, err := Calibrate(context.Background(), g, set, onePool(b))
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(c.Bytes()), "bytes-kept")
			}
		})
	}
}
