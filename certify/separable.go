package certify

import (
	"context"
	"math"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/internal/separation"
	"github.com/compactify/compactify/train"
)

// separable decides whether some θ answers all examples rightly: first by the model's
// direction, then among all.
func (j *judge) separable(ctx context.Context, c *Claim) error {
	g, err := j.gradient(ctx)
	if err != nil {
		return err
	}
	c.add("gradient", norm(g))
	found, err := j.separates(ctx, c)
	if found || err != nil {
		return err
	}
	inequalities := j.s.Set.Len() * (j.whole.Columns() - 1)
	c.add("inequalities", float64(inequalities))
	if size := float64(inequalities) * float64(len(j.theta)); size > maxInequalities {
		c.Statement = "the data are not separable: L has a finite minimiser"
		c.Verdict = compactify.Inconclusive
		c.note("the model's direction does not separate the examples; %d inequalities in %d weights are too many to decide whether another does", inequalities, len(j.theta))
		return nil
	}
	return j.decide(ctx, c)
}

// separates tells whether the model's own direction does. If every example's loss is
// below log 2, its class has more than half of the probability, and the mean is below
// log 2/n only then; θ separates if and only if L(cθ) comes to that for some c.
func (j *judge) separates(ctx context.Context, c *Claim) (bool, error) {
	n := float64(j.s.Set.Len())
	target := math.Ln2 / n
	best, at := math.Inf(1), 1.0
	for k := range 12 {
		scale := math.Ldexp(1, 2*k)
		l, err := j.whole.Loss(ctx, along(make([]float64, len(j.theta)), scale, j.theta))
		if err != nil {
			return false, err
		}
		if l < best {
			best, at = l, scale
		}
	}
	c.add("loss_along_model", best)
	c.add("scale", at)
	c.add("loss_that_separates", target)
	if !c.suppose(best < target*(1-1e-3), "the model's direction answers every example rightly") {
		return false, nil
	}
	c.Statement = "the data are separable: L has no minimiser, tends to 0 along the model's direction, and every orbit of the flow leaves to infinity"
	c.Verdict = compactify.Verified
	c.note("the witness is the model itself: L(cθ) < log 2/n at c = %g", at)
	return true, nil
}

// maxInequalities bounds the coefficients of the inequalities, examples × other classes
// × weights: half a gigabyte's.
const maxInequalities = 1 << 26

// decide proves in rational numbers which of the three kinds the examples are: θ must
// have (∇z_y − ∇z_k)·θ > 0 for every example and every class k other than its own, y.
// z is linear in θ, so these gradients are numbers of the examples; they are taken as
// double precision computes them from the examples.
func (j *judge) decide(ctx context.Context, c *Claim) error {
	f, err := train.NewObjective(j.s.Model, j.s.Set, train.ObjectiveOptions{Pool: j.o.Pool, Output: j.s.Output, Double: true})
	if err != nil {
		return err
	}
	p := separation.Points{Dim: f.Dim()}
	err = f.EachSlope(ctx, func(i int, rows [][]float64) error {
		own := j.s.Set.Label(i)
		for k, row := range rows {
			if k != own {
				p.Rows = append(p.Rows, difference(rows[own], row))
			}
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	r, err := separation.Decide(ctx, p, separation.Options{})
	if err != nil {
		return err
	}
	c.add("tied", float64(len(r.Tied)))
	c.Verdict = compactify.Verified
	switch r.Kind {
	case separation.Separable:
		c.Statement = "the data are separable: L has no minimiser, tends to 0 along some direction, and every orbit of the flow leaves to infinity"
		c.note("a direction that answers every example rightly was found and checked in rational numbers; the model's is not one")
	case separation.QuasiSeparable:
		c.Statement = "the data are quasi-separable: L has no minimiser, and every orbit of the flow leaves to infinity"
		c.note("along a direction %d of %d inequalities between an example's class and another hold and the others, tied, stay equal: that, and that no direction does better, was checked in rational numbers", len(p.Rows)-len(r.Tied), len(p.Rows))
	case separation.Overlapping:
		c.Statement = "the data are not separable: L has a finite minimiser"
		c.note("positive weights under which the inequalities cancel were checked in rational numbers: along every direction that changes an answer some example's loss tends to infinity")
	default:
		c.Statement = "the data are not separable: L has a finite minimiser"
		c.Verdict = compactify.Inconclusive
		c.note("the model's direction does not separate the examples; whether another does was not decided: %s", r.Reached)
	}
	return nil
}

// difference is a − b, compressed where that is shorter.
func difference(a, b []float64) separation.Vector {
	var v separation.Vector
	v.Index = []int32{}
	for j, x := range a {
		if d := x - b[j]; d != 0 {
			v.Index, v.Value = append(v.Index, int32(j)), append(v.Value, d)
		}
	}
	return v
}
