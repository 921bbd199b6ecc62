package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compactify/compactify/tensor"
)

// build puts a header in front of data.
func build(header string, data ...byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

func TestDecode(t *testing.T) {
	f, err := Decode(build(`{"b":{"shape":[2],"dtype":"I8","data_offsets":[4,6]},"__metadata__":{"k":"v"},`+
		`"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"e":{"dtype":"F64","shape":[0,3],"data_offsets":[4,4]}}  `, 0, 0, 128, 63, 5, 255))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Tensors) != 3 || f.Metadata["k"] != "v" {
		t.Fatalf("got %v", f)
	}
	for i, want := range []string{"a", "e", "b"} {
		if f.Tensors[i].Name != want {
			t.Errorf("tensor %d: got %q, want %q", i, f.Tensors[i].Name, want)
		}
	}
	if a, ok := f.Tensor("a"); !ok || a.Rank() != 0 || a.At(0) != 1 {
		t.Errorf("a: got %v, want a scalar 1", a)
	}
	if b, ok := f.Tensor("b"); !ok || b.At(0) != 5 || b.At(1) != -1 {
		t.Errorf("b: got %v, want 5 -1", b)
	}
	if _, ok := f.Tensor("c"); ok {
		t.Error("c: found")
	}
}

func TestDecodeErrors(t *testing.T) {
	one := func(entry string, data ...byte) []byte { return build(`{"w":`+entry+`}`, data...) }
	tests := []struct {
		name, want string
		data       []byte
	}{
		{"empty", "got 0 bytes, want 8", nil},
		{"header cut short", "got 2 bytes, want 10", append(binary.LittleEndian.AppendUint64(nil, 10), "{}"...)},
		{"header too long", "want at most 100000000", binary.LittleEndian.AppendUint64(nil, MaxHeader+1)},
		{"header length overflows", "want at most 100000000", binary.LittleEndian.AppendUint64(nil, math.MaxUint64)},
		{"no header", "begins with {", build("")},
		{"space before the header", "begins with {", build(" {}")},
		{"an array", "begins with {", build("[]")},
		{"not UTF-8", "not UTF-8", build("{\"\xff\":1}")},
		{"object cut short", "unexpected EOF", build(`{"w":{"dtype":"U8"`)},
		{"something behind", "something follows", build(`{}{}`)},
		{"not JSON", "invalid character", build(`{"w":{dtype:1}}`)},
		{"name twice", `name "w": given twice`, build(`{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"w":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, 1, 2)},
		{"key twice", `name "dtype": given twice`, one(`{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}`, 1)},
		{"metadata of numbers", `__metadata__ "k": got 1, want a string`, build(`{"__metadata__":{"k":1}}`)},
		{"metadata twice", `name "__metadata__": given twice`, build(`{"__metadata__":{},"__metadata__":{}}`)},
		{"no dtype", "got 2 keys", one(`{"shape":[1],"data_offsets":[0,1]}`, 1)},
		{"unknown key", `got key "x"`, one(`{"x":1}`)},
		{"unknown dtype", `tensor "w": dtype: got "F33"`, one(`{"dtype":"F33","shape":[1],"data_offsets":[0,1]}`, 1)},
		{"dtype a number", `dtype: got 1`, one(`{"dtype":1,"shape":[1],"data_offsets":[0,1]}`, 1)},
		{"negative size", "shape: got -1, want a whole number", one(`{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}`, 1)},
		{"fraction", "shape: got 1.0, want a whole number", one(`{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}`, 1)},
		{"size as text", "shape: got 1, want a whole number", one(`{"dtype":"U8","shape":["1"],"data_offsets":[0,1]}`, 1)},
		{"sizes overflow", "too large", one(`{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,1]}`, 1)},
		{"one offset", "data_offsets: got 1 numbers", one(`{"dtype":"U8","shape":[1],"data_offsets":[0]}`, 1)},
		{"wrong size", "got 1 bytes, want 4", one(`{"dtype":"F32","shape":[1],"data_offsets":[0,1]}`, 1)},
		{"beyond the end", "got 0 to 4 of 1 bytes", one(`{"dtype":"F32","shape":[1],"data_offsets":[0,4]}`, 1)},
		{"same bytes twice", "got 0, want 1", build(`{"v":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1)},
		{"end before begin", "got 1 to 0 of 1 bytes", build(`{"v":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"w":{"dtype":"U8","shape":[0],"data_offsets":[1,0]}}`, 1)},
		{"hole in front", "got 1, want 0: the bytes between", one(`{"dtype":"U8","shape":[1],"data_offsets":[1,2]}`, 1, 2)},
		{"hole at the end", "got 2 bytes, want 1", one(`{"dtype":"U8","shape":[1],"data_offsets":[0,1]}`, 1, 2)},
		{"overlap", "got 1, want 2: it overlaps", build(`{"v":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"w":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 1, 2, 3)},
		{"odd number of 4-bit elements", "ends inside a byte", one(`{"dtype":"F4","shape":[3],"data_offsets":[0,2]}`, 1, 2)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Decode(tt.data)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error: got %v, want %q", err, tt.want)
			}
		})
	}
}

func everyType() *File {
	f := &File{Metadata: map[string]string{"b": "<&>", "a": "ß\n"}}
	for _, row := range dtypes {
		v := tensor.New(row.dtype, 3, 2)
		for i := range v.Raw() {
			v.Raw()[i] = byte(i % 2)
		}
		f.Tensors = append(f.Tensors, Named{"t/" + row.name, v})
	}
	f.Tensors = append(f.Tensors, Named{`a "name"`, tensor.Scalar[int8](3)}, Named{"", tensor.New(tensor.Float32, 0)})
	return f
}

// Every number type survives, whatever the order of the tensors, and every
// tensor is aligned to its elements.
func TestRoundTrip(t *testing.T) {
	f := everyType()
	data, err := Encode(f)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		f.Tensors = append(f.Tensors[7:], f.Tensors[:7]...)
		if again, err := Encode(f); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("another order gives other bytes (error %v)", err)
		}
	}
	back, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if len(back.Tensors) != len(f.Tensors) || back.Metadata["a"] != f.Metadata["a"] || back.Metadata["b"] != f.Metadata["b"] {
		t.Errorf("got %d tensors and %v, want %d and %v", len(back.Tensors), back.Metadata, len(f.Tensors), f.Metadata)
	}
	offset := 8 + int(binary.LittleEndian.Uint64(data))
	for _, v := range back.Tensors {
		if want, _ := f.Tensor(v.Name); !v.Tensor.Equal(want) {
			t.Errorf("%q: got %v, want %v", v.Name, v, want)
		}
		if width := max(1, v.DType().Bits()/8); offset%width != 0 {
			t.Errorf("%q: %v at byte %d", v.Name, v, offset)
		}
		offset += len(v.Raw())
	}
	for n := range data {
		if _, err := Decode(data[:n:n]); err == nil {
			t.Errorf("cut to %d of %d bytes: no error", n, len(data))
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	v := tensor.Scalar[int8](1)
	tests := []struct {
		name, want string
		f          File
	}{
		{"name twice", "the name is taken", File{Tensors: []Named{{"a", v}, {"a", v}}}},
		{"reserved name", "the name is taken", File{Tensors: []Named{{metadataKey, v}}}},
		{"name not UTF-8", "not UTF-8", File{Tensors: []Named{{"\xff", v}}}},
		{"metadata not UTF-8", "not UTF-8", File{Metadata: map[string]string{"k": "\xff"}}},
		{"int4", "no name for number type int4", File{Tensors: []Named{{"a", tensor.New(tensor.Int4, 2)}}}},
		{"no tensor", "no name for number type undefined", File{Tensors: []Named{{"a", tensor.Tensor{}}}}},
		{"half a byte", "ends inside a byte", File{Tensors: []Named{{"a", tensor.New(tensor.Float4E2M1, 3)}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			err := Write(filepath.Join(dir, "x.safetensors"), &tt.f)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "x.safetensors") {
				t.Errorf("error: got %v, want %q and the file", err, tt.want)
			}
			if list, _ := os.ReadDir(dir); len(list) != 0 {
				t.Errorf("left behind: %v", list)
			}
		})
	}
}

func TestReadWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	if _, err := Read(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: got %v", err)
	}
	if err := Write(path, everyType()); err != nil {
		t.Fatal(err)
	}
	f, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	want, err := Encode(everyType())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Encode(f); err != nil || !bytes.Equal(got, want) {
		t.Errorf("read back: other bytes (error %v)", err)
	}
}

// Every real file reads and survives a round trip. Those that the reference
// implementation wrote come out byte for byte as they were.
func TestRealFiles(t *testing.T) {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	shared := filepath.Join(dir, "..", "..", "..", "shared", "data")
	if _, err := os.Stat(shared); err != nil {
		t.Skipf("no test data: %v", err)
	}
	files, same := 0, make(map[string]bool)
	err = filepath.WalkDir(shared, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".safetensors" {
			return err
		}
		files++
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f, err := Read(path)
		if err != nil {
			t.Error(err)
			return nil
		}
		again, err := Encode(f)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			return nil
		}
		if bytes.Equal(again, data) {
			same[filepath.Base(path)] = true
		}
		back, err := Decode(again)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			return nil
		}
		for _, v := range f.Tensors {
			if w, ok := back.Tensor(v.Name); !ok || !v.Tensor.Equal(w) {
				t.Errorf("%s: %q: got %v, want %v", path, v.Name, w, v)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"burn-multi_layer.safetensors", "mnist.safetensors", "jfk-codes.safetensors"} {
		if !same[name] {
			t.Errorf("%s: written again, it has other bytes", name)
		}
	}
	t.Logf("%d files", files)
}

// FuzzDecode: foreign bytes give tensors or an error. What was read can be
// written, and reads back as the same.
func FuzzDecode(f *testing.F) {
	data, err := Encode(everyType())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(build(`{"b":{"shape":[2],"dtype":"I8","data_offsets":[4,6]},"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}} `, 0, 0, 128, 63, 5, 255))
	f.Add(build(`{}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Decode(data)
		if err != nil {
			return
		}
		again, err := Encode(file)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Decode(again)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range file.Tensors {
			if w, ok := back.Tensor(v.Name); !ok || !v.Tensor.Equal(w) {
				t.Fatalf("%q: got %v, want %v", v.Name, w, v)
			}
		}
	})
}
