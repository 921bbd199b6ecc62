// Package safetensors reads and writes safetensors files: named tensors, and a
// map of strings.
//
// A file is the length of its header as a little-endian uint64, the header in
// JSON, and the tensors' elements, row-major and little-endian, without gaps:
//
//	{"__metadata__": {"k": "v"}, "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, …}
//
// Offsets count from the end of the header. The reader takes nothing on trust:
// every byte of the data belongs to exactly one tensor, and names are unique.
//
// Source: the format's description at https://github.com/huggingface/safetensors
// (README, "Format").
package safetensors

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/compactify/compactify/internal/atomicfile"
	"github.com/compactify/compactify/tensor"
)

// MaxHeader is the longest header read or written, in bytes, as in the
// reference implementation.
const MaxHeader = 100_000_000

// File is the content of a safetensors file.
type File struct {
	Tensors  []Named // as read, in the order of their data
	Metadata map[string]string
}

// Named is a tensor with its name.
type Named struct {
	Name string
	tensor.Tensor
}

// Tensor finds a tensor by name.
func (f *File) Tensor(name string) (tensor.Tensor, bool) {
	for _, t := range f.Tensors {
		if t.Name == name {
			return t.Tensor, true
		}
	}
	return tensor.Tensor{}, false
}

// Read reads a file. The elements are views of memory that the tensors keep
// alive; nothing refers to the file after Read returns.
func Read(path string) (*File, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read safetensors: %w", err)
	}
	f, err := decode(data)
	if err != nil {
		return nil, fmt.Errorf("read safetensors %q: %w", filepath.Base(path), err)
	}
	return f, nil
}

// Decode reads a file from memory. The elements are views of data, which must
// not change afterwards.
func Decode(data []byte) (*File, error) {
	f, err := decode(data)
	if err != nil {
		return nil, fmt.Errorf("decode safetensors: %w", err)
	}
	return f, nil
}

func decode(data []byte) (*File, error) {
	if len(data) < 8 {
		return nil, fmt.Errorf("header length: got %d bytes, want 8", len(data))
	}
	size, rest := binary.LittleEndian.Uint64(data), data[8:]
	if size > MaxHeader {
		return nil, fmt.Errorf("header: got %d bytes, want at most %d", size, MaxHeader)
	}
	if size > uint64(len(rest)) {
		return nil, fmt.Errorf("header: got %d bytes, want %d", len(rest), size)
	}
	h, err := parseHeader(rest[:size])
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	return h.file(rest[size:])
}

// Write writes a file, which appears whole or not at all and replaces one of the
// same name. Equal tensors and metadata give equal bytes, whatever the order of
// the tensors: as in the reference implementation, wide elements come first, so
// that all are aligned, and then names decide.
//
// The data is written from where it is, not copied. A number type for which safetensors has no name is an error.
func Write(path string, f *File) error {
	if err := write(path, f); err != nil {
		return fmt.Errorf("write safetensors %q: %w", filepath.Base(path), err)
	}
	return nil
}

func write(path string, f *File) error {
	head, order, err := layout(f)
	if err != nil {
		return err
	}
	out, err := atomicfile.Create(path)
	if err != nil {
		return err
	}
	defer out.Discard()
	if err := writeAll(out, head, order); err != nil {
		return err
	}
	return out.Commit()
}

func writeAll(w io.Writer, head []byte, order []Named) error {
	if _, err := w.Write(head); err != nil {
		return err
	}
	for _, t := range order {
		if _, err := w.Write(t.Raw()); err != nil {
			return err
		}
	}
	return nil
}

// EncodeTo is [Encode] into a writer: no more of the file is in memory than its
// header.
func EncodeTo(w io.Writer, f *File) error {
	head, order, err := layout(f)
	if err == nil {
		err = writeAll(w, head, order)
	}
	if err != nil {
		return fmt.Errorf("encode safetensors: %w", err)
	}
	return nil
}

// Encode writes a file to memory, as [Write] does.
func Encode(f *File) ([]byte, error) {
	head, order, err := layout(f)
	if err != nil {
		return nil, fmt.Errorf("encode safetensors: %w", err)
	}
	for _, t := range order {
		head = append(head, t.Raw()...)
	}
	return head, nil
}
