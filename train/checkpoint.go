package train

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/compactify/compactify/format/safetensors"
	"github.com/compactify/compactify/tensor"
)

// State is all that training goes on from after an epoch: with it, the model and
// the same options, [Run] ends with the bytes of a run that was not interrupted.
type State struct {
	Settings string // whatever names model, data and options; the caller compares it
	Epochs   []Epoch
	Steps    int
	Descent  *Descent // nil without a monitor

	weights []savedWeight
	running []safetensors.Named
	best    *bestState
	quasi   *quasiState // of L-BFGS alone, instead of weights
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
	if s.quasi != nil {
		return fail("it is one of L-BFGS")
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
	Format   string    `json:"format"`
	Version  int       `json:"version"`
	Settings string    `json:"settings"`
	Steps    int       `json:"steps"`
	Function string    `json:"function,omitempty"` // of the descent; "" without one
	Counts   [4]int    `json:"counts,omitempty"`   // of the descent
	Weights  []string  `json:"weights"`
	Running  []string  `json:"running,omitempty"`
	Best     *bestHead `json:"best,omitempty"`
}

// bestHead is a bestState without its loss and tensors.
type bestHead struct {
	Since int `json:"since"`
	Of    int `json:"of"`
}

const (
	stateFormat  = "compactify-checkpoint"
	stateVersion = 1
	headKey      = "state"
)

// Encode writes the state as a safetensors file: float32 tensors "weight/NAME", the
// optimiser's "m/NAME" and "v/NAME", "running/NAME" and "best/NAME"; float64 tables
// "epochs", "samples" and "figures"; the witness "rise", a file of its own; and in the
// metadata the rest as JSON beside the SHA-256 of the file.
func (s *State) Encode() ([]byte, error) {
	var b bytes.Buffer
	err := s.EncodeTo(&b)
	return b.Bytes(), err
}

// EncodeTo is [State.Encode] into a writer.
func (s *State) EncodeTo(to io.Writer) error {
	h := stateHead{Format: stateFormat, Version: stateVersion, Settings: s.Settings, Steps: s.Steps, Weights: []string{}}
	f := &safetensors.File{}
	add := func(name string, t tensor.Tensor) {
		f.Tensors = append(f.Tensors, safetensors.Named{Name: name, Tensor: t})
	}
	add("epochs", tableOf(s.Epochs, Epoch.row))
	figures := []float64{0, 0, 0, 0}
	if d := s.Descent; d != nil {
		h.Function, h.Counts = d.Function, [4]int{d.Steps, d.Measured, d.Increases, d.AtEdge}
		copy(figures, []float64{d.Largest, d.Total, d.MaxKappa})
		add("samples", tableOf(d.Samples, Sample.row))
		if d.Rise != nil {
			file, err := d.Rise.Encode()
			if err != nil {
				return fmt.Errorf("encode checkpoint: %w", err)
			}
			add("rise", tensor.Of(file, len(file)))
		}
	}
	if b := s.best; b != nil {
		h.Best, figures[3] = &bestHead{b.since, b.at.of}, b.loss
	}
	add("figures", tensor.Of(figures, len(figures)))
	for i, w := range s.weights {
		h.Weights = append(h.Weights, w.name)
		add("weight/"+w.name, tensor.Of(w.data, len(w.data)))
		if w.m != nil {
			add("m/"+w.name, tensor.Of(w.m, len(w.m)))
		}
		if w.v != nil {
			add("v/"+w.name, tensor.Of(w.v, len(w.v)))
		}
		if s.best != nil {
			add("best/"+w.name, tensor.Of(s.best.at.weights[i], len(w.data)))
		}
	}
	for i, r := range s.running {
		h.Running = append(h.Running, r.Name)
		add("running/"+r.Name, r.Tensor)
		if s.best != nil {
			add("best-running/"+r.Name, tensor.Of(s.best.at.running[i], len(s.best.at.running[i])))
		}
	}
	for _, t := range s.quasi.tensors() {
		add(t.Name, t.Tensor)
	}
	head, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("encode checkpoint: %w", err)
	}
	f.Metadata = map[string]string{headKey: string(head)}
	return seal(to, f)
}

// tableOf makes a row of numbers of each item.
func tableOf[T any](items []T, row func(T) []float64) tensor.Tensor {
	var none T
	columns := len(row(none))
	t := tensor.New(tensor.Float64, len(items), columns)
	for i, item := range items {
		copy(tensor.Data[float64](t)[i*columns:], row(item))
	}
	return t
}

// rowsOf reads a table that [tableOf] wrote.
func rowsOf[T any](f *safetensors.File, name string, columns int, item func([]float64) T) ([]T, error) {
	t, ok := f.Tensor(name)
	if !ok || t.DType() != tensor.Float64 || t.Rank() != 2 || t.Shape()[1] != columns {
		return nil, fmt.Errorf("table %q: got %v, want float64 in %d columns", name, t, columns)
	}
	var list []T
	for data := t.Float64s(); len(data) > 0; data = data[columns:] {
		list = append(list, item(data[:columns]))
	}
	return list, nil
}

func (e Epoch) row() []float64 {
	return []float64{e.Loss, e.Metric, e.Norm, e.Lambda, e.Rate, e.Penalty, float64(e.Zeros), e.ValidLoss, e.ValidMetric, e.Turn}
}

func epochOf(r []float64) Epoch {
	return Epoch{Loss: r[0], Metric: r[1], Norm: r[2], Lambda: r[3], Rate: r[4], Penalty: r[5], Zeros: int(r[6]), ValidLoss: r[7], ValidMetric: r[8], Turn: r[9]}
}

func (s Sample) row() []float64 {
	return []float64{float64(s.Step), float64(s.Epoch), s.Rate, s.Lambda, s.Loss, s.LossAfter, s.Objective, s.ObjectiveAfter,
		s.Energy, s.EnergyAfter, s.Kappa, s.Edge, s.Rho, s.Norm, s.GradNorm}
}

func sampleOf(r []float64) Sample {
	return Sample{Step: int(r[0]), Epoch: int(r[1]), Rate: r[2], Lambda: r[3], Loss: r[4], LossAfter: r[5], Objective: r[6], ObjectiveAfter: r[7],
		Energy: r[8], EnergyAfter: r[9], Kappa: r[10], Edge: r[11], Rho: r[12], Norm: r[13], GradNorm: r[14]}
}

// distinct refuses lists that name a tensor twice: each is read into memory of its own.
func distinct(lists ...[]string) error {
	for _, list := range lists {
		seen := make(map[string]bool)
		for _, name := range list {
			if seen[name] {
				return fmt.Errorf("tensor %q: listed twice", name)
			}
			seen[name] = true
		}
	}
	return nil
}

// DecodeState reads what [State.Encode] wrote. The error wraps [ErrCheckpoint] if it
// is anything else, cut short or altered.
func DecodeState(file []byte) (*State, error) {
	fail := func(err error) (*State, error) {
		return nil, fmt.Errorf("decode checkpoint: %w: %w", ErrCheckpoint, err)
	}
	f, err := unseal(file)
	if err != nil {
		return fail(err)
	}
	var h stateHead
	if err := json.Unmarshal([]byte(f.Metadata[headKey]), &h); err != nil {
		return fail(err)
	}
	if h.Format != stateFormat || h.Version != stateVersion {
		return fail(fmt.Errorf("format: got %q of version %d, want %q of version %d", h.Format, h.Version, stateFormat, stateVersion))
	}
	s := &State{Settings: h.Settings, Steps: h.Steps}
	if s.quasi, err = quasiOf(f); err != nil {
		return fail(err)
	}
	for _, read := range []func(*safetensors.File, stateHead) error{s.tables, s.tensors} {
		if err := read(f, h); err != nil {
			return fail(err)
		}
	}
	return s, nil
}

// tables fills in the records.
func (s *State) tables(f *safetensors.File, h stateHead) (err error) {
	if s.Epochs, err = rowsOf(f, "epochs", len(Epoch{}.row()), epochOf); err != nil {
		return err
	}
	t, ok := f.Tensor("figures")
	if !ok || t.DType() != tensor.Float64 || t.Len() != 4 {
		return fmt.Errorf("tensor \"figures\": got %v, want 4 of float64", t)
	}
	figures := t.Float64s()
	if h.Best != nil {
		s.best = &bestState{loss: figures[3], since: h.Best.Since, at: snapshot{of: h.Best.Of}}
	}
	if h.Function == "" {
		return nil
	}
	d := &Descent{Steps: h.Counts[0], Measured: h.Counts[1], Increases: h.Counts[2], AtEdge: h.Counts[3], Function: h.Function,
		Largest: figures[0], Total: figures[1], MaxKappa: figures[2]}
	if d.Samples, err = rowsOf(f, "samples", len(Sample{}.row()), sampleOf); err != nil {
		return err
	}
	if t, ok := f.Tensor("rise"); ok {
		if d.Rise, err = DecodeRise(t.Raw()); err != nil {
			return err
		}
	}
	s.Descent = d
	return nil
}

// tensors fills in what the file's tensors hold.
func (s *State) tensors(f *safetensors.File, h stateHead) error {
	if err := distinct(h.Weights, h.Running); err != nil {
		return err
	}
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
