package certify

import (
	"context"
	"fmt"
	"math"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/train"
)

// alongPath is row 11.
func (j *judge) alongPath(ctx context.Context) (Claim, error) {
	c, ok := j.begin("the points of the path minimise L + λR: then R(θ_λ) does not rise, L(θ_λ) does not fall, and v(λ) = min(L + λR) is concave")
	if !ok {
		return c, nil
	}
	w := j.s.Walk
	if !c.suppose(w != nil && len(w.Claimed) > 0, "the folder holds points of a path that are said to be minimisers for several λ") {
		c.Verdict = compactify.NotApplicable
		return c, j.ridgeZeros(&c)
	}
	points, at, err := j.recomputed(ctx, &c)
	if err != nil {
		return c, err
	}
	r := compactify.CheckMinimality(points, lossTolerance)
	c.add("points", float64(len(points)))
	c.add("disproved", float64(len(r.Beaten)))
	c.add("slack", r.Slack)
	c.suppose(r.Monotone, "R does not rise and L does not fall with λ")
	c.suppose(r.Concave, "v is concave with slopes between neighbouring R")
	if c.Verdict == compactify.Refuted {
		return c, j.ridgeZeros(&c)
	}
	c.Verdict = compactify.Supported
	if len(r.Beaten) > 0 {
		j.beaten(&c, points, at, r.Beaten)
	} else {
		c.note("that the points are global minimisers is not proved: nothing contradicts it")
	}
	return c, j.ridgeZeros(&c)
}

// recomputed are the claimed points, with L and R as they come out again where their
// models are in the folder. at is the vector of those.
func (j *judge) recomputed(ctx context.Context, c *Claim) ([]compactify.Minimiser, [][]float64, error) {
	w := j.s.Walk
	points, at := make([]compactify.Minimiser, len(w.Claimed)), make([][]float64, len(w.Claimed))
	models, off := 0, 0
	for i, m := range w.Claimed {
		points[i] = compactify.Minimiser{Lambda: float64(m.Lambda), Loss: float64(m.Loss), Penalty: float64(m.Penalty), Given: m.Given}
		g := j.place(m)
		if g == nil {
			continue
		}
		f, err := train.NewObjective(g.Model, j.s.Set, train.ObjectiveOptions{Pool: j.o.Pool, Output: j.s.Output})
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", g.File, err)
		}
		var ok bool
		if at[i], ok = pointIn(f, j.whole.Blocks()); !ok {
			return nil, nil, fmt.Errorf("%s: its parameters are not those of %s", g.File, j.s.File)
		}
		models++
		loss, err := j.loss(ctx, g.File, at[i])
		if err != nil {
			return nil, nil, err
		}
		penalty := j.unitPenalty(at[i])
		if !agrees(loss, float64(m.Loss)) || math.Abs(penalty-float64(m.Penalty)) > consistent*(penalty+lossTolerance) {
			off++
			c.note("%s: recorded L = %.9g and R = %.9g; computed again %.9g and %.9g", g.File, float64(m.Loss), float64(m.Penalty), loss, penalty)
		}
		points[i].Loss, points[i].Penalty = loss, penalty
	}
	c.add("computed_again", float64(models))
	j.measured(c)
	if off > 0 {
		c.refute(resultFile, "%d of %d recorded points do not come out again", off, models)
	}
	return points, at, nil
}

// measured holds the norms of the measured points against the models that are kept of
// them.
func (j *judge) measured(c *Claim) {
	for _, m := range j.s.Walk.Claimed {
		g := j.place(m)
		if g == nil || math.IsNaN(g.T) || len(j.s.Walk.Points) == 0 {
			continue
		}
		size, said := g.Model.Norm(), math.NaN()
		for _, p := range j.s.Walk.Points {
			if p.T == m.T {
				said = float64(p.Norm)
			}
		}
		if !(math.Abs(size-said) <= consistent*(size+lossTolerance)) {
			c.refute(pointsFile, "%s: ‖θ‖ is %.9g, measured was %.9g: the points are those of other models", g.File, size, said)
			return
		}
	}
}

// place is the model of a claimed point, nil if the folder does not have it.
func (j *judge) place(m ClaimedMinimiser) *Place {
	for i, p := range j.s.Models {
		if p.File == m.File && m.File != "" {
			return &j.s.Models[i]
		}
	}
	return nil
}

// unitPenalty is R(θ) of the walk's penalty.
func (j *judge) unitPenalty(x []float64) float64 {
	if len(j.s.Penalties) == 0 {
		return math.NaN()
	}
	return j.s.Penalties[0].Value(j.whole.Model(x))
}

// beaten refutes the claims with the point that is disproved by most, among those
// whose models are at hand if there are any.
func (j *judge) beaten(c *Claim, points []compactify.Minimiser, at [][]float64, list []compactify.Beaten) {
	worst, kept := list[0], false
	for _, b := range list {
		both := at[b.Point] != nil && at[b.By] != nil
		if both && !kept || both == kept && b.Gap > worst.Gap {
			worst, kept = b, both
		}
	}
	lambda := points[worst.Point].Lambda
	c.add("gap", worst.Gap)
	c.add("gap_lambda", lambda)
	what := fmt.Sprintf("at λ = %.6g the point of λ = %.6g has a smaller L + λR, by %.6g", lambda, points[worst.By].Lambda, worst.Gap)
	if !kept {
		c.refute(resultFile, "%s: the former is no global minimiser; by recorded figures, their models are not kept", what)
		return
	}
	c.refute("", "%s: the former is no global minimiser", what)
	p := j.s.Penalties[0]
	p.Lambda = train.Always(lambda)
	c.evidence = j.compare("row11", fmt.Sprintf("to go from the point of λ = %.6g to that of λ = %.6g", points[worst.By].Lambda, lambda), at[worst.By], at[worst.Point], p)
}

// ridgeZeros counts the zeros that a ridge penalty, which shrinks every weight by a
// factor, leaves: for a finite λ it makes none.
func (j *judge) ridgeZeros(c *Claim) error {
	if !j.now.only() {
		return nil
	}
	zeros := 0
	for _, x := range j.theta {
		if x == 0 {
			zeros++
		}
	}
	c.add("zeros", float64(zeros))
	c.add("parameters", float64(len(j.theta)))
	c.note("a ridge penalty sets no weight to zero: %d of %d are", zeros, len(j.theta))
	return nil
}

// places are the other models of a walk as vectors.
func (j *judge) places() ([][]float64, error) {
	var list [][]float64
	for _, p := range j.s.Models {
		f, err := train.NewObjective(p.Model, j.s.Set, train.ObjectiveOptions{Pool: j.o.Pool, Output: j.s.Output})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.File, err)
		}
		if x, ok := pointIn(f, j.whole.Blocks()); ok {
			list = append(list, x)
		}
	}
	return list, nil
}

// claimedArrival holds λ from which on a walk says to be at 0 against the lower bound.
func (j *judge) claimedArrival(c *Claim, a train.Arrival) {
	w := j.s.Walk
	if w == nil || math.IsNaN(w.Arrival) {
		return
	}
	c.add("recorded_arrival", w.Arrival)
	if w.Arrival >= a.Searched*(1-lossTolerance) {
		return
	}
	c.refute("", "the walk says that θ = 0 is the minimiser from λ = %.6g on: a point with a smaller L + λR is known up to λ = %.6g", w.Arrival, a.Searched)
	p := j.s.Penalties[0]
	p.Lambda = train.Always(w.Arrival)
	c.evidence = j.compare("row5", "to go from that point to θ = 0", a.Witness, make([]float64, len(j.theta)), p)
}
