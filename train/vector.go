package train

import "math"

// dot is ⟨a, b⟩, summed in order.
func dot(a, b []float64) float64 {
	sum := 0.0
	for i, x := range a {
		sum += x * b[i]
	}
	return sum
}

// length is ‖a‖₂.
func length(a []float64) float64 { return math.Sqrt(dot(a, a)) }

// largest is ‖a‖_∞.
func largest(a []float64) float64 {
	top := 0.0
	for _, x := range a {
		top = max(top, math.Abs(x))
	}
	return top
}

// scaleTo writes c·a to dst, which may be a.
func scaleTo(dst []float64, c float64, a []float64) {
	for i, x := range a {
		dst[i] = c * x
	}
}
