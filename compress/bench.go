package compress

import (
	"context"
	"fmt"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/graph"
)

// bench measures models on one set of examples against the original model, each
// model once. It implements [compactify.Evaluator].
type bench struct {
	*Evaluator
	budget   compactify.Budget
	original Outcome // of the simplified original
	known    map[string]judgement
	count    *counts
}

// counts is how often models were run over a set of examples, how often that was
// not needed because the same model had been measured on them before, and how
// many models were fine-tuned.
type counts struct{ evaluations, hits, tunings int }

// judgement is what was measured of a model.
type judgement struct {
	measure  compactify.Measure
	contract Contract
	score    []float64 // of each example, as in [Outcome]
	doubt    []float64
}

// newBench measures the original on the examples.
func (w *work) newBench(ctx context.Context, set *data.Set, sizeOf func(*graph.Graph) (int, error)) (*bench, error) {
	e, err := NewEvaluator(ctx, w.graph, set, w.Output, w.Pool, sizeOf)
	if err != nil {
		return nil, err
	}
	e.JudgeFor(w.Budget)
	b := &bench{Evaluator: e, budget: w.Budget, known: make(map[string]judgement), count: &w.count}
	b.original, err = e.Outcomes(ctx, w.graph)
	if err == nil {
		b.count.evaluations++
		err = b.remember(w.graph, b.original)
	}
	return b, err
}

// judge measures a model, or recalls what it measured of an equal one.
func (b *bench) judge(ctx context.Context, g *graph.Graph) (judgement, error) {
	key := b.key(g)
	if j, ok := b.known[key]; ok {
		b.count.hits++
		return j, nil
	}
	o, err := b.Outcomes(ctx, g)
	if err != nil {
		return judgement{}, err
	}
	b.count.evaluations++
	err = b.remember(g, o)
	return b.known[key], err
}

// key tells models of one job apart: their parameters differ, or nodes were added.
func (b *bench) key(g *graph.Graph) string { return fmt.Sprintf("%s/%d", g.Digest(), len(g.Nodes)) }

// remember keeps what a model's outcomes come to.
func (b *bench) remember(g *graph.Graph, o Outcome) error {
	j := judgement{measure: b.Summarize(o), contract: newContract(b.budget, b.original, o), score: o.Score, doubt: o.Doubt}
	j.measure.Norm = g.Norm()
	if b.sizeOf != nil {
		var err error
		if j.measure.Bytes, err = b.sizeOf(g); err != nil {
			return err
		}
	}
	b.known[b.key(g)] = j
	return nil
}

// Evaluate implements [compactify.Evaluator].
func (b *bench) Evaluate(ctx context.Context, g *graph.Graph) (compactify.Measure, error) {
	j, err := b.judge(ctx, g)
	return j.measure, err
}
