package train

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/format/safetensors"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// saved runs o and returns what it saves after so many epochs, encoded, beside its end.
func saved(t testing.TB, g *graph.Graph, set *data.Set, o Options, after int) (file []byte, m *graph.Graph, epochs []Epoch) {
	t.Helper()
	o.Save = func(s *State) (err error) {
		if len(s.Epochs) == after {
			s.Settings = "settings of the caller"
			file, err = s.Encode()
		}
		return err
	}
	m, epochs = mustRun(t, g, set, o)
	return file, m, epochs
}

// TestResume: six epochs come to the same bytes as three, a file, and three more:
// weights, records of epochs and descent, for everything that has a memory.
func TestResume(t *testing.T) {
	set, valid := glyphs(t, 32), glyphs(t, 45).Subset([]int{32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44})
	net := normalised(t)
	keep := make([]bool, 108*12)
	for i := range keep {
		keep[i] = i%3 > 0
	}
	all := Dropout{Input: 0.1, Hidden: 0.5, Weights: 0.1}
	rates, _ := ParseSchedule("geom:0.2..0.01")
	lambda, _ := ParseSchedule("linear:0..0.01")
	penalties := []Penalty{{Kind: L1, Lambda: lambda}, {Kind: GroupLasso, Lambda: lambda}, {Kind: MaxNorm, Lambda: Always(2)}}
	for name, o := range map[string]Options{
		"descent":     {Optimizer: SGD, Rate: 0.1, Decay: Cosine},
		"momentum":    {Optimizer: SGD, Rates: rates, Momentum: 0.9, Penalties: penalties, Dropout: all, Monitor: &Monitor{Every: 1}},
		"nesterov":    {Optimizer: Nesterov, Rate: 0.05, Momentum: 0.5, Penalties: penalties, Monitor: &Monitor{}},
		"adam":        {Dropout: all, Smoothing: 0.1, Masks: map[string]*Mask{"fc1": {Keep: keep}}, Penalties: penalties, Vary: 0.3, VaryPart: 0.5},
		"best":        {Rate: 0.01, Validation: valid, Patience: 5, Monitor: &Monitor{Every: 3}},
		"a rise":      {Optimizer: SGD, Rate: 8, Monitor: &Monitor{Every: 1}, Dropout: Dropout{Hidden: 0.3}},
		"frozen part": {Frozen: map[string]bool{"conv": true, "scale": true}, Validation: valid},
	} {
		o.Epochs, o.Batch, o.Seed = 6, 8, 5
		file, whole, epochs := saved(t, net, set, o, 3)
		first := o.Monitor
		if o.Monitor != nil {
			o.Monitor = &Monitor{Every: first.Every}
		}
		o.From = mustDecode(t, file)
		if o.From.Settings != "settings of the caller" || o.From.Steps != 12 || len(o.From.Epochs) != 3 {
			t.Errorf("%s: state: got %q, %d steps, %d epochs, want the caller's settings, 12, 3", name, o.From.Settings, o.From.Steps, len(o.From.Epochs))
		}
		for attempt := range 2 { // the state is not used up
			again, records := mustRun(t, net, set, o)
			if whole.Digest() != again.Digest() {
				t.Errorf("%s, attempt %d: another model than without an interruption", name, attempt)
			}
			if fmt.Sprint(records) != fmt.Sprint(epochs) { // NaN is equal to NaN here
				t.Errorf("%s, attempt %d: epochs: got %v, want %v", name, attempt, records, epochs)
			}
			if o.Monitor != nil {
				if got, want := describe(t, o.Monitor.Descent), describe(t, first.Descent); got != want {
					t.Errorf("%s, attempt %d: descent: got %s, want %s", name, attempt, got, want)
				}
			}
		}
		if name == "a rise" && (first.Descent.Rise == nil || o.From.Descent.Rise == nil || first.Descent.Increases < 2) {
			t.Errorf("%s: got %d increases, and witnesses %v and %v, want some of each", name, first.Descent.Increases, o.From.Descent.Rise, first.Descent.Rise)
		}
		encoded, err := o.From.Encode()
		if err != nil || !bytes.Equal(encoded, file) {
			t.Errorf("%s: encoded anew: got %d other bytes, error %v, want the same %d", name, len(encoded), err, len(file))
		}
	}
}

// describe is all of a descent as text.
func describe(t testing.TB, d Descent) string {
	t.Helper()
	rise := "none"
	if d.Rise != nil {
		file, err := d.Rise.Encode()
		if err != nil {
			t.Fatal(err)
		}
		rise = fmt.Sprintf("%x", file)
	}
	d.Rise = nil
	return fmt.Sprintf("%+v, witness %s", d, rise)
}

// TestResumeOfAFinishedRun gives its result, the best epoch's if there was patience.
func TestResumeOfAFinishedRun(t *testing.T) {
	set, valid := table(t, data.Regress, []float64{1, 1}), table(t, data.Regress, []float64{1, 0.5})
	o := Options{Optimizer: SGD, Rate: 0.05, Epochs: 30, Validation: valid, Patience: 3}
	_, epochs := mustRun(t, linear(t, 1, 0), set, o)
	file, m, _ := saved(t, linear(t, 1, 0), set, o, len(epochs))
	o.From = mustDecode(t, file)
	again, records := mustRun(t, linear(t, 1, 0), set, o)
	if again.Digest() != m.Digest() || len(records) != len(epochs) {
		t.Errorf("got %v after %d epochs, want %v after %d", param(t, again, "w"), len(records), param(t, m, "w"), len(epochs))
	}
}

// smallState is a checkpoint with a witness and a best epoch, small enough to try every
// byte of it.
func smallState(t testing.TB) ([]byte, *graph.Graph, *data.Set, Options) {
	set := table(t, data.Classify, []float64{1, 2, 0}, []float64{3, 4, 1})
	g := linear(t, 2, 1, 2, 3, 4)
	o := Options{Optimizer: Adam, Rate: 3, Epochs: 4, Monitor: &Monitor{Every: 1}, Validation: set}
	file, _, _ := saved(t, g, set, o, 3)
	if mustDecode(t, file).Descent.Rise == nil {
		t.Fatal("no rise in three epochs")
	}
	o.Monitor = &Monitor{Every: 1}
	return file, g, set, o
}

// TestDamagedCheckpoints: whichever byte is changed, and wherever the file is cut, it is
// refused.
func TestDamagedCheckpoints(t *testing.T) {
	file, _, _, _ := smallState(t)
	damaged(t, file, ErrCheckpoint, func(b []byte) error { _, err := DecodeState(b); return err })
}

// damaged tries all bytes and cuts of a file.
func damaged(t *testing.T, file []byte, want error, decode func([]byte) error) {
	t.Helper()
	if err := decode(file); err != nil {
		t.Fatalf("the whole file: %v", err)
	}
	for i := range file {
		for _, flip := range []byte{1, 1 << (i % 8), ' ' ^ '\n', 0xff} {
			bad := slices.Clone(file)
			bad[i] ^= flip
			if err := decode(bad); !errors.Is(err, want) {
				t.Fatalf("byte %d of %d, %q to %q: got error %v, want %v", i, len(file), file[i], bad[i], err, want)
			}
		}
		if err := decode(file[:i]); !errors.Is(err, want) {
			t.Fatalf("cut to %d of %d bytes: got error %v, want %v", i, len(file), err, want)
		}
	}
	if err := decode(append(slices.Clone(file), 0)); !errors.Is(err, want) {
		t.Errorf("one byte more: got error %v, want %v", err, want)
	}
}

// TestHostileCheckpoints: a right sum does not make the rest right, and what is read is
// bounded by what is there.
func TestHostileCheckpoints(t *testing.T) {
	named := func(name string, v tensor.Tensor) safetensors.Named { return safetensors.Named{Name: name, Tensor: v} }
	file, _, _, _ := smallState(t)
	good, err := unseal(file)
	if err != nil {
		t.Fatal(err)
	}
	head := good.Metadata[headKey]
	for name, c := range map[string]struct {
		head string
		add  []safetensors.Named
	}{
		"no head":             {"", nil},
		"another version":     {strings.Replace(head, `"version":1`, `"version":2`, 1), nil},
		"a weight twice":      {strings.Replace(head, `["w"]`, `["w","w"]`, 1), nil},
		"a weight too many":   {strings.Replace(head, `["w"]`, `["w","x"]`, 1), nil},
		"statistics missing":  {strings.Replace(head, `"weights"`, `"running":["mean"],"weights"`, 1), nil},
		"rows without end":    {head, []safetensors.Named{named("lbfgs/point", tensor.New(tensor.Float64, 1<<30, 0))}},
		"a table of integers": {head, []safetensors.Named{named("epochs", tensor.New(tensor.Int64, 3, 10))}},
		"another table":       {head, []safetensors.Named{named("samples", tensor.New(tensor.Float64, 3, 14))}},
		"weights of integers": {head, []safetensors.Named{named("m/w", tensor.New(tensor.Int32, 4))}},
		"no witness":          {head, []safetensors.Named{named("rise", tensor.New(tensor.Uint8, 4))}},
	} {
		f := &safetensors.File{Metadata: map[string]string{headKey: c.head}, Tensors: slices.Clone(c.add)}
		for _, v := range good.Tensors {
			if !slices.ContainsFunc(c.add, func(w safetensors.Named) bool { return w.Name == v.Name }) {
				f.Tensors = append(f.Tensors, v)
			}
		}
		var b bytes.Buffer
		if err := seal(&b, f); err != nil {
			t.Fatal(err)
		}
		if s, err := DecodeState(b.Bytes()); !errors.Is(err, ErrCheckpoint) {
			t.Errorf("%s: got %v and error %v, want %v", name, s, err, ErrCheckpoint)
		}
	}
}

// TestResumeRefuses states of other runs.
func TestResumeRefuses(t *testing.T) {
	file, g, set, o := smallState(t)
	three := table(t, data.Classify, []float64{1, 2, 0}, []float64{3, 4, 1}, []float64{5, 6, 1})
	for name, change := range map[string]func(o Options) (*graph.Graph, *data.Set, Options){
		"a wider model": func(o Options) (*graph.Graph, *data.Set, Options) { return linear(t, 3, 1, 2, 3, 4, 5, 6), set, o },
		"other names": func(o Options) (*graph.Graph, *data.Set, Options) {
			return build(t, 2, func(b *graph.Builder, x *graph.Value) *graph.Value {
				return b.Op("MatMul", x, b.Param("u", tensor.Of([]float32{1, 2, 3, 4}, 2, 2)))
			}), set, o
		},
		"more parameters": func(o Options) (*graph.Graph, *data.Set, Options) {
			return build(t, 2, func(b *graph.Builder, x *graph.Value) *graph.Value {
				return b.Op("Relu", gemmOf(b, gemmOf(b, x, 0, 2, 4, true), 0, 4, 2, false))
			}), set, o
		},
		"another optimiser": func(o Options) (*graph.Graph, *data.Set, Options) { o.Optimizer = SGD; return g, set, o },
		"fewer epochs":      func(o Options) (*graph.Graph, *data.Set, Options) { o.Epochs = 2; return g, set, o },
		"more examples":     func(o Options) (*graph.Graph, *data.Set, Options) { o.Batch = 1; return g, three, o },
		"no monitor":        func(o Options) (*graph.Graph, *data.Set, Options) { o.Monitor = nil; return g, set, o },
		"no validation":     func(o Options) (*graph.Graph, *data.Set, Options) { o.Validation = nil; return g, set, o },
		"frozen weights": func(o Options) (*graph.Graph, *data.Set, Options) {
			o.Frozen = map[string]bool{"w": true}
			return g, set, o
		},
	} {
		g, set, o := change(o)
		o.From = mustDecode(t, file)
		if _, _, err := Run(t.Context(), g, set, o); !errors.Is(err, ErrCheckpoint) && name != "frozen weights" || err == nil {
			t.Errorf("%s: got error %v, want %v", name, err, ErrCheckpoint)
		}
	}
	if _, err := DecodeState(nil); !errors.Is(err, ErrCheckpoint) {
		t.Errorf("nothing: got error %v, want %v", err, ErrCheckpoint)
	}
	_, _, err := Run(t.Context(), g, set, Options{Remask: func(int, int, *graph.Graph) map[string]*Mask { return nil }, Save: func(*State) error { return nil }})
	if err == nil {
		t.Error("masks that change: got no error, want one: a state does not hold them")
	}
}

// TestSaveEndsTheRun: an error of Save is the run's.
func TestSaveEndsTheRun(t *testing.T) {
	full := errors.New("disk full")
	set := table(t, data.Regress, []float64{1, 0})
	m, epochs, err := Run(t.Context(), linear(t, 1, 1), set, Options{Epochs: 5, Save: func(*State) error { return full }})
	if !errors.Is(err, full) || len(epochs) != 1 || m == nil {
		t.Errorf("got %d epochs and error %v, want the first and that of Save", len(epochs), err)
	}
}

// resealed puts the right sum into a file that was altered, if it has a place for one.
func resealed(file []byte) []byte {
	file = slices.Clone(file)
	if digits, sum, err := sealOf(file); err == nil {
		copy(digits, sum)
	}
	return file
}

func FuzzDecodeState(f *testing.F) {
	file, g, set, o := smallState(f)
	f.Add(file)
	quasi, _, _ := saved(f, g, set, Options{Optimizer: LBFGS, Epochs: 3}, 2)
	f.Add(quasi)
	f.Fuzz(func(t *testing.T, file []byte) {
		for _, b := range [][]byte{file, resealed(file)} {
			s, err := DecodeState(b)
			if err != nil {
				if !errors.Is(err, ErrCheckpoint) {
					t.Fatalf("got error %v, want one that wraps %v", err, ErrCheckpoint)
				}
				continue
			}
			if again, err := s.Encode(); err == nil {
				if _, err := DecodeState(again); err != nil {
					t.Fatalf("encoded anew: %v", err)
				}
			}
			run := compiled(t, g, set, o)
			run.o.From = s
			if err := run.resume(); err != nil && !errors.Is(err, ErrCheckpoint) {
				t.Fatalf("resume: %v", err)
			}
		}
	})
}
