package kernel

import (
	"fmt"
	"math"
	"testing"
)

// productLengths are all short ones, and some around where a sum is split.
func productLengths() []int {
	var out []int
	for n := range 131 {
		out = append(out, n)
	}
	return append(out, productRows-1, productRows, productRows+1, 2*productRows+17)
}

// equalBits64 holds for equal numbers, zeros by sign, and for NaNs.
func equalBits64(a, b float64) bool {
	return math.Float64bits(a) == math.Float64bits(b) || math.IsNaN(a) && math.IsNaN(b)
}

// lanesOf is the order of sums that the package promises, as slowly as can be.
func lanesOf(n int, term func(i int) float64) float64 {
	total := 0.0
	for at := 0; at < n; at += productRows {
		var lanes [productLanes]float64
		for i := at; i < min(n, at+productRows); i++ {
			lanes[(i-at)%productLanes] += term(i)
		}
		for half := productLanes / 2; half > 0; half /= 2 {
			for i := range half {
				lanes[i] += lanes[i+half]
			}
		}
		total += lanes[0]
	}
	return total
}

// TestProducts64 compares products of columns at all lengths with their definition,
// bit by bit in every set, from slices that lie anywhere; what is beyond their end
// must not matter.
func TestProducts64(t *testing.T) {
	for _, n := range productLengths() {
		for shift := range 3 {
			memory := func(seed int) []float64 {
				m := ramp(n+8, seed)
				for i := range m {
					if i < shift || i >= n+shift {
						m[i] = math.NaN()
					}
				}
				return m[shift:][:n]
			}
			x, v, w := memory(1), memory(2), memory(3)
			const a, c = -1.7, 0.3
			dot := lanesOf(n, func(i int) float64 { return float64(x[i] * v[i]) })
			weighted := lanesOf(n, func(i int) float64 { return float64(float64(w[i]*x[i]) * v[i]) })
			first := lanesOf(n, func(i int) float64 { return float64(w[i] * (x[i] - c)) })
			second := lanesOf(n, func(i int) float64 { return float64(float64(w[i]*(x[i]-c)) * (x[i] - c)) })
			for set := Portable; set <= Best(); set++ {
				check := func(what string, got, want float64) {
					if !equalBits64(got, want) {
						t.Fatalf("%s of %d from %d, %v: got %v, want %v", what, n, shift, set, got, want)
					}
				}
				check("dot", Dot64(set, x, v), dot)
				check("weighted dot", WeightedDot64(set, w, x, v), weighted)
				f, s := WeightedMoments64(set, w, x, c)
				check("first moment", f, first)
				check("second moment", s, second)
				sum, weightedSum, centred := memory(4), memory(4), memory(4)
				WeightedCentre64(set, centred, x, c, a, w)
				turned, other := memory(4), memory(1)
				Rotate64(set, turned, other, c, a)
				Axpy64(set, sum, a, x)
				WeightedAxpy64(set, weightedSum, a, w, x)
				for i, y := range memory(4) {
					check("axpy", sum[i], y+float64(a*x[i]))
					check("weighted and centred", centred[i], float64((x[i]-c)*a)*w[i])
					check("first of a rotation", turned[i], float64(c*y)-float64(a*x[i]))
					check("second of a rotation", other[i], float64(c*x[i])+float64(a*y))
					check("weighted axpy", weightedSum[i], y+float64(float64(a*x[i])*w[i]))
				}
				for i := range 5 {
					if !math.IsNaN(sum[:n+5][n+i]) || !math.IsNaN(weightedSum[:n+5][n+i]) || !math.IsNaN(centred[:n+5][n+i]) {
						t.Fatalf("axpy of %d, %v: wrote past the end", n, set)
					}
				}
			}
		}
	}
}

// TestProductsOfNaN: one NaN anywhere reaches a sum, and nothing else.
func TestProductsOfNaN(t *testing.T) {
	const n = 61
	for at := range n {
		x, v := ramp(n, 1), ramp(n, 2)
		x[at] = math.NaN()
		for set := Portable; set <= Best(); set++ {
			if got := Dot64(set, x, v); !math.IsNaN(got) {
				t.Errorf("dot with a NaN at %d, %v: got %v", at, set, got)
			}
			y := ramp(n, 3)
			Axpy64(set, y, 2, x)
			for i := range y {
				if math.IsNaN(y[i]) != (i == at) {
					t.Errorf("axpy with a NaN at %d, %v: element %d: got %v", at, set, i, y[i])
				}
			}
		}
	}
}

// TestColumns64: a column's product has the same bits alone and among others, with
// any number of vectors, in any range of a list.
func TestColumns64(t *testing.T) {
	const cols = 11
	for _, n := range []int{0, 1, 15, 16, 37, productRows + 3} {
		x := &Columns64{Data: ramp(cols*(n+3), 1), Rows: n, Stride: n + 3}
		for _, list := range [][]int32{nil, {}, {3}, {10, 0, 4}, {0, 2, 4, 6, 8, 10, 1}} {
			x.Cols = list
			count := x.Len()
			if list == nil {
				count = cols
			}
			for vectors := 1; vectors <= 7; vectors++ {
				for set := Portable; set <= Best(); set++ {
					t.Run(fmt.Sprintf("%d/%v/%d/%v", n, list, vectors, set), func(t *testing.T) {
						testColumns(t, set, x, count, vectors)
					})
				}
			}
		}
	}
}

func testColumns(t *testing.T, set Set, x *Columns64, count, vectors int) {
	var v, dst [][]float64
	for k := range vectors {
		v = append(v, ramp(x.Rows, k+5))
		dst = append(dst, make([]float64, count))
	}
	split := count / 3
	Dots64(set, dst, x, 0, split, v)
	Dots64(set, dst, x, split, count, v)
	for i := range count {
		for k := range v {
			if got, want := dst[k][i], Dot64(Portable, x.part(i, 0, x.Rows), v[k]); !equalBits64(got, want) {
				t.Errorf("column %d, vector %d: got %v, want %v", i, k, got, want)
			}
		}
	}
	a := ramp(count, 9)
	got, want := ramp(x.Rows, 4), ramp(x.Rows, 4)
	Axpys64(set, got, a, x)
	for i := range count {
		Axpy64(Portable, want, a[i], x.part(i, 0, x.Rows))
	}
	for i := range want {
		if !equalBits64(got[i], want[i]) {
			t.Errorf("multiples added up, row %d: got %v, want %v", i, got[i], want[i])
		}
	}
}

// TestProductsDoNotAllocate: they are called millions of times.
func TestProductsDoNotAllocate(t *testing.T) {
	x := &Columns64{Data: ramp(900, 1), Rows: 100, Stride: 100}
	v, dst := [][]float64{ramp(100, 2)}, [][]float64{make([]float64, 9)}
	set := Best()
	allocations := testing.AllocsPerRun(10, func() {
		Dots64(set, dst, x, 0, 9, v)
		Axpys64(set, v[0], dst[0], x)
		Axpy64(set, v[0], Dot64(set, x.Data[:100], v[0])*1e-9, x.Data[:100])
	})
	if allocations != 0 {
		t.Errorf("got %v allocations, want none", allocations)
	}
}

func TestProductsPanicOnShortSlices(t *testing.T) {
	x, short := ramp(20, 1), ramp(19, 2)
	for name, f := range map[string]func(){
		"dot":             func() { Dot64(Best(), x, short) },
		"weighted dot":    func() { WeightedDot64(Best(), short, x, x) },
		"weighted moment": func() { WeightedMoments64(Best(), short, x, 0) },
		"axpy":            func() { Axpy64(Best(), short, 1, x) },
		"weighted axpy":   func() { WeightedAxpy64(Best(), x, 1, short, x) },
		"columns": func() {
			Dots64(Best(), [][]float64{make([]float64, 2)}, &Columns64{Data: x, Rows: 10, Stride: 11}, 0, 2, [][]float64{x})
		},
		"vector of columns": func() {
			Dots64(Best(), [][]float64{make([]float64, 2)}, &Columns64{Data: x, Rows: 10, Stride: 10}, 0, 2, [][]float64{x[:9]})
		},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: got no panic", name)
				}
			}()
			f()
		}()
	}
}
