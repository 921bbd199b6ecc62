package compactify

import (
	"cmp"
	"math"
	"slices"
)

// Minimiser is a point of a path of penalties, with the claim that its parameters
// minimise L + λR over all parameters. Points with Given set claim nothing, but may
// refute the claims of others.
type Minimiser struct {
	Lambda  float64 // λ ≥ 0; +Inf at the end of the path
	Loss    float64 // L, without the penalty
	Penalty float64 // R ≥ 0, without λ
	Given   bool
	// Within is how far above the minimum L + λR may be by the claim itself, ≥ 0.
	Within float64
}

// value is L + λR of these parameters at another λ; 0·∞ counts as 0.
func (m Minimiser) value(lambda float64) float64 {
	if m.Penalty == 0 {
		return m.Loss
	}
	return m.Loss + lambda*m.Penalty
}

// Beaten is the proof that a point is not the global minimiser: other parameters have
// a smaller L + λR at its λ. It is replayed by evaluating both once more.
type Beaten struct {
	Point, By int     // indices of the points; By has the smallest value of all
	Gap       float64 // by how much, > 0
}

// Minimality is what a path of penalties shows of its claims.
//
// Global minimisers θ_λ of L + λR have for λ₁ < λ₂
//
//	L(θ₁) + λ₁R(θ₁) ≤ L(θ₂) + λ₁R(θ₂)   and   L(θ₂) + λ₂R(θ₂) ≤ L(θ₁) + λ₂R(θ₁).
//
// Their sum says that R does not rise with λ, and then L does not fall; and that the
// chord of v(λ) = L(θ_λ) + λR(θ_λ) from λ₁ to λ₂ has a slope between R(θ₂) and R(θ₁),
// so that v is concave with v′ = R. Where any of that fails, one of the two
// inequalities does, and so some point is Beaten. (THEORY row 11.)
type Minimality struct {
	Monotone bool     // R does not rise and L does not fall along the claims
	Concave  bool     // the chords of v have slopes between neighbouring R and in descending order
	Beaten   []Beaten // every claim that some point disproves, in ascending λ
	Slack    float64  // differences of loss up to this are rounding
}

// CheckMinimality looks for points that are not what they claim to be. relative is
// the relative error of the losses, 0 meaning 1e-12; differences up to relative times
// the largest |L|, and those that a claim allows, count as none. Points that are not
// finite claim nothing.
func CheckMinimality(points []Minimiser, relative float64) Minimality {
	if relative <= 0 {
		relative = 1e-12
	}
	order := make([]int, 0, len(points))
	largest := 0.0
	for i, m := range points {
		if finite(m.Loss) && finite(m.Penalty) && m.Lambda >= 0 {
			order = append(order, i)
			largest = max(largest, math.Abs(m.Loss))
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(points[a].Lambda, points[b].Lambda) })
	r := Minimality{Monotone: true, Concave: true, Slack: relative * largest}
	lowest := envelope(points, order)
	var claims []Minimiser
	for _, i := range order {
		m := points[i]
		if m.Given || math.IsInf(m.Lambda, 1) {
			continue
		}
		claims = append(claims, m)
		for len(lowest) > 1 && points[lowest[1]].value(m.Lambda) <= points[lowest[0]].value(m.Lambda) {
			lowest = lowest[1:]
		}
		best := lowest[0]
		if gap := m.value(m.Lambda) - points[best].value(m.Lambda); gap > r.Slack+m.Within {
			r.Beaten = append(r.Beaten, Beaten{Point: i, By: best, Gap: gap})
		}
	}
	r.Monotone, r.Concave = monotone(claims, r.Slack), concave(claims, r.Slack)
	return r
}

// envelope lists the points whose line L + λR is the lowest of all at some λ ≥ 0, or
// might be, in the ascending order of these λ, which is the descending order of R.
func envelope(points []Minimiser, order []int) []int {
	lines := slices.Clone(order)
	slices.SortStableFunc(lines, func(a, b int) int {
		return cmp.Or(cmp.Compare(points[b].Penalty, points[a].Penalty), cmp.Compare(points[a].Loss, points[b].Loss))
	})
	// from is the λ from which on line b, of the smaller R, is below line a.
	from := func(a, b int) float64 {
		return (points[b].Loss - points[a].Loss) / (points[a].Penalty - points[b].Penalty)
	}
	var hull []int
	for _, i := range lines {
		if n := len(hull); n > 0 && points[hull[n-1]].Penalty == points[i].Penalty {
			continue
		}
		for n := len(hull); n > 1 && from(hull[n-1], i) < from(hull[n-2], hull[n-1]); n = len(hull) {
			hull = hull[:n-1]
		}
		hull = append(hull, i)
	}
	return hull
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// monotone: R does not rise, by more than the claims and losses that are off by the
// slack would let it, and L does not fall, for ascending λ.
func monotone(claims []Minimiser, slack float64) bool {
	for i := 1; i < len(claims); i++ {
		a, b := claims[i-1], claims[i]
		step := b.Lambda - a.Lambda
		offA, offB := slack+a.Within, slack+b.Within
		// From both inequalities, each off by that much.
		if step*(b.Penalty-a.Penalty) > offA+offB || step*(a.Loss-b.Loss) > b.Lambda*offA+a.Lambda*offB {
			return false
		}
	}
	return true
}

// concave: over every step of λ the rise of v is between R at its end and R at its
// beginning times the step, and the slopes of successive chords descend.
func concave(claims []Minimiser, slack float64) bool {
	for i := 1; i < len(claims); i++ {
		a, b := claims[i-1], claims[i]
		step, rise := b.Lambda-a.Lambda, b.value(b.Lambda)-a.value(a.Lambda)
		if rise > a.Penalty*step+slack+b.Within || rise < b.Penalty*step-slack-a.Within {
			return false
		}
		if i < 2 {
			continue
		}
		before := claims[i-2]
		width := a.Lambda - before.Lambda
		// The second difference, times both widths; each v is too large by its claim, and
		// off by the slack, at most.
		second := rise*width - (a.value(a.Lambda)-before.value(before.Lambda))*step
		if second > 2*slack*(width+step)+b.Within*width+before.Within*step {
			return false
		}
	}
	return true
}

// CheckNested is [CheckMinimality] for a constraint instead of a penalty: Lambda is the
// radius c of a ball, Penalty the norm that it bounds, and a point claims to minimise L
// over all parameters inside. A point is beaten by one with a smaller loss whose norm is
// at most its c. Where none is, L does not rise with c. Beaten is in descending c;
// Concave says nothing.
func CheckNested(points []Minimiser, relative float64) Minimality {
	r := Minimality{Monotone: true}
	largest := 0.0
	for _, m := range points {
		if finite(m.Loss) {
			largest = max(largest, math.Abs(m.Loss))
		}
	}
	r.Slack = relative * largest
	order := make([]int, len(points))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(points[b].Lambda, points[a].Lambda) })
	last := math.Inf(-1)
	for _, i := range order {
		m := points[i]
		if m.Given || !finite(m.Loss) {
			continue
		}
		best := i
		for j, other := range points {
			if other.Penalty <= m.Lambda && other.Loss < points[best].Loss {
				best = j
			}
		}
		if gap := m.Loss - points[best].Loss; gap > r.Slack {
			r.Beaten = append(r.Beaten, Beaten{Point: i, By: best, Gap: gap})
		}
		r.Monotone = r.Monotone && last-m.Loss <= r.Slack
		last = max(last, m.Loss)
	}
	return r
}
