package calculus

import "math"

// The pair of J. Dormand and P. Prince of orders 5 and 4 (Hairer, Nørsett and
// Wanner, table II.5.2). The last row gives the result, so that its derivative is
// the first of the next step.
var (
	dpStages = [7][]float64{
		{},
		{1. / 5},
		{3. / 40, 9. / 40},
		{44. / 45, -56. / 15, 32. / 9},
		{19372. / 6561, -25360. / 2187, 64448. / 6561, -212. / 729},
		{9017. / 3168, -355. / 33, 46732. / 5247, 49. / 176, -5103. / 18656},
		{35. / 384, 0, 500. / 1113, 125. / 192, -2187. / 6784, 11. / 84},
	}
	dpError = [7]float64{71. / 57600, 0, -71. / 16695, 71. / 1920, -17253. / 339200, 22. / 525, -1. / 40}
)

// dormandPrince is the explicit method.
type dormandPrince struct {
	k     [7][]float64 // derivatives of x by s
	pace  [7]float64   // dt/ds, d∫‖∇F‖/ds and d∫‖∇F‖²/ds at the stages
	speed [7]float64
	power [7]float64
	error []float64

	// stretch is h·ρ, with ρ the growth of the derivative from the sixth stage to
	// the seventh, which stand at the same time: an estimate of the largest
	// curvature from below (Hairer and Wanner, section IV.2, equation 2.3).
	stretch float64
}

func newDormandPrince(n int) *dormandPrince {
	d := &dormandPrince{error: make([]float64, n)}
	for i := range d.k {
		d.k[i] = make([]float64, n)
	}
	return d
}

func (d *dormandPrince) try(w *flow, h float64) (float64, error) {
	d.derivative(w, 0, w.now.g, w.now.size)
	next := &w.next
	for i := 1; i < 7; i++ {
		combine(next.x, w.now.x, h, dpStages[i], d.k[:i])
		if i == 6 {
			next.length = norm(next.x)
		}
		if err := w.gradient(next.x, next.g, &next.loss); err != nil {
			return 0, err
		}
		next.size = norm(next.g)
		if w.domain = finite(next.size) && finite(next.loss); !w.domain {
			return math.Inf(1), nil
		}
		d.derivative(w, i, next.g, next.size)
	}
	last := dpStages[6]
	next.s = w.now.s + h
	next.time = w.now.time + h*weighted(last, d.pace[:])
	next.path = w.now.path + h*weighted(last, d.speed[:])
	next.diss = w.now.diss + h*weighted(last, d.power[:])
	d.measureStretch()
	clear(d.error)
	combine(d.error, d.error, h, dpError[:], d.k[:])
	e := max(norm(d.error)/w.allowed(), w.imbalance())
	if w.o.Rescaled {
		e = max(e, math.Abs(h*weighted(dpError[:], d.pace[:]))/(w.o.Tolerance*next.time))
	}
	return e, nil
}

// derivative fills in stage i.
func (d *dormandPrince) derivative(w *flow, i int, g []float64, size float64) {
	c := 1 / w.pace(size)
	for j, x := range g {
		d.k[i][j] = -c * x
	}
	d.pace[i], d.speed[i], d.power[i] = c, c*size, c*size*size
}

// measureStretch divides the two by h, which cancels.
func (d *dormandPrince) measureStretch() {
	up, down := 0.0, 0.0
	for j := range d.error {
		k := d.k[6][j] - d.k[5][j]
		up += k * k
		x := 0.0
		for i := range 6 {
			a := dpStages[6][i]
			if i < 5 {
				a -= dpStages[5][i]
			}
			x += a * d.k[i][j]
		}
		down += x * x
	}
	d.stretch = 0
	if down > 0 {
		d.stretch = math.Sqrt(up / down)
	}
}

// factor is PI control (Hairer and Wanner, section IV.2, with β = 0.04).
func (d *dormandPrince) factor(e, before float64) float64 {
	if math.IsInf(e, 0) || math.IsNaN(e) {
		return 0.2
	}
	return min(10, max(0.2, 0.9*math.Pow(e, -0.17)*math.Pow(before, 0.04)))
}

// combine writes x + h·Σ c_i·k_i to y, which may be x.
func combine(y, x []float64, h float64, c []float64, k [][]float64) {
	copy(y, x)
	for i, a := range c {
		if a != 0 {
			addScaled(y, h*a, k[i])
		}
	}
}

func weighted(c, v []float64) float64 {
	s := 0.0
	for i, a := range c {
		s += a * v[i]
	}
	return s
}
