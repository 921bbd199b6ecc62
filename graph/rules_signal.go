package graph

import (
	"fmt"
	"math"
	"slices"

	"github.com/compactify/compactify/tensor"
)

func signalRules() map[string]*Rule {
	return map[string]*Rule{
		"DFT":             {Since: []int{17, 20}, MinIn: 1, MaxIn: 3, Infer: inferDFT, Upgrade: map[int]step{20: dftAxis}},
		"STFT":            {Since: []int{17}, MinIn: 2, MaxIn: 4, Infer: inferSTFT, Lower: lowerSTFT},
		"HannWindow":      {Since: []int{17}, MinIn: 1, MaxIn: 1, Infer: inferWindow, Lower: lowerWindow(0.5, 0.5, 0)},
		"HammingWindow":   {Since: []int{17}, MinIn: 1, MaxIn: 1, Infer: inferWindow, Lower: lowerWindow(25.0/46, 21.0/46, 0)},
		"BlackmanWindow":  {Since: []int{17}, MinIn: 1, MaxIn: 1, Infer: inferWindow, Lower: lowerWindow(0.42, 0.5, 0.08)},
		"MelWeightMatrix": {Since: []int{17}, MinIn: 5, MaxIn: 5, Infer: inferMelWeights},
	}
}

// DFTGeometry is a transform resolved: along which axis, of which length, and
// how many entries it gives.
type DFTGeometry struct {
	Axis, Length, Out int
	OneSided, Inverse bool
}

// NewDFTGeometry resolves a DFT of x [..., parts]. The error says what does not
// fit, or that an input is not constant.
func NewDFTGeometry(n *Node, f *Facts, x []int) (DFTGeometry, error) {
	c := &Inference{Node: n, Facts: f}
	g := DFTGeometry{OneSided: n.Attrs.Int("onesided", 0) != 0, Inverse: n.Attrs.Int("inverse", 0) != 0}
	if len(x) < 2 {
		return g, fmt.Errorf("input 0: got shape %v, want rank 2 or more", x)
	}
	axis := -2
	if c.HasIn(2) {
		list, ok := c.ConstInts(2)
		if !ok || len(list) != 1 {
			return g, fmt.Errorf("input 2: axis: want one constant")
		}
		axis = list[0]
	}
	var err error
	if g.Axis, err = normAxis(axis, len(x)); err != nil {
		return g, fmt.Errorf("input 2: %w", err)
	}
	if g.Axis == len(x)-1 {
		return g, fmt.Errorf("input 2: axis %d holds the parts of complex numbers, want another one", axis)
	}
	parts := x[len(x)-1]
	if parts != 1 && parts != 2 {
		return g, fmt.Errorf("input 0: got shape %v, want 1 or 2 on the last axis", x)
	}
	if g.OneSided && (parts == 1) == g.Inverse {
		return g, fmt.Errorf("input 0: got %d parts, want 1 for a one-sided transform and 2 for its inverse", parts)
	}
	g.Length = x[g.Axis]
	if g.OneSided && g.Inverse {
		g.Length = 2 * (g.Length - 1)
	}
	if c.HasIn(1) {
		list, ok := c.ConstInts(1)
		if !ok || len(list) != 1 {
			return g, fmt.Errorf("input 1: length: want one constant")
		}
		g.Length = list[0]
	}
	if g.Length < 1 || g.Length > maxTransform {
		return g, fmt.Errorf("length of the transform: got %d, want 1 to %d", g.Length, maxTransform)
	}
	g.Out = g.Length
	if g.OneSided && !g.Inverse {
		g.Out = g.Length/2 + 1
	}
	return g, nil
}

// maxTransform bounds the length of a transform so that its square fits an int.
const maxTransform = 1 << 30

// inferDFT: x [..., n, ..., parts] → [..., length, ..., 2], or of the one-sided
// inverse real numbers [..., length, ..., 1].
func inferDFT(c *Inference) error {
	x := c.In(0)
	if !x.Ranked() {
		c.Set(0, x)
		return nil
	}
	if err := c.rankAtLeast(0, 2); err != nil {
		return err
	}
	out := tensor.Type{DType: x.DType, Shape: slices.Clone(x.Shape)}
	parts := 2
	if c.Attrs.Int("onesided", 0) != 0 && c.Attrs.Int("inverse", 0) != 0 {
		parts = 1
	}
	sizes, static := x.Static()
	_, lengthKnown := c.Const(1)
	_, axisKnown := c.Const(2)
	if static && (lengthKnown || !c.HasIn(1)) && (axisKnown || !c.HasIn(2)) {
		g, err := NewDFTGeometry(c.Node, c.Facts, sizes)
		if err != nil {
			return c.Errorf("%w", err)
		}
		out.Shape[g.Axis] = tensor.Fixed(g.Out)
	} else {
		for a := range len(out.Shape) - 1 {
			out.Shape[a] = tensor.Unknown()
		}
	}
	out.Shape[len(out.Shape)-1] = tensor.Fixed(parts)
	c.Set(0, out)
	return nil
}

// dftAxis: before opset 20 the axis was an attribute, 1 by default.
func dftAxis(b *Builder, n *Node) error {
	n.setInput(2, b.Const(tensor.Scalar(int64(n.Attrs.Int("axis", 1)))))
	n.Attrs = n.Attrs.Without("axis")
	return nil
}

// inferSTFT: x [N, S, parts] → [N, frames, bins, 2].
func inferSTFT(c *Inference) error {
	if err := c.rank(0, 3); err != nil {
		return err
	}
	if err := c.rank(2, 1); err != nil {
		return err
	}
	x := c.In(0)
	out := tensor.Type{DType: x.DType, Shape: append(unknownDims(3), tensor.Fixed(2))}
	if !x.Ranked() {
		c.Set(0, out)
		return nil
	}
	oneSided := c.Attrs.Int("onesided", 1) != 0
	if d := x.Shape[2]; d.Known() && d.Size != 1 && (d.Size != 2 || oneSided) {
		return c.Errorf("input 0: got %v, want 1 on the last axis, or 2 if not onesided", x)
	}
	out.Shape[0] = x.Shape[0]
	length := x.Shape[1]
	if n := c.vectorLen(2); n >= 0 {
		length = tensor.Fixed(n)
	} else if c.HasIn(2) {
		length = tensor.Unknown()
	}
	if c.HasIn(3) {
		if list, ok := c.ConstInts(3); !ok || len(list) != 1 {
			length = tensor.Unknown()
		} else if n := c.vectorLen(2); n >= 0 && n != list[0] {
			return c.Errorf("input 3: got a frame of %d, want %d as the window has", list[0], n)
		} else {
			length = dimOf(list[0])
		}
	}
	step, ok := c.ConstInts(1)
	if ok && (len(step) != 1 || step[0] < 1) {
		return c.Errorf("input 1: got frame step %v, want 1 or more", step)
	}
	if s := x.Shape[1]; s.Known() && length.Known() {
		if length.Size < 1 || length.Size > s.Size {
			return c.Errorf("input 3: got a frame of %d, want 1 to %d as %v has", length.Size, s.Size, x)
		}
		if ok {
			out.Shape[1] = tensor.Fixed((s.Size-length.Size)/step[0] + 1)
		}
	}
	if length.Known() {
		out.Shape[2] = length
		if oneSided {
			out.Shape[2] = tensor.Fixed(length.Size/2 + 1)
		}
	}
	c.Set(0, out)
	return nil
}

// lowerSTFT gathers the frames [N, frames, length, parts], weighs them with the
// window and transforms them.
func lowerSTFT(b *Builder, n *Node) []*Value {
	x, window := n.In[0], n.Input(2)
	int64s := func(v *Value) *Value { return b.Op("Reshape", b.as(tensor.Int64, v), b.Const(tensor.Ints())) }
	zero, one := b.Const(tensor.Scalar(int64(0))), b.Const(tensor.Scalar(int64(1)))
	samples := int64s(b.With("Shape", Attributes{Int("start", 1), Int("end", 2)}, x))
	step, length := int64s(n.In[1]), samples
	switch {
	case n.Input(3) != nil:
		length = int64s(n.In[3])
	case window != nil:
		length = int64s(b.Op("Shape", window))
	}
	frames := b.add(b.div(b.sub(samples, length), step), one)
	starts := b.mul(b.Op("Range", zero, frames, one), step)
	at := b.add(b.unsqueeze(starts, 1), b.Op("Range", zero, length, one))
	cut := b.With("Gather", Attributes{Int("axis", 1)}, x, at)
	if window != nil {
		cut = b.mul(cut, b.unsqueeze(window, 1))
	}
	return []*Value{b.With("DFT", Attributes{Int("onesided", n.Attrs.Int("onesided", 1))}, cut)}
}

// inferWindow: size → [size].
func inferWindow(c *Inference) error {
	if err := c.notNegative(0); err != nil {
		return err
	}
	size := tensor.Unknown()
	if list, ok := c.sizes(0); ok && len(list) == 1 {
		size = list[0]
	}
	c.Set(0, tensor.Type{DType: tensor.DType(c.Attrs.Int("output_datatype", int(tensor.Float32))), Shape: []tensor.Dim{size}})
	return nil
}

// lowerWindow: a₀ − a₁·cos(2πk/n) + a₂·cos(4πk/n), where n is the size, or one
// less if the window is not periodic. In float64, rounded once.
//
// Source: F. J. Harris, "On the use of windows for harmonic analysis with the
// discrete Fourier transform", 1978.
func lowerWindow(a0, a1, a2 float64) func(*Builder, *Node) []*Value {
	return func(b *Builder, n *Node) []*Value {
		f64 := func(x float64) *Value { return b.Const(tensor.Scalar(x)) }
		size := b.as(tensor.Float64, b.Op("Reshape", n.In[0], b.Const(tensor.Ints())))
		period := size
		if n.Attrs.Int("periodic", 1) == 0 {
			period = b.sub(size, f64(1))
		}
		angle := b.mul(b.Op("Range", f64(0), size, f64(1)), b.div(f64(2*math.Pi), period))
		y := b.sub(f64(a0), b.scale(b.Op("Cos", angle), a1))
		if a2 != 0 {
			y = b.add(y, b.scale(b.Op("Cos", b.scale(angle, 2)), a2))
		}
		return []*Value{b.as(tensor.DType(n.Attrs.Int("output_datatype", int(tensor.Float32))), y)}
	}
}

// inferMelWeights: bands, length of the transform, sample rate and the edges in
// hertz → [length/2 + 1, bands].
func inferMelWeights(c *Inference) error {
	shape := unknownDims(2)
	for i := range 2 {
		if err := c.notNegative(i); err != nil {
			return err
		}
		list, ok := c.ConstInts(i)
		if !ok || len(list) != 1 {
			continue
		}
		if i == 0 {
			shape[1] = tensor.Fixed(list[0])
		} else {
			shape[0] = tensor.Fixed(list[0]/2 + 1)
		}
	}
	out := tensor.DType(c.Attrs.Int("output_datatype", int(tensor.Float32)))
	if !numbers.has(out) {
		return c.Errorf("attribute output_datatype: got %v, want %s", out, classNames[numbers])
	}
	c.Set(0, tensor.Type{DType: out, Shape: shape})
	return nil
}
