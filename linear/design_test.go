package linear

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/compactify/compactify/internal/kernel"
)

// testMatrices are the same random numbers, two in three of them 0, dense and
// compressed.
func testMatrices(t *testing.T, rows, cols int) (dense, sparse *Matrix) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, uint64(rows*cols)))
	x := make([]float64, rows*cols)
	start := []int{0}
	var row []int32
	var value []float64
	for j := range cols {
		for i := range rows {
			if r.IntN(3) == 0 {
				x[j*rows+i] = r.NormFloat64() + float64(j)
				row, value = append(row, int32(i)), append(value, x[j*rows+i])
			}
		}
		start = append(start, len(row))
	}
	dense, err := NewDense(rows, cols, x)
	if err != nil {
		t.Fatal(err)
	}
	sparse, err = NewSparse(rows, cols, start, row, value)
	if err != nil {
		t.Fatal(err)
	}
	return dense, sparse
}

func testDesign(t *testing.T, m *Matrix, o Options) *design {
	t.Helper()
	w, err := normalized(randomNumbers(m.rows, 3, func(v float64) float64 { return v * v }), m.rows)
	if err != nil {
		t.Fatal(err)
	}
	d, err := newDesign(m, w, o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func randomNumbers(n int, seed uint64, f func(float64) float64) []float64 {
	r := rand.New(rand.NewPCG(2, seed))
	out := make([]float64, n)
	for i := range out {
		out[i] = f(r.NormFloat64())
	}
	return out
}

func same(v float64) float64 { return v }

// explicit is the standardised matrix itself, by columns.
func (d *design) explicit() [][]float64 {
	out := make([][]float64, d.cols)
	for j := range out {
		out[j] = make([]float64, d.rows)
		if d.dense != nil {
			copy(out[j], d.column(j))
		} else {
			row, value := d.entries(j)
			for k, i := range row {
				out[j][i] = value[k]
			}
		}
		for i := range out[j] {
			out[j][i] = (out[j][i] - d.center[j]) / d.scale[j]
		}
	}
	return out
}

func naiveDot(x, v []float64) float64 {
	s := 0.0
	for i := range x {
		s += x[i] * v[i]
	}
	return s
}

func nearly(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// TestDesign compares products through standardisation with those of the
// standardised matrix, dense and compressed, with and without means.
func TestDesign(t *testing.T) {
	pool := kernel.NewPool(2, kernel.Best())
	defer pool.Close()
	dense, sparse := testMatrices(t, 50, 37)
	for _, m := range []*Matrix{dense, sparse} {
		for _, o := range []Options{{}, {Intercept: true}, {Standardize: true}, {Intercept: true, Standardize: true}, {Intercept: true, Standardize: true, Pool: pool}} {
			t.Run(fmt.Sprintf("sparse=%v,intercept=%v,standardize=%v,pool=%v", m.Sparse(), o.Intercept, o.Standardize, o.Pool != nil), func(t *testing.T) {
				checkDesign(t, testDesign(t, m, o))
			})
		}
	}
}

func checkDesign(t *testing.T, d *design) {
	const tolerance = 1e-12 // sums of 50 numbers around 1
	x := d.explicit()
	var v [][]float64
	var sums []float64
	dst := make([][]float64, 5)
	for k := range dst {
		v = append(v, randomNumbers(d.rows, uint64(k), same))
		sums = append(sums, naiveDot(v[k], ones(d.rows)))
		dst[k] = make([]float64, d.cols)
	}
	cols := []int32{5, 30, 2, 3, 4, 17}
	d.correlate(dst, nil, v, sums)
	for j := range d.cols {
		for k := range v {
			nearly(t, fmt.Sprintf("column %d, vector %d", j, k), dst[k][j], naiveDot(x[j], v[k]), tolerance*float64(j+1))
			if one := d.dot(j, v[k], sums[k]); one != dst[k][j] {
				t.Errorf("column %d, vector %d: got %v alone, %v among others", j, k, one, dst[k][j])
			}
		}
		y := make([]float64, d.rows)
		shift := d.axpy(j, 1.5, y)
		for i := range y {
			nearly(t, fmt.Sprintf("multiple of column %d, row %d", j, i), y[i]+shift, 1.5*x[j][i], tolerance)
		}
		nearly(t, fmt.Sprintf("square of column %d", j), d.squares[j], weightedDot(d.weights, x[j], x[j]), tolerance*float64(1+j*j))
	}
	all := make([]float64, d.cols)
	copy(all, dst[3])
	d.correlate(dst, cols, v, sums)
	for i, j := range cols {
		if dst[3][i] != all[j] {
			t.Errorf("column %d: got %v in a list, %v among all", j, dst[3][i], all[j])
		}
	}
	checkGram(t, d, x)
}

func checkGram(t *testing.T, d *design, x [][]float64) {
	lists := [][]int32{{0, 9, 4, 30, 31}, {1, 2, 9, 30, 36, 35, 4, 3, 8, 7, 6}, {12, 11, 10, 9, 8, 7, 6, 5, 4}}
	h := randomNumbers(d.rows, 8, math.Abs)
	for _, weights := range [][]float64{nil, h} {
		used := weights
		if used == nil {
			used = d.weights
		}
		for _, rows := range lists {
			for _, cols := range lists {
				got := make([]float64, len(rows)*len(cols))
				d.gram(got, rows, cols, weights)
				for a, j := range rows {
					for c, k := range cols {
						want := weightedDot(used, x[j], x[k])
						nearly(t, fmt.Sprintf("gram of columns %d and %d", j, k), got[a*len(cols)+c], want, 1e-9)
					}
				}
			}
		}
	}
}

// TestGramBlocks has more examples and columns than a block, and the same bits on two
// threads. Both ways of a compressed matrix are taken.
func TestGramBlocks(t *testing.T) {
	pool := kernel.NewPool(2, kernel.Best())
	defer pool.Close()
	dense, sparse := testMatrices(t, gramDepth+90, gramWidth+70)
	all := make([]int32, dense.cols)
	for j := range all {
		all[j] = int32(j)
	}
	some := all[3:40]
	o := Options{Intercept: true, Standardize: true}
	want := make([]float64, len(all)*len(all))
	d := testDesign(t, dense, o)
	for a, x := range d.explicit() {
		v := make([]float64, d.rows)
		kernel.WeightedCentre64(d.set, v, x, 0, 1, d.weights)
		sum := naiveDot(v, ones(d.rows))
		for c := range all {
			want[a*len(all)+c] = d.dot(c, v, sum)
		}
	}
	byRows := func(d *design, dst []float64, rows []int32) {
		d.gramByRows(dst, rows, all, d.weights, len(rows) == len(all))
		if len(rows) == len(all) {
			mirror(dst, len(all))
		}
	}
	for _, m := range []*Matrix{dense, sparse} {
		one := testDesign(t, m, o)
		o.Pool = pool
		two := testDesign(t, m, o)
		o.Pool = nil
		for name, gram := range map[string]func(d *design, dst []float64, rows []int32){
			"blocks": func(d *design, dst []float64, rows []int32) { d.gram(dst, rows, all, nil) },
			"rows":   byRows,
		} {
			for _, rows := range [][]int32{all, some} {
				got, again := make([]float64, len(rows)*len(all)), make([]float64, len(rows)*len(all))
				gram(one, got, rows)
				gram(two, again, rows)
				for i := range got {
					if got[i] != again[i] {
						t.Fatalf("%s, sparse %v: element %d: got %v on one thread, %v on two", name, m.Sparse(), i, got[i], again[i])
					}
					nearly(t, fmt.Sprintf("%s, sparse %v: element %d", name, m.Sparse(), i), got[i], want[i+int(rows[0])*len(all)], 1e-10)
				}
			}
		}
	}
}

// TestFarFromZero: products of a column with a mean of 1e9 deviations keep their
// digits.
func TestFarFromZero(t *testing.T) {
	const n = 100
	x := randomNumbers(2*n, 1, same)
	for i := range n {
		x[i] = math.Round(x[i]*1024)/1024 + (1 << 30)
	}
	m, err := NewDense(n, 2, x)
	if err != nil {
		t.Fatal(err)
	}
	d := testDesign(t, m, Options{Intercept: true, Standardize: true})
	if !d.isCentred(0) || d.isCentred(1) {
		t.Fatalf("got columns copied: %v, %v, want the first only", d.isCentred(0), d.isCentred(1))
	}
	explicit := d.explicit()
	v := randomNumbers(n, 3, same)
	sum := naiveDot(v, ones(n))
	want := naiveDot(explicit[0], v)
	nearly(t, "product", d.dot(0, v, sum), want, 1e-13)
	dst := [][]float64{{0, 0}}
	d.correlate(dst, nil, [][]float64{v}, []float64{sum})
	nearly(t, "product among others", dst[0][0], want, 1e-13)
	y := make([]float64, n)
	shift := d.axpy(0, 1, y)
	for i := range y {
		nearly(t, "multiple", y[i]+shift, explicit[0][i], 1e-13)
	}
}

func BenchmarkDesign(b *testing.B) {
	for _, shape := range [][2]int{{20000, 200}, {1000, 5000}, {200, 20000}} {
		n, p := shape[0], shape[1]
		m, err := NewDense(n, p, randomNumbers(n*p, 1, same))
		if err != nil {
			b.Fatal(err)
		}
		w, _ := normalized(nil, n)
		var d *design
		name := fmt.Sprintf("%dx%d", n, p)
		b.Run("new/"+name, func(b *testing.B) {
			for b.Loop() {
				if d, err = newDesign(m, w, DefaultOptions()); err != nil {
					b.Fatal(err)
				}
			}
		})
		all := make([]int32, min(p, 400))
		for j := range all {
			all[j] = int32(j)
		}
		dst := make([]float64, len(all)*len(all))
		b.Run(fmt.Sprintf("gram/%s/%d", name, len(all)), func(b *testing.B) {
			for b.Loop() {
				d.gram(dst, all, all, nil)
			}
		})
		b.Run("gram4/"+name, func(b *testing.B) {
			for b.Loop() {
				d.gram(dst, all[:4], all, nil)
			}
		})
	}
}

func weightedDot(w, x, y []float64) float64 {
	s := 0.0
	for i := range x {
		s += w[i] * x[i] * y[i]
	}
	return s
}

func ones(n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = 1
	}
	return out
}

// TestMoments: means and variances where sums of squares would cancel, and columns
// that do not vary.
func TestMoments(t *testing.T) {
	w := []float64{0.25, 0.25, 0.25, 0.25, 0}
	for _, c := range []struct {
		name           string
		x              []float64
		mean, variance float64
		constant       bool
	}{
		{"plain", []float64{1, 2, 3, 6, 9}, 3, 3.5, false},
		{"far from zero", []float64{1e9 + 1, 1e9 + 2, 1e9 + 3, 1e9 + 6, 0}, 1e9 + 3, 3.5, false},
		{"equal", []float64{0.1, 0.1, 0.1, 0.1, 0.1}, 0.1, 0, true},
		{"equal where it counts", []float64{7, 7, 7, 7, -1}, 7, 0, true},
		{"squares underflow", []float64{1e-200, 0, 0, 0, 0}, 2.5e-201, 0, true},
	} {
		for set := kernel.Portable; set <= kernel.Best(); set++ {
			mean, variance, constant, err := denseMoments(set, c.x, w)
			if err != nil || constant != c.constant {
				t.Errorf("%s: got constant = %v, error %v, want %v, no error", c.name, constant, err, c.constant)
			}
			nearly(t, c.name+": mean", mean, c.mean, 1e-15*math.Abs(c.mean))
			nearly(t, c.name+": variance", variance, c.variance, 1e-15*c.variance)
		}
	}
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1e200} {
		for i := range w {
			x := []float64{1, 2, 3, 4, 5}
			x[i] = bad
			if _, _, _, err := denseMoments(kernel.Best(), x, w); err == nil && (bad != 1e200 || w[i] > 0) {
				t.Errorf("%v in row %d: got no error", bad, i+1)
			}
		}
	}
}
