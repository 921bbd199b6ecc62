package linear

import "math"

// leastSquares is a gaussian task whose examples are multiplied by √w, so that the loss
// is half the square of a norm, with what unpenalised columns can do in closed form.
type leastSquares struct {
	*task
	root   []float64 // √w
	target []float64 // √w ∘ (y − o − mean)
	mean   float64   // of y − o if there is an intercept
	free   *projection
}

// newLeastSquares takes the columns without a penalty; the intercept is one more.
func newLeastSquares(t *task, free []int32) *leastSquares {
	s := &leastSquares{task: t, root: make([]float64, t.rows)}
	for i, w := range t.weights {
		s.root[i] = math.Sqrt(w)
	}
	if t.intercept {
		free = append([]int32{interceptColumn}, free...)
	}
	s.setTarget()
	s.free = newProjection(t.set, free, t.rows, s.rooted)
	return s
}

func (s *leastSquares) setTarget() {
	s.target = make([]float64, s.rows)
	copy(s.target, s.y)
	for i, o := range s.offset {
		s.target[i] -= o
	}
	if s.intercept {
		s.mean, _, _, _ = denseMoments(s.set, s.target, s.weights) // exact for equal targets
	}
	for i := range s.target {
		s.target[i] = s.root[i] * (s.target[i] - s.mean)
	}
}

// interceptColumn stands for the column of ones.
const interceptColumn int32 = -1

// rooted sets dst to √w ∘ x̃_j.
func (s *leastSquares) rooted(j int32, dst []float64) {
	if j == interceptColumn {
		copy(dst, s.root)
		return
	}
	clear(dst)
	shift := s.axpy(int(j), 1, dst)
	for i := range dst {
		dst[i] = s.root[i] * (dst[i] + shift)
	}
}

// multiplyRoot multiplies by √w in place and returns the sum.
func (s *leastSquares) multiplyRoot(v []float64) float64 {
	sum := 0.0
	for i := range v {
		v[i] *= s.root[i]
		sum += v[i]
	}
	return sum
}

// residual is √w ∘ (y − o − mean − b − X̃θ).
func (s *leastSquares) residual(theta []float64, b float64) []float64 {
	eta := make([]float64, s.rows)
	shift := b
	for j, v := range theta {
		if v != 0 {
			shift += s.axpy(j, v, eta)
		}
	}
	for i := range eta {
		eta[i] = s.target[i] - s.root[i]*(eta[i]+shift)
	}
	return eta
}

// complete sets the coefficients of free columns in theta, which are 0, to the best for
// the others; what it returns has everything but penalty and certificate. rest is √w ∘
// residual.
func (s *leastSquares) complete(lambda float64, theta []float64) (f fitted, rest []float64) {
	f = fitted{lambda: lambda, intercept: []float64{s.mean}}
	for i, v := range s.free.solve(s.residual(theta, 0)) {
		if j := s.free.cols[i]; j == interceptColumn {
			f.intercept[0] += v
		} else {
			theta[j] = v
		}
	}
	rest = s.residual(theta, f.intercept[0]-s.mean)
	for j, v := range theta {
		if v != 0 {
			f.index = append(f.index, j)
			f.value = append(f.value, v)
		}
	}
	for _, r := range rest {
		f.loss += r * r / 2
	}
	return f, rest
}

// rounding says that a residual is no more than what rounding leaves of a perfect fit.
func (s *leastSquares) rounding(theta, rest []float64) bool {
	const ulps = 8
	_, size := norms(s.target)
	size += math.Abs(s.mean)
	for j, v := range theta {
		size += math.Abs(v) * math.Sqrt(s.squares[j])
	}
	_, norm := norms(rest)
	return norm <= ulps*epsilon*size
}

const epsilon = 0x1p-52
