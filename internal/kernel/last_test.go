package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// toLast moves the channels of [n, c, plane] last; toFirst moves them back.
func toLast(x []float32, n, c, plane int) []float32 {
	y := make([]float32, len(x))
	for i := range n {
		for k := range c {
			for p := range plane {
				y[(i*plane+p)*c+k] = x[(i*c+k)*plane+p]
			}
		}
	}
	return y
}

func toFirst(x []float32, n, c, plane int) []float32 { return toLast(x, n, plane, c) }

// randomWindow draws sizes with every kind of pad, stride and dilation.
func randomWindow(r *rand.Rand) PoolShape {
	for {
		s := PoolShape{N: 1 + r.IntN(2), C: 1 + r.IntN(40), H: 1 + r.IntN(12), W: 1 + r.IntN(30),
			KH: 1 + r.IntN(4), KW: 1 + r.IntN(4), SH: 1 + r.IntN(2), SW: 1 + r.IntN(2), DH: 1 + r.IntN(2), DW: 1 + r.IntN(2),
			PT: r.IntN(3), PL: r.IntN(3), PB: r.IntN(3), PR: r.IntN(3)}
		if r.IntN(3) == 0 {
			s.KH, s.KW, s.SH, s.SW, s.PT, s.PB, s.PL, s.PR = 1, 1, 1, 1, 0, 0, 0, 0
		}
		s.OH = PoolSize(s.H, s.KH, s.SH, s.DH, s.PT, s.PT+s.PB, false)
		s.OW = PoolSize(s.W, s.KW, s.SW, s.DW, s.PL, s.PL+s.PR, false)
		if s.Validate() == nil {
			return s
		}
	}
}

func (s PoolShape) conv(m, groups int) ConvShape {
	return ConvShape{N: s.N, C: s.C, H: s.H, W: s.W, M: m, KH: s.KH, KW: s.KW, SH: s.SH, SW: s.SW, DH: s.DH, DW: s.DW,
		PT: s.PT, PL: s.PL, PB: s.PB, PR: s.PR, Groups: groups, OH: s.OH, OW: s.OW}
}

func normal(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// lastSets calls f for every set this machine has, with 1 and 3 threads.
func lastSets(t *testing.T, f func(t *testing.T, p *Pool)) {
	for set := Portable; set <= Best(); set++ {
		for _, threads := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s/%d", set, threads), func(t *testing.T) {
				p := NewPool(threads, set)
				defer p.Close()
				f(t, p)
			})
		}
	}
}

// The oracle is the convolution in NCHW, in float64.
func TestLastConvAgreesWithConv(t *testing.T) {
	lastSets(t, func(t *testing.T, p *Pool) {
		r := rand.New(rand.NewPCG(1, 2))
		for range 150 {
			s := randomWindow(r).conv(1+r.IntN(150), 1)
			if r.IntN(4) == 0 {
				s.Groups = 1 + r.IntN(3)
				s.C, s.M = s.Groups*(1+r.IntN(5)), s.Groups*(1+r.IntN(20))
			}
			if s.Validate() != nil {
				continue
			}
			x, w, bias := normal(r, s.N*s.C*s.H*s.W), normal(r, s.M*s.taps()), normal(r, s.M)
			residual := normal(r, s.N*s.M*s.OH*s.OW)
			want := convLastOracle(s, x, w, bias, residual, -1, 2)
			c := NewLastConv(p, s, w, bias, -1, 2)
			y := make([]float32, len(residual))
			scratch := make([]float32, c.Workspace())
			for i := range scratch {
				scratch[i] = float32(math.NaN())
			}
			plane := s.OH * s.OW
			if err := c.Run(toLast(x, s.N, s.C, s.H*s.W), toLast(residual, s.N, s.M, plane), y, scratch); err != nil {
				t.Fatal(err)
			}
			closeTo(t, fmt.Sprintf("%+v", s), toFirst(y, s.N, s.M, plane), want, 1e-4)
		}
	})
}

func convLastOracle(s ConvShape, x, w, bias, residual []float32, low, high float64) []float64 {
	y := make([]float64, len(residual))
	p := NewPool(1, Portable)
	Conv(p, s, doubles(x), doubles(w), doubles(bias), y, ActNone, make([]float64, ConvWorkspace(s, p.threads)))
	for i := range y {
		y[i] = min(max(y[i]+float64(residual[i]), low), high)
	}
	return y
}

func doubles(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

// closeTo: sums of a few hundred standard normal terms err by some 1e-6.
func closeTo(t *testing.T, what string, got []float32, want []float64, tolerance float64) {
	t.Helper()
	for i, v := range got {
		if !(math.Abs(float64(v)-want[i]) <= tolerance) {
			t.Fatalf("%s: element %d: got %v, want %v", what, i, v, want[i])
		}
	}
}

// Weights of more than one block are added to what is stored.
func TestLastConvInBlocks(t *testing.T) {
	lastSets(t, func(t *testing.T, p *Pool) {
		s := ConvShape{N: 1, C: 1100, H: 4, W: 3, M: 70, KH: 3, KW: 3, SH: 1, SW: 1, DH: 1, DW: 1, PT: 1, PL: 1, PB: 1, PR: 1, Groups: 1, OH: 4, OW: 3}
		r := rand.New(rand.NewPCG(3, 4))
		x, w := normal(r, s.C*s.H*s.W), normal(r, s.M*s.taps())
		c := NewLastConv(p, s, w, nil, -1, 1)
		if p.set == AVX512 && len(c.blocks) < 3 {
			t.Fatalf("blocks: got %d, want more than 1", len(c.blocks)-1)
		}
		none := make([]float32, s.M*s.OH*s.OW)
		want := convLastOracle(s, x, w, make([]float32, s.M), none, -1, 1)
		if err := c.Run(toLast(x, 1, s.C, s.H*s.W), nil, none, make([]float32, c.Workspace())); err != nil {
			t.Fatal(err)
		}
		closeTo(t, "blocks", toFirst(none, 1, s.M, s.OH*s.OW), want, 1e-3)
	})
}

func TestLastWindowsAgree(t *testing.T) {
	lastSets(t, func(t *testing.T, p *Pool) {
		r := rand.New(rand.NewPCG(5, 6))
		for range 150 {
			s := randomWindow(r)
			x, w, bias := normal(r, s.N*s.C*s.H*s.W), normal(r, s.C*s.KH*s.KW), normal(r, s.C)
			if r.IntN(4) == 0 {
				x[r.IntN(len(x))] = float32(math.NaN())
			}
			in, y := toLast(x, s.N, s.C, s.H*s.W), make([]float32, s.N*s.C*s.OH*s.OW)
			same := func(what string, c *LastWindow, want []float32) {
				t.Helper()
				if err := c.Run(in, y); err != nil {
					t.Fatal(err)
				}
				got := toFirst(y, s.N, s.C, s.OH*s.OW)
				for i, v := range got {
					if !(math.Abs(float64(v-want[i])) <= 1e-4 || v != v && want[i] != want[i] || v == want[i]) {
						t.Fatalf("%s %+v: element %d: got %v, want %v", what, s, i, v, want[i])
					}
				}
			}
			want := make([]float32, len(y))
			MaxPool[float32, int64](p, s, x, want, nil)
			same("maximum", NewLastMaxPool(p, s), want)
			for _, includePad := range []bool{false, true} {
				AveragePool(p, s, x, want, includePad)
				same("mean", NewLastAveragePool(p, s, includePad), want)
			}
			conv := s.conv(s.C, s.C)
			if conv.Validate() == nil {
				one := NewPool(1, p.set)
				Conv(one, conv, x, w, bias, want, ActRelu, make([]float32, ConvWorkspace(conv, 1)))
				same("depthwise", NewLastDepthwise(p, conv, w, bias, 0, float32(math.Inf(1))), want)
			}
		}
	})
}

// AVX2 and AVX-512 fuse the same chains, so that bits agree; so they do at any
// number of threads.
func TestLastConvBits(t *testing.T) {
	if Best() < AVX512 {
		t.Skip("needs AVX-512")
	}
	s := ConvShape{N: 2, C: 20, H: 9, W: 17, M: 50, KH: 3, KW: 3, SH: 1, SW: 1, DH: 1, DW: 1, PT: 1, PL: 1, PB: 1, PR: 1, Groups: 1, OH: 9, OW: 17}
	r := rand.New(rand.NewPCG(7, 8))
	x, w := normal(r, s.N*s.C*s.H*s.W), normal(r, s.M*s.taps())
	var first []float32
	for _, set := range []Set{AVX2, AVX512} {
		for _, threads := range []int{1, 2, 5} {
			p := NewPool(threads, set)
			c := NewLastConv(p, s, w, nil, 0, 1)
			y := make([]float32, s.N*s.M*s.OH*s.OW)
			if err := c.Run(x, nil, y, make([]float32, c.Workspace())); err != nil {
				t.Fatal(err)
			}
			p.Close()
			if first == nil {
				first = y
			}
			if !slices.Equal(first, y) {
				t.Errorf("%s with %d threads: other bits", set, threads)
			}
		}
	}
}
