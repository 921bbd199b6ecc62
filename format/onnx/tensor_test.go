package onnx

import (
	"bytes"
	"encoding/binary"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/compactify/compactify/tensor"
)

// tensorMessage is a TensorProto of the given type and sizes, less its data.
func tensorMessage(d tensor.DType, dims []int64, fill func(*message)) []byte {
	var m message
	m.ints(tensorDims, dims, false)
	m.varint(tensorDType, uint64(d))
	m.text(tensorName, "w")
	fill(&m)
	return encoded(&m)
}

func encoded(m *message) []byte {
	var buf bytes.Buffer
	if err := m.writeTo(&buf); err != nil {
		panic(err)
	}
	return buf.Bytes()
}

// The bytes of each field are those that onnx.proto describes beside it.
func TestDecodeTensor(t *testing.T) {
	ints := func(num protowire.Number, packed bool, v ...int64) func(*message) {
		return func(m *message) {
			if packed {
				m.packed(num, v)
				return
			}
			m.ints(num, v, false)
		}
	}
	raw := func(b ...byte) func(*message) { return func(m *message) { m.bytes(tensorRaw, b) } }
	tests := []struct {
		name    string
		d       tensor.DType
		dims    []int64
		fill    func(*message)
		want    []byte // in the layout of raw_data
		wantErr string
	}{
		{name: "raw float32", d: tensor.Float32, dims: []int64{1}, fill: raw(0, 0, 128, 63), want: []byte{0, 0, 128, 63}},
		{name: "scalar", d: tensor.Uint8, fill: raw(7), want: []byte{7}},
		{name: "no elements, no data", d: tensor.Float32, dims: []int64{3, 0}, fill: func(*message) {}, want: []byte{}},
		{name: "packed dims", d: tensor.Uint8, fill: func(m *message) { m.packed(tensorDims, []int64{2, 1, 1}); m.bytes(tensorRaw, []byte{1, 2}) }, want: []byte{1, 2}},
		{name: "float_data", d: tensor.Float32, dims: []int64{2}, fill: func(m *message) { m.float(tensorFloats, 1); m.float(tensorFloats, -2) }, want: []byte{0, 0, 128, 63, 0, 0, 0, 192}},
		{name: "float_data packed", d: tensor.Float32, dims: []int64{1}, fill: func(m *message) { m.bytes(tensorFloats, []byte{0, 0, 128, 63}) }, want: []byte{0, 0, 128, 63}},
		{name: "float_data in two pieces", d: tensor.Float32, dims: []int64{2}, fill: func(m *message) { m.bytes(tensorFloats, []byte{0, 0, 128, 63}); m.float(tensorFloats, -2) }, want: []byte{0, 0, 128, 63, 0, 0, 0, 192}},
		{name: "complex64 in float_data", d: tensor.Complex64, dims: []int64{1}, fill: func(m *message) { m.float(tensorFloats, 1); m.float(tensorFloats, -2) }, want: []byte{0, 0, 128, 63, 0, 0, 0, 192}},
		{name: "double_data", d: tensor.Float64, dims: []int64{1}, fill: func(m *message) { m.double(tensorDoubles, math.Float64bits(1)) }, want: []byte{0, 0, 0, 0, 0, 0, 0xf0, 0x3f}},
		{name: "int32_data", d: tensor.Int32, dims: []int64{2}, fill: ints(tensorInt32s, true, -1, 258), want: []byte{255, 255, 255, 255, 2, 1, 0, 0}},
		{name: "int8 in int32_data", d: tensor.Int8, dims: []int64{2}, fill: ints(tensorInt32s, false, -1, 5), want: []byte{255, 5}},
		{name: "uint8 in int32_data", d: tensor.Uint8, dims: []int64{2}, fill: ints(tensorInt32s, true, 255, 5), want: []byte{255, 5}},
		{name: "float16 in int32_data", d: tensor.Float16, dims: []int64{1}, fill: ints(tensorInt32s, true, 0x3c00), want: []byte{0, 0x3c}},
		{name: "bfloat16 in int32_data", d: tensor.BFloat16, dims: []int64{1}, fill: ints(tensorInt32s, true, 0xbf80), want: []byte{0x80, 0xbf}},
		{name: "float8 in int32_data", d: tensor.Float8E4M3FN, dims: []int64{1}, fill: ints(tensorInt32s, true, 0xfe), want: []byte{0xfe}},
		{name: "int4: two to an entry", d: tensor.Int4, dims: []int64{3}, fill: ints(tensorInt32s, true, 0x21, 0x0f), want: []byte{0x21, 0x0f}},
		{name: "int2: four to an entry", d: tensor.Int2, dims: []int64{5}, fill: ints(tensorInt32s, true, 0xe4, 0x03), want: []byte{0xe4, 0x03}},
		{name: "float4 raw", d: tensor.Float4E2M1, dims: []int64{3}, fill: raw(0x21, 0x0f), want: []byte{0x21, 0x0f}},
		{name: "bool in int32_data", d: tensor.Bool, dims: []int64{3}, fill: ints(tensorInt32s, true, 0, 1, 256), want: []byte{0, 1, 1}},
		{name: "bool bytes become 0 or 1", d: tensor.Bool, dims: []int64{3}, fill: raw(0, 2, 1), want: []byte{0, 1, 1}},
		{name: "int64_data", d: tensor.Int64, dims: []int64{1}, fill: ints(tensorInt64s, true, -2), want: []byte{254, 255, 255, 255, 255, 255, 255, 255}},
		{name: "uint32 in uint64_data", d: tensor.Uint32, dims: []int64{1}, fill: ints(tensorUint64s, true, math.MaxUint32), want: []byte{255, 255, 255, 255}},
		{name: "uint64_data", d: tensor.Uint64, dims: []int64{1}, fill: ints(tensorUint64s, false, -1), want: []byte{255, 255, 255, 255, 255, 255, 255, 255}},

		{name: "too little", d: tensor.Float32, dims: []int64{2}, fill: raw(0, 0, 128, 63), wantErr: "got 4 bytes, want 8"},
		{name: "too few entries", d: tensor.Int32, dims: []int64{3}, fill: ints(tensorInt32s, true, 1, 2), wantErr: "got 2 entries, want 3"},
		{name: "no data", d: tensor.Int32, dims: []int64{3}, fill: func(*message) {}, wantErr: "got 0 bytes, want 12"},
		{name: "wrong field", d: tensor.Int64, dims: []int64{1}, fill: ints(tensorInt32s, true, 1), wantErr: "data is in field 5, want 7"},
		{name: "two fields", d: tensor.Int64, dims: []int64{1}, fill: func(m *message) { m.varint(tensorInt64s, 1); m.float(tensorFloats, 1) }, wantErr: "data is in fields 7 and 4"},
		{name: "raw and typed", d: tensor.Int64, dims: []int64{1}, fill: func(m *message) { m.varint(tensorInt64s, 1); m.bytes(tensorRaw, make([]byte, 8)) }, wantErr: "raw_data and in field 7"},
		{name: "entry out of range", d: tensor.Uint8, dims: []int64{1}, fill: ints(tensorInt32s, true, 256), wantErr: "got 256, which does not fit 1 bytes"},
		{name: "negative size", d: tensor.Uint8, dims: []int64{-1}, fill: raw(1), wantErr: "axis 0: got -1"},
		{name: "sizes overflow", d: tensor.Uint8, dims: []int64{1 << 40, 1 << 40}, fill: raw(1), wantErr: "too large"},
		{name: "bytes overflow", d: tensor.Float64, dims: []int64{1 << 61}, fill: raw(1), wantErr: "too large"},
		{name: "huge and empty", d: tensor.Float32, dims: []int64{1 << 40}, fill: func(*message) {}, wantErr: "got 0 bytes"},
		{name: "unknown type", d: 27, dims: []int64{1}, fill: raw(1), wantErr: "got code 27, want 1 to 26"},
		{name: "undefined type", dims: []int64{1}, fill: raw(1), wantErr: "got code 0"},
		{name: "string raw", d: tensor.String, dims: []int64{1}, fill: raw(1), wantErr: "want string_data"},
		{name: "segment or sequence", d: tensor.Uint8, fill: func(m *message) { m.child(tensorSegment, &message{}) }, wantErr: "segmented tensor, sequence or optional"},
		{name: "external", d: tensor.Uint8, dims: []int64{1}, fill: func(m *message) {
			m.child(tensorExternal, entry("location", "w.bin"))
			m.varint(tensorLocation, 1)
		}, wantErr: "not allowed here"},
		{name: "dims of another wire type", d: tensor.Uint8, fill: func(m *message) { m.float(tensorDims, 1) }, wantErr: "wire type: got 5, want 2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, name, err := DecodeTensor(tensorMessage(tt.d, tt.dims, tt.fill))
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Fatalf("error: got %v, want %q", err, tt.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if name != "w" || got.DType() != tt.d || !bytes.Equal(got.Raw(), tt.want) {
				t.Errorf("got %q %v % x, want %q %v % x", name, got, got.Raw(), "w", tt.d, tt.want)
			}
		})
	}
}

func TestDecodeStrings(t *testing.T) {
	data := tensorMessage(tensor.String, []int64{2}, func(m *message) { m.element(tensorStrings, ""); m.element(tensorStrings, "ß") })
	got, _, err := DecodeTensor(data)
	if err != nil {
		t.Fatal(err)
	}
	if s := got.Strings(); len(s) != 2 || s[0] != "" || s[1] != "ß" {
		t.Errorf("got %q, want an empty string and ß", s)
	}
}

// Raw data and packed floats are views of the file; the offset is odd, as most
// are.
func TestTensorIsAView(t *testing.T) {
	word := binary.LittleEndian.AppendUint32(nil, math.Float32bits(1.5))
	for _, num := range []protowire.Number{tensorRaw, tensorFloats} {
		data := tensorMessage(tensor.Float32, []int64{1}, func(m *message) { m.bytes(num, word) })
		got, _, err := DecodeTensor(data)
		if err != nil {
			t.Fatal(err)
		}
		at := bytes.Index(data, word)
		if &got.Raw()[0] != &data[at] {
			t.Errorf("field %d: data was copied", num)
		}
		if v := tensor.Data[float32](got)[0]; v != 1.5 {
			t.Errorf("field %d at address …%x: got %v, want 1.5", num, uintptr(unsafe.Pointer(&data[at]))%8, v)
		}
	}
}

// The inputs and outputs of the node tests are tensors, but for those of tests
// on sequences and optionals.
func TestConformanceTensors(t *testing.T) {
	read, refused := 0, 0
	conformance(t, func(name string, data []byte) {
		if filepath.Ext(name) != ".pb" {
			return
		}
		if _, _, err := DecodeTensor(data); err == nil {
			read++
		} else if strings.Contains(name, "sequence") || strings.Contains(name, "optional") || strings.Contains(name, "loop13_seq") ||
			strings.Contains(name, "loop16_seq_none") || strings.Contains(name, "if_seq") || strings.Contains(name, "if_opt") ||
			strings.Contains(name, "split_to") || strings.Contains(name, "identity_opt") {
			refused++
		} else {
			t.Errorf("%s: %v", name, err)
		}
	})
	t.Logf("read %d, refused %d", read, refused)
	if read < 5400 {
		t.Errorf("tensors: got %d, want most of 5585", read)
	}
}
