package kernel

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// randomDense draws sizes around those of tiles, panels and passes.
func randomDense(r *rand.Rand) (m, n, k int) {
	m, n, k = 1+r.IntN(30), 1+r.IntN(200), 1+r.IntN(60)
	switch r.IntN(8) {
	case 0:
		m = 1
	case 1:
		m, n = 2*denseRows+r.IntN(5), 1+r.IntN(20)
	case 2:
		k, n = 2*denseDepth+r.IntN(5), 1+r.IntN(20)
	}
	return m, n, k
}

// The oracle is the same product in float64. Rows are the same bits alone or with
// others, and at any number of threads.
func TestDense(t *testing.T) {
	lastSets(t, func(t *testing.T, p *Pool) {
		one := NewPool(1, p.set)
		defer one.Close()
		r := rand.New(rand.NewPCG(3, 4))
		for i := range 60 {
			m, n, k := randomDense(r)
			x, w, bias, residual := normal(r, m*k), normal(r, k*n), normal(r, n), normal(r, m*n)
			what := fmt.Sprintf("%d: [%d, %d, %d]", i, m, n, k)
			trans := i%2 == 0
			if i%3 == 0 {
				residual = nil
			}
			if i%5 == 0 {
				bias = nil
			}
			want := make([]float64, m*n)
			for j := range want {
				for q := range k {
					at := q*n + j%n
					if trans {
						at = j%n*k + q
					}
					want[j] += float64(x[j/n*k+q]) * float64(w[at])
				}
				if bias != nil {
					want[j] += float64(bias[j%n])
				}
				if residual != nil {
					want[j] += float64(residual[j])
				}
				want[j] = min(max(want[j], -2), 7)
			}
			y, alone := normal(r, m*n), normal(r, n)
			if err := NewDense(p, m, n, k, w, trans, bias, -2, 7).Run(x, residual, y); err != nil {
				t.Fatal(err)
			}
			closeTo(t, what, y, want, 1e-4)
			row := r.IntN(m)
			if err := NewDense(one, 1, n, k, w, trans, bias, -2, 7).Run(x[row*k:][:k], rowOf(residual, row, n), alone); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(alone, rowOf(y, row, n)) {
				t.Fatalf("%s: row %d: other bits alone than with others", what, row)
			}
		}
	})
}

func rowOf(x []float32, i, n int) []float32 {
	if x == nil {
		return nil
	}
	return x[i*n:][:n]
}

// The sets with assembly give the same bits.
func TestDenseSetsAgree(t *testing.T) {
	if Best() < AVX512 {
		t.Skip("this machine has no AVX-512 to compare with AVX2")
	}
	r := rand.New(rand.NewPCG(5, 6))
	for range 30 {
		m, n, k := randomDense(r)
		x, w, bias := normal(r, m*k), normal(r, k*n), normal(r, n)
		var y [2][]float32
		for i, set := range []Set{AVX2, AVX512} {
			p := NewPool(2, set)
			y[i] = make([]float32, m*n)
			if err := NewDense(p, m, n, k, w, false, bias, 0, 9).Run(x, nil, y[i]); err != nil {
				t.Fatal(err)
			}
			p.Close()
		}
		if !slices.Equal(y[0], y[1]) {
			t.Fatalf("[%d, %d, %d]: AVX2 and AVX-512 give other bits", m, n, k)
		}
	}
}
