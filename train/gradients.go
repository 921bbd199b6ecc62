package train

import (
	"context"
	"fmt"
	"math"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/graph"
)

// Gradients returns how strongly the loss answers to each weight: the root mean
// square of ∂L/∂θ over the batches of a data set, by parameter and element. Times
// |θ| it is the first-order estimate of what removing the weight does to the loss
// of a batch.
//
// Batches are taken in order and what does not fill one is left out, as in
// [Run]; memory does not depend on their number. Of the options those of training
// itself (epochs, rates, masks) are not used. The error wraps [ErrUntrainable] if
// the model has no gradient.
//
// Source: P. Molchanov et al., "Importance estimation for neural network pruning",
// CVPR 2019, equation 8, (θ·g)² averaged over mini-batches; the absolute value of
// the same is that of "Pruning convolutional neural networks for resource efficient
// inference", ICLR 2017, equation 7.
func Gradients(ctx context.Context, g *graph.Graph, set *data.Set, o Options) (map[string][]float32, error) {
	fail := func(err error) (map[string][]float32, error) {
		return nil, fmt.Errorf("gradients of graph %q: %w", g.Name, err)
	}
	if set.Len() == 0 {
		return fail(fmt.Errorf("the data set %q is empty", set.Name()))
	}
	o.Epochs, o.Masks, o.Remask, o.Vary = 1, nil, nil, 0
	o.Dropout, o.Smoothing, o.Penalties, o.Monitor, o.Validation, o.Save, o.From = Dropout{}, 0, nil, nil, nil, nil, nil
	o.Binary = Binary{}
	t, err := newTrainer(g, set, o.withDefaults(set.Len()))
	if err == nil {
		err = t.compile()
	}
	if err != nil {
		return fail(fmt.Errorf("%w: %w", ErrUntrainable, err))
	}
	squares := make([][]float64, len(t.weights))
	for i, w := range t.weights {
		squares[i] = make([]float64, len(w.data))
	}
	batch, batches := make([]int, t.o.Batch), t.set.Len()/t.o.Batch
	for k := range batches {
		for i := range batch {
			batch[i] = k*len(batch) + i
		}
		loss, err := t.step(ctx, t.set, batch)
		if err != nil {
			return fail(err)
		}
		if math.IsNaN(loss) || math.IsInf(loss, 0) {
			return fail(fmt.Errorf("batch %d: loss %v: %w", k+1, loss, ErrDiverged))
		}
		t.addSquares(squares)
		if t.o.Step != nil {
			t.o.Step(float64(k+1) / float64(batches))
		}
	}
	all := make(map[string][]float32, len(t.weights))
	for i, w := range t.weights {
		r := make([]float32, len(w.data))
		for j, sum := range squares[i] {
			r[j] = float32(math.Sqrt(sum / float64(batches)))
		}
		all[w.param.Name] = r
	}
	return all, nil
}

// addSquares adds up the squares of the gradients just computed.
func (t *trainer) addSquares(squares [][]float64) {
	first := t.lossAt() + 1
	for i := range t.weights {
		for j, x := range t.out[first+i].Float32s() {
			squares[i][j] += float64(x) * float64(x)
		}
	}
}
