package engine

import (
	"math"
	"math/bits"
	"math/cmplx"
)

// fourier computes discrete Fourier transforms of one length: by radix 2 if that
// is a power of two, directly if it is short, else as a convolution of twice the
// length (Bluestein), so that no length costs more than O(n log n). Twiddle
// factors are exact to float64. It is immutable and shared by goroutines; scratch
// memory is the caller's.
//
// Sources: J. W. Cooley and J. W. Tukey, "An algorithm for the machine
// calculation of complex Fourier series", 1965; L. I. Bluestein, "A linear
// filtering approach to the computation of discrete Fourier transform", 1970.
type fourier struct {
	n       int
	size    int          // of the power of two that is transformed; 0: directly
	twiddle []complex128 // e^(-2πik/size), or k/n if directly
	chirp   []complex128 // Bluestein: e^(-πik²/n)
	filter  []complex128 // and the transform of its conjugate
}

// directLength is up to where the definition itself is as fast.
const directLength = 8

func newFourier(n int) *fourier {
	f := &fourier{n: n}
	switch {
	case n <= directLength:
		f.twiddle = roots(n)
		return f
	case n&(n-1) == 0:
		f.size, f.twiddle = n, roots(n)
		return f
	}
	f.size = 1 << bits.Len(uint(2*n-2))
	f.twiddle = roots(f.size)
	f.chirp = make([]complex128, n)
	f.filter = make([]complex128, f.size)
	for k := range n {
		f.chirp[k] = root(k*k%(2*n), 2*n)
		f.filter[k] = cmplx.Conj(f.chirp[k])
		f.filter[(f.size-k)%f.size] = f.filter[k]
	}
	f.radix2(f.filter)
	return f
}

// root is e^(-2πik/n), exact where a part is 0 or ±1.
func root(k, n int) complex128 {
	switch {
	case k == 0:
		return 1
	case 4*k == n:
		return -1i
	case 2*k == n:
		return -1
	case 4*k == 3*n:
		return 1i
	}
	sin, cos := math.Sincos(-2 * math.Pi * float64(k) / float64(n))
	return complex(cos, sin)
}

func roots(n int) []complex128 {
	list := make([]complex128, n)
	for k := range list {
		list[k] = root(k, n)
	}
	return list
}

// scratch is how many numbers transform needs beside its operand.
func (f *fourier) scratch() int {
	switch {
	case f.size == 0:
		return f.n
	case f.chirp == nil:
		return 0
	}
	return f.size
}

// transform replaces x by its transform, y[k] = Σ x[j]·e^(-2πijk/n).
func (f *fourier) transform(x, scratch []complex128) {
	switch {
	case f.size == 0:
		copy(scratch, x)
		for k := range x {
			sum := complex128(0)
			for j, v := range scratch[:f.n] {
				sum += v * f.twiddle[j*k%f.n]
			}
			x[k] = sum
		}
	case f.chirp == nil:
		f.radix2(x)
	default:
		f.bluestein(x, scratch[:f.size])
	}
}

// bluestein writes jk = (j² + k² − (k−j)²)/2: a convolution with a chirp, done by
// transforms of a power of two.
func (f *fourier) bluestein(x, a []complex128) {
	clear(a)
	for k, v := range x {
		a[k] = v * f.chirp[k]
	}
	f.radix2(a)
	for k := range a {
		a[k] = cmplx.Conj(a[k] * f.filter[k])
	}
	f.radix2(a) // of the conjugate: the inverse, conjugated and not yet divided
	scale := complex(1/float64(f.size), 0)
	for k := range x {
		x[k] = cmplx.Conj(a[k]) * scale * f.chirp[k]
	}
}

// radix2 transforms size numbers in place.
func (f *fourier) radix2(x []complex128) {
	n := len(x)
	shift := 64 - bits.Len(uint(n-1))
	for i := range x {
		if j := int(bits.Reverse64(uint64(i)) >> shift); i < j {
			x[i], x[j] = x[j], x[i]
		}
	}
	for half := 1; half < n; half *= 2 {
		step := n / (2 * half)
		for start := 0; start < n; start += 2 * half {
			low, high := x[start:][:half], x[start+half:][:half]
			for k := range low {
				odd := high[k] * f.twiddle[k*step]
				low[k], high[k] = low[k]+odd, low[k]-odd
			}
		}
	}
}
