package graph

import (
	"fmt"
	"math"

	"github.com/compactify/compactify/tensor"
)

// cells is one axis of the grids that regions [R] are divided into.
type cells struct {
	at    *Value // the points in each cell [R, cells, points]
	used  *Value // which of the points there are [R, 1, points]
	count *Value // how many points there are [R, 1, 1]
}

// column is entry i of every region, [R, 1, 1].
func (b *Builder) column(rois *Value, i int) *Value {
	return b.Op("Unsqueeze", b.slice(rois, 1, i, i+1), b.Const(tensor.Ints(-1)))
}

// counting is 0, 1, ... along an axis of three.
func (b *Builder) counting(d tensor.DType, n, axis int) *Value {
	shape := []int{1, 1, 1}
	shape[axis] = n
	t := tensor.New(d, shape...)
	for i := range n {
		t.Set(i, float64(i))
	}
	return b.Const(t)
}

// cellsOf lays points into cells between two coordinates of the regions.
func (b *Builder) cellsOf(n *Node, from, to, parts int) (cells, error) {
	rois := n.In[1]
	scale, ratio := n.Attrs.Float("spatial_scale", 1), n.Attrs.Int("sampling_ratio", 0)
	half := n.Attrs.Text("coordinate_transformation_mode", "half_pixel") == "half_pixel"
	start, end := b.scale(b.column(rois, from), scale), b.scale(b.column(rois, to), scale)
	length := b.sub(end, start)
	if half {
		start = b.sub(start, b.ConstLike(start, 0.5))
	} else {
		length = b.Op("Max", length, b.ConstLike(length, 1))
	}
	size := b.scale(length, 1/float64(parts))
	most, count := ratio, b.add(b.scale(size, 0), b.ConstLike(size, float64(ratio)))
	if ratio <= 0 {
		data, ok := b.facts.Data(rois)
		if !ok {
			return cells{}, fmt.Errorf("want a sampling_ratio or constant regions")
		}
		most = 1
		for r := range data.Len() / 4 {
			extent := (data.At(4*r+to) - data.At(4*r+from)) * scale
			most = max(most, int(math.Ceil(max(1, extent)/float64(parts)))+1)
		}
		count = b.Op("Max", b.Op("Ceil", size), b.zeros(size))
	}
	step := b.div(size, b.Op("Max", count, b.ConstLike(count, 1)))
	d := rois.Type.DType
	k := b.counting(d, most, 2)
	at := b.add(start, b.mul(b.counting(d, parts, 1), size))
	at = b.add(at, b.mul(b.add(k, b.ConstLike(k, 0.5)), step))
	return cells{at: at, used: b.Op("Less", k, count), count: count}, nil
}

// regionImages is the image that each region lies in, [R, C, H, W], and its
// spatial sizes.
func (b *Builder) regionImages(n *Node, index *Value) (images *Value, dims []int) {
	return b.Op("Gather", n.In[0], index), b.staticSizes(n.In[0], 2)
}

// lowerRoiAlign: the mean over the points of a cell is a product with matrices of
// weights on both sides, for a point between pixels p and p + 1 weighs them by
// their distance, max(0, 1 − |at − p|).
//
// Source: K. He et al., "Mask R-CNN", 2017, section 3.
func lowerRoiAlign(b *Builder, n *Node) []*Value {
	images, dims := b.regionImages(n, n.In[2])
	rows, err := b.cellsOf(n, 1, 3, n.Attrs.Int("output_height", 1))
	columns, other := b.cellsOf(n, 0, 2, n.Attrs.Int("output_width", 1))
	if err == nil {
		err = other
	}
	if err != nil || b.err != nil {
		b.Fail(fmt.Errorf("lower %s: %w", n, err))
		return []*Value{nil}
	}
	if n.Attrs.Text("mode", "avg") == "max" {
		return []*Value{b.largestPoint(n, images, dims, rows, columns)}
	}
	above, beside := rows.weights(b, dims[0]), columns.weights(b, dims[1])
	return []*Value{b.Op("MatMul", b.Op("MatMul", b.unsqueeze(above, 1), images), b.unsqueeze(b.transposeLast(beside), 1))}
}

// inside tells which points are there and at most a pixel outside of the n pixels
// of the axis, and clamps all to the pixels.
func (c cells) inside(b *Builder, n int) (at, counts *Value) {
	lo, hi := b.ConstLike(c.at, -1), b.ConstLike(c.at, float64(n))
	near := b.Op("And", b.Op("GreaterOrEqual", c.at, lo), b.Op("LessOrEqual", c.at, hi))
	return b.Op("Clip", c.at, b.zeros(c.at), b.ConstLike(c.at, float64(n-1))), b.Op("And", near, c.used)
}

// weights is the mean over the points of each cell as weights of pixels,
// [R, cells, n].
func (c cells) weights(b *Builder, n int) *Value {
	at, counts := c.inside(b, n)
	pixel := tensor.New(at.Type.DType, n)
	for i := range n {
		pixel.Set(i, float64(i))
	}
	distance := b.Op("Abs", b.sub(b.unsqueeze(at, -1), b.Const(pixel)))
	hat := b.Op("Relu", b.sub(b.ConstLike(at, 1), distance))
	sum := b.sum(b.mask(b.unsqueeze(counts, -1), hat), false, 2)
	return b.div(sum, b.Op("Max", c.count, b.ConstLike(c.count, 1)))
}

// largestPoint is the maximum, as the operator defines it, over pixels times
// weights of all points of a cell, not over interpolated points.
func (b *Builder) largestPoint(n *Node, images *Value, dims []int, rows, columns cells) *Value {
	m := image{b, b.Op("Reshape", images, b.Const(tensor.Ints(0, 0, -1))), dims}
	spread := func(v *Value, front bool) *Value { // [R, cells, points] among [R, 1, rows, columns, points, points]
		axes := tensor.Ints(1, 3, 5)
		if front {
			axes = tensor.Ints(1, 2, 4)
		}
		return b.Op("Unsqueeze", v, b.Const(axes))
	}
	var parts [2]taps
	var near, used [2]*Value
	for i, c := range []cells{rows, columns} {
		at, counts := c.inside(b, dims[i])
		parts[i] = m.linear(i, at, true)
		near[i], used[i] = spread(counts, i == 1), spread(c.used, i == 1)
	}
	every := b.Op("And", near[0], near[1])
	flat := b.Const(tensor.Ints(0, 1, -1))
	shape := b.concat(b.With("Shape", Attributes{Int("end", 2)}, images), b.With("Shape", Attributes{Int("start", 2)}, every))
	var most *Value
	for i, row := range parts[0].index {
		for k, column := range parts[1].index {
			index := b.add(b.mul(spread(row, false), b.Const(tensor.Scalar(int64(dims[1])))), spread(column, true))
			weight := b.mul(spread(parts[0].weight[i], false), spread(parts[1].weight[k], true))
			pixels := b.Op("Reshape", m.at(b.Op("Reshape", index, flat)), shape)
			v := b.mask(every, b.mul(weight, pixels))
			if most == nil {
				most = v
			} else {
				most = b.Op("Max", most, v)
			}
		}
	}
	there := b.Op("And", used[0], used[1])
	most = b.Op("Where", there, most, b.ConstLike(images, -math.MaxFloat32))
	most = b.With("ReduceMax", Attributes{Int("keepdims", 0)}, most, b.Const(tensor.Ints(4, 5)))
	points := b.mul(b.unsqueeze(rows.count, 1), b.unsqueeze(columns.count, 1)) // [R, 1, 1, 1]
	return b.mask(b.Op("Greater", points, b.zeros(points)), most)
}

// lowerMaxRoiPool takes the maximum of each cell of a grid of pixels, first of
// its rows and then of its columns; cells without any are 0.
//
// Source: R. Girshick, "Fast R-CNN", ICCV 2015, section 2.1.
func lowerMaxRoiPool(b *Builder, n *Node) []*Value {
	rois, size := n.In[1], n.Attrs.Ints("pooled_shape")
	index := b.Op("Squeeze", b.as(tensor.Int64, b.slice(rois, 1, 0, 1)), b.Const(tensor.Ints(1)))
	images, dims := b.regionImages(n, index)
	if b.err != nil {
		return []*Value{nil}
	}
	rows, columns := b.pixelsOf(n, 2, 4, size[0], dims[0]), b.pixelsOf(n, 1, 3, size[1], dims[1])
	least := b.ConstLike(images, -math.MaxFloat32)
	tall := b.Op("Where", b.Op("Unsqueeze", rows, b.Const(tensor.Ints(1, 4))), b.unsqueeze(images, 2), least)
	tall = b.With("ReduceMax", Attributes{Int("keepdims", 0)}, tall, b.Const(tensor.Ints(3))) // [R, C, rows, W]
	wide := b.Op("Where", b.Op("Unsqueeze", columns, b.Const(tensor.Ints(1, 2))), b.unsqueeze(tall, 3), least)
	y := b.With("ReduceMax", Attributes{Int("keepdims", 0)}, wide, b.Const(tensor.Ints(4)))
	return []*Value{b.mask(b.Op("Greater", y, least), y)}
}

// pixelsOf tells which of the pixels of an axis belong to each cell,
// [R, cells, pixels].
func (b *Builder) pixelsOf(n *Node, from, to, parts, pixels int) *Value {
	rois, scale := n.In[1], n.Attrs.Float("spatial_scale", 1)
	round := func(i int) *Value {
		v := b.scale(b.column(rois, i), scale)
		return b.Op("Floor", b.add(v, b.ConstLike(v, 0.5)))
	}
	start := round(from)
	length := b.Op("Max", b.add(b.sub(round(to), start), b.ConstLike(start, 1)), b.ConstLike(start, 1))
	size := b.scale(length, 1/float64(parts))
	d := rois.Type.DType
	cell, pixel := b.counting(d, parts, 1), b.counting(d, pixels, 2)
	first := b.add(start, b.Op("Floor", b.mul(cell, size)))
	end := b.add(start, b.Op("Ceil", b.mul(b.add(cell, b.ConstLike(cell, 1)), size)))
	return b.Op("And", b.Op("GreaterOrEqual", pixel, first), b.Op("Less", pixel, end))
}
