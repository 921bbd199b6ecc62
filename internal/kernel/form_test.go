package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// formCase is a matrix W [n, k] that a form stores, and how x is seen by it.
type formCase struct {
	name string
	make func(r *rand.Rand, n, k int) (Form, []float32)
	see  func(x float32) float32 // nil: as it is
}

// sparsified draws a matrix of which keep says what is not zero.
func sparsified(r *rand.Rand, n, k int, keep func(j, p int) bool) []float32 {
	w := random[float32](r, n*k)
	for i := range w {
		if !keep(i/k, i%k) {
			w[i] = 0
		}
	}
	return w
}

func formCases() []formCase {
	var all []formCase
	for _, bits := range []int{1, 2, 4} {
		for _, block := range []int{0, 16, 32, 128} {
			for _, zeros := range []bool{false, true} {
				all = append(all, formCase{name: fmt.Sprintf("%d bits in blocks of %d, zero points %t", bits, block, zeros), make: func(r *rand.Rand, n, k int) (Form, []float32) {
					return randomLowBit(r, n, k, bits, block, zeros)
				}})
			}
		}
	}
	return append(all,
		formCase{name: "blocks", make: func(r *rand.Rand, n, k int) (Form, []float32) {
			kept := make(map[[2]int]bool)
			for j := range n {
				for p := range k {
					kept[[2]int{j / lanes, p}] = r.IntN(4) == 0
				}
			}
			w := sparsified(r, n, k, func(j, p int) bool { return kept[[2]int{j / lanes, p}] })
			return NewBlockSparse(n, k, w, k, 1), w
		}},
		formCase{name: "two of four", make: func(r *rand.Rand, n, k int) (Form, []float32) {
			start := r.IntN(4)
			w := sparsified(r, n, k, func(j, p int) bool { return (p+start+j)%4 == 0 || (p+start*j)%4 == 3 })
			f, ok := NewTwoOfFour(n, k, w, k, 1)
			if !ok {
				panic("not 2:4")
			}
			return f, w
		}},
		formCase{name: "rows", make: func(r *rand.Rand, n, k int) (Form, []float32) {
			w := sparsified(r, n, k, func(j, p int) bool { return r.IntN(5) == 0 && j != 2 })
			return NewSparseRows(n, k, w, k, 1), w
		}},
		formCase{name: "signs", see: signOf, make: func(r *rand.Rand, n, k int) (Form, []float32) {
			w, alpha := random[float32](r, n*k), random[float32](r, n)
			f := NewSigns(n, k, w, k, 1, alpha)
			for i := range w {
				w[i] = signOf(w[i]) * alpha[i/k]
			}
			return f, w
		}})
}

func signOf(x float32) float32 {
	switch {
	case x < 0:
		return -1
	case x > 0:
		return 1
	}
	return 0
}

func randomLowBit(r *rand.Rand, n, k, bits, block int, zeros bool) (Form, []float32) {
	blocks, per := 1, k
	if block > 0 {
		blocks, per = ceilDiv(k, block), block
	}
	scale, zero := random[float32](r, n*blocks), random[float32](r, n*blocks)
	levels := make([]int, n*k)
	for i := range levels {
		levels[i] = r.IntN(1<<bits) - 1<<(bits-1)
		if bits == 1 {
			levels[i] = 2*r.IntN(2) - 1
		}
	}
	s := LowBitSource{N: n, K: k, Bits: bits, Block: block,
		Level: func(j, p int) int { return levels[j*k+p] },
		Scale: func(j, b int) float32 { return scale[j*blocks+b] }}
	if zeros {
		s.Zero = func(j, b int) float32 { return zero[j*blocks+b] }
	} else {
		clear(zero)
	}
	f, err := NewLowBit(s)
	if err != nil {
		panic(err)
	}
	w := make([]float32, n*k)
	for i := range w {
		b := i/k*blocks + i%k/per
		w[i] = scale[b] * (float32(levels[i]) - zero[b])
	}
	return f, w
}

// Every form multiplies as its dense matrix does, to the error of a chain of sums
// (gemm_test.go), for any number of rows, and with the same bits at any number of
// threads.
func TestFormsMultiplyAsDense(t *testing.T) {
	shapes := [][3]int{{1, 1, 1}, {1, 10, 33}, {2, 64, 128}, {3, 70, 100}, {4, 129, 64}, {5, 100, 260}, {7, 16, 40}, {13, 48, 96}, {18, 33, 31}, {40, 90, 450}, {70, 17, 500}}
	for _, c := range formCases() {
		t.Run(c.name, func(t *testing.T) {
			for _, shape := range shapes {
				m, n, k := shape[0], shape[1], shape[2]
				r := rand.New(rand.NewPCG(uint64(m), uint64(n*k)))
				f, w := c.make(r, n, k)
				x, bias := random[float32](r, m*k), random[float32](r, n)
				x[0] = 0
				want := expect(c.see, m, n, k, x, w, bias)
				for _, set := range sets() {
					y := make([]float32, m*n)
					f.Product(newPool(t, 1, set), m)(x, bias, y)
					if err := want.check(y); err != nil {
						t.Fatalf("%v, %v: %v", set, shape, err)
					}
					more := make([]float32, m*n)
					f.Product(newPool(t, 3, set), m)(x, bias, more)
					if !slices.Equal(y, more) {
						t.Errorf("%v, %v: bits differ between 1 and 3 threads", set, shape)
					}
				}
			}
		})
	}
}

// expected is a product in float64, and how far each element may be off.
type expected struct{ y, margin []float64 }

func expect(see func(float32) float32, m, n, k int, x, w, bias []float32) expected {
	e := expected{make([]float64, m*n), make([]float64, m*n)}
	for i := range m {
		seen := make([]float64, k)
		for p, v := range x[i*k:][:k] {
			if see != nil {
				v = see(v)
			}
			seen[p] = float64(v)
		}
		for j := range n {
			sum, size := float64(bias[j]), 1+math.Abs(float64(bias[j]))
			row := w[j*k:][:k]
			for p, v := range seen {
				sum += v * float64(row[p])
				// A zero point is subtracted from the sum, not from each level.
				size += math.Abs(v) * (9*math.Abs(float64(row[p])) + 8*math.Abs(float64(row[(p+1)%k])))
			}
			e.y[i*n+j], e.margin[i*n+j] = sum, float64(k+8)*0x1p-24*size
		}
	}
	return e
}

func (e expected) check(y []float32) error {
	for i, want := range e.y {
		if got := float64(y[i]); !(math.Abs(got-want) <= e.margin[i]) {
			return fmt.Errorf("element %d: got %v, want %v", i, got, want)
		}
	}
	return nil
}

// Signs are counted, so that all sets agree in every bit; so do the two kinds of
// assembly, but for blocks, of which AVX-512 takes more rows together.
func TestFormsAgreeBetweenSets(t *testing.T) {
	all := sets()
	for _, c := range formCases() {
		for _, shape := range [][3]int{{1, 100, 200}, {3, 80, 2100}, {4, 33, 64}, {6, 40, 72}, {70, 64, 300}} {
			m, n, k := shape[0], shape[1], shape[2]
			r := rand.New(rand.NewPCG(3, 4))
			f, _ := c.make(r, n, k)
			x := random[float32](r, m*k)
			var first []float32
			for _, set := range all {
				if c.name != "signs" && (set == Portable || c.name == "blocks") {
					continue
				}
				y := make([]float32, m*n)
				f.Product(newPool(t, 1, set), m)(x, nil, y)
				if first == nil {
					first = y
				}
				if !slices.Equal(first, y) {
					t.Errorf("%s %v: %v differs", c.name, shape, set)
				}
			}
		}
	}
}

func TestFormsDoNotAllocate(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, c := range formCases() {
		for _, m := range []int{1, 5, 40} {
			n, k := 70, 100
			f, _ := c.make(r, n, k)
			x, y := random[float32](r, m*k), make([]float32, m*n)
			run := f.Product(newPool(t, 1, Best()), m)
			if got := testing.AllocsPerRun(5, func() { run(x, nil, y) }); got > 0 {
				t.Errorf("%s, %d rows: got %v allocations", c.name, m, got)
			}
		}
	}
}

func TestFormsRefuse(t *testing.T) {
	level := func(int, int) int { return 3 }
	scale := func(int, int) float32 { return 1 }
	for _, s := range []LowBitSource{
		{N: 0, K: 8, Bits: 4}, {N: 8, K: 8, Bits: 3}, {N: 8, K: 8, Bits: 4, Block: 12}, {N: 8, K: 8, Bits: 2, Level: level, Scale: scale},
	} {
		if _, err := NewLowBit(s); err == nil {
			t.Errorf("%+v: got no error", s)
		}
	}
	if _, ok := NewTwoOfFour(1, 4, []float32{1, 0, 2, 3}, 4, 1); ok {
		t.Error("three of four: got no refusal")
	}
	f := NewBlockSparse(1, 4, []float32{1, 0, 2, 3}, 4, 1)
	defer func() {
		if recover() == nil {
			t.Error("short x: got no panic")
		}
	}()
	f.Product(newPool(t, 1, Best()), 1)(make([]float32, 3), nil, make([]float32, 1))
}
