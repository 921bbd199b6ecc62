package compress

import (
	"context"
	"fmt"
	"math"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/internal/words"
	"github.com/compactify/compactify/paths"
	"github.com/compactify/compactify/tensor"
	"github.com/compactify/compactify/train"
)

// imitation is the original model as a teacher: it answers every batch that
// fine-tuning shows it. It implements [train.Teacher].
type imitation struct {
	program *engine.Program
	output  int
	head    train.HeadKind
	out     []tensor.Tensor
	row     []float64
	cool    float64 // logits are divided by this; 0 counts as 1
}

// newImitation compiles the original for batches of the given size.
func newImitation(g *graph.Graph, output string, head train.HeadKind, batch int, pool *kernel.Pool) (*imitation, error) {
	r := newRunner(g, output, pool)
	if r.err != nil {
		return nil, r.err
	}
	p, err := r.compile(batch)
	if err != nil {
		return nil, err
	}
	return &imitation{program: p, output: r.output, head: head, out: make([]tensor.Tensor, len(p.Outputs()))}, nil
}

// Teach implements [train.Teacher].
func (m *imitation) Teach(ctx context.Context, dst []float32, x tensor.Tensor) error {
	if err := m.program.Run(ctx, []tensor.Tensor{x}, m.out); err != nil {
		return err
	}
	answers := m.out[m.output].Float32s()
	width := len(answers) / x.Shape()[0]
	m.row = append(m.row[:0], make([]float64, width)...)
	for at := 0; at < len(answers); at += width {
		for k := range m.row {
			m.row[k] = float64(answers[at+k]) / max(1, m.cool)
		}
		m.head.LogProbabilities(m.row)
		for k, v := range m.row {
			dst[at+k] = float32(math.Exp(v))
		}
	}
	return nil
}

// varyShare is how much of another example is blended into each, for tuning and
// for the second opinion of the selection. Half was found to make ResNet-20 lose
// as much on images it was trained on as it loses on new ones.
const varyShare = 0.5

// way is a way to fine-tune. None is best for all: changed examples keep a model with
// many weights from learning few examples by heart, and take strength from a small one
// that has seen many; labels help where the original is wrong.
type way struct {
	varied float64 // the part of the examples that are shown changed
	labels float64 // the share of the label in what is learnt of the others
}

// labelShare is the share of labels in what is learnt.
const labelShare = 0.5

// ways lists the ways that a job may take, the one that suits most first.
func (w *work) ways() []way {
	labels := 0.0
	if w.Budget.Kind == compactify.MetricDrop && w.choosing.Task() == Classification && w.training.Classes() > 0 {
		labels = labelShare
	}
	switch {
	case w.canVary():
		return []way{{varied: 0.5, labels: labels}, {varied: 0.1, labels: labels}}
	case labels > 0:
		return []way{{}, {labels: labels}}
	}
	return []way{{}}
}

// The size of one fine-tuning, chosen by arithmetic alone so that every machine
// chooses the same: so many steps, fewer where a step is heavy.
const (
	tuneBatch    = 64
	tuneSteps    = 1000
	tuneWork     = 2.5e12 // multiply-adds, forward and backward
	tuneRate     = 1e-2   // of each parameter's root mean square
	backwardCost = 3      // a step costs about three forward passes
)

// tuneEpochs is how many passes over the training examples one fine-tuning
// takes.
func (w *work) tuneEpochs() int {
	if w.Finetune != 0 {
		return max(0, w.Finetune)
	}
	steps := float64(tuneSteps)
	if macs := multiplyAdds(w.graph); macs > 0 {
		steps = min(steps, tuneWork/(backwardCost*macs*tuneBatch))
	}
	perEpoch := float64(w.training.Len()) / tuneBatch
	return int(min(30, max(1, math.Ceil(steps/perEpoch))))
}

// multiplyAdds is the work of one example in convolutions and matrix products.
func multiplyAdds(g *graph.Graph) float64 {
	total := 0.0
	for _, l := range g.Layers() {
		size := float64(l.Param.Data.Len())
		for _, n := range l.Nodes {
			positions := 1.0
			if n.Kind() == "Conv" && n.Out[0].Type.Rank() > 2 {
				for _, d := range n.Out[0].Type.Shape[2:] {
					positions *= float64(max(1, d.Size))
				}
			}
			total += size * positions
		}
	}
	return total
}

// tune trains a model with fake-quantised weights and masks to imitate the
// original. It returns the weights as they were trained, and the model with
// integers in their place.
func (w *work) tune(ctx context.Context, g *graph.Graph, p Plan, masks map[string]*train.Mask, epochs int, stage func(float64)) (float, hard *graph.Graph, err error) {
	soft, err := paths.FakeQuantizeWeights(w.Pool, g, p.Schemes)
	if err != nil {
		return nil, nil, err
	}
	output, frozen := w.Output, map[string]bool(nil)
	cool := w.choosing.temperature()
	if cool > 1 {
		if soft, err = cooled(soft, w.choosing.Output(), cool); err != nil {
			return nil, nil, err
		}
		output, frozen = cooledOutput, map[string]bool{coolingParam: true}
	}
	batch := min(tuneBatch, w.training.Len())
	if w.teacher == nil {
		if w.teacher, err = newImitation(w.graph, w.choosing.Output(), w.choosing.Head(), batch, w.Pool); err != nil {
			return nil, nil, err
		}
		w.teacher.cool = cool
	}
	vary := 0.0
	if w.way.varied > 0 {
		vary = varyShare
	}
	soft, _, err = train.Run(ctx, soft, w.training, train.Options{
		Epochs: epochs, Batch: batch, Rate: tuneRate, Decay: train.Cosine, Relative: true, Seed: w.Seed, Pool: w.Pool,
		Output: output, Frozen: frozen, Masks: masks, Teacher: w.teacher, Vary: vary, VaryPart: w.way.varied, Labels: w.way.labels, Step: stage,
		Recomputed: func(r engine.Recomputation) {
			if !w.twice {
				w.twice = true
				w.notes = append(w.notes, words.Recomputed("fine-tuning", r.Steps, r.Saved))
			}
		},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("fine-tune: %w", err)
	}
	if cool > 1 {
		soft = warmed(soft)
	}
	hard, err = paths.Harden(w.Pool, soft)
	return withWeights(g, soft), hard, err
}

// withWeights is a graph with the parameters of the same names of another.
func withWeights(g, from *graph.Graph) *graph.Graph {
	values := make(map[string]tensor.Tensor, len(from.Params))
	for _, p := range from.Params {
		values[p.Name] = p.Data
	}
	c, _ := g.Clone()
	for _, p := range c.Params {
		if v, ok := values[p.Name]; ok {
			p.Data = v
		}
	}
	return c
}

// tunable reports whether the model can be fine-tuned: it answers with a
// distribution, and its batch is free.
func (w *work) tunable() bool {
	task := w.choosing.Task()
	return w.Finetune >= 0 && (task == Classification || task == Imitation) &&
		len(w.graph.Inputs) == 1 && w.training.Inputs() == nil && !w.graph.Inputs[0].Type.Shape[0].Known() && w.training.Len() >= 2
}
