package compress

import (
	"context"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/internal/run"
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

// prepare simplifies the model and splits the examples.
func (w *work) prepare(ctx context.Context) error {
	g, notes, err := Prepare(w.Model)
	if err != nil {
		return err
	}
	w.graph, w.notes = g, append(w.notes, notes...)
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

// split divides the examples into disjoint parts.
func (w *work) split() {
	p := Divide(w.Train, w.HeldOut, w.Seed)
	w.training, w.probe, w.chosen, w.HeldOut = p.Training, p.Calibration, p.Selection, p.HeldOut
	w.result.Data = DataUsed{Source: w.Source, Mapping: w.Mapping, Training: w.training.Len(), Calibration: w.probe.Len(),
		Selection: w.chosen.Len(), HeldOut: w.HeldOut.Len(), HeldOutFrom: p.HeldOutFrom}
}
