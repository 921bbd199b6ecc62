package data

import (
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/compactify/compactify/format/safetensors"
	"github.com/compactify/compactify/tensor"
)

// openSafetensors reads the tensors named as the inputs of a model, and labels y.
func openSafetensors(path string, o Options, unlabeled bool) (Source, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > o.maxBytes() {
		return Source{}, fmt.Errorf("open data %q: %w", path, tooLarge(o.maxBytes()))
	}
	f, err := safetensors.Read(path)
	if err != nil {
		return Source{}, err
	}
	var arrays []named
	for _, t := range f.Tensors {
		arrays = append(arrays, named{t.Name, t.Tensor})
	}
	return inputSource(path, arrays, o, unlabeled)
}

// openInputArrays reads the arrays of an .npz file that are named as the inputs of
// a model, and labels y. Arrays of other names need not be readable.
func (r npzReader) openInputArrays() (Source, error) {
	var arrays []named
	for _, key := range slices.Sorted(maps.Keys(r.files)) {
		wanted := key == "y" || slices.ContainsFunc(r.o.Inputs, func(in Input) bool { return in.Name == inputOf(key) })
		if !wanted {
			arrays = append(arrays, named{name: key})
			continue
		}
		a, err := r.array(key)
		if err != nil {
			return Source{}, fmt.Errorf("read npz %q: %s: %w", r.path, key, err)
		}
		arrays = append(arrays, named{key, a.tensor()})
	}
	return inputSource(r.path, arrays, r.o, r.unlabeled)
}

// inputSource makes a source of arrays that a model's inputs name.
func inputSource(path string, arrays []named, o Options, unlabeled bool) (Source, error) {
	var names []string
	var y tensor.Tensor
	for _, a := range arrays {
		names = append(names, a.name)
		if a.name == "y" {
			y = a.Tensor
		}
	}
	if len(o.Inputs) == 0 {
		return Source{}, fmt.Errorf("open data %q: arrays %q: named inputs need a model that reads them", path, names)
	}
	var l labels
	if !unlabeled && !slices.ContainsFunc(o.Inputs, func(in Input) bool { return in.Name == "y" }) {
		var err error
		if y.IsZero() {
			return Source{}, fmt.Errorf("read %q: y: no such array; use %s%s to do without", path, unlabeledPrefix, path)
		}
		if l, err = arrayLabels(y, o); err != nil {
			return Source{}, fmt.Errorf("read %q: y: %w", path, err)
		}
	}
	set, note, err := newInputSet(path, arrays, l, o)
	return Source{Train: set, Note: note}, err
}

// arrayLabels makes labels of an array [examples] or [examples, 1].
func arrayLabels(y tensor.Tensor, o Options) (labels, error) {
	if y.Rank() < 1 || y.Len() != y.Shape()[0] {
		return labels{}, fmt.Errorf("shape: got %v, want one label per example", y.Shape())
	}
	values, indices := y.Float64s(), !y.DType().IsFloat()
	if err := firstNonFinite(values, 1); err != nil {
		return labels{}, err
	}
	for _, v := range values {
		indices = indices && v >= 0
	}
	return npzLabels(values, indices, o, nil)
}

// tensor is the array as a tensor of the same number type.
func (a npyArray) tensor() tensor.Tensor {
	types := map[string]tensor.DType{"f4": tensor.Float32, "f8": tensor.Float64, "b1": tensor.Bool,
		"i1": tensor.Int8, "i2": tensor.Int16, "i4": tensor.Int32, "i8": tensor.Int64,
		"u1": tensor.Uint8, "u2": tensor.Uint16, "u4": tensor.Uint32, "u8": tensor.Uint64}
	raw := a.raw
	if a.order == binary.ByteOrder(binary.BigEndian) && a.size > 1 {
		raw = slices.Clone(raw)
		for i := 0; i < len(raw); i += a.size {
			slices.Reverse(raw[i : i+a.size])
		}
	}
	t, err := tensor.FromRaw(types[fmt.Sprintf("%c%d", a.kind, a.size)], a.dims, raw)
	if err != nil {
		panic(err) // readNPY read as many bytes as the shape says
	}
	return t
}
