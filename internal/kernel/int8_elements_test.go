package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// Loops over elements follow the definitions, in every set alike.
func TestInt8Elements(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{1, 15, 16, 33, 1000} {
		x, a, b := make([]float32, n), make([]uint8, n), make([]uint8, n)
		for i := range x {
			x[i], a[i], b[i] = float32(r.IntN(400)-200)/4, uint8(r.IntN(256)), uint8(r.IntN(256)) // many halves
		}
		x[0] = float32(math.Inf(1))
		x[n-1] = -1e30
		s := Int8Sum{ScaleA: 0.25, ScaleB: 0.5, ScaleY: 0.5, ZeroB: 130, ZeroY: 7, Lo: 0, Hi: 200}
		wantQ, wantX, wantSum := make([]uint8, n), make([]float32, n), make([]uint8, n)
		for i := range n {
			wantQ[i] = uint8(min(max(math.RoundToEven(float64(x[i])/0.5)+100, 0), 255))
			wantX[i] = float32((float64(a[i]) - 9) * float64(float32(0.3)))
			sum := (float64(a[i])-5)*0.25 + (float64(b[i])-130)*0.5
			wantSum[i] = uint8(min(max(math.RoundToEven(sum/0.5), 0), 200) + 7)
		}
		for _, set := range []Set{Portable, AVX2, AVX512} {
			p := NewPool(2, set)
			q, back, sum := make([]uint8, n), make([]float32, n), make([]uint8, n)
			Int8Quantize(p, q, x, 0.5, 100)
			Int8Dequantize(p, back, a, 0.3, 9)
			Int8Add(p, sum, a, b, 5, &s)
			p.Close()
			if !slices.Equal(q, wantQ) || !slices.Equal(back, wantX) || !slices.Equal(sum, wantSum) {
				t.Errorf("%v, %d elements: quantize, dequantize or add differ from their definitions", set, n)
			}
		}
	}
}

// NaN becomes the least integer, as a comparison that fails leaves it.
func TestInt8QuantizeNaN(t *testing.T) {
	for _, set := range []Set{Portable, AVX2, AVX512} {
		p := NewPool(1, set)
		y := []uint8{9}
		Int8Quantize(p, y, []float32{float32(math.NaN())}, 1, 3)
		if y[0] != 0 {
			t.Errorf("%v: got %d, want 0", set, y[0])
		}
	}
}

func TestInt8MaxPool(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, s := range []PoolShape{
		{N: 2, C: 20, H: 24, W: 24, KH: 2, KW: 2, SH: 2, SW: 2, DH: 1, DW: 1, OH: 12, OW: 12},
		{N: 1, C: 65, H: 7, W: 9, KH: 3, KW: 3, SH: 2, SW: 2, DH: 1, DW: 1, PT: 1, PL: 1, PB: 1, PR: 1, OH: 4, OW: 5},
		{N: 1, C: 3, H: 1, W: 11, KH: 1, KW: 3, SH: 1, SW: 1, DH: 1, DW: 2, OH: 1, OW: 7},
	} {
		x := make([]uint8, s.N*s.H*s.W*s.C)
		for i := range x {
			x[i] = uint8(r.IntN(256))
		}
		want := make([]uint8, s.N*s.OH*s.OW*s.C)
		for at := range want {
			c, j, i, n := at%s.C, at/s.C%s.OW, at/s.C/s.OW%s.OH, at/s.C/s.OW/s.OH
			for k := range s.KH * s.KW {
				h, w := i*s.SH+k/s.KW*s.DH-s.PT, j*s.SW+k%s.KW*s.DW-s.PL
				if h >= 0 && h < s.H && w >= 0 && w < s.W {
					want[at] = max(want[at], x[((n*s.H+h)*s.W+w)*s.C+c])
				}
			}
		}
		for _, set := range []Set{Portable, AVX2, AVX512} {
			p := NewPool(2, set)
			m := NewInt8MaxPool(p, s)
			y := make([]uint8, len(want))
			m.Run(x, y, make([]byte, m.Workspace()))
			p.Close()
			if !slices.Equal(y, want) {
				t.Errorf("%v: %+v: first difference at %d", set, s, firstDifference(y, want))
			}
		}
	}
}

func TestInt8Mean(t *testing.T) {
	const images, channels, pixels = 2, 19, 21
	x := make([]uint8, images*pixels*channels)
	for i := range x {
		x[i] = uint8(i * 7)
	}
	mean := make([]float32, images*channels)
	Int8Mean(mean, x, images, pixels, channels, 0.5, 10)
	sum := 0.0
	for i := range pixels {
		sum += float64(x[(1*pixels+i)*channels+3]) - 10
	}
	if got, want := mean[channels+3], float32(sum*0.5/pixels); got != want {
		t.Errorf("mean: got %v, want %v", got, want)
	}
}
