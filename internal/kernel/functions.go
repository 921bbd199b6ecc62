package kernel

import "math"

//go:generate go run ./asm -family functions -out functions_kernels_amd64.s -stubs functions_kernels_amd64.go -pkg kernel

// Log computes dst ← ln x: −Inf at 0, NaN below. dst may be x. In float32 the
// error is at most 1 ulp.
func Log[T Float](p *Pool, dst, x []T) { apply(p, opLog, dst, x, nil, 0) }

// Gelu computes dst ← x·Φ(x), Φ being the normal distribution. dst may be x. In
// float32 the error is at most 64 ulp from −5.6 on, 12 from −3 on; below −5.6 the
// result is 0, which is off by 5e-8 at most.
func Gelu[T Float](p *Pool, dst, x []T) { apply(p, opGelu, dst, x, nil, 0) }

// GeluTanh computes dst ← x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))/2. dst may be x.
// In float32 the error is at most 32 ulp while the result is above 1e-7 in size.
func GeluTanh[T Float](p *Pool, dst, x []T) { apply(p, opGeluTanh, dst, x, nil, 0) }

// Div computes dst ← x/y, element by element. dst may be x or y.
func Div[T Float](p *Pool, dst, x, y []T) { apply(p, opDiv, dst, x, y, 0) }

// Maximum computes dst ← max(x, y), element by element: NaN where either is. dst
// may be x or y. Of zeros of both signs it takes −0.
func Maximum[T Float](p *Pool, dst, x, y []T) { apply(p, opMax, dst, x, y, 0) }

// Minimum computes dst ← min(x, y); see [Maximum].
func Minimum[T Float](p *Pool, dst, x, y []T) { apply(p, opMin, dst, x, y, 0) }

// Sqrt computes dst ← √x. dst may be x.
func Sqrt[T Float](p *Pool, dst, x []T) { apply(p, opSqrt, dst, x, nil, 0) }

// Reciprocal computes dst ← 1/x. dst may be x.
func Reciprocal[T Float](p *Pool, dst, x []T) { apply(p, opReciprocal, dst, x, nil, 0) }

// Abs computes dst ← |x|. dst may be x.
func Abs[T Float](p *Pool, dst, x []T) { apply(p, opAbs, dst, x, nil, 0) }

// Leaky computes dst ← x where x has no sign, s·x elsewhere. dst may be x.
func Leaky[T Float](p *Pool, dst, x []T, s T) { apply(p, opLeaky, dst, x, nil, s) }

// Clip computes dst ← min(hi, max(lo, x)), NaN where x is. dst may be x.
func Clip[T Float](p *Pool, dst, x []T, lo, hi T) {
	checkLength("x", len(x), len(dst))
	j := newJob[T](p, opClip)
	j.dst, j.x, j.factors[0], j.factors[1] = dst, x, lo, hi
	j.run(len(dst), 1<<14)
}

// log32 is log(2ᵉ·m) with m in [√½, √2). Numbers too small to be normal are
// scaled first.
func log32(x float32) float32 {
	switch {
	case x == 0:
		return float32(math.Inf(-1))
	case x < 0:
		return float32(math.NaN())
	case x != x || math.IsInf(float64(x), 1):
		return x
	}
	c := &coefficients
	e := float32(0)
	if x < c[49] {
		x *= c[50]
		e = c[51]
	}
	i := math.Float32bits(x) + oneBits - rootHalfBits
	e = float32(int32(i)>>23-127) - e
	f := math.Float32frombits(i&mantissaMask+rootHalfBits) - 1
	z := float32(f * f)
	y := float32(float32(horner(f, c[39:48])*f) * z)
	y += float32(e * c[5])
	y -= float32(z * c[48])
	y += f
	return y + float32(e*c[4])
}

// gelu32 takes erfc of |x|/√2 as erf32 does, for the tail of Φ that x points
// away from.
func gelu32(x float32) float32 {
	c := &coefficients
	whole := float32(abs32(x) * c[58])
	z := min(whole, c[20])
	tail := float32(0)
	if z < 1 {
		tail = 1 - (float32(horner(float32(z*z), c[21:28])*z) + z)
	} else {
		tail = exp32(horner(z, c[28:37]))
	}
	tail *= c[48]
	if !(whole < c[20]) {
		tail = 0
	}
	if math.Signbit(float64(x)) {
		return x * tail
	}
	return x * (1 - tail)
}

func geluTanh32(x float32) float32 {
	c := &coefficients
	slope := float32(float32(x*x)*c[60]) + c[59]
	return x * sigmoid32(float32(x*slope))
}

// arithmetic is the loop in Go of the kernels that need no series.
func arithmetic[T Float](op opcode, dst, x, y []T, s *factors[T]) {
	switch op {
	case opDiv:
		for i, v := range x {
			dst[i] = v / y[i]
		}
	case opMax:
		for i, v := range x {
			m := max(v, y[i])
			if v == y[i] {
				m = min(v, y[i]) // of two zeros −0, as the assembly
			}
			dst[i] = m
		}
	case opMin:
		for i, v := range x {
			dst[i] = min(v, y[i])
		}
	case opFill:
		for i := range dst {
			dst[i] = s[0]
		}
	case opSqrt:
		for i, v := range x {
			dst[i] = T(math.Sqrt(float64(v)))
		}
	case opReciprocal:
		for i, v := range x {
			dst[i] = 1 / v
		}
	case opAbs:
		for i, v := range x {
			dst[i] = T(math.Abs(float64(v)))
		}
	case opClip:
		for i, v := range x {
			if v < s[0] {
				v = s[0]
			}
			if v > s[1] {
				v = s[1]
			}
			dst[i] = v
		}
	case opLeaky:
		for i, v := range x {
			if math.Signbit(float64(v)) {
				v *= s[0]
			}
			dst[i] = v
		}
	}
}
