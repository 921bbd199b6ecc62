package compress

import (
	"context"
	"math"
	"path/filepath"
	"testing"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/format/safetensors"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// recurrentModel reads x [N, 3] and a state h [2, N, 3] and makes y [N, 2], of its
// first state, and the next state [2, N, 3]: y = (x·A + h₀)·B, h' = 2·h.
func recurrentModel(t *testing.T, a, b float32) *graph.Graph {
	t.Helper()
	g := &graph.Graph{Name: "recurrent", Opset: map[string]int{"": graph.LatestOpset}}
	m := graph.NewBuilder(g, "v")
	n := tensor.Symbol("N")
	x := m.Input("x", tensor.Type{DType: tensor.Float32, Shape: []tensor.Dim{n, tensor.Fixed(3)}})
	h := m.Input("h", tensor.Type{DType: tensor.Float32, Shape: []tensor.Dim{tensor.Fixed(2), n, tensor.Fixed(3)}})
	first := m.Op("Squeeze", m.Op("Slice", h, m.Const(tensor.Ints(0)), m.Const(tensor.Ints(1)), m.Const(tensor.Ints(0))), m.Const(tensor.Ints(0)))
	mixed := m.Op("Add", m.Op("MatMul", x, m.Param("A", tensor.Of([]float32{a, 0, 0, 0, 1, 0, 0, 0, 1}, 3, 3))), first)
	y := m.Op("MatMul", mixed, m.Param("B", tensor.Of([]float32{1, 2, 3, 4, 5, 6}, 3, 2)))
	next := m.Op("Mul", h, m.Const(tensor.Scalar(b)))
	y.Name, next.Name = "y", "next"
	g.Outputs = []*graph.Value{y, next}
	if err := m.Err(); err != nil {
		t.Fatal(err)
	}
	if err := g.Validate(); err != nil {
		t.Fatal(err)
	}
	return g
}

// states are five examples for it: x is [k, 0, 0], the states are k and 10·k.
func states(t *testing.T) *data.Set {
	t.Helper()
	x, h := tensor.New(tensor.Float32, 5, 3), tensor.New(tensor.Float32, 2, 5, 3)
	for k := range 5 {
		x.Set(3*k, float64(k+1))
		for i := range 3 {
			h.Set(3*k+i, float64(k+1))
			h.Set(15+3*k+i, 10*float64(k+1))
		}
	}
	path := filepath.Join(t.TempDir(), "states.safetensors")
	if err := safetensors.Write(path, &safetensors.File{Tensors: []safetensors.Named{{Name: "x", Tensor: x}, {Name: "in/h", Tensor: h}}}); err != nil {
		t.Fatal(err)
	}
	var inputs []data.Input
	for _, v := range recurrentModel(t, 1, 2).Inputs {
		inputs = append(inputs, data.Input{Name: v.Name, Type: v.Type})
	}
	src, err := data.Open("unlabeled:"+path, data.Options{Inputs: inputs})
	if err != nil {
		t.Fatal(err)
	}
	return src.Train
}

// TestSeveralInputsAndOutputs: examples stand on different axes of inputs and
// outputs, in batches and one by one, and the worst output decides.
func TestSeveralInputsAndOutputs(t *testing.T) {
	pool := kernel.NewPool(1, kernel.Portable)
	defer pool.Close()
	ctx := context.Background()
	set := states(t)
	snr := compactify.Budget{Kind: compactify.MinSNR, Limit: 30}
	for _, c := range []struct {
		name   string
		a, b   float32
		output string
		want   float64 // SNR in dB
		worst  string
	}{
		{"equal", 1, 2, "", math.Inf(1), "y"},
		// y differs by (k/10)·[1, 2] where it is (k + h)·A… = k·[1+9, 2+12]:
		// ‖[10, 14]‖²/‖[0.1, 0.2]‖² = 296/0.05.
		{"the first worse", 1.1, 2, "", 10 * math.Log10(296/0.05), "y"},
		{"the second worse", 1.1, 3, "", 10 * math.Log10(4), "next"}, // 2h against h
		{"the first alone", 1, 3, "y", math.Inf(1), ""},
		{"the second alone", 1.1, 3, "next", 10 * math.Log10(4), ""},
	} {
		for _, most := range []int{0, 1, 2} {
			e, err := NewEvaluator(ctx, recurrentModel(t, 1, 2), set, c.output, pool, nil)
			if err != nil {
				t.Fatal(err)
			}
			e.JudgeFor(snr)
			if most > 0 {
				e.batch = most
			}
			if e.Task() != Signal || e.Len() != 5 {
				t.Fatalf("%s: got task %s, %d examples", c.name, e.Task(), e.Len())
			}
			o, err := e.Outcomes(ctx, recurrentModel(t, c.a, c.b))
			if err != nil {
				t.Fatal(err)
			}
			got := e.Summarize(o).SNR
			if math.IsInf(c.want, 1) != math.IsInf(got, 1) || !math.IsInf(got, 1) && !near(got, c.want, 1e-4) {
				t.Errorf("%s, batch %d: SNR: got %v, want %v", c.name, most, got, c.want)
			}
			if contract := newContract(snr, o, o); contract.Output != c.worst {
				t.Errorf("%s: worst output: got %q, want %q", c.name, contract.Output, c.worst)
			}
		}
	}
}

// TestBatchOfRecurrentModel: batches are as large as memory allows, and the axes of
// the answers are found.
func TestBatchOfRecurrentModel(t *testing.T) {
	pool := kernel.NewPool(1, kernel.Portable)
	defer pool.Close()
	r := newRunner(recurrentModel(t, 1, 2), "y", pool, "next")
	r.set = states(t)
	if got := r.batchSize(5); got != 5 || r.axes[0] != 0 || r.axes[1] != 1 {
		t.Errorf("got batches of %d, answers on axes %v, want 5, [0 1]", got, r.axes)
	}
}
