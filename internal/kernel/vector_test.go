package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// lengths go around the assembly's stride and past one thread's share.
var lengths = []int{0, 1, 5, 31, 32, 33, 64, 100, 1000, 8191, 8193, 40000}

// special values join the random ones in every test of a float32 kernel.
var special = []float32{
	0, float32(math.Copysign(0, -1)), 1, -1, float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()),
	0x1p-149, -0x1p-149, 0x1p-126, math.MaxFloat32, -math.MaxFloat32, 88.8, -88.8, -103.9, 104, 0.625, -0.625, 4, 3.99,
}

func operands(r *rand.Rand, n int) []float32 {
	x := random[float32](r, n)
	for i := range x {
		switch r.IntN(8) {
		case 0:
			x[i] = special[r.IntN(len(special))]
		case 1:
			x[i] *= 100
		}
	}
	return x
}

func sameBits(a, b []float32) int {
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) && (a[i] == a[i] || b[i] == b[i]) {
			return i
		}
	}
	return -1
}

// vectorCases run each float32 kernel on operands x, y, z, w of one length and
// return what it wrote.
var vectorCases = []struct {
	name string
	run  func(p *Pool, w, x, y, z []float32) [][]float32
}{
	{"Add", func(p *Pool, w, x, y, z []float32) [][]float32 { Add(p, w, x, y); return [][]float32{w} }},
	{"Sub", func(p *Pool, w, x, y, z []float32) [][]float32 { Sub(p, w, x, y); return [][]float32{w} }},
	{"Mul", func(p *Pool, w, x, y, z []float32) [][]float32 { Mul(p, w, x, y); return [][]float32{w} }},
	{"AddScalar", func(p *Pool, w, x, y, z []float32) [][]float32 { AddScalar(p, w, x, 0.3); return [][]float32{w} }},
	{"MulScalar", func(p *Pool, w, x, y, z []float32) [][]float32 { MulScalar(p, w, x, 0.3); return [][]float32{w} }},
	{"Axpy", func(p *Pool, w, x, y, z []float32) [][]float32 { Axpy(p, w, 0.3, x); return [][]float32{w} }},
	{"Relu", func(p *Pool, w, x, y, z []float32) [][]float32 { Relu(p, w, x); return [][]float32{w} }},
	{"ReluGrad", func(p *Pool, w, x, y, z []float32) [][]float32 { ReluGrad(p, w, y, x); return [][]float32{w} }},
	{"ReluGrad in place", func(p *Pool, w, x, y, z []float32) [][]float32 { ReluGrad(p, y, y, x); return [][]float32{y} }},
	{"Exp", func(p *Pool, w, x, y, z []float32) [][]float32 { Exp(p, w, x); return [][]float32{w} }},
	{"Sigmoid", func(p *Pool, w, x, y, z []float32) [][]float32 { Sigmoid(p, x, x); return [][]float32{x} }},
	{"Tanh", func(p *Pool, w, x, y, z []float32) [][]float32 { Tanh(p, w, x); return [][]float32{w} }},
	{"Erf", func(p *Pool, w, x, y, z []float32) [][]float32 { Erf(p, w, x); return [][]float32{w} }},
	{"Log", func(p *Pool, w, x, y, z []float32) [][]float32 { Log(p, w, x); return [][]float32{w} }},
	{"Gelu", func(p *Pool, w, x, y, z []float32) [][]float32 { Gelu(p, w, x); return [][]float32{w} }},
	{"GeluTanh", func(p *Pool, w, x, y, z []float32) [][]float32 { GeluTanh(p, w, x); return [][]float32{w} }},
	{"Reciprocal", func(p *Pool, w, x, y, z []float32) [][]float32 { Reciprocal(p, w, x); return [][]float32{w} }},
	{"Abs", func(p *Pool, w, x, y, z []float32) [][]float32 { Abs(p, w, x); return [][]float32{w} }},
	{"Sqrt", func(p *Pool, w, x, y, z []float32) [][]float32 { Sqrt(p, w, x); return [][]float32{w} }},
	{"Clip", func(p *Pool, w, x, y, z []float32) [][]float32 { Clip(p, w, x, -0.5, 1); return [][]float32{w} }},
	{"Leaky", func(p *Pool, w, x, y, z []float32) [][]float32 { Leaky(p, w, x, 0.1); return [][]float32{w} }},
	{"Div", func(p *Pool, w, x, y, z []float32) [][]float32 { Div(p, w, x, y); return [][]float32{w} }},
	{"Maximum", func(p *Pool, w, x, y, z []float32) [][]float32 { Maximum(p, w, x, y); return [][]float32{w} }},
	{"Minimum", func(p *Pool, w, x, y, z []float32) [][]float32 { Minimum(p, w, x, y); return [][]float32{w} }},
	{"Sum", func(p *Pool, w, x, y, z []float32) [][]float32 { return [][]float32{{Sum(p, x)}} }},
	{"Dot", func(p *Pool, w, x, y, z []float32) [][]float32 { return [][]float32{{Dot(p, x, y)}} }},
	{"Max", func(p *Pool, w, x, y, z []float32) [][]float32 { return [][]float32{{Max(p, x)}} }},
	{"SGDMomentum", func(p *Pool, w, x, y, z []float32) [][]float32 {
		SGDMomentum(p, w, y, x, MomentumStep[float32]{0.1, 0.9, 1e-3})
		return [][]float32{w, y}
	}},
	{"Adam", func(p *Pool, w, x, y, z []float32) [][]float32 {
		for i := range z {
			z[i] = abs32(z[i])
		}
		Adam(p, w, y, z, x, AdamStep{1e-2, 0.9, 0.999, 1e-8, 1e-3, 1e-2, 3})
		return [][]float32{w, y, z}
	}},
	{"SumRows", func(p *Pool, w, x, y, z []float32) [][]float32 {
		cols := columns(len(x))
		SumRows(p, w[:len(x)/cols], x, cols)
		return [][]float32{w}
	}},
	{"SumColumns", func(p *Pool, w, x, y, z []float32) [][]float32 {
		cols := columns(len(x))
		SumColumns(p, w[:cols*min(1, len(w))], x, len(x)/cols)
		return [][]float32{w}
	}},
	{"AddRow", func(p *Pool, w, x, y, z []float32) [][]float32 {
		cols := columns(len(x))
		AddRow(p, w, x, y[:cols*min(1, len(w))], len(x)/cols)
		return [][]float32{w}
	}},
	{"AddColumn", func(p *Pool, w, x, y, z []float32) [][]float32 {
		cols := columns(len(x))
		AddColumn(p, w, x, y[:len(x)/cols], cols)
		return [][]float32{w}
	}},
	{"SubColumn", func(p *Pool, w, x, y, z []float32) [][]float32 {
		cols := columns(len(x))
		SubColumn(p, w, x, y[:min(1, len(x))], cols)
		return [][]float32{w}
	}},
	{"MulColumn", func(p *Pool, w, x, y, z []float32) [][]float32 {
		cols := columns(len(x))
		MulColumn(p, x, x, y[:len(x)/cols], cols)
		return [][]float32{x}
	}},
	{"Softmax", func(p *Pool, w, x, y, z []float32) [][]float32 {
		cols := columns(len(x))
		Softmax(p, w, x, len(x)/cols, cols)
		return [][]float32{w}
	}},
	{"LogSoftmax", func(p *Pool, w, x, y, z []float32) [][]float32 {
		cols := columns(len(x))
		LogSoftmax(p, x, x, len(x)/cols, cols)
		return [][]float32{x}
	}},
	{"FakeQuantize", func(p *Pool, w, x, y, z []float32) [][]float32 {
		cols := columns(len(x))
		FakeQuantize(p, w, x, steps(len(x)/cols), cols, -7, 8)
		return [][]float32{w}
	}},
	{"FakeQuantize of one step", func(p *Pool, w, x, y, z []float32) [][]float32 {
		FakeQuantize(p, x, x, []float32{-0.2}, columns(len(x)), 0, 15)
		return [][]float32{x}
	}},
	{"FakeQuantizeGrad", func(p *Pool, w, x, y, z []float32) [][]float32 {
		cols := columns(len(x))
		scale := steps(len(x) / cols)
		ds := make([]float32, len(scale))
		FakeQuantizeGrad(p, w, ds, y, x, scale, cols, -7, 8)
		return [][]float32{w, ds}
	}},
	{"FakeQuantizeGrad of one step", func(p *Pool, w, x, y, z []float32) [][]float32 {
		ds := make([]float32, 1)
		FakeQuantizeGrad(p, y, ds, y, x, []float32{0.3}, columns(len(x)), 0, 15)
		return [][]float32{y, ds}
	}},
	{"FakeQuantizeGrad of columns", func(p *Pool, w, x, y, z []float32) [][]float32 {
		scale := steps(columns(len(x)))
		ds := make([]float32, len(scale))
		FakeQuantizeGrad(p, w, ds, y, x, scale, 1, -7, 8)
		return [][]float32{w, ds}
	}},
	{"QuantizeRows", func(p *Pool, w, x, y, z []float32) [][]float32 {
		cols := columns(len(x))
		scale := slices.Repeat([]float32{0.01, 0.3}, len(x)/cols)[:len(x)/cols]
		q := make([]int8, len(x))
		QuantizeRows(p, q, x, scale, cols, -127, 127)
		DequantizeRows(p, w, q, scale, cols)
		return [][]float32{w}
	}},
}

// steps are n scales, one of them negative: a learned scale may cross zero.
func steps(n int) []float32 {
	s := slices.Repeat([]float32{0.01, 0.3, -0.2}, n/3+1)
	return s[:n]
}

// columns picks a row length that divides n.
func columns(n int) int {
	for _, c := range []int{100, 33, 10} {
		if n > 0 && n%c == 0 {
			return c
		}
	}
	return max(1, n)
}

// The arithmetic of every vector kernel is the same in all sets and for all
// splits, so that bits are compared, with the portable loop on one thread.
func TestVectorKernelsAgreeInBits(t *testing.T) {
	serial := newPool(t, 1, Portable)
	var others []*Pool
	for _, set := range sets() {
		for threads := 1; threads <= 3; threads++ {
			others = append(others, newPool(t, threads, set))
		}
	}
	for _, c := range vectorCases {
		t.Run(c.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			for _, n := range lengths {
				var in [4][]float32
				for i := range in {
					in[i] = operands(r, n)
				}
				run := func(p *Pool) [][]float32 {
					return c.run(p, slices.Clone(in[0]), slices.Clone(in[1]), slices.Clone(in[2]), slices.Clone(in[3]))
				}
				want := run(serial)
				for _, p := range others {
					for s, got := range run(p) {
						if i := sameBits(got, want[s]); i >= 0 {
							t.Fatalf("%v, %d threads, n %d: output %d[%d]: got %x, want %x", p.Set(), p.Threads(), n, s, i, got[i], want[s][i])
						}
					}
				}
			}
		})
	}
}

// Definitions, for the float64 instance and, without special values, float32.
func TestElementwiseDefinitions(t *testing.T) {
	testDefinitions[float32](t, 1e-6)
	testDefinitions[float64](t, 1e-14)
}

func testDefinitions[T Float](t *testing.T, tol float64) {
	p := newPool(t, 2, Best())
	r := rand.New(rand.NewPCG(3, 4))
	const n = 50000
	x, y, w := random[T](r, n), random[T](r, n), random[T](r, n)
	check := func(name string, got []T, want func(x, y, w float64) float64) {
		t.Helper()
		for i := range got {
			v := want(float64(x[i]), float64(y[i]), float64(w[i]))
			if !(math.Abs(float64(got[i])-v) <= tol*(1+math.Abs(v))) {
				t.Errorf("%s[%T]: [%d]: got %v, want %v", name, x[0], i, got[i], v)
				return
			}
		}
	}
	out := make([]T, n)
	Add(p, out, x, y)
	check("Add", out, func(x, y, _ float64) float64 { return x + y })
	Sub(p, out, x, y)
	check("Sub", out, func(x, y, _ float64) float64 { return x - y })
	Mul(p, out, x, y)
	check("Mul", out, func(x, y, _ float64) float64 { return x * y })
	AddScalar(p, out, x, 3)
	check("AddScalar", out, func(x, _, _ float64) float64 { return x + 3 })
	MulScalar(p, out, x, 3)
	check("MulScalar", out, func(x, _, _ float64) float64 { return x * 3 })
	copy(out, w)
	Axpy(p, out, 3, x)
	check("Axpy", out, func(x, _, w float64) float64 { return w + 3*x })
	Relu(p, out, x)
	check("Relu", out, func(x, _, _ float64) float64 { return max(x, 0) })
	ReluGrad(p, out, y, x)
	check("ReluGrad", out, func(x, y, _ float64) float64 {
		if x > 0 {
			return y
		}
		return 0
	})
	Exp(p, out, x)
	check("Exp", out, func(x, _, _ float64) float64 { return math.Exp(x) })
	Sigmoid(p, out, x)
	check("Sigmoid", out, func(x, _, _ float64) float64 { return 1 / (1 + math.Exp(-x)) })
	Tanh(p, out, x)
	check("Tanh", out, func(x, _, _ float64) float64 { return math.Tanh(x) })
	Erf(p, out, x)
	check("Erf", out, func(x, _, _ float64) float64 { return math.Erf(x) })

	abs := make([]T, n)
	Abs(p, abs, x)
	Log(p, out, abs)
	check("Log", out, func(x, _, _ float64) float64 { return math.Log(math.Abs(x)) })
	Sqrt(p, out, abs)
	check("Sqrt", out, func(x, _, _ float64) float64 { return math.Sqrt(math.Abs(x)) })
	Reciprocal(p, out, x)
	check("Reciprocal", out, func(x, _, _ float64) float64 { return 1 / x })
	Div(p, out, x, y)
	check("Div", out, func(x, y, _ float64) float64 { return x / y })
	Maximum(p, out, x, y)
	check("Maximum", out, func(x, y, _ float64) float64 { return max(x, y) })
	Minimum(p, out, x, y)
	check("Minimum", out, func(x, y, _ float64) float64 { return min(x, y) })
	Clip(p, out, x, -0.5, 1)
	check("Clip", out, func(x, _, _ float64) float64 { return min(1, max(-0.5, x)) })
	Leaky(p, out, x, 0.125)
	check("Leaky", out, func(x, _, _ float64) float64 { return max(x, 0) + 0.125*min(x, 0) })
	Gelu(p, out, x)
	check("Gelu", out, func(x, _, _ float64) float64 { return x / 2 * (1 + math.Erf(x/math.Sqrt2)) })
	GeluTanh(p, out, x)
	check("GeluTanh", out, func(x, _, _ float64) float64 {
		return x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
	})

	copy(out, w)
	v := slices.Clone(y)
	SGDMomentum(p, out, v, x, MomentumStep[T]{0.1, 0.9, 0.01})
	check("SGDMomentum", out, func(g, v, w float64) float64 { return w - 0.1*(0.9*v+g+0.01*w) })

	copy(out, w)
	m, u := make([]T, n), make([]T, n)
	Adam(p, out, m, u, x, AdamStep{Rate: 0.1, Beta1: 0.9, Beta2: 0.999, Epsilon: 0.5, WeightDecay: 0.2, Step: 1})
	// At step 1 both corrections undo the averages: m/c₁ = g and √(v/c₂) = |g|.
	check("Adam", out, func(g, _, w float64) float64 { return w - 0.1*0.2*w - 0.1*g/(math.Abs(g)+0.5) })

	var sum, dot, size float64
	largest := math.Inf(-1)
	for i := range x {
		sum += float64(x[i])
		dot += float64(x[i]) * float64(y[i])
		size += math.Abs(float64(x[i]))
		largest = max(largest, float64(x[i]))
	}
	if got := float64(Sum(p, x)); math.Abs(got-sum) > tol*size {
		t.Errorf("Sum: got %v, want %v", got, sum)
	}
	if got := float64(Dot(p, x, y)); math.Abs(got-dot) > tol*size {
		t.Errorf("Dot: got %v, want %v", got, dot)
	}
	if got := float64(Max(p, x)); got != largest {
		t.Errorf("Max: got %v, want %v", got, largest)
	}
}

func TestRowDefinitions(t *testing.T) {
	const tol = 2e-6 // a few roundings of numbers below 10
	p := newPool(t, 2, Best())
	r := rand.New(rand.NewPCG(5, 6))
	for _, shape := range [][2]int{{1, 1}, {3, 10}, {128, 10}, {7, 1000}, {2, 5000}, {300, 33}} {
		rows, cols := shape[0], shape[1]
		x := random[float32](r, rows*cols)
		soft, logs, plusRow, plusCol := make([]float32, len(x)), make([]float32, len(x)), make([]float32, len(x)), make([]float32, len(x))
		minusCol, timesCol := make([]float32, len(x)), make([]float32, len(x))
		sumRows, sumCols := make([]float32, rows), make([]float32, cols)
		bias, biasCol := random[float32](r, cols), random[float32](r, rows)
		Softmax(p, soft, x, rows, cols)
		LogSoftmax(p, logs, x, rows, cols)
		AddRow(p, plusRow, x, bias, rows)
		AddColumn(p, plusCol, x, biasCol, cols)
		SubColumn(p, minusCol, x, biasCol[:1], cols)
		MulColumn(p, timesCol, x, biasCol, cols)
		SumRows(p, sumRows, x, cols)
		SumColumns(p, sumCols, x, rows)
		colWant := make([]float64, cols)
		for i := range rows {
			var total, plain float64
			for j := range cols {
				v := float64(x[i*cols+j])
				total += math.Exp(v)
				plain += v
				colWant[j] += v
			}
			near := func(name string, got float32, want, scale float64) {
				t.Helper()
				if !(math.Abs(float64(got)-want) <= tol*scale) {
					t.Fatalf("%s of [%d, %d], row %d: got %v, want %v", name, rows, cols, i, got, want)
				}
			}
			near("SumRows", sumRows[i], plain, float64(cols))
			for j := range cols {
				k := i*cols + j
				want := math.Exp(float64(x[k])) / total
				near("Softmax", soft[k], want, want)
				near("LogSoftmax", logs[k], math.Log(want), 5)
				near("AddRow", plusRow[k], float64(x[k])+float64(bias[j]), 1)
				near("AddColumn", plusCol[k], float64(x[k])+float64(biasCol[i]), 1)
				near("SubColumn", minusCol[k], float64(x[k])-float64(biasCol[0]), 1)
				near("MulColumn", timesCol[k], float64(x[k])*float64(biasCol[i]), 1)
			}
		}
		for j, want := range colWant {
			if math.Abs(float64(sumCols[j])-want) > tol*float64(rows) {
				t.Fatalf("SumColumns of [%d, %d]: [%d]: got %v, want %v", rows, cols, j, sumCols[j], want)
			}
		}
	}
}

func TestSoftmaxOfLargeNumbers(t *testing.T) {
	p := newPool(t, 1, Best())
	x := []float32{1000, 1000, float32(math.Inf(-1)), -1000}
	Softmax(p, x, x, 1, 4)
	if want := []float32{0.5, 0.5, 0, 0}; !slices.Equal(x, want) {
		t.Errorf("got %v, want %v", x, want)
	}
}

// ulps is the error of got in units in the last place of the float32 nearest to
// want, subnormals included.
func ulps(got float32, want float64) float64 {
	near := float32(want)
	if math.IsInf(float64(near), 0) {
		if got == near {
			return 0
		}
		near = math.MaxFloat32
	}
	unit := math.Max(0x1p-149, math.Abs(float64(math.Nextafter32(near, float32(math.Inf(1))))-float64(near)))
	return math.Abs(float64(got)-want) / unit
}

// The oracle is package math in float64, whose error is some 1e-8 of an ulp here.
func TestFloat32FunctionsErrors(t *testing.T) {
	cases := []struct {
		name string
		run  func(p *Pool, dst, x []float32)
		want func(float64) float64
		ulps float64
	}{
		{"Exp", Exp[float32], math.Exp, 1},
		{"Sigmoid", Sigmoid[float32], sigmoid64, 2.5},
		{"Tanh", Tanh[float32], math.Tanh, 2},
		{"Erf", Erf[float32], math.Erf, 2},
		{"Log", Log[float32], math.Log, 1},
	}
	p := newPool(t, 2, Best())
	step := uint32(4001) // of the bit patterns: a million points over all magnitudes
	if testing.Short() {
		step *= 10
	}
	var x []float32
	for b := uint64(0); b < 1<<32; b += uint64(step) {
		if v := math.Float32frombits(uint32(b)); v == v {
			x = append(x, v)
		}
	}
	r := rand.New(rand.NewPCG(7, 8))
	for range 100000 { // where the functions change
		x = append(x, float32(r.NormFloat64()), float32(r.Float64()*200-100))
	}
	y := make([]float32, len(x))
	for _, c := range cases {
		c.run(p, y, x)
		var worst float64
		var at float32
		for i, v := range x {
			want := c.want(float64(v))
			if want != want && y[i] != y[i] {
				continue
			}
			if e := ulps(y[i], want); !(e <= worst) {
				worst, at = e, v
			}
		}
		t.Logf("%s: worst error %.3f ulp at %v", c.name, worst, at)
		if !(worst <= c.ulps) {
			t.Errorf("%s(%v): error %.3f ulp, want at most %v", c.name, at, worst, c.ulps)
		}
	}
}

// Errors of the GELUs where their documentation bounds them.
func TestGeluErrors(t *testing.T) {
	p := newPool(t, 1, Best())
	var x []float32
	for v := float32(-12); v < 12; v += 0.0003 {
		x = append(x, v)
	}
	y := make([]float32, len(x))
	for _, c := range []struct {
		name  string
		run   func(p *Pool, dst, x []float32)
		want  func(float64) float64
		least float64 // smaller results are held to absolute
		ulps  float64
	}{
		{"Gelu", Gelu[float32], func(x float64) float64 { return x / 2 * math.Erfc(-x/math.Sqrt2) }, 5e-8, 64},
		{"GeluTanh", GeluTanh[float32], func(x float64) float64 {
			return x * sigmoid64(2*math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x))
		}, 1e-7, 32},
	} {
		c.run(p, y, x)
		worst := 0.0
		for i, v := range x {
			want := c.want(float64(v))
			e := ulps(y[i], want)
			if math.Abs(want) <= c.least {
				if math.Abs(float64(y[i])-want) > c.least {
					t.Errorf("%s(%v): got %v, want %v", c.name, v, y[i], want)
				}
				continue
			}
			if e > worst {
				worst = e
				if e > c.ulps {
					t.Errorf("%s(%v): got %v, want %v: error of %.1f ulp, want at most %v", c.name, v, y[i], want, e, c.ulps)
				}
			}
		}
		t.Logf("%s: worst error %.3f ulp", c.name, worst)
	}
}

func TestQuantizeRounding(t *testing.T) {
	p := newPool(t, 1, Best())
	nan := float32(math.NaN())
	x := []float32{0.5, 1.5, 2.5, -0.5, -1.5, 126.5, 127.4, 1e30, -1e30, nan, 0.49999997, -127.5}
	want := []int8{0, 2, 2, 0, -2, 126, 127, 127, -127, -127, 0, -127}
	got := make([]int8, len(x))
	QuantizeRows(p, got, x, []float32{1}, len(x), -127, 127)
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	back := make([]float32, len(x))
	DequantizeRows(p, back, got, []float32{0.25}, len(x))
	for i, q := range want {
		if back[i] != 0.25*float32(q) {
			t.Errorf("dequantised [%d]: got %v, want %v", i, back[i], 0.25*float32(q))
		}
	}
}

func TestVectorKernelsDoNotAllocate(t *testing.T) {
	p := newPool(t, 2, Best())
	const n = 100000
	var in [4][]float32
	for i := range in {
		in[i] = make([]float32, n)
	}
	q, scale := make([]int8, n), []float32{1}
	for _, c := range []struct {
		name string
		run  func()
	}{
		{"Add", func() { Add(p, in[0], in[1], in[2]) }},
		{"Exp", func() { Exp(p, in[0], in[1]) }},
		{"Sum", func() { Sum(p, in[0]) }},
		{"Softmax", func() { Softmax(p, in[0], in[1], 1000, 100) }},
		{"LogSoftmax", func() { LogSoftmax(p, in[0], in[1], 1000, 100) }},
		{"AddRow", func() { AddRow(p, in[0], in[1], in[2][:100], 1000) }},
		{"SumColumns", func() { SumColumns(p, in[0][:100], in[1], 1000) }},
		{"SGDMomentum", func() { SGDMomentum(p, in[0], in[1], in[2], MomentumStep[float32]{}) }},
		{"Adam", func() { Adam(p, in[0], in[1], in[2], in[3], AdamStep{Step: 1}) }},
		{"QuantizeRows", func() { QuantizeRows(p, q, in[0], scale, n, -127, 127) }},
	} {
		if allocs := testing.AllocsPerRun(10, c.run); allocs != 0 {
			t.Errorf("%s: got %v allocations, want 0", c.name, allocs)
		}
	}
}

func TestVectorKernelsPanicOnLengths(t *testing.T) {
	p := newPool(t, 1, Best())
	x := make([]float32, 10)
	for name, f := range map[string]func(){
		"Add x":     func() { Add(p, x, x[:9], x) },
		"Add y":     func() { Add(p, x, x, x[:9]) },
		"Add nil":   func() { Add(p, x, x, nil) },
		"Softmax":   func() { Softmax(p, x, x, 3, 3) },
		"Dot":       func() { Dot(p, x, x[:9]) },
		"Quantize":  func() { QuantizeRows(p, make([]int8, 9), x, x[:1], 10, -127, 127) },
		"SumRows":   func() { SumRows(p, x[:3], x, 3) },
		"AddColumn": func() { AddColumn(p, x, x, x[:3], 3) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: got no panic, want one", name)
				}
			}()
			f()
		}()
	}
}

func BenchmarkVector(b *testing.B) {
	for _, n := range []int{38400, 1 << 20} {
		var in [4][]float32
		for i := range in {
			in[i] = random[float32](rand.New(rand.NewPCG(1, uint64(i))), n)
		}
		for _, c := range vectorCases {
			b.Run(fmt.Sprintf("%s/%d", c.name, n), func(b *testing.B) {
				p := newPool(b, 1, Best())
				b.SetBytes(int64(4 * n))
				for b.Loop() {
					c.run(p, in[0], in[1], in[2], in[3])
				}
			})
		}
	}
}
