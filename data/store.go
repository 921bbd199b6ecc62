package data

import (
	"encoding/binary"
	"fmt"
	"hash"
	"unsafe"
)

// A store holds rows of equal length. Rows are written scaled and in the order
// the layout asks for.
type store interface {
	len() int
	kind() string
	bytes() int
	same(other store) bool // whether the rows are the same memory
	fill32(dst []float32, row int, l layout, s *scaling)
	fill64(dst []float64, row int, l layout, s *scaling)
	hashRow(h hash.Hash, row int)
}

// A layout sees the n = major·minor values of a stored row as a matrix and says
// where element (a, b) goes: dst[a·stepA + b·stepB]. Channels run along one axis.
//
//	[C, H, W] stored:  major = C, minor = H·W, channel = a
//	[H, W, C] stored:  major = H·W, minor = C, channel = b
type layout struct {
	Major, Minor int
	StepA, StepB int
	ChannelB     bool
}

func (l layout) channel(a, b int) int {
	if l.ChannelB {
		return b
	}
	return a
}

// transposed is l with the two axes exchanged in the presented order.
func (l layout) transposed() layout {
	l.StepA, l.StepB = 1, l.Major
	return l
}

type number interface {
	uint8 | int8 | uint16 | int16 | uint32 | int32 | uint64 | int64 | float32 | float64
}

// dense holds len(data)/size rows, one after the other.
type dense[T number] struct {
	data []T
	size int // values per row
}

func (d dense[T]) len() int     { return len(d.data) / d.size }
func (d dense[T]) kind() string { return fmt.Sprintf("%T", *new(T)) }

func (d dense[T]) bytes() int { return len(d.data) * int(unsafe.Sizeof(*new(T))) }

func (d dense[T]) same(other store) bool {
	o, ok := other.(dense[T])
	return ok && unsafe.SliceData(d.data) == unsafe.SliceData(o.data)
}

func (d dense[T]) fill32(dst []float32, row int, l layout, s *scaling) {
	src := d.data[row*d.size : (row+1)*d.size]
	if bytes, ok := any(src).([]byte); ok {
		fillBytes(dst, bytes, l, s)
		return
	}
	fillDense(dst, src, l, s)
}

func (d dense[T]) fill64(dst []float64, row int, l layout, s *scaling) {
	fillDense(dst, d.data[row*d.size:(row+1)*d.size], l, s)
}

func (d dense[T]) hashRow(h hash.Hash, row int) {
	src := d.data[row*d.size : (row+1)*d.size]
	if bytes, ok := any(src).([]byte); ok {
		h.Write(bytes)
		return
	}
	binary.Write(h, binary.LittleEndian, src)
}

func fillDense[F float32 | float64, T number](dst []F, src []T, l layout, s *scaling) {
	for a := range l.Major {
		for b, v := range src[a*l.Minor : (a+1)*l.Minor] {
			dst[a*l.StepA+b*l.StepB] = F(s.apply(float64(v), l.channel(a, b)))
		}
	}
}

// fillBytes is fillDense with each channel's 256 results looked up.
func fillBytes(dst []float32, src []byte, l layout, s *scaling) {
	for a := range l.Major {
		line := src[a*l.Minor : (a+1)*l.Minor]
		switch {
		case l.ChannelB:
			for b, v := range line {
				dst[a*l.StepA+b*l.StepB] = s.table[b][v]
			}
		case l.StepB == 1:
			lookUp(dst[a*l.StepA:][:len(line)], line, &s.table[a])
		default:
			table := &s.table[a]
			for b, v := range line {
				dst[a*l.StepA+b*l.StepB] = table[v]
			}
		}
	}
}

// lookUp translates bytes, eight to a load.
func lookUp(dst []float32, src []byte, table *[256]float32) {
	for len(src) >= 8 && len(dst) >= 8 {
		v := binary.LittleEndian.Uint64(src)
		dst[0], dst[1], dst[2], dst[3] = table[byte(v)], table[byte(v>>8)], table[byte(v>>16)], table[byte(v>>24)]
		dst[4], dst[5], dst[6], dst[7] = table[byte(v>>32)], table[byte(v>>40)], table[byte(v>>48)], table[v>>56]
		src, dst = src[8:], dst[8:]
	}
	for i, v := range src {
		dst[i] = table[v]
	}
}

// sparse holds rows of mostly zeros: row r has value val[k] in column col[k]
// for k in [start[r], start[r+1]), columns ascending from 0.
type sparse struct {
	start []int
	col   []int32
	val   []float64
}

func (sp *sparse) len() int     { return len(sp.start) - 1 }
func (sp *sparse) kind() string { return "sparse float64" }

func (sp *sparse) bytes() int { return 8*len(sp.start) + 4*len(sp.col) + 8*len(sp.val) }

func (sp *sparse) same(other store) bool {
	o, ok := other.(*sparse)
	return ok && o == sp
}

func (sp *sparse) fill32(dst []float32, row int, l layout, s *scaling) {
	fillSparse(dst, sp, row, l, s)
}

func (sp *sparse) fill64(dst []float64, row int, l layout, s *scaling) {
	fillSparse(dst, sp, row, l, s)
}

// fillSparse relies on sparse rows being flat: presented order is stored order,
// and the channel is the column or there is one channel.
func fillSparse[F float32 | float64](dst []F, sp *sparse, row int, l layout, s *scaling) {
	channel := func(c int) int { return l.channel(0, c) }
	for c := range dst {
		dst[c] = F(s.apply(0, channel(c)))
	}
	for k := sp.start[row]; k < sp.start[row+1]; k++ {
		c := int(sp.col[k])
		dst[c] = F(s.apply(sp.val[k], channel(c)))
	}
}

func (sp *sparse) hashRow(h hash.Hash, row int) {
	lo, hi := sp.start[row], sp.start[row+1]
	hashNumber(h, uint64(hi-lo))
	binary.Write(h, binary.LittleEndian, sp.col[lo:hi])
	binary.Write(h, binary.LittleEndian, sp.val[lo:hi])
}
