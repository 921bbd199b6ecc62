package compress

import (
	"context"
	"errors"
	"fmt"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/internal/stream"
	"github.com/compactify/compactify/internal/words"
	"github.com/compactify/compactify/paths"
	"github.com/compactify/compactify/tensor"
	"github.com/compactify/compactify/train"
)

// Tuning is how the models of a walk are fine-tuned. Graph, Training, Judge and Pool
// are required.
type Tuning struct {
	Graph    *graph.Graph // the original, as [Prepare] made it
	Training *data.Set
	Judge    *Evaluator // of the original
	Labels   bool       // learn the labels; otherwise imitate the original's answers
	Seed     uint64
	Pool     *kernel.Pool

	Step func(done float64) // told what share of a fine-tuning is done; may be nil
	Note func(note string)  // told once what the user should know; may be nil

	teacher *imitation
	noted   bool
}

// Check returns the bytes that fine-tuning will take beyond the model and the data,
// or says why it is impossible. The error wraps an [engine.MemoryError] if there is
// not so much.
func (t *Tuning) Check() (int, error) {
	if err := t.possible(); err != nil {
		return 0, err
	}
	o := t.options(1)
	bytes := 0
	if !t.Labels {
		teacher, err := t.imitated(o.Batch)
		if err != nil {
			return 0, err
		}
		o.Teacher, bytes = teacher, teacher.program.Memory()
	}
	more, err := train.Estimate(t.Graph, t.Training, o)
	return bytes + more, err
}

// possible says what speaks against fine-tuning.
func (t *Tuning) possible() error {
	task := t.Judge.Task()
	switch {
	case t.Labels && !t.Training.Labeled():
		return fmt.Errorf("fine-tune on labels: the data set %q has none", t.Training.Name())
	case !t.Labels && task != Classification && task != Imitation:
		return fmt.Errorf("fine-tune: the model is judged by its outputs as numbers (%s), and only distributions are imitated", task)
	case t.Graph.Inputs[0].Type.Shape[0].Known():
		return fmt.Errorf("fine-tune: the model's batch is fixed at %v and cannot be freed", t.Graph.Inputs[0].Type.Shape[0])
	case t.Training.Len() < 2:
		return fmt.Errorf("fine-tune: examples: got %d, want at least 2", t.Training.Len())
	}
	return nil
}

// For is the fine-tuning of so many epochs, as [paths.Options] takes it. Images are
// shifted and blended where the original's answers are imitated.
func (t *Tuning) For(epochs int) paths.Tune {
	return func(ctx context.Context, g *graph.Graph, masks map[string]*train.Mask, remask train.Remask) (*graph.Graph, error) {
		o := t.options(epochs)
		o.Masks, o.Remask = masks, remask
		if !t.Labels {
			teacher, err := t.imitated(o.Batch)
			if err != nil {
				return nil, err
			}
			o.Teacher = teacher
			if len(t.Training.Shape()) == 3 {
				o.Vary = varyShare
			}
		}
		tuned, _, err := train.Run(ctx, g, t.Training, o)
		if err != nil {
			return nil, fmt.Errorf("fine-tune: %w", err)
		}
		return tuned, nil
	}
}

func (t *Tuning) options(epochs int) train.Options {
	return train.Options{Epochs: epochs, Batch: min(tuneBatch, t.Training.Len()), Rate: tuneRate, Decay: train.Cosine, Relative: true,
		Seed: t.Seed, Pool: t.Pool, Output: t.Judge.Output(), Step: t.Step, Recomputed: t.recomputed}
}

func (t *Tuning) imitated(batch int) (_ *imitation, err error) {
	if t.teacher == nil {
		t.teacher, err = newImitation(t.Graph, t.Judge.Output(), t.Judge.Head(), batch, t.Pool)
	}
	return t.teacher, err
}

func (t *Tuning) recomputed(r engine.Recomputation) {
	if !t.noted && t.Note != nil {
		t.noted = true
		t.Note(words.Recomputed("fine-tuning", r.Steps, r.Saved))
	}
}

// gradientBatch is how many examples a gradient of [Gradients] is the mean of: few,
// so that what one example needs is not hidden by what another does not.
const gradientBatch = 8

// Gradients are the sizes of the loss's gradient over examples by which
// [paths.Options] scores weights. The loss is that of the labels. Where there are
// none, the distance from the original's answers would have no gradient at the
// original itself; labels are drawn from its answers instead, so that the mean
// square is the diagonal of the Fisher information.
//
// Source for the latter: L. Theis et al., "Faster gaze prediction with dense
// networks and Fisher pruning", arXiv:1801.05787 (2018), section 2.
func Gradients(ctx context.Context, g *graph.Graph, examples *data.Set, judge *Evaluator, seed uint64, pool *kernel.Pool, step func(float64)) (map[string][]float32, error) {
	batch := min(gradientBatch, examples.Len())
	if d := g.Inputs[0].Type.Shape[0]; d.Known() {
		batch = max(1, d.Size)
	}
	o := train.Options{Batch: batch, Pool: pool, Output: judge.Output(), Step: step}
	switch judge.Task() {
	case Signal:
		return nil, errors.New("score by gradients: the model's outputs are numbers without labels, whose loss has no gradient at the original: want magnitudes")
	case Imitation:
		teacher, err := newImitation(g, judge.Output(), judge.Head(), batch, pool)
		if err != nil {
			return nil, err
		}
		o.Teacher = &drawn{imitation: teacher, seed: seed}
	}
	all, err := train.Gradients(ctx, g, examples, o)
	if err != nil {
		return nil, fmt.Errorf("score by gradients: %w", err)
	}
	return all, nil
}

// drawn is a teacher that answers with labels drawn from the original's answers.
type drawn struct {
	*imitation
	seed  uint64
	asked uint64 // examples so far
}

// Teach implements [train.Teacher].
func (d *drawn) Teach(ctx context.Context, dst []float32, x tensor.Tensor) error {
	if err := d.imitation.Teach(ctx, dst, x); err != nil {
		return err
	}
	rows := x.Shape()[0]
	width := len(dst) / rows
	for i := range rows {
		draw(dst[i*width:(i+1)*width], stream.New(d.seed, "gradients/labels", d.asked).Float64())
		d.asked++
	}
	return nil
}

// draw makes a distribution certain of the class in which the share u of it ends.
func draw(row []float32, u float64) {
	label, sum := 0, 0.0
	for k, p := range row {
		if p > 0 && sum <= u {
			label = k
		}
		sum += float64(p)
	}
	clear(row)
	row[label] = 1
}

// JumpRow is one jump of a profile.
type JumpRow struct {
	T       float64
	Tau     float64 // the score that is reached; NaN where no threshold rules
	Removed int     // weights, once it is
	Before  float64 // the loss on the left
	After   float64 // the loss at Tau
}

// JumpTable lists the jumps of a pruning profile that were measured on both sides:
// all, for a walk that was exact.
func JumpTable(points []CurvePoint, p *paths.Prune) []JumpRow {
	var rows []JumpRow
	for i := 1; i < len(points); i++ {
		t := float64(points[i].T)
		if _, next := p.Jumps(float64(points[i-1].T)); next != t {
			continue
		}
		rows = append(rows, JumpRow{T: t, Tau: p.Threshold(t), Removed: p.Removed(t), Before: float64(points[i-1].Loss), After: float64(points[i].Loss)})
	}
	return rows
}
