package compress

import (
	"context"
	"fmt"
	"slices"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/internal/run"
	"github.com/compactify/compactify/tensor"
)

// Job is what a run is asked to do. Model, ModelBytes, Train, Budget and Pool are required.
type Job struct {
	Model      *graph.Graph // the trained model
	ModelBytes int          // its size on disk, external data included
	Train      *data.Set    // training, calibration and selection are taken from it
	HeldOut    *data.Set    // nil: a fifth of Train is set aside
	Source     string       // what the data was called, for the record
	Mapping    string       // of two-class labels, for the record
	Output     string       // the output that answers; "" means the first
	Budget     compactify.Budget
	Paths      []string // kinds to combine; nil means prune and quantize
	Finetune   int      // epochs of each fine-tuning; 0 means chosen by the size of the work, negative none
	Activation bool     // quantise activations to 8 bits as well
	MaxBytes   int      // the largest file that will do; 0 means any
	Seed       uint64
	Pool       *kernel.Pool
	Asked      any // what the user asked for, recorded as it is

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
	probe    *data.Set // calibration examples, part of training
	chosen   *data.Set // selection examples
	choosing *Evaluator
	probing  *Evaluator
	teacher  *answers
	original Outcome // of the simplified model on the selection examples
	folder   *run.Folder
	result   *Result
	trials   []*trial
}

// The parts of the training examples: this share decides, at most so many; the
// rest trains, and some of the rest calibrate.
const (
	selectionShare = 0.2
	maxSelection   = 10000
	maxProbe       = 512
	heldOutShare   = 0.2
)

// prepare simplifies the model and splits the examples.
func (w *work) prepare(ctx context.Context) error {
	if err := w.Model.CheckFinite(); err != nil {
		return err
	}
	g, notes, err := engine.Simplify(w.Model)
	if err != nil {
		return err
	}
	w.notes = append(w.notes, notes...)
	w.graph = w.symbolic(g)
	w.split()
	if w.choosing, err = NewEvaluator(ctx, w.graph, w.chosen, w.Output, w.Pool, fileSize); err != nil {
		return err
	}
	if w.original, err = w.choosing.Outcomes(ctx, w.graph); err != nil {
		return err
	}
	w.probing, err = NewEvaluator(ctx, w.graph, w.probe, w.Output, w.Pool, nil)
	return err
}

// symbolic frees a fixed batch dimension, so that many examples run at once. A
// model that resists keeps its batch, and the notes say why.
func (w *work) symbolic(g *graph.Graph) *graph.Graph {
	if len(g.Inputs) != 1 || g.Inputs[0].Type.Rank() < 1 {
		return g
	}
	if d := g.Inputs[0].Type.Shape[0]; !d.Known() {
		if d.Name != "" {
			return g
		}
		c, _ := g.Clone()
		shape := slices.Clone(c.Inputs[0].Type.Shape)
		shape[0] = tensor.Symbol("N")
		c.Inputs[0].Type.Shape = shape
		if c.Infer() == nil {
			return c
		}
		return g
	}
	c, err := graph.Rebatch(g, "N")
	if err != nil {
		w.notes = append(w.notes, fmt.Sprintf("the model's batch stays at %v: %v", g.Inputs[0].Type.Shape[0], err))
		return g
	}
	return c
}

// split divides the examples into disjoint parts.
func (w *work) split() {
	all := w.Train
	if w.HeldOut == nil {
		parts := data.Split(all, []float64{1 - heldOutShare, heldOutShare}, w.Seed, "held-out")
		all, w.HeldOut = parts[0], parts[1]
		w.result.Data.HeldOutFrom = "a fifth of the examples, set aside by seed"
	} else {
		w.result.Data.HeldOutFrom = "the source's own test examples"
	}
	share := min(selectionShare, float64(maxSelection)/float64(max(1, all.Len())))
	parts := data.Split(all, []float64{1 - share, share}, w.Seed, "selection")
	w.training = parts[0]
	w.result.Data.Selection = parts[1].Len()
	w.chosen = parts[1]
	share = min(1, float64(maxProbe)/float64(max(1, w.training.Len())))
	w.probe = w.training
	if share < 1 {
		w.probe = data.Split(w.training, []float64{share, 1 - share}, w.Seed, "calibration")[0]
	}
	d := &w.result.Data
	d.Source, d.Mapping = w.Source, w.Mapping
	d.Training, d.Calibration, d.HeldOut = w.training.Len(), w.probe.Len(), w.HeldOut.Len()
}
