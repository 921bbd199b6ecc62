package separation

import (
	"context"
	"errors"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
)

// pointsOf makes points of rows (x…, y).
func pointsOf(intercept bool, rows ...[]float64) Points {
	p := Points{Dim: len(rows[0]) - 1, Intercept: intercept}
	for _, r := range rows {
		p.Rows = append(p.Rows, Vector{Value: r[:p.Dim]})
		p.Sign = append(p.Sign, int8(r[p.Dim]))
	}
	return p
}

func decided(t testing.TB, p Points) *Result {
	t.Helper()
	r, err := Decide(context.Background(), p, Options{})
	if err != nil {
		t.Fatal(err)
	}
	holds(t, p, r)
	return r
}

// exactly is z_i in rational numbers.
func exactly(p Points, i int) []*big.Rat {
	z := make([]*big.Rat, p.size())
	for j := range z {
		z[j] = new(big.Rat)
	}
	p.each(i, func(j int, x float64) { z[j].SetFloat64(x) })
	return z
}

// holds checks a result by its definition.
func holds(t testing.TB, p Points, r *Result) {
	t.Helper()
	if r.Kind == Undecided {
		t.Fatalf("undecided: %s", r.Reached)
	}
	tied := make([]bool, len(p.Rows))
	for _, i := range r.Tied {
		tied[i] = true
	}
	if want := map[bool]Kind{true: Separable, false: QuasiSeparable}[len(r.Tied) == 0]; r.Kind != Overlapping && r.Kind != want {
		t.Fatalf("%d rows tied: got %v", len(r.Tied), r.Kind)
	}
	if r.Kind == Overlapping && len(r.Tied) != len(p.Rows) || r.Kind == QuasiSeparable && len(r.Tied) == len(p.Rows) {
		t.Fatalf("%v: %d rows of %d tied", r.Kind, len(r.Tied), len(p.Rows))
	}
	sum, term := make([]*big.Rat, p.size()), new(big.Rat)
	for j := range sum {
		sum[j] = new(big.Rat)
	}
	for i := range p.Rows {
		if r.Direction != nil {
			inner := new(big.Rat)
			p.each(i, func(j int, z float64) {
				inner.Add(inner, term.Mul(term.SetFloat64(z), r.Direction[j]))
			})
			if want := map[bool]int{true: 0, false: 1}[tied[i]]; inner.Sign() != want {
				t.Fatalf("%v: row %d: inner product %v", r.Kind, i, inner)
			}
		}
		weight := new(big.Rat)
		if tied[i] {
			weight.SetInt64(1)
		}
		if k := slices.Index(r.Extra, i); k >= 0 {
			if !tied[i] || r.Weights[k].Sign() <= 0 {
				t.Fatalf("row %d: more weight %v", i, r.Weights[k])
			}
			weight.Add(weight, r.Weights[k])
		}
		if weight.Sign() != 0 {
			p.each(i, func(j int, z float64) { sum[j].Add(sum[j], term.Mul(term.SetFloat64(z), weight)) })
		}
	}
	for j, s := range sum {
		if s.Sign() != 0 {
			t.Fatalf("%v: weighted sum of coordinate %d: %v", r.Kind, j, s)
		}
	}
}

// tiedByForce are the rows that are in some linear relation with positive
// coefficients: those of all minimal dependent sets are tried. Entries are small
// integers.
func tiedByForce(p Points) []int {
	tied := make(map[int]bool)
	var try func(from int, set []int)
	try = func(from int, set []int) {
		if len(set) > 0 {
			if c, ok := relation(p, set); ok {
				for k, i := range set {
					if c[k].Sign() != 0 {
						tied[i] = true
					}
				}
			}
		}
		if len(set) == p.size()+1 {
			return
		}
		for i := from; i < len(p.Rows); i++ {
			try(i+1, append(slices.Clone(set), i))
		}
	}
	try(0, nil)
	var out []int
	for i := range p.Rows {
		if tied[i] {
			out = append(out, i)
		}
	}
	return out
}

// relation are positive coefficients of a set of rows that add up to 0, if the set has
// only one relation and that is one.
func relation(p Points, set []int) ([]*big.Rat, bool) {
	k, m := len(set), p.size()
	a := make([][]*big.Rat, m)
	for j := range a {
		a[j] = make([]*big.Rat, k)
		for c, i := range set {
			a[j][c] = exactly(p, i)[j]
		}
	}
	var pivots []int
	free := -1
	for c := range k {
		r := len(pivots)
		at := slices.IndexFunc(a[min(r, m):], func(row []*big.Rat) bool { return row[c].Sign() != 0 })
		if at < 0 {
			if free >= 0 {
				return nil, false
			}
			free = c
			continue
		}
		a[r], a[r+at] = a[r+at], a[r]
		inverse := new(big.Rat).Inv(a[r][c])
		for x := range a[r] {
			a[r][x] = new(big.Rat).Mul(a[r][x], inverse)
		}
		for j := range a {
			if j != r && a[j][c].Sign() != 0 {
				f := new(big.Rat).Set(a[j][c])
				for x := range a[j] {
					a[j][x] = new(big.Rat).Sub(a[j][x], new(big.Rat).Mul(f, a[r][x]))
				}
			}
		}
		pivots = append(pivots, c)
	}
	if free < 0 {
		return nil, false
	}
	out := make([]*big.Rat, k)
	out[free] = big.NewRat(1, 1)
	for r, c := range pivots {
		out[c] = new(big.Rat).Neg(a[r][free])
		if out[c].Sign() <= 0 {
			return nil, false
		}
	}
	return out, true
}

// TestKinds: cases with an answer that can be seen.
func TestKinds(t *testing.T) {
	eps := math.Nextafter(1, 2) - 1
	for _, c := range []struct {
		name string
		p    Points
		want Kind
		tied []int
	}{
		{"oracle 8", pointsOf(false, []float64{1, 2, 1}, []float64{3, -1, 1}), Separable, nil},
		{"oracle 30", pointsOf(false, []float64{1, 0, 1}, []float64{0, 1, 1}, []float64{1, 1, -1}), Overlapping, []int{0, 1, 2}},
		{"one point", pointsOf(false, []float64{1, 1}), Separable, nil},
		{"one point at 0", pointsOf(false, []float64{0, 1}), Overlapping, []int{0}},
		{"one point at 0, intercept", pointsOf(true, []float64{0, -1}), Separable, nil},
		{"one class", pointsOf(true, []float64{3, 1}, []float64{-2, 1}), Separable, nil},
		{"all rows 0", pointsOf(false, []float64{0, 0, 1}, []float64{0, 0, -1}), Overlapping, []int{0, 1}},
		{"a row 0", pointsOf(false, []float64{0, 0, 1}, []float64{1, 0, 1}), QuasiSeparable, []int{0}},
		{"the same point in both classes", pointsOf(true, []float64{1, 2, 1}, []float64{1, 2, -1}), Overlapping, []int{0, 1}},
		{"and others apart", pointsOf(true, []float64{0, 1}, []float64{0, -1}, []float64{1, 1}, []float64{-1, -1}), QuasiSeparable, []int{0, 1}},
		{"touching intervals", pointsOf(true, []float64{0, -1}, []float64{1, -1}, []float64{1, 1}, []float64{2, 1}), QuasiSeparable, []int{1, 2}},
		{"crossing intervals", pointsOf(true, []float64{0, -1}, []float64{2, -1}, []float64{1, 1}, []float64{3, 1}), Overlapping, []int{0, 1, 2, 3}},
		{"exclusive or", pointsOf(true, []float64{0, 0, 1}, []float64{1, 1, 1}, []float64{0, 1, -1}, []float64{1, 0, -1}), Overlapping, []int{0, 1, 2, 3}},
		{"a last bit apart", pointsOf(true, []float64{1, -1}, []float64{1 + eps, 1}), Separable, nil},
		{"a last bit across", pointsOf(true, []float64{0, -1}, []float64{1 + eps, -1}, []float64{1, 1}, []float64{2, 1}), Overlapping, []int{0, 1, 2, 3}},
		{"touching at 1/3", pointsOf(true, []float64{0, -1}, []float64{1. / 3, -1}, []float64{1. / 3, 1}, []float64{2, 1}), QuasiSeparable, []int{1, 2}},
		{"small and large", pointsOf(true, []float64{1e150, 1e-150, 1}, []float64{1e150, -1e-150, -1}), Separable, nil},
		{"small and large across", pointsOf(false, []float64{1e150, 1e-150, 1}, []float64{1e150, -1e-150, -1}, []float64{0, -1e-150, 1}), Overlapping, []int{0, 1, 2}},
		{"the least numbers", pointsOf(false, []float64{5e-324, 1}, []float64{math.MaxFloat64, -1}), Overlapping, []int{0, 1}},
		{"the least and the largest", pointsOf(false, []float64{5e-324, math.MaxFloat64, 1}, []float64{math.MaxFloat64, 5e-324, -1}), Separable, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := decided(t, c.p)
			if r.Kind != c.want || !slices.Equal(r.Tied, c.tied) {
				t.Fatalf("got %v, tied %v, want %v, %v", r.Kind, r.Tied, c.want, c.tied)
			}
		})
	}
}

// TestOracle30: the weights are (1, 1, 1).
func TestOracle30(t *testing.T) {
	r := decided(t, pointsOf(false, []float64{1, 0, 1}, []float64{0, 1, 1}, []float64{-1, -1, 1}))
	if len(r.Extra) != 0 {
		t.Errorf("got more than 1 for rows %v", r.Extra)
	}
}

// TestHair is a last bit that only two coordinates together show: points of
// one class on a line, one of the other a hair off it.
func TestHair(t *testing.T) {
	for _, side := range []float64{1, 0, -1} {
		// (0,0), (3,1)·k of class −1 lie on x = 3y; (1, 1/3) is off by the rounding of ⅓.
		third := 1. / 3 // less than ⅓
		x := 3 * third  // rounds to 1
		y := third + side*0x1p-54
		r := decided(t, pointsOf(true, []float64{0, 0, -1}, []float64{3, 1, -1}, []float64{x, y, 1}))
		want := map[float64]Kind{1: Separable, 0: Separable, -1: Separable}[side]
		if r.Kind != want {
			t.Errorf("side %v: got %v", side, r.Kind)
		}
	}
	exact := decided(t, pointsOf(true, []float64{0, 0, -1}, []float64{3, 0.75, -1}, []float64{1, 0.25, 1}))
	if exact.Kind != QuasiSeparable && exact.Kind != Overlapping {
		t.Errorf("on the line: got %v", exact.Kind)
	}
}

// TestBruteForce compares with all relations of few points with small coordinates.
func TestBruteForce(t *testing.T) {
	kinds := map[Kind]int{}
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 3000 {
		p := Points{Dim: 1 + r.IntN(3), Intercept: r.IntN(2) == 0}
		span := 1 + r.IntN(3)
		for range 1 + r.IntN(7) {
			x := make([]float64, p.Dim)
			for j := range x {
				x[j] = float64(r.IntN(2*span+1) - span)
			}
			p.Rows = append(p.Rows, Vector{Value: x})
			p.Sign = append(p.Sign, int8(2*r.IntN(2)-1))
		}
		got := decided(t, p)
		if want := tiedByForce(p); !slices.Equal(got.Tied, want) {
			t.Fatalf("problem %d, %+v: tied: got %v, want %v", n, p, got.Tied, want)
		}
		kinds[got.Kind]++
	}
	if kinds[Separable] < 100 || kinds[QuasiSeparable] < 100 || kinds[Overlapping] < 100 {
		t.Errorf("kinds met: %v", kinds)
	}
}

// TestSearchMisled: the simplex method finds the answer from any start, also from the
// one least squares would not give.
func TestSearchMisled(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 400 {
		p := Points{Dim: 2 + r.IntN(2)}
		for range 3 + r.IntN(6) {
			x := make([]float64, p.Dim)
			for j := range x {
				x[j] = float64(r.IntN(7) - 3)
			}
			p.Rows = append(p.Rows, Vector{Value: x})
		}
		d := newDecision(context.Background(), &p, Options{Work: defaultWork})
		sum := d.sum(d.tied)
		s := &simplex{decision: d, sum: sum}
		_, _, v, err := s.run()
		if err != nil {
			t.Fatal(err)
		}
		overlapping := len(tiedByForce(p)) == len(p.Rows)
		if (v == nil) != overlapping {
			t.Fatalf("%v: direction %v, overlapping %v", p.Rows, v, overlapping)
		}
		if v != nil {
			if free, _, ok := partition(d.tied, d.signs(d.tied, v)); !ok || len(free) == 0 {
				t.Fatalf("%v: direction %v is no proof", p.Rows, v)
			}
		}
	}
}

// TestMetamorphic: what is true of points is so of the same points in another order,
// scaled by row and by coordinate, stored compressed, and mapped linearly.
func TestMetamorphic(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		p := Points{Dim: 3, Intercept: true}
		for range 4 + r.IntN(8) {
			x := []float64{float64(r.IntN(5) - 2), float64(r.IntN(5) - 2), float64(r.IntN(3) - 1)}
			p.Rows = append(p.Rows, Vector{Value: x})
			p.Sign = append(p.Sign, int8(2*r.IntN(2)-1))
		}
		want := decided(t, p)
		order := r.Perm(len(p.Rows))
		q := Points{Dim: 4, Intercept: true}
		for _, i := range order {
			x := p.Rows[i].Value
			v := Vector{Index: []int32{}}
			for j, c := range []float64{x[1] * 1e9, 0, (x[0] + x[1]) * 0.5, (x[2] - x[0]) * 0x1p-30} {
				if c != 0 {
					v.Index, v.Value = append(v.Index, int32(j)), append(v.Value, c)
				}
			}
			q.Rows, q.Sign = append(q.Rows, v), append(q.Sign, p.Sign[i])
		}
		got := decided(t, q)
		var tied []int
		for k, i := range order {
			if slices.Contains(want.Tied, i) {
				tied = append(tied, k)
			}
		}
		if !slices.Equal(got.Tied, tied) {
			t.Fatalf("%+v: tied: got %v, want %v", p, got.Tied, tied)
		}
	}
}

// TestBadInput: errors name the point.
func TestBadInput(t *testing.T) {
	for _, c := range []struct {
		name string
		p    Points
		want error
	}{
		{"no points", Points{Dim: 1}, nil},
		{"no coordinates", Points{Rows: []Vector{{}}}, nil},
		{"too few", Points{Dim: 2, Rows: []Vector{{Value: []float64{1}}}}, nil},
		{"not a number", Points{Dim: 1, Rows: []Vector{{Value: []float64{math.NaN()}}}}, ErrNotFinite},
		{"infinite", Points{Dim: 1, Rows: []Vector{{Index: []int32{0}, Value: []float64{math.Inf(1)}}}}, ErrNotFinite},
		{"unsorted", Points{Dim: 2, Rows: []Vector{{Index: []int32{1, 0}, Value: []float64{1, 1}}}}, nil},
		{"beyond", Points{Dim: 2, Rows: []Vector{{Index: []int32{2}, Value: []float64{1}}}}, nil},
		{"signs", Points{Dim: 1, Rows: []Vector{{Value: []float64{1}}}, Sign: []int8{1, 1}}, nil},
		{"sign", Points{Dim: 1, Rows: []Vector{{Value: []float64{1}}}, Sign: []int8{0}}, nil},
	} {
		_, err := Decide(context.Background(), c.p, Options{})
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Decide(ctx, pointsOf(true, []float64{1, 1}, []float64{1, -1}), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}

// FuzzDecide compares with brute force on points of one byte per coordinate.
func FuzzDecide(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Add([]byte{2, 0x11, 0x1f, 0xf1, 0x00})
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) < 2 || len(raw) > 10 {
			return
		}
		p := Points{Dim: 2, Intercept: raw[0]&1 != 0}
		for _, b := range raw[1:] {
			p.Rows = append(p.Rows, Vector{Value: []float64{float64(int(b&7) - 3), float64(int(b>>3&7) - 3)}})
			p.Sign = append(p.Sign, int8(b>>6&1)*2-1)
		}
		if got, want := decided(t, p).Tied, tiedByForce(p); !slices.Equal(got, want) {
			t.Fatalf("tied: got %v, want %v", got, want)
		}
	})
}

// TestStructured: indicators, decimals and thirds, with ties by construction: labels
// are the sides of a hyperplane with small integer coefficients, a few of them wrong.
// Every answer brings its proof.
func TestStructured(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	kinds := map[Kind]int{}
	values := []func() float64{
		func() float64 { return float64(r.IntN(2)) },
		func() float64 { return float64(r.IntN(3) - 1) },
		func() float64 { return math.Round(r.NormFloat64()*8) / 8 },
		func() float64 { return float64(r.IntN(10)) * 0.1 },
		func() float64 { return float64(r.IntN(4)) / 3 },
	}
	for n := range 500 {
		p := Points{Dim: 1 + r.IntN(12), Intercept: r.IntN(2) == 0}
		value, w := values[n%len(values)], make([]float64, p.Dim)
		for j := range w {
			w[j] = float64(r.IntN(7) - 3)
		}
		for range 2 + r.IntN(60) {
			x, s := make([]float64, p.Dim), 0.0
			for j := range x {
				x[j] = value()
				s += w[j] * x[j]
			}
			y := int8(1)
			if s < 0 || s == 0 && r.IntN(2) == 0 || r.IntN(40) == 0 {
				y = -1
			}
			p.Rows, p.Sign = append(p.Rows, Vector{Value: x}), append(p.Sign, y)
		}
		kinds[decided(t, p).Kind]++
	}
	if kinds[Separable] < 50 || kinds[QuasiSeparable] < 25 || kinds[Overlapping] < 50 {
		t.Errorf("kinds met: %v", kinds)
	}
}

// TestBudget: what takes too long is undecided, and says what was reached.
func TestBudget(t *testing.T) {
	r, err := Decide(context.Background(), svm(t, "libsvm/heart_scale", "+1"), Options{Work: 1000})
	if err != nil || r.Kind != Undecided || r.Reached == "" {
		t.Errorf("got %+v, %v", r, err)
	}
}
