package train

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/format/safetensors"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// Rise is a step after which the loss was larger, with all that it takes to see that
// again: the weights before and after, the batch with its targets, and the masks of
// dropout.
type Rise struct {
	Sample
	Function string    // whose rise it is, see [Descent]
	Output   string    // the output that holds the answer; "" means the first
	Loss     Loss      // of the run
	Batches  bool      // normalisations used the batch's statistics
	Dropout  Dropout   // where masks stand
	Before   []weights // θ_k
	After    []weights // θ_{k+1}, the same parameters
	X, Y     tensor.Tensor
	Masks    []tensor.Tensor
}

// weights are the values of one parameter.
type weights struct {
	Name string
	Data []float32
}

// ErrWitness says that bytes are not a whole witness, or one of another model.
var ErrWitness = errors.New("not a witness of this model")

// witness copies what shows a step to be as measured, over the last such copy. It is
// nil if there is no memory for the first.
func (w *watch) witness(s Sample) *Rise {
	t := w.t
	if w.rise == nil {
		if w.rise = w.newWitness(); w.rise == nil {
			return nil
		}
	}
	r := w.rise
	r.Sample = s
	for i, to := range append([]tensor.Tensor{r.X, r.Y}, r.Masks...) {
		copy(to.Raw(), t.in[i].Raw())
	}
	for i, p := range t.weights {
		copy(r.Before[i].Data, w.start.weights[i])
		copy(r.After[i].Data, p.data)
	}
	return r
}

func (w *watch) newWitness() *Rise {
	t := w.t
	bytes := 0
	for _, in := range t.in {
		bytes += len(in.Raw())
	}
	for _, p := range t.weights {
		bytes += 8 * len(p.data)
	}
	if engine.CheckMemory(bytes) != nil {
		return nil
	}
	r := &Rise{Function: w.descent.Function, Output: t.o.Output, Loss: t.loss, Batches: len(t.running) > 0, Dropout: t.o.Dropout,
		X: t.in[0].Clone(), Y: t.in[1].Clone()}
	for _, in := range t.in[2:] {
		r.Masks = append(r.Masks, in.Clone())
	}
	for _, p := range t.weights {
		r.Before = append(r.Before, weights{p.param.Name, make([]float32, len(p.data))})
		r.After = append(r.After, weights{p.param.Name, make([]float32, len(p.data))})
	}
	return r
}

// Replay measures the loss of the batch before and after the step again. The model is
// the one that was trained, with any weights.
func (r *Rise) Replay(ctx context.Context, g *graph.Graph, pool *kernel.Pool) (before, after float64, err error) {
	fail := func(err error) (float64, float64, error) {
		return math.NaN(), math.NaN(), fmt.Errorf("replay step %d: %w", r.Step, err)
	}
	model, err := ownWeights(g, nil)
	if err != nil {
		return fail(err)
	}
	if r.Batches {
		for _, n := range model.Nodes {
			if n.Kind() == "BatchNormalization" {
				n.Attrs = append(n.Attrs.Without("training_mode"), graph.Int("training_mode", 1))
			}
		}
	}
	if _, err := ExampleShape(model); err != nil {
		return fail(err)
	}
	t := &trainer{o: Options{Dropout: r.Dropout, Output: r.Output, Pool: pool}, model: model, loss: r.Loss}
	if t.lossOnly, err = t.lossGraph(); err != nil {
		return fail(err)
	}
	losses := [2]float64{}
	for k, list := range [][]weights{r.Before, r.After} {
		if err := t.put(list); err != nil {
			return fail(err)
		}
		if losses[k], err = t.lossOf(ctx, r); err != nil {
			return fail(err)
		}
	}
	return losses[0], losses[1], nil
}

// put puts weights into the loss graph's parameters.
func (t *trainer) put(list []weights) error {
	for _, w := range list {
		i := slices.IndexFunc(t.lossOnly.Params, func(p *graph.Param) bool { return p.Name == w.Name })
		if i < 0 || t.lossOnly.Params[i].Data.DType() != tensor.Float32 || t.lossOnly.Params[i].Data.Len() != len(w.Data) {
			return fmt.Errorf("%w: weight %q of %d values: no such parameter", ErrWitness, w.Name, len(w.Data))
		}
		p := t.lossOnly.Params[i]
		p.Data = tensor.Of(w.Data, p.Data.Shape()...)
	}
	return nil
}

// lossOf runs the loss graph on the witness's batch.
func (t *trainer) lossOf(ctx context.Context, r *Rise) (float64, error) {
	g, _ := t.lossOnly.Clone()
	g.Outputs = g.Outputs[len(g.Outputs)-1:]
	g.RemoveDead()
	in := append([]tensor.Tensor{r.X, r.Y}, r.Masks...)
	if r.X.Rank() == 0 || r.X.Shape()[0] < 1 || len(in) != len(g.Inputs) {
		return 0, fmt.Errorf("%w: got %d inputs, the first %v, want %d", ErrWitness, len(in), r.X, len(g.Inputs))
	}
	dims := map[string]int{}
	if batch := g.Inputs[0].Type.Shape[0]; !batch.Known() {
		dims[batch.Name] = r.X.Shape()[0]
	}
	p, err := engine.Compile(g, engine.Options{Pool: t.o.Pool, Dims: dims})
	if err != nil {
		return 0, err
	}
	for i, want := range p.Inputs() {
		if sizes, ok := want.Static(); !ok || want.DType != in[i].DType() || !slices.Equal(sizes, in[i].Shape()) {
			return 0, fmt.Errorf("%w: input %d: got %v, want %v", ErrWitness, i, in[i], want)
		}
	}
	out := make([]tensor.Tensor, 1)
	if err := p.Run(ctx, in, out); err != nil {
		return 0, err
	}
	return out[0].At(0), nil
}

// riseHead is what of a witness is not tensors.
type riseHead struct {
	Format   string   `json:"format"`
	Version  int      `json:"version"`
	Function string   `json:"function"`
	Output   string   `json:"output"`
	Loss     Loss     `json:"loss"`
	Batches  bool     `json:"batches"`
	Dropout  Dropout  `json:"dropout"`
	Weights  []string `json:"weights"`
	Masks    int      `json:"masks"`
}

const (
	riseFormat  = "compactify-rise"
	riseVersion = 1
	riseKey     = "rise"
)

// Encode writes the witness as a safetensors file, sealed like that of
// [State.Encode].
func (r *Rise) Encode() ([]byte, error) {
	h := riseHead{riseFormat, riseVersion, r.Function, r.Output, r.Loss, r.Batches, r.Dropout, []string{}, len(r.Masks)}
	f := &safetensors.File{}
	add := func(name string, t tensor.Tensor) {
		f.Tensors = append(f.Tensors, safetensors.Named{Name: name, Tensor: t})
	}
	add("sample", tableOf([]Sample{r.Sample}, Sample.row))
	add("x", r.X)
	add("y", r.Y)
	for i, m := range r.Masks {
		add(fmt.Sprintf("mask/%d", i), m)
	}
	for i, w := range r.Before {
		h.Weights = append(h.Weights, w.Name)
		add("before/"+w.Name, tensor.Of(w.Data, len(w.Data)))
		add("after/"+w.Name, tensor.Of(r.After[i].Data, len(w.Data)))
	}
	head, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encode witness: %w", err)
	}
	f.Metadata = map[string]string{riseKey: string(head)}
	var file bytes.Buffer
	err = seal(&file, f)
	return file.Bytes(), err
}

// DecodeRise reads what [Rise.Encode] wrote. The error wraps [ErrWitness] if it is
// anything else, cut short or altered.
func DecodeRise(file []byte) (*Rise, error) {
	fail := func(err error) (*Rise, error) { return nil, fmt.Errorf("decode witness: %w: %w", ErrWitness, err) }
	f, err := unseal(file)
	if err != nil {
		return fail(err)
	}
	var h riseHead
	if err := json.Unmarshal([]byte(f.Metadata[riseKey]), &h); err != nil {
		return fail(err)
	}
	if h.Format != riseFormat || h.Version != riseVersion {
		return fail(fmt.Errorf("format: got %q of version %d, want %q of version %d", h.Format, h.Version, riseFormat, riseVersion))
	}
	samples, err := rowsOf(f, "sample", len(Sample{}.row()), sampleOf)
	if err == nil && len(samples) != 1 {
		err = fmt.Errorf("samples: got %d, want 1", len(samples))
	}
	if err != nil {
		return fail(err)
	}
	r := &Rise{Sample: samples[0], Function: h.Function, Output: h.Output, Loss: h.Loss, Batches: h.Batches, Dropout: h.Dropout}
	if err := r.tensors(f, h); err != nil {
		return fail(err)
	}
	return r, nil
}

// tensors fills in the witness's tensors.
func (r *Rise) tensors(f *safetensors.File, h riseHead) error {
	var missing error
	get := func(name string) tensor.Tensor {
		t, ok := f.Tensor(name)
		if !ok && missing == nil {
			missing = fmt.Errorf("tensor %q: missing", name)
		}
		return t
	}
	if err := distinct(h.Weights); err != nil {
		return err
	}
	r.X, r.Y = get("x"), get("y")
	for i := range min(h.Masks, len(f.Tensors)) {
		r.Masks = append(r.Masks, get(fmt.Sprintf("mask/%d", i)))
	}
	for _, name := range h.Weights {
		before, after := get("before/"+name), get("after/"+name)
		if missing == nil && (before.DType() != tensor.Float32 || after.DType() != tensor.Float32 || before.Len() != after.Len()) {
			return fmt.Errorf("weight %q: got %v and %v, want float32 of one size", name, before, after)
		}
		if missing != nil {
			return missing
		}
		r.Before = append(r.Before, weights{name, before.Float32s()})
		r.After = append(r.After, weights{name, after.Float32s()})
	}
	return missing
}
