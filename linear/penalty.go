package linear

import "math"

// term is the penalty of one coefficient at one λ, with its bounds:
//
//	h(t) = a|t| + b/2 t²  for lower ≤ t ≤ upper, else +∞
type term struct{ a, b, lower, upper float64 }

// unheld is no penalty at all: that of an intercept.
var unheld = term{lower: math.Inf(-1), upper: math.Inf(1)}

// term is the penalty of column j at λ, in the scale that is penalised.
func (t *task) term(j int, lambda float64) term {
	h := unheld
	if t.lower != nil {
		h.lower = t.lower[j]
	}
	if t.upper != nil {
		h.upper = t.upper[j]
	}
	switch f := t.factor[j]; {
	case math.IsInf(f, 1):
		h.lower, h.upper = 0, 0
	case f > 0 && lambda > 0:
		h.a, h.b = lambda*f*t.alpha, lambda*f*(1-t.alpha)
	}
	return h
}

// free says that nothing holds the coefficient: its correlation must vanish.
func (h term) free() bool {
	return h.a == 0 && h.b == 0 && math.IsInf(h.lower, -1) && math.IsInf(h.upper, 1)
}

// step is argmin_t q/2 t² − ct + h(t): the update of one coordinate, q ≥ 0 with
// q + b > 0.
func (h term) step(q, c float64) float64 {
	return min(h.upper, max(h.lower, soft(c, h.a)/(q+h.b)))
}

// soft moves x towards 0 by a ≥ 0.
func soft(x, a float64) float64 {
	switch {
	case x > a:
		return x - a
	case x < -a:
		return x + a
	}
	return 0
}

// conjugate is h*(c) = sup_t ct − h(t); +Inf where nothing bounds it.
func (h term) conjugate(c float64) float64 {
	s := soft(c, h.a)
	switch {
	case s == 0:
		return 0
	case h.b > 0:
		t := min(h.upper, max(h.lower, s/h.b))
		return t * (s - h.b/2*t)
	case s > 0:
		return product0(s, h.upper)
	}
	return product0(s, h.lower)
}

// product0 is a·b where b may be infinite and a is not 0.
func product0(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a * b
}

// excess is h(t) + h*(c) − ct, which is ≥ 0 and 0 exactly where c is a subgradient of
// h at t: what a coefficient adds to the duality gap.
func (h term) excess(t, c float64) float64 {
	if t == 0 {
		return h.conjugate(c)
	}
	if h.b > 0 {
		// With the maximiser u of the conjugate, sums of terms ≥ 0 that do not cancel.
		u := min(h.upper, max(h.lower, soft(c, h.a)/h.b))
		kink := 0.0
		if u != 0 {
			kink = h.a*math.Abs(t) - h.a*t*sign(u) // 0 if the signs agree
			return max(0, kink+h.b/2*(t-u)*(t-u)+(t-u)*(h.b*u+h.a*sign(u)-c))
		}
		return max(0, h.a*math.Abs(t)-c*t+h.b/2*t*t)
	}
	conjugate := h.conjugate(c)
	return max(0, conjugate+h.a*math.Abs(t)-c*t)
}

// violation is the distance of c from the subgradients of h at t.
func (h term) violation(t, c float64) float64 {
	lo, hi := h.b*t-h.a, h.b*t+h.a
	switch {
	case t > 0:
		lo = hi
	case t < 0:
		hi = lo
	}
	if t <= h.lower {
		lo = math.Inf(-1)
	}
	if t >= h.upper {
		hi = math.Inf(1)
	}
	return max(0, lo-c, c-hi)
}

func sign(x float64) float64 { return math.Copysign(1, x) }
