package compress

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/jsonnum"
	"github.com/compactify/compactify/internal/words"
	"github.com/compactify/compactify/paths"
	"github.com/compactify/compactify/tensor"
)

// Choice is whether a correction is applied.
type Choice int

// The choices.
const (
	Measured Choice = iota // if it costs less on the calibration examples
	Always
	Never
)

// ParseChoice reads "auto", "on" or "off".
func ParseChoice(text string) (Choice, error) {
	for c, name := range []string{"auto", "on", "off"} {
		if text == name {
			return Choice(c), nil
		}
	}
	return 0, fmt.Errorf("got %q, want auto, on or off", text)
}

// Corrections are what was done to the model so that rounding costs it less. The
// first two change nothing that it computes.
type Corrections struct {
	Equalized int               `json:"equalized"` // seams between layers that were equalised
	Smoothed  int               `json:"smoothed"`  // seams whose activations were smoothed
	Alpha     jsonnum.Float     `json:"alpha"`     // of the smoothing; NaN without
	Biases    bool              `json:"biases"`    // rounded models get the mean outputs of their layers back
	Bits      int               `json:"bits"`      // of all weights in what was tried; 32 if only activations were rounded
	Tried     []CorrectionTrial `json:"tried"`
}

// CorrectionTrial is the model with all weights rounded, and the activations if
// they are to be, after a correction.
type CorrectionTrial struct {
	What string        `json:"what"`
	Harm jsonnum.Float `json:"harm"` // see [RangeTrial]
}

// worthwhile is the share of the harm that a correction must leave at most to be
// applied: less is noise of the calibration examples.
const worthwhile = 0.97

// usualAlpha is the strength of smoothing where the user does not say.
const usualAlpha = 0.5

// correctable reports whether the job rounds anything, and to how many bits
// corrections are tried: four where that is allowed.
func (w *work) correctable() (bits int, ok bool) {
	switch {
	case w.goes("quantize") && len(w.graph.Layers()) > 0:
		bits = 4
		for i, b := range w.Bits {
			if i == 0 || b == 4 {
				bits = b
			}
			if b == 4 {
				break
			}
		}
		return bits, true
	}
	return 32, w.Activation
}

// applyCorrections brings the model into the form that rounding costs least, and
// decides whether biases are corrected: as the user says, or by trying.
func (w *work) applyCorrections(ctx context.Context) error {
	bits, ok := w.correctable()
	if !ok {
		return nil
	}
	c := &Corrections{Alpha: nan, Bits: bits, Tried: []CorrectionTrial{}}
	w.result.Corrections = c
	seen, err := w.moments(ctx, w.graph)
	if err != nil {
		return err
	}
	plain, err := w.tryCorrected(ctx, "none", w.graph, nil)
	if err != nil {
		return err
	}
	best := plain
	consider := func(what string, choice Choice, g *graph.Graph) (bool, error) {
		h, err := w.tryCorrected(ctx, what, g, nil)
		if err != nil || choice == Measured && !(h < worthwhile*best) {
			return false, err
		}
		w.graph, best = g, h
		return true, nil
	}
	if g, n := paths.Equalize(w.graph); w.Equalize != Never && n > 0 {
		if took, err := consider("equalize", w.Equalize, g); err != nil {
			return err
		} else if took {
			c.Equalized = n
		}
	}
	alpha, choice := w.Smooth, Always
	if alpha == 0 {
		alpha, choice = usualAlpha, Measured
	}
	if (w.Activation || choice == Always) && alpha > 0 {
		if c.Equalized > 0 { // the inputs of layers are others now
			if seen, err = w.moments(ctx, w.graph); err != nil {
				return err
			}
		}
		if g, n := paths.Smooth(w.graph, seen, alpha); n > 0 {
			if took, err := consider("smooth", choice, g); err != nil {
				return err
			} else if took {
				c.Smoothed, c.Alpha = n, jsonnum.Float(alpha)
			}
		}
	}
	return w.chooseBiases(ctx, best)
}

// chooseBiases decides whether biases are corrected, given the harm without.
func (w *work) chooseBiases(ctx context.Context, without float64) error {
	c := w.result.Corrections
	if w.CorrectBias == Never || c.Bits == 32 {
		return nil
	}
	seen, err := w.moments(ctx, w.graph)
	if err != nil {
		return err
	}
	h, err := w.tryCorrected(ctx, "bias-correction", w.graph, seen)
	if err != nil {
		return err
	}
	if w.CorrectBias == Always || h < worthwhile*without {
		w.seen, c.Biases = seen, true
	}
	return nil
}

// tryCorrected is the harm of rounding all of a model, biases corrected if seen is
// given.
func (w *work) tryCorrected(ctx context.Context, what string, g *graph.Graph, seen map[string]paths.Moments) (float64, error) {
	c := w.result.Corrections
	q, err := g, error(nil)
	if c.Bits < 32 {
		schemes := paths.Uniform(g, paths.Scheme{Bits: c.Bits})
		if q, err = paths.QuantizeWeights(w.Pool, g, schemes); err != nil {
			return 0, err
		}
		if seen != nil {
			q, _ = paths.CorrectBias(g, q, schemes, seen)
		}
	}
	if w.Activation {
		if q, err = w.roundActivations(ctx, q); err != nil {
			return 0, err
		}
	}
	m, err := w.probing.Evaluate(ctx, q)
	if err != nil {
		return 0, err
	}
	c.Tried = append(c.Tried, CorrectionTrial{what, jsonnum.Float(harm(w.Budget.Kind, m))})
	return harm(w.Budget.Kind, m), nil
}

// corrected gives a rounded model the mean outputs that its layers had in g, if
// the job corrects biases and g's weights are the original's.
func (w *work) corrected(g, q *graph.Graph, schemes map[string]paths.Scheme) *graph.Graph {
	if w.seen == nil {
		return q
	}
	q, _ = paths.CorrectBias(g, q, schemes, w.seen)
	return q
}

// describeCorrections says what was done, in words.
func (c *Corrections) String() string {
	var list []string
	if c.Equalized > 0 {
		list = append(list, "equalised the weights on both sides of "+words.Count(c.Equalized, "seam", "seams")+" between layers")
	}
	if c.Smoothed > 0 {
		list = append(list, "smoothed the activations of "+words.Count(c.Smoothed, "seam", "seams")+fmt.Sprintf(" (α = %v)", float64(c.Alpha)))
	}
	if c.Biases {
		list = append(list, "corrected biases for the mean of what rounding changes")
	}
	return strings.Join(list, "; ")
}

// moments are the mean and the peak of every channel that layers read, over the
// calibration examples, which are seen batch by batch.
func (w *work) moments(ctx context.Context, g *graph.Graph) (map[string]paths.Moments, error) {
	watch, _ := g.Clone()
	return w.momentsOf(ctx, watch, paths.LayerInputs(watch))
}

// momentsOf are those of some values of a graph, which come to be its outputs.
func (w *work) momentsOf(ctx context.Context, watch *graph.Graph, inputs []paths.LayerInput) (map[string]paths.Moments, error) {
	if len(inputs) == 0 {
		return nil, nil
	}
	watch.Outputs = nil
	for _, in := range inputs {
		watch.Outputs = append(watch.Outputs, in.Value)
	}
	set, err := w.ranging.Adapt(w.choosing.set.Shape())
	if err != nil {
		return nil, err
	}
	seen := make(map[string]paths.Moments, len(inputs))
	counts := make([]float64, len(inputs))
	r := &runner{g: watch, pool: w.Pool, most: watchedBatch(watch)}
	err = r.eachBatch(ctx, set, func(out []tensor.Tensor, _, n, size int) error {
		for i, in := range inputs {
			shape := out[i].Shape()
			m := seen[in.Value.Name]
			if m.Mean == nil {
				m = paths.Moments{Mean: make([]float64, shape[in.Axis]), Peak: make([]float64, shape[in.Axis])}
				seen[in.Value.Name] = m
			}
			if len(m.Mean) != shape[in.Axis] || in.Axis == 0 {
				return fmt.Errorf("%s: got %v, want %d entries along axis %d", whereMade(watch, in.Value), out[i], len(m.Mean), in.Axis)
			}
			x := out[i].Float32s()
			x = x[:len(x)/size*n]
			addMoments(m, x, shape[in.Axis+1:])
			counts[i] += float64(len(x) / len(m.Mean))
		}
		return nil
	})
	for i, in := range inputs {
		for c := range seen[in.Value.Name].Mean {
			seen[in.Value.Name].Mean[c] /= counts[i]
		}
	}
	return seen, err
}

// addMoments adds elements whose channels are followed by axes of the given sizes.
func addMoments(m paths.Moments, x []float32, behind []int) {
	run, _ := tensor.Size(behind)
	for from, c := 0, 0; run > 0 && from < len(x); from, c = from+run, (c+1)%len(m.Mean) {
		sum, peak := 0.0, m.Peak[c]
		for _, v := range x[from : from+run] {
			sum += float64(v)
			peak = max(peak, math.Abs(float64(v)))
		}
		m.Mean[c] += sum
		m.Peak[c] = peak
	}
}
