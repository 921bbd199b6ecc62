package certify

import (
	"context"
	"encoding/json"
	"fmt"
	"math"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/train"
)

// flow is what a gradient flow says of itself; nil if the run was none.
func (j *judge) flow() (*train.FlowRecord, error) {
	if j.s.Record == nil || j.s.Record.Flow == nil {
		return nil, nil
	}
	f := new(train.FlowRecord)
	if err := json.Unmarshal(*j.s.Record.Flow, f); err != nil {
		return nil, fmt.Errorf("%s: flow: %w", train.RecordFile, err)
	}
	return f, nil
}

// flowBalance is the residual up to which a flow was followed well, as a share of
// what it dissipated.
const flowBalance = 0.01

// balance holds the figures of a flow against each other,
//
//	L_λ(0) − L_λ(T) + ΣΔλ‖θ‖² − ∫‖∇L_λ‖² = residual
//
// with L_λ falling while λ stays, and its ends against the models, computed again.
func (j *judge) balance(ctx context.Context, c *Claim) error {
	f, err := j.flow()
	if f == nil || err != nil {
		return err
	}
	c.add("flow_time", float64(f.Reached))
	c.add("flow_dissipated", float64(f.Dissipated))
	c.add("flow_balance_residual", float64(f.Balance))
	c.add("flow_relative_residual", float64(f.Relative))
	c.add("flow_rises", float64(f.Rises))
	if !(math.Abs(float64(f.Balance)) <= flowBalance*float64(f.Dissipated)) {
		c.weaken(compactify.Inconclusive)
		c.note("the flow's balance is off by more than %g of what was dissipated: it was not followed well", flowBalance)
	}
	if len(f.Points) == 0 {
		return nil
	}
	first, last := f.Points[0], f.Points[len(f.Points)-1]
	residual := float64(first.Objective - last.Objective + f.Schedule - f.Dissipated)
	if scale := 1 + math.Abs(float64(first.Objective)) + math.Abs(float64(f.Schedule)); !(math.Abs(residual-float64(f.Balance)) <= lossTolerance*scale) {
		c.refute(train.RecordFile, "the flow's balance is %.6g by its own figures, recorded %.6g", residual, float64(f.Balance))
	}
	for i := 1; i < len(f.Points); i++ {
		a, b := f.Points[i-1], f.Points[i]
		if a.Lambda == b.Lambda && float64(b.Objective-a.Objective) > lossTolerance*(1+math.Abs(float64(a.Objective))) {
			c.refute(train.RecordFile, "the flow's objective rises from time %.6g to %.6g, with the same λ", float64(a.Time), float64(b.Time))
			break
		}
	}
	return j.flowEnds(ctx, c, first, last)
}

// flowEnds compares the objectives at the ends of a flow with those of the models.
func (j *judge) flowEnds(ctx context.Context, c *Claim, first, last train.FlowPoint) error {
	start, err := j.initial()
	if err != nil {
		return err
	}
	for _, e := range []struct {
		name string
		x    []float64
		p    train.FlowPoint
	}{{atInitial, start, first}, {atModel, j.theta, last}} {
		if e.x == nil {
			continue
		}
		l, err := j.loss(ctx, e.name, e.x)
		if err != nil {
			return err
		}
		if again := l + float64(e.p.Lambda)*dot(e.x, e.x); !agrees(again, float64(e.p.Objective)) {
			c.refute(train.RecordFile, "the flow had L + λ‖θ‖² = %.9g at the %s model: it is %.9g", float64(e.p.Objective), e.name, again)
		}
	}
	return nil
}

// flowLength adds the length of a flow's path.
func (j *judge) flowLength(c *Claim) error {
	f, err := j.flow()
	if f != nil {
		c.add("path_length", float64(f.Length))
	}
	return err
}
