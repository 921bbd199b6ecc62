package data

import (
	"archive/zip"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compactify/compactify/format/safetensors"
	"github.com/compactify/compactify/internal/testkit"
	"github.com/compactify/compactify/tensor"
)

// shapeOf reads a shape with symbols, as "2,batch,3".
func typed(d tensor.DType, shape string) tensor.Type {
	t := tensor.Type{DType: d, Shape: []tensor.Dim{}}
	for _, f := range strings.FieldsFunc(shape, func(r rune) bool { return r == ',' }) {
		var n int
		if _, err := fmt.Sscan(f, &n); err != nil {
			t.Shape = append(t.Shape, tensor.Symbol(f))
		} else {
			t.Shape = append(t.Shape, tensor.Fixed(n))
		}
	}
	return t
}

// detector is the form of a voice detector: frames, states with the batch in the
// middle, and a sampling rate.
var detector = []Input{{"input", typed(tensor.Float32, "batch,seq")}, {"state", typed(tensor.Float32, "2,batch,2")}, {"sr", typed(tensor.Int64, "")}}

func ramp(d tensor.DType, shape ...int) tensor.Tensor {
	t := tensor.New(d, shape...)
	for i := range t.Len() {
		t.Set(i, float64(i))
	}
	return t
}

func writeTensors(t *testing.T, tensors map[string]tensor.Tensor) string {
	t.Helper()
	f := new(safetensors.File)
	for name, x := range tensors {
		f.Tensors = append(f.Tensors, safetensors.Named{Name: name, Tensor: x})
	}
	path := filepath.Join(t.TempDir(), "inputs.safetensors")
	if err := safetensors.Write(path, f); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestNamedInputs: the four places where examples may stand, and what a batch of
// the second and third looks like.
func TestNamedInputs(t *testing.T) {
	frames := ramp(tensor.Float32, 3, 2) // three examples
	for _, c := range []struct {
		name   string
		inputs []Input
		arrays map[string]tensor.Tensor
		input  string
		shape  []int
		want   []float64
		single bool // one example at a time
	}{
		{"in place of the batch", detector, map[string]tensor.Tensor{"input": frames, "state": ramp(tensor.Float32, 2, 1, 2), "sr": tensor.Scalar(int64(8000))},
			"input", []int{2, 2}, []float64{2, 3, 4, 5}, false},
		{"the same for all", detector, map[string]tensor.Tensor{"in/input": frames, "in/state": ramp(tensor.Float32, 2, 1, 2), "in/sr": tensor.Of([]int64{8000}, 1), "out/output": frames},
			"state", []int{2, 2, 2}, []float64{0, 1, 0, 1, 2, 3, 2, 3}, false},
		{"in front of the input", detector, map[string]tensor.Tensor{"input": frames, "state": ramp(tensor.Float32, 3, 2, 1, 2), "sr": tensor.Scalar(int64(8000))},
			"state", []int{2, 2, 2}, []float64{4, 5, 8, 9, 6, 7, 10, 11}, false},
		{"in the middle", detector, map[string]tensor.Tensor{"input": frames, "state": ramp(tensor.Float32, 2, 3, 2), "sr": tensor.Scalar(int64(8000))},
			"state", []int{2, 2, 2}, []float64{2, 3, 4, 5, 8, 9, 10, 11}, false},
		{"a scalar for each", detector, map[string]tensor.Tensor{"input": frames, "state": ramp(tensor.Float32, 2, 1, 2), "sr": tensor.Of([]int64{7, 8, 9}, 3)},
			"sr", []int{}, []float64{8}, true},
		{"fixed batch", []Input{{"a", typed(tensor.Float32, "1,1,2")}, {"b", typed(tensor.Uint8, "1,2")}},
			map[string]tensor.Tensor{"a": ramp(tensor.Float32, 3, 1, 2), "b": ramp(tensor.Int64, 3, 2)}, "b", []int{2, 2}, []float64{2, 3, 4, 5}, false},
		{"one input of bytes", []Input{{"ids", typed(tensor.Int32, "N,2")}}, map[string]tensor.Tensor{"ids": ramp(tensor.Int64, 3, 2)},
			"ids", []int{2, 2}, []float64{2, 3, 4, 5}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			src, err := Open("unlabeled:"+writeTensors(t, c.arrays), Options{Inputs: c.inputs})
			if err != nil {
				t.Fatal(err)
			}
			s := src.Train
			if s.Len() != 3 || s.Stackable() == c.single || src.Note != "" {
				t.Errorf("got %d examples, stackable %v, note %q", s.Len(), s.Stackable(), src.Note)
			}
			n := 2
			if c.single {
				n = 1
			}
			x, err := s.Subset([]int{0, 1, 2}).Stack(c.input, 1, n, n)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(x.Shape(), c.shape) || !slices.Equal(x.Float64s(), c.want) {
				t.Errorf("got %v %v, want %v %v", x.Shape(), x.Float64s(), c.shape, c.want)
			}
			if a, b := s.Hash(), s.Subset([]int{0, 2, 1}).Hash(); a == b || a != s.Subset([]int{0, 1, 2}).Hash() {
				t.Errorf("hashes: got %s and, in another order, %s", a, b)
			}
		})
	}
}

// TestOneNamedInput: one float input gives an ordinary set, which trains too.
func TestOneNamedInput(t *testing.T) {
	path := writeTensors(t, map[string]tensor.Tensor{"images": ramp(tensor.Float64, 2, 1, 3), "y": tensor.Of([]int64{1, 0}, 2), "more": ramp(tensor.Float32, 1)})
	src, err := Open(path, Options{Inputs: []Input{{"images", typed(tensor.Float32, "1,1,3")}}})
	if err != nil {
		t.Fatal(err)
	}
	row := make([]float32, 3)
	src.Train.Fill(row, 1)
	if s := src.Train; s.Inputs() != nil || s.Classes() != 2 || s.Label(0) != 1 || !slices.Equal(row, []float32{3, 4, 5}) {
		t.Errorf("got inputs %q, %d classes, row %v", s.Inputs(), s.Classes(), row)
	}
	if want := `arrays ["more"] are no inputs of the model and are left out`; src.Note != want {
		t.Errorf("note: got %q, want %q", src.Note, want)
	}
}

// TestBadNamedInputs: every refusal names the input, what came and what would do.
func TestBadNamedInputs(t *testing.T) {
	good := func(change func(m map[string]tensor.Tensor)) map[string]tensor.Tensor {
		m := map[string]tensor.Tensor{"input": ramp(tensor.Float32, 3, 2), "state": ramp(tensor.Float32, 2, 1, 2), "sr": tensor.Scalar(int64(1))}
		change(m)
		return m
	}
	nan := ramp(tensor.Float32, 3, 2)
	nan.Set(4, math.NaN())
	for _, c := range []struct {
		arrays map[string]tensor.Tensor
		want   string
	}{
		{good(func(m map[string]tensor.Tensor) { delete(m, "state") }), `input "state": no such array: got ["input" "sr"], want "state" of type float32[2,batch,2]`},
		{good(func(m map[string]tensor.Tensor) { m["in/sr"] = m["sr"] }), `input "sr": arrays: got "in/sr" and "sr", want one of them`},
		{good(func(m map[string]tensor.Tensor) { m["state"] = ramp(tensor.Float32, 3, 1, 2) }), `input "state": shape: got [3 1 2], want [2,examples,2] or [examples,2,1,2]`},
		{good(func(m map[string]tensor.Tensor) { m["state"] = ramp(tensor.Float32, 2, 2, 2) }), `input "state": examples: got 2, want 3 as of the inputs before it, or 1 for all`},
		{good(func(m map[string]tensor.Tensor) { m["sr"] = tensor.Scalar(float32(1)) }), `input "sr": number type: got float32, want int64`},
		{good(func(m map[string]tensor.Tensor) { m["input"] = tensor.New(tensor.Float32, 0, 2) }), `input "input": shape: got [0 2], want at least one example of one value`},
		{good(func(m map[string]tensor.Tensor) { m["input"] = nan }), `input "input": value 1 of example 3: got NaN, want a finite number`},
	} {
		_, err := Open("unlabeled:"+writeTensors(t, c.arrays), Options{Inputs: detector})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
	all := writeTensors(t, good(func(map[string]tensor.Tensor) {}))
	for _, c := range []struct {
		spec string
		o    Options
		want string
	}{
		{all, Options{Inputs: detector}, "y: no such array; use unlabeled:" + all},
		{"unlabeled:" + all, Options{}, "named inputs need a model that reads them"},
		{"unlabeled:" + all, Options{Inputs: detector, Normalize: "0,1"}, "are used as they are"},
		{"unlabeled:" + all, Options{Inputs: []Input{{"input", typed(tensor.Uint8, "N,2")}}}, "number type: got float32, want uint8"},
		{"unlabeled:" + writeTensors(t, map[string]tensor.Tensor{"i": tensor.Of([]int64{1, 300}, 2, 1)}), Options{Inputs: []Input{{"i", typed(tensor.Uint8, "N,1")}}}, "value 2: got 300, which uint8 cannot hold"},
	} {
		if _, err := Open(c.spec, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

// TestNamedInputsOfNPZ: the same from NumPy, big-endian too; arrays of other names
// may be of any type.
func TestNamedInputsOfNPZ(t *testing.T) {
	path := filepath.Join(t.TempDir(), "inputs.npz")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	for name, file := range map[string][]byte{
		"input.npy":  npyBytes(1, "<f4", false, "(2, 2)", binary.LittleEndian, []float32{1, 2, 3, 4}),
		"state.npy":  npyBytes(1, ">f8", false, "(2, 1, 2)", binary.BigEndian, []float64{5, 6, 7, 8}),
		"sr.npy":     npyBytes(1, "<i4", false, "()", binary.LittleEndian, []int32{16000}),
		"notes.npy":  npyBytes(1, "|O8", false, "(1,)", binary.LittleEndian, []int64{0}),
		"readme.txt": []byte("not an array"),
	} {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(file); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	src, err := Open("unlabeled:"+path, Options{Inputs: detector})
	if err != nil {
		t.Fatal(err)
	}
	state, err := src.Train.Stack("state", 0, 1, 1)
	if err != nil || !slices.Equal(state.Float64s(), []float64{5, 6, 7, 8}) {
		t.Errorf("state: got %v, %v", state.Float64s(), err)
	}
	sr, err := src.Train.Stack("sr", 1, 1, 1)
	if err != nil || sr.At(0) != 16000 || sr.DType() != tensor.Int64 || sr.Rank() != 0 {
		t.Errorf("sr: got %v, %v", sr, err)
	}
}

// TestGoldenInputs: the files that come with real models are examples for them.
func TestGoldenInputs(t *testing.T) {
	path := testkit.Shared(t, "models/silero-vad/silero_vad_16k_op15.golden.safetensors")
	src, err := Open("unlabeled:"+path, Options{Inputs: []Input{{"input", typed(tensor.Float32, "batch,sequence")},
		{"state", typed(tensor.Float32, "2,batch,128")}, {"sr", typed(tensor.Int64, "")}}})
	if err != nil {
		t.Fatal(err)
	}
	if shape, _ := src.Train.ShapeOf("state", 4); src.Train.Len() != 1 || !slices.Equal(shape, []int{2, 4, 128}) {
		t.Errorf("got %d examples, state %v", src.Train.Len(), shape)
	}
}
