package train

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"math"
	"slices"

	"github.com/compactify/compactify/format/safetensors"
	"github.com/compactify/compactify/internal/jsonnum"
	"github.com/compactify/compactify/tensor"
)

// State is all that training goes on from after an epoch: with it, the model and
// the same options, [Run] ends with the bytes of a run that was not interrupted.
type State struct {
	Settings string // whatever names model, data and options; the caller compares it
	Epochs   []Epoch
	Steps    int
	Descent  *Descent // nil without a monitor; without the witness of the largest rise

	weights []savedWeight
	running []safetensors.Named
	best    *bestState
}

// savedWeight is a parameter with the optimiser's memory of it.
type savedWeight struct {
	name       string
	data, m, v []float32
}

// bestState is the best epoch so far of a run with validation examples.
type bestState struct {
	loss  float64
	since int
	at    snapshot
}

// ErrCheckpoint says that bytes are not a whole checkpoint, or that it is another
// run's.
var ErrCheckpoint = errors.New("not the checkpoint of this run")

func (t *trainer) state() *State {
	s := &State{Epochs: t.records, Steps: t.done}
	for _, w := range t.weights {
		s.weights = append(s.weights, savedWeight{w.param.Name, w.data, w.m, w.v})
	}
	for _, r := range t.running {
		s.running = append(s.running, safetensors.Named{Name: r.param.Name, Tensor: r.param.Data})
	}
	if t.watch != nil {
		d := t.watch.descent
		s.Descent = &d
	}
	if v := t.validator; v != nil {
		s.best = &bestState{v.bestLoss, v.since, v.best}
	}
	return s
}

// resume puts a state in place.
func (t *trainer) resume() error {
	s := t.o.From
	if s == nil {
		return nil
	}
	fail := func(format string, args ...any) error {
		return fmt.Errorf("resume: %w: "+format, append([]any{ErrCheckpoint}, args...)...)
	}
	if len(s.weights) != len(t.weights) || len(s.running) != len(t.running) {
		return fail("got %d weights and %d statistics, want %d and %d", len(s.weights), len(s.running), len(t.weights), len(t.running))
	}
	if len(s.Epochs) > t.o.Epochs || t.steps/t.o.Epochs*len(s.Epochs) != s.Steps {
		return fail("got %d steps in %d epochs, want %d an epoch and at most %d epochs", s.Steps, len(s.Epochs), t.steps/t.o.Epochs, t.o.Epochs)
	}
	if (s.best != nil) != (t.validator != nil) || (s.Descent != nil) != (t.watch != nil) {
		return fail("validation examples %v, monitor %v, want %v and %v", s.best != nil, s.Descent != nil, t.validator != nil, t.watch != nil)
	}
	for i, w := range t.weights {
		from := s.weights[i]
		if from.name != w.param.Name || len(from.data) != len(w.data) || len(from.m) != len(w.m) || len(from.v) != len(w.v) {
			return fail("weight %d: got %q with %d values, %d and %d moments, want %q with %d, %d and %d", i,
				from.name, len(from.data), len(from.m), len(from.v), w.param.Name, len(w.data), len(w.m), len(w.v))
		}
		copy(w.data, from.data)
		copy(w.m, from.m)
		copy(w.v, from.v)
	}
	for i, r := range t.running {
		if s.running[i].Name != r.param.Name || len(s.running[i].Raw()) != len(r.param.Data.Raw()) {
			return fail("statistic %d: got %q, want %q", i, s.running[i].Name, r.param.Name)
		}
		copy(r.param.Data.Raw(), s.running[i].Raw())
	}
	t.done, t.records = s.Steps, slices.Clone(s.Epochs)
	if t.watch != nil {
		t.watch.descent = *s.Descent
		t.watch.descent.Samples = slices.Clone(s.Descent.Samples)
		t.watch.start.take(t)
	}
	return t.resumeBest(s.best, fail)
}

func (t *trainer) resumeBest(b *bestState, fail func(string, ...any) error) error {
	v := t.validator
	if v == nil {
		return nil
	}
	v.bestLoss, v.since, v.best.of = b.loss, b.since, b.at.of
	for i, w := range b.at.weights {
		if len(w) != len(v.best.weights[i]) {
			return fail("best weight %d: got %d values, want %d", i, len(w), len(v.best.weights[i]))
		}
		copy(v.best.weights[i], w)
	}
	for i, r := range b.at.running {
		if len(r) != len(v.best.running[i]) {
			return fail("best statistic %d: got %d bytes, want %d", i, len(r), len(v.best.running[i]))
		}
		copy(v.best.running[i], r)
	}
	return nil
}

// stateHead is the part of a checkpoint that is not tensors.
type stateHead struct {
	Format   string        `json:"format"`
	Version  int           `json:"version"`
	Settings string        `json:"settings"`
	Steps    int           `json:"steps"`
	Epochs   []epochJSON   `json:"epochs"`
	Descent  *descentJSON  `json:"descent,omitempty"`
	Weights  []string      `json:"weights"`
	Running  []string      `json:"running,omitempty"`
	Best     *bestHeadJSON `json:"best,omitempty"`
}

type bestHeadJSON struct {
	Loss  jsonnum.Float `json:"loss"`
	Since int           `json:"since"`
	Of    int           `json:"of"`
}

// epochJSON is an [Epoch] with numbers that JSON has no form of.
type epochJSON struct {
	Numbers [7]jsonnum.Float `json:"n"`
	Zeros   int              `json:"zeros"`
}

// descentJSON is a [Descent] without its witness.
type descentJSON struct {
	Counts  [4]int              `json:"counts"`
	Of      string              `json:"function"`
	Numbers [3]jsonnum.Float    `json:"n"`
	Steps   [][2]int            `json:"steps"`
	Samples [][13]jsonnum.Float `json:"samples"`
}

const (
	stateFormat  = "compactify-checkpoint"
	stateVersion = 1
	headKey      = "state"
	sumKey       = "sha256"
)

// Encode writes the state as a safetensors file: tensors "weight/NAME", "m/NAME",
// "v/NAME", "running/NAME" and "best/…", the rest as JSON in its metadata beside the
// SHA-256 of everything.
func (s *State) Encode() ([]byte, error) {
	h := stateHead{Format: stateFormat, Version: stateVersion, Settings: s.Settings, Steps: s.Steps, Epochs: []epochJSON{}, Weights: []string{}}
	for _, e := range s.Epochs {
		h.Epochs = append(h.Epochs, epochToJSON(e))
	}
	if s.Descent != nil {
		h.Descent = descentToJSON(s.Descent)
	}
	f := &safetensors.File{}
	add := func(name string, v []float32) {
		if v != nil {
			f.Tensors = append(f.Tensors, safetensors.Named{Name: name, Tensor: tensor.Of(v, len(v))})
		}
	}
	for _, w := range s.weights {
		h.Weights = append(h.Weights, w.name)
		add("weight/"+w.name, w.data)
		add("m/"+w.name, w.m)
		add("v/"+w.name, w.v)
	}
	for _, r := range s.running {
		h.Running = append(h.Running, r.Name)
		f.Tensors = append(f.Tensors, safetensors.Named{Name: "running/" + r.Name, Tensor: r.Tensor})
	}
	if b := s.best; b != nil {
		h.Best = &bestHeadJSON{jsonnum.Float(b.loss), b.since, b.at.of}
		for i, w := range s.weights {
			add("best/"+w.name, b.at.weights[i])
		}
		for i, r := range s.running {
			f.Tensors = append(f.Tensors, safetensors.Named{Name: "best-running/" + r.Name, Tensor: tensor.Of(b.at.running[i], len(b.at.running[i]))})
		}
	}
	head, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encode checkpoint: %w", err)
	}
	f.Metadata = map[string]string{headKey: string(head), sumKey: checksum(string(head), f.Tensors)}
	return safetensors.Encode(f)
}

// checksum is the SHA-256 of head and tensors, whatever their order.
func checksum(head string, tensors []safetensors.Named) string {
	sorted := slices.Clone(tensors)
	slices.SortFunc(sorted, func(a, b safetensors.Named) int {
		switch {
		case a.Name < b.Name:
			return -1
		case a.Name > b.Name:
			return 1
		}
		return 0
	})
	sum := sha256.New()
	part := func(h hash.Hash, b []byte) {
		fmt.Fprintf(h, "%d\n", len(b))
		h.Write(b)
	}
	part(sum, []byte(head))
	for _, t := range sorted {
		part(sum, []byte(t.Name))
		part(sum, t.Raw())
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// DecodeState reads what [State.Encode] wrote. The error wraps [ErrCheckpoint] if it
// is anything else, cut short or altered.
func DecodeState(file []byte) (*State, error) {
	fail := func(err error) (*State, error) { return nil, fmt.Errorf("decode checkpoint: %w: %w", ErrCheckpoint, err) }
	f, err := safetensors.Decode(file)
	if err != nil {
		return fail(err)
	}
	head := f.Metadata[headKey]
	if got, want := checksum(head, f.Tensors), f.Metadata[sumKey]; got != want {
		return fail(fmt.Errorf("SHA-256: got %.12s…, want %.12s…: the file was altered or is not a checkpoint", got, want))
	}
	var h stateHead
	if err := json.Unmarshal([]byte(head), &h); err != nil {
		return fail(err)
	}
	if h.Format != stateFormat || h.Version != stateVersion {
		return fail(fmt.Errorf("format: got %q of version %d, want %q of version %d", h.Format, h.Version, stateFormat, stateVersion))
	}
	s := &State{Settings: h.Settings, Steps: h.Steps}
	for _, e := range h.Epochs {
		s.Epochs = append(s.Epochs, e.epoch())
	}
	if h.Descent != nil {
		if s.Descent, err = h.Descent.descent(); err != nil {
			return fail(err)
		}
	}
	if err := s.tensors(f, h); err != nil {
		return fail(err)
	}
	return s, nil
}

// tensors fills in what the file's tensors hold.
func (s *State) tensors(f *safetensors.File, h stateHead) error {
	get := func(name string, need bool) ([]float32, error) {
		t, ok := f.Tensor(name)
		if !ok && !need {
			return nil, nil
		}
		if !ok || t.DType() != tensor.Float32 {
			return nil, fmt.Errorf("tensor %q: got %v, want one of float32", name, ok)
		}
		return t.Float32s(), nil
	}
	if h.Best != nil {
		s.best = &bestState{loss: float64(h.Best.Loss), since: h.Best.Since, at: snapshot{of: h.Best.Of}}
	}
	for _, name := range h.Weights {
		w := savedWeight{name: name}
		var err error
		if w.data, err = get("weight/"+name, true); err != nil {
			return err
		}
		if w.m, err = get("m/"+name, false); err != nil {
			return err
		}
		if w.v, err = get("v/"+name, false); err != nil {
			return err
		}
		s.weights = append(s.weights, w)
		if s.best != nil {
			best, err := get("best/"+name, true)
			if err != nil {
				return err
			}
			s.best.at.weights = append(s.best.at.weights, best)
		}
	}
	for _, name := range h.Running {
		t, ok := f.Tensor("running/" + name)
		if !ok {
			return fmt.Errorf("tensor %q: missing", "running/"+name)
		}
		s.running = append(s.running, safetensors.Named{Name: name, Tensor: t})
		if s.best != nil {
			t, ok := f.Tensor("best-running/" + name)
			if !ok {
				return fmt.Errorf("tensor %q: missing", "best-running/"+name)
			}
			s.best.at.running = append(s.best.at.running, t.Raw())
		}
	}
	return nil
}

func epochToJSON(e Epoch) epochJSON {
	j := epochJSON{Zeros: e.Zeros}
	for i, x := range []float64{e.Loss, e.Metric, e.Norm, e.Lambda, e.Rate, e.Penalty, e.ValidLoss} {
		j.Numbers[i] = jsonnum.Float(x)
	}
	return j
}
