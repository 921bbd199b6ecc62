package data

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/compactify/compactify/tensor"
)

// npyArray is an n-d array from a NumPy file, in C order.
type npyArray struct {
	kind  byte // 'f', 'i', 'u' or 'b'
	size  int  // bytes per element
	order binary.ByteOrder
	dims  []int
	raw   []byte

	fortran bool // raw is in Fortran order all the same
}

// readNPY reads format versions 1 to 3 and requires the input to end with the
// array. Structured and object arrays are errors. A matrix of doubles in Fortran order
// stays as it is if byColumns is set. The input is known to have so many bytes, 0 if
// nothing is.
//
// Source: NumPy documentation, numpy.lib.format, "Format Version 1.0" to "3.0".
func readNPY(r io.Reader, byColumns bool, known int64) (npyArray, error) {
	header, err := readNPYHeader(r)
	if err != nil {
		return npyArray{}, err
	}
	a, fortran, err := parseNPYHeader(header)
	if err != nil {
		return npyArray{}, fmt.Errorf("header %q: %w", clip(header), err)
	}
	count := int64(a.size)
	for _, d := range a.dims {
		if d != 0 && count > math.MaxInt64/int64(d) {
			return npyArray{}, fmt.Errorf("shape %v: product overflows", a.dims)
		}
		count *= int64(d)
	}
	if a.raw, err = readKnown(r, count, max(known, 1<<20)); err != nil {
		return npyArray{}, fmt.Errorf("elements of shape %v: %w", a.dims, err)
	}
	var more [1]byte
	if n, err := io.ReadFull(r, more[:]); n > 0 {
		return npyArray{}, fmt.Errorf("elements of shape %v: data goes on after %d bytes", a.dims, count)
	} else if err != io.EOF {
		return npyArray{}, err // a checksum at the end, for one
	}
	switch {
	case fortran && byColumns && len(a.dims) == 2 && a.kind == 'f' && a.size == 8:
		a.fortran = true
	case fortran:
		a.raw = cOrder(a.raw, a.dims, a.size)
	}
	return a, nil
}

func readNPYHeader(r io.Reader) (string, error) {
	const magic = "\x93NUMPY"
	head := make([]byte, len(magic)+2)
	if n, err := io.ReadFull(r, head); err != nil {
		return "", fmt.Errorf("magic: %w", short(err, int64(n), int64(len(head))))
	}
	if string(head[:len(magic)]) != magic {
		return "", fmt.Errorf("magic: got %q, want %q", head[:len(magic)], magic)
	}
	lengthBytes := 4
	switch version := head[len(magic)]; version {
	case 1:
		lengthBytes = 2
	case 2, 3:
	default:
		return "", fmt.Errorf("format version: got %d, want 1 to 3", version)
	}
	var b [4]byte
	if n, err := io.ReadFull(r, b[:lengthBytes]); err != nil {
		return "", fmt.Errorf("header length: %w", short(err, int64(n), int64(lengthBytes)))
	}
	const most = 1 << 20 // a shape needs a hundred bytes; structured types may need more and are refused
	length := int64(binary.LittleEndian.Uint32(b[:]))
	if length > most {
		return "", fmt.Errorf("header length: got %d, want at most %d", length, most)
	}
	header, err := readAll(r, length)
	if err != nil {
		return "", fmt.Errorf("header: %w", err)
	}
	return string(header), nil
}

var (
	npyDescr   = regexp.MustCompile(`['"]descr['"]\s*:\s*['"]([<>|=])([a-zA-Z])(\d+)['"]\s*[,}]`)
	npyFortran = regexp.MustCompile(`['"]fortran_order['"]\s*:\s*(True|False)\s*[,}]`)
	npyShape   = regexp.MustCompile(`['"]shape['"]\s*:\s*\(([\s\d,]*)\)\s*[,}]`)
)

// parseNPYHeader reads the Python dictionary of the header: three known keys
// with values of one form each.
func parseNPYHeader(header string) (a npyArray, fortran bool, err error) {
	descr, order, shape := npyDescr.FindStringSubmatch(header), npyFortran.FindStringSubmatch(header), npyShape.FindStringSubmatch(header)
	switch {
	case descr == nil:
		return a, false, errors.New("descr: want a plain number type such as '<f4'")
	case order == nil:
		return a, false, errors.New("fortran_order: want True or False")
	case shape == nil:
		return a, false, errors.New("shape: want a tuple of sizes")
	}
	a.order = binary.ByteOrder(binary.LittleEndian)
	if descr[1] == ">" {
		a.order = binary.BigEndian
	}
	a.kind = descr[2][0]
	switch descr[2] + descr[3] {
	case "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1":
		a.size = int(descr[3][0] - '0')
	default:
		return a, false, fmt.Errorf("descr: got %q, want f4, f8, i1 to i8, u1 to u8 or b1", clip(descr[2]+descr[3]))
	}
	const maxRank = 32 // NumPy's own limit before version 2
	for _, f := range strings.Split(shape[1], ",") {
		if f = strings.TrimSpace(f); f == "" {
			continue
		}
		d, err := strconv.ParseInt(f, 10, 48)
		if err != nil || len(a.dims) == maxRank {
			return a, false, fmt.Errorf("shape: got %q, want at most %d sizes below 2^47", clip(shape[1]), maxRank)
		}
		a.dims = append(a.dims, int(d))
	}
	return a, order[1] == "True", nil
}

// cOrder copies elements from Fortran order, first index fastest, to C order.
func cOrder(raw []byte, dims []int, size int) []byte {
	if len(dims) < 2 || len(raw) == 0 {
		return raw
	}
	stride := make([]int, len(dims)) // of each dimension in the source, in bytes
	step := size
	for d, n := range dims {
		stride[d] = step
		step *= n
	}
	out := make([]byte, 0, len(raw))
	index := make([]int, len(dims))
	for at := 0; len(out) < len(raw); {
		out = append(out, raw[at:at+size]...)
		for d := len(dims) - 1; d >= 0; d-- {
			index[d]++
			at += stride[d]
			if index[d] < dims[d] {
				break
			}
			at -= stride[d] * dims[d]
			index[d] = 0
		}
	}
	return out
}

// rows is the array as a store with rows of size elements. Integers that a
// float64 cannot hold are an error, because every value passes through one.
func (a npyArray) rows(size int) (store, error) {
	bo := a.order
	switch string(a.kind) + strconv.Itoa(a.size) {
	case "u1", "b1":
		return dense[uint8]{a.raw, size}, nil
	case "i1":
		return dense[int8]{decode(a.raw, 1, func(b []byte) int8 { return int8(b[0]) }), size}, nil
	case "u2":
		return dense[uint16]{decode(a.raw, 2, bo.Uint16), size}, nil
	case "i2":
		return dense[int16]{decode(a.raw, 2, func(b []byte) int16 { return int16(bo.Uint16(b)) }), size}, nil
	case "u4":
		return dense[uint32]{decode(a.raw, 4, bo.Uint32), size}, nil
	case "i4":
		return dense[int32]{decode(a.raw, 4, func(b []byte) int32 { return int32(bo.Uint32(b)) }), size}, nil
	case "u8":
		return exact(dense[uint64]{decode(a.raw, 8, bo.Uint64), size})
	case "i8":
		return exact(dense[int64]{decode(a.raw, 8, func(b []byte) int64 { return int64(bo.Uint64(b)) }), size})
	case "f4":
		return dense[float32]{decode(a.raw, 4, func(b []byte) float32 { return math.Float32frombits(bo.Uint32(b)) }), size}, nil
	default: // parseNPYHeader admits no other type than f8
		values := tensor.Data[float64](a.tensor())
		if a.fortran {
			return byColumn{values, a.dims[0]}, nil
		}
		return dense[float64]{values, size}, nil
	}
}

func exact[T int64 | uint64](d dense[T]) (store, error) {
	const most = 1 << 53
	for i, v := range d.data {
		if v > most || int64(v) < -most {
			return nil, fmt.Errorf("value %d of example %d: got %d, want at most 2^53 in magnitude", i%d.size+1, i/d.size+1, v)
		}
	}
	return d, nil
}
