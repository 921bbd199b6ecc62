package graph

import (
	"fmt"
	"slices"

	"github.com/compactify/compactify/tensor"
)

// layoutRules are operators that move elements between axes or along them.
func layoutRules() map[string]*Rule {
	return map[string]*Rule{
		"DepthToSpace":    {Since: []int{1}, MinIn: 1, MaxIn: 1, Infer: inferDepthToSpace, Lower: lowerDepthToSpace},
		"SpaceToDepth":    {Since: []int{1}, MinIn: 1, MaxIn: 1, Infer: inferSpaceToDepth, Lower: lowerSpaceToDepth},
		"CenterCropPad":   {Since: []int{18}, MinIn: 2, MaxIn: 2, Infer: inferCenterCropPad},
		"Col2Im":          {Since: []int{18}, MinIn: 3, MaxIn: 3, Infer: inferCol2Im, Lower: lowerCol2Im},
		"Trilu":           {Since: []int{14}, MinIn: 1, MaxIn: 2, Infer: inferTrilu},
		"ReverseSequence": {Since: []int{10}, MinIn: 2, MaxIn: 2, Infer: inferReverseSequence},
		"CumSum":          {Since: []int{11}, MinIn: 2, MaxIn: 2, Infer: inferCumulate},
		"CumProd":         {Since: []int{26}, MinIn: 2, MaxIn: 2, Infer: inferCumulate},
	}
}

// blockSize checks rank 4 and reads the block size.
func (c *Inference) blockSize() (int, error) {
	if err := c.rank(0, 4); err != nil {
		return 0, err
	}
	size := c.Attrs.Int("blocksize", 0)
	if size < 1 || size > maxWindow {
		return 0, c.Errorf("attribute blocksize: got %d, want 1 to %d", size, maxWindow)
	}
	return size, nil
}

// inferDepthToSpace: [N, C·b², H, W] → [N, C, H·b, W·b].
func inferDepthToSpace(c *Inference) error {
	size, err := c.blockSize()
	if err != nil {
		return err
	}
	if m := c.Attrs.Text("mode", "DCR"); m != "DCR" && m != "CRD" {
		return c.Errorf("attribute mode: got %q, want DCR or CRD", m)
	}
	x := c.In(0)
	out := tensor.Type{DType: x.DType, Shape: unknownDims(4)}
	if x.Ranked() {
		b := tensor.Fixed(size)
		if d := x.Shape[1]; d.Known() && d.Size%(size*size) != 0 {
			return c.Errorf("input 0: got %v, want channels a multiple of %d", x, size*size)
		}
		out.Shape = []tensor.Dim{x.Shape[0], divDims(x.Shape[1], tensor.Fixed(size*size)), mulDims(x.Shape[2], b), mulDims(x.Shape[3], b)}
	}
	c.Set(0, out)
	return nil
}

// inferSpaceToDepth: [N, C, H·b, W·b] → [N, C·b², H, W].
func inferSpaceToDepth(c *Inference) error {
	size, err := c.blockSize()
	if err != nil {
		return err
	}
	x := c.In(0)
	out := tensor.Type{DType: x.DType, Shape: unknownDims(4)}
	if x.Ranked() {
		for i := 2; i < 4; i++ {
			if d := x.Shape[i]; d.Known() && d.Size%size != 0 {
				return c.Errorf("input 0: got %v, want axis %d a multiple of %d", x, i, size)
			}
		}
		b := tensor.Fixed(size)
		out.Shape = []tensor.Dim{x.Shape[0], mulDims(x.Shape[1], tensor.Fixed(size*size)), divDims(x.Shape[2], b), divDims(x.Shape[3], b)}
	}
	c.Set(0, out)
	return nil
}

// lowerDepthToSpace splits the channels, moves the blocks beside their axes and
// merges. Only the batch may be unknown.
func lowerDepthToSpace(b *Builder, n *Node) []*Value {
	s, size, ok := b.blocks(n)
	if !ok {
		return []*Value{b.Value(n.Out[0].Type)}
	}
	depth := s[1] / (size * size)
	split, perm := []int{0, size, size, depth, s[2], s[3]}, []int{0, 3, 4, 1, 5, 2}
	if n.Attrs.Text("mode", "DCR") == "CRD" {
		split, perm = []int{0, depth, size, size, s[2], s[3]}, []int{0, 1, 4, 2, 5, 3}
	}
	return b.regroup(n.In[0], split, perm, []int{0, depth, s[2] * size, s[3] * size})
}

// lowerSpaceToDepth undoes lowerDepthToSpace's DCR order.
func lowerSpaceToDepth(b *Builder, n *Node) []*Value {
	s, size, ok := b.blocks(n)
	if !ok {
		return []*Value{b.Value(n.Out[0].Type)}
	}
	split := []int{0, s[1], s[2] / size, size, s[3] / size, size}
	return b.regroup(n.In[0], split, []int{0, 3, 5, 1, 2, 4}, []int{0, s[1] * size * size, s[2] / size, s[3] / size})
}

// blocks is the sizes of input 0, whose axes behind the batch must be known,
// and the block size.
func (b *Builder) blocks(n *Node) (sizes [4]int, block int, ok bool) {
	x := n.In[0].Type
	for i := range x.Shape {
		if i > 3 || i > 0 && !x.Shape[i].Known() {
			x.Shape = nil
			break
		}
		sizes[i] = x.Shape[i].Size
	}
	if x.Rank() != 4 {
		b.Fail(fmt.Errorf("%s: input 0: got %v, want rank 4 with known sizes behind the batch", n, n.In[0].Type))
		return sizes, 0, false
	}
	return sizes, n.Attrs.Int("blocksize", 1), true
}

// regroup reshapes, transposes and reshapes again; 0 keeps an axis.
func (b *Builder) regroup(x *Value, split, perm, merge []int) []*Value {
	x = b.Op("Reshape", x, b.Const(tensor.Ints(split...)))
	x = b.With("Transpose", Attributes{Ints("perm", perm...)}, x)
	return []*Value{b.Op("Reshape", x, b.Const(tensor.Ints(merge...)))}
}

// inferCenterCropPad: axes (all by default) take the sizes in input 1.
func inferCenterCropPad(c *Inference) error {
	x := c.In(0)
	if err := c.want(indices, 1); err != nil {
		return err
	}
	if err := c.notNegative(1); err != nil {
		return err
	}
	out := x
	if x.Ranked() {
		axes := axisRange(0, x.Rank())
		if list := c.Attrs.Ints("axes"); list != nil {
			var err error
			if axes, err = normAxes(list, x.Rank()); err != nil {
				return c.Errorf("attribute axes: %w", err)
			}
		}
		sizes, known := c.sizes(1)
		if known && len(sizes) != len(axes) {
			return c.Errorf("input 1: got %d sizes, want %d, one per axis", len(sizes), len(axes))
		}
		out.Shape = slices.Clone(x.Shape)
		for i, a := range axes {
			out.Shape[a] = tensor.Unknown()
			if known {
				out.Shape[a] = sizes[i]
			}
		}
	}
	c.Set(0, out)
	return nil
}

// inferCol2Im: [N, C·Πblock, L], image and block sizes → [N, C, image...].
func inferCol2Im(c *Inference) error {
	x := c.In(0)
	if err := c.rank(0, 3); err != nil {
		return err
	}
	for _, i := range []int{1, 2} {
		if err := c.notNegative(i); err != nil {
			return err
		}
	}
	out := tensor.Type{DType: x.DType}
	image, ok := c.sizes(1)
	if !ok && c.vectorLen(1) >= 0 {
		image, ok = unknownDims(c.vectorLen(1)), true
	}
	if !ok {
		c.Set(0, out)
		return nil
	}
	out.Shape = append(unknownDims(2), image...)
	if x.Ranked() {
		out.Shape[0] = x.Shape[0]
	}
	sizes, known := c.ints(1)
	if block, ok := c.ints(2); ok {
		win, err := BlockGeometry(c.Node, image, block)
		if err != nil {
			return c.Errorf("%w", err)
		}
		if x.Ranked() {
			d, exact := productOf(x.Shape[1:2]).over(productOf(fixed(block)))
			if !exact {
				return c.Errorf("input 2: got %v, want blocks that divide axis 1 of %v", block, x)
			}
			out.Shape[1] = d
			if n := productOf(fixed(win.Out)).known; known && x.Shape[2].Known() && x.Shape[2].Size != n {
				return c.Errorf("input 0: got %v, want %d blocks %v in an image %v", x, n, block, sizes)
			}
		}
	}
	c.Set(0, out)
	return nil
}

// BlockGeometry resolves where the blocks of Col2Im lie in an image.
func BlockGeometry(n *Node, image []tensor.Dim, block []int) (Window, error) {
	if len(image) < 1 || len(image) != len(block) {
		return Window{}, fmt.Errorf("inputs 1 and 2: got %d and %d sizes, want the same number", len(image), len(block))
	}
	win, err := newWindow(&Node{Attrs: n.Attrs.Without("kernel_shape", "auto_pad")}, len(block), block)
	if err != nil {
		return win, err
	}
	return win, win.slide(image)
}

func inferTrilu(c *Inference) error {
	if err := c.rankAtLeast(0, 2); err != nil {
		return err
	}
	if err := c.scalar(1); err != nil {
		return err
	}
	c.Set(0, c.In(0))
	return nil
}

// inferReverseSequence: lengths [N] along batch_axis (1 by default), reversed
// along time_axis (0).
func inferReverseSequence(c *Inference) error {
	if err := c.rankAtLeast(0, 2); err != nil {
		return err
	}
	if x := c.In(0); x.Ranked() {
		batch, err := c.axis("batch_axis", 1, x.Rank())
		if err != nil {
			return err
		}
		time, err := c.axis("time_axis", 0, x.Rank())
		if err != nil {
			return err
		}
		if batch+time != 1 {
			return c.Errorf("attributes batch_axis and time_axis: got %d and %d, want 0 and 1 in either order", batch, time)
		}
		if err := c.channels(1, x.Shape[batch]); err != nil {
			return err
		}
	}
	c.Set(0, c.In(0))
	return nil
}

func inferCumulate(c *Inference) error {
	if err := c.want(indices, 1); err != nil {
		return err
	}
	if err := c.scalar(1); err != nil {
		return err
	}
	if axis, ok := c.ConstInts(1); ok && len(axis) == 1 && c.In(0).Ranked() {
		if _, err := normAxis(axis[0], c.In(0).Rank()); err != nil {
			return c.Errorf("input 1: %w", err)
		}
	}
	return inferUnary(numbers)(c)
}
