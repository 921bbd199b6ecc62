package linear

import (
	"math"
	"slices"

	"github.com/compactify/compactify/internal/algebra"
	"github.com/compactify/compactify/internal/kernel"
)

// floatLasso is a lasso in double precision.
type floatLasso struct {
	*task
	target   []float64 // less offsets, and its mean if there is an intercept
	mean     float64
	floor    float64 // below this λ there is nothing but rounding
	now      float64 // λ at which the next line begins
	least    float64 // λ at which to stop
	nullLoss float64
	active   activeFactor
}

const (
	// tieTolerance is the relative difference of two λ, or of two rates of change, that
	// may be rounding.
	tieTolerance = 1e-11
	// nothingLeft is the share of λ_max below which the path is not followed.
	nothingLeft = 0x1p-40
	// noise is the error of a correlation as a share of the norms of both vectors.
	noise = 0x1p-48
)

func newFloatLasso(t *task, least float64) *floatLasso {
	m := &floatLasso{task: t, least: least, now: math.Inf(1), target: slices.Clone(t.y)}
	m.active = activeFactor{m: m, factor: algebra.Factor{Set: t.set}, columns: map[int]activeColumn{}}
	for i, o := range t.offset {
		m.target[i] -= o
	}
	if !t.intercept {
		return m
	}
	for i, w := range t.weights {
		m.mean += w * m.target[i]
	}
	for i := range m.target {
		m.target[i] -= m.mean
	}
	return m
}

// floatLine is a line of a float lasso: θ = a − λb, c = p + λq.
type floatLine struct {
	m        *floatLasso
	members  []member
	a, b     []float64
	p, q     []float64 // nil once the lower end is known, and what follows, too
	rest     []float64 // the residual y − X̃a
	fit      []float64 // X̃b, such that the residual at λ is rest + λ·fit
	top, low float64
	end      Breakpoint
}

// penalised reports whether a column can be in or out.
func (m *floatLasso) penalised(j int) bool {
	return m.task.factor[j] > 0 && !math.IsInf(m.task.factor[j], 1)
}

func (m *floatLasso) null() (line, error) {
	var support []member
	for j, f := range m.task.factor {
		if f != 0 {
			continue
		}
		// One that depends on those before adds nothing.
		with := append(slices.Clone(support), member{column: j})
		if err := m.active.set(with); err == nil {
			support = with
		}
	}
	made, err := m.line(support)
	if err != nil {
		return nil, err
	}
	l := made.(*floatLine)
	for i, r := range l.rest {
		m.nullLoss += m.weights[i] * r * r / 2
	}
	m.floor = m.lost(l.p)
	return l, nil
}

// lost is the λ below which correlations are rounding, c being those of the model
// without penalised columns: a share of the largest, and what the products of columns
// and targets as they are, means included, leave of their last digits.
func (m *floatLasso) lost(c []float64) float64 {
	target, floor := 0.0, 0.0
	for i, y := range m.target {
		target += m.weights[i] * (y + m.mean) * (y + m.mean)
	}
	for j := range c {
		if !m.penalised(j) {
			continue
		}
		floor = max(floor, nothingLeft*math.Abs(c[j])/m.task.factor[j],
			noise*math.Hypot(math.Sqrt(m.squares[j]), m.center[j]/m.scale[j])*math.Sqrt(target)/m.task.factor[j])
	}
	return floor
}

// line solves for a and b, each refined by its residual over the examples until that
// changes little, so that the error is that of the columns rather than of their Gram
// matrix.
func (m *floatLasso) line(support []member) (line, error) {
	if err := m.active.set(support); err != nil {
		return nil, err
	}
	size := len(support)
	l := &floatLine{m: m, members: support, top: m.now, a: make([]float64, size), b: make([]float64, size)}
	for k, a := range support {
		l.a[k] = m.active.columns[a.column].target
		l.b[k] = float64(a.sign) * m.task.factor[a.column]
	}
	slope := slices.Clone(l.b)
	m.active.solve(support, l.a)
	m.active.solve(support, l.b)
	const (
		refinements = 4
		little      = 1e-12
	)
	c, d := make([]float64, size), make([]float64, size)
	for range refinements {
		rest, fit := m.weighted(m.residual(support, l.a)), m.weighted(m.fitted(support, l.b))
		for k, a := range support {
			x := m.active.columns[a.column].x
			c[k], d[k] = kernel.Dot64(m.set, x, rest), slope[k]-kernel.Dot64(m.set, x, fit)
		}
		m.active.solve(support, c)
		m.active.solve(support, d)
		if max(correct(l.a, c), correct(l.b, d)) <= little {
			break
		}
	}
	l.rest, l.fit = m.residual(support, l.a), m.fitted(support, l.b)
	l.p, l.q = m.correlations(l.rest, l.fit)
	return l, nil
}

// correct adds d to v and returns how large it is against it.
func correct(v, d []float64) float64 {
	change, size := 0.0, 0.0
	for k := range v {
		v[k] += d[k]
		change, size = max(change, math.Abs(d[k])), max(size, math.Abs(v[k]))
	}
	if change == 0 {
		return 0
	}
	return change / size
}

// fitted is Σ_k v_k x̃_k over a support.
func (m *floatLasso) fitted(support []member, v []float64) []float64 {
	out := make([]float64, m.rows)
	for k, a := range support {
		kernel.Axpy64(m.set, out, v[k], m.active.columns[a.column].x)
	}
	return out
}

func (m *floatLasso) residual(support []member, v []float64) []float64 {
	out := m.fitted(support, v)
	for i := range out {
		out[i] = m.target[i] - out[i]
	}
	return out
}

func (m *floatLasso) weighted(v []float64) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = m.weights[i] * x
	}
	return out
}

// correlations are X̃ᵀWu and X̃ᵀWv.
func (m *floatLasso) correlations(u, v []float64) (p, q []float64) {
	p, q = make([]float64, m.cols), make([]float64, m.cols)
	u, v = m.weighted(u), m.weighted(v)
	sums := make([]float64, 2)
	for i := range u {
		sums[0] += u[i]
		sums[1] += v[i]
	}
	m.correlate([][]float64{p, q}, nil, [][]float64{u, v}, sums)
	return p, q
}

func (l *floatLine) support() []member { return l.members }

func (l *floatLine) heads(k int) int {
	largest := 0.0
	for _, b := range l.b {
		largest = max(largest, math.Abs(b))
	}
	return signOf(float64(l.members[k].sign)*l.b[k], tieTolerance*largest)
}

func (l *floatLine) slack(m member) int {
	f, q := l.m.task.factor[m.column], float64(m.sign)*l.q[m.column]
	return signOf(q-f, tieTolerance*(f+math.Abs(q)))
}

// signOf is 0 for numbers within the tolerance.
func signOf(x, tolerance float64) int {
	switch {
	case x > tolerance:
		return 1
	case x < -tolerance:
		return -1
	}
	return 0
}

func (l *floatLine) descend(tied []member) (event, error) {
	low := 0.0
	l.crossings(tied, func(at float64, _ member, _ bool) { low = max(low, at) })
	low = min(low, l.top)
	e := event{end: low <= max(l.m.least, l.m.floor)}
	if e.end {
		low = l.m.least
		e.zeros = l.vanishing(low)
	} else {
		l.crossings(tied, func(at float64, who member, zero bool) {
			switch {
			case at < low*(1-tieTolerance):
			case zero:
				e.zeros = append(e.zeros, who)
			default:
				e.hits = append(e.hits, who)
			}
		})
	}
	for _, m := range tied {
		if !slices.ContainsFunc(l.members, func(a member) bool { return a.column == m.column }) && l.slack(m) == 0 {
			e.idle = append(e.idle, m)
		}
	}
	l.finish(low, e)
	return e, nil
}

// crossings visits every λ > 0 at which a coefficient becomes 0 or a correlation as
// large as allowed.
func (l *floatLine) crossings(tied []member, visit func(at float64, who member, zero bool)) {
	skip := make([]bool, len(l.p)) // neither side can be hit
	for k, m := range l.members {
		skip[m.column] = true
		if l.heads(k) < 0 && l.a[k]/l.b[k] > 0 {
			visit(l.a[k]/l.b[k], m, true)
		}
	}
	// Of a column that is tied the other side only.
	for _, m := range tied {
		if !skip[m.column] {
			skip[m.column] = true
			l.side(member{m.column, -m.sign}, visit)
		}
	}
	for j := range l.p {
		if !skip[j] && l.m.penalised(j) {
			l.side(member{j, 1}, visit)
			l.side(member{j, -1}, visit)
		}
	}
}

// side visits the λ at which s c_j = λf_j.
func (l *floatLine) side(m member, visit func(at float64, who member, zero bool)) {
	s := float64(m.sign)
	p, rate := s*l.p[m.column], l.m.task.factor[m.column]-s*l.q[m.column]
	if p > 0 && rate > 0 {
		visit(p/rate, m, false)
	}
}

// vanishing are the members whose part of the fit is rounding at λ.
func (l *floatLine) vanishing(lambda float64) (out []member) {
	theta, largest := l.theta(lambda), 0.0
	for k, a := range l.members {
		theta[k] = math.Abs(theta[k]) * math.Sqrt(l.m.squares[a.column])
		largest = max(largest, theta[k])
	}
	for k, a := range l.members {
		if a.sign != 0 && theta[k] <= tieTolerance*largest {
			out = append(out, a)
		}
	}
	return out
}

// finish makes the breakpoint and forgets what is long.
func (l *floatLine) finish(low float64, e event) {
	l.low, l.m.now = low, low
	kernel.Axpy64(l.m.set, l.p, low, l.q)
	kernel.Axpy64(l.m.set, l.rest, low, l.fit)
	l.end = Breakpoint{Point: l.point(low, l.rest, l.p, e.zeros)}
	l.p, l.q, l.rest, l.fit = nil, nil, nil, nil
}

func (l *floatLine) lower() Breakpoint { return l.end }

func (l *floatLine) reaches(lambda float64) bool { return lambda >= l.low }

func (l *floatLine) at(lambda float64) Point {
	rest := l.m.residual(l.members, l.theta(lambda))
	c, _ := l.m.correlations(rest, rest)
	return l.point(lambda, rest, c, nil)
}

func (l *floatLine) theta(lambda float64) []float64 {
	out := make([]float64, len(l.members))
	for k := range out {
		out[k] = l.a[k] - lambda*l.b[k]
	}
	return out
}

// point is the model at λ; rest is the residual and c the correlations there, zeros are
// coefficients that are 0 but for rounding.
func (l *floatLine) point(lambda float64, rest, c []float64, zeros []member) Point {
	m, theta := l.m, l.theta(lambda)
	for k, a := range l.members {
		// Beyond 0 by rounding, next to where the coefficient begins or ends.
		if a.sign != 0 && theta[k]*float64(a.sign) < 0 || slices.Contains(zeros, a) {
			theta[k] = 0
		}
	}
	f := fitted{lambda: lambda, intercept: []float64{m.mean}}
	for k, a := range l.members {
		if theta[k] != 0 {
			f.index, f.value = append(f.index, a.column), append(f.value, theta[k])
			f.penalty += m.task.factor[a.column] * math.Abs(theta[k])
		}
	}
	for i, r := range rest {
		f.loss += m.weights[i] * r * r / 2
	}
	f.gap, f.kkt = m.certificate(&f, c)
	return m.task.point(f, m.nullLoss)
}

// certificate bounds the gap by the dual point s·W·residual, s ≤ 1 such that it is
// feasible. Correlations that ought to be 0, of columns without a penalty and of all
// columns at λ = 0, are rounding of a solution refined by its residual, and taken to
// be 0.
func (m *floatLasso) certificate(f *fitted, c []float64) (gap, kkt float64) {
	share, theta := 1.0, make([]float64, len(c))
	for i, j := range f.index {
		theta[j] = f.value[i]
	}
	for j, v := range c {
		if math.IsInf(m.task.factor[j], 1) {
			continue
		}
		h := m.term(j, f.lambda)
		kkt = max(kkt, h.violation(theta[j], v))
		if h.a > 0 && math.Abs(v) > h.a {
			share = min(share, h.a/math.Abs(v))
		}
	}
	gap = (1 - share) * (1 - share) * f.loss
	for i, j := range f.index {
		if h := m.term(j, f.lambda); h.a > 0 {
			gap += max(0, h.a*math.Abs(f.value[i])-share*c[j]*f.value[i])
		}
	}
	return gap, kkt
}
