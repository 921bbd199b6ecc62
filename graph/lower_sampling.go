package graph

import (
	"fmt"
	"slices"

	"github.com/compactify/compactify/tensor"
)

// The lowerings below are for derivatives: the engine has kernels for their
// operators. Sizes of the image must be known.

// image is a picture with its spatial axes flattened, to be read between pixels.
type image struct {
	b      *Builder
	pixels *Value // [N, C, Πdims]
	dims   []int
}

// imageOf flattens x [N, C, spatial...].
func (b *Builder) imageOf(n *Node, x *Value) (image, bool) {
	dims, ok := tensor.Type{Shape: x.Type.Shape[min(2, len(x.Type.Shape)):]}.Static()
	if !ok || x.Type.Rank() < 3 {
		b.Fail(fmt.Errorf("lower %s: the spatial sizes of input 0 are unknown", n))
		return image{b: b}, false
	}
	return image{b, b.Op("Reshape", x, b.Const(tensor.Ints(0, 0, -1))), dims}, true
}

// taps is, along one axis, the pixels that a set of points [N, 1, M] draws on: the
// k-th index with its weight.
type taps struct{ index, weight []*Value }

// blend is Σ Π weights · pixels: [N, C, M].
func (m image) blend(axes []taps) *Value {
	return m.sum(axes, nil, nil)
}

func (m image) sum(axes []taps, index, weight *Value) *Value {
	b := m.b
	if len(axes) == 0 {
		return b.mul(weight, m.at(index))
	}
	done := len(m.dims) - len(axes)
	stride := b.Const(tensor.Scalar(int64(product(m.dims[done+1:]))))
	var total *Value
	for k, i := range axes[0].index {
		i, w := b.mul(i, stride), axes[0].weight[k]
		if index != nil {
			i, w = b.add(index, i), b.mul(weight, w)
		}
		term := m.sum(axes[1:], i, w)
		if total == nil {
			total = term
		} else {
			total = b.add(total, term)
		}
	}
	return total
}

// at reads every channel at flat indices [N, 1, M].
func (m image) at(index *Value) *Value {
	b := m.b
	channels := b.With("Concat", Attributes{Int("axis", 0)}, b.Const(tensor.Ints(1)),
		b.With("Shape", Attributes{Int("start", 1), Int("end", 2)}, m.pixels), b.Const(tensor.Ints(1)))
	return b.With("GatherElements", Attributes{Int("axis", 2)}, m.pixels, b.Op("Expand", index, channels))
}

// pixel turns positions that are whole numbers into indices of axis a and tells
// where they are inside.
func (m image) pixel(a int, at *Value) (index, inside *Value) {
	b := m.b
	zero, last := b.zeros(at), b.ConstLike(at, float64(m.dims[a]-1))
	inside = b.Op("And", b.Op("GreaterOrEqual", at, zero), b.Op("LessOrEqual", at, last))
	return b.as(tensor.Int64, b.Op("Clip", at, zero, last)), inside
}

// linear is linear interpolation at positions on axis a; what is outside is zero
// or, if clamped, the pixel at the edge.
func (m image) linear(a int, x *Value, clamped bool) taps {
	b := m.b
	left := b.Op("Floor", x)
	ratio := b.sub(x, left)
	var t taps
	for k, w := range []*Value{b.sub(b.ConstLike(x, 1), ratio), ratio} {
		index, inside := m.pixel(a, b.add(left, b.ConstLike(x, float64(k))))
		if !clamped {
			w = b.mask(inside, w)
		}
		t.index, t.weight = append(t.index, index), append(t.weight, w)
	}
	return t
}

func product(sizes []int) int {
	p := 1
	for _, n := range sizes {
		p *= n
	}
	return p
}

// lowerGridSample: x [N, C, spatial...], grid [N, out..., axes], the last axis
// in the order x, y, z.
func lowerGridSample(b *Builder, n *Node) []*Value {
	x, grid := n.In[0], n.In[1]
	m, ok := b.imageOf(n, x)
	if !ok {
		return []*Value{nil}
	}
	count := len(m.dims)
	points := b.as(x.Type.DType, b.Op("Reshape", grid, b.Const(tensor.Ints(0, -1, count))))
	axes := make([]taps, count)
	for a := range axes {
		c := count - 1 - a
		v := b.Op("Reshape", b.slice(points, 2, c, c+1), b.Const(tensor.Ints(0, 1, -1)))
		axes[a] = m.gridTaps(n, a, v)
	}
	shape := b.With("Concat", Attributes{Int("axis", 0)}, b.With("Shape", Attributes{Int("end", 2)}, x),
		b.With("Shape", Attributes{Int("start", 1), Int("end", -1)}, grid))
	return []*Value{b.Op("Reshape", m.blend(axes), shape)}
}

// gridTaps resolves normalised coordinates on axis a.
func (m image) gridTaps(n *Node, a int, v *Value) taps {
	b, size := m.b, float64(m.dims[a])
	corners := n.Attrs.Int("align_corners", 0) != 0
	x, lo, hi := b.scale(b.add(v, b.ConstLike(v, 1-1/size)), size/2), -0.5, size-0.5
	if corners {
		x, lo, hi = b.scale(b.add(v, b.ConstLike(v, 1)), (size-1)/2), 0, size-1
	}
	mode, padding := n.Attrs.Text("mode", "linear"), n.Attrs.Text("padding_mode", "zeros")
	if mode == "nearest" {
		x = b.Op("Round", x)
	}
	if padding != "zeros" {
		outside := b.Op("Or", b.Op("Less", x, b.ConstLike(x, lo)), b.Op("Greater", x, b.ConstLike(x, hi)))
		moved := b.Op("Clip", x, b.zeros(x), b.ConstLike(x, size-1))
		if padding == "reflection" {
			moved = b.reflect(x, lo, hi)
		}
		x = b.Op("Where", outside, moved, x)
	}
	left, weights, first := b.Op("Floor", x), []*Value(nil), 0
	ratio := b.sub(x, left)
	switch mode {
	case "nearest":
		weights = []*Value{b.ConstLike(x, 1)}
	case "cubic":
		weights, first = b.cubicWeights(ratio), -1
	default:
		weights = []*Value{b.sub(b.ConstLike(x, 1), ratio), ratio}
	}
	var t taps
	for k, w := range weights {
		at := b.add(left, b.ConstLike(x, float64(first+k)))
		if padding == "reflection" {
			at = b.Op("Floor", b.reflect(at, lo, hi))
		}
		index, inside := m.pixel(a, at)
		if padding == "zeros" {
			w = b.mask(inside, w)
		}
		t.index, t.weight = append(t.index, index), append(t.weight, w)
	}
	return t
}

// reflect folds x into [lo, hi].
func (b *Builder) reflect(x *Value, lo, hi float64) *Value {
	span := hi - lo
	if span <= 0 {
		return b.add(b.scale(x, 0), b.ConstLike(x, lo))
	}
	d := b.With("Mod", Attributes{Int("fmod", 1)}, b.Op("Abs", b.sub(x, b.ConstLike(x, lo))), b.ConstLike(x, 2*span))
	return b.add(b.Op("Min", d, b.sub(b.ConstLike(x, 2*span), d)), b.ConstLike(x, lo))
}

// cubicWeights is R. Keys' kernel with a = −¾ at the distances 1 + r, r, 1 − r and
// 2 − r.
func (b *Builder) cubicWeights(r *Value) []*Value {
	const a = -0.75
	polynomial := func(d *Value, c3, c2, c1, c0 float64) *Value {
		y := b.add(b.scale(d, c3), b.ConstLike(d, c2))
		y = b.add(b.mul(y, d), b.ConstLike(d, c1))
		return b.add(b.mul(y, d), b.ConstLike(d, c0))
	}
	outer := func(d *Value) *Value { return polynomial(d, a, -5*a, 8*a, -4*a) }
	inner := func(d *Value) *Value { return polynomial(d, a+2, -(a + 3), 0, 1) }
	one, two := b.ConstLike(r, 1), b.ConstLike(r, 2)
	return []*Value{outer(b.add(one, r)), inner(r), inner(b.sub(one, r)), outer(b.sub(two, r))}
}

// lowerAffineGrid is theta [N, d, d+1] times the positions of the pixels.
func lowerAffineGrid(b *Builder, n *Node) []*Value {
	theta := n.In[0]
	size, ok := (&Inference{Node: n, Facts: b.facts}).ConstInts(1)
	if !ok || len(size) < 4 {
		b.Fail(fmt.Errorf("lower %s: want a constant size", n))
		return []*Value{nil}
	}
	dims := size[2:]
	axes := len(dims)
	corners := n.Attrs.Int("align_corners", 0) != 0
	at := tensor.New(theta.Type.DType, product(dims), axes+1)
	for i := range product(dims) {
		rest := i
		for a := axes - 1; a >= 0; a-- {
			k, count := float64(rest%dims[a]), float64(dims[a])
			rest /= dims[a]
			v := (2*k+1)/count - 1
			if corners {
				v = 2*k/(count-1) - 1
			}
			at.Set(i*(axes+1)+axes-1-a, v)
		}
		at.Set(i*(axes+1)+axes, 1)
	}
	flat := b.Op("MatMul", b.Const(at), b.transposeLast(theta))
	return []*Value{b.Op("Reshape", flat, b.Const(tensor.Ints(slices.Concat([]int{0}, dims, []int{axes})...)))}
}

// lowerCol2Im is a transposed convolution with one filter per place of the block,
// which is 1 there.
func lowerCol2Im(b *Builder, n *Node) []*Value {
	c := &Inference{Node: n, Facts: b.facts}
	size, ok := c.ConstInts(1)
	block, known := c.ConstInts(2)
	x := n.In[0]
	if !ok || !known || x.Type.Rank() != 3 || !x.Type.Shape[1].Known() {
		b.Fail(fmt.Errorf("lower %s: want constant sizes and known channels", n))
		return []*Value{nil}
	}
	taps := product(block)
	channels := x.Type.Shape[1].Size / taps
	win, err := newWindow(&Node{Op: "Conv", Attrs: n.Attrs}, len(block), block)
	if err == nil {
		err = win.slide(fixed(size))
	}
	if err != nil {
		b.Fail(fmt.Errorf("lower %s: %w", n, err))
		return []*Value{nil}
	}
	// [N, C·taps, L] as an image, and filters [C·taps, 1, block...].
	places := b.Op("Reshape", x, b.Const(tensor.Ints(append([]int{0, 0}, win.Out...)...)))
	filters := tensor.New(x.Type.DType, append([]int{channels * taps, 1}, block...)...)
	for i := range channels * taps {
		filters.Set(i*taps+i%taps, 1)
	}
	attrs := Attributes{Int("group", channels), Ints("kernel_shape", block...), Ints("strides", win.Strides...),
		Ints("dilations", win.Dilations...), Ints("pads", win.Pads...)}
	shape := b.With("Concat", Attributes{Int("axis", 0)}, b.With("Shape", Attributes{Int("end", 1)}, x),
		b.Const(tensor.Ints(append([]int{channels}, size...)...)))
	return []*Value{b.With("compactify.ConvGradX", attrs, b.Const(filters), places, shape)}
}

// lowerDeformConv reads the image at displaced places and convolves those with
// filters of one pixel.
//
// Source: X. Zhu et al., "Deformable ConvNets v2", CVPR 2019, equation 1.
func lowerDeformConv(b *Builder, n *Node) []*Value {
	x, w, offset := n.In[0], n.In[1], n.In[2]
	m, ok := b.imageOf(n, x)
	if !ok || len(m.dims) != 2 || !x.Type.Shape[1].Known() {
		b.Fail(fmt.Errorf("lower %s: want images of two axes with known channels", n))
		return []*Value{nil}
	}
	filters := b.staticSizes(w, 0)
	if b.err != nil {
		return []*Value{nil}
	}
	win, err := ConvGeometry(n, append([]int{1, x.Type.Shape[1].Size}, m.dims...), filters)
	if err != nil {
		b.Fail(fmt.Errorf("lower %s: %w", n, err))
		return []*Value{nil}
	}
	groups, taps, places := n.Attrs.Int("offset_group", 1), product(win.Kernel), product(win.Out)
	// Offsets [N, groups, taps, 2, places], masks [N, groups, taps, places].
	moved := b.Op("Reshape", offset, b.Const(tensor.Ints(0, groups, taps, 2, places)))
	channels := x.Type.Shape[1].Size / groups
	columns := make([]*Value, groups)
	for g := range groups {
		part := image{b, b.slice(m.pixels, 1, g*channels, (g+1)*channels), m.dims}
		own := b.slice(moved, 1, g, g+1)
		axes := tapsOf(win, b, own, part)
		value := part.blend(axes)
		if mask := n.Input(4); mask != nil {
			all := b.Op("Reshape", mask, b.Const(tensor.Ints(0, groups, taps*places)))
			value = b.mul(value, b.slice(all, 1, g, g+1))
		}
		columns[g] = value
	}
	all := b.With("Concat", Attributes{Int("axis", 1)}, columns...)
	all = b.Op("Reshape", all, b.Const(tensor.Ints(0, x.Type.Shape[1].Size*taps, win.Out[0], win.Out[1])))
	pixel := b.Op("Reshape", w, b.Const(tensor.Ints(filters[0], filters[1]*taps, 1, 1)))
	in := []*Value{all, pixel}
	if bias := n.Input(3); bias != nil {
		in = append(in, bias)
	}
	return []*Value{b.With("Conv", Attributes{Int("group", win.Group)}, in...)}
}

// tapsOf is where a deformable convolution reads: its window, displaced by
// offsets [N, 1, taps, 2, places].
func tapsOf(win Window, b *Builder, offset *Value, m image) []taps {
	count, places := product(win.Kernel), product(win.Out)
	axes := make([]taps, 2)
	for a := range axes {
		base := tensor.New(offset.Type.DType, 1, 1, count*places)
		for k := range count {
			for p := range places {
				tap, out := k/win.Kernel[1], p/win.Out[1]
				if a == 1 {
					tap, out = k%win.Kernel[1], p%win.Out[1]
				}
				base.Set(k*places+p, float64(out*win.Strides[a]-win.Pads[a]+tap*win.Dilations[a]))
			}
		}
		own := b.Op("Reshape", b.slice(offset, 3, a, a+1), b.Const(tensor.Ints(0, 1, count*places)))
		axes[a] = m.linear(a, b.add(own, b.Const(base)), false)
	}
	return axes
}
