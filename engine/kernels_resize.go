package engine

import (
	"math"

	"github.com/compactify/compactify/tensor"
)

func resizeKernels() map[string]prepare {
	interpolate := variants{tensor.Float32: bindResample[float32], tensor.Float64: bindResample[float64]}.by(0)
	nearest := movement(prepareResizeNearest)
	return map[string]prepare{
		"Resize": func(s *site) (func() error, error) {
			if s.node.Attrs.Text("mode", "nearest") == "nearest" && s.node.Attrs.Text(coordinates, "") != "tf_crop_and_resize" {
				return nearest(s)
			}
			return interpolate(s)
		},
	}
}

// coordinates is the attribute that says how outputs map to inputs.
const coordinates = "coordinate_transformation_mode"

// resizeAxis is how one axis is resampled.
type resizeAxis struct {
	in, out  int
	scale    float64
	from, to float64 // the region of interest, in units of the axis
}

// resizeAxes resolves scales, sizes and the region of interest for all axes.
func (s *site) resizeAxes() ([]resizeAxis, error) {
	in, out := s.inShape(0), s.outShape(0)
	list := make([]resizeAxis, len(in))
	named := s.node.Attrs.Ints("axes")
	for a := range in {
		list[a] = resizeAxis{in: in[a], out: out[a], scale: float64(out[a]) / float64(in[a]), to: 1}
		if !s.node.Attrs.Has("axes") {
			named = append(named, a)
		}
	}
	scales, byScale := s.constant(2)
	byScale = byScale && scales.Len() > 0
	roi, cropped := s.constant(1)
	cropped = cropped && roi.Len() == 2*len(named) && s.node.Attrs.Text(coordinates, "") == "tf_crop_and_resize"
	for k, a := range named {
		a = axisOf(a, len(in))
		if byScale {
			list[a].scale = scales.At(k)
		}
		if cropped {
			list[a].from, list[a].to = roi.At(k), roi.At(k+len(named))
		}
	}
	if !byScale {
		return list, s.keepAspect(list, named)
	}
	return list, nil
}

// keepAspect gives the named axes one scale, if asked for: the smallest or the
// largest that sizes ask for.
func (s *site) keepAspect(list []resizeAxis, named []int) error {
	policy := s.node.Attrs.Text("keep_aspect_ratio_policy", "stretch")
	if policy == "stretch" {
		return nil
	}
	sizes, ok := s.constantInts(3)
	if !ok {
		return s.errorf("sizes: not known")
	}
	scale := 0.0
	for k, a := range named {
		ratio := float64(sizes[k]) / float64(list[axisOf(a, len(list))].in)
		if k == 0 || policy == "not_larger" && ratio < scale || policy == "not_smaller" && ratio > scale {
			scale = ratio
		}
	}
	for _, a := range named {
		list[axisOf(a, len(list))].scale = scale
	}
	return nil
}

// source maps output coordinate i to the input.
func (a *resizeAxis) source(mode string, i int) float64 {
	x, width := float64(i), a.scale*float64(a.in)
	switch mode {
	case "align_corners":
		if width == 1 {
			return 0
		}
		return x * float64(a.in-1) / (width - 1)
	case "asymmetric":
		return x / a.scale
	case "tf_crop_and_resize":
		last := float64(a.in - 1)
		if a.out == 1 {
			return (a.from + a.to) / 2 * last
		}
		return a.from*last + x*(a.to-a.from)*last/float64(a.out-1)
	case "pytorch_half_pixel":
		if a.out == 1 {
			return -0.5
		}
	case "half_pixel_symmetric": // about the middle, where the size was rounded
		return float64(a.in)/2*(1-float64(a.out)/width) + (x+0.5)/a.scale - 0.5
	}
	return (x+0.5)/a.scale - 0.5
}

// prepareResizeNearest reads every element through a table of positions per
// axis.
func prepareResizeNearest(s *site) (func() error, error) {
	axes, err := s.resizeAxes()
	if err != nil {
		return nil, err
	}
	mode := s.node.Attrs.Text(coordinates, "half_pixel")
	rounding := s.node.Attrs.Text("nearest_mode", "round_prefer_floor")
	own := strides(s.inShape(0))
	tables := make([][]int, len(axes))
	for k := range axes {
		a := &axes[k]
		tables[k] = make([]int, a.out)
		for i := range tables[k] {
			at := i
			if a.scale != 1 || a.in != a.out {
				at = min(max(roundTo(rounding, a.source(mode, i)), 0), a.in-1)
			}
			tables[k][i] = at * own[k]
		}
	}
	return s.tableMove(tables, s.outShape(0)), nil
}

func roundTo(mode string, x float64) int {
	switch mode {
	case "floor":
		return int(math.Floor(x))
	case "ceil":
		return int(math.Ceil(x))
	case "round_prefer_ceil":
		return int(math.Floor(x + 0.5))
	}
	return int(math.Ceil(x - 0.5))
}

// resample is one axis of a separable interpolation over [outer, in, inner]:
// output j is the sum of weights[j]·x at index[j], taps of each.
type resample struct {
	outer, in, out, inner, taps int
	index                       []int
	weights                     []float64
}

// newResample computes the weights. base is the input left of the coordinate,
// or right before it if it is an integer, and ratio in (0, 1] the rest, as
// ONNX's reference has it. Antialiasing widens the kernel where the axis shrinks.
func (s *site) newResample(a *resizeAxis, outer, inner int) (*resample, error) {
	at := s.node.Attrs
	mode := at.Text(coordinates, "half_pixel")
	r := &resample{outer: outer, in: a.in, out: a.out, inner: inner, taps: 1}
	if at.Text("mode", "nearest") == "nearest" {
		for j := range a.out {
			i := roundTo(at.Text("nearest_mode", "round_prefer_floor"), a.source(mode, j))
			r.index, r.weights = append(r.index, min(max(i, 0), a.in-1)), append(r.weights, 1)
		}
		return r, nil
	}
	weight, reach := s.interpolation()
	stretch := 1.0
	if at.Int("antialias", 0) != 0 {
		stretch = min(a.scale, 1)
	}
	first := int(math.Floor(-reach/stretch)) + 1
	r.taps = 2 - 2*first
	const entry = 16 // bytes of an index and a weight
	if r.taps > math.MaxInt/entry/max(1, a.out) {
		return nil, s.errorf("interpolation of %d to %d elements: too many weights", a.in, a.out)
	}
	if err := reserve(entry * r.taps * a.out); err != nil {
		return nil, s.errorf("interpolation of %d to %d elements: %w", a.in, a.out, err)
	}
	r.index, r.weights = make([]int, 0, r.taps*a.out), make([]float64, 0, r.taps*a.out)
	for j := range a.out {
		x := a.source(mode, j)
		base := int(math.Ceil(x)) - 1
		sum := 0.0
		for k := first; k < first+r.taps; k++ {
			w := weight(math.Abs(float64(base+k)-x) * stretch)
			if i := base + k; at.Int("exclude_outside", 0) != 0 && (i < 0 || i >= a.in) {
				w = 0
			}
			sum += w
			r.weights = append(r.weights, w)
			r.index = append(r.index, min(max(base+k, 0), a.in-1))
		}
		for k := j * r.taps; k < len(r.weights); k++ {
			r.weights[k] /= sum
		}
	}
	return r, nil
}

// interpolation is the weight by distance, and the distance at which it ends.
func (s *site) interpolation() (kernel func(d float64) float64, reach float64) {
	switch s.node.Attrs.Text("mode", "nearest") {
	case "linear":
		return func(d float64) float64 { return max(0, 1-d) }, 1
	}
	a := s.node.Attrs.Float("cubic_coeff_a", -0.75)
	return func(d float64) float64 { // R. Keys, 1981, eq. 4 for a = -½
		switch {
		case d <= 1:
			return ((a+2)*d-(a+3))*d*d + 1
		case d < 2:
			return ((a*d-5*a)*d+8*a)*d - 4*a
		}
		return 0
	}, 2
}

// bindResample interpolates axis by axis. Coordinates outside the region of
// interest of tf_crop_and_resize give extrapolation_value.
func bindResample[T float](s *site) (func() error, error) {
	axes, err := s.resizeAxes()
	if err != nil {
		return nil, err
	}
	shape := append([]int(nil), s.inShape(0)...)
	var passes []*resample
	for k := range axes {
		if a := &axes[k]; a.scale != 1 || a.in != a.out || a.from != 0 || a.to != 1 {
			r, err := s.newResample(a, elements(shape[:k]), elements(shape[k+1:]))
			if err != nil {
				return nil, err
			}
			passes = append(passes, r)
			shape[k] = a.out
		}
	}
	size := 0
	for _, r := range passes {
		size = max(size, r.outer*r.out*r.inner)
	}
	memory := [2]*scratch{s.scratch(elementBytes[T]() * size), s.scratch(elementBytes[T]() * size)}
	var src, dst []T
	var r *resample
	body := func(_, lo, hi int) { resampleRows(r, dst, src, lo, hi) }
	outside := s.outsideRegion(axes)
	extrapolation := T(s.node.Attrs.Float("extrapolation_value", 0))
	return func() error {
		src = tensor.Data[T](*s.in[0])
		for i := range passes {
			r, dst = passes[i], scratchOf[T](memory[i%2])
			if i == len(passes)-1 {
				dst = tensor.Data[T](*s.out[0])
			}
			if err := s.pool.For(r.outer*r.out, 1+elementGrain/(r.inner*r.taps), body); err != nil {
				return err
			}
			src = dst
		}
		if len(passes) == 0 {
			copy(tensor.Data[T](*s.out[0]), src)
		}
		for i, is := range outside {
			if is {
				tensor.Data[T](*s.out[0])[i] = extrapolation
			}
		}
		return nil
	}, nil
}

// resampleRows computes rows [lo, hi) of [outer·out, inner].
func resampleRows[T float](r *resample, dst, src []T, lo, hi int) {
	for i := lo; i < hi; i++ {
		o, j := i/r.out, i%r.out
		row := dst[i*r.inner:][:r.inner]
		clear(row)
		for k := j * r.taps; k < (j+1)*r.taps; k++ {
			w := T(r.weights[k])
			if w == 0 {
				continue
			}
			for c, v := range src[(o*r.in+r.index[k])*r.inner:][:r.inner] {
				row[c] += T(w * v)
			}
		}
	}
}

// outsideRegion marks the outputs whose coordinates leave the input; nil unless
// they are to be extrapolated.
func (s *site) outsideRegion(axes []resizeAxis) []bool {
	mode := s.node.Attrs.Text(coordinates, "half_pixel")
	if mode != "tf_crop_and_resize" {
		return nil
	}
	marks := []bool{false}
	for k := range axes {
		a := &axes[k]
		next := make([]bool, 0, len(marks)*a.out)
		for _, outside := range marks {
			for j := range a.out {
				x := a.source(mode, j)
				next = append(next, outside || x < 0 || x > float64(a.in-1))
			}
		}
		marks = next
	}
	return marks
}
