package graph

import (
	"slices"

	"github.com/compactify/compactify/tensor"
)

func shapeRules() map[string]*Rule {
	return map[string]*Rule{
		"Reshape":   {Since: []int{1, 5}, MinIn: 2, MaxIn: 2, Infer: inferReshape},
		"Flatten":   {Since: []int{1}, MinIn: 1, MaxIn: 1, Infer: inferFlatten},
		"Transpose": {Since: []int{1}, MinIn: 1, MaxIn: 1, Infer: inferTranspose},
		"Concat":    {Since: []int{1, 4}, MinIn: 1, MaxIn: -1, Infer: inferConcat},
		"Squeeze":   {Since: []int{1, 13}, MinIn: 1, MaxIn: 2, Infer: inferSqueeze, Upgrade: map[int]step{13: intsToInput("axes", 1)}},
		"Unsqueeze": {Since: []int{1, 13}, MinIn: 2, MaxIn: 2, Infer: inferUnsqueeze, Upgrade: map[int]step{13: intsToInput("axes", 1)}},
		"Expand":    {Since: []int{8}, MinIn: 2, MaxIn: 2, Infer: inferExpand},
		"Tile":      {Since: []int{1, 6}, MinIn: 2, MaxIn: 2, Infer: inferTile},
		"Shape":     {Since: []int{1}, MinIn: 1, MaxIn: 1, Infer: inferShape},
		"Size":      {Since: []int{1}, MinIn: 1, MaxIn: 1, Infer: inferSize},
		"Pad": {Since: []int{1, 2, 11}, MinIn: 2, MaxIn: 4, Infer: inferPad,
			Upgrade: map[int]step{11: steps(intsToInput("pads", 1), floatToInput("value", 2))}},
	}
}

// inferReshape: an entry of -1 follows from the number of elements, 0 copies
// the input's axis unless allowzero is set.
func inferReshape(c *Inference) error {
	x := c.In(0)
	if d := c.In(1).DType; d != tensor.Int64 && d != tensor.Undefined {
		return c.Errorf("input 1: number type: got %v, want int64", d)
	}
	out := tensor.Type{DType: x.DType}
	if target, ok := c.ConstInts(1); ok {
		shape, err := c.reshaped(target)
		if err != nil {
			return err
		}
		out.Shape = shape
	} else if dims, ok := c.Dims(1); ok && len(dims) > 0 {
		out.Shape = c.reshapedTo(dims)
	} else if n := c.vectorLen(1); n >= 0 {
		out.Shape = unknownDims(n)
	}
	c.Set(0, out)
	if dims, ok := c.sizes(0); ok {
		c.SetDims(0, dims)
	}
	return nil
}

// reshaped resolves a constant target.
func (c *Inference) reshaped(target []int) ([]tensor.Dim, error) {
	x := c.In(0)
	dims := make([]tensor.Dim, len(target))
	infer := -1
	for i, n := range target {
		switch {
		case n == -1 && infer >= 0:
			return nil, c.Errorf("input 1: shape %v: more than one -1", target)
		case n == -1:
			infer = i
		case n < -1:
			return nil, c.Errorf("input 1: shape %v: got %d, want -1 or more", target, n)
		case n > 0 || c.Attrs.Int("allowzero", 0) != 0:
			dims[i] = tensor.Fixed(n)
		case !x.Ranked():
			dims[i] = tensor.Unknown()
		case i >= x.Rank():
			return nil, c.Errorf("input 1: shape %v: entry %d copies an axis that %v has not", target, i, x)
		default:
			dims[i] = x.Shape[i]
		}
	}
	if infer >= 0 {
		dims[infer] = tensor.Unknown()
	}
	if !x.Ranked() {
		return dims, nil
	}
	total := productOf(x.Shape)
	if infer < 0 {
		if p := productOf(dims); !p.open && !total.open && len(p.symbols)+len(total.symbols) == 0 && p.known != total.known {
			return nil, c.Errorf("input 1: shape %v of %d elements: got input %v of %d", target, p.known, x, total.known)
		}
		return dims, nil
	}
	var exact bool
	if dims[infer], exact = total.over(productOf(slices.Delete(slices.Clone(dims), infer, infer+1))); !exact {
		return nil, c.Errorf("input 1: shape %v: does not divide the elements of %v", target, x)
	}
	return dims, nil
}

// reshapedTo resolves a target of which some entries are symbols. One unknown
// entry, be it -1 or a size not followed, is what the number of elements says.
func (c *Inference) reshapedTo(target []tensor.Dim) []tensor.Dim {
	x := c.In(0)
	dims := slices.Clone(target)
	unknown := -1
	for i, d := range dims {
		switch {
		case d.Size == 0 && c.Attrs.Int("allowzero", 0) == 0:
			dims[i] = tensor.Unknown()
			if x.Ranked() && i < x.Rank() {
				dims[i] = x.Shape[i]
			}
		case !d.Known() && d.Name == "" && unknown >= 0:
			return dims
		case !d.Known() && d.Name == "":
			unknown = i
		}
	}
	if unknown >= 0 && x.Ranked() {
		rest := slices.Delete(slices.Clone(dims), unknown, unknown+1)
		dims[unknown], _ = productOf(x.Shape).over(productOf(rest))
	}
	return dims
}

// inferFlatten: a matrix of the axes before axis times those from it on.
func inferFlatten(c *Inference) error {
	x := c.In(0)
	out := tensor.Type{DType: x.DType, Shape: unknownDims(2)}
	if x.Ranked() {
		axis := c.Attrs.Int("axis", 1)
		if axis < -x.Rank() || axis > x.Rank() {
			return c.Errorf("attribute axis: got %d, want %d to %d", axis, -x.Rank(), x.Rank())
		}
		if axis < 0 {
			axis += x.Rank()
		}
		out.Shape[0] = productOf(x.Shape[:axis]).dim()
		out.Shape[1] = productOf(x.Shape[axis:]).dim()
	}
	c.Set(0, out)
	return nil
}

func inferTranspose(c *Inference) error {
	x := c.In(0)
	perm := c.Attrs.Ints("perm")
	if !x.Ranked() {
		c.Set(0, x)
		return nil
	}
	if perm == nil {
		perm = axisRange(0, x.Rank())
		slices.Reverse(perm)
	}
	if len(perm) != x.Rank() {
		return c.Errorf("attribute perm: got %v, want a permutation of %d axes", perm, x.Rank())
	}
	axes, err := normAxes(perm, x.Rank())
	if err != nil || !slices.Equal(axes, perm) {
		return c.Errorf("attribute perm: got %v, want a permutation of %d axes", perm, x.Rank())
	}
	shape := make([]tensor.Dim, len(axes))
	for i, a := range axes {
		shape[i] = x.Shape[a]
	}
	c.Set(0, tensor.Type{DType: x.DType, Shape: shape})
	return nil
}

func inferConcat(c *Inference) error {
	all := axisRange(0, len(c.Node.In))
	d, err := c.same(all...)
	if err != nil {
		return err
	}
	if !c.Attrs.Has("axis") {
		return c.Errorf("attribute axis: missing")
	}
	shape, err := c.concatShape()
	if err != nil {
		return err
	}
	c.Set(0, tensor.Type{DType: d, Shape: shape})
	if len(shape) != 1 {
		return nil
	}
	var entries []tensor.Dim
	for _, i := range all {
		dims, ok := c.sizes(i)
		if !ok {
			return nil
		}
		entries = append(entries, dims...)
	}
	c.SetDims(0, entries)
	return nil
}

func (c *Inference) concatShape() ([]tensor.Dim, error) {
	var shape []tensor.Dim
	axis := 0
	for i := range c.Node.In {
		t := c.In(i)
		if !t.Ranked() {
			return nil, nil
		}
		if shape == nil {
			var err error
			if axis, err = c.axis("axis", 0, t.Rank()); err != nil {
				return nil, err
			}
			shape = slices.Clone(t.Shape)
			continue
		}
		if t.Rank() != len(shape) {
			return nil, c.Errorf("input %d: got %v, want rank %d", i, t, len(shape))
		}
		for k, d := range t.Shape {
			if k == axis {
				shape[k] = addDims(shape[k], d)
				continue
			}
			m, ok := mergeDims(shape[k], d)
			if !ok {
				return nil, c.Errorf("input %d: got %v, want %v on axis %d", i, t, shape[k], k)
			}
			shape[k] = m
		}
	}
	return shape, nil
}

// inferSqueeze: without axes every axis of size 1 goes.
func inferSqueeze(c *Inference) error {
	x := c.In(0)
	out := tensor.Type{DType: x.DType}
	axes, known := c.ints(1)
	switch {
	case x.Ranked() && !c.HasIn(1):
		if sizes, ok := x.Static(); ok {
			out.Shape = []tensor.Dim{}
			for _, n := range sizes {
				if n != 1 {
					out.Shape = append(out.Shape, tensor.Fixed(n))
				}
			}
		}
	case x.Ranked() && known:
		list, err := normAxes(axes, x.Rank())
		if err != nil {
			return c.Errorf("input 1: %w", err)
		}
		for _, a := range list {
			if d := x.Shape[a]; d.Known() && d.Size != 1 {
				return c.Errorf("input 1: axes %v of %v: axis %d: got %d, want 1", axes, x, a, d.Size)
			}
		}
		out.Shape = dropAxes(x.Shape, list, false)
	case x.Ranked() && c.vectorLen(1) >= 0:
		out.Shape = unknownDims(max(0, x.Rank()-c.vectorLen(1)))
	}
	c.Set(0, out)
	c.passDims()
	return nil
}

// passDims hands size entries from input 0 to output 0, which holds the same
// elements.
func (c *Inference) passDims() {
	if dims, ok := c.sizes(0); ok {
		c.SetDims(0, dims)
	}
}

func inferUnsqueeze(c *Inference) error {
	x := c.In(0)
	out := tensor.Type{DType: x.DType}
	axes, known := c.ints(1)
	switch {
	case x.Ranked() && known:
		list, err := normAxes(axes, x.Rank()+len(axes))
		if err != nil {
			return c.Errorf("input 1: %w", err)
		}
		slices.Sort(list)
		out.Shape = slices.Clone(x.Shape)
		for _, a := range list {
			out.Shape = slices.Insert(out.Shape, a, tensor.Fixed(1))
		}
	case x.Ranked() && c.vectorLen(1) >= 0:
		out.Shape = unknownDims(x.Rank() + c.vectorLen(1))
	}
	c.Set(0, out)
	if x.Rank() == 0 {
		c.passDims()
	}
	return nil
}

func inferExpand(c *Inference) error {
	x := c.In(0)
	if err := c.notNegative(1); err != nil {
		return err
	}
	out := tensor.Type{DType: x.DType}
	target, ok := c.sizes(1)
	switch {
	case ok && x.Ranked():
		shape, err := broadcast(x.Shape, target)
		if err != nil {
			return c.Errorf("input 1: %w", err)
		}
		out.Shape = shape
	case x.Ranked() && c.vectorLen(1) >= 0:
		out.Shape = unknownDims(max(x.Rank(), c.vectorLen(1)))
	}
	c.Set(0, out)
	return nil
}

func inferTile(c *Inference) error {
	x := c.In(0)
	out := tensor.Type{DType: x.DType}
	if err := c.notNegative(1); err != nil {
		return err
	}
	if n := c.vectorLen(1); n >= 0 && x.Ranked() && n != x.Rank() {
		return c.Errorf("input 1: got %d repeats, want %d as %v has axes", n, x.Rank(), x)
	}
	if x.Ranked() {
		out.Shape = unknownDims(x.Rank())
		if repeats, ok := c.sizes(1); ok && len(repeats) == x.Rank() {
			for i, r := range repeats {
				out.Shape[i] = mulDims(x.Shape[i], r)
			}
		}
	}
	c.Set(0, out)
	return nil
}

// inferShape also records the sizes themselves.
func inferShape(c *Inference) error {
	x := c.In(0)
	if !x.Ranked() {
		c.Set(0, tensor.Type{DType: tensor.Int64, Shape: unknownDims(1)})
		return nil
	}
	rank := x.Rank()
	clamp := func(i int) int {
		if i < 0 {
			i += rank
		}
		return max(0, min(rank, i))
	}
	start, end := clamp(c.Attrs.Int("start", 0)), clamp(c.Attrs.Int("end", rank))
	part := x.Shape[start:max(start, end)]
	c.Set(0, tensor.TypeOf(tensor.Int64, len(part)))
	c.SetDims(0, slices.Clone(part))
	return nil
}

func inferSize(c *Inference) error {
	c.Set(0, tensor.TypeOf(tensor.Int64))
	if x := c.In(0); x.Ranked() {
		c.SetDims(0, []tensor.Dim{productOf(x.Shape).dim()})
	}
	return nil
}

// inferPad: pads holds the begins, then the ends, of all axes or of those in
// input 3.
func inferPad(c *Inference) error {
	x := c.In(0)
	if mode := c.Attrs.Text("mode", "constant"); !slices.Contains([]string{"constant", "reflect", "edge", "wrap"}, mode) {
		return c.Errorf("attribute mode: got %q, want constant, reflect, edge or wrap", mode)
	}
	out := tensor.Type{DType: x.DType}
	if x.Ranked() {
		shape, err := c.padded(x.Shape)
		if err != nil {
			return err
		}
		out.Shape = shape
	}
	c.Set(0, out)
	return nil
}

// maxPad bounds a pad so that sums with sizes do not overflow.
const maxPad = 1 << 48

func (c *Inference) padded(in []tensor.Dim) ([]tensor.Dim, error) {
	pads, known := c.ints(1)
	axes, knownAxes := axisRange(0, len(in)), true
	if c.HasIn(3) {
		axes, knownAxes = c.ints(3)
	}
	if !known || !knownAxes {
		return unknownDims(len(in)), nil
	}
	axes, err := normAxes(axes, len(in))
	if err != nil {
		return nil, c.Errorf("input 3: %w", err)
	}
	if len(pads) != 2*len(axes) {
		return nil, c.Errorf("input 1: got %d pads, want %d for %d axes", len(pads), 2*len(axes), len(axes))
	}
	for _, n := range pads {
		if n < -maxPad || n > maxPad {
			return nil, c.Errorf("input 1: pads %v: got %d, want %d to %d", pads, n, -maxPad, maxPad)
		}
	}
	out := slices.Clone(in)
	for i, a := range axes {
		total := pads[i] + pads[len(axes)+i]
		if in[a].Known() && in[a].Size == 0 && total > 0 && c.Attrs.Text("mode", "constant") != "constant" {
			return nil, c.Errorf("input 0: got size 0 on axis %d, want elements to pad with", a)
		}
		switch {
		case total == 0:
		case !in[a].Known():
			out[a] = tensor.Unknown()
		case in[a].Size+total < 0:
			return nil, c.Errorf("input 1: pads %v cut %d from axis %d of size %d", pads, -total, a, in[a].Size)
		default:
			out[a] = tensor.Fixed(in[a].Size + total)
		}
	}
	return out, nil
}
