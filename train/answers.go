package train

import (
	"context"
	"fmt"

	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// EachSlope hands on, example by example, the derivatives of its answer: rows[k] is
// ∂z_k/∂θ at the model's weights, [Dim]. Where z is linear in θ ([Form]: affine and of
// degree 1) they do not depend on θ, and z_k = rows[k]·θ. rows are overwritten by the
// next example's.
func (f *Objective) EachSlope(ctx context.Context, take func(example int, rows [][]float64) error) error {
	if err := f.keep(); err != nil {
		return fmt.Errorf("slopes of graph %q: examples: %w", f.model.Name, err)
	}
	rows := make([][]float64, f.columns)
	for k := range rows {
		rows[k] = make([]float64, f.dim)
	}
	programs := make(map[int]*engine.Program)
	for from := 0; from < f.set.Len(); from += f.o.Batch {
		size := min(f.o.Batch, f.set.Len()-from)
		if programs[size] == nil {
			p, err := f.slopes(size)
			if err != nil {
				return fmt.Errorf("slopes of graph %q: %w", f.model.Name, err)
			}
			programs[size] = p
		}
		batch, err := f.batch(from, size)
		if err != nil {
			return fmt.Errorf("slopes of graph %q: examples: %w", f.model.Name, err)
		}
		out := make([]tensor.Tensor, 1+len(f.weights))
		if err := programs[size].Run(ctx, []tensor.Tensor{batch.x}, out); err != nil {
			return err
		}
		for i := range size {
			for b, block := range f.blocks {
				for k := range rows {
					for j := range block.Len {
						rows[k][block.At+j] = out[1+b].At((i*f.columns+k)*block.Len + j)
					}
				}
			}
			if err := take(from+i, rows); err != nil {
				return err
			}
		}
	}
	return nil
}

// slopes compiles the derivatives of the answers of a batch.
func (f *Objective) slopes(size int) (*engine.Program, error) {
	part := *f.loss
	part.Outputs = f.loss.Outputs[1:]
	part.Inputs = f.loss.Inputs[:1]
	clone, copyOf := part.Clone()
	clone.RemoveDead()
	values := make([]*graph.Value, len(f.weights))
	for i, w := range f.weights {
		values[i] = copyOf[w.Value]
	}
	g, err := engine.PerExample(clone, clone.Outputs[0], values, clone.Inputs, tensor.Fixed(size))
	if err != nil {
		return nil, err
	}
	return engine.Compile(g, engine.Options{Pool: f.o.Pool})
}
