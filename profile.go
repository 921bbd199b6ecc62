package compactify

import (
	"cmp"
	"math"
	"slices"
)

// Point is one measured model of a path.
type Point struct {
	T      float64
	Param  float64 // the path's natural parameter at T; NaN if it has none
	Digest string  // hash of the model's parameters: equal for equal models
	Measure
}

// Profile is what was measured along a path: the points in ascending t, the
// first at t=0.
type Profile struct {
	Kind   string
	Points []Point
	Limit  Limit
}

// Limit compares the loss on the way to t=1 with the loss there. That the two
// agree is a claim, not a matter of course.
type Limit struct {
	Left     float64 // loss of the last model measured before t=1
	LeftT    float64 // where that was
	At       float64 // loss of the boundary model
	Boundary Boundary
	Verdict  Verdict // of continuity at t=1
}

// Original is the measure at t=0. The profile must hold a point.
func (p Profile) Original() Measure { return p.Points[0].Measure }

// Furthest returns the largest t at which the budget was measured to hold, with
// the bracket [in, out): the budget holds at in, and out is the next measured t,
// at which it does not. Where it holds at the last measured t, which is 1 unless
// the walk ended early, out is 1. A gap of failing points before t does not
// matter. ok is false if the budget holds nowhere.
func (p Profile) Furthest(b Budget) (t float64, bracket [2]float64, ok bool) {
	for i := len(p.Points) - 1; i >= 0; i-- {
		if !b.Holds(p.Original(), p.Points[i].Measure) {
			continue
		}
		t = p.Points[i].T
		bracket = [2]float64{t, 1}
		if i+1 < len(p.Points) {
			bracket[1] = p.Points[i+1].T
		}
		return t, bracket, true
	}
	return 0, [2]float64{}, false
}

// Horizon is the largest measured t up to which the budget holds at every
// measured point: the end of the first feasible stretch. It is NaN if the budget
// does not hold at the first point either, as for a metric that is NaN.
func (p Profile) Horizon(b Budget) float64 {
	h := math.NaN()
	for _, q := range p.Points {
		if !b.Holds(p.Original(), q.Measure) {
			break
		}
		h = q.T
	}
	return h
}

// Arrival is the smallest measured t from which on every measured model equals
// the one at t=1; NaN if t=1 was not measured.
func (p Profile) Arrival() float64 {
	n := len(p.Points)
	if n == 0 || p.Points[n-1].T != 1 {
		return math.NaN()
	}
	t := 1.0
	for i := n - 2; i >= 0 && p.Points[i].Digest == p.Points[n-1].Digest; i-- {
		t = p.Points[i].T
	}
	return t
}

// Jump is a change of the loss between two neighbouring measured points.
type Jump struct {
	From, To float64 // t
	Rise     float64 // loss at To minus loss at From
}

// Jumps lists the rises and falls of the loss between neighbours that exceed a
// threshold in size, largest first.
func (p Profile) Jumps(threshold float64) []Jump {
	var jumps []Jump
	for i := 1; i < len(p.Points); i++ {
		rise := p.Points[i].Loss - p.Points[i-1].Loss
		if math.Abs(rise) > threshold {
			jumps = append(jumps, Jump{p.Points[i-1].T, p.Points[i].T, rise})
		}
	}
	slices.SortStableFunc(jumps, func(a, b Jump) int { return cmp.Compare(math.Abs(b.Rise), math.Abs(a.Rise)) })
	return jumps
}

// insert adds a point in ascending order of t.
func (p *Profile) insert(q Point) {
	i, found := slices.BinarySearchFunc(p.Points, q.T, func(r Point, t float64) int { return cmp.Compare(r.T, t) })
	if found {
		p.Points[i] = q
		return
	}
	p.Points = slices.Insert(p.Points, i, q)
}
