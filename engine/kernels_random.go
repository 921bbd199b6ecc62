package engine

import (
	"math"
	"math/rand/v2"

	"github.com/compactify/compactify/internal/stream"
	"github.com/compactify/compactify/tensor"
)

// randomKernels draw from a stream named by the node's seed (0 if it has none)
// and its output, and by how often the program has run: two programs of one
// model draw the same numbers.
func randomKernels() map[string]prepare {
	return map[string]prepare{
		"RandomNormal": prepareNormal, "RandomNormalLike": prepareNormal,
		"RandomUniform": prepareUniform, "RandomUniformLike": prepareUniform,
		"Bernoulli": prepareBernoulli, "Multinomial": prepareMultinomial,
		"Dropout": variants{tensor.Float32: bindDropout[float32], tensor.Float64: bindDropout[float64]}.by(0),
	}
}

// draws returns a function that gives each run its random numbers.
func (s *site) draws() func() *rand.Rand {
	seed := uint64(s.node.Attrs.Int("seed", 0))
	if a, ok := s.node.Attrs.Get("seed"); ok && a.F != 0 {
		seed = uint64(math.Float32bits(a.F))
	}
	name := s.node.Out[0].Name
	return func() *rand.Rand {
		s.runs++
		return stream.New(seed, "operator "+s.node.Op+" "+name, s.runs)
	}
}

// fillRandom sets every element of output 0.
func (s *site) fillRandom(draw func(r *rand.Rand, i int) float64) (func() error, error) {
	next := s.draws()
	set := encoder(s.node.Out[0].Type.DType, true, "")
	return func() error {
		r, y := next(), *s.out[0]
		for i := range y.Len() {
			set(y, i, draw(r, i))
		}
		return nil
	}, nil
}

func prepareNormal(s *site) (func() error, error) {
	mean, scale := s.node.Attrs.Float("mean", 0), s.node.Attrs.Float("scale", 1)
	return s.fillRandom(func(r *rand.Rand, _ int) float64 { return mean + scale*r.NormFloat64() })
}

func prepareUniform(s *site) (func() error, error) {
	low, high := s.node.Attrs.Float("low", 0), s.node.Attrs.Float("high", 1)
	return s.fillRandom(func(r *rand.Rand, _ int) float64 { return low + (high-low)*r.Float64() })
}

// prepareBernoulli draws 1 with the probability that the input holds.
func prepareBernoulli(s *site) (func() error, error) {
	return s.fillRandom(func(r *rand.Rand, i int) float64 {
		if r.Float64() < s.in[0].At(i) {
			return 1
		}
		return 0
	})
}

// prepareMultinomial draws classes with replacement, from logarithms of
// probabilities that need not be normalised [N, classes] to [N, samples].
func prepareMultinomial(s *site) (func() error, error) {
	classes, samples := s.inShape(0)[1], s.outShape(0)[1]
	if classes == 0 {
		return nil, s.errorf("input 0: no classes to draw from")
	}
	return s.fillRandom(func(r *rand.Rand, i int) float64 {
		best, choice := math.Inf(-1), 0
		for k := range classes { // the largest of the logarithms with Gumbel noise
			v := s.in[0].At(i/samples*classes+k) - math.Log(r.ExpFloat64())
			if v > best {
				best, choice = v, k
			}
		}
		return float64(choice)
	})
}

// bindDropout in training mode drops each element with probability ratio and
// scales the others by 1/(1 − ratio); else it keeps all.
func bindDropout[T float](s *site) (func() error, error) {
	next := s.draws()
	return func() error {
		x, y := tensor.Data[T](*s.in[0]), tensor.Data[T](*s.out[0])
		ratio := 0.0
		if s.in[2].Raw()[0] != 0 {
			ratio = 0.5
			if s.hasIn(1) {
				ratio = s.in[1].At(0)
			}
		}
		if ratio < 0 || ratio >= 1 {
			return s.errorf("ratio: got %v, want 0 to less than 1", ratio)
		}
		var r *rand.Rand
		if ratio > 0 {
			r = next()
		}
		scale := T(1 / (1 - ratio))
		for i, v := range x {
			keep := r == nil || r.Float64() >= ratio
			y[i] = 0
			if keep {
				y[i] = T(v * scale)
			}
			if s.hasOut(1) {
				tensor.Data[bool](*s.out[1])[i] = keep
			}
		}
		return nil
	}, nil
}
