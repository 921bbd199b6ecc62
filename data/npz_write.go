package data

import (
	"archive/zip"
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"
)

// Array is an array of doubles to be written to a NumPy file, in C order. Next gives
// the values in that order, as many as the product of the shape.
type Array struct {
	Name  string
	Shape []int
	Next  func() float64
}

// Values is the Next of a slice.
func Values(list []float64) func() float64 {
	i := -1
	return func() float64 {
		i++
		return list[i]
	}
}

// WriteNPZ writes arrays as NumPy's savez does: a zip archive, not compressed, of .npy
// files of format version 1.0. It holds no more than a buffer in memory.
func WriteNPZ(w io.Writer, arrays []Array) error {
	z := zip.NewWriter(w)
	for _, a := range arrays {
		f, err := z.CreateHeader(&zip.FileHeader{Name: a.Name + ".npy", Method: zip.Store})
		if err == nil {
			err = writeNPY(f, a)
		}
		if err != nil {
			return fmt.Errorf("write npz: %s: %w", a.Name, err)
		}
	}
	return z.Close()
}

// writeNPY writes one array. The header is padded so that the numbers begin at a
// multiple of 64 bytes.
//
// Source: NumPy documentation, numpy.lib.format, "Format Version 1.0".
func writeNPY(w io.Writer, a Array) error {
	var dims strings.Builder
	for _, d := range a.Shape {
		fmt.Fprintf(&dims, "%d, ", d)
	}
	header := fmt.Sprintf("{'descr': '<f8', 'fortran_order': False, 'shape': (%s), }", dims.String())
	const prefix, align = 10, 64
	pad := align - (prefix+len(header)+1)%align
	header += strings.Repeat(" ", pad%align) + "\n"
	out := bufio.NewWriter(w)
	out.WriteString("\x93NUMPY\x01\x00")
	out.Write(binary.LittleEndian.AppendUint16(nil, uint16(len(header))))
	out.WriteString(header)
	var b [8]byte
	for range product(a.Shape) {
		binary.LittleEndian.PutUint64(b[:], math.Float64bits(a.Next()))
		if _, err := out.Write(b[:]); err != nil {
			return err
		}
	}
	return out.Flush()
}
