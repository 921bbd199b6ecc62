package kernel

// half of the lanes: what the registers of a poor machine hold.
const halfLanes = productLanes / 2

// foldProduct adds up lanes by halves.
func foldProduct(lanes *[productLanes]float64) float64 {
	for half := productLanes / 2; half > 0; half /= 2 {
		for i, v := range lanes[half : 2*half] {
			lanes[i] += v
		}
	}
	return lanes[0]
}

func dotPortable(x, v []float64) float64 {
	var lanes [productLanes]float64
	whole := len(x) &^ (productLanes - 1)
	for first := 0; first < productLanes; first += halfLanes {
		var s [halfLanes]float64
		s0, s1, s2, s3, s4, s5, s6, s7 := s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]
		for i := first; i < whole; i += productLanes {
			a, b := x[i:][:halfLanes:halfLanes], v[i:][:halfLanes:halfLanes]
			s0 += float64(a[0] * b[0])
			s1 += float64(a[1] * b[1])
			s2 += float64(a[2] * b[2])
			s3 += float64(a[3] * b[3])
			s4 += float64(a[4] * b[4])
			s5 += float64(a[5] * b[5])
			s6 += float64(a[6] * b[6])
			s7 += float64(a[7] * b[7])
		}
		s = [halfLanes]float64{s0, s1, s2, s3, s4, s5, s6, s7}
		copy(lanes[first:], s[:])
	}
	v = v[whole:]
	for i, a := range x[whole:] {
		lanes[i] += float64(a * v[i])
	}
	return foldProduct(&lanes)
}

func weightedDotPortable(w, x, v []float64) float64 {
	var lanes [productLanes]float64
	for i, a := range x {
		lanes[i%productLanes] += float64(float64(w[i]*a) * v[i])
	}
	return foldProduct(&lanes)
}

func weightedMomentsPortable(w, x []float64, c float64) (first, second float64) {
	var lanes, squares [productLanes]float64
	for i, a := range x {
		a -= c
		p := float64(w[i] * a)
		lanes[i%productLanes] += p
		squares[i%productLanes] += float64(p * a)
	}
	return foldProduct(&lanes), foldProduct(&squares)
}

func axpyPortable(dst []float64, a float64, x []float64) {
	for i, v := range x {
		dst[i] += float64(a * v)
	}
}

func weightedAxpyPortable(dst []float64, a float64, w, x []float64) {
	for i, v := range x {
		dst[i] += float64(float64(a*v) * w[i])
	}
}

func weightedCentrePortable(dst, x []float64, c, a float64, w []float64) {
	for i, v := range x {
		dst[i] = float64((v-c)*a) * w[i]
	}
}

func rotatePortable(a, b []float64, cos, sin float64) {
	for i, x := range a {
		y := b[i]
		a[i] = float64(cos*x) - float64(sin*y)
		b[i] = float64(cos*y) + float64(sin*x)
	}
}

func dotsPortable(dst [][]float64, x *Columns64, lo, hi int, v [][]float64, from, to int) {
	for i := lo; i < hi; i++ {
		column := x.part(i, from, to)
		for k := range v {
			putDot(dst[k], i, from, dotPortable(column, v[k][from:to]))
		}
	}
}

// putDot stores the first part of a product and adds the others.
func putDot(dst []float64, i, from int, sum float64) {
	if from == 0 {
		dst[i] = sum
	} else {
		dst[i] += sum
	}
}

func axpysPortable(dst, a []float64, x *Columns64, from int) {
	for i := range x.Len() {
		axpyPortable(dst, a[i], x.part(i, from, from+len(dst)))
	}
}
