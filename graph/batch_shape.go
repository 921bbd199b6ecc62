package graph

import (
	"slices"

	"github.com/compactify/compactify/tensor"
)

func shapeBatches() map[string]batchFunc {
	rules := map[string]batchFunc{
		"Reshape": batchReshape, "Flatten": batchFlatten, "Squeeze": batchSqueeze, "Unsqueeze": batchUnsqueeze, "Transpose": batchTranspose,
		"Expand": batchExpand, "Tile": batchTile, "Shape": batchShape, "Size": batchSize, "Slice": batchSlice(1), "compactify.SliceGrad": batchSlice(2),
		"Pad": batchPad, "Trilu": batchLeading, "Det": batchLeading, "CenterCropPad": batchCenterCropPad, "Resize": batchResize(1), "compactify.ResizeGrad": batchResize(2),
		"Concat": batchConcat, "Gather": batchGather, "GatherND": batchGatherND, "ScatterND": batchScatterND,
		"DFT":            batchDFT,
		"GatherElements": batchAlong, "ScatterElements": batchAlong, "CumSum": batchCumulate, "CumProd": batchCumulate,
	}
	for op, def := range map[string]int{"Softmax": -1, "LogSoftmax": -1, "Hardmax": -1, "ArgMax": 0, "ArgMin": 0, "Split": 0, "TopK": -1,
		"OneHot": -1, "QuantizeLinear": 1, "DequantizeLinear": 1} {
		rules[op] = batchAxis(def)
	}
	for _, op := range []string{"ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd"} {
		rules[op] = batchReduce
	}
	return rules
}

// batchLeading: operators on the last axes, which leave any number before them.
func batchLeading(b *Batching, n *Node) bool {
	if !b.onlyDiffers(n, 0) {
		return false
	}
	b.again(n, n.Attrs, append([]*Value{b.get(n.In[0])}, n.In[1:]...)...)
	return true
}

// batchAxis: operators along the axis that an attribute names.
func batchAxis(def int) batchFunc {
	return func(b *Batching, n *Node) bool {
		if !b.onlyDiffers(n, 0) || !ranked(n) {
			return false
		}
		axis := n.Attrs.Int("axis", def)
		if axis >= 0 && n.In[0].Type.Rank() == 0 && (n.Op == "QuantizeLinear" || n.Op == "DequantizeLinear") {
			axis = -1
		}
		b.again(n, n.Attrs.With(Int("axis", behind(axis))), append([]*Value{b.get(n.In[0])}, n.In[1:]...)...)
		return true
	}
}

// batchAlong: gathering and scattering element by element.
func batchAlong(b *Batching, n *Node) bool {
	var in []*Value
	for _, v := range n.In {
		in = append(in, b.full(v))
	}
	b.again(n, n.Attrs.With(Int("axis", behind(n.Attrs.Int("axis", 0)))), in...)
	return true
}

func batchConcat(b *Batching, n *Node) bool {
	return batchAlong(b, n)
}

func batchCumulate(b *Batching, n *Node) bool {
	axis, ok := b.constInts(n, 1)
	if !ok || len(axis) != 1 {
		return false
	}
	b.again(n, n.Attrs, b.get(n.In[0]), b.Const(tensor.Scalar(int64(behind(axis[0])))))
	return true
}

// batchDFT: the axis is an input, behind the length.
func batchDFT(b *Batching, n *Node) bool {
	axis := []int{-2}
	if n.has(2) {
		var ok bool
		if axis, ok = b.constInts(n, 2); !ok || len(axis) != 1 {
			return false
		}
	}
	if !b.onlyDiffers(n, 0) {
		return false
	}
	b.again(n, n.Attrs, b.get(n.In[0]), n.Input(1), b.Const(tensor.Scalar(int64(behind(axis[0])))))
	return true
}

func batchReduce(b *Batching, n *Node) bool {
	axes, err := b.reducedAxes(n)
	if err != nil || !b.onlyDiffers(n, 0) {
		return false
	}
	x := b.get(n.In[0])
	if len(axes) == 0 {
		b.of[n.Out[0]] = x
		return true
	}
	b.again(n, n.Attrs, x, b.Const(tensor.Ints(behindAll(axes)...)))
	return true
}

// batchReshape puts the examples in front of the target, in which 0 copies a
// size still.
func batchReshape(b *Batching, n *Node) bool {
	if !b.onlyDiffers(n, 0) {
		return false
	}
	b.again(n, n.Attrs, b.get(n.In[0]), b.concat(b.count, n.In[1]))
	return true
}

func batchFlatten(b *Batching, n *Node) bool {
	if !ranked(n) {
		return false
	}
	axis, err := normAxis(n.Attrs.Int("axis", 1), n.In[0].Type.Rank()+1)
	if err != nil {
		return false
	}
	sizes, ok := n.Out[0].Type.Static()
	if ok {
		b.of[n.Out[0]] = b.Op("Reshape", b.get(n.In[0]), b.concat(b.count, b.Const(tensor.Ints(sizes...))))
		return true
	}
	rows := b.With("ReduceProd", Attributes{Int("keepdims", 1)}, b.With("Shape", Attributes{Int("start", 1), Int("end", 1+axis)}, b.get(n.In[0])))
	b.of[n.Out[0]] = b.Op("Reshape", b.get(n.In[0]), b.concat(b.count, rows, b.Const(tensor.Ints(-1))))
	return true
}

func batchSqueeze(b *Batching, n *Node) bool {
	if !ranked(n) || !b.onlyDiffers(n, 0) {
		return false
	}
	var axes []int
	if n.Input(1) != nil {
		list, ok := b.constInts(n, 1)
		if !ok {
			return false
		}
		axes = behindAll(list)
	} else {
		for i, d := range n.In[0].Type.Shape {
			if d.Known() && d.Size == 1 {
				axes = append(axes, i+1)
			}
		}
	}
	if len(axes) == 0 {
		b.of[n.Out[0]] = b.get(n.In[0])
		return true
	}
	b.again(n, n.Attrs, b.get(n.In[0]), b.Const(tensor.Ints(axes...)))
	return true
}

func batchUnsqueeze(b *Batching, n *Node) bool {
	axes, ok := b.constInts(n, 1)
	if !ok {
		return false
	}
	b.again(n, n.Attrs, b.get(n.In[0]), b.Const(tensor.Ints(behindAll(axes)...)))
	return true
}

func batchTranspose(b *Batching, n *Node) bool {
	perm := n.Attrs.Ints("perm")
	if perm == nil {
		rank := n.In[0].Type.Rank()
		if rank < 0 {
			return false
		}
		perm = upTo(rank)
		slices.Reverse(perm)
	}
	b.again(n, Attributes{Ints("perm", append([]int{0}, behindAll(perm)...)...)}, b.get(n.In[0]))
	return true
}

func batchExpand(b *Batching, n *Node) bool {
	if !b.onlyDiffers(n, 0) || !ranked(n) || !n.In[1].Type.Shape[0].Known() {
		return false
	}
	x := b.aligned(n.In[0], n.Out[0].Type.Rank())
	one := b.Const(tensor.Ints(1))
	shape := n.In[1]
	if extra := n.Out[0].Type.Rank() - vectorSize(shape); extra > 0 {
		one = b.Const(tensor.Ints(slices.Repeat([]int{1}, 1+extra)...))
	}
	b.again(n, n.Attrs, x, b.concat(one, shape))
	return true
}

// vectorSize is the length of a vector of known length, else 0.
func vectorSize(v *Value) int {
	if v.Type.Rank() != 1 || !v.Type.Shape[0].Known() {
		return 0
	}
	return v.Type.Shape[0].Size
}

func batchTile(b *Batching, n *Node) bool {
	if !b.onlyDiffers(n, 0) {
		return false
	}
	b.again(n, n.Attrs, b.get(n.In[0]), b.concat(b.Const(tensor.Ints(1)), n.In[1]))
	return true
}

// batchShape: the shape of one example, which all share.
func batchShape(b *Batching, n *Node) bool {
	rank := n.In[0].Type.Rank()
	if rank < 0 {
		return false
	}
	bound := func(name string, def int) int {
		v := n.Attrs.Int(name, def)
		if v < 0 {
			v += rank
		}
		return 1 + max(0, min(rank, v))
	}
	attrs := Attributes{Int("start", bound("start", 0)), Int("end", bound("end", rank))}
	b.Append(&Node{Name: n.Name, Op: "Shape", Attrs: attrs, In: []*Value{b.get(n.In[0])}, Out: n.Out})
	return true
}

func batchSize(b *Batching, n *Node) bool {
	shape := b.With("Shape", Attributes{Int("start", 1)}, b.get(n.In[0]))
	b.Append(&Node{Name: n.Name, Op: "ReduceProd", Attrs: Attributes{Int("keepdims", 0)}, In: []*Value{shape}, Out: n.Out})
	return true
}

// batchSlice: Slice, whose starts are input at, or SliceGrad, whose input 1 is a
// shape.
func batchSlice(at int) batchFunc {
	return func(b *Batching, n *Node) bool {
		if !b.onlyDiffers(n, 0) {
			return false
		}
		var axes []int
		if n.has(at + 2) {
			list, ok := b.constInts(n, at+2)
			if !ok {
				return false
			}
			axes = behindAll(list)
		} else {
			axes = axisRange(1, 1+vectorSize(n.In[at]))
		}
		if len(axes) == 0 {
			return false
		}
		in := []*Value{b.get(n.In[0])}
		if at == 2 {
			in = append(in, b.concat(b.count, n.In[1]))
		}
		in = append(in, n.In[at], n.In[at+1], b.Const(tensor.Ints(axes...)))
		b.again(n, n.Attrs, append(in, n.In[min(len(n.In), at+3):]...)...)
		return true
	}
}

func batchPad(b *Batching, n *Node) bool {
	rank := n.In[0].Type.Rank()
	if !b.onlyDiffers(n, 0) || rank < 0 {
		return false
	}
	axes := axisRange(1, 1+rank)
	if n.has(3) {
		list, ok := b.constInts(n, 3)
		if !ok {
			return false
		}
		axes = behindAll(list)
	}
	b.again(n, n.Attrs, b.get(n.In[0]), n.In[1], n.Input(2), b.Const(tensor.Ints(axes...)))
	return true
}

func batchCenterCropPad(b *Batching, n *Node) bool {
	rank := n.In[0].Type.Rank()
	if !b.onlyDiffers(n, 0) || rank < 0 {
		return false
	}
	b.again(n, n.Attrs.With(Ints("axes", behindAxes(n, rank)...)), b.get(n.In[0]), n.In[1])
	return true
}

// behindAxes is the attribute axes, all if it is absent.
func behindAxes(n *Node, rank int) []int {
	if axes := n.Attrs.Ints("axes"); axes != nil {
		return behindAll(axes)
	}
	return axisRange(1, 1+rank)
}

// batchResize: Resize, whose roi is input at, or ResizeGrad, whose input 1 is a
// shape.
func batchResize(at int) batchFunc {
	return func(b *Batching, n *Node) bool {
		rank := n.In[0].Type.Rank()
		if !b.onlyDiffers(n, 0) || rank < 0 {
			return false
		}
		in := []*Value{b.get(n.In[0])}
		if at == 2 {
			in = append(in, b.concat(b.count, n.In[1]))
		}
		b.again(n, n.Attrs.With(Ints("axes", behindAxes(n, rank)...)), append(in, n.In[at:]...)...)
		return true
	}
}

func batchGather(b *Batching, n *Node) bool {
	x, index := n.In[0], n.In[1]
	if !ranked(n) {
		return false
	}
	rank, ri := x.Type.Rank(), index.Type.Rank()
	axis, err := normAxis(n.Attrs.Int("axis", 0), rank)
	if err != nil {
		return false
	}
	switch {
	case !b.differs(index):
		b.again(n, Attributes{Int("axis", axis+1)}, b.get(x), index)
	case !b.differs(x): // [before..., N, index..., after...]
		y := b.With("Gather", Attributes{Int("axis", axis)}, x, b.get(index))
		perm := append([]int{axis}, slices.DeleteFunc(upTo(rank+ri), func(i int) bool { return i == axis })...)
		b.of[n.Out[0]] = b.permute(y, perm)
	default: // the gathered axis first: [N, index..., before..., after...]
		front := append([]int{0, axis + 1}, slices.DeleteFunc(axisRange(1, rank+1), func(i int) bool { return i == axis+1 })...)
		y := b.With("GatherND", Attributes{Int("batch_dims", 1)}, b.permute(b.get(x), front), b.unsqueeze(b.wide(b.get(index)), -1))
		back := slices.Concat([]int{0}, axisRange(1+ri, 1+ri+axis), axisRange(1, 1+ri), axisRange(1+ri+axis, ri+rank))
		b.of[n.Out[0]] = b.permute(y, back)
	}
	return true
}

func batchGatherND(b *Batching, n *Node) bool {
	batch := n.Attrs.Int("batch_dims", 0)
	if batch == 0 && !b.differs(n.In[0]) {
		b.again(n, n.Attrs, n.In[0], b.get(n.In[1]))
		return true
	}
	b.again(n, n.Attrs.With(Int("batch_dims", batch+1)), b.full(n.In[0]), b.full(n.In[1]))
	return true
}

func batchScatterND(b *Batching, n *Node) bool {
	if !ranked(n) {
		return false
	}
	b.again(n, n.Attrs, b.full(n.In[0]), b.withBatchIndex(b.full(n.In[1]), 1), b.full(n.In[2]))
	return true
}
