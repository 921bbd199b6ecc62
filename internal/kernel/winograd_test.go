package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func randomWinograd(r *rand.Rand) ConvShape {
	s := ConvShape{N: 1 + r.IntN(2), C: 16 * (1 + r.IntN(4)), H: 1 + r.IntN(14), W: 1 + r.IntN(14), M: 16 * (1 + r.IntN(6)),
		KH: 3, KW: 3, SH: 1, SW: 1, DH: 1, DW: 1, PT: 1 + r.IntN(2), PL: 1 + r.IntN(2), PB: 1 + r.IntN(2), PR: 1 + r.IntN(2), Groups: 1}
	s.OH, s.OW = s.H+s.PT+s.PB-2, s.W+s.PL+s.PR-2
	return s
}

// The bound is some ten times the error that winograd_tile.go states.
func TestWinogradAgreesWithConv(t *testing.T) {
	lastSets(t, func(t *testing.T, p *Pool) {
		r := rand.New(rand.NewPCG(9, 10))
		for range 25 {
			s := randomWinograd(r)
			x, w, bias := normal(r, s.N*s.C*s.H*s.W), normal(r, s.M*s.taps()), normal(r, s.M)
			residual := normal(r, s.N*s.M*s.OH*s.OW)
			for i := range w {
				w[i] /= float32(math.Sqrt(float64(s.taps())))
			}
			want := convLastOracle(s, x, w, bias, residual, -1, 2)
			c := NewLastWinograd(p, s, w, bias, -1, 2)
			y := make([]float32, len(residual))
			scratch := make([]float32, c.Workspace())
			for i := range scratch {
				scratch[i] = float32(math.NaN())
			}
			plane := s.OH * s.OW
			if err := c.Run(toLast(x, s.N, s.C, s.H*s.W), toLast(residual, s.N, s.M, plane), y, scratch); err != nil {
				t.Fatal(err)
			}
			closeTo(t, fmt.Sprintf("%+v", s), toFirst(y, s.N, s.M, plane), want, 5e-5)
		}
	})
}

// A tile's result does not depend on which tiles are done with it.
func TestWinogradBits(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	s := randomWinograd(r)
	s.N, s.H, s.W, s.OH, s.OW = 3, 13, 18, 13, 18
	s.PT, s.PB, s.PL, s.PR = 1, 1, 1, 1
	x, w := normal(r, s.N*s.C*s.H*s.W), normal(r, s.M*s.taps())
	for set := Portable; set <= Best(); set++ {
		var first []float32
		for _, threads := range []int{1, 2, 5} {
			p := NewPool(threads, set)
			c := NewLastWinograd(p, s, w, nil, 0, 1)
			y := make([]float32, s.N*s.M*s.OH*s.OW)
			if err := c.Run(x, nil, y, make([]float32, c.Workspace())); err != nil {
				t.Fatal(err)
			}
			p.Close()
			for i := range first {
				if first[i] != y[i] {
					t.Fatalf("%s with %d threads: element %d: got %v, want %v", set, threads, i, y[i], first[i])
				}
			}
			first = y
		}
	}
}
