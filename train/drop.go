package train

import (
	"context"
	"fmt"
	"math"

	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// DropBound bounds how far the loss falls below that of the zero model, for a
// network that is a chain of layers without biases, see [Form]:
//
//	L(0) − L(θ) ≤ C·Π‖W_l‖_F ≤ C·(‖θ‖²/Layers)^(Layers/2)   for every θ
//
// The loss of an example is convex in the answer z, which is 0 at θ = 0, so that
// ℓ(0) − ℓ(z) ≤ ‖∇ℓ(0)‖·‖z‖ ≤ ‖∇ℓ(0)‖·Gain·‖a(x)‖·Π‖W_l‖_F, and C is the mean of
// the factors before the product. ‖∇ℓ(0)‖ is √(1 − 1/K) for the cross-entropy of K
// classes and 2|y| for the square of z − y. The second inequality is that of the
// arithmetic and geometric mean.
type DropBound struct {
	C      float64
	Layers int    // 0: there is no bound
	Why    string // there is none
}

// roundingSlack is what a bound is raised by for its own arithmetic: sums of at
// most 2³² float64 terms, and norms that float32 arithmetic had a hand in.
const (
	roundingSlack  = 1 + 1e-6
	roundingSlack4 = 1 + 1e-3
)

// DropBound computes the bound over the objective's examples.
func (f *Objective) DropBound(ctx context.Context) (DropBound, error) {
	form := f.Form()
	if form.Layers == 0 {
		return DropBound{Why: form.NoChain}, nil
	}
	slack := roundingSlack
	root := passThrough(f.loss, form.root)
	if root != f.loss.Inputs[0] {
		slack = roundingSlack4
	}
	total := 0.0
	err := f.eachFeature(ctx, root, func(x, y tensor.Tensor, size int) {
		each := x.Len() / size
		for i := range size {
			sum := 0.0
			for k := range each {
				v := x.At(i*each + k)
				sum += v * v
			}
			total += math.Sqrt(sum) * f.slopeAtZero(y, i)
		}
	})
	if err != nil {
		return DropBound{}, fmt.Errorf("bound of graph %q: %w", f.model.Name, err)
	}
	return DropBound{C: total / float64(f.set.Len()) * form.Gain * slack, Layers: form.Layers}, nil
}

// slopeAtZero is ‖∇ℓ(0)‖ of example i of a batch with targets y.
func (f *Objective) slopeAtZero(y tensor.Tensor, i int) float64 {
	if f.set.Classes() == 0 {
		return 2 * math.Abs(y.At(i))
	}
	return math.Sqrt(1 - 1/float64(f.columns))
}

// passThrough follows operators that only arrange elements back to what they read.
func passThrough(g *graph.Graph, v *graph.Value) *graph.Value {
	producers := g.Producers()
	for n := producers[v]; n != nil; n = producers[v] {
		switch n.Kind() {
		case "Identity", "Flatten", "Reshape", "Squeeze", "Unsqueeze":
			v = n.In[0]
			continue
		}
		break
	}
	return v
}

// eachFeature runs the part of the network before a value, which does not depend
// on θ, over all batches.
func (f *Objective) eachFeature(ctx context.Context, root *graph.Value, take func(x, y tensor.Tensor, size int)) error {
	if err := f.keep(); err != nil {
		return err
	}
	part := *f.loss
	part.Outputs = []*graph.Value{root}
	clone, _ := part.Clone()
	clone.RemoveDead()
	clone.Inputs = clone.Inputs[:1]
	programs := make(map[int]*engine.Program)
	for from := 0; from < f.set.Len(); from += f.o.Batch {
		size := min(f.o.Batch, f.set.Len()-from)
		batch, err := f.batch(from, size)
		if err != nil {
			return err
		}
		if root == f.loss.Inputs[0] {
			take(batch.x, batch.y, size)
			continue
		}
		if programs[size] == nil {
			o := engine.Options{Pool: f.o.Pool, Dims: map[string]int{clone.Inputs[0].Type.Shape[0].Name: size}}
			if programs[size], err = engine.Compile(clone, o); err != nil {
				return err
			}
		}
		out := make([]tensor.Tensor, 1)
		if err := programs[size].Run(ctx, []tensor.Tensor{batch.x}, out); err != nil {
			return err
		}
		take(out[0], batch.y, size)
	}
	return nil
}

// within is the bound for ‖θ‖ ≤ r.
func (b DropBound) within(r float64) float64 {
	return b.C * math.Pow(r*r/float64(b.Layers), float64(b.Layers)/2)
}

// CurvatureBound is a Lipschitz constant M of the gradient of the objective, for a
// network of one layer without a bias: the Hessian of the loss in the answer is at
// most ½, of the softmax of a distribution, or 2, of a square, and the derivative of
// the answer is at most Gain·‖a(x)‖. Otherwise it is 0, and why says what stands in
// the way.
func (f *Objective) CurvatureBound(ctx context.Context) (m float64, why string, err error) {
	form := f.Form()
	if form.Layers != 1 || !form.Affine {
		why = form.NoChain
		if why == "" {
			why = "the answer is not affine in θ"
		}
		return 0, why, nil
	}
	outer := 0.5
	if f.set.Classes() == 0 {
		outer = 2
	}
	total := 0.0
	err = f.eachFeature(ctx, passThrough(f.loss, form.root), func(x, _ tensor.Tensor, _ int) {
		for i := range x.Len() {
			v := x.At(i)
			total += v * v
		}
	})
	return outer * form.Gain * form.Gain * total / float64(f.set.Len()) * roundingSlack4, "", err
}
