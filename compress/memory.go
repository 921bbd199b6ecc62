package compress

import (
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/words"
	"github.com/compactify/compactify/paths"
	"github.com/compactify/compactify/tensor"
	"github.com/compactify/compactify/train"
)

// MemoryEstimate is what a run is expected to occupy at its peak, found before the
// work starts.
type MemoryEstimate struct {
	Bytes int          `json:"bytes"` // the sum of the parts
	Need  int          `json:"need"`  // without what the collector leaves lying: the least that will do
	Parts []MemoryPart `json:"parts"`
}

// MemoryPart is one use of memory.
type MemoryPart struct {
	What  string `json:"what"`
	Bytes int    `json:"bytes"`
}

func (m *MemoryEstimate) add(what string, bytes int) {
	if bytes > 0 {
		m.Parts = append(m.Parts, MemoryPart{what, bytes})
		m.Bytes += bytes
	}
}

// String is the estimate in words, the largest part first.
func (m MemoryEstimate) String() string {
	parts := slices.Clone(m.Parts)
	slices.SortStableFunc(parts, func(a, b MemoryPart) int { return b.Bytes - a.Bytes })
	var list []string
	for _, p := range parts[:min(len(parts), 4)] {
		list = append(list, p.What+" "+words.Size(p.Bytes))
	}
	return words.Size(m.Bytes) + ", of that " + strings.Join(list, ", ")
}

// cappedError is an [engine.MemoryError] with what takes the memory.
type cappedError struct {
	estimate MemoryEstimate
	cap      int
}

func (e *cappedError) Error() string {
	return fmt.Sprintf("memory: the run needs %v; want at most %s", e.estimate, words.Size(e.cap))
}

func (e *cappedError) Unwrap() error {
	return &engine.MemoryError{Need: e.estimate.Need, Limit: e.cap}
}

// estimateMemory finds what the job will take at its peak, before any work is
// done, and tells it. The error wraps an [engine.MemoryError] if that is more than
// the job may take.
func (w *work) estimateMemory() error {
	if err := w.foresee(); err != nil {
		return err
	}
	w.measureLoaded()
	m := &w.result.Memory
	weights := weightBytes(w.graph)
	m.add("copies of the weights that the search compares", searchCopies*weights)
	m.add("answers of the original", w.answerBytes())
	running, err := engine.Estimate(w.graph, w.runner().options(w.evaluated()))
	if err != nil {
		return fmt.Errorf("evaluation: %w", err)
	}
	running += weights // as kernels want them
	tuning, err := w.tuningBytes()
	if err != nil {
		return err
	}
	watching := 0
	if w.Activation {
		watching = watchBytes(w.graph, w.evaluated())
	}
	// The two do not run at once, and each leaves its memory to the other.
	if tuning > running+watching {
		m.add("fine-tuning", tuning)
	} else {
		m.add("evaluation", running)
		m.add("calibration", watching)
	}
	m.Need = m.Bytes
	if w.MaxMemory > 0 && m.Need > w.MaxMemory {
		return &cappedError{*m, w.MaxMemory}
	}
	garbage := garbageShare*(m.Need-ProgramBytes)/100 + garbageLeast
	if w.MaxMemory > 0 {
		garbage = min(garbage, w.MaxMemory-m.Need)
	}
	m.add("garbage to be collected", garbage)
	w.result.MemoryBytes = m.Bytes
	if w.Estimated != nil {
		w.Estimated(*m)
	}
	return nil
}

// What the collector lets lie before it runs: a share of what is in use, in
// percent, as the command line sets it, and what is never worth a run.
const (
	garbageShare = 50
	garbageLeast = 12 << 20
)

// searchCopies is how many copies of a model's weights the search holds at once,
// in units of the float32 weights: integers of all trials, a model in the making
// and its file.
const searchCopies = 3

// foresee finds the task of the job as far as it shows without running the model.
func (w *work) foresee() error {
	head, err := train.FindHead(w.graph, w.Output)
	if err != nil {
		return err
	}
	set, err := adapt(w.graph, w.chosen)
	if err != nil {
		return err
	}
	width := 1
	for _, d := range head.Output.Type.Shape[min(1, head.Output.Type.Rank()):] {
		if d.Known() {
			width *= d.Size
		}
	}
	w.choosing = &bench{Evaluator: &Evaluator{set: set, pool: w.Pool, outputs: []string{head.Output.Name}, head: head.Kind, made: head.Activation, width: width}}
	w.choosing.JudgeFor(w.Budget)
	return nil
}

// measureLoaded adds what is in memory already.
func (w *work) measureLoaded() {
	debug.FreeOSMemory() // what reading left behind is not needed any more
	examples := dataBytes(w.Train, w.HeldOut)
	m := &w.result.Memory
	m.add("model", w.ModelBytes)
	m.add("examples", examples)
	m.add("program", max(ProgramBytes, engine.Resident()-w.ModelBytes-examples))
}

// ProgramBytes is what the program itself takes at least, once all its code has
// run.
const ProgramBytes = 24 << 20

// dataBytes is the memory of sets, shared storage counted once.
func dataBytes(sets ...*data.Set) int {
	total := 0
	for i, s := range sets {
		if s != nil && !slices.ContainsFunc(sets[:i], func(t *data.Set) bool { return t != nil && t.SharesStorage(s) }) {
			total += s.StoredBytes()
		}
	}
	return total
}

// answerBytes is what the original's answers and the outcomes of one model take.
func (w *work) answerBytes() int {
	const header, outcome = 24, 5 * 8
	n := 2*w.chosen.Len() + w.probe.Len() + w.HeldOut.Len()
	if w.canVary() {
		n += max(w.chosen.Len(), min(minVaried, 4*w.chosen.Len()))
	}
	return n * (4*w.choosing.width + header + outcome)
}

// evaluated is how many examples one run of the model measures.
func (w *work) evaluated() int {
	return w.runner().batchSize(w.chosen.Len())
}

// runner is the one that the selection examples are run by.
func (w *work) runner() *runner {
	r := newRunner(w.graph, w.choosing.Output(), w.Pool)
	r.set = w.choosing.set
	return r
}

// watchBytes is what calibration takes: histograms and the values of one batch.
func watchBytes(g *graph.Graph, batch int) int {
	values := paths.Activations(g)
	watch := &graph.Graph{Outputs: values}
	batch = min(batch, watchedBatch(watch))
	return len(values)*paths.HistogramBytes + batch*watchedPerExample(watch)
}

// tuningBytes is what fine-tuning takes, 0 if there is none.
func (w *work) tuningBytes() (int, error) {
	if !w.tunable() || w.tuneEpochs() == 0 {
		return 0, nil
	}
	soft, err := paths.FakeQuantizeWeights(w.Pool, w.graph, paths.Uniform(w.graph, paths.Scheme{Bits: 8}))
	if err != nil {
		return 0, nil // the search will say why these weights cannot be tuned
	}
	batch := min(tuneBatch, w.training.Len())
	bytes, err := train.Estimate(soft, w.training, train.Options{Batch: batch, Pool: w.Pool, Output: w.Output, Teacher: new(imitation)})
	var short *engine.MemoryError
	if err != nil {
		if errors.As(err, &short) {
			return 0, fmt.Errorf("fine-tuning: %w", err)
		}
		return 0, nil // nor if it cannot be trained
	}
	teacher, err := engine.Estimate(w.graph, w.runner().options(batch))
	if err != nil {
		return 0, fmt.Errorf("fine-tuning: %w", err)
	}
	return min(bytes, math.MaxInt-teacher) + teacher, nil
}

// weightBytes is the size of the float32 weights.
func weightBytes(g *graph.Graph) int {
	total := 0
	for _, p := range g.Params {
		if p.Data.DType() == tensor.Float32 {
			total += len(p.Data.Raw())
		}
	}
	return total
}
