package calculus

import (
	"context"
	"math"
)

// plain is a function given by value and gradient.
type plain struct {
	n int
	f func(x, g []float64) float64
}

func (p plain) Dim() int { return p.n }

func (p plain) Gradient(_ context.Context, x, g []float64) (float64, error) { return p.f(x, g), nil }

// curvedBy adds a Hessian, written to h by rows.
type curvedBy struct {
	plain
	h func(x, h []float64)
}

func (c curvedBy) HessianVector(_ context.Context, x, v, hv []float64) error {
	n := c.n
	h := make([]float64, n*n)
	c.h(x, h)
	for i := range hv {
		hv[i] = dot(h[i*n:(i+1)*n], v)
	}
	return nil
}

// quadratic is ½ Σ h_i·x_i².
type quadratic []float64

func (q quadratic) Dim() int { return len(q) }

func (q quadratic) Gradient(_ context.Context, x, g []float64) (float64, error) {
	f := 0.0
	for i, h := range q {
		g[i] = h * x[i]
		f += h * x[i] * x[i] / 2
	}
	return f, nil
}

func (q quadratic) HessianVector(_ context.Context, _, v, hv []float64) error {
	for i, h := range q {
		hv[i] = h * v[i]
	}
	return nil
}

// logistic is the sum of log(1 + exp(−m·w)) over margin vectors m.
func logistic(margins ...[]float64) curvedBy {
	n := len(margins[0])
	return curvedBy{plain{n, func(w, g []float64) float64 {
		f := 0.0
		clear(g)
		for _, m := range margins {
			z := dot(m, w)
			f += math.Max(-z, 0) + math.Log1p(math.Exp(-math.Abs(z)))
			addScaled(g, -1/(1+math.Exp(z)), m)
		}
		return f
	}}, func(w, h []float64) {
		for _, m := range margins {
			e := math.Exp(-math.Abs(dot(m, w)))
			for i, a := range m {
				addScaled(h[i*n:(i+1)*n], a*e/((1+e)*(1+e)), m)
			}
		}
	}}
}

// valley is ½s(v − u²)² + ½(u − a)², with its minimum 0 at (a, a²): the function
// of H. Rosenbrock up to scale.
func valley(s, a float64) curvedBy {
	return curvedBy{plain{2, func(x, g []float64) float64 {
		u, d := x[0], x[1]-x[0]*x[0]
		g[0], g[1] = u-a-2*s*d*u, s*d
		return s*d*d/2 + (u-a)*(u-a)/2
	}}, func(x, h []float64) {
		u, d := x[0], x[1]-x[0]*x[0]
		h[0], h[1], h[2], h[3] = 1-2*s*d+4*s*u*u, -2*s*u, -2*s*u, s
	}}
}

// power is c·x⁴/4.
func power(c float64) curvedBy {
	return curvedBy{plain{1, func(x, g []float64) float64 {
		g[0] = c * x[0] * x[0] * x[0]
		return c * math.Pow(x[0], 4) / 4
	}}, func(x, h []float64) { h[0] = 3 * c * x[0] * x[0] }}
}
