package train

import (
	"context"
	"fmt"
	"math"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/tensor"
)

// validator measures the model as it will be used on examples that do not train it,
// and keeps the best.
type validator struct {
	t       *trainer
	set     *data.Set
	program *engine.Program // in inference form, on a batch
	in      []tensor.Tensor
	out     []tensor.Tensor
	rows    tensor.Tensor
	row     []float64 // an answer

	best     snapshot
	bestLoss float64 // or −metric
	since    int     // epochs since the best
}

func newValidator(t *trainer) (*validator, error) {
	shape, err := ExampleShape(t.model)
	if err != nil {
		return nil, err
	}
	v := &validator{t: t, best: newSnapshot(t), bestLoss: math.Inf(1)}
	if v.set, err = t.o.Validation.Adapt(shape); err != nil {
		return nil, fmt.Errorf("validation: %w", err)
	}
	if v.set.Len() == 0 || v.set.Classes() != t.set.Classes() || !v.set.Labeled() {
		return nil, fmt.Errorf("validation: got %d examples of %d classes, want some, labelled, of %d as in training", v.set.Len(), v.set.Classes(), t.set.Classes())
	}
	g := Finish(t.model)
	head, err := FindHead(g, t.o.Output)
	if err != nil {
		return nil, err
	}
	g.Outputs = g.Outputs[:0:0]
	g.Outputs = append(g.Outputs, head.Logits)
	g.RemoveDead()
	o := engine.Options{Pool: t.o.Pool, Dims: t.dims}
	for _, p := range g.Params {
		if t.changes(p.Name) {
			o.Mutable = append(o.Mutable, p)
		}
	}
	if v.program, err = engine.Compile(g, o); err != nil {
		return nil, fmt.Errorf("validation: %w", err)
	}
	v.in, v.out = []tensor.Tensor{t.in[0].Clone()}, make([]tensor.Tensor, 1)
	v.rows, v.row = v.in[0], make([]float64, t.classes)
	if v.rows.DType() != tensor.Float32 {
		v.rows = tensor.New(tensor.Float32, v.rows.Shape()...)
	}
	return v, nil
}

// judge returns the mean loss, without dropout and smoothing, and the accuracy, of
// the model in its form for use.
func (v *validator) judge(ctx context.Context) (loss, metric float64, err error) {
	err = v.t.binary.useForm(ctx)
	if err == nil {
		loss, metric, err = v.measure(ctx)
	}
	v.t.binary.trainingForm()
	return loss, metric, err
}

func (v *validator) measure(ctx context.Context) (loss, metric float64, err error) {
	n, batch := v.set.Len(), v.t.o.Batch
	hits := 0
	for lo := 0; lo < n; lo += batch {
		if err := v.fill(lo); err != nil {
			return 0, 0, err
		}
		if err := v.program.Run(ctx, v.in, v.out); err != nil {
			return 0, 0, fmt.Errorf("validation: %w", err)
		}
		answers := tensor.Data[float32](v.out[0])
		k := v.t.classes
		for i := lo; i < min(n, lo+batch); i++ {
			row := answers[(i-lo)*k:][:k]
			loss += v.loss(row, i)
			if v.set.Classes() > 0 && TopClass(row) == v.set.Label(i) {
				hits++
			}
		}
	}
	metric = float64(hits) / float64(n)
	if v.set.Classes() == 0 {
		metric = math.NaN()
	}
	return loss / float64(n), metric, nil
}

// loss is that of an answer.
func (v *validator) loss(row []float32, i int) float64 {
	for k, x := range row {
		v.row[k] = float64(x)
	}
	return v.t.loss.of(v.row, v.set, i)
}

// fill writes the batch from example lo on; behind the last it repeats that.
func (v *validator) fill(lo int) error {
	x, size := tensor.Data[float32](v.rows), v.set.Size()
	err := v.t.o.Pool.For(v.t.o.Batch, 8, func(_, from, to int) {
		for i := from; i < to; i++ {
			v.set.Fill(x[i*size:(i+1)*size], min(lo+i, v.set.Len()-1))
		}
	})
	if err == nil {
		v.in[0], err = v.rows.Convert(v.in[0].DType())
	}
	return err
}

// keepBest notes the best epoch so far.
func (t *trainer) keepBest(e Epoch) {
	v := t.validator
	if v == nil {
		return
	}
	v.since++
	score := e.ValidLoss
	if t.o.ByMetric {
		score = -e.ValidMetric
	}
	if score < v.bestLoss {
		v.bestLoss, v.since = score, 0
		v.best.take(t)
	}
}

// patienceOver reports whether too many epochs have brought nothing.
func (t *trainer) patienceOver() bool {
	return t.validator != nil && t.o.Patience > 0 && t.validator.since >= t.o.Patience
}

// restore puts the best weights back.
func (v *validator) restore() {
	if v.best.of >= 0 {
		v.best.put(v.t)
	}
}
