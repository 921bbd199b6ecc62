package linear

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/compactify/compactify/internal/kernel"
)

var generalizedFamilies = []Family{Binomial, Multinomial, Poisson}

// TestGeneralizedDerivatives: −w∘∂ℓ/∂η and D·u against differences of the loss and of
// v, and bounds above diagonals.
func TestGeneralizedDerivatives(t *testing.T) {
	const step, tolerance = 1e-5, 1e-9 // central differences lose step² and rounding/step
	r := rand.New(rand.NewPCG(1, 2))
	for _, family := range generalizedFamilies {
		p := drawn(r, family, 9, 2)
		task, err := prepare(p, Penalty{Alpha: 1}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		like := task.likelihood()
		size := task.rows * task.classes
		eta, u, v, du, diagonal, bound := make([]float64, size), make([]float64, size), make([]float64, size), make([]float64, size), make([]float64, size), make([]float64, size)
		for i := range eta {
			eta[i], u[i] = 2*r.NormFloat64(), r.NormFloat64()
		}
		like.at(eta, v)
		like.curve(du, u)
		like.diagonal(diagonal)
		like.bound(bound)
		move := func(i int, h float64) (float64, []float64) {
			at, w := slices.Clone(eta), make([]float64, size)
			at[i] += h
			return like.at(at, w), w
		}
		for i := range eta {
			up, vUp := move(i, step)
			down, vDown := move(i, -step)
			if d := (down - up) / (2 * step); math.Abs(d-v[i]) > tolerance {
				t.Errorf("%v: v[%d]: got %v, by differences %v", family, i, v[i], d)
			}
			if d := (vDown[i] - vUp[i]) / (2 * step); math.Abs(d-diagonal[i]) > tolerance || bound[i] < diagonal[i] {
				t.Errorf("%v: D[%d, %d]: got %v, by differences %v, bound %v", family, i, i, diagonal[i], d, bound[i])
			}
		}
		up, down := make([]float64, size), make([]float64, size)
		forward, back := slices.Clone(eta), slices.Clone(eta)
		for i := range u {
			forward[i] += step * u[i]
			back[i] -= step * u[i]
		}
		like.at(forward, up)
		like.at(back, down)
		for i := range du {
			if d := (down[i] - up[i]) / (2 * step); math.Abs(d-du[i]) > tolerance {
				t.Errorf("%v: (D·u)[%d]: got %v, by differences %v", family, i, du[i], d)
			}
		}
	}
}

// TestLikelihoodExtremes: nothing overflows or cancels far out.
func TestLikelihoodExtremes(t *testing.T) {
	b := &binomial{y: []float64{1, 0, 1, 0}, w: []float64{0.25, 0.25, 0.25, 0.25}, small: make([]float64, 4), h: make([]float64, 4)}
	v := make([]float64, 4)
	if got := b.at([]float64{1000, -1000, -1000, 1000}, v); got != 500 {
		t.Errorf("logistic loss at ±1000: got %v, want 500", got)
	}
	if want := []float64{0, 0, 0.25, -0.25}; !slices.Equal(v, want) {
		t.Errorf("residuals: got %v, want %v", v, want)
	}
	m := &multinomial{y: []float64{0, 1}, w: []float64{0.5, 0.5}, classes: 2, cell: make([]float64, 4)}
	if got := m.at([]float64{40, 1000, 0, -1000}, v); math.Abs(got-(1000+math.Exp(-40)/2)) > 1e-12 {
		t.Errorf("multinomial loss: got %v", got)
	}
	if want := math.Exp(-40) / 2; math.Abs(v[0]-want) > 1e-12*want {
		t.Errorf("residual of a saturated example: got %v, want %v", v[0], want)
	}
	p := &poisson{y: []float64{3}, w: []float64{1}, cell: make([]float64, 1)}
	if got := p.at([]float64{1000}, v[:1]); !math.IsInf(got, 1) {
		t.Errorf("Poisson loss at 1000: got %v, want +Inf", got)
	}
}

// TestDivergence against the plain formula where that does not cancel, and against
// the series' first term where it does.
func TestDivergence(t *testing.T) {
	for _, m := range []float64{1e-3, 0.3, 1, 50} {
		for _, x := range []float64{-1, -0.99, -0.5, -0.051, -0.049, 0.049, 0.051, 1, 1e3} {
			u := m * (1 + x)
			want := m
			if u > 0 {
				want = u*math.Log(u/m) - m*x
			}
			if got := divergence(m, m*x, func() float64 { return math.Log(m) }); math.Abs(got-want) > 1e-13*(math.Abs(want)+u+m) {
				t.Errorf("divergence(%v, %v·m): got %v, want %v", m, x, got, want)
			}
		}
		if got, want := divergence(m, 1e-9*m, nil), m*0.5e-18; math.Abs(got-want) > 1e-8*want {
			t.Errorf("divergence(%v, 1e-9·m): got %v, want %v", m, got, want)
		}
	}
	if got := divergence(0, 0.5, func() float64 { return -1000 }); math.Abs(got-(0.5*(math.Log(0.5)+1000)-0.5)) > 1e-9 {
		t.Errorf("divergence from a cell of e^−1000: got %v", got)
	}
	if got := divergence(0.5, -0.6, nil); !math.IsInf(got, 1) {
		t.Errorf("divergence of a negative cell: got %v, want +Inf", got)
	}
}

// TestGeneralizedCertificates recomputes objective and gap by plain formulas for all
// families in combinations of all options.
func TestGeneralizedCertificates(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for trial := range 144 {
		family := generalizedFamilies[trial%3]
		n, cols := 30, 8
		if trial%2 == 1 {
			n, cols = 20, 30
		}
		p := drawn(r, family, n, cols)
		pen := Penalty{Alpha: []float64{1, 0.5, 0, 0.95}[trial/3%4]}
		o := Options{Intercept: r.IntN(2) == 0, Standardize: r.IntN(2) == 0, Count: 12, MinRatio: 0.01}
		if r.IntN(3) == 0 {
			p.Weights = make([]float64, n)
			for i := range p.Weights {
				p.Weights[i] = float64(r.IntN(3))
			}
			copy(p.Weights, []float64{1, 1, 1})
		}
		if r.IntN(3) == 0 {
			p.Offset = make([]float64, n*max(1, p.Classes))
			for i := range p.Offset {
				p.Offset[i] = r.NormFloat64()
			}
		}
		if r.IntN(3) == 0 {
			pen.Factors = make([]float64, cols)
			for j := range pen.Factors {
				pen.Factors[j] = float64(j%4+1) / 2
			}
			if trial%2 == 0 {
				pen.Factors[0] = 0
			}
		}
		if r.IntN(3) == 0 {
			o.Standardize = false // so that bounds are those of θ
			pen.Lower, pen.Upper = make([]float64, cols), make([]float64, cols)
			for j := range pen.Lower {
				pen.Lower[j], pen.Upper[j] = []float64{0, -0.1, math.Inf(-1)}[r.IntN(3)], []float64{0.1, 0.3, math.Inf(1)}[r.IntN(3)]
			}
		}
		if r.IntN(2) == 0 {
			p = thinned(p)
		}
		name := fmt.Sprintf("trial %d: %v, %+v, %+v", trial, family, pen, o)
		path, err := Fit(context.Background(), p, pen, o)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, pt := range path.Points {
			s := spell(p, pen, o, path, pt)
			primal := s.objective()
			if math.Abs(primal-pt.Objective) > 1e-12*(1+math.Abs(primal)) {
				t.Errorf("%s: λ = %v: objective %v, recomputed %v", name, pt.Lambda, pt.Objective, primal)
			}
			if !pt.Converged {
				t.Errorf("%s: λ = %v: gap %v", name, pt.Lambda, pt.Gap)
			}
			if gap := primal - s.dual(t); !(math.Abs(gap) < 2e-10*math.Abs(primal)+1e-12) {
				t.Errorf("%s: λ = %v: recomputed gap %v of %v, certified %v", name, pt.Lambda, gap, primal, pt.Gap)
			}
		}
		if !path.Checks.Concave || !path.Checks.Monotone {
			t.Errorf("%s: %+v", name, path.Checks)
		}
	}
}

// TestGeneralizedReference: no descent gets lower, and from 0 it arrives at the same
// coefficients.
func TestGeneralizedReference(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, family := range generalizedFamilies {
		p := drawn(r, family, 40, 4)
		pen, o := Penalty{Alpha: 0.8}, Options{Intercept: true, Standardize: true, Count: 3, MinRatio: 0.1}
		path, err := Fit(context.Background(), p, pen, o)
		if err != nil {
			t.Fatal(err)
		}
		for _, pt := range path.Points[1:] {
			want := spell(p, pen, o, path, pt)
			got := spell(p, pen, o, path, Point{Lambda: pt.Lambda, Intercept: make([]float64, path.Responses)})
			got.descent(3000)
			for k := range got.theta {
				for j, x := range got.theta[k] {
					if math.Abs(x-want.theta[k][j]) > 1e-5 {
						t.Errorf("%v, λ = %v, coefficient %d of response %d: %v, by descent %v", family, pt.Lambda, j, k, want.theta[k][j], x)
					}
				}
			}
			if got.objective() < pt.Objective-1e-10*math.Abs(pt.Objective) {
				t.Errorf("%v, λ = %v: objective %v, by descent %v", family, pt.Lambda, pt.Objective, got.objective())
			}
		}
	}
}

// TestLogisticOracles are THEORY's oracles 9 and 30.
func TestLogisticOracles(t *testing.T) {
	// Oracle 9: Σ log(1+e^{−m}) + λ‖w‖² on margin vectors (1,2), (3,−1); labels 1 and,
	// mirrored, 0. Its λ is n/2 of ours: the loss here is a mean, the penalty ½‖w‖².
	x, _ := NewDense(2, 2, []float64{1, -3, 2, 1})
	p := Problem{X: x, Y: []float64{1, 0}, Family: Binomial}
	path, err := Fit(context.Background(), p, Penalty{}, Options{Lambdas: []float64{1e6, 1, 1e-6}})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range [][]float64{{1e-6, 0.25e-6}, {0.4813754, 0.1873801}, {5.4862774, 3.4133296}} {
		for j, w := range want {
			if got := path.Points[i].Value[j]; math.Abs(got-w) > 2e-6*w {
				t.Errorf("λ = %v: got %v, want %v", path.Points[i].Lambda, path.Points[i].Value, want)
			}
		}
	}
	// Oracle 30: y x ∈ {(1,0), (0,1), (−1,−1)} cancel: θ = 0 is best for every λ.
	x, _ = NewDense(3, 2, []float64{1, 0, -1, 0, 1, -1})
	for _, alpha := range []float64{0, 0.5, 1} {
		_, err = Fit(context.Background(), Problem{X: x, Y: []float64{1, 1, 1}, Family: Binomial}, Penalty{Alpha: alpha}, Options{Lambdas: []float64{1, 0}})
		if err == nil {
			t.Fatal("one class only: got no error")
		}
	}
	x, _ = NewDense(3, 2, []float64{1, 0, 1, 0, 1, 1})
	path, err = Fit(context.Background(), Problem{X: x, Y: []float64{1, 1, 0}, Family: Binomial}, Penalty{Alpha: 1}, Options{Lambdas: []float64{1, 0.01, 0}})
	if err != nil {
		t.Fatal(err)
	}
	for _, pt := range path.Points {
		if len(pt.Index) != 0 || math.Abs(pt.Loss-math.Ln2) > 1e-15 || pt.Gap != 0 {
			t.Errorf("λ = %v: got coefficients %v, loss %v, gap %v, want none, log 2, 0", pt.Lambda, pt.Value, pt.Loss, pt.Gap)
		}
	}
}

// same compares paths of two problems, coefficient i of one being that of turn(i) of
// the other.
func samePaths(t *testing.T, name string, a, b *Path, turn func(i int) (int, float64), tolerance float64) {
	t.Helper()
	for at, pa := range a.Points {
		pb := b.Points[at]
		dense := make([]float64, a.Features*a.Responses)
		for i, j := range pb.Index {
			dense[j] = pb.Value[i]
		}
		for i, j := range pa.Index {
			to, sign := turn(j)
			if math.Abs(pa.Value[i]-sign*dense[to]) > tolerance {
				t.Errorf("%s: λ = %v: coefficient %d: %v and %v", name, pa.Lambda, j, pa.Value[i], sign*dense[to])
			}
			dense[to] = 0
		}
		if n1, _ := norms(dense); n1 > tolerance {
			t.Errorf("%s: λ = %v: coefficients left over: %v", name, pa.Lambda, n1)
		}
	}
}

// TestGeneralizedMetamorphic: what must not change a path does not.
func TestGeneralizedMetamorphic(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	o := DefaultOptions()
	o.Count, o.MinRatio = 20, 0.02
	same := func(i int) (int, float64) { return i, 1 }
	const tolerance = 2e-5 // a gap of 1e-10 leaves coefficients √1e-10 of freedom
	for _, family := range generalizedFamilies {
		p := drawn(r, family, 60, 12)
		fit := func(p Problem, o Options) *Path {
			path, err := Fit(context.Background(), p, Penalty{Alpha: 1}, o)
			if err != nil {
				t.Fatal(err)
			}
			return path
		}
		base := fit(p, o)
		samePaths(t, "compressed", base, fit(thinned(p), o), same, tolerance)

		doubled := p
		n := p.X.rows
		var x []float64
		for j := range p.X.cols {
			x = append(append(x, p.X.column(j)...), p.X.column(j)[:n/2]...)
		}
		doubled.X, _ = NewDense(n+n/2, p.X.cols, x)
		doubled.Y = append(slices.Clone(p.Y), p.Y[:n/2]...)
		weighted := p
		weighted.Weights = make([]float64, n)
		for i := range weighted.Weights {
			weighted.Weights[i] = 1
			if i < n/2 {
				weighted.Weights[i] = 2
			}
		}
		samePaths(t, "repeated rows", fit(doubled, o), fit(weighted, o), same, tolerance)

		permuted := p
		x = nil
		for j := range p.X.cols {
			x = append(x, p.X.column(p.X.cols-1-j)...)
		}
		permuted.X, _ = NewDense(n, p.X.cols, x)
		turn := func(i int) (int, float64) { return i/p.X.cols*p.X.cols + p.X.cols - 1 - i%p.X.cols, 1 }
		samePaths(t, "permuted columns", base, fit(permuted, o), turn, tolerance)

		if family == Binomial {
			swapped := p
			swapped.Y = slices.Clone(p.Y)
			for i := range swapped.Y {
				swapped.Y[i] = 1 - swapped.Y[i]
			}
			samePaths(t, "labels swapped", base, fit(swapped, o), func(i int) (int, float64) { return i, -1 }, tolerance)
		}

		twice := p
		twice.X, _ = NewDense(n, 2*p.X.cols, append(slices.Clone(p.X.dense), p.X.dense...))
		both := fit(twice, o)
		for i, pt := range both.Points {
			if math.Abs(pt.Objective-base.Points[i].Objective) > 3e-10*math.Abs(pt.Objective) || !pt.Converged {
				t.Errorf("%v: duplicated columns: λ = %v: objective %v, want %v, gap %v", family, pt.Lambda, pt.Objective, base.Points[i].Objective, pt.Gap)
			}
		}

		threaded := o
		pool := kernel.NewPool(2, kernel.Best())
		threaded.Pool = pool
		for i, pt := range fit(p, threaded).Points {
			if want := base.Points[i]; pt.Objective != want.Objective || !slices.Equal(pt.Value, want.Value) || pt.Gap != want.Gap {
				t.Errorf("%v: two threads: λ = %v: got %v, with one %v", family, pt.Lambda, pt.Value, want.Value)
			}
		}
		pool.Close()
	}
}

// TestSeparable: on separable data a path exists for λ > 0, and λ = 0 ends.
func TestGeneralizedSeparable(t *testing.T) {
	x, _ := NewDense(6, 1, []float64{-3, -2, -1, 1, 2, 3})
	p := Problem{X: x, Y: []float64{0, 0, 0, 1, 1, 1}, Family: Binomial}
	for _, alpha := range []float64{0, 0.5, 1} {
		path, err := Fit(context.Background(), p, Penalty{Alpha: alpha}, Options{Intercept: true, Lambdas: []float64{0.1, 1e-3, 1e-6, 0}})
		if err != nil {
			t.Fatal(err)
		}
		for i, pt := range path.Points {
			if want := pt.Lambda > 0; pt.Converged != want {
				t.Errorf("alpha %v, λ = %v: converged %v, gap %v", alpha, pt.Lambda, pt.Converged, pt.Gap)
			}
			if i > 0 && pt.Loss >= path.Points[i-1].Loss {
				t.Errorf("alpha %v: loss %v after %v", alpha, pt.Loss, path.Points[i-1].Loss)
			}
		}
	}
	if _, err := Fit(context.Background(), p, Penalty{Alpha: 1, Factors: []float64{0}}, DefaultOptions()); !errors.Is(err, ErrNoMinimiser) {
		t.Errorf("separable by a column without penalty: got %v, want %v", err, ErrNoMinimiser)
	}
}

// TestGeneralizedUnpenalised: λ = 0 on data that are not separable is maximum
// likelihood.
func TestGeneralizedUnpenalised(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for _, family := range generalizedFamilies {
		p := drawn(r, family, 200, 3)
		path, err := Fit(context.Background(), p, Penalty{Alpha: 1}, Options{Intercept: true, Lambdas: []float64{0}})
		if err != nil {
			t.Fatal(err)
		}
		if pt := path.Points[0]; !pt.Converged || pt.KKT > 1e-9 {
			t.Errorf("%v: gap %v, KKT %v", family, pt.Gap, pt.KKT)
		}
	}
}

// TestPoissonTargets: counts that are all 0 have no intercept; one huge count is
// followed.
func TestPoissonTargets(t *testing.T) {
	x, _ := NewDense(4, 1, []float64{1, 2, 3, 5})
	if _, err := Fit(context.Background(), Problem{X: x, Y: make([]float64, 4), Family: Poisson}, Penalty{Alpha: 1}, DefaultOptions()); !errors.Is(err, ErrNoMinimiser) {
		t.Errorf("counts of 0: got %v, want %v", err, ErrNoMinimiser)
	}
	for _, o := range []Options{DefaultOptions(), {}} {
		path, err := Fit(context.Background(), Problem{X: x, Y: []float64{0, 0, 1, 1e9}, Family: Poisson}, Penalty{Alpha: 1}, o)
		if err != nil {
			t.Fatal(err)
		}
		for _, pt := range path.Points {
			if !pt.Converged {
				t.Errorf("one huge count: %+v: λ = %v: gap %v", o, pt.Lambda, pt.Gap)
			}
		}
	}
}
