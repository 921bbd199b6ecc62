package graph

import "github.com/compactify/compactify/tensor"

func convolutionRules() map[string]*Rule {
	return map[string]*Rule{
		"Conv":          {Since: []int{1}, MinIn: 2, MaxIn: 3, Infer: inferConv},
		"ConvTranspose": {Since: []int{1}, MinIn: 2, MaxIn: 3, Infer: inferConvTranspose},
	}
}

// inferConv: x [N, C, spatial...], w [M, C/group, kernel...], bias [M].
func inferConv(c *Inference) error {
	d, err := c.same(0, 1, 2)
	if err != nil {
		return err
	}
	if err := c.want(floats, 0); err != nil {
		return err
	}
	shape, err := c.convShape(0, 1)
	if err != nil {
		return err
	}
	if c.HasIn(2) && shape != nil {
		if err := c.channels(2, shape[1]); err != nil {
			return err
		}
	}
	c.Set(0, tensor.Type{DType: d, Shape: shape})
	return nil
}

// convShape is the output shape of a convolution of inputs x and w; nil where a
// rank is unknown.
func (c *Inference) convShape(x, w int) ([]tensor.Dim, error) {
	xt, wt := c.In(x), c.In(w)
	rank := max(xt.Rank(), wt.Rank())
	if rank < 0 {
		return nil, nil
	}
	if rank < 3 || xt.Ranked() && wt.Ranked() && xt.Rank() != wt.Rank() {
		return nil, c.Errorf("inputs: got x %v and w %v, want equal ranks of 3 or more", xt, wt)
	}
	if !xt.Ranked() {
		xt.Shape = unknownDims(rank)
	}
	if !wt.Ranked() {
		wt.Shape = unknownDims(rank)
	}
	win, err := c.window(rank-2, wt.Shape[2:])
	if err != nil || win == nil {
		return nil, err
	}
	if err := c.groups(xt.Shape[1], wt.Shape[1], wt.Shape[0], win.Group); err != nil {
		return nil, err
	}
	if err := win.slide(xt.Shape[2:]); err != nil {
		return nil, c.Errorf("%w", err)
	}
	return win.outDims(xt.Shape[0], wt.Shape[0], xt.Shape[2:]), nil
}

// window reads the attributes of a convolution whose weights have the given
// spatial sizes; nil if neither they nor kernel_shape are known.
func (c *Inference) window(axes int, kernel []tensor.Dim) (*Window, error) {
	sizes := make([]int, len(kernel))
	for i, d := range kernel {
		sizes[i] = d.Size
		if !d.Known() && !c.Attrs.Has("kernel_shape") {
			return nil, nil
		}
	}
	w, err := newWindow(c.Node, axes, sizes)
	if err != nil {
		return nil, c.Errorf("%w", err)
	}
	return &w, nil
}

// groups checks channels of x, channels per group of w and filters.
func (c *Inference) groups(channels, perGroup, filters tensor.Dim, group int) error {
	switch {
	case group < 1:
		return c.Errorf("attribute group: got %d, want 1 or more", group)
	case channels.Known() && perGroup.Known() && channels.Size != perGroup.Size*group:
		return c.Errorf("input 1: weights for %d channels per group: got %d channels in %d groups, want %d",
			perGroup.Size, channels.Size, group, perGroup.Size*group)
	case filters.Known() && filters.Size%group != 0:
		return c.Errorf("input 1: got %d filters, want a multiple of group %d", filters.Size, group)
	}
	return nil
}

// channels checks that input i is a vector with one entry per channel.
func (c *Inference) channels(i int, want tensor.Dim) error {
	t := c.In(i)
	if !t.Ranked() {
		return nil
	}
	if t.Rank() != 1 {
		return c.Errorf("input %d: got %v, want a vector of %v", i, t, want)
	}
	if _, ok := mergeDims(t.Shape[0], want); !ok {
		return c.Errorf("input %d: got %v, want a vector of %v", i, t, want)
	}
	return nil
}

// inferConvTranspose: x [N, C, spatial...], w [C, M/group, kernel...], bias [M].
func inferConvTranspose(c *Inference) error {
	d, err := c.same(0, 1, 2)
	if err != nil {
		return err
	}
	if err := c.want(floats, 0); err != nil {
		return err
	}
	xt, wt := c.In(0), c.In(1)
	if !xt.Ranked() || !wt.Ranked() {
		c.Set(0, tensor.Type{DType: d})
		return nil
	}
	if xt.Rank() < 3 || xt.Rank() != wt.Rank() {
		return c.Errorf("inputs: got x %v and w %v, want equal ranks of 3 or more", xt, wt)
	}
	win, err := c.window(xt.Rank()-2, wt.Shape[2:])
	if err != nil {
		return err
	}
	if win == nil {
		c.Set(0, tensor.Type{DType: d, Shape: unknownDims(xt.Rank())})
		return nil
	}
	if _, ok := mergeDims(xt.Shape[1], wt.Shape[0]); !ok || win.Group < 1 || xt.Shape[1].Known() && xt.Shape[1].Size%win.Group != 0 {
		return c.Errorf("input 1: got x %v, w %v and group %d, want w's first size equal to x's channels, a multiple of group", xt, wt, win.Group)
	}
	if err := win.spread(xt.Shape[2:]); err != nil {
		return c.Errorf("%w", err)
	}
	filters := mulDims(wt.Shape[1], tensor.Fixed(win.Group))
	if c.HasIn(2) {
		if err := c.channels(2, filters); err != nil {
			return err
		}
	}
	shape := []tensor.Dim{xt.Shape[0], filters}
	for _, n := range win.Out {
		shape = append(shape, dimOf(n))
	}
	c.Set(0, tensor.Type{DType: d, Shape: shape})
	return nil
}
