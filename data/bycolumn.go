package data

import (
	"encoding/binary"
	"hash"
	"unsafe"
)

// byColumn holds rows of doubles column after column, as a NumPy array in Fortran
// order does: value j of row i is data[j·count + i].
type byColumn struct {
	data  []float64
	count int // of rows
}

func (b byColumn) len() int     { return b.count }
func (b byColumn) kind() string { return dense[float64]{}.kind() }
func (b byColumn) bytes() int   { return 8 * len(b.data) }

func (b byColumn) same(other store) bool {
	o, ok := other.(byColumn)
	return ok && unsafe.SliceData(b.data) == unsafe.SliceData(o.data)
}

// row gathers one row.
func (b byColumn) row(i int) dense[float64] {
	out := make([]float64, 0, len(b.data)/b.count)
	for ; i < len(b.data); i += b.count {
		out = append(out, b.data[i])
	}
	return dense[float64]{out, len(out)}
}

func (b byColumn) fill32(dst []float32, row int, l layout, s *scaling) {
	b.row(row).fill32(dst, 0, l, s)
}

func (b byColumn) fill64(dst []float64, row int, l layout, s *scaling) {
	b.row(row).fill64(dst, 0, l, s)
}

func (b byColumn) hashRow(h hash.Hash, row int) {
	binary.Write(h, binary.LittleEndian, b.row(row).data)
}
