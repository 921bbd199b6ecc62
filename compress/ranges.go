package compress

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/jsonnum"
	"github.com/compactify/compactify/internal/words"
	"github.com/compactify/compactify/paths"
)

// Rounded is how activations came to be 8-bit integers.
type Rounded struct {
	Ranges   string       `json:"ranges"` // how they were chosen: minmax, percentile, entropy or mse
	Examples int          `json:"examples"`
	Tried    []RangeTrial `json:"tried,omitempty"` // what the ways to choose them cost on the calibration examples
	Bytes    int          `json:"calibration_bytes"`
	Values   []RangeOf    `json:"values"` // every value that is rounded
	Left     []LeftFloat  `json:"left"`   // every operator that computes in floating point, and why
}

// RangeTrial is a model with the ranges of one method.
type RangeTrial struct {
	Ranges string        `json:"ranges"`
	Harm   jsonnum.Float `json:"harm"` // mean KL from the original's answers in nats; noise over power where there is none
}

// RangeOf is what one value spans.
type RangeOf struct {
	Name string        `json:"name"`
	Lo   jsonnum.Float `json:"lo"`
	Hi   jsonnum.Float `json:"hi"`
}

// LeftFloat is an operator that computes in floating point.
type LeftFloat struct {
	Name   string `json:"name"`
	Kind   string `json:"kind"`
	Reason string `json:"reason"`
}

// rangeFits are the ways to choose a range, in the order of preference where they
// cost the same.
var rangeFits = []paths.Fit{paths.FitMinMax, paths.FitMSE, paths.FitPercentile, paths.FitEntropy}

// RangeNames are what [Job.Ranges] may be, beside "".
func RangeNames() string {
	names := make([]string, len(rangeFits))
	for i, f := range rangeFits {
		names[i] = f.String()
	}
	return strings.Join(names, ", ")
}

// ParseRanges reads the name of a way to choose ranges.
func ParseRanges(name string) (paths.Fit, error) {
	for _, f := range rangeFits {
		if f.String() == name {
			return f, nil
		}
	}
	return 0, fmt.Errorf("ranges %q: want best, %s", name, RangeNames())
}

// roundActivations gives a model 8-bit activations with calibrated ranges. How
// they are chosen is decided once in a job: by the user, or by what costs least on
// the calibration examples.
func (w *work) roundActivations(ctx context.Context, g *graph.Graph) (*graph.Graph, error) {
	if w.rounded == nil {
		if err := w.chooseRanges(ctx); err != nil {
			return nil, err
		}
	}
	c, err := w.calibrate(ctx, g)
	if err != nil {
		return nil, err
	}
	fit, err := ParseRanges(w.rounded.Ranges)
	if err != nil {
		return nil, err
	}
	q, err := paths.QuantizeActivations(g, c.Ranges(fit))
	if err != nil || !w.forOlder() {
		return q, err
	}
	return paths.QuantizeBiases(q)
}

// forOlder reports whether the file is for runtimes that only fuse biases of int32:
// the user asks for an opset before that of 4 bits.
func (w *work) forOlder() bool { return w.Opset > 0 && w.Opset < 21 }

// calibrate counts the activations of a model on the job's calibration examples.
func (w *work) calibrate(ctx context.Context, g *graph.Graph) (*Calibration, error) {
	set, err := w.ranging.Adapt(w.choosing.set.Shape())
	if err != nil {
		return nil, err
	}
	c, err := Calibrate(ctx, g, set, w.Pool)
	if err == nil {
		w.rounded.Bytes = max(w.rounded.Bytes, c.Bytes())
	}
	return c, err
}

// chooseRanges sets w.rounded, by the original with nothing but its activations
// rounded.
func (w *work) chooseRanges(ctx context.Context) error {
	w.rounded = &Rounded{Ranges: w.Ranges, Examples: w.ranging.Len(), Values: []RangeOf{}, Left: []LeftFloat{}}
	if w.Ranges != "" {
		return nil
	}
	c, err := w.calibrate(ctx, w.graph)
	if err != nil {
		return err
	}
	least := math.NaN()
	for _, f := range rangeFits {
		g, err := paths.QuantizeActivations(w.graph, c.Ranges(f))
		if err != nil {
			return err
		}
		m, err := w.probing.Evaluate(ctx, g)
		if err != nil {
			return err
		}
		t := RangeTrial{Ranges: f.String(), Harm: jsonnum.Float(harm(w.Budget.Kind, m))}
		w.rounded.Tried = append(w.rounded.Tried, t)
		if h := float64(t.Harm); !(h >= least) { // the first, too
			w.rounded.Ranges, least = t.Ranges, h
		}
	}
	return nil
}

// describeRounded lists the values of the chosen model that are rounded, and the
// operators that are left in floating point.
func (w *work) describeRounded(model *graph.Graph) {
	if w.rounded == nil {
		return
	}
	w.result.Activations = w.rounded
	for _, v := range paths.RoundedValues(model) {
		w.rounded.Values = append(w.rounded.Values, RangeOf{v.Name, jsonnum.Float(v.Range.Lo), jsonnum.Float(v.Range.Hi)})
	}
	kinds := make(map[string]int) // operators left in floating point, by kind
	for _, l := range paths.LeftInFloat(model) {
		w.rounded.Left = append(w.rounded.Left, LeftFloat{l.Node.Name, l.Node.Kind(), l.Reason})
		kinds[l.Node.Kind()]++
	}
	note := fmt.Sprintf("%s rounded to 8 bits, ranges by %s of %s", words.Count(len(w.rounded.Values), "activation is", "activations are"),
		w.rounded.Ranges, words.Count(w.rounded.Examples, "example", "examples"))
	if !w.forOlder() && len(w.rounded.Values) > 0 {
		w.result.Notes = append(w.result.Notes, "biases stay floats, which ONNX Runtime from 1.23 on rounds itself; for older versions to multiply integers, --opset 20")
	}
	if len(kinds) > 0 {
		var list []string
		for _, k := range slices.Sorted(maps.Keys(kinds)) {
			list = append(list, fmt.Sprintf("%d %s", kinds[k], k))
		}
		note += "; in floating point stay " + strings.Join(list, ", ")
	}
	w.result.Notes = append(w.result.Notes, note)
}
