package linear

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// TestGroupsOrthonormal: where XᵀX/n = I every group shrinks towards 0 on its own,
// θ_g = (1 − λw_g/‖c_g‖)₊ c_g; λ_max is max ‖c_g‖/w_g (THEORY row 5) and 0 from there on.
func TestGroupsOrthonormal(t *testing.T) {
	const n = 4 // Hadamard matrix
	x, _ := NewDense(n, 4, []float64{1, 1, 1, 1, 1, -1, 1, -1, 1, 1, -1, -1, 1, -1, -1, 1})
	y := []float64{3, -1, 2, 5}
	c := make([]float64, 4)
	for j := range c {
		for i, v := range x.column(j) {
			c[j] += v * y[i] / n
		}
	}
	penalty := Penalty{Alpha: 1, Groups: []int{0, 1, 1, 0}, GroupFactors: []float64{1, 0.5}}
	path := fit(t, Problem{X: x, Y: y}, penalty, Options{MinRatio: 0.01})
	most := 0.0
	for g, w := range []float64{math.Sqrt2, math.Sqrt2 / 2} {
		members := [][]int{{0, 3}, {1, 2}}[g]
		size := math.Hypot(c[members[0]], c[members[1]])
		most = max(most, size/w)
		for i, p := range path.Points {
			theta := path.dense(i)
			for _, j := range members {
				if want := max(0, 1-p.Lambda*w/size) * c[j]; math.Abs(theta[j]-want) > 1e-14*size {
					t.Errorf("λ = %v: coefficient %d: got %v, want %v", p.Lambda, j, theta[j], want)
				}
			}
		}
	}
	if math.Abs(path.LambdaMax-most) > 1e-15*most {
		t.Errorf("λ_max: got %v, want %v", path.LambdaMax, most)
	}
	if p := path.Points[0]; len(p.Index) != 0 || p.Gap != 0 {
		t.Errorf("at λ_max: got %+v, want nothing", p)
	}
}

// slowGroups minimises by proximal gradient steps on centred, scaled copies.
func slowGroups(problem Problem, penalty Penalty, path *Path, lambda float64, steps int) []float64 {
	n, p := problem.X.rows, problem.X.cols
	weights, _ := normalized(problem.Weights, n)
	x := make([]float64, n*p)
	bound := 0.0
	for j := range p {
		for i, v := range problem.X.column(j) {
			x[j*n+i] = (v - path.Center[j]) / path.Scale[j]
			bound += weights[i] * x[j*n+i] * x[j*n+i]
		}
	}
	theta := make([]float64, p)
	factor := make([]float64, p)
	for _, g := range penalty.Groups {
		factor[g]++
	}
	for g := range factor {
		factor[g] = math.Sqrt(factor[g])
		if penalty.GroupFactors != nil && g < len(penalty.GroupFactors) {
			factor[g] *= penalty.GroupFactors[g]
		}
	}
	look, momentum, before := make([]float64, p), 1.0, make([]float64, p)
	for range steps {
		r, mean := make([]float64, n), 0.0
		for i := range r {
			r[i] = problem.Y[i]
			if problem.Offset != nil {
				r[i] -= problem.Offset[i]
			}
			for j := range p {
				r[i] -= x[j*n+i] * look[j]
			}
			mean += weights[i] * r[i]
		}
		squares := make([]float64, p)
		for j := range p {
			g := 0.0
			for i := range r {
				g += weights[i] * x[j*n+i] * (r[i] - mean)
			}
			theta[j] = look[j] + g/bound
			squares[penalty.Groups[j]] += theta[j] * theta[j]
		}
		next := (1 + math.Sqrt(1+4*momentum*momentum)) / 2
		for j := range p {
			w := factor[penalty.Groups[j]] * lambda / bound
			theta[j] *= max(0, 1-w*penalty.Alpha/math.Sqrt(squares[penalty.Groups[j]])) / (1 + w*(1-penalty.Alpha))
			if math.IsNaN(theta[j]) {
				theta[j] = 0
			}
			look[j] = theta[j] + (momentum-1)/next*(theta[j]-before[j])
			before[j] = theta[j]
		}
		momentum = next
	}
	for j := range theta {
		theta[j] /= path.Scale[j]
	}
	return theta
}

// TestGroups compares with many steps of the proximal gradient method, and certifies
// every point.
func TestGroups(t *testing.T) {
	for _, c := range []struct {
		n, p, groups int
		alpha        float64
		weighted     bool
		free         bool
	}{
		{40, 12, 4, 1, false, false}, {40, 12, 4, 0.5, true, false}, {20, 30, 10, 1, true, true},
		{10, 40, 3, 1, false, false}, {30, 8, 8, 0.7, false, true}, {30, 8, 1, 1, true, false}, {25, 6, 2, 0, true, false},
	} {
		name := fmt.Sprintf("%+v", c)
		problem := random(11, c.n, c.p, c.weighted)
		penalty := Penalty{Alpha: c.alpha, Groups: make([]int, c.p)}
		r := rand.New(rand.NewPCG(1, 2))
		for j := range penalty.Groups {
			penalty.Groups[j] = r.IntN(c.groups)
			if j < c.groups {
				penalty.Groups[j] = j
			}
		}
		if c.free {
			penalty.GroupFactors = make([]float64, c.groups)
			for g := range penalty.GroupFactors {
				penalty.GroupFactors[g] = float64(min(g, 2))
			}
		}
		o := DefaultOptions()
		o.MinRatio = 1e-3
		path := fit(t, problem, penalty, o)
		for i, p := range path.Points {
			if !p.Converged {
				t.Errorf("%s: point %d: gap %v", name, i, p.Gap)
			}
		}
		if m := path.Checks; !m.Monotone || !m.Concave || len(m.Beaten) > 0 {
			t.Errorf("%s: path: %+v", name, m)
		}
		const at = 40
		point := path.Points[at]
		want := slowGroups(problem, penalty, path, point.Lambda, 30000)
		for j, v := range path.dense(at) {
			if math.Abs(v-want[j])*path.Scale[j] > 2e-5*(1+point.norm2()) {
				t.Errorf("%s: coefficient %d at λ = %v: got %v, want %v", name, j, point.Lambda, v, want[j])
			}
		}
		problem.X = compressed(t, problem.X)
		again := fit(t, problem, penalty, o)
		if a, b := path.dense(at), again.dense(at); !near(a, b, 1e-4*(1+point.norm2())) {
			t.Errorf("%s: compressed: got %v, want %v", name, b, a)
		}
	}
}

// TestGroupsEnds: λ at which the first group leaves 0, and where all are at λ = 0.
func TestGroupsEnds(t *testing.T) {
	problem := random(3, 20, 6, true)
	penalty := Penalty{Alpha: 1, Groups: []int{0, 0, 0, 1, 1, 1}}
	path := fit(t, problem, penalty, DefaultOptions())
	o := DefaultOptions()
	o.Lambdas = []float64{path.LambdaMax * (1 + 1e-9), path.LambdaMax * (1 - 1e-4), 0}
	ends := fit(t, problem, penalty, o)
	if n := len(ends.Points[0].Index); n != 0 {
		t.Errorf("just above λ_max: %d coefficients, want none", n)
	}
	if n := len(ends.Points[1].Index); n != 3 {
		t.Errorf("just below λ_max: %d coefficients, want one group of 3", n)
	}
	ridge := fit(t, problem, Penalty{}, o)
	if a, b := ends.dense(2), ridge.dense(2); !near(a, b, 1e-12*(1+ridge.Points[2].norm2())) {
		t.Errorf("λ = 0: got %v, want least squares %v", a, b)
	}
	if m := ends.Checks; !m.Monotone || !m.Concave {
		t.Errorf("path: %+v", m)
	}
}

// TestGroupStep holds the closed step against its optimality condition.
func TestGroupStep(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for range 1000 {
		b := basis{square: []float64{math.Exp(8 * r.NormFloat64()), math.Exp(8 * r.NormFloat64()), 1}}
		c := []float64{r.NormFloat64(), r.NormFloat64(), r.NormFloat64()}
		_, size := norms(c)
		a, d := size*math.Exp(-5*r.ExpFloat64()), math.Exp(3*r.NormFloat64())-1
		d = max(0, d)
		u := append([]float64(nil), c...)
		b.step(u, a, d)
		_, norm := norms(u)
		for i := range u {
			if off := (b.square[i]+d)*u[i] + a*u[i]/norm - c[i]; math.Abs(off) > 1e-12*size {
				t.Errorf("%+v, c = %v, a = %v, d = %v: off by %v", b, c, a, d, off)
			}
		}
	}
}
