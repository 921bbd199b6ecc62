package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Sums of rows against a sum in order, and every set against portable Go.
func TestRowSums(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, cols := range []int{1, 15, 16, 17, 64, 100, 1024} {
		x := random[float32](r, 7*cols)
		want := make([]float64, 7)
		RowSums(Portable, want, x, cols)
		for i, got := range want {
			sum, size := 0.0, 0.0
			for _, v := range x[i*cols:][:cols] {
				sum += float64(v)
				size += math.Abs(float64(v))
			}
			if math.Abs(got-sum) > 1e-14*size {
				t.Errorf("row %d of %d elements: got %v, want %v", i, cols, got, sum)
			}
		}
		for set := AVX2; set <= Best(); set++ {
			got := make([]float64, 7)
			RowSums(set, got, x, cols)
			for i := range want {
				if got[i] != want[i] {
					t.Errorf("%s, row %d of %d elements: got %v, want %v as portable", set, i, cols, got[i], want[i])
				}
			}
		}
	}
}

// A chain computes what its operations do one after the other.
func TestChain(t *testing.T) {
	c, err := NewChain[float32]([]Link{{Op: "Sub", Dst: 2, X: 0, Y: 1}, {Op: "Tanh", Dst: 2, X: 2, Y: -1}, {Op: "ReluGrad", Dst: 3, X: 1, Y: 2},
		{Op: "LeakyRelu", Dst: 3, X: 3, Y: -1, Factor: 0.5}, {Op: "Neg", Dst: 3, X: 3, Y: -1}})
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(3, 4))
	const n = 77
	p := newPool(t, 1, Best())
	x, y := random[float32](r, n), random[float32](r, n)
	values := [][]float32{x, y, make([]float32, n), make([]float32, n)}
	c.Run(p.Set(), values)
	want, grad := make([]float32, n), make([]float32, n)
	Sub(p, want, x, y)
	Tanh(p, want, want)
	ReluGrad(p, grad, y, want)
	Leaky(p, grad, grad, 0.5)
	MulScalar(p, grad, grad, -1)
	for i := range grad {
		if values[3][i] != grad[i] {
			t.Errorf("[%d]: got %v, want %v", i, values[3][i], grad[i])
		}
	}
	if _, err := NewChain[float32]([]Link{{Op: "Conv"}}); err == nil {
		t.Error("operation Conv: got no error, want one")
	}
}
