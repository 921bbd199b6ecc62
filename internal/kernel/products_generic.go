//go:build !amd64

package kernel

func dotPart(_ Set, x, v []float64) float64 { return dotPortable(x, v) }

func weightedDotPart(_ Set, w, x, v []float64) float64 { return weightedDotPortable(w, x, v) }

func weightedMomentsPart(_ Set, w, x []float64, c float64) (first, second float64) {
	return weightedMomentsPortable(w, x, c)
}

func axpyPart(_ Set, dst []float64, a float64, x []float64) { axpyPortable(dst, a, x) }

func weightedAxpyPart(_ Set, dst []float64, a float64, w, x []float64) {
	weightedAxpyPortable(dst, a, w, x)
}

func weightedCentrePart(_ Set, dst, x []float64, c, a float64, w []float64) {
	weightedCentrePortable(dst, x, c, a, w)
}

func rotatePart(_ Set, a, b []float64, cos, sin float64) { rotatePortable(a, b, cos, sin) }

func dotsPart(_ Set, dst [][]float64, x *Columns64, lo, hi int, v [][]float64, from, to int) {
	dotsPortable(dst, x, lo, hi, v, from, to)
}

func axpysPart(_ Set, dst, a []float64, x *Columns64, from int) { axpysPortable(dst, a, x, from) }
