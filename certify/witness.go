package certify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/compactify/compactify/format/safetensors"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/jsonnum"
	"github.com/compactify/compactify/tensor"
	"github.com/compactify/compactify/train"
)

// Witness refutes a claim by comparing two points: the claim supposes that L + λR at B
// is not above that at A, or the other way round, and it is.
type Witness struct {
	Claim   string          // the id
	What    string          // in words, what leads from A to B
	Data    string          // [data.Set.Hash] of the examples
	Output  string          // of the model
	Penalty []train.Penalty // at one λ
	A, B    Measured
}

// Measured is a point with its loss and objective, over all examples.
type Measured struct {
	Loss      float64
	Objective float64 // L + λR
	weights   []safetensors.Named
}

// ErrWitness says that bytes are not a witness, or one of another model or of other
// examples.
var ErrWitness = errors.New("not a witness of this subject")

const (
	witnessFormat  = "compactify-witness"
	witnessVersion = 1
	witnessKey     = "witness"
	checksumKey    = "sha256"
)

// witnessHead is what of a witness is not tensors.
type witnessHead struct {
	Format  string        `json:"format"`
	Version int           `json:"version"`
	Claim   string        `json:"claim"`
	What    string        `json:"what"`
	Data    string        `json:"data"`
	Output  string        `json:"output,omitempty"`
	Penalty []witnessTerm `json:"penalty"`
	A       witnessPoint  `json:"a"`
	B       witnessPoint  `json:"b"`
}

type witnessTerm struct {
	Kind   train.PenaltyKind `json:"kind"`
	Lambda jsonnum.Float     `json:"lambda"`
	Alpha  jsonnum.Float     `json:"alpha"`
}

type witnessPoint struct {
	Loss      jsonnum.Float `json:"loss"`
	Objective jsonnum.Float `json:"objective"`
}

// compare makes a witness of two points. Their figures are filled in by
// [settle].
func (j *judge) compare(claim, what string, a, b []float64, penalty ...train.Penalty) *Witness {
	w := &Witness{Claim: claim, What: what, Data: j.s.Set.Hash(), Output: j.s.Output, Penalty: penalty}
	for _, p := range []struct {
		to *Measured
		x  []float64
	}{{&w.A, a}, {&w.B, b}} {
		g := j.whole.Model(p.x)
		for _, block := range j.whole.Blocks() {
			for _, param := range g.Params {
				if param.Name == block.Name {
					p.to.weights = append(p.to.weights, safetensors.Named{Name: block.Name, Tensor: param.Data})
				}
			}
		}
	}
	return w
}

// settle computes the figures of a witness over the subject's examples.
func settle(ctx context.Context, s *Subject, o Options, w *Witness) error {
	for _, p := range []*Measured{&w.A, &w.B} {
		f, err := train.NewObjective(s.Model, s.Set, train.ObjectiveOptions{Pool: o.Pool, Output: w.Output})
		if err != nil {
			return err
		}
		x, err := pointOf(f, p.weights)
		if err != nil {
			return err
		}
		if p.Loss, err = f.Loss(ctx, x); err != nil {
			return err
		}
		p.Objective = p.Loss
		g := f.Model(x)
		for _, term := range w.Penalty {
			if term.Kind != train.MaxNorm {
				p.Objective += term.Lambda.At(0, 1) * term.Value(g)
			}
		}
	}
	return nil
}

// pointOf is θ from tensors by name.
func pointOf(f *train.Objective, weights []safetensors.Named) ([]float64, error) {
	blocks := f.Blocks()
	if len(weights) != len(blocks) {
		return nil, fmt.Errorf("%w: got %d parameters, want %d", ErrWitness, len(weights), len(blocks))
	}
	x := make([]float64, 0, f.Dim())
	for _, b := range blocks {
		i := slices.IndexFunc(weights, func(n safetensors.Named) bool { return n.Name == b.Name })
		if i < 0 || weights[i].DType() != tensor.Float32 || weights[i].Len() != b.Len {
			return nil, fmt.Errorf("%w: parameter %q: got none of %d float32 values", ErrWitness, b.Name, b.Len)
		}
		x = append(x, weights[i].Float64s()...)
	}
	return x, nil
}

// Encode writes the witness as a safetensors file with a checksum.
func (w *Witness) Encode() ([]byte, error) {
	h := witnessHead{Format: witnessFormat, Version: witnessVersion, Claim: w.Claim, What: w.What, Data: w.Data, Output: w.Output, Penalty: []witnessTerm{},
		A: witnessPoint{jsonnum.Float(w.A.Loss), jsonnum.Float(w.A.Objective)}, B: witnessPoint{jsonnum.Float(w.B.Loss), jsonnum.Float(w.B.Objective)}}
	for _, p := range w.Penalty {
		h.Penalty = append(h.Penalty, witnessTerm{p.Kind, jsonnum.Float(p.Lambda.At(0, 1)), jsonnum.Float(p.Alpha)})
	}
	head, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encode witness: %w", err)
	}
	f := &safetensors.File{}
	for prefix, list := range map[string][]safetensors.Named{"a/": w.A.weights, "b/": w.B.weights} {
		for _, n := range list {
			f.Tensors = append(f.Tensors, safetensors.Named{Name: prefix + n.Name, Tensor: n.Tensor})
		}
	}
	f.Metadata = map[string]string{witnessKey: string(head), checksumKey: checksum(string(head), f.Tensors)}
	return safetensors.Encode(f)
}

// DecodeWitness reads what [Witness.Encode] wrote. The error wraps [ErrWitness] if it
// is anything else, cut short or altered.
func DecodeWitness(file []byte) (*Witness, error) {
	w, err := decodeWitness(file)
	if err != nil {
		return nil, fmt.Errorf("decode witness: %w: %w", ErrWitness, err)
	}
	return w, nil
}

func decodeWitness(file []byte) (*Witness, error) {
	f, err := safetensors.Decode(file)
	if err != nil {
		return nil, err
	}
	head := f.Metadata[witnessKey]
	if got, want := checksum(head, f.Tensors), f.Metadata[checksumKey]; got != want {
		return nil, fmt.Errorf("SHA-256: got %.12s…, want %.12s…: the file was altered or is not a witness", got, want)
	}
	var h witnessHead
	if err := json.Unmarshal([]byte(head), &h); err != nil {
		return nil, err
	}
	w, err := h.witness()
	if err != nil {
		return nil, err
	}
	for _, n := range f.Tensors {
		if name, ok := strings.CutPrefix(n.Name, "a/"); ok {
			w.A.weights = append(w.A.weights, safetensors.Named{Name: name, Tensor: n.Tensor})
		} else if name, ok := strings.CutPrefix(n.Name, "b/"); ok {
			w.B.weights = append(w.B.weights, safetensors.Named{Name: name, Tensor: n.Tensor})
		} else {
			return nil, fmt.Errorf("tensor %q: want a/NAME or b/NAME", n.Name)
		}
	}
	return w, nil
}

// witness is what a head says, without the points.
func (h witnessHead) witness() (*Witness, error) {
	if h.Format != witnessFormat || h.Version != witnessVersion {
		return nil, fmt.Errorf("format: got %q of version %d, want %q of version %d", h.Format, h.Version, witnessFormat, witnessVersion)
	}
	w := &Witness{Claim: h.Claim, What: h.What, Data: h.Data, Output: h.Output,
		A: Measured{Loss: float64(h.A.Loss), Objective: float64(h.A.Objective)}, B: Measured{Loss: float64(h.B.Loss), Objective: float64(h.B.Objective)}}
	for i, p := range h.Penalty {
		alpha, lambda := float64(p.Alpha), float64(p.Lambda)
		if !slices.Contains(train.PenaltyKinds, p.Kind) || !(alpha >= 0 && alpha <= 1) || !(lambda >= 0) {
			return nil, fmt.Errorf("penalty %d: got %q with λ = %v and α = %v", i+1, p.Kind, lambda, alpha)
		}
		w.Penalty = append(w.Penalty, train.Penalty{Kind: p.Kind, Lambda: train.Always(lambda), Alpha: alpha})
	}
	return w, nil
}

// checksum is the SHA-256 of head and tensors in the order of their names.
func checksum(head string, tensors []safetensors.Named) string {
	sorted := slices.Clone(tensors)
	slices.SortFunc(sorted, func(a, b safetensors.Named) int { return strings.Compare(a.Name, b.Name) })
	sum := sha256.New()
	fmt.Fprintf(sum, "%d\n%s", len(head), head)
	for _, t := range sorted {
		fmt.Fprintf(sum, "%d\n%s%v%v", len(t.Name), t.Name, t.DType(), t.Shape())
		sum.Write(t.Raw())
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// Replayed says whether a witness comes out again.
type Replayed struct {
	Claim     string   `json:"claim"`
	Statement string   `json:"statement"`
	Figures   []Figure `json:"figures"`
	Confirmed bool     `json:"confirmed"` // the figures agree and refute the claim
}

// Figure is a number as a witness has it, and as it comes out again.
type Figure struct {
	Name     string        `json:"name"`
	Recorded jsonnum.Float `json:"recorded"`
	Again    jsonnum.Float `json:"again"`
	OK       bool          `json:"ok"`
}

// figure compares; the tolerance is the rounding of losses in float32.
func figure(name string, recorded, again float64) Figure {
	same := agrees(again, recorded) || math.IsNaN(recorded) && math.IsNaN(again) || recorded == again
	return Figure{name, jsonnum.Float(recorded), jsonnum.Float(again), same}
}

func (r *Replayed) agree() bool {
	return !slices.ContainsFunc(r.Figures, func(f Figure) bool { return !f.OK })
}

// Replay computes a witness again on the subject's model and examples: one that
// [Certify] brought, or the rise that a training run kept. The error wraps
// [ErrWitness], or [train.ErrWitness], if the file is none or does not belong to the
// subject; that it does not come out again is no error but an answer.
func Replay(ctx context.Context, s *Subject, file []byte, o Options) (*Replayed, error) {
	if f, err := safetensors.Decode(file); err == nil && f.Metadata[witnessKey] == "" {
		rise, err := train.DecodeRise(file)
		if err != nil {
			return nil, fmt.Errorf("replay: %w", err)
		}
		return replayRise(ctx, s, rise, o)
	}
	w, err := DecodeWitness(file)
	if err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	if s.Set == nil {
		return nil, fmt.Errorf("replay: %w", ErrNoData)
	}
	if hash := s.Set.Hash(); hash != w.Data {
		return nil, fmt.Errorf("replay: %w: SHA-256 of the examples: got %.16s…, want %.16s…", ErrWitness, hash, w.Data)
	}
	if err := w.belongs(s); err != nil {
		return nil, fmt.Errorf("replay: %w: %w", ErrWitness, err)
	}
	again := *w
	if err := settle(ctx, s, o, &again); err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	r := &Replayed{Claim: w.Claim, Statement: w.What + " raises L + λR", Figures: []Figure{
		figure("loss_a", w.A.Loss, again.A.Loss), figure("loss_b", w.B.Loss, again.B.Loss),
		figure("objective_a", w.A.Objective, again.A.Objective), figure("objective_b", w.B.Objective, again.B.Objective)}}
	r.Confirmed = r.agree() && !(again.B.Objective <= again.A.Objective)
	return r, nil
}

// belongs holds a witness of one folder against another: one of row 11 compares two
// models of the walk, one of row 5 is about the λ at which this walk says that it is at
// 0, one of row 8 begins at the model.
func (w *Witness) belongs(s *Subject) error {
	among := func(points ...[]safetensors.Named) bool {
		models := []*graph.Graph{s.Model}
		for _, p := range s.Models {
			models = append(models, p.Model)
		}
		for _, point := range points {
			if !slices.ContainsFunc(models, func(g *graph.Graph) bool { return holdsWeights(g, point) }) {
				return false
			}
		}
		return true
	}
	switch {
	case w.Claim == "row8" && !among(w.A.weights):
		return errors.New("it begins at weights that are not the model's")
	case w.Claim == "row11" && !among(w.A.weights, w.B.weights):
		return errors.New("it compares weights that no model of the walk has")
	case w.Claim == "row5" && (s.Walk == nil || len(w.Penalty) != 1 || len(s.Penalties) != 1 || w.Penalty[0].Kind != s.Penalties[0].Kind ||
		w.Penalty[0].Lambda.At(0, 1) != s.Walk.Arrival):
		return errors.New("it is about another penalty or λ than that of the walk's arrival")
	}
	return nil
}

// holdsWeights reports whether a model has exactly these weights.
func holdsWeights(g *graph.Graph, weights []safetensors.Named) bool {
	for _, n := range weights {
		i := slices.IndexFunc(g.Params, func(p *graph.Param) bool { return p.Name == n.Name })
		if i < 0 || !slices.Equal(g.Params[i].Data.Float64s(), n.Float64s()) {
			return false
		}
	}
	return true
}

// replayRise computes the rise of a measured step again, on its own batch. Under
// momentum the energy before the step has a part, (μ/2η)‖θ_k − θ_{k−1}‖², that the
// witness holds as a number alone.
func replayRise(ctx context.Context, s *Subject, rise *train.Rise, o Options) (*Replayed, error) {
	before, after, err := rise.Replay(ctx, s.Model, o.Pool)
	if err != nil {
		return nil, err
	}
	fall, square := 0.0, 0.0
	terms := s.Penalties
	if s.Record != nil {
		terms = penaltiesAt(s.Record, rise.Epoch)
	}
	from, err := withWeights(s, rise, false)
	if err != nil {
		return nil, err
	}
	to, err := withWeights(s, rise, true)
	if err != nil {
		return nil, err
	}
	for _, p := range terms {
		if p.Kind != train.MaxNorm {
			fall += p.Lambda.At(0, 1) * (p.Value(from) - p.Value(to))
		}
	}
	for i, w := range rise.Before {
		for k, x := range w.Data {
			d := float64(rise.After[i].Data[k]) - float64(x)
			square += d * d
		}
	}
	kinetic := 0.0
	if s.Record != nil && rise.EnergyAfter != rise.ObjectiveAfter {
		kinetic = float64(s.Record.Momentum) / (2 * rise.Rate) * square
	}
	change := after - before - fall + kinetic - (rise.Energy - rise.Objective)
	r := &Replayed{Claim: "row8", Statement: fmt.Sprintf("step %d raised the %s", rise.Step, rise.Function), Figures: []Figure{
		figure("loss_before", rise.Sample.Loss, before), figure("loss_after", rise.LossAfter, after), figure("rise", rise.EnergyAfter-rise.Energy, change)}}
	r.Confirmed = r.agree() && !(change <= 0)
	return r, nil
}
