package kernel

import "fmt"

//go:generate go run ./asm -family products -out products_kernels_amd64.s -stubs products_kernels_amd64.go -pkg kernel

// The products of columns below are called millions of times on short columns, so
// they take a [Set] and no pool, allocate nothing and cost little more than their
// arithmetic.
//
// A sum is split every productRows rows; in between, element i goes to lane i mod
// productLanes, products are rounded before they are added, lanes are folded by
// halves, and the parts added up in order. So a column's product has the same bits
// in every set, alone or among others.
const (
	productLanes = 16
	productRows  = 2048 // 16 KiB: a column's part stays in the first-level cache
)

func checkLeast(name string, got, want int) {
	if got < want {
		panic(fmt.Sprintf("kernel: length of %s: got %d, want at least %d", name, got, want))
	}
}

// Dot64 returns Σ x[i]·v[i]. It panics if v is shorter than x.
func Dot64(set Set, x, v []float64) float64 {
	checkLeast("v", len(v), len(x))
	v = v[:len(x)]
	if len(x) <= productRows {
		return dotPart(set, x, v)
	}
	sum := 0.0
	for len(x) > 0 {
		n := min(len(x), productRows)
		sum += dotPart(set, x[:n], v[:n])
		x, v = x[n:], v[n:]
	}
	return sum
}

// WeightedDot64 returns Σ w[i]·x[i]·v[i]. It panics if w or v is shorter than x.
func WeightedDot64(set Set, w, x, v []float64) float64 {
	checkLeast("w", len(w), len(x))
	checkLeast("v", len(v), len(x))
	sum := 0.0
	for len(x) > 0 {
		n := min(len(x), productRows)
		sum += weightedDotPart(set, w[:n], x[:n], v[:n])
		w, x, v = w[n:], x[n:], v[n:]
	}
	return sum
}

// WeightedMoments64 returns Σ w[i]·(x[i]−c) and Σ w[i]·(x[i]−c)². It panics if w is
// shorter than x.
func WeightedMoments64(set Set, w, x []float64, c float64) (first, second float64) {
	checkLeast("w", len(w), len(x))
	for len(x) > 0 {
		n := min(len(x), productRows)
		a, b := weightedMomentsPart(set, w[:n], x[:n], c)
		first += a
		second += b
		w, x = w[n:], x[n:]
	}
	return first, second
}

// Axpy64 adds a·x[i] to dst[i]. It panics if dst is shorter than x.
func Axpy64(set Set, dst []float64, a float64, x []float64) {
	checkLeast("dst", len(dst), len(x))
	if len(x) > 0 {
		axpyPart(set, dst[:len(x)], a, x)
	}
}

// WeightedAxpy64 adds a·x[i]·w[i] to dst[i]. It panics if dst or w is shorter than x.
func WeightedAxpy64(set Set, dst []float64, a float64, w, x []float64) {
	checkLeast("dst", len(dst), len(x))
	checkLeast("w", len(w), len(x))
	if len(x) > 0 {
		weightedAxpyPart(set, dst[:len(x)], a, w[:len(x)], x)
	}
}

// WeightedCentre64 sets dst[i] to (x[i]−c)·a·w[i]. dst may be x. It panics if dst or
// w is shorter than x.
func WeightedCentre64(set Set, dst, x []float64, c, a float64, w []float64) {
	checkLeast("dst", len(dst), len(x))
	checkLeast("w", len(w), len(x))
	if len(x) > 0 {
		weightedCentrePart(set, dst[:len(x)], x, c, a, w[:len(x)])
	}
}

// Rotate64 sets a[i] and b[i] to cos·a[i] − sin·b[i] and cos·b[i] + sin·a[i]. It
// panics if b is shorter than a.
func Rotate64(set Set, a, b []float64, cos, sin float64) {
	checkLeast("b", len(b), len(a))
	if len(a) > 0 {
		rotatePart(set, a, b[:len(a)], cos, sin)
	}
}

// Columns64 are columns of one length, next to each other or a distance apart.
type Columns64 struct {
	Data         []float64
	Rows, Stride int     // element i of column j is Data[j·Stride+i]
	Cols         []int32 // which ones; nil means all
}

// Len is the number of columns.
func (c *Columns64) Len() int {
	if c.Cols != nil {
		return len(c.Cols)
	}
	if c.Rows > len(c.Data) {
		return 0
	}
	return (len(c.Data)-c.Rows)/max(1, c.Stride) + 1
}

// part is rows [lo, hi) of the column at position i.
func (c *Columns64) part(i, lo, hi int) []float64 {
	if c.Cols != nil {
		i = int(c.Cols[i])
	}
	i *= c.Stride
	return c.Data[i+lo : i+hi : i+hi]
}

// Dots64 sets dst[k][i] to the inner product, as by [Dot64], of the column at
// position i with v[k], for lo ≤ i < hi: several vectors cost one pass over the
// columns. It panics if a slice is too short.
func Dots64(set Set, dst [][]float64, x *Columns64, lo, hi int, v [][]float64) {
	for _, each := range v {
		checkLeast("v", len(each), x.Rows)
	}
	if x.Rows <= productRows {
		dotsPart(set, dst, x, lo, hi, v, 0, x.Rows)
		return
	}
	for k := range v {
		clear(dst[k][lo:hi])
	}
	for at := 0; at < x.Rows; at += productRows {
		dotsPart(set, dst, x, lo, hi, v, at, min(at+productRows, x.Rows))
	}
}

// Axpys64 adds Σ_i a[i]·x_i to dst, x_i the column at position i, one after the
// other as [Axpy64] does. It panics if a slice is too short.
func Axpys64(set Set, dst, a []float64, x *Columns64) {
	for at := 0; at < x.Rows; at += productRows {
		end := min(at+productRows, x.Rows)
		axpysPart(set, dst[at:end], a, x, at)
	}
}
