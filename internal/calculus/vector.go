package calculus

import "math"

// dot is Σ a_i·b_i, summed in four interleaved chains: always in the same order.
func dot(a, b []float64) float64 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float64
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s0 += a[i] * b[i]
		s1 += a[i+1] * b[i+1]
		s2 += a[i+2] * b[i+2]
		s3 += a[i+3] * b[i+3]
	}
	for ; i < len(a); i++ {
		s0 += a[i] * b[i]
	}
	return (s0 + s1) + (s2 + s3)
}

// norm is ‖a‖₂. Squares that leave the range of float64 make it take the long
// way round, by the largest entry.
func norm(a []float64) float64 {
	s := dot(a, a)
	if s > 1e-280 && s < 1e280 || math.IsNaN(s) {
		return math.Sqrt(s)
	}
	top := 0.0
	for _, x := range a {
		top = max(top, math.Abs(x))
	}
	if top == 0 || math.IsInf(top, 0) {
		return top
	}
	s = 0
	for _, x := range a {
		s += (x / top) * (x / top)
	}
	return top * math.Sqrt(s)
}

// addScaled adds c·x to y.
func addScaled(y []float64, c float64, x []float64) {
	x = x[:len(y)]
	for i := range y {
		y[i] += c * x[i]
	}
}

// scale multiplies y by c.
func scale(y []float64, c float64) {
	for i := range y {
		y[i] *= c
	}
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
