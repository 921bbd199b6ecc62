package kernel

import "math"

// MomentumStep holds the settings of [SGDMomentum].
type MomentumStep[T Float] struct {
	Rate     T // learning rate, ≥ 0
	Momentum T // in [0, 1); 0 is plain gradient descent
	Decay    T // L2 regularisation: Decay·w is added to the gradient
}

// SGDMomentum takes one step of stochastic gradient descent with heavy-ball
// momentum, in place:
//
//	v ← Momentum·v + (g + Decay·w)
//	w ← w − Rate·v
//
// Source: I. Sutskever et al., "On the importance of initialization and momentum
// in deep learning", ICML 2013, with the rate outside of v as in PyTorch.
func SGDMomentum[T Float](p *Pool, w, v, g []T, s MomentumStep[T]) {
	checkLength("v", len(v), len(w))
	checkLength("g", len(g), len(w))
	j := newJob[T](p, opMomentum)
	j.dst, j.x, j.y = w, g, v
	j.factors = factors[T]{s.Rate, s.Momentum, s.Decay}
	j.run(len(w), 1<<13)
}

func momentum[T Float](w, g, v []T, s *factors[T]) {
	rate, mu, decay := s[0], s[1], s[2]
	for i, x := range g {
		u := T(mu*v[i]) + (x + T(decay*w[i]))
		v[i] = u
		w[i] -= T(rate * u)
	}
}

// AdamStep holds the settings of [Adam].
type AdamStep struct {
	Rate         float64 // learning rate, ≥ 0
	Beta1, Beta2 float64 // in [0, 1); usual values are 0.9 and 0.999
	Epsilon      float64 // > 0; usual value 1e-8
	Decay        float64 // L2 regularisation: Decay·w is added to the gradient
	WeightDecay  float64 // decoupled: w shrinks by Rate·WeightDecay·w (AdamW)
	Step         int     // number of this step, from 1
}

// Adam takes one bias-corrected step in place, with first and second moments m
// and v that start at 0:
//
//	g ← g + Decay·w
//	m ← Beta1·m + (1 − Beta1)·g
//	v ← Beta2·v + (1 − Beta2)·g²
//	w ← (1 − Rate·WeightDecay)·w − Rate/(1 − Beta1^Step) · m / (√v/√(1 − Beta2^Step) + Epsilon)
//
// The slice g itself is not modified.
//
// Source: D. Kingma and J. Ba, "Adam", ICLR 2015, algorithm 1; I. Loshchilov and
// F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, algorithm 2.
func Adam[T Float](p *Pool, w, m, v, g []T, s AdamStep) {
	checkLength("m", len(m), len(w))
	checkLength("v", len(v), len(w))
	checkLength("g", len(g), len(w))
	j := newJob[T](p, opAdam)
	j.dst, j.x, j.y, j.z = w, g, m, v
	step := float64(s.Step)
	j.factors = factors[T]{
		T(s.Rate / (1 - math.Pow(s.Beta1, step))), T(s.Beta1), T(1 - s.Beta1), T(s.Beta2), T(1 - s.Beta2),
		T(1 / math.Sqrt(1-math.Pow(s.Beta2, step))), T(s.Epsilon), T(s.Decay), T(1 - s.Rate*s.WeightDecay),
	}
	j.run(len(w), 1<<13)
}

func adam[T Float](w, g, m, v []T, s *factors[T]) {
	for i, x := range g {
		x += T(s[7] * w[i])
		m[i] = T(s[1]*m[i]) + T(s[2]*x)
		v[i] = T(s[3]*v[i]) + T(s[4]*T(x*x))
		root := T(math.Sqrt(float64(v[i]))) // rounds as a square root in T does
		w[i] = T(s[8]*w[i]) - T(s[0]*m[i])/(T(root*s[5])+s[6])
	}
}
