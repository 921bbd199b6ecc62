package graph

import (
	"fmt"
	"math"
	"slices"

	"github.com/compactify/compactify/tensor"
)

// samplingRules are operators that read images at positions between elements,
// and other work of vision models.
func samplingRules() map[string]*Rule {
	return map[string]*Rule{
		"Resize":            {Since: []int{10, 11}, MinIn: 1, MaxIn: 4, Infer: inferResize, Upgrade: map[int]step{11: resizeAsymmetric}},
		"Upsample":          {Since: []int{1, 7, 9}, MinIn: 1, MaxIn: 2, Infer: inferUpsample, Upgrade: map[int]step{9: upsampleScales, 10: upsampleToResize}},
		"GridSample":        {Since: []int{16, 20}, MinIn: 2, MaxIn: 2, Infer: inferGridSample, Lower: lowerGridSample, Upgrade: map[int]step{20: renameText("mode", "bilinear", "linear", "bicubic", "cubic")}},
		"AffineGrid":        {Since: []int{20}, MinIn: 2, MaxIn: 2, Infer: inferAffineGrid, Lower: lowerAffineGrid},
		"RoiAlign":          {Since: []int{10, 16}, MinIn: 3, MaxIn: 3, Infer: inferRoiAlign, Lower: lowerRoiAlign, Upgrade: map[int]step{16: roiAlignShift}},
		"MaxRoiPool":        {Since: []int{1}, MinIn: 2, MaxIn: 2, Infer: inferMaxRoiPool, Lower: lowerMaxRoiPool},
		"DeformConv":        {Since: []int{19}, MinIn: 3, MaxIn: 5, Infer: inferDeformConv, Lower: lowerDeformConv},
		"NonMaxSuppression": {Since: []int{10}, MinIn: 2, MaxIn: 5, Infer: inferNonMaxSuppression},
		"Det":               {Since: []int{11}, MinIn: 1, MaxIn: 1, Infer: inferDet},
	}
}

// inferResize: roi, then scales or sizes, of all axes or of those that the
// attribute axes lists. An empty tensor counts as omitted, as older exporters
// write it.
func inferResize(c *Inference) error {
	x := c.In(0)
	if err := c.want(floats, 2); err != nil {
		return err
	}
	for name, allowed := range map[string][]string{"mode": {"nearest", "linear", "cubic"},
		"keep_aspect_ratio_policy": {"stretch", "not_larger", "not_smaller"}} {
		if v := c.Attrs.Text(name, allowed[0]); !slices.Contains(allowed, v) {
			return c.Errorf("attribute %s: got %q, want one of %v", name, v, allowed)
		}
	}
	scales, sizes := c.HasIn(2) && c.vectorLen(2) != 0, c.HasIn(3) && c.vectorLen(3) != 0
	if scales == sizes {
		return c.Errorf("inputs 2 and 3: want either scales or sizes")
	}
	if err := c.notNegative(3); err != nil {
		return err
	}
	out := tensor.Type{DType: x.DType}
	if x.Ranked() {
		axes := axisRange(0, x.Rank())
		if list := c.Attrs.Ints("axes"); list != nil {
			var err error
			if axes, err = normAxes(list, x.Rank()); err != nil {
				return c.Errorf("attribute axes: %w", err)
			}
		}
		shape, err := c.resized(x.Shape, axes, scales)
		if err != nil {
			return err
		}
		for a, d := range shape {
			if x.Shape[a].Known() && x.Shape[a].Size == 0 && d.Known() && d.Size > 0 {
				return c.Errorf("input 0: got %v, want elements on axis %d, which becomes %d long", x, a, d.Size)
			}
		}
		out.Shape = shape
	}
	c.Set(0, out)
	return nil
}

func (c *Inference) resized(in []tensor.Dim, axes []int, byScale bool) ([]tensor.Dim, error) {
	out := slices.Clone(in)
	for _, a := range axes {
		out[a] = tensor.Unknown()
	}
	i := 3
	if byScale {
		i = 2
	}
	if n := c.vectorLen(i); n >= 0 && n != len(axes) {
		return nil, c.Errorf("input %d: got %d entries, want %d, one per axis", i, n, len(axes))
	}
	if !byScale {
		if sizes, ok := c.sizes(3); ok {
			return out, c.resizeTo(out, in, axes, sizes)
		}
		return out, nil
	}
	scales, ok := c.Const(2)
	if !ok {
		return out, nil
	}
	for k, a := range axes {
		s := float32(scales.At(k))
		switch {
		case !(s > 0):
			return nil, c.Errorf("input 2: got scale %v on axis %d, want a number above 0", s, a)
		case s == 1:
			out[a] = in[a]
		case in[a].Known():
			n := math.Floor(float64(float32(in[a].Size) * s * c.cropped(k, len(axes))))
			if !(n >= 0 && n <= maxAxis) {
				return nil, c.Errorf("input 2: got scale %v, which makes axis %d of %d %g long, want 0 to %g", s, a, in[a].Size, n, maxAxis)
			}
			out[a] = tensor.Fixed(int(n))
		}
	}
	return out, nil
}

// cropped is the part of axis k that roi cuts out, 1 unless it takes effect and
// is constant.
func (c *Inference) cropped(k, axes int) float32 {
	roi, ok := c.Const(1)
	if !ok || roi.Len() != 2*axes || c.Attrs.Text("coordinate_transformation_mode", "") != "tf_crop_and_resize" {
		return 1
	}
	return float32(roi.At(axes+k) - roi.At(k))
}

// resizeTo applies the sizes asked for; a policy that keeps the aspect ratio
// takes the smallest or the largest scale for all axes.
func (c *Inference) resizeTo(out, in []tensor.Dim, axes []int, sizes []tensor.Dim) error {
	policy := c.Attrs.Text("keep_aspect_ratio_policy", "stretch")
	if policy == "stretch" {
		for k, a := range axes {
			out[a] = sizes[k]
		}
		return nil
	}
	scale := math.NaN()
	for k, a := range axes {
		if !in[a].Known() || !sizes[k].Known() {
			return nil
		}
		if in[a].Size == 0 {
			return c.Errorf("input 0: got size 0 on axis %d, want elements to scale", a)
		}
		s := float64(sizes[k].Size) / float64(in[a].Size)
		if k == 0 || (s < scale) == (policy == "not_larger") {
			scale = s
		}
	}
	for _, a := range axes {
		n := math.Floor(scale*float64(in[a].Size) + 0.5)
		if !(n <= maxAxis) {
			return c.Errorf("input 3: scale %g makes axis %d of %d %g long, want at most %g", scale, a, in[a].Size, n, maxAxis)
		}
		out[a] = tensor.Fixed(int(n))
	}
	return nil
}

// maxAxis bounds an axis that is computed in floating point, far above what
// memory can hold.
const maxAxis = float64(1 << 53)

// resizeAsymmetric spells out what opset 10 meant: coordinates divided by the
// scale, and of two neighbours the lower one when enlarging, the upper one when
// shrinking.
func resizeAsymmetric(b *Builder, n *Node) error {
	scales, ok := b.facts.Data(n.In[1])
	if !ok {
		return fmt.Errorf("input 1: scales are not constant, but the rounding depends on them")
	}
	larger, smaller := false, false
	for _, s := range scales.Float64s() {
		larger, smaller = larger || s > 1, smaller || s < 1
	}
	mode := "floor"
	if smaller {
		mode = "ceil"
	}
	if larger && smaller && n.Attrs.Text("mode", "nearest") == "nearest" {
		return fmt.Errorf("input 1: scales %v both enlarge and shrink: no newer rounding mode does both", scales.Float64s())
	}
	n.In = []*Value{n.In[0], nil, n.In[1]}
	n.Attrs = n.Attrs.With(Text("coordinate_transformation_mode", "asymmetric")).With(Text("nearest_mode", mode))
	return nil
}

func inferUpsample(c *Inference) error {
	return c.Errorf("deprecated since opset 10; Resize has its place")
}

// upsampleScales moves the scales into an input.
func upsampleScales(b *Builder, n *Node) error {
	scales := n.Attrs.Floats("scales")
	n.setInput(1, b.Const(tensor.Of(slices.Clone(scales), len(scales))))
	n.Attrs = n.Attrs.Without("scales")
	return nil
}

// upsampleToResize: asymmetric coordinates, rounded down.
func upsampleToResize(_ *Builder, n *Node) error {
	n.Op = "Resize"
	n.In = []*Value{n.In[0], nil, n.Input(1)}
	n.Attrs = n.Attrs.With(Text("coordinate_transformation_mode", "asymmetric")).With(Text("nearest_mode", "floor"))
	return nil
}

// inferGridSample: x [N, C, spatial...], grid [N, out..., axes] → [N, C, out...].
func inferGridSample(c *Inference) error {
	x, grid := c.In(0), c.In(1)
	out := tensor.Type{DType: x.DType}
	if x.Ranked() && grid.Ranked() {
		if x.Rank() < 3 || grid.Rank() != x.Rank() {
			return c.Errorf("inputs: got x %v and grid %v, want equal ranks of 3 or more", x, grid)
		}
		last := grid.Rank() - 1
		if _, ok := mergeDims(grid.Shape[last], tensor.Fixed(x.Rank()-2)); !ok {
			return c.Errorf("input 1: got %v, want %d on the last axis for %v", grid, x.Rank()-2, x)
		}
		for i, d := range x.Shape[2:] {
			if d.Known() && d.Size == 0 {
				return c.Errorf("input 0: got %v, want elements on axis %d", x, 2+i)
			}
		}
		batch, ok := mergeDims(x.Shape[0], grid.Shape[0])
		if !ok {
			return c.Errorf("input 1: got %v, want batch %v", grid, x.Shape[0])
		}
		out.Shape = slices.Concat([]tensor.Dim{batch, x.Shape[1]}, grid.Shape[1:last])
	}
	c.Set(0, out)
	return nil
}

// inferAffineGrid: theta [N, d, d+1], size (N, C, spatial...) → [N, spatial..., d].
func inferAffineGrid(c *Inference) error {
	if err := c.rank(0, 3); err != nil {
		return err
	}
	if err := c.notNegative(1); err != nil {
		return err
	}
	out := tensor.Type{DType: c.In(0).DType}
	size, ok := c.sizes(1)
	if n := c.vectorLen(1); !ok && n >= 0 {
		size, ok = unknownDims(n), true
	}
	if ok {
		if len(size) < 4 || len(size) > 5 {
			return c.Errorf("input 1: got %d sizes, want 4 or 5", len(size))
		}
		axes := len(size) - 2
		if err := c.shapeIs(0, []tensor.Dim{size[0], tensor.Fixed(axes), tensor.Fixed(axes + 1)}); err != nil {
			return err
		}
		out.Shape = slices.Concat(size[:1], size[2:], []tensor.Dim{tensor.Fixed(axes)})
	}
	c.Set(0, out)
	return nil
}

// inferRoiAlign: x [N, C, H, W], regions [R, 4] → [R, C, height, width].
func inferRoiAlign(c *Inference) error {
	for i, rank := range []int{4, 2, 1} {
		if err := c.rank(i, rank); err != nil {
			return err
		}
	}
	x, rois := c.In(0), c.In(1)
	for a := 2; a < x.Rank(); a++ {
		if d := x.Shape[a]; d.Known() && d.Size == 0 {
			return c.Errorf("input 0: got %v, want elements on axis %d", x, a)
		}
	}
	if rois.Ranked() {
		if err := c.shapeIs(1, []tensor.Dim{rois.Shape[0], tensor.Fixed(4)}); err != nil {
			return err
		}
		if err := c.channels(2, rois.Shape[0]); err != nil {
			return err
		}
	}
	if ratio := c.Attrs.Int("sampling_ratio", 0); ratio < 0 || ratio > maxWindow {
		return c.Errorf("attribute sampling_ratio: got %d, want 0 to %d", ratio, maxWindow)
	}
	height, width := c.Attrs.Int("output_height", 1), c.Attrs.Int("output_width", 1)
	if min(height, width) < 1 {
		return c.Errorf("attributes output_height and output_width: got %d and %d, want 1 or more", height, width)
	}
	c.Set(0, c.pooledRegions(height, width))
	return nil
}

func (c *Inference) pooledRegions(height, width int) tensor.Type {
	out := tensor.Type{DType: c.In(0).DType, Shape: append(unknownDims(2), tensor.Fixed(height), tensor.Fixed(width))}
	if x := c.In(0); x.Ranked() {
		out.Shape[1] = x.Shape[1]
	}
	if rois := c.In(1); rois.Ranked() {
		out.Shape[0] = rois.Shape[0]
	}
	return out
}

// roiAlignShift: before opset 16 the input was not shifted by half a pixel.
func roiAlignShift(_ *Builder, n *Node) error {
	if !n.Attrs.Has("coordinate_transformation_mode") {
		n.Attrs = n.Attrs.With(Text("coordinate_transformation_mode", "output_half_pixel"))
	}
	return nil
}

// inferMaxRoiPool: x [N, C, H, W], regions [R, 5] → [R, C, pooled_shape...].
func inferMaxRoiPool(c *Inference) error {
	for i, rank := range []int{4, 2} {
		if err := c.rank(i, rank); err != nil {
			return err
		}
	}
	size := c.Attrs.Ints("pooled_shape")
	if len(size) != 2 || min(size[0], size[1]) < 1 {
		return c.Errorf("attribute pooled_shape: got %v, want 2 entries of 1 or more", size)
	}
	c.Set(0, c.pooledRegions(size[0], size[1]))
	return nil
}

// inferDeformConv: x, w and bias as Conv has them, offsets in between.
func inferDeformConv(c *Inference) error {
	d, err := c.same(0, 1, 2, 3, 4)
	if err != nil {
		return err
	}
	shape, err := c.convShape(0, 1)
	if err != nil {
		return err
	}
	x, w := c.In(0), c.In(1)
	group := c.Attrs.Int("offset_group", 1)
	if group < 1 || x.Ranked() && x.Shape[1].Known() && x.Shape[1].Size%group != 0 {
		return c.Errorf("attribute offset_group: got %d, want a divisor of the channels of %v", group, x)
	}
	if shape != nil && w.Ranked() {
		places := mulDims(tensor.Fixed(group), productOf(w.Shape[2:]).dim())
		offsets := slices.Concat(shape[:1], []tensor.Dim{mulDims(places, tensor.Fixed(w.Rank()-2))}, shape[2:])
		if err := c.shapeIs(2, offsets); err != nil {
			return err
		}
		if err := c.channels(3, w.Shape[0]); err != nil {
			return err
		}
		if err := c.shapeIs(4, slices.Concat(shape[:1], []tensor.Dim{places}, shape[2:])); err != nil {
			return err
		}
	}
	c.Set(0, tensor.Type{DType: d, Shape: shape})
	return nil
}

// inferNonMaxSuppression: one row (batch, class, box) per box that is kept.
func inferNonMaxSuppression(c *Inference) error {
	for i := range 2 {
		if err := c.rank(i, 3); err != nil {
			return err
		}
	}
	if boxes, scores := c.In(0), c.In(1); boxes.Ranked() && scores.Ranked() {
		if err := c.shapeIs(0, []tensor.Dim{scores.Shape[0], scores.Shape[2], tensor.Fixed(4)}); err != nil {
			return err
		}
	}
	c.Set(0, tensor.Type{DType: tensor.Int64, Shape: []tensor.Dim{tensor.Unknown(), tensor.Fixed(3)}})
	return nil
}

// inferDet: [..., M, M] → [...].
func inferDet(c *Inference) error {
	x := c.In(0)
	if err := c.want(floats, 0); err != nil {
		return err
	}
	if err := c.rankAtLeast(0, 2); err != nil {
		return err
	}
	out := tensor.Type{DType: x.DType}
	if n := x.Rank(); n >= 2 {
		if _, ok := mergeDims(x.Shape[n-2], x.Shape[n-1]); !ok {
			return c.Errorf("input 0: got %v, want square matrices", x)
		}
		out.Shape = x.Shape[:n-2]
	}
	c.Set(0, out)
	return nil
}
