package compress

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/jsonnum"
	"github.com/compactify/compactify/internal/run"
	"github.com/compactify/compactify/internal/words"
	"github.com/compactify/compactify/paths"
	"github.com/compactify/compactify/tensor"
)

// Version is what results are stamped with.
const Version = "0.1.0"

// NoFitError says that no plan fits the budget. The result that goes with
// it says what was measured, and by which budget the best of it would fit.
//
// A model that failed on the held-out examples is kept. A run with the budget which
// that one needs would choose a smaller one on the selection examples, so it is no
// promise.
type NoFitError struct {
	Reason        string
	WouldFitBytes int               // the size of the best model if that is too large
	WouldFit      compactify.Budget // the least budget the best model would meet; zero if unknown
	Kept          string            // where the model is that failed on the held-out examples; "" if none did
}

func (e *NoFitError) Error() string { return e.Reason }

// Names of the artefacts in a run folder.
const (
	ModelFile       = "model.onnx"
	RejectedFile    = "model.rejected.onnx"
	CertificateFile = "certificate.json"
	ResultFile      = "result.json"
	ReportFile      = "report.html"
)

// Shares of the whole that the stages take, for the progress bar.
var stages = []struct {
	name  string
	share float64
}{
	{"preparing", 0.03}, {"walking prune", 0.05}, {"walking quantize", 0.03}, {"walking prune-", 0.04}, {"measuring layers", 0.1},
	{"fine-tuning plan", 0.6}, {"fine-tuning for longer", 0.07}, {"polishing", 0.03}, {"verifying", 0.05},
}

// Run does the job and leaves model, certificate, result and every measured
// point in the folder. The report is the caller's to render from the result.
//
// The error is a [*NoFitError] if nothing fits the budget; the result is then
// still returned. When ctx ends, the smallest model that fits so far is
// exported if there is one, and ctx's error returned with the result.
func Run(ctx context.Context, job Job, folder *run.Folder) (*Result, error) {
	start := time.Now()
	if job.Budget == (compactify.Budget{}) {
		job.Budget = compactify.DefaultBudget
	}
	w := &work{Job: job, folder: folder, result: newResult(job)}
	w.result.Files.Report = folder.Path(ReportFile)
	err := w.run(ctx)
	w.result.Seconds = time.Since(start).Seconds()
	w.result.MemoryPeak = engine.PeakResident()
	if err != nil {
		var none *NoFitError
		if !errors.As(err, &none) && ctx.Err() == nil {
			return nil, err
		}
	}
	if putErr := w.putResult(); putErr != nil {
		return nil, putErr
	}
	return w.result, err
}

func (w *work) run(ctx context.Context) error {
	if err := w.folder.Asked(w.Asked); err != nil {
		return err
	}
	w.progress("preparing", 0)
	if err := w.prepare(ctx); err != nil {
		return err
	}
	if err := w.walk(ctx); err != nil {
		return err
	}
	best, err := w.search(ctx)
	if err == nil && best != nil && best.fits() {
		best, err = w.polish(ctx, best)
	}
	if err == nil && best != nil {
		best, err = w.smaller(ctx, best)
	}
	if err == nil && (best == nil || !best.fits()) {
		return w.noFit()
	}
	if err == nil {
		err = w.export(ctx, best)
	} else {
		best = w.bestSoFar()
	}
	if err == nil || best == nil || ctx.Err() == nil || w.result.SHA256 != "" {
		return err
	}
	return w.exportStopped(ctx, best, err)
}

// smaller is the best trial or, where its file is no smaller than the original, the
// plan that changes nothing, if that takes fewer bytes.
func (w *work) smaller(ctx context.Context, best *trial) (*trial, error) {
	if best.bytes < w.ModelBytes {
		return best, nil
	}
	plain, err := w.try(ctx, Plan{}.clone(), 0, nil)
	if err == nil && plain.fits() && plain.bytes < best.bytes {
		best = plain
	}
	return best, err
}

// The work that a stopped run still does: the program has promised to end soon.
const (
	stoppedHeldOut = 256
	stoppedVerify  = 8
	stoppedLatency = 5 * time.Millisecond
)

// exportStopped exports the best trial of a run that was stopped, verified and
// measured on fewer examples. The error is that which stopped the run, or the
// export's own.
func (w *work) exportStopped(ctx context.Context, best *trial, stopped error) error {
	all := w.HeldOut.Len()
	w.stopped = true
	if all > stoppedHeldOut {
		w.HeldOut = data.Split(w.HeldOut, []float64{stoppedHeldOut / float64(all)}, w.Seed, "stopped")[0]
	}
	w.result.Data.HeldOut = w.HeldOut.Len()
	w.notes = append(w.notes, fmt.Sprintf("stopped before the search was finished: the model is the smallest that fitted so far, measured on %d of %d held-out examples", w.HeldOut.Len(), all))
	if err := w.export(context.WithoutCancel(ctx), best); err != nil {
		return errors.Join(stopped, err)
	}
	return stopped
}

// bestSoFar is the smallest trial that fits, nil if none does.
func (w *work) bestSoFar() *trial {
	var best *trial
	for _, t := range w.trials {
		if t.fits() && (best == nil || t.bytes < best.bytes) {
			best = t
		}
	}
	return best
}

// noFit records the trials and says by which budget the nearest would fit.
func (w *work) noFit() error {
	w.recordTrials()
	w.result.Notes = append(slices.Clone(w.result.Warnings), w.notes...)
	var near *trial
	for _, t := range w.trials {
		if near == nil || w.nearer(t, near) {
			near = t
		}
	}
	e := &NoFitError{Reason: fmt.Sprintf("budget %v: no plan fits on the selection examples, of which there are %d", w.Budget, w.chosen.Len())}
	if w.chosen.Len() == 1 {
		e.Reason = fmt.Sprintf("budget %v: no plan is known to fit: one selection example gives no interval; more data would", w.Budget)
	}
	if near != nil {
		e.WouldFit = w.wouldFit(near)
	}
	if e.WouldFit != (compactify.Budget{}) {
		e.Reason = fmt.Sprintf("budget %v: the nearest plan needs %v on the selection examples; nothing smaller fits", w.Budget, e.WouldFit)
		w.result.WouldFit = e.WouldFit.String()
	}
	w.result.Rejected = e.Reason
	return e
}

func (w *work) nearer(a, b *trial) bool {
	if w.Budget.Kind == compactify.MinSNR {
		return a.needs() > b.needs()
	}
	return a.needs() < b.needs()
}

// wouldFit is the least budget, to two digits, that a trial meets; zero if no
// finite one does.
func (w *work) wouldFit(t *trial) compactify.Budget {
	b := compactify.Budget{Kind: w.Budget.Kind}
	x := t.needs()
	switch {
	case math.IsNaN(x) || math.IsInf(x, 0):
		return compactify.Budget{}
	case b.Kind == compactify.MinSNR:
		b.Limit = math.Floor(x)
	case x > 0:
		b.Limit = ceilTwoDigits(x)
	}
	return b
}

// ceilTwoDigits rounds a positive number up to two significant decimal digits.
func ceilTwoDigits(x float64) float64 {
	for digits := x; ; digits *= 1.005 { // half the least distance of two such numbers
		y, err := strconv.ParseFloat(strconv.FormatFloat(digits, 'e', 1, 64), 64)
		if err != nil || y >= x {
			return y
		}
	}
}

// walk measures each path by itself, without tuning, on the selection examples:
// the profiles the report shows.
func (w *work) walk(ctx context.Context) error {
	eval, err := w.profiling(ctx)
	if err != nil {
		return err
	}
	for _, kind := range w.kinds() {
		p, err := paths.New(kind, w.graph, paths.Options{Pool: w.Pool})
		if err != nil && len(w.Paths) == 0 && kind == removeChannels {
			w.notes = append(w.notes, err.Error())
			continue
		}
		if err != nil {
			return err
		}
		done := 0
		steps := compactify.Steps{Budget: w.Budget, Grid: 10, Approach: 2, Refine: 3, Observe: func(q compactify.Point) {
			done++
			w.progress("walking "+kind, min(1, float64(done)/16))
		}}
		profile, err := compactify.Walk(ctx, kind, p, eval, steps)
		if err != nil {
			return err
		}
		curve := NewCurve(profile, w.Budget)
		w.result.Profiles = append(w.result.Profiles, curve)
		if err := w.point("profile", curve); err != nil {
			return err
		}
	}
	return nil
}

// profileExamples is how many selection examples a profile is measured on: enough
// to draw a curve.
const profileExamples = 2000

// profiling measures the profiles, on the first of the selection examples where
// there are many.
func (w *work) profiling(ctx context.Context) (*bench, error) {
	if w.chosen.Len() <= profileExamples {
		return w.choosing, nil
	}
	idx := make([]int, profileExamples)
	for i := range idx {
		idx[i] = i
	}
	return w.newBench(ctx, w.chosen.Subset(idx), FileSize)
}

// The kinds of paths that change the structure: groups of channels get narrower,
// and blocks go.
const (
	removeChannels = "prune-channels"
	removeBlocks   = "prune-blocks"
)

// kinds are the paths of the job.
func (w *work) kinds() []string {
	if len(w.Paths) == 0 {
		return []string{"prune", "quantize", removeChannels}
	}
	return w.Paths
}

// progress reports a stage and its share of the whole.
func (w *work) progress(stage string, done float64) {
	if w.Progress == nil {
		return
	}
	before, at, named := 0.0, 0.0, ""
	for _, s := range stages {
		if strings.HasPrefix(stage, s.name) && len(s.name) > len(named) {
			at, named = before+s.share*done, s.name
		}
		before += s.share
	}
	if named != "" {
		w.Progress(stage, at)
	}
}

// point records a measured point in the run folder.
func (w *work) point(what string, v any) error {
	return w.folder.Point(map[string]any{"what": what, "value": v})
}

// export writes the chosen model and judges the written file.
func (w *work) export(ctx context.Context, best *trial) error {
	best.chosen = true
	w.recordTrials()
	w.progress("verifying", 0)
	model, err := w.withBatch(best.model)
	if err != nil {
		return err
	}
	file, err := Encode(model)
	if err != nil {
		return err
	}
	back, err := reload(file)
	if err != nil {
		return err
	}
	r := w.result
	if r.Verify, err = w.verify(ctx, back, best.model); err != nil {
		return err
	}
	w.progress("verifying", 0.3)
	if err := w.heldOut(ctx, back, len(file)); err != nil {
		return err
	}
	w.progress("verifying", 0.9)
	if err := w.describe(best, back, len(file)); err != nil {
		return err
	}
	return w.keep(file)
}

// heldOut shows the held-out examples to the original and, once, to the file.
func (w *work) heldOut(ctx context.Context, file *graph.Graph, bytes int) error {
	e, err := NewEvaluator(ctx, w.graph, w.HeldOut, w.Output, w.Pool, nil)
	if err != nil {
		return err
	}
	e.JudgeFor(w.Budget)
	original, err := e.Outcomes(ctx, w.graph)
	if err != nil {
		return err
	}
	w.checkSetup("held-out", e, original)
	batched, _ := symbolic(file)
	compact, err := e.Outcomes(ctx, batched)
	if err != nil {
		return err
	}
	if !w.stopped {
		if err := w.compareDomain(ctx, "held-out", w.HeldOut); err != nil {
			return err
		}
	}
	before, after := e.Summarize(original), e.Summarize(compact)
	r := w.result
	r.Budget = newContract(w.Budget, original, compact)
	r.Head = e.headName()
	r.Baseline = Baseline{Metric: jsonnum.Float(before.Metric), MetricName: e.MetricName(), Loss: jsonnum.Float(before.Loss),
		Bytes: w.ModelBytes, Params: w.Model.NumParams()}
	r.Compact = Compact{Metric: jsonnum.Float(after.Metric), Loss: jsonnum.Float(after.Loss), Bytes: bytes, KL: jsonnum.Float(after.KL)}
	if r.Baseline.Latency, err = w.latency(ctx, w.Model); err != nil {
		return err
	}
	r.Compact.Latency, err = w.latency(ctx, file)
	return err
}

// withBatch gives the exported model the batch dimension of the original.
func (w *work) withBatch(g *graph.Graph) (*graph.Graph, error) {
	c, _ := g.Clone()
	for i, v := range c.Inputs {
		v.Type.Shape = w.Model.Inputs[i].Type.Shape
	}
	for _, n := range c.Nodes {
		for _, v := range n.Out {
			if v != nil && n.Rule() != nil {
				v.Type = tensor.Type{}
			}
		}
	}
	return c, c.Infer()
}

// bound says on which side of its limit the budget's quantity must be.
func (w *work) bound() string {
	if w.Budget.Kind == compactify.MinSNR {
		return "at least"
	}
	return "at most"
}

// keep writes the model, under the name its verdict earns, and the certificate.
func (w *work) keep(file []byte) error {
	r := w.result
	name, reason := ModelFile, w.fault(len(file))
	if reason != "" {
		name = RejectedFile
	}
	sum, err := w.folder.Put(name, file)
	if err != nil {
		return err
	}
	r.SHA256 = sum
	r.Files = Files{Model: w.folder.Path(name), Report: w.folder.Path(ReportFile), Certificate: w.folder.Path(CertificateFile)}
	if err := w.putCertificate(); err != nil {
		return err
	}
	if reason == "" {
		return nil
	}
	e := &NoFitError{Reason: reason}
	r.Rejected = reason
	if r.Verify.OK && w.tooLarge(len(file)) {
		e.WouldFitBytes = len(file)
		r.WouldFitBytes = len(file)
	}
	if r.Verify.OK && r.Budget.Verdict == NotMet {
		e.Kept = r.Files.Model
		if e.WouldFit = w.wouldFit(&trial{contract: r.Budget}); e.WouldFit != (compactify.Budget{}) {
			r.WouldFit = e.WouldFit.String()
		}
	}
	return e
}

// fault says why a file of so many bytes is rejected, "" if it is not.
func (w *work) fault(bytes int) string {
	r := w.result
	if !r.Verify.OK {
		return "verification: " + r.Verify.problem()
	}
	failed := r.Budget.Verdict == NotMet
	reason := ""
	if failed {
		reason = fmt.Sprintf("budget %v: the held-out examples show %v, want %s %v", w.Budget,
			words.Amount(w.Budget.Kind, float64(r.Budget.Measured)), w.bound(), words.Amount(w.Budget.Kind, w.Budget.Limit))
	}
	switch {
	case !w.tooLarge(bytes):
	case failed:
		reason += fmt.Sprintf("; size: the model has %d bytes, want at most %d", bytes, w.MaxBytes)
	default:
		reason = fmt.Sprintf("size: the smallest model that fits has %d bytes, want at most %d", bytes, w.MaxBytes)
	}
	return reason
}

func (w *work) tooLarge(bytes int) bool { return w.MaxBytes > 0 && bytes > w.MaxBytes }

// Certificate is what is claimed of a compact model, with the numbers behind it.
type Certificate struct {
	SHA256   string    `json:"sha256"` // of the model file
	Contract Contract  `json:"contract"`
	Verify   Verify    `json:"verify"`
	Before   LedgerSum `json:"ledger_before"`
	After    LedgerSum `json:"ledger_after"`
	Data     DataUsed  `json:"data"`
	Seed     uint64    `json:"seed"`
	Version  string    `json:"version"`
	Kernel   string    `json:"kernel"`
}

func (w *work) putCertificate() error {
	r := w.result
	return w.putJSON(CertificateFile, Certificate{SHA256: r.SHA256, Contract: r.Budget, Verify: r.Verify, Before: r.Before, After: r.After,
		Data: r.Data, Seed: r.Seed, Version: r.Version, Kernel: r.Kernel})
}

func (w *work) putResult() error { return w.putJSON(ResultFile, w.result) }

func (w *work) putJSON(name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	_, err = w.folder.Put(name, append(b, '\n'))
	return err
}

func (w *work) recordTrials() {
	w.result.Evaluations, w.result.CacheHits, w.result.Tunings = w.count.evaluations, w.count.hits, w.count.tunings
	w.result.Trials = nil
	for _, t := range w.trials {
		w.result.Trials = append(w.result.Trials, t.record())
	}
}
