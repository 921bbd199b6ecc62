package onnx

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"path/filepath"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/atomicfile"
)

// Options says how a model is written. The zero value writes everything the
// graph says into one file.
type Options struct {
	// External puts the data of tensors of at least 1 KiB into a second file,
	// NAME.data beside the model NAME. Models beyond the 2 GiB that a protobuf
	// message can hold are written so in any case.
	External bool

	// Compact leaves out what does not change the result: types of inner
	// values, documentation, producer, node names, unused opset imports. Values
	// inside the graph and parameters get the shortest names there are, small
	// integers are stored with variable length. Names of inputs and outputs,
	// domain, version and properties of the model stay.
	Compact bool

	// Oldest writes a graph of the newest opset as the oldest one that has all
	// its forms and number types, for the sake of older runtimes. It does
	// nothing to graphs of other opsets.
	Oldest bool

	// Props are added to the model's metadata_props, in place of those of the
	// same key.
	Props []graph.Prop
}

// maxMessage is the largest file written: protobuf messages end at 2 GiB, and
// some readers need a little of that for themselves.
const maxMessage = math.MaxInt32 - 1<<20

// Encode writes a model to memory. Equal graphs give equal bytes. External data
// needs a folder and is an error here.
//
// The opset is raised to what the graph's number types need, which converts a
// copy of the graph; the IR version is at least the one that goes with it. A
// node of the program's own operators is an error: it must be lowered before.
func Encode(g *graph.Graph, o Options) ([]byte, error) {
	var buf bytes.Buffer
	m, err := model(g, o, nil)
	if err == nil && o.External {
		err = fmt.Errorf("external data: needs a file")
	}
	if err == nil {
		err = checkSize(m)
	}
	if err == nil {
		buf.Grow(m.size)
		err = m.writeTo(&buf)
	}
	if err != nil {
		return nil, fmt.Errorf("encode onnx: %w", err)
	}
	return buf.Bytes(), nil
}

// Write writes a model file as [Encode] does, and its external data if it has
// any. Each file appears whole or not at all, replacing one of the same name,
// the data before the model.
func Write(path string, g *graph.Graph, o Options) error {
	if err := write(path, g, o); err != nil {
		return fmt.Errorf("write onnx %q: %w", filepath.Base(path), err)
	}
	return nil
}

func write(path string, g *graph.Graph, o Options) error {
	var data *externalData
	if o.External {
		data = &externalData{location: filepath.Base(path) + ".data"}
	}
	m, err := model(g, o, data)
	if err == nil && data == nil && m.size > maxMessage {
		data = &externalData{location: filepath.Base(path) + ".data"}
		m, err = model(g, o, data)
	}
	if err == nil {
		err = checkSize(m)
	}
	if err != nil {
		return err
	}
	file, err := prepareFile(path, m.writeTo)
	if err != nil {
		return err
	}
	defer file.Discard()
	if data != nil && data.size > 0 {
		side, err := prepareFile(filepath.Join(filepath.Dir(path), data.location), data.writeTo)
		if err != nil {
			return err
		}
		defer side.Discard()
		if err := side.Commit(); err != nil {
			return err
		}
	}
	return file.Commit()
}

func checkSize(m *message) error {
	if m.size > maxMessage {
		return fmt.Errorf("size: got %d bytes, want at most %d; larger models need external data", m.size, maxMessage)
	}
	return nil
}

// prepareFile brings a file to the disk under a temporary name.
func prepareFile(path string, content func(io.Writer) error) (*atomicfile.File, error) {
	f, err := atomicfile.Create(path)
	if err != nil {
		return nil, err
	}
	if err := content(f); err != nil {
		f.Discard()
		return nil, err
	}
	if err := f.Finish(); err != nil {
		f.Discard()
		return nil, err
	}
	return f, nil
}

// externalData is the second file of a model, as views of the tensors.
type externalData struct {
	location string
	pieces   [][]byte
	size     int
}

// Tensors from minExternal bytes on go to the second file, each at a multiple of
// externalAlign so that a mapped file can be viewed in place.
const (
	minExternal   = 1 << 10
	externalAlign = 64
)

var padding [externalAlign]byte

// add appends a tensor's bytes and returns their offset.
func (d *externalData) add(b []byte) int {
	if gap := -d.size & (externalAlign - 1); gap > 0 {
		d.pieces = append(d.pieces, padding[:gap])
		d.size += gap
	}
	offset := d.size
	d.pieces = append(d.pieces, b)
	d.size += len(b)
	return offset
}

func (d *externalData) writeTo(w io.Writer) error {
	for _, b := range d.pieces {
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}
