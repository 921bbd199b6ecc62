package compress

import (
	"context"
	"fmt"
	"math"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/paths"
	"github.com/compactify/compactify/train"
)

// answers are the original model's distributions over the training examples:
// what fine-tuning imitates. It implements [train.Teacher].
type answers struct{ rows [][]float32 }

// newAnswers runs the original over the examples and keeps softmax(logits).
func newAnswers(ctx context.Context, g *graph.Graph, set *data.Set, output string, head train.HeadKind, pool *kernel.Pool) (*answers, error) {
	shape, err := train.ExampleShape(g)
	if err != nil {
		return nil, err
	}
	adapted, err := set.Adapt(shape)
	if err != nil {
		return nil, err
	}
	a := &answers{rows: make([][]float32, set.Len())}
	err = newRunner(g, output, pool).each(ctx, adapted, func(i int, answer []float32) {
		row := make([]float64, len(answer))
		for k, v := range answer {
			row[k] = float64(v)
		}
		head.LogProbabilities(row)
		a.rows[i] = make([]float32, len(row))
		for k, v := range row {
			a.rows[i][k] = float32(math.Exp(v))
		}
	})
	return a, err
}

// Target implements [train.Teacher].
func (a *answers) Target(dst []float32, i int) { copy(dst, a.rows[i]) }

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
// original, and returns it with integers in place of the grids.
func (w *work) tune(ctx context.Context, bits map[string]int, masks map[string]*train.Mask, epochs int, stage func(float64)) (*graph.Graph, error) {
	soft, err := paths.FakeQuantizeWeights(w.graph, bits)
	if err != nil {
		return nil, err
	}
	if w.teacher == nil {
		if w.teacher, err = newAnswers(ctx, w.graph, w.training, w.choosing.Output(), w.choosing.Head(), w.Pool); err != nil {
			return nil, err
		}
	}
	soft, _, err = train.Run(ctx, soft, w.training, train.Options{
		Epochs: epochs, Batch: tuneBatch, Rate: tuneRate, Decay: train.Cosine, Relative: true, Seed: w.Seed, Pool: w.Pool,
		Output: w.Output, Masks: masks, Teacher: w.teacher, Step: stage,
	})
	if err != nil {
		return nil, fmt.Errorf("fine-tune: %w", err)
	}
	return paths.Harden(soft)
}

// tunable reports whether the model can be fine-tuned: it answers with a
// distribution, and its batch is free.
func (w *work) tunable() bool {
	task := w.choosing.Task()
	return w.Finetune >= 0 && (task == Classification || task == Imitation) &&
		!w.graph.Inputs[0].Type.Shape[0].Known() && w.training.Len() >= 2
}
