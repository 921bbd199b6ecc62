package onnx

import (
	"errors"
	"fmt"

	"github.com/compactify/compactify/tensor"
)

// Limits of what few bytes may stand for. A sparse tensor's dense form may take
// maxSparseRatio bytes per stored byte, which allows one float32 in 768; a model
// may exceed that by freeBytes in all, for small tensors.
const (
	maxSparseRatio = 256
	freeBytes      = 16 << 20
)

// Field numbers of SparseTensorProto.
const (
	sparseValues  = 1
	sparseIndices = 2
	sparseDims    = 3
)

// sparseTensor decodes a SparseTensorProto into a dense tensor. The name is that
// of the values. Indices are linear, or a row of coordinates per value, and
// must ascend.
func (d *decoder) sparseTensor(msg []byte) (tensorProto, tensor.Tensor, error) {
	var values, indices tensorProto
	var dims []int64
	err := eachField(msg, func(f field) (err error) {
		switch f.num {
		case sparseValues, sparseIndices:
			p := &values
			if f.num == sparseIndices {
				p = &indices
			}
			var b []byte
			if b, err = f.bytes(); err == nil {
				*p, err = parseTensor(b)
			}
		case sparseDims:
			dims, err = f.appendInts(dims)
		}
		return err
	})
	if err != nil {
		return values, tensor.Tensor{}, err
	}
	v, err := values.tensor(d.dir)
	if err != nil {
		return values, tensor.Tensor{}, fmt.Errorf("values: %w", err)
	}
	var at tensor.Tensor
	if indices.dtype == 0 && v.Len() == 0 {
		at = tensor.New(tensor.Int64, 0)
	} else if at, err = indices.tensor(d.dir); err != nil {
		return values, tensor.Tensor{}, fmt.Errorf("indices: %w", err)
	}
	t, err := d.densify(v, at, dims)
	return values, t, err
}

func (d *decoder) densify(v, at tensor.Tensor, dims []int64) (tensor.Tensor, error) {
	if v.DType() == tensor.String || v.Rank() != 1 {
		return tensor.Tensor{}, fmt.Errorf("values: got %v, want a vector of numbers", v)
	}
	shape, err := sizes(dims)
	if err != nil {
		return tensor.Tensor{}, err
	}
	n, _ := tensor.Size(shape)
	size, ok := v.DType().ByteSize(n)
	if !ok {
		return tensor.Tensor{}, fmt.Errorf("shape %v: too large", dims)
	}
	if err := d.allowDense(size, len(v.Raw())+len(at.Raw())); err != nil {
		return tensor.Tensor{}, fmt.Errorf("%v%v: %w", v.DType(), shape, err)
	}
	linear, err := linearIndices(at, v.Len(), shape, n)
	if err != nil {
		return tensor.Tensor{}, fmt.Errorf("indices: %w", err)
	}
	t := tensor.New(v.DType(), shape...)
	for k, i := range linear {
		copyElement(t, i, v, k)
	}
	return t, nil
}

// allowDense charges what a dense tensor takes beyond the ratio to the model's
// allowance.
func (d *decoder) allowDense(dense, stored int) error {
	if d.free -= max(0, dense-stored*maxSparseRatio); d.free < 0 {
		return fmt.Errorf("dense size of %d bytes: the file stores %d, want at least 1/%d of it", dense, stored, maxSparseRatio)
	}
	return nil
}

// linearIndices checks the positions of nnz values in a shape of n elements.
func linearIndices(at tensor.Tensor, nnz int, shape []int, n int) ([]int, error) {
	if at.DType() != tensor.Int64 {
		return nil, fmt.Errorf("got %v, want int64", at)
	}
	width := 1
	if at.Rank() == 2 {
		width = len(shape)
	}
	if at.Rank() < 1 || at.Rank() > 2 || at.Shape()[0] != nnz || at.Rank() == 2 && at.Shape()[1] != width {
		return nil, fmt.Errorf("got %v, want int64[%d] or int64[%d,%d]", at, nnz, nnz, len(shape))
	}
	if width == 0 {
		return nil, errors.New("rows are empty")
	}
	data, list, last := tensor.Data[int64](at), make([]int, nnz), -1
	for k := range list {
		row := data[k*width : (k+1)*width]
		i := row[0]
		if at.Rank() == 2 {
			i = 0
			for axis, c := range row {
				if c < 0 || c >= int64(shape[axis]) {
					return nil, fmt.Errorf("entry %d: got %v, want inside %v", k, row, shape)
				}
				i = i*int64(shape[axis]) + c
			}
		}
		if i <= int64(last) || i >= int64(n) {
			return nil, fmt.Errorf("entry %d: got %v, want ascending and below %d", k, row, n)
		}
		last = int(i)
		list[k] = last
	}
	return list, nil
}

// copyElement copies element j of src to element i of dst, of the same type.
func copyElement(dst tensor.Tensor, i int, src tensor.Tensor, j int) {
	bits := dst.DType().Bits()
	if w := bits / 8; w > 0 {
		copy(dst.Raw()[i*w:(i+1)*w], src.Raw()[j*w:])
		return
	}
	per, mask := 8/bits, byte(1)<<bits-1
	shift := bits * (i % per)
	b := &dst.Raw()[i/per]
	*b = *b&^(mask<<shift) | elementBits(src, j)<<shift
}

// elementBits is element j of a type narrower than a byte.
func elementBits(t tensor.Tensor, j int) byte {
	bits := t.DType().Bits()
	per := 8 / bits
	return t.Raw()[j/per] >> (bits * (j % per)) & (1<<bits - 1)
}

// nonzero lists the elements whose bits are not all zero: minus zero counts.
func nonzero(t tensor.Tensor) []int64 {
	var list []int64
	w := t.DType().Bits() / 8
	for i := range t.Len() {
		if w == 0 {
			if elementBits(t, i) != 0 {
				list = append(list, int64(i))
			}
			continue
		}
		for _, b := range t.Raw()[i*w : (i+1)*w] {
			if b != 0 {
				list = append(list, int64(i))
				break
			}
		}
	}
	return list
}
