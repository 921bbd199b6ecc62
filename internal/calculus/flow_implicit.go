package calculus

import "math"

// sdirk is a singly diagonally implicit Runge–Kutta method of five stages and
// order 4, L-stable, whose last stage is the result, with an error estimate of
// order 3 (Hairer and Wanner, table IV.6.5 and equation 6.18).
//
// For a gradient flow stage i is a proximal step: its point y minimises
//
//	½‖y − base‖² + hγ·F(y),    base = x + h·Σ_{j<i} a_ij·k_j,
//
// so that Newton's equations have the matrix I + hγ·H, symmetric and, for steps
// that resolve the directions in which the flow expands, positive definite: they
// are solved by conjugate gradients from products with H alone.
type sdirk struct {
	k       [5][]float64
	speed   [5]float64 // ‖∇F‖ and its square at the stages
	power   [5]float64
	guess   []float64 // the last derivative of the step before; nil before the first
	base    []float64
	newton  []float64 // right side of Newton's equations, and their solution
	delta   []float64
	r, p, q []float64 // conjugate gradients
}

const sdirkGamma = 0.25

var (
	sdirkStages = [5][]float64{
		{},
		{1. / 2},
		{17. / 50, -1. / 25},
		{371. / 1360, -137. / 2720, 15. / 544},
		{25. / 24, -49. / 48, 125. / 16, -85. / 12},
	}
	sdirkTimes  = [5]float64{1. / 4, 3. / 4, 11. / 20, 1. / 2, 1}
	sdirkResult = [5]float64{25. / 24, -49. / 48, 125. / 16, -85. / 12, 1. / 4}
	sdirkError  = [5]float64{-3. / 16, -27. / 32, 25. / 32, 0, 1. / 4}
)

// Limits of the solution of one stage. A residual ‖y − base + hγ·∇F(y)‖ bounds the
// distance from the solution where F is convex; weights of up to 1/γ·125/16 make
// up to thirty times that of it in the result.
const (
	newtonAccuracy = 1e-3 // in units of the error that a step may make; ten times that of the balance
	newtonSteps    = 12
	conjugateSteps = 500
)

func newSDIRK(n int) *sdirk {
	d := &sdirk{}
	for i := range d.k {
		d.k[i] = make([]float64, n)
	}
	for _, v := range []*[]float64{&d.base, &d.newton, &d.delta, &d.r, &d.p, &d.q} {
		*v = make([]float64, n)
	}
	return d
}

func (d *sdirk) try(w *flow, h float64) (float64, error) {
	next := &w.next
	next.length = w.now.length
	c := h * sdirkGamma
	// An error e of x is one of ‖∇F‖·e in the balance.
	enough := min(newtonAccuracy*w.allowed(), 10*newtonAccuracy*w.allowedImbalance(h*w.now.size*w.now.size)/w.now.size)
	for i := range d.k {
		combine(d.base, w.now.x, h, sdirkStages[i], d.k[:i])
		d.predict(w, i, h)
		solved, err := d.solve(w, c, enough, i == len(d.k)-1)
		if err != nil || !solved {
			return math.Inf(1), err
		}
		for j, y := range next.x {
			d.k[i][j] = (y - d.base[j]) / c
		}
		d.speed[i] = norm(d.k[i])
		d.power[i] = d.speed[i] * d.speed[i]
	}
	next.size, next.length = norm(next.g), norm(next.x)
	next.s, next.time = w.now.s+h, w.now.time+h
	next.path = w.now.path + h*weighted(sdirkResult[:], d.speed[:])
	next.diss = w.now.diss + h*weighted(sdirkResult[:], d.power[:])

	// The plain estimate does not vanish in stiff directions as the error does;
	// (I + hγH)⁻¹ makes it so (Hairer and Wanner, equation IV.8.19).
	clear(d.newton)
	combine(d.newton, d.newton, h, sdirkError[:], d.k[:])
	if convex, err := d.conjugate(w, next.x, c, 0.1*norm(d.newton)); err != nil || !convex {
		return math.Inf(1), err
	}
	e := max(norm(d.delta)/w.allowed(), w.imbalance())
	if e <= 1 {
		d.guess = append(d.guess[:0], d.k[4]...)
	}
	return e, nil
}

// predict sets the first guess of stage i, along the derivative known last.
func (d *sdirk) predict(w *flow, i int, h float64) {
	copy(w.next.x, w.now.x)
	switch {
	case i > 0:
		addScaled(w.next.x, h*sdirkTimes[i], d.k[i-1])
	case d.guess != nil:
		addScaled(w.next.x, h*sdirkTimes[i], d.guess)
	}
}

// solve finds y = base − c·∇F(y) by Newton's method, from and into next.x. It
// leaves F and ∇F there if the gradient is asked for. False says that the step is
// too long.
func (d *sdirk) solve(w *flow, c, enough float64, gradient bool) (bool, error) {
	y := w.next.x
	before, moved := math.Inf(1), math.Inf(1)
	for range newtonSteps {
		if moved <= enough && !gradient {
			return true, nil
		}
		if err := w.gradient(y, w.next.g, &w.next.loss); err != nil {
			return false, err
		}
		for j, g := range w.next.g {
			d.newton[j] = d.base[j] - y[j] - c*g
		}
		size := norm(d.newton)
		if w.domain = finite(size) && finite(w.next.loss); !w.domain || size > 2*before {
			return false, nil
		}
		if size <= enough || moved <= enough {
			return true, nil
		}
		before = size
		convex, err := d.conjugate(w, y, c, max(0.3*enough, 1e-4*size))
		if err != nil || !convex {
			return false, err
		}
		addScaled(y, 1, d.delta)
		moved = norm(d.delta)
	}
	return false, nil
}

// conjugate solves (I + c·H(x))·delta = newton until the residual is at most
// enough. It tells whether the matrix showed itself positive definite.
func (d *sdirk) conjugate(w *flow, x []float64, c, enough float64) (bool, error) {
	clear(d.delta)
	copy(d.r, d.newton)
	copy(d.p, d.r)
	rr := dot(d.r, d.r)
	for range conjugateSteps {
		if math.Sqrt(rr) <= enough || rr == 0 {
			break
		}
		if err := w.ctx.Err(); err != nil {
			return false, err
		}
		w.r.Products++
		if err := w.curved.HessianVector(w.ctx, x, d.p, d.q); err != nil {
			return false, err
		}
		for j, p := range d.p {
			d.q[j] = p + c*d.q[j]
		}
		pq := dot(d.p, d.q)
		if !(pq > 0) || math.IsInf(pq, 0) {
			return false, nil
		}
		addScaled(d.delta, rr/pq, d.p)
		addScaled(d.r, -rr/pq, d.q)
		last := rr
		rr = dot(d.r, d.r)
		for j, r := range d.r {
			d.p[j] = r + rr/last*d.p[j]
		}
	}
	return true, nil
}

func (d *sdirk) factor(e, _ float64) float64 {
	if math.IsInf(e, 0) || math.IsNaN(e) {
		return 0.25
	}
	return min(5, max(0.2, 0.9*math.Pow(e, -0.25)))
}
