package compress

import (
	"fmt"
	"slices"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// Prepare returns the model in the form that walks and runs work on: checked to
// be finite and to draw nothing at random, simplified, in the newest opset, and with
// a batch dimension of any size where the model allows it. The notes say what was
// done.
func Prepare(model *graph.Graph) (*graph.Graph, []string, error) {
	if err := model.CheckFinite(); err != nil {
		return nil, nil, fmt.Errorf("check graph %q: %w", model.Name, err)
	}
	g, notes, err := engine.Simplify(model)
	if err != nil {
		return nil, nil, err
	}
	if err := g.CheckRepeatable(); err != nil {
		return nil, nil, fmt.Errorf("check graph %q: %w", model.Name, err)
	}
	g, note := symbolic(g)
	if note != "" {
		notes = append(notes, note)
	}
	return g, notes, nil
}

// symbolic frees a fixed batch dimension, so that many examples run at once. A
// model that resists keeps its batch, and the note says why.
func symbolic(g *graph.Graph) (_ *graph.Graph, note string) {
	if len(g.Inputs) == 0 || g.Inputs[0].Type.Rank() < 1 {
		return g, ""
	}
	if d := g.Inputs[0].Type.Shape[0]; !d.Known() {
		if d.Name != "" || len(g.Inputs) != 1 {
			return g, ""
		}
		c, _ := g.Clone()
		shape := slices.Clone(c.Inputs[0].Type.Shape)
		shape[0] = tensor.Symbol("N")
		c.Inputs[0].Type.Shape = shape
		if c.Infer() == nil {
			return c, ""
		}
		return g, ""
	}
	c, err := graph.Rebatch(g, "N")
	if err != nil {
		return g, fmt.Sprintf("the model's batch stays at %v: %v", g.Inputs[0].Type.Shape[0], err)
	}
	return c, ""
}

// Parts are the uses of the examples. Training, Selection and HeldOut are
// disjoint; Calibration is part of Training.
type Parts struct {
	Training    *data.Set
	Calibration *data.Set
	Selection   *data.Set
	HeldOut     *data.Set
	HeldOutFrom string // in words

	TrainingCuts []data.Cut // that make Training of the source's training examples
}

// The parts of the training examples: this share decides, at most so many, and
// more where that is less than enough for an interval of one percentage point, up to
// half; the rest trains, and some of the rest calibrate.
const (
	selectionShare = 0.2
	leastSelection = 400
	maxSelection   = 10000
	maxProbe       = 512
	heldOutShare   = 0.2
)

// Divide splits examples by use. Without held-out examples a fifth of the
// training examples is set aside. Equal seeds give equal parts. It is an error
// if there are too few examples for a part to have any.
//
// Where nothing is to be trained, the examples that do not calibrate select.
func Divide(train, heldOut *data.Set, trains bool, seed uint64) (Parts, error) {
	p := Parts{HeldOut: heldOut, HeldOutFrom: "the source's own test examples"}
	if heldOut == nil {
		train, p.HeldOut = HoldOut(train, seed)
		p.TrainingCuts = append(p.TrainingCuts, HoldOutCut(seed))
		p.HeldOutFrom = "a fifth of the examples, set aside by seed"
	}
	n := float64(max(1, train.Len()))
	share := max(selectionShare, min(0.5, leastSelection/n))
	if !trains {
		share = max(share, 1-maxProbe/n)
	}
	share = min(share, maxSelection/n)
	cut := data.Cut{Fractions: []float64{1 - share, share}, Seed: seed, Purpose: "selection"}
	p.TrainingCuts = append(p.TrainingCuts, cut)
	parts := data.Split(train, cut.Fractions, cut.Seed, cut.Purpose)
	p.Training, p.Selection = parts[0], parts[1]
	p.Calibration = p.Training
	if share = min(1, float64(maxProbe)/float64(max(1, p.Training.Len()))); share < 1 {
		p.Calibration = data.Split(p.Training, []float64{share, 1 - share}, seed, "calibration")[0]
	}
	if p.Training.Len() == 0 || p.Selection.Len() == 0 || p.HeldOut.Len() == 0 {
		return Parts{}, fmt.Errorf("divide %q: examples: got %d to train on, %d to select by and %d held out, want at least one of each", train.Name(),
			p.Training.Len(), p.Selection.Len(), p.HeldOut.Len())
	}
	return p, nil
}

// HoldOut sets a fifth of the examples aside, the same for equal seeds.
func HoldOut(all *data.Set, seed uint64) (rest, heldOut *data.Set) {
	cut := HoldOutCut(seed)
	parts := data.Split(all, cut.Fractions, cut.Seed, cut.Purpose)
	return parts[0], parts[1]
}

// HoldOutCut is what [HoldOut] leaves of a set.
func HoldOutCut(seed uint64) data.Cut {
	return data.Cut{Fractions: []float64{1 - heldOutShare, heldOutShare}, Seed: seed, Purpose: "held-out"}
}
