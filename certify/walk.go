package certify

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/internal/jsonnum"
	"github.com/compactify/compactify/train"
)

// arrivalFile is the model that gives a walk its lower bound of the arrival at 0.
const arrivalFile = "arrival-witness.onnx"

// WalkRecord is what the folder of a walk says of it.
type WalkRecord struct {
	Points  []WalkPoint
	Claimed []ClaimedMinimiser
	Arrival float64 // λ from which on the walk says that θ_λ = 0; NaN if it does not say
}

// WalkPoint is a line of points.jsonl.
type WalkPoint struct {
	T     jsonnum.Float `json:"t"`
	Param jsonnum.Float `json:"param"`
	Loss  jsonnum.Float `json:"loss"`
	Norm  jsonnum.Float `json:"norm"`
}

// ClaimedMinimiser is a point of a path of penalties, whose weights are said to
// minimise L + λR over all weights.
type ClaimedMinimiser struct {
	T       jsonnum.Float `json:"t"`
	Lambda  jsonnum.Float `json:"lambda"`
	Loss    jsonnum.Float `json:"loss"`    // L on the examples that train
	Penalty jsonnum.Float `json:"penalty"` // R
	Given   bool          `json:"given"`   // claims nothing, may refute others
	File    string        `json:"file"`    // of the model, if it is kept
}

// walkResult is what of a walk's result.json matters here.
type walkResult struct {
	Kind       string             `json:"kind"`
	Data       *data.Origin       `json:"data"`
	Alpha      jsonnum.Float      `json:"alpha"`
	Minimisers []ClaimedMinimiser `json:"minimisers"`
	Arrival    *jsonnum.Float     `json:"arrival_lambda"`
}

// walked reads the folder of a walk.
func (f *folder) walked(s *Subject, from Source) error {
	var r walkResult
	if f.has(resultFile) {
		if err := f.readJSON(resultFile, &r); err != nil {
			return err
		}
	}
	s.Path = r.Kind
	w := &WalkRecord{Arrival: math.NaN(), Claimed: r.Minimisers}
	if r.Arrival != nil {
		w.Arrival = float64(*r.Arrival)
	}
	for i, line := range f.Points {
		var p WalkPoint
		if err := json.Unmarshal(line, &p); err != nil {
			return fmt.Errorf(pointsFile+": line %d: %w", i+1, err)
		}
		w.Points = append(w.Points, p)
	}
	slices.SortStableFunc(w.Points, func(a, b WalkPoint) int { return cmp.Compare(a.T, b.T) })
	s.Walk = w
	if err := f.places(s); err != nil {
		return err
	}
	if f.has(arrivalFile) {
		g, err := f.model(arrivalFile)
		if err != nil {
			return err
		}
		s.Models = append(s.Models, Place{math.NaN(), arrivalFile, g})
	}
	if len(s.Models) == 0 {
		return fmt.Errorf("got no model of the walk, want t-….onnx")
	}
	s.File, s.Model = s.Models[0].File, s.Models[0].Model
	if alpha := float64(r.Alpha); !(alpha >= 0 && alpha <= 1) {
		return fmt.Errorf("%s: alpha: got %v, want a number in [0, 1]", resultFile, alpha)
	}
	if kind := train.PenaltyKind(s.Path); slices.Contains(train.PenaltyKinds, kind) && kind != train.MaxNorm {
		s.Penalties = []train.Penalty{{Kind: kind, Lambda: train.Always(w.lambdaOf(s.File)), Alpha: float64(r.Alpha)}}
	}
	if s.Path == "" {
		s.Path = f.asked.kind()
	}
	if r.Data == nil {
		return f.unhashed(s, from)
	}
	var err error
	s.Set, err = openData(*r.Data, from)
	return err
}

// lambdaOf is λ of the point whose model is in a file, 0 if none is.
func (w *WalkRecord) lambdaOf(file string) float64 {
	for _, m := range w.Claimed {
		if lambda := float64(m.Lambda); m.File == file && lambda >= 0 && !math.IsInf(lambda, 1) {
			return lambda
		}
	}
	return 0
}

// places reads the models of a walk, t-0.5.onnx and so on, in the order of t.
func (f *folder) places(s *Subject) error {
	for _, a := range f.Artefacts {
		text, ok := strings.CutPrefix(a.Name, "t-")
		if text, ok = cutSuffix(text, ".onnx", ok); !ok {
			continue
		}
		t, err := strconv.ParseFloat(text, 64)
		if err != nil || !(t >= 0 && t <= 1) {
			return fmt.Errorf("%s: name: want t-T.onnx with T in [0, 1]", a.Name)
		}
		g, err := f.model(a.Name)
		if err != nil {
			return err
		}
		s.Models = append(s.Models, Place{t, a.Name, g})
	}
	slices.SortStableFunc(s.Models, func(a, b Place) int { return cmp.Compare(a.T, b.T) })
	return nil
}

func cutSuffix(text, suffix string, ok bool) (string, bool) {
	rest, found := strings.CutSuffix(text, suffix)
	return rest, ok && found
}
