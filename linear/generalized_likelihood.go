package linear

import "math"

// likelihood is the loss Σ w_i ℓ_i of a family as a function of η [K, n], class by
// class. After at it knows the point: curve, diagonal, bound and remainder speak of
// that one.
//
// In all three families ∂ℓ/∂η_ik = m_ik − y_ik with expected values m ("cells"), and
// the convex conjugate is finite exactly where the dual's own cells are ≥ 0.
type likelihood interface {
	// at sets v to −w∘∂ℓ/∂η and returns the loss, +Inf where it overflows.
	at(eta, v []float64) float64
	// curve sets dst to D·u with D = w∘∂²ℓ/∂η²: [n] blocks of [K, K].
	curve(dst, u []float64)
	// diagonal sets dst to the diagonal of D.
	diagonal(dst []float64)
	// bound sets dst to a diagonal matrix ≥ D.
	bound(dst []float64)
	// remainder is Σ w_i (ℓ_i(η_i) + ℓ_i*(−ν_i/w_i)) + ν·η ≥ 0, what the loss adds to the
	// duality gap at the dual point ν; v is what at gave for eta. +Inf outside the
	// conjugate's domain.
	remainder(eta, v, nu []float64) float64
	// start are the intercepts that fit best without offsets: [K].
	start() []float64
}

func (t *task) likelihood() likelihood {
	size := t.rows * t.classes
	switch t.family {
	case Binomial:
		return &binomial{y: t.y, w: t.weights, small: make([]float64, size), h: make([]float64, size), set: t.set}
	case Multinomial:
		return &multinomial{y: t.y, w: t.weights, classes: t.classes, cell: make([]float64, size)}
	}
	return &poisson{y: t.y, w: t.weights, cell: make([]float64, size), set: t.set}
}

// divergence is (m+δ) log((m+δ)/m) − δ, the part of one cell in a Kullback–Leibler
// divergence: ≥ 0, without cancellation where δ ≪ m. logM is asked for only if δ is
// not small, and may then be far below what m can hold.
func divergence(m, delta float64, logM func() float64) float64 {
	u := m + delta
	switch x := delta / m; {
	case delta == 0:
		return 0
	case math.Abs(x) < 0.05:
		// Σ_{k≥2} (−1)^k x^k / (k(k−1)), to a relative error of 0.05^11.
		sum := 0.0
		for k := 12; k >= 2; k-- {
			sum = 1/float64(k*(k-1)) - x*sum
		}
		return m * x * x * sum
	case u < 0:
		if u < -1e-15*math.Abs(delta) {
			return math.Inf(1)
		}
		return -delta
	case u == 0:
		return -delta
	}
	return max(0, u*(math.Log(u)-logM())-delta)
}

// softplus is log(1+eˣ).
func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }
