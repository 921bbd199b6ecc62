package compactify

import (
	"math"
	"reflect"
	"slices"
	"testing"
)

// Oracle 29 of the theory: the exact paths of oracles 1, 3 and 5 have R
// non-increasing, L non-decreasing and v concave, so that no point is beaten.
func TestExactPathsAreMinimal(t *testing.T) {
	for name, path := range map[string]func(lambda float64) Minimiser{
		"ridge, oracle 1":  ridge,
		"lasso, oracle 3":  lasso,
		"u·v, oracle 5":    product,
		"(θ²−1)², L2, 6":   doubleWell,
		"(θ²−1)², L1, 6":   doubleWellL1,
		"all points equal": func(l float64) Minimiser { return Minimiser{Lambda: l, Loss: 1} },
	} {
		var points []Minimiser
		for k := range 60 {
			points = append(points, path(1e-3*math.Pow(1e5, float64(k)/59)))
		}
		got := CheckMinimality(points, 1e-12)
		if !got.Monotone || !got.Concave || len(got.Beaten) != 0 {
			t.Errorf("%s: got %+v, want monotone, concave and no point beaten", name, got)
		}
		// Any parameters of the path put at another λ are found out, unless they tie.
		moved := points[30]
		moved.Lambda = points[10].Lambda
		points[10] = moved
		got = CheckMinimality(points, 1e-12)
		if ties := name == "all points equal"; ties != (len(got.Beaten) == 0) || ties != got.Monotone || ties != got.Concave {
			t.Errorf("%s with θ of λ=%v at λ=%v: got %+v, want that point beaten: %v", name, points[30].Lambda, moved.Lambda, got, !ties)
		}
	}
}

// ridge is oracle 1: X = diag(1, 2), y = (1, 1), θ_i = σ_i/(σ_i²+2λ).
func ridge(l float64) Minimiser {
	a, b := 1/(1+2*l), 2/(4+2*l)
	return Minimiser{Lambda: l, Loss: ((1-a)*(1-a) + (1-2*b)*(1-2*b)) / 2, Penalty: a*a + b*b}
}

func TestRidgeOracle(t *testing.T) {
	if a, b := 1/(1+2*0.5), 2/(4+2*0.5); a != 0.5 || b != 0.4 {
		t.Errorf("ridge at λ=½: got (%v, %v), want (0.5, 0.4)", a, b)
	}
}

// lasso is oracle 3, its path between the breakpoints by the normal equations of the
// support S and signs s: X_SᵀX_S θ = X_Sᵀy − λs.
func lasso(l float64) Minimiser {
	x := [3][3]float64{{3, 0, 3}, {0, -3, -1}, {1, 0, 0}}
	y := [3]float64{3, 3, -1}
	best := Minimiser{Lambda: l, Loss: 19.0 / 2} // ½‖y‖² at θ=0
	for code := 1; code < 27; code++ {           // every support with every choice of signs
		var support []int
		var signs []float64
		for j, c := 0, code; j < 3; j, c = j+1, c/3 {
			if s := c % 3; s > 0 {
				support, signs = append(support, j), append(signs, float64(3-2*s))
			}
		}
		n := len(support)
		m := make([][]float64, n)
		for a := range m {
			m[a] = make([]float64, n+1)
			for i := range x {
				for b := range n {
					m[a][b] += x[i][support[a]] * x[i][support[b]]
				}
				m[a][n] += x[i][support[a]] * y[i]
			}
			m[a][n] -= l * signs[a]
		}
		theta, ok := solve(m)
		if !ok {
			continue
		}
		p := Minimiser{Lambda: l}
		for a := range theta {
			p.Penalty += math.Abs(theta[a])
		}
		for i := range x {
			r := y[i]
			for a, j := range support {
				r -= x[i][j] * theta[a]
			}
			p.Loss += r * r / 2
		}
		if p.value(l) < best.value(l) {
			best = p
		}
	}
	return best
}

// solve is Gaussian elimination on [n][n+1]; ok is false for a singular matrix.
func solve(m [][]float64) (_ []float64, ok bool) {
	n := len(m)
	for k := range n {
		pivot := k
		for i := k; i < n; i++ {
			if math.Abs(m[i][k]) > math.Abs(m[pivot][k]) {
				pivot = i
			}
		}
		m[k], m[pivot] = m[pivot], m[k]
		if math.Abs(m[k][k]) < 1e-12 {
			return nil, false
		}
		for i := range n {
			if i == k {
				continue
			}
			f := m[i][k] / m[k][k]
			for j := k; j <= n; j++ {
				m[i][j] -= f * m[k][j]
			}
		}
	}
	x := make([]float64, n)
	for k := range x {
		x[k] = m[k][n] / m[k][k]
	}
	return x, true
}

func TestLassoOracle(t *testing.T) {
	want := 0.2 + 1.0/3 // ‖θ(6)‖₁, θ(6) = (0.2, −1/3, 0)
	if got := lasso(6).Penalty; math.Abs(got-want) > 1e-12 {
		t.Errorf("‖θ(6)‖₁: got %v, want %v", got, want)
	}
	if got := lasso(9.0001).Penalty; got != 0 { // the first breakpoint is 9
		t.Errorf("above the first breakpoint: got ‖θ‖₁ = %v, want 0", got)
	}
}

// product is oracle 5, ½(uv−1)² + λ(u²+v²): at the minimum u = v and uv = (1−2λ)₊.
func product(l float64) Minimiser {
	uv := max(0, 1-2*l)
	return Minimiser{Lambda: l, Loss: (uv - 1) * (uv - 1) / 2, Penalty: 2 * uv}
}

// doubleWell is oracle 6, (θ²−1)² + λθ²: θ² = (1−λ/2)₊, zero from λ = 2 on.
func doubleWell(l float64) Minimiser {
	s := max(0, 1-l/2)
	return Minimiser{Lambda: l, Loss: (s - 1) * (s - 1), Penalty: s}
}

// doubleWellL1 is oracle 6 with λ|θ|: the root of 4θ(θ²−1) + λ near 1 until zero is
// better, from λ = (4/3)√(2/3) on, where the path jumps.
func doubleWellL1(l float64) Minimiser {
	zero := Minimiser{Lambda: l, Loss: 1}
	x := 1.0
	for range 100 {
		x -= (4*x*(x*x-1) + l) / (12*x*x - 4)
	}
	p := Minimiser{Lambda: l, Loss: (x*x - 1) * (x*x - 1), Penalty: x}
	if !(x > 0) || p.value(l) > zero.value(l) {
		return zero
	}
	return p
}

// TestDoubleWellJumpsWhereOracleSays: the last λ at which the nonzero root is better.
func TestDoubleWellJumpsWhereOracleSays(t *testing.T) {
	const at = 1.0886621 // (4/3)√(2/3)
	if doubleWellL1(at-1e-6).Penalty == 0 || doubleWellL1(at+1e-6).Penalty != 0 {
		t.Errorf("got |θ| = %v below and %v above λ = %v, want a jump to 0", doubleWellL1(at-1e-6).Penalty, doubleWellL1(at+1e-6).Penalty, at)
	}
}

func TestCheckMinimalityFindsTheWitness(t *testing.T) {
	inf := math.Inf(1)
	for _, c := range []struct {
		about    string
		points   []Minimiser
		relative float64
		want     Minimality
	}{
		{"no points", nil, 0, Minimality{Monotone: true, Concave: true}},
		{"the end alone says nothing of itself", []Minimiser{{Lambda: inf, Loss: 2}}, 0, Minimality{Monotone: true, Concave: true, Slack: 2e-12}},
		{"zero beats a point at λ=1: 1+1·2 > 2.5", []Minimiser{{Lambda: 1, Loss: 1, Penalty: 2}, {Lambda: inf, Loss: 2.5}}, 0,
			Minimality{Monotone: true, Concave: true, Beaten: []Beaten{{Point: 0, By: 1, Gap: 0.5}}, Slack: 2.5e-12}},
		{"a point that claims nothing beats another", []Minimiser{{Loss: 1, Penalty: 1, Given: true}, {Lambda: 1, Loss: 3, Penalty: 0.5}}, 0,
			Minimality{Monotone: true, Concave: true, Beaten: []Beaten{{Point: 1, By: 0, Gap: 1.5}}, Slack: 3e-12}},
		{"R rises: the second is beaten at its λ, 1+2·2 > 2+2·1", []Minimiser{{Lambda: 1, Loss: 2, Penalty: 1}, {Lambda: 2, Loss: 1, Penalty: 2}}, 0,
			Minimality{Beaten: []Beaten{{Point: 1, By: 0, Gap: 1}}, Slack: 2e-12}},
		{"L falls at equal R: the first is beaten", []Minimiser{{Lambda: 2, Loss: 1, Penalty: 1}, {Lambda: 1, Loss: 2, Penalty: 1}}, 0,
			Minimality{Beaten: []Beaten{{Point: 1, By: 0, Gap: 1}}, Slack: 2e-12}},
		{"that is within what rounding may do", []Minimiser{{Lambda: 2, Loss: 1, Penalty: 1}, {Lambda: 1, Loss: 1.01, Penalty: 1}}, 0.01,
			Minimality{Monotone: true, Concave: true, Slack: 0.01 * 1.01}},
		{"not numbers", []Minimiser{{Lambda: 1, Loss: math.NaN()}, {Lambda: -1}, {Lambda: 1, Penalty: inf}}, 0, Minimality{Monotone: true, Concave: true}},
		{"a claim to be within 0.6 of the minimum is not disproved by 0.5", []Minimiser{{Lambda: 1, Loss: 1, Penalty: 2, Within: 0.6}, {Lambda: inf, Loss: 2.5}}, 0,
			Minimality{Monotone: true, Concave: true, Slack: 2.5e-12}},
	} {
		if got := CheckMinimality(c.points, c.relative); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, want %+v", c.about, got, c.want)
		}
	}
}

// TestMinimalityFollowsFromPairs: no point beaten implies monotone and concave, on
// random points.
func TestMinimalityFollowsFromPairs(t *testing.T) {
	x := uint64(1)
	draw := func() float64 { // a xorshift is enough here
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		return float64(x>>11) / (1 << 53)
	}
	failed := 0
	for range 20000 {
		var points []Minimiser
		for range 3 {
			points = append(points, Minimiser{Lambda: draw(), Loss: draw(), Penalty: draw()})
		}
		got := CheckMinimality(points, 1e-9)
		if len(got.Beaten) == 0 && !(got.Monotone && got.Concave) {
			t.Fatalf("%+v: got %+v, want monotone and concave", points, got)
		}
		for i, p := range points {
			for j, q := range points {
				wins := p.Loss+p.Lambda*p.Penalty-q.Loss-p.Lambda*q.Penalty > got.Slack
				if wins && !slices.ContainsFunc(got.Beaten, func(b Beaten) bool { return b.Point == i }) {
					t.Fatalf("%+v: got %+v, want point %d beaten, by %d for one", points, got, i, j)
				}
			}
		}
		// In other units nothing is different.
		for i := range points {
			points[i].Loss *= 0x1p60
			points[i].Penalty *= 0x1p60
		}
		if again := CheckMinimality(points, 1e-9); len(again.Beaten) != len(got.Beaten) || again.Monotone != got.Monotone || again.Concave != got.Concave || again.Slack != 0x1p60*got.Slack {
			t.Fatalf("%+v: got %+v, in other units %+v", points, again, got)
		}
		if len(got.Beaten) > 0 {
			failed++
		}
	}
	if failed == 0 || failed == 20000 {
		t.Errorf("got %d of 20000 triples with a point beaten, want some and not all", failed)
	}
}

// TestCheckNested: inside a smaller ball the loss cannot be smaller.
func TestCheckNested(t *testing.T) {
	for _, c := range []struct {
		about  string
		points []Minimiser
		want   Minimality
	}{
		{"losses rise as the ball shrinks", []Minimiser{{Lambda: 2, Loss: 1, Penalty: 2}, {Lambda: 1, Loss: 2, Penalty: 1}}, Minimality{Monotone: true, Slack: 0x1p-29}},
		{"the smaller ball has the smaller loss", []Minimiser{{Lambda: 2, Loss: 2, Penalty: 2}, {Lambda: 1, Loss: 1, Penalty: 1}},
			Minimality{Beaten: []Beaten{{Point: 0, By: 1, Gap: 1}}, Slack: 0x1p-29}},
		{"a point outside the ball proves nothing of it", []Minimiser{{Lambda: 1, Loss: 2, Penalty: 1}, {Lambda: 3, Loss: 1, Penalty: 3, Given: true}},
			Minimality{Monotone: true, Slack: 0x1p-29}},
		{"one that claims nothing is inside", []Minimiser{{Lambda: 1, Loss: 2, Penalty: 1}, {Lambda: 3, Loss: 1, Penalty: 0.5, Given: true}},
			Minimality{Monotone: true, Beaten: []Beaten{{Point: 0, By: 1, Gap: 1}}, Slack: 0x1p-29}},
	} {
		if got := CheckNested(c.points, 0x1p-30); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, want %+v", c.about, got, c.want)
		}
	}
}
