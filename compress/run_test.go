package compress

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/format/onnx"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/internal/run"
	"github.com/compactify/compactify/paths"
	"github.com/compactify/compactify/train"
)

// clouds is a table of three clouds of points in the plane, which a small dense
// network tells apart.
func clouds(t testing.TB, n int) *data.Set {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	centres := [][2]float64{{2, 0}, {-2, 1}, {0, -3}}
	var rows [][]float64
	for i := range n {
		c := centres[i%3]
		rows = append(rows, []float64{c[0] + r.NormFloat64()/2, c[1] + r.NormFloat64()/2, float64(i % 3)})
	}
	return numbers(t, data.Classify, rows...)
}

// smallJob is a trained network of 2-24-16-3 with its data.
func smallJob(t testing.TB) Job {
	t.Helper()
	set := clouds(t, 900)
	g, err := train.NewModel("mlp:2-24-16-3", []int{2}, 3, 1)
	if err != nil {
		t.Fatal(err)
	}
	if g, _, err = train.Run(context.Background(), g, set, train.Options{Epochs: 10, Batch: 32, Rate: 1e-2, Seed: 1}); err != nil {
		t.Fatal(err)
	}
	file, err := Encode(g)
	if err != nil {
		t.Fatal(err)
	}
	return Job{Model: g, ModelBytes: len(file), Train: set, Source: "clouds", Seed: 3, Pool: onePool(t),
		Budget: compactify.Budget{Kind: compactify.MetricDrop, Limit: 10}, Finetune: 2}
}

func runInto(t testing.TB, ctx context.Context, job Job) (*Result, error) {
	t.Helper()
	folder, err := run.Create(filepath.Join(t.TempDir(), "out"), false)
	if err != nil {
		t.Fatal(err)
	}
	return Run(ctx, job, folder)
}

// TestRun does the main job on a small model and checks that what it says of the
// file is so.
func TestRun(t *testing.T) {
	job := smallJob(t)
	before := job.Model.Digest()
	r, err := runInto(t, context.Background(), job)
	if err != nil {
		t.Fatal(err)
	}
	g, size, err := onnx.ReadSized(r.Files.Model)
	if err != nil {
		t.Fatal(err)
	}
	if job.Model.Digest() != before {
		t.Error("the trained model was modified")
	}
	if size != r.Compact.Bytes || size >= r.Baseline.Bytes || r.Baseline.Bytes != job.ModelBytes {
		t.Errorf("bytes: got %d from %d, the file has %d of %d", r.Compact.Bytes, r.Baseline.Bytes, size, job.ModelBytes)
	}
	if r.Budget.Verdict != Met || !r.Verify.OK || r.Baseline.Metric < 0.95 || r.Compact.Metric < 0.9 {
		t.Errorf("got %+v, %+v, baseline %v, compact %v", r.Budget, r.Verify, r.Baseline.Metric, r.Compact.Metric)
	}
	if sum := r.Data.Training + r.Data.Selection + r.Data.HeldOut; sum != job.Train.Len() || r.Budget.Examples != r.Data.HeldOut {
		t.Errorf("examples: got %+v, want disjoint parts of %d", r.Data, job.Train.Len())
	}
	if len(r.Profiles) != 3 || len(r.Trials) == 0 || len(r.Layers) != 3 || r.Head != "logits" {
		t.Errorf("got %d profiles, %d trials, %d layers, head %s", len(r.Profiles), len(r.Trials), len(r.Layers), r.Head)
	}
	checkFates(t, r)
	if got := heldOutMetric(t, job, g); got != float64(r.Compact.Metric) {
		t.Errorf("metric of the file on the held-out examples: got %v, want %v as reported", got, r.Compact.Metric)
	}
	text, err := os.ReadFile(filepath.Join(filepath.Dir(r.Files.Model), ResultFile))
	var back Result
	if err != nil || json.Unmarshal(text, &back) != nil || back.SHA256 != r.SHA256 || back.Budget.Verdict != r.Budget.Verdict {
		t.Errorf("%s: got %v with error %v, want what Run returned", ResultFile, back.SHA256, err)
	}
}

// checkFates: every byte of both files is accounted for.
func checkFates(t *testing.T, r *Result) {
	t.Helper()
	before, after := 0, 0
	for _, f := range r.Tensors {
		before += f.BytesBefore
		after += f.BytesAfter
		if f.How == "" {
			t.Errorf("tensor %q: nothing is said of it", f.Name)
		}
	}
	if before != r.Baseline.Bytes || after != r.Compact.Bytes {
		t.Errorf("bytes of all tensors: got %d before and %d after, the files have %d and %d", before, after, r.Baseline.Bytes, r.Compact.Bytes)
	}
}

// heldOutMetric measures a file again, from scratch, on the examples set aside.
func heldOutMetric(t *testing.T, job Job, g *graph.Graph) float64 {
	t.Helper()
	parts, err := Divide(job.Train, nil, job.Finetune >= 0, job.Seed)
	if err != nil {
		t.Fatal(err)
	}
	e, err := NewEvaluator(context.Background(), g, parts.HeldOut, "", job.Pool, nil)
	if err != nil {
		t.Fatal(err)
	}
	m, err := e.Evaluate(context.Background(), g)
	if err != nil {
		t.Fatal(err)
	}
	return m.Metric
}

// TestRunIsDeterministic: the same bytes twice, and on one and two threads.
func TestRunIsDeterministic(t *testing.T) {
	job := smallJob(t)
	sums := make(map[string]bool)
	for _, threads := range []int{1, 2, 2} {
		job.Pool = kernel.NewPool(threads, kernel.Best())
		r, err := runInto(t, context.Background(), job)
		job.Pool.Close()
		if err != nil {
			t.Fatal(err)
		}
		sums[r.SHA256] = true
	}
	if len(sums) != 1 {
		t.Errorf("SHA-256 of the model at 1, 2 and 2 threads: got %v, want one", sums)
	}
}

// TestNoFit: a budget that noise alone exceeds exports nothing and names one
// that would do.
func TestNoFit(t *testing.T) {
	job := smallJob(t)
	job.Budget = compactify.Budget{Kind: compactify.KLFrom, Limit: 1e-12}
	r, err := runInto(t, context.Background(), job)
	var none *NoFitError
	if !errors.As(err, &none) || r == nil {
		t.Fatalf("got error %v, want a NoFitError with its result", err)
	}
	if none.WouldFit.Kind != compactify.KLFrom || !(none.WouldFit.Limit > 1e-12) || !strings.Contains(err.Error(), "nothing smaller fits") ||
		r.WouldFit != none.WouldFit.String() || r.Files.Model != "" || len(r.Trials) == 0 {
		t.Errorf("got %v, would fit %v, result %q with %d trials", err, none.WouldFit, r.WouldFit, len(r.Trials))
	}
	for _, trial := range r.Trials {
		if trial.Fits || trial.Chosen {
			t.Errorf("trial %+v fits, want none", trial)
		}
	}
	job.Budget = none.WouldFit
	if r, err = runInto(t, context.Background(), job); err != nil && !errors.As(err, &none) || r.Files.Model == "" {
		t.Errorf("the budget named, %v: got error %v, want a model to be chosen", job.Budget, err)
	}
}

// TestUndefinedBudget: a signal has no metric to lose.
func TestUndefinedBudget(t *testing.T) {
	var rows [][]float64
	for i := range 400 {
		rows = append(rows, []float64{float64(i), float64(i % 7), 0})
	}
	g, err := train.NewModel("mlp:2-40-1", []int{2}, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	job := Job{Model: g, Train: numbers(t, data.Regress, rows...).Unlabeled(), Pool: onePool(t)}
	if _, err := runInto(t, context.Background(), job); err == nil || !strings.Contains(err.Error(), "budget 1pp: not defined") {
		t.Errorf("percentage points of a signal: got error %v, want one that says so", err)
	}
	job.Budget = compactify.Budget{Kind: compactify.MinSNR, Limit: 20}
	if r, err := runInto(t, context.Background(), job); err != nil || r.Budget.Verdict == NotMet {
		t.Errorf("20 dB of a signal: got error %v", err)
	}
}

// TestCancelledRun: Ctrl-C before anything fits leaves no model; after something
// did, the best so far. A deadline is treated alike.
func TestCancelledRun(t *testing.T) {
	job := smallJob(t)
	ctx, cancel := context.WithCancel(context.Background())
	job.Progress = func(stage string, _ float64) {
		if strings.HasPrefix(stage, "walking") {
			cancel()
		}
	}
	r, err := runInto(t, ctx, job)
	if !errors.Is(err, context.Canceled) || r == nil || r.Files.Model != "" {
		t.Errorf("cancelled on a walk: got error %v and %+v, want the context's and no model", err, r)
	}
	for name, want := range map[string]error{"cancel": context.Canceled, "deadline": context.DeadlineExceeded} {
		ctx := &endable{Context: context.Background(), err: want}
		job.Progress = func(stage string, _ float64) {
			if strings.HasPrefix(stage, "fine-tuning") {
				ctx.ended = true
			}
		}
		r, err := runInto(t, ctx, job)
		if !errors.Is(err, want) || r == nil || r.SHA256 == "" {
			t.Errorf("%s after a fit: got error %v, want it with a result", name, err)
			continue
		}
		if _, statErr := os.Stat(r.Files.Model); statErr != nil || !r.Verify.OK {
			t.Errorf("%s after a fit: model: %v, verified %v", name, statErr, r.Verify.OK)
		}
	}
}

// TestEveryFitIsKept: wherever a run is stopped, it has a model if a trial was
// measured to fit before.
func TestEveryFitIsKept(t *testing.T) {
	job := smallJob(t)
	job.Finetune, job.Paths = -1, []string{"quantize"}
	whole := &countdown{Context: context.Background(), left: math.MaxInt}
	searched := 0 // looks before the file is written
	job.Progress = func(stage string, _ float64) {
		if stage == "verifying" && searched == 0 {
			searched = whole.calls
		}
	}
	if _, err := runInto(t, whole, job); err != nil {
		t.Fatal(err)
	}
	job.Progress = nil
	kept := 0
	const stops = 12 // at the last looks, a hundredth of all apart
	for i := range stops {
		dir := filepath.Join(t.TempDir(), "out")
		folder, err := run.Create(dir, false)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Run(&countdown{Context: context.Background(), left: searched - searched*i/100}, job, folder)
		if !errors.Is(err, context.Canceled) || r == nil {
			t.Fatalf("stop %d: got error %v, want the context's with a result", i, err)
		}
		points, err := os.ReadFile(filepath.Join(dir, "points.jsonl"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if fits := strings.Contains(string(points), `"fits":true`); fits != (r.SHA256 != "") {
			t.Errorf("stop %d: a trial fits: %v, a model: %q", i, fits, r.SHA256)
		}
		if r.SHA256 != "" {
			kept++
		}
	}
	if kept == 0 || kept == stops {
		t.Errorf("models kept: got %d of %d, want stops on both sides of the first fit", kept, stops)
	}
}

// countdown is a context that is cancelled after so many looks at it.
type countdown struct {
	context.Context
	left, calls int
}

func (c *countdown) Err() error {
	if c.calls++; c.calls > c.left {
		return context.Canceled
	}
	return nil
}

// TestRejected: a model that the held-out examples refuse is kept, and both limits
// that it breaks are said.
func TestRejected(t *testing.T) {
	job := smallJob(t)
	job.Finetune, job.Train, job.HeldOut, job.MaxBytes = -1, turned(t, 900), clouds(t, 300), 100 // by wrong labels a ruined model is better
	job.Budget = compactify.Budget{Kind: compactify.LossRise, Limit: 0.05}
	r, err := runInto(t, context.Background(), job)
	var none *NoFitError
	if !errors.As(err, &none) || r.Budget.Verdict != NotMet {
		t.Fatalf("got error %v, verdict %s, want a NoFitError of the held-out examples", err, r.Budget.Verdict)
	}
	for _, says := range []string{"budget 0.05nats: the held-out examples show", "; size: the model has ", "want at most 100"} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %q in it", err, says)
		}
	}
	if none.Kept != r.Files.Model || filepath.Base(none.Kept) != RejectedFile || none.WouldFitBytes != r.Compact.Bytes || r.WouldFitBytes != r.Compact.Bytes ||
		!(none.WouldFit.Limit > 0.05) || r.WouldFit != none.WouldFit.String() {
		t.Errorf("got %+v, result %q and %d bytes", none, r.WouldFit, r.WouldFitBytes)
	}
}

// TestOneSelectionExample: it gives no interval, and that is said.
func TestOneSelectionExample(t *testing.T) {
	job := smallJob(t)
	job.Finetune, job.Train, job.HeldOut = -1, clouds(t, 2), clouds(t, 30)
	job.Budget = compactify.Budget{Kind: compactify.MinSNR, Limit: 5}
	var none *NoFitError
	if _, err := runInto(t, context.Background(), job); !errors.As(err, &none) || !strings.Contains(err.Error(), "one selection example gives no interval") {
		t.Errorf("got %v, want it to say that one example is too few", err)
	}
	job.Budget = compactify.Budget{Kind: compactify.MetricDrop, Limit: 10}
	r, err := runInto(t, context.Background(), job)
	if err != nil && !errors.As(err, &none) {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(r.Notes, func(n string) bool { return strings.HasPrefix(n, "one selection example gives no interval") }) {
		t.Errorf("notes: got %q", r.Notes)
	}
}

// TestNothingIsSmaller: the integers and scales of six weights take more than the
// weights, so the plan that changes nothing is better.
func TestNothingIsSmaller(t *testing.T) {
	job := smallJob(t)
	g, err := train.NewModel("mlp:2-3", []int{2}, 3, 1)
	if err != nil {
		t.Fatal(err)
	}
	file, err := Encode(g)
	if err != nil {
		t.Fatal(err)
	}
	job.Model, job.ModelBytes, job.Finetune = g, len(file), -1
	job.Budget = compactify.Budget{Kind: compactify.MetricDrop, Limit: 100}
	w := prepared(t, job)
	if w.folder, err = run.Create(filepath.Join(t.TempDir(), "out"), false); err != nil {
		t.Fatal(err)
	}
	p := Plan{}.clone()
	for _, l := range w.graph.Layers() {
		p.Schemes[l.Name()] = paths.Scheme{Bits: 8}
	}
	rounded, err := w.try(context.Background(), p, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	best, err := w.smaller(context.Background(), rounded)
	if err != nil || rounded.bytes <= job.ModelBytes || best.bytes >= rounded.bytes || len(best.plan.Schemes) != 0 {
		t.Errorf("got %d bytes instead of %d, original %d, error %v, want the plan that changes nothing", best.bytes, rounded.bytes, job.ModelBytes, err)
	}
}

// endable is a context that ends when the test says so.
type endable struct {
	context.Context
	ended bool
	err   error
}

func (e *endable) Err() error {
	if e.ended {
		return e.err
	}
	return nil
}

func (e *endable) Deadline() (time.Time, bool) { return time.Time{}, false }

// TestUnwritableFolder: the folder vanishes, and the error names a file of it.
func TestUnwritableFolder(t *testing.T) {
	job := smallJob(t)
	dir := filepath.Join(t.TempDir(), "out")
	folder, err := run.Create(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	job.Progress = func(stage string, _ float64) {
		if stage == "verifying" {
			os.RemoveAll(dir)
		}
	}
	if r, err := Run(context.Background(), job, folder); err == nil || !strings.Contains(err.Error(), ModelFile) {
		t.Errorf("got %+v, error %v, want an error that names %s", r, err, ModelFile)
	}
}
