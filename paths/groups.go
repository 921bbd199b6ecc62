package paths

import (
	"slices"

	"github.com/compactify/compactify/graph"
)

// groups divides a layer's weights into those that share a scale. Scales are
// numbered in row-major order of their tensor's shape.
type groups struct {
	shape               []int // of the scales' tensor: none, [C], or the weight's with fewer entries on the blocked axis
	axis                int   // along which they lie; of no meaning to one scale
	block               int   // as in [Scheme]
	count               int   // of scales
	outer, along, inner int   // the weight around the axis
	perAxis             int   // scales along the axis
}

// newGroups divides a weight of the given shape, whose scales lie along axis.
func newGroups(shape []int, axis, block int) groups {
	g := groups{axis: axis, block: block, outer: sizeOf(shape[:axis]), along: shape[axis], inner: sizeOf(shape[axis+1:])}
	switch block {
	case PerTensor:
		g.count = 1
	case PerChannel:
		g.perAxis, g.count, g.shape = g.along, g.along, []int{g.along}
	default:
		g.perAxis = (g.along + block - 1) / block
		g.count, g.shape = g.outer*g.perAxis*g.inner, slices.Clone(shape)
		g.shape[axis] = g.perAxis
	}
	return g
}

func sizeOf(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// groupsOf divides a layer's weights by a scheme.
func groupsOf(l graph.Layer, s Scheme) groups {
	axis := l.Axis
	if s.Block > 1 {
		axis = inputAxis(l)
	}
	return newGroups(l.Param.Data.Shape(), axis, s.Block)
}

// inputAxis is the axis of a layer's weight along which its inputs lie: that of
// the channels for a convolution, that which is summed over for a product.
func inputAxis(l graph.Layer) int {
	rank := l.Param.Data.Rank()
	switch {
	case rank > 2 && l.Nodes[0].Kind() == "ConvTranspose":
		return 0
	case l.Axis == rank-1:
		return rank - 2
	}
	return l.Axis + 1
}

// strip is where the weights of one group lie: rows of run neighbours, stride
// apart.
type strip struct{ start, rows, stride, run int }

func (g groups) strip(i int) strip {
	switch g.block {
	case PerTensor:
		return strip{0, 1, 0, g.outer * g.along * g.inner}
	case PerChannel:
		return strip{i * g.inner, g.outer, g.along * g.inner, g.inner}.joined()
	}
	inner, at := i%g.inner, i/g.inner
	outer, first := at/g.perAxis, at%g.perAxis*g.block
	return strip{outer*g.along*g.inner + first*g.inner + inner, min(g.block, g.along-first), g.inner, 1}.joined()
}

// joined makes one row of rows that touch.
func (s strip) joined() strip {
	if s.rows == 1 || s.stride == s.run {
		return strip{s.start, 1, 0, s.rows * s.run}
	}
	return s
}

func (s strip) len() int { return s.rows * s.run }

// tile is how many strips are gathered together at most: as many elements of a
// row as fill four cache lines.
const tile = 64

// neighbours is how many strips from number i on, up to a tile of them, lie one
// element beside the other.
func (g groups) neighbours(i int) int {
	switch {
	case g.block == PerChannel && g.inner == 1:
		return min(tile, g.count-i)
	case g.block > 0 && g.inner > 1:
		return min(tile, g.inner-i%g.inner)
	}
	return 1
}

// gather copies n neighbouring strips of x, of which s is the first, one behind
// the other into dst.
func gather[T any](s strip, n int, dst, x []T) {
	for r, at := 0, s.start; r < s.rows; r, at = r+1, at+s.stride {
		if s.run > 1 {
			copy(dst[r*s.run:][:s.run], x[at:])
			continue
		}
		for k, v := range x[at:][:n] {
			dst[k*s.rows+r] = v
		}
	}
}

// scatter puts back what gather copied.
func scatter[T any](s strip, n int, dst, x []T) {
	for r, at := 0, s.start; r < s.rows; r, at = r+1, at+s.stride {
		if s.run > 1 {
			copy(dst[at:][:s.run], x[r*s.run:])
			continue
		}
		row := dst[at:][:n]
		for k := range row {
			row[k] = x[k*s.rows+r]
		}
	}
}

// scaleOf maps a row-major index of the weight to the number of its scale.
func (g groups) scaleOf() func(i int) int {
	switch g.block {
	case PerTensor:
		return func(int) int { return 0 }
	case PerChannel:
		return func(i int) int { return i / g.inner % g.along }
	}
	return func(i int) int {
		inner, at := i%g.inner, i/g.inner
		return (at/g.along*g.perAxis+at%g.along/g.block)*g.inner + inner
	}
}
