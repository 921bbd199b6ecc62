package compress

import (
	"context"
	"fmt"
	"math"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/jsonnum"
	"github.com/compactify/compactify/internal/words"
	"github.com/compactify/compactify/paths"
	"github.com/compactify/compactify/tensor"
)

// Domain compares what the original's activations are on some examples with what
// they were on the calibration examples.
type Domain struct {
	Set      string        `json:"set"`
	Examples int           `json:"examples"`
	Outside  jsonnum.Float `json:"outside"`       // the largest share of a value's elements outside of the calibrated span
	At       string        `json:"outside_at"`    // that value
	Shift    jsonnum.Float `json:"mean_shift"`    // the largest distance of means, in standard deviations of calibration
	ShiftAt  string        `json:"mean_shift_at"` // that value
	Foreign  bool          `json:"foreign"`       // the examples are of another domain
}

// What makes examples foreign. Of equal domains a share of about one in the number
// of elements is outside, and means differ by what few examples let them.
const (
	foreignShare = 0.01
	foreignShift = 0.5
)

// fewCalibration is how many examples ranges should be measured on at least.
const fewCalibration = 32

// meetCalibration counts the original's activations on the calibration examples and
// compares the selection examples with them.
func (w *work) meetCalibration(ctx context.Context) error {
	if n := w.ranging.Len(); n < fewCalibration {
		w.notes = append(w.notes, fmt.Sprintf("calibrated on %s: what others make of the activations is hardly known; %d or more would do",
			words.Count(n, "example", "examples"), fewCalibration))
	}
	if err := w.meetTraining(ctx); err != nil {
		return err
	}
	set, err := w.ranging.Adapt(w.choosing.set.Shape())
	if err != nil {
		return err
	}
	w.plain = w.graph
	if w.familiar, err = Calibrate(ctx, w.plain, set, w.Pool); err != nil {
		if w.Activation || ctx.Err() != nil {
			return err
		}
		w.notes = append(w.notes, fmt.Sprintf("the examples were not compared with each other: %v", err))
		return nil
	}
	return w.compareDomain(ctx, "selection", w.chosen)
}

// compareDomain warns of examples on which the original's activations are not what
// they were in calibration.
func (w *work) compareDomain(ctx context.Context, name string, set *data.Set) error {
	if w.familiar == nil || len(w.familiar.values) == 0 {
		return nil
	}
	if set.Len() > maxProbe {
		share := float64(maxProbe) / float64(set.Len())
		set = data.Split(set, []float64{share, 1 - share}, w.Seed, "domain")[0]
	}
	adapted, err := set.Adapt(w.choosing.set.Shape())
	if err != nil {
		return err
	}
	other, err := Calibrate(ctx, w.plain, adapted, w.Pool)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		w.notes = append(w.notes, fmt.Sprintf("warning: on the %s examples: %v", name, err))
		return nil
	}
	d := w.familiar.compare(other)
	d.Set = name
	w.result.Domains = append(w.result.Domains, d)
	if d.Foreign {
		w.notes = append(w.notes, fmt.Sprintf("warning: the %s examples are unlike the calibration examples: %s of the elements of %q are outside of its range, the mean of %q is off by %.2g standard deviations; what was calibrated may not suit them",
			name, words.Percent(float64(d.Outside), 2), d.At, d.ShiftAt, float64(d.Shift)))
	}
	return nil
}

// compare says how far another set's activations are from c's.
func (c *Calibration) compare(other *Calibration) Domain {
	d := Domain{Examples: other.Examples}
	for _, v := range c.values {
		mine, theirs := c.counts[v.Name], other.counts[v.Name]
		if theirs == nil || theirs.Count() == 0 {
			continue
		}
		if out := theirs.Outside(mine.Span()); d.At == "" || out > float64(d.Outside) {
			d.Outside, d.At = jsonnum.Float(out), v.Name
		}
		distance := math.Abs(mine.Mean() - theirs.Mean())
		if deviation := mine.Deviation(); deviation > 0 {
			distance /= deviation
		} else if distance > 0 {
			distance = math.Inf(1)
		}
		if d.ShiftAt == "" || distance > float64(d.Shift) {
			d.Shift, d.ShiftAt = jsonnum.Float(distance), v.Name
		}
	}
	few := 2/math.Sqrt(float64(c.Examples)) + 2/math.Sqrt(float64(other.Examples)) // of so few examples means are vague
	d.Foreign = float64(d.Outside) > foreignShare || float64(d.Shift) > foreignShift+few
	return d
}

// trainedShift is how many standard deviations of training the mean activation in
// front of a batch normalisation may be off, averaged over its channels. On the
// examples of training it is a few tenths at most.
const trainedShift = 1

// meetTraining compares the calibration examples with what the model itself says
// of those that it was trained on: batch normalisations keep the means and
// variances of their inputs. Pixels from 0 to 255 instead of 0 to 1 show here.
func (w *work) meetTraining(ctx context.Context) error {
	g, _ := w.Model.Clone()
	if g.Upgrade(graph.LatestOpset) != nil || g.Infer() != nil {
		return nil // prepare has said what there is to say
	}
	g, _ = symbolic(g)
	var norms []*graph.Node
	var inputs []paths.LayerInput
	for _, n := range g.Nodes {
		if n.Kind() == "BatchNormalization" && n.Attrs.Int("training_mode", 0) == 0 && g.Param(n.In[3]) != nil && g.Param(n.In[4]) != nil &&
			n.In[0].Type.Rank() >= 2 && n.In[0].Type.DType == tensor.Float32 && g.Param(n.In[0]) == nil {
			norms, inputs = append(norms, n), append(inputs, paths.LayerInput{Value: n.In[0], Axis: 1})
		}
	}
	if len(norms) == 0 {
		return nil
	}
	n := norms[0] // the first alone: errors would add up behind it
	seen, err := w.momentsOf(ctx, g, inputs[:1])
	if err != nil {
		return err
	}
	got, mean, variance := seen[n.In[0].Name].Mean, g.Param(n.In[3]).Data.Float64s(), g.Param(n.In[4]).Data.Float64s()
	shift := 0.0
	for c := range got {
		shift += math.Abs(got[c]-mean[c]) / math.Sqrt(variance[c]+n.Attrs.Float("epsilon", 1e-5)) / float64(len(got))
	}
	d := Domain{Set: "training", Examples: w.ranging.Len(), Outside: nan, Shift: jsonnum.Float(shift), ShiftAt: n.In[0].Name, Foreign: !(shift <= trainedShift)}
	w.result.Domains = append(w.result.Domains, d)
	if d.Foreign {
		w.notes = append(w.notes, fmt.Sprintf("warning: the examples are unlike those that the model was trained on: in front of its first batch normalisation, at %q, the mean is off by %.2g standard deviations; is their normalisation the model's (--normalize, --raw)?", d.ShiftAt, shift))
	}
	return nil
}
