package compress

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/internal/run"
	"github.com/compactify/compactify/paths"
)

// Job is what a run is asked to do. Model, ModelBytes, Train, Budget and Pool are required.
type Job struct {
	Model       *graph.Graph // the trained model
	ModelBytes  int          // its size on disk, external data included
	Train       *data.Set    // training, calibration and selection are taken from it
	HeldOut     *data.Set    // nil: a fifth of Train is set aside
	Source      string       // what the data was called, for the record
	Eval        string       // what the held-out data was called, if it is another source
	Mapping     string       // of two-class labels, for the record
	Output      string       // the output that answers; "" means the first
	Budget      compactify.Budget
	Paths       []string // kinds to combine; nil means prune, quantize and prune-channels
	Finetune    int      // epochs of each fine-tuning; 0 means chosen by the size of the work, negative none
	Activation  bool     // quantise activations to 8 bits as well
	Ranges      string   // how their ranges are chosen, see [RangeNames]; "" means what costs least on the calibration examples
	Calibrate   int      // calibration examples; 0 means at most 512
	Equalize    Choice   // equalise weights across layers
	Smooth      float64  // α of smoothing activations, in (0, 1]; 0 means one half if that costs less, negative never
	CorrectBias Choice   // give rounded layers their mean outputs back
	Bits        []int    // the widths that weights may have, of 8, 4 and 2; nil means all
	Opset       int      // the newest opset that the file may need; 0 means any
	MaxBytes    int      // the largest file that will do; 0 means any
	MaxMemory   int      // the most resident bytes; a job that is estimated to need more is refused; 0 means any
	Seed        uint64
	Pool        *kernel.Pool
	Asked       any      // what the user asked for, recorded as it is
	Command     []string // what was typed, for the report

	Notes []string // what the caller has to tell the user about the job

	// Warn, if set, is told at once of what makes the figures to come doubtful.
	Warn func(text string)
	// Estimated, if set, is told what memory the job will take before it starts.
	Estimated func(MemoryEstimate)
	// Progress, if set, is told what is being done and what share of the whole
	// is done.
	Progress func(stage string, done float64)
}

// work is a job in progress.
type work struct {
	Job
	graph    *graph.Graph // simplified, batch-symbolic where possible
	notes    []string
	training *data.Set
	probe    *data.Set // examples on which layers are compared, part of training
	ranging  *data.Set // examples on which ranges are measured, part of training
	chosen   *data.Set // selection examples
	choosing *bench
	probing  *bench
	varied   *bench // the selection examples, changed a little; nil if they cannot be
	channels channels
	teacher  *imitation
	way      way  // how plans are fine-tuned,
	settled  bool // which the first that is shows
	longer   int  // how many plans were fine-tuned again
	twice    bool // the notes say that fine-tuning computes some tensors twice
	tooFew   bool // the selection examples are too few: not even the original is surely within the budget
	folder   *run.Folder
	result   *Result
	trials   []*trial
	seen     map[string]paths.Moments // of the inputs of layers; nil: biases are not corrected
	familiar *Calibration             // the original's activations on the calibration examples
	plain    *graph.Graph             // the graph that familiar was counted on: graph before corrections
	rounded  *Rounded                 // how activations are rounded; nil until the first model
	count    counts
	expected int  // how many plans are going to be tuned in all
	stopped  bool // the context ended: what is left to do is done on few examples
}

// prepare simplifies the model and splits the examples.
func (w *work) prepare(ctx context.Context) error {
	g, notes, err := Prepare(w.Model)
	if err != nil {
		return err
	}
	w.graph, w.notes = g, append(slices.Clone(w.Notes), notes...)
	if err := w.split(); err != nil {
		return err
	}
	if err := w.checkOpset(); err != nil {
		return err
	}
	if err := w.estimateMemory(); err != nil {
		return err
	}
	if w.choosing, err = w.newBench(ctx, w.chosen, FileSize); err != nil {
		return err
	}
	if w.choosing.coupled {
		w.Finetune = -1
		w.notes = append(w.notes, "the model's answer to an example depends on the others in its batch: every example is run alone, and nothing is fine-tuned")
	}
	w.result.Baseline.MetricName, w.result.Head = w.choosing.MetricName(), w.choosing.headName()
	if err := w.choosing.checkBudget(w.Budget, w.choosing.original); err != nil {
		return err
	}
	w.checkSetup("selection", w.choosing.Evaluator, w.choosing.original)
	unchanged := trial{contract: newContract(w.Budget, w.choosing.original, w.choosing.original), lucky: w.lucky()}
	if w.tooFew = !unchanged.fits(); w.tooFew {
		few := fmt.Sprintf("%d selection examples are too few for an interval inside the budget", w.chosen.Len())
		if w.chosen.Len() == 1 {
			few = "one selection example gives no interval"
		}
		w.notes = append(w.notes, few+": choices went by estimates of half the budget; more data would help")
	}
	probe := w.probe
	if w.canVary() {
		probe = probe.Vary(w.Seed, "probe/vary", varyShare)
	}
	if w.probing, err = w.newBench(ctx, probe, nil); err != nil {
		return err
	}
	if err := w.meetCalibration(ctx); err != nil {
		return err
	}
	if err := w.applyCorrections(ctx); err != nil {
		return err
	}
	if err := w.findChannels(ctx); err != nil {
		return err
	}
	return w.prepareVaried(ctx)
}

// The work, in multiply-adds, of one pass over the probe, which every layer is
// measured by at several widths, and of the examples that the slow portable
// kernels verify a file on. Heavy models are measured on fewer examples.
const (
	probeWork  = 2e11
	leastProbe = 8
	verifyWork = 2e10
)

// affordable is how many examples a model computes with so much work, at least
// least.
func affordable(g *graph.Graph, work float64, least int) int {
	return int(max(float64(least), min(math.MaxInt32, work/max(1, multiplyAdds(g)))))
}

// split divides the examples into disjoint parts.
func (w *work) split() error {
	p, err := Divide(w.Train, w.HeldOut, w.Finetune >= 0 || w.Calibrate > maxProbe, w.Seed)
	if err != nil {
		return err
	}
	w.training, w.probe, w.chosen, w.HeldOut = p.Training, p.Calibration, p.Selection, p.HeldOut
	if n := affordable(w.graph, probeWork, leastProbe); n < w.probe.Len() {
		share := float64(n) / float64(w.probe.Len())
		w.probe = data.Split(w.probe, []float64{share, 1 - share}, w.Seed, "probe")[0]
	}
	w.ranging = p.Calibration
	if n := min(w.Calibrate, w.training.Len()); n > 0 {
		w.ranging = data.Split(w.training, []float64{float64(n) / float64(w.training.Len()), 1 - float64(n)/float64(w.training.Len())}, w.Seed, "ranges")[0]
	}
	w.result.Data = DataUsed{Source: w.Source, Eval: w.Eval, Mapping: w.Mapping, Training: w.training.Len(), Calibration: w.probe.Len(),
		Selection: w.chosen.Len(), HeldOut: w.HeldOut.Len(), HeldOutFrom: p.HeldOutFrom}
	if w.Eval != "" {
		w.result.Data.HeldOutFrom = "examples of a source of their own"
	}
	w.noteOverlap()
	return nil
}

// minVaried is how many changed examples the second opinion is based on at least,
// several of each where there are few.
const minVaried = 2400

// byHeart is the accuracy on the selection examples from which on a model may
// have learnt them by heart.
const byHeart = 0.995

// prepareVaried makes the second opinion of the selection. A model answers
// examples it was trained on with a confidence that hides what compression costs;
// the same examples shifted and blended are as hard as new ones. A drop of the
// metric is always judged on both. Distances between answers, which are larger on
// such examples than on real ones, only if the model may know the examples by
// heart, or if there are no labels to tell.
func (w *work) prepareVaried(ctx context.Context) (err error) {
	if !w.canVary() || w.Budget.Kind != compactify.MetricDrop && w.choosing.Summarize(w.choosing.original).Metric < byHeart {
		return nil
	}
	n := w.chosen.Len()
	idx := make([]int, max(n, min(minVaried, 4*n)))
	for i := range idx {
		idx[i] = i % n
	}
	set := w.chosen.Subset(idx).Vary(w.Seed, "selection/vary", varyShare)
	w.varied, err = w.newBench(ctx, set, nil)
	return err
}

// checkOpset refuses a model that needs a newer opset than the file may.
func (w *work) checkOpset() error {
	if need := w.graph.MinOpset(); w.Opset > 0 && need > w.Opset {
		return fmt.Errorf("opset %d: the model needs %d", w.Opset, need)
	}
	return nil
}

// canVary reports whether examples can be changed without leaving what the model
// is for: images may be shifted and blended.
func (w *work) canVary() bool {
	return len(w.chosen.Shape()) == 3 && w.choosing.Task() != Regression
}
