package main

import (
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/internal/jsonnum"
	"github.com/compactify/compactify/internal/words"
	"github.com/compactify/compactify/paths"
	"github.com/spf13/cobra"
)

// gridFlags say how weights are rounded.
type gridFlags struct {
	granularity, fit    string
	asymmetric, ternary bool
}

// add declares the flags; of says of what they are settings, if not of the command.
func (f *gridFlags) add(c *cobra.Command, of string) {
	flags := c.Flags()
	flags.StringVar(&f.granularity, "granularity", "channel", of+"what shares a scale: tensor, channel or block:N, N inputs of an output channel")
	flags.StringVar(&f.fit, "fit", "mse", of+"how the range is chosen: mse, minmax, percentile (99.9 %), entropy or fixed-point, the grid {−B..B}/2^k")
	flags.BoolVar(&f.asymmetric, "asymmetric", false, of+"unsigned integers with a zero point, from 8 to 2 bits")
	flags.BoolVar(&f.ternary, "ternary", false, of+"the levels −1, 0, +1, between 2 bits and 1")
}

// gridFlagNames are the flags that walk quantize alone takes.
var gridFlagNames = []string{"granularity", "fit", "asymmetric", "ternary"}

// scheme translates the flags. Mistakes in them are errors of usage.
func (f *gridFlags) scheme(c *cobra.Command, kind string) (paths.Scheme, error) {
	for _, name := range gridFlagNames {
		if kind != "quantize" && c.Flags().Changed(name) {
			return paths.Scheme{}, usage(fmt.Errorf("--%s: of no meaning to walk %s: want quantize", name, kind))
		}
	}
	block, err := paths.ParseGranularity(f.granularity)
	if err != nil {
		return paths.Scheme{}, usage(fmt.Errorf("--granularity: %w", err))
	}
	fit, err := paths.ParseFit(f.fit)
	if err != nil {
		return paths.Scheme{}, usage(fmt.Errorf("--fit: %w", err))
	}
	if f.asymmetric && fit == paths.FitFixedPoint {
		return paths.Scheme{}, usage(fmt.Errorf("--asymmetric --fit fixed-point: the grid {−B..B}/2^k has no zero point: want one of the two"))
	}
	return paths.Scheme{Block: block, Fit: fit, Asymmetric: f.asymmetric, Ternary: f.ternary}, nil
}

// roundingRow is what a grid does to the weights of one layer, or of all layers
// at one point of the path.
type roundingRow struct {
	T         *jsonnum.Float `json:"t,omitempty"`      // of a point
	Layer     string         `json:"layer,omitempty"`  // of a layer
	Scheme    string         `json:"scheme,omitempty"` // it is stored by
	Reason    string         `json:"reason,omitempty"` // why that is not what was asked for
	Weights   int            `json:"weights"`
	Clipped   jsonnum.Float  `json:"clip_fraction"`
	Step      jsonnum.Float  `json:"step"`            // Δ, the largest
	Bound     jsonnum.Float  `json:"error_bound"`     // on ‖e‖₂ of the weights that are not clipped: Δ√d/2 for one Δ
	Unclipped jsonnum.Float  `json:"error_unclipped"` // ‖e‖₂ of those, measured
	Error     jsonnum.Float  `json:"error"`           // ‖e‖₂ of all
	Norm      jsonnum.Float  `json:"norm"`            // ‖θ‖₂
}

func newRoundingRow(r paths.Rounding) roundingRow {
	return roundingRow{Layer: r.Layer, Scheme: r.Scheme.String(), Reason: r.Reason, Weights: r.Weights, Clipped: jsonnum.Float(float64(r.Clipped) / float64(max(1, r.Weights))),
		Step: jsonnum.Float(r.Step), Bound: jsonnum.Float(r.Bound), Unclipped: jsonnum.Float(r.Inside), Error: jsonnum.Float(r.Error), Norm: jsonnum.Float(r.Norm)}
}

// rounder is a path that says what rounding does at t.
type rounder interface {
	Roundings(t float64) ([]paths.Rounding, error)
}

// roundings fills in what the grids of a walk do: at every point for all layers
// together, and at the furthest for each.
func (r *walkResult) roundings(path compactify.Path) error {
	p, ok := path.(rounder)
	if !ok {
		return nil
	}
	for _, q := range r.Points {
		if q.T == 0 {
			continue
		}
		list, err := p.Roundings(float64(q.T))
		if err != nil {
			return err
		}
		t := q.T
		row := newRoundingRow(paths.Total(list))
		row.T, row.Scheme = &t, ""
		r.Grids = append(r.Grids, row)
		for _, l := range list {
			if q.T == r.FurthestT {
				r.Layers = append(r.Layers, newRoundingRow(l))
			}
			if note := "weight " + l.Layer + ": " + l.Reason; l.Reason != "" && !slices.Contains(r.Notes, note) {
				r.Notes = append(r.Notes, note)
			}
		}
	}
	return nil
}

// gridText is the table of what rounding does to the weights.
func (r *walkResult) gridText(w io.Writer) {
	if len(r.Grids) == 0 {
		return
	}
	fmt.Fprintf(w, "\nrounding  of weights θ: e = θ̂ − θ, Δ the distance of two levels\n")
	rows := [][]string{{"t", "clipped", "largest Δ", "‖e‖/‖θ‖", "‖e‖ unclipped", "bound"}}
	for _, q := range r.Grids {
		rows = append(rows, []string{words.Significant(float64(*q.T), 5), words.Percent(float64(q.Clipped), 3), words.Number(float64(q.Step)),
			words.Number(float64(q.Error / max(q.Norm, math.SmallestNonzeroFloat64))), words.Number(float64(q.Unclipped)), words.Number(float64(q.Bound))})
	}
	columns(w, rows)
}
