package train

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// Invariance says along which parameters a network computes the same however long
// they are: f(cθ) = f(θ), as before a batch normalisation. A penalty shrinks such
// parameters for ever without the function approaching that of θ = 0.
type Invariance struct {
	Tolerance float64 // change of the answers, relative to their size, that counts as none
	Blocks    []BlockInvariance
	Whole     float64 // change where all parameters are scaled together
	Together  float64 // change where those are scaled that are invariant each for itself; 0 if there are none
	Share     float64 // of ‖θ‖² in invariant parameters, in [0, 1]
}

// BlockInvariance is the answer for one parameter.
type BlockInvariance struct {
	Name      string
	Change    float64 // the largest, for c = ½ and 2: max|f(cθ) − f(θ)| over the root mean square of f(θ)
	Invariant bool    // Change is at most the tolerance, but zeros in the parameter's place change more
}

// Any reports whether a parameter is scale-invariant.
func (v Invariance) Any() bool { return v.Share > 0 }

// invarianceTolerance leaves room for the ε that normalisations add to variances.
const invarianceTolerance = 1e-3

// ScaleInvariance scales every parameter, and all, by ½ and 2, and compares the
// answers to the first examples of the set, at most o.Batch of them. Normalisations
// that follow the batch, as in training, stay so: in the form of [Finish], with
// stored statistics, they do not undo a scale.
//
// The ε that a normalisation adds to a variance ends the invariance once parameters
// are small enough; the test is of the values they have. Source: theory, row 4.
func ScaleInvariance(ctx context.Context, g *graph.Graph, set *data.Set, o ObjectiveOptions) (Invariance, error) {
	o.Double = false
	s, err := newScaling(g, set, o)
	if err == nil {
		var v Invariance
		if v, err = s.test(ctx); err == nil {
			return v, nil
		}
	}
	return Invariance{}, fmt.Errorf("scale invariance of graph %q: %w", g.Name, err)
}

// scalingTest runs a model with its parameters scaled.
type scalingTest struct {
	f       *Objective
	program *engine.Program
	weights []*graph.Param // of the program, in the objective's order
	in, out []tensor.Tensor
	rest    []float32 // the answers to the model as it is
}

func newScaling(g *graph.Graph, set *data.Set, o ObjectiveOptions) (*scalingTest, error) {
	f, err := newObjective(g, set, o)
	if err != nil {
		return nil, err
	}
	s := &scalingTest{f: f}
	own, _ := f.model.Clone()
	if err := own.Infer(); err != nil {
		return nil, err
	}
	head, err := FindHead(own, o.Output)
	if err != nil {
		return nil, err
	}
	own.Outputs = []*graph.Value{head.Logits}
	own.RemoveDead()
	byName := make(map[string]*graph.Param)
	for _, p := range own.Params {
		byName[p.Name] = p
	}
	for _, b := range f.blocks {
		p := byName[b.Name]
		p.Data = p.Data.Clone()
		s.weights = append(s.weights, p)
	}
	size := f.o.Batch
	if first := own.Inputs[0].Type.Shape[0]; first.Known() {
		size = first.Size
	}
	if size > set.Len() {
		return nil, fmt.Errorf("data set %q: got %d examples, want %d, the batch the model is fixed at", set.Name(), set.Len(), size)
	}
	batch, err := f.newBatch(size)
	if err == nil {
		err = f.fill(batch, 0)
	}
	if err != nil {
		return nil, err
	}
	s.in, s.out = []tensor.Tensor{batch.x}, make([]tensor.Tensor, 1)
	s.program, err = engine.Compile(own, engine.Options{Pool: f.o.Pool, Mutable: s.weights,
		Dims: map[string]int{own.Inputs[0].Type.Shape[0].Name: size}})
	return s, err
}

func (s *scalingTest) test(ctx context.Context) (Invariance, error) {
	if err := s.program.Run(ctx, s.in, s.out); err != nil {
		return Invariance{}, err
	}
	s.rest = tensor.Data[float32](s.out[0].Clone())
	v := Invariance{Tolerance: invarianceTolerance}
	invariant := make([]bool, len(s.weights))
	all := make([]bool, len(s.weights))
	total := 0.0
	for i, b := range s.f.blocks {
		all[i] = true
		change, err := s.change(ctx, func(k int) bool { return k == i })
		if err != nil {
			return v, err
		}
		square := squares(floats(s.weights[i]))
		total += square
		if square > 0 && change <= v.Tolerance {
			if invariant[i], err = s.matters(ctx, i, v.Tolerance); err != nil {
				return v, err
			}
		}
		if invariant[i] {
			v.Share += square
		}
		v.Blocks = append(v.Blocks, BlockInvariance{b.Name, change, invariant[i]})
	}
	if total > 0 {
		v.Share /= total
	}
	var err error
	if v.Whole, err = s.change(ctx, func(k int) bool { return all[k] }); err == nil && v.Share > 0 {
		v.Together, err = s.change(ctx, func(k int) bool { return invariant[k] })
	}
	return v, err
}

// change is how much the answers move where the chosen parameters are scaled.
// Powers of two scale without rounding.
func (s *scalingTest) change(ctx context.Context, chosen func(k int) bool) (float64, error) {
	worst := 0.0
	for _, c := range []float32{0.5, 2} {
		s.scale(chosen, c)
		err := s.program.Run(ctx, s.in, s.out)
		s.scale(chosen, 1/c)
		if err != nil {
			return 0, err
		}
		worst = max(worst, s.distance(tensor.Data[float32](s.out[0])))
	}
	return worst, nil
}

// matters reports whether the answers would change if parameter k were zero: what has
// no influence is not invariant.
func (s *scalingTest) matters(ctx context.Context, k int, tolerance float64) (bool, error) {
	w := floats(s.weights[k])
	kept := slices.Clone(w)
	clear(w)
	err := s.program.Run(ctx, s.in, s.out)
	copy(w, kept)
	return err == nil && s.distance(tensor.Data[float32](s.out[0])) > tolerance, err
}

func (s *scalingTest) scale(chosen func(k int) bool, c float32) {
	for k, p := range s.weights {
		if chosen(k) {
			for i, w := 0, floats(p); i < len(w); i++ {
				w[i] *= c
			}
		}
	}
}

// distance is the largest change of an answer over their root mean square; +Inf
// where that is 0 and something changed.
func (s *scalingTest) distance(answers []float32) float64 {
	most := 0.0
	for i, x := range answers {
		d := math.Abs(float64(x) - float64(s.rest[i]))
		if math.IsNaN(d) {
			return math.Inf(1)
		}
		most = max(most, d)
	}
	if most == 0 {
		return 0
	}
	return most / math.Sqrt(squares(s.rest)/float64(len(s.rest)))
}
