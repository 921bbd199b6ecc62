package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// BenchmarkForms times products of every form beside the dense one, x [m, k] times
// Wᵀ with n = k.
func BenchmarkForms(b *testing.B) {
	for _, size := range []int{256, 1024, 4096} {
		r := rand.New(rand.NewPCG(1, 2))
		p := newPool(b, 1, Best())
		cases := []formCase{}
		for _, c := range formCases() {
			switch c.name {
			case "1 bits in blocks of 0, zero points false", "2 bits in blocks of 0, zero points false", "4 bits in blocks of 0, zero points false", "4 bits in blocks of 32, zero points true", "two of four", "signs":
				cases = append(cases, c)
			}
		}
		for _, percent := range []int{5, 10, 20, 30, 50, 80} {
			cases = append(cases, formCase{name: fmt.Sprintf("blocks, %d %%", percent), make: func(r *rand.Rand, n, k int) (Form, []float32) {
				w := make([]float32, n*k)
				for j := 0; j < n; j += lanes {
					for q := range k {
						if r.IntN(100) < percent {
							for l := range lanes {
								w[(j+l)*k+q] = 1
							}
						}
					}
				}
				return NewBlockSparse(n, k, w, k, 1), w
			}}, formCase{name: fmt.Sprintf("rows, %d %%", percent), make: func(r *rand.Rand, n, k int) (Form, []float32) {
				w := sparsified(r, n, k, func(int, int) bool { return r.IntN(100) < percent })
				return NewSparseRows(n, k, w, k, 1), w
			}})
		}
		rows := []int{1, 4, 16, 64, 256}
		w := random[float32](r, size*size)
		for _, m := range rows {
			x, y := random[float32](r, m*size), make([]float32, m*size)
			b.Run(fmt.Sprintf("%d/%d/dense", size, m), func(b *testing.B) {
				for b.Loop() {
					SGEMM(p, false, false, m, size, size, 1, x, size, w, size, 0, y, size)
				}
			})
			b.Run(fmt.Sprintf("%d/%d/dense transposed", size, m), func(b *testing.B) {
				for b.Loop() {
					SGEMM(p, false, true, m, size, size, 1, x, size, w, size, 0, y, size)
				}
			})
		}
		for _, c := range cases {
			f, _ := c.make(r, size, size)
			for _, m := range rows {
				x, y := random[float32](r, m*size), make([]float32, m*size)
				run := f.Product(p, m)
				b.Run(fmt.Sprintf("%d/%d/%s", size, m, c.name), func(b *testing.B) {
					for b.Loop() {
						run(x, nil, y)
					}
				})
			}
		}
	}
}
