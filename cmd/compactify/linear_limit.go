package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/internal/jsonnum"
	"github.com/compactify/compactify/internal/words"
	"github.com/compactify/compactify/linear"
)

// linearLimit is linear.Limit in numbers that JSON can hold: where a logistic path goes
// as λ → 0.
type linearLimit struct {
	Verdict   compactify.Verdict `json:"verdict"`
	Statement string             `json:"statement"`
	Norm      int                `json:"norm"`
	Margin    []jsonnum.Float    `json:"margin"`    // bounds
	Predicted []jsonnum.Float    `json:"predicted"` // 1/margin: of the slope
	Slope     jsonnum.Float      `json:"slope"`     // of ‖θ_λ‖ over log(1/λ), as measured
	Points    []linearLimitPoint `json:"points"`
	Note      string             `json:"note,omitempty"`
}

type linearLimitPoint struct {
	Lambda    jsonnum.Float `json:"lambda"`
	Norm      jsonnum.Float `json:"norm"`
	Angle     jsonnum.Float `json:"angle"`   // to the direction of the largest margin, in radians
	Reached   jsonnum.Float `json:"reached"` // the margin of the direction as a share of the largest
	Loss      jsonnum.Float `json:"loss"`
	LossRatio jsonnum.Float `json:"loss_ratio"` // the loss over what the limit says it is
	Gap       jsonnum.Float `json:"gap"`
}

// checkLimit refuses --limit where there is none.
func (f *linearFlags) checkLimit() error {
	switch {
	case !f.limit:
		return nil
	case f.kind.name != "logistic":
		return fmt.Errorf("--limit: of no meaning to %s: want logistic", f.kind.name)
	case f.alpha != 0 && f.alpha != 1:
		return fmt.Errorf("--limit: got --alpha %v, want 0 (ridge) or 1 (lasso)", f.alpha)
	case f.changed("lower") || f.changed("upper"):
		return errors.New("--limit: excludes --lower and --upper: bounds have limits of their own")
	}
	return nil
}

// measureLimit follows the path towards λ = 0 on a grid of its own.
func (w *linearWork) measureLimit(ctx context.Context) (err error) {
	if !w.flags.limit {
		return nil
	}
	o := w.options
	o.Lambdas = nil
	w.limited, err = linear.MeasureLimit(ctx, w.problem, w.penalty, o)
	return err
}

func (w *linearWork) addLimit(r *linearResult) {
	l := w.limited
	if l == nil {
		return
	}
	r.Limit = &linearLimit{Verdict: l.Verdict, Statement: l.Statement, Norm: l.Norm, Margin: numbers(l.Margin[:]), Predicted: numbers(l.Predicted[:]),
		Slope: jsonnum.Float(l.Slope), Points: []linearLimitPoint{}, Note: l.Note}
	for _, p := range l.Points {
		r.Limit.Points = append(r.Limit.Points, linearLimitPoint{jsonnum.Float(p.Lambda), jsonnum.Float(p.Norm), jsonnum.Float(p.Angle), jsonnum.Float(p.Reached),
			jsonnum.Float(p.Loss), jsonnum.Float(p.LossRatio), jsonnum.Float(p.Gap)})
	}
}

func (r *linearResult) limitText(w io.Writer) {
	l := r.Limit
	if l == nil {
		return
	}
	if len(l.Points) == 0 {
		said(w, "limit", "%s: %s", l.Verdict, l.Note)
		return
	}
	said(w, "limit", "%s: %s; slope %s, predicted %s", l.Verdict, l.Statement, words.Number(float64(l.Slope)), words.Number(float64(l.Predicted[0]+l.Predicted[1])/2))
	said(w, "", "%s", l.Note)
}
