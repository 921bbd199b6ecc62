package published

import "math"

// normal95 is the 97.5 % point of the standard normal distribution.
const normal95 = 1.959963984540054

// errorInterval is the mean of 1 − right in percent with its 95 % interval over n
// examples, each judged by one or several networks: right[i] is of example i mod n.
// Two right and two wrong examples are added for the interval, so that it does not
// collapse when all answers are right.
//
// Source: A. Agresti and B. Coull, "Approximate is better than 'exact' for interval
// estimation of binomial proportions", The American Statistician 52 (1998), 119–126,
// with the variance of the examples' means in the place of p(1−p).
func errorInterval(n int, right []float64) (percent, lo, hi float64) {
	wrong, judged := make([]float64, n), make([]float64, n)
	for i, r := range right {
		wrong[i%n] += 1 - r
		judged[i%n]++
	}
	sum, squares := 0.0, 0.0
	for i, w := range wrong {
		w /= max(1, judged[i])
		sum, squares = sum+w, squares+w*w
	}
	m := float64(n) + 4
	centre := (sum + 2) / m
	half := normal95 * math.Sqrt(((squares+2)/m-centre*centre)/m)
	return 100 * sum / float64(n), 100 * max(0, centre-half), 100 * min(1, centre+half)
}
