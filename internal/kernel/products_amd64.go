package kernel

// The parts of products: at most productRows rows, all slices of equal length.

func dotPart(set Set, x, v []float64) float64 {
	if len(x) == 0 {
		return 0
	}
	var sum float64
	switch set {
	case AVX512:
		dots1x1AVX512(len(x), &x[0], &v[0], &sum)
	case AVX2:
		dots1x1AVX2(len(x), &x[0], &v[0], &sum)
	default:
		sum = dotPortable(x, v)
	}
	return sum
}

func weightedDotPart(set Set, w, x, v []float64) float64 {
	var sum float64
	switch set {
	case AVX512:
		weightedDotAVX512(len(x), &w[0], &x[0], &v[0], &sum)
	case AVX2:
		weightedDotAVX2(len(x), &w[0], &x[0], &v[0], &sum)
	default:
		sum = weightedDotPortable(w, x, v)
	}
	return sum
}

func weightedMomentsPart(set Set, w, x []float64, c float64) (first, second float64) {
	var sums [2]float64
	switch set {
	case AVX512:
		weightedMomentsAVX512(len(x), &w[0], &x[0], c, &sums[0])
	case AVX2:
		weightedMomentsAVX2(len(x), &w[0], &x[0], c, &sums[0])
	default:
		return weightedMomentsPortable(w, x, c)
	}
	return sums[0], sums[1]
}

func axpyPart(set Set, dst []float64, a float64, x []float64) {
	switch set {
	case AVX512:
		axpy1AVX512(len(x), &dst[0], &a, &x[0])
	case AVX2:
		axpy1AVX2(len(x), &dst[0], &a, &x[0])
	default:
		axpyPortable(dst, a, x)
	}
}

func weightedAxpyPart(set Set, dst []float64, a float64, w, x []float64) {
	switch set {
	case AVX512:
		weightedAxpyAVX512(len(x), &dst[0], a, &w[0], &x[0])
	case AVX2:
		weightedAxpyAVX2(len(x), &dst[0], a, &w[0], &x[0])
	default:
		weightedAxpyPortable(dst, a, w, x)
	}
}

func weightedCentrePart(set Set, dst, x []float64, c, a float64, w []float64) {
	switch set {
	case AVX512:
		weightedCentreAVX512(len(x), &dst[0], &x[0], c, a, &w[0])
	case AVX2:
		weightedCentreAVX2(len(x), &dst[0], &x[0], c, a, &w[0])
	default:
		weightedCentrePortable(dst, x, c, a, w)
	}
}

func rotatePart(set Set, a, b []float64, cos, sin float64) {
	switch set {
	case AVX512:
		rotateAVX512(len(a), &a[0], &b[0], cos, sin)
	case AVX2:
		rotateAVX2(len(a), &a[0], &b[0], cos, sin)
	default:
		rotatePortable(a, b, cos, sin)
	}
}

// dotsPart adds rows [from, to) of inner products; see [Dots64].
func dotsPart(set Set, dst [][]float64, x *Columns64, lo, hi int, v [][]float64, from, to int) {
	switch {
	case set == Portable || from == to || lo >= hi:
		dotsPortable(dst, x, lo, hi, v, from, to)
	case set == AVX512:
		dotsFour(dst, x, lo, hi, v, from, to)
	default:
		dotsTwo(dst, x, lo, hi, v, from, to)
	}
}

// firsts points at row from of columns i, i+1 … of which those from hi on stand in
// for each other.
func (c *Columns64) firsts(p []*float64, i, hi, from, to int) {
	for k := range p {
		p[k] = &c.part(min(i+k, hi-1), from, to)[0]
	}
}

// dotsFour takes four columns at a time. The processor does not foresee where the
// next column begins, so the kernels fetch it.
func dotsFour(dst [][]float64, x *Columns64, lo, hi int, v [][]float64, from, to int) {
	n := to - from
	var p, next [4]*float64
	var sums [8]float64
	x.firsts(next[:], lo, hi, from, to)
	for i := lo; i < hi; i += 4 {
		p = next
		x.firsts(next[:], i+4, hi, from, to)
		k := 0
		for ; k+4 <= len(v); k += 4 {
			v0, v1, v2, v3 := &v[k][from:to][0], &v[k+1][from:to][0], &v[k+2][from:to][0], &v[k+3][from:to][0]
			dots2x4AVX512(n, p[0], p[1], v0, v1, v2, v3, (*[2]*float64)(next[:2]), &sums[0])
			putDots(dst[k:k+4], i, hi, from, sums[:])
			if i+2 < hi {
				dots2x4AVX512(n, p[2], p[3], v0, v1, v2, v3, (*[2]*float64)(next[2:]), &sums[0])
				putDots(dst[k:k+4], i+2, hi, from, sums[:])
			}
		}
		for ; k+2 <= len(v); k += 2 {
			dots4x2AVX512(n, p[0], p[1], p[2], p[3], &v[k][from:to][0], &v[k+1][from:to][0], &next, &sums[0])
			putDots(dst[k:k+2], i, hi, from, sums[:])
		}
		if k < len(v) {
			dots4x1AVX512(n, p[0], p[1], p[2], p[3], &v[k][from:to][0], &next, &sums[0])
			putDots(dst[k:k+1], i, hi, from, sums[:4])
		}
	}
}

// dotsTwo takes two columns and one vector at a time.
func dotsTwo(dst [][]float64, x *Columns64, lo, hi int, v [][]float64, from, to int) {
	var p, next [2]*float64
	var sums [2]float64
	x.firsts(next[:], lo, hi, from, to)
	for i := lo; i < hi; i += 2 {
		p = next
		x.firsts(next[:], i+2, hi, from, to)
		for k := range v {
			dots2x1AVX2(to-from, p[0], p[1], &v[k][from:to][0], &next, &sums[0])
			putDots(dst[k:k+1], i, hi, from, sums[:])
		}
	}
}

// putDots stores sums, column by column, of the columns from i on and below hi.
func putDots(dst [][]float64, i, hi, from int, sums []float64) {
	for ; len(sums) > 0 && i < hi; i++ {
		for k := range dst {
			putDot(dst[k], i, from, sums[k])
		}
		sums = sums[len(dst):]
	}
}

// axpysPart adds rows [from, from+len(dst)) of multiples; see [Axpys64].
func axpysPart(set Set, dst, a []float64, x *Columns64, from int) {
	if set == Portable {
		axpysPortable(dst, a, x, from)
		return
	}
	n, to := len(dst), from+len(dst)
	count := x.Len()
	a = a[:count]
	for i := 0; i < count; i += 4 {
		if i+4 > count {
			for ; i < count; i++ {
				axpyPart(set, dst, a[i], x.part(i, from, to))
			}
			break
		}
		x0, x1, x2, x3 := &x.part(i, from, to)[0], &x.part(i+1, from, to)[0], &x.part(i+2, from, to)[0], &x.part(i+3, from, to)[0]
		if set == AVX512 {
			axpy4AVX512(n, &dst[0], &a[i], x0, x1, x2, x3)
		} else {
			axpy4AVX2(n, &dst[0], &a[i], x0, x1, x2, x3)
		}
	}
}
