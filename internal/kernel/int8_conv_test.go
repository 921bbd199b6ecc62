package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// int8Cases are shapes that take every way through the kernels.
func int8Cases() []ConvShape {
	square := func(n, c, h, m, k, stride, pad, groups int) ConvShape {
		out := outSize(h, k, stride, 1, 2*pad)
		return ConvShape{N: n, C: c, H: h, W: h, M: m, KH: k, KW: k, SH: stride, SW: stride, DH: 1, DW: 1,
			PT: pad, PL: pad, PB: pad, PR: pad, Groups: groups, OH: out, OW: out}
	}
	dilated := square(1, 8, 12, 20, 3, 1, 2, 1)
	dilated.DH, dilated.DW, dilated.OH, dilated.OW = 2, 2, 12, 12
	lopsided := ConvShape{N: 1, C: 3, H: 9, W: 14, M: 7, KH: 2, KW: 5, SH: 1, SW: 2, DH: 1, DW: 1, PT: 1, PR: 3, Groups: 1, OH: 9, OW: 7}
	row := ConvShape{N: 2, C: 16, H: 1, W: 37, M: 48, KH: 1, KW: 3, SH: 1, SW: 1, DH: 1, DW: 1, PL: 1, PR: 1, Groups: 1, OH: 1, OW: 37}
	return []ConvShape{
		square(1, 3, 11, 16, 3, 1, 1, 1), square(2, 16, 8, 16, 3, 1, 1, 1), square(1, 32, 9, 80, 3, 2, 1, 1),
		square(1, 64, 4, 128, 3, 1, 1, 1), square(3, 5, 2, 70, 1, 1, 0, 1), square(1, 24, 13, 48, 1, 1, 0, 1), square(1, 12, 7, 33, 1, 2, 0, 1),
		square(1, 8, 6, 12, 3, 1, 1, 2), square(2, 6, 5, 9, 3, 1, 0, 3), dilated, lopsided, row,
		square(2, 64, 9, 64, 3, 1, 1, 64), square(1, 72, 8, 72, 3, 2, 1, 72), square(1, 3, 7, 3, 5, 1, 2, 3),
		square(1, 300, 1, 100, 1, 1, 0, 1), square(1, 128, 12, 256, 3, 1, 1, 1),
		{N: 7, C: 130, H: 1, W: 1, M: 10, KH: 1, KW: 1, SH: 1, SW: 1, DH: 1, DW: 1, Groups: 1, OH: 1, OW: 1},
	}
}

// int8Problem is a convolution with random operands.
type int8Problem struct {
	s        ConvShape
	x, other []uint8
	w        []int8
	zero     uint8
	out      Int8Output
}

func newInt8Problem(r *rand.Rand, s ConvShape, kind int) int8Problem {
	p := int8Problem{s: s, x: make([]uint8, s.N*s.C*s.H*s.W), w: make([]int8, s.M*s.taps()), zero: uint8(r.IntN(256)),
		other: make([]uint8, s.N*s.M*s.OH*s.OW)}
	for i := range p.x {
		p.x[i] = uint8(r.IntN(256))
	}
	for i := range p.w {
		p.w[i] = int8(r.IntN(256) - 128)
	}
	p.w[0], p.x[0] = -128, 255
	for i := range p.other {
		p.other[i] = uint8(r.IntN(256))
	}
	scale := 1 / (70 * 70 * math.Sqrt(float64(s.taps())))
	o := Int8Output{Mul: make([]float32, s.M), Add: make([]float32, s.M)}
	for m := range s.M {
		o.Mul[m], o.Add[m] = float32(scale*(50+100*r.Float64())), float32(r.NormFloat64())
	}
	if kind != 1 {
		o.Bias = make([]int32, s.M)
		for m := range o.Bias {
			o.Bias[m] = int32(r.IntN(20000) - 10000)
		}
	}
	o.Zero = uint8(r.IntN(256))
	o.Lo, o.Hi = -float32(o.Zero), 255-float32(o.Zero)
	switch kind {
	case 1:
		o.Real, o.Lo, o.Hi = true, float32(math.Inf(-1)), 60
	case 2:
		o.Sum = &Int8Sum{ScaleA: 0.31, ScaleB: 0.7, ScaleY: 0.9, ZeroB: 17, ZeroY: 3, Lo: 0, Hi: 252}
	}
	p.out = o
	return p
}

// int8Oracle computes the sums from the definition, in int64.
func int8Oracle(p *int8Problem) []int64 {
	s := &p.s
	y := make([]int64, s.N*s.OH*s.OW*s.M)
	in, out := s.groupIn(), s.groupOut()
	for at := range y {
		m, j, i, n := at%s.M, at/s.M%s.OW, at/s.M/s.OW%s.OH, at/s.M/s.OW/s.OH
		for kh := range s.KH {
			for kw := range s.KW {
				h, w := i*s.SH+kh*s.DH-s.PT, j*s.SW+kw*s.DW-s.PL
				if h < 0 || h >= s.H || w < 0 || w >= s.W {
					continue
				}
				for c := range in {
					x := p.x[((n*s.H+h)*s.W+w)*s.C+m/out*in+c]
					y[at] += (int64(x) - int64(p.zero)) * int64(p.w[((m*in+c)*s.KH+kh)*s.KW+kw])
				}
			}
		}
		if p.out.Bias != nil {
			y[at] += int64(p.out.Bias[m])
		}
	}
	return y
}

func (p *int8Problem) run(pool *Pool) ([]uint8, []float32) {
	c := NewInt8Conv(pool, p.s, p.zero, p.w, p.out)
	size := p.s.N * p.s.OH * p.s.OW * p.s.M
	y, reals := make([]uint8, size), make([]float32, size)
	c.Run(p.x, p.other, y, reals, make([]byte, c.Workspace()))
	return y, reals
}

// The integers are those of the definition, and every set and number of threads
// gives the same bits.
func TestInt8Conv(t *testing.T) {
	for i, s := range int8Cases() {
		if err := s.Validate(); err != nil {
			t.Fatal(err)
		}
		for kind, name := range []string{"bytes", "reals", "sum"} {
			t.Run(fmt.Sprintf("%d/%s", i, name), func(t *testing.T) {
				r := rand.New(rand.NewPCG(uint64(i), uint64(kind)))
				p := newInt8Problem(r, s, kind)
				want, wantReal := int8Expected(&p)
				for _, set := range []Set{Portable, AVX2, AVX512} {
					for _, threads := range []int{1, 3} {
						pool := NewPool(threads, set)
						y, reals := p.run(pool)
						pool.Close()
						if p.out.Real && !slices.Equal(reals, wantReal) {
							t.Errorf("%v, %d threads: reals differ, first at %d", set, threads, firstDifference(reals, wantReal))
						}
						if !p.out.Real && !slices.Equal(y, want) {
							t.Errorf("%v, %d threads: bytes differ, first at %d", set, threads, firstDifference(y, want))
						}
					}
				}
			})
		}
	}
}

func firstDifference[T comparable](a, b []T) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

// int8Expected makes outputs of the oracle's sums, written out in float64 with a
// conversion to float32 for each rounding.
func int8Expected(p *int8Problem) ([]uint8, []float32) {
	o := &p.out
	clamp := func(v float64, lo, hi float32) float64 { return min(max(v, float64(lo)), float64(hi)) }
	round := func(v float64) float64 { return float64(float32(v)) }
	sums := int8Oracle(p)
	y, reals := make([]uint8, len(sums)), make([]float32, len(sums))
	for i, acc := range sums {
		m := i % p.s.M
		v := round(round(round(float64(acc))*float64(o.Mul[m])) + float64(o.Add[m]))
		if o.Real {
			reals[i] = float32(clamp(v, o.Lo, o.Hi))
			continue
		}
		q := math.RoundToEven(clamp(v, o.Lo, o.Hi))
		zero := float64(o.Zero)
		if e := o.Sum; e != nil {
			a := round(q * float64(e.ScaleA))
			b := round((float64(p.other[i]) - float64(e.ZeroB)) * float64(e.ScaleB))
			q = math.RoundToEven(clamp(round(round(a+b)/float64(e.ScaleY)), e.Lo, e.Hi))
			zero = float64(e.ZeroY)
		}
		y[i] = uint8(q + zero)
	}
	return y, reals
}

// The sums themselves, for a zero point known at the run alone.
func TestInt8ConvIntegers(t *testing.T) {
	for i, s := range int8Cases() {
		p := newInt8Problem(rand.New(rand.NewPCG(uint64(i), 9)), s, 1)
		want := int8Oracle(&p)
		for _, set := range []Set{Portable, AVX2, AVX512} {
			pool := NewPool(2, set)
			c := NewInt8Conv(pool, s, 0, p.w, Int8Output{})
			y := make([]int32, len(want))
			for _, adds := range []bool{false, true} {
				c.RunIntegers(p.x, p.zero, y, adds, make([]byte, c.Workspace()))
			}
			pool.Close()
			for k, v := range want {
				if int64(y[k]) != 2*v {
					t.Fatalf("%v, shape %d: sum %d: got %d, want twice %d", set, i, k, y[k], v)
				}
			}
		}
	}
}

// A run allocates nothing.
func TestInt8ConvDoesNotAllocate(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	p := newInt8Problem(r, int8Cases()[1], 0)
	pool := NewPool(2, Best())
	defer pool.Close()
	c := NewInt8Conv(pool, p.s, p.zero, p.w, p.out)
	y, ws := make([]uint8, len(p.other)), make([]byte, c.Workspace())
	if n := testing.AllocsPerRun(20, func() { c.Run(p.x, nil, y, nil, ws) }); n > 0 {
		t.Errorf("allocations per run: got %v, want 0", n)
	}
}

func BenchmarkInt8Conv(b *testing.B) {
	same := func(c, h, m, k int) ConvShape {
		return ConvShape{N: 1, C: c, H: h, W: h, M: m, KH: k, KW: k, SH: 1, SW: 1, DH: 1, DW: 1,
			PT: k / 2, PL: k / 2, PB: k / 2, PR: k / 2, Groups: 1, OH: h, OW: h}
	}
	depthwise := same(64, 25, 64, 3)
	depthwise.Groups = 64
	for _, s := range []ConvShape{same(16, 32, 16, 3), same(32, 16, 32, 3), same(64, 8, 64, 3), same(64, 56, 64, 3), same(256, 14, 256, 3), same(512, 7, 512, 3), same(96, 56, 24, 1), depthwise} {
		b.Run(fmt.Sprintf("%dx%dx%d-%d-%d", s.C, s.H, s.W, s.M, s.KH), func(b *testing.B) {
			pool := NewPool(1, Best())
			defer pool.Close()
			p := newInt8Problem(rand.New(rand.NewPCG(1, 2)), s, 0)
			c := NewInt8Conv(pool, p.s, p.zero, p.w, p.out)
			y, ws := make([]uint8, len(p.other)), make([]byte, c.Workspace())
			for b.Loop() {
				c.Run(p.x, nil, y, nil, ws)
			}
			products := float64(s.M*s.taps()) * float64(s.OH*s.OW)
			b.ReportMetric(2*products/float64(b.Elapsed().Nanoseconds())*float64(b.N), "Gop/s")
		})
	}
}
