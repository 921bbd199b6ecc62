package certify

import (
	"context"
	"encoding/json"
	"fmt"
	"math"

	"github.com/compactify/compactify/internal/jsonnum"
	"github.com/compactify/compactify/train"
)

// flowFigures are what a gradient flow says of itself; nil where it does not.
type flowFigures struct {
	Start      *jsonnum.Float `json:"start"` // L + λR where it began
	End        *jsonnum.Float `json:"end"`   // and where it ended
	Balance    *jsonnum.Float `json:"balance_residual"`
	Length     *jsonnum.Float `json:"length"`
	Dissipated *jsonnum.Float `json:"dissipated"`
}

// flow reads them; ok is false if there was no flow.
func (j *judge) flow() (f flowFigures, ok bool, err error) {
	if j.s.Record == nil || j.s.Record.Flow == nil {
		return f, false, nil
	}
	if err := json.Unmarshal(*j.s.Record.Flow, &f); err != nil {
		return f, false, fmt.Errorf("%s: flow: %w", train.RecordFile, err)
	}
	return f, true, nil
}

// balance holds a flow's figures against each other, start − end − ∫‖∇‖² = residual,
// and its ends against the models, computed again.
func (j *judge) balance(ctx context.Context, c *Claim) error {
	f, ok, err := j.flow()
	if !ok || err != nil {
		return err
	}
	for _, x := range []struct {
		name string
		p    *jsonnum.Float
	}{{"flow_start", f.Start}, {"flow_end", f.End}, {"flow_dissipated", f.Dissipated}, {"flow_balance_residual", f.Balance}} {
		if x.p != nil {
			c.add(x.name, float64(*x.p))
		}
	}
	if f.Start != nil && f.End != nil && f.Dissipated != nil && f.Balance != nil {
		residual := float64(*f.Start - *f.End - *f.Dissipated)
		if math.Abs(residual-float64(*f.Balance)) > lossTolerance*(1+math.Abs(float64(*f.Start))) {
			c.refute(train.RecordFile, "the flow's balance is %.6g by its own figures, recorded %.6g", residual, float64(*f.Balance))
		}
	}
	start, err := j.initial()
	if err != nil {
		return err
	}
	if start != nil && f.Start != nil {
		l, err := j.loss(ctx, atInitial, start)
		if err != nil {
			return err
		}
		j.end(c, "began", l+j.penalty(start), float64(*f.Start))
	}
	if f.End != nil {
		l, err := j.lossHere(ctx)
		if err != nil {
			return err
		}
		j.end(c, "ended", l+j.penalty(j.theta), float64(*f.End))
	}
	return nil
}

// end compares the objective at an end of the flow.
func (j *judge) end(c *Claim, what string, again, recorded float64) {
	if !agrees(again, recorded) {
		c.refute(train.RecordFile, "the flow %s at L + λR = %.9g, recorded %.9g", what, again, recorded)
	}
}

// flowLength adds the length of the flow's path.
func (j *judge) flowLength(c *Claim) error {
	f, ok, err := j.flow()
	if ok && err == nil && f.Length != nil {
		c.add("path_length", float64(*f.Length))
	}
	return err
}
