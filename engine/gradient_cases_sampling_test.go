package engine

import (
	"fmt"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// samplingCases read images between their pixels.
func samplingCases(r points) []gradientCase {
	var cases []gradientCase
	resize := func(about string, a attrs, x tensor.Tensor, in ...tensor.Tensor) {
		cases = append(cases, gradientCase{op: "Resize", about: about, attrs: a, in: append(list{x}, in...), constant: []int{1, 2}, multilinear: true})
	}
	scales := func(s ...float64) tensor.Tensor {
		t := tensor.New(tensor.Float32, len(s))
		for i, v := range s {
			t.Set(i, v)
		}
		return t
	}
	none := tensor.Tensor{}
	for _, mode := range []string{"nearest", "linear", "cubic"} {
		m := attrs{graph.Text("mode", mode)}
		resize(mode+" up", m, r.normal(1, 2, 3, 4), none, scales(1, 1, 2, 1.5))
		resize(mode+" down", m, r.normal(1, 1, 5, 4), none, none, tensor.Ints(1, 1, 3, 2))
		resize(mode+" corners", m.With(graph.Text("coordinate_transformation_mode", "align_corners")), r.normal(2, 1, 3, 3), none, none, tensor.Ints(2, 1, 5, 2))
		resize(mode+" of axes", m.With(graph.Ints("axes", 2, 3)).With(graph.Text("coordinate_transformation_mode", "asymmetric")), r.normal(1, 1, 3, 4), none, scales(2, 0.5))
		resize(mode+" cropped", m.With(graph.Text("coordinate_transformation_mode", "tf_crop_and_resize")),
			r.normal(1, 1, 4, 4), scales(0, 0, 0.3, -0.2, 1, 1, 0.8, 0.9), none, tensor.Ints(1, 1, 3, 5))
	}
	resize("antialiased", attrs{graph.Text("mode", "cubic"), graph.Int("antialias", 1), graph.Int("exclude_outside", 1)}, r.normal(1, 1, 6, 5), none, scales(1, 1, 0.5, 0.6))
	resize("nothing", nil, r.normal(2, 3), none, scales(1, 1))
	cases = append(cases,
		gradientCase{op: "Resize", about: "extrapolated", attrs: attrs{graph.Text("mode", "linear"), graph.Float("extrapolation_value", 3),
			graph.Text("coordinate_transformation_mode", "tf_crop_and_resize")}, in: list{r.normal(1, 1, 3, 3), scales(0, 0, -0.4, 0, 1, 1, 1, 1.3), none, tensor.Ints(1, 1, 4, 4)}},
		gradientCase{op: "compactify.ResizeGrad", attrs: attrs{graph.Text("mode", "linear")},
			in: list{r.normal(1, 2, 6, 6), tensor.Ints(1, 2, 3, 4), none, scales(1, 1, 2, 1.5)}, multilinear: true})
	for _, mode := range []string{"linear", "nearest", "cubic"} {
		for _, padding := range []string{"zeros", "border", "reflection"} {
			for corners := range 2 {
				if mode == "cubic" && corners == 1 {
					continue // the others tell what corners do
				}
				a := attrs{graph.Text("mode", mode), graph.Text("padding_mode", padding), graph.Int("align_corners", corners)}
				cases = append(cases, gradientCase{op: "GridSample", about: fmt.Sprint(mode, " ", padding, " ", corners), attrs: a,
					in: list{r.normal(1, 2, 3, 4), r.between(-1.4, 1.4, 1, 1, 3, 2)}})
			}
		}
	}
	region := tensor.Of([]float64{0.3, 0.2, 4.1, 3.3, 1.1, 0.7, 5.6, 5.2, -1.3, 2.1, 2.2, 9.4}, 3, 4)
	batch := tensor.Of([]int64{0, 1, 0}, 3)
	roi := attrs{graph.Int("output_height", 2), graph.Int("output_width", 3)}
	return append(cases,
		gradientCase{op: "RoiAlign", attrs: append(roi, graph.Int("sampling_ratio", 2)), in: list{r.normal(2, 2, 6, 7), region, batch}},
		gradientCase{op: "RoiAlign", about: "adaptive", attrs: append(roi, graph.Float("spatial_scale", 0.6)), in: list{r.normal(2, 2, 6, 7), region, batch}, constant: []int{1}},
		gradientCase{op: "RoiAlign", about: "maximum", attrs: append(roi, graph.Text("mode", "max"), graph.Int("sampling_ratio", 2),
			graph.Text("coordinate_transformation_mode", "output_half_pixel")), in: list{r.between(0.5, 3, 2, 1, 6, 7), region, batch}, constant: []int{1}},
		gradientCase{op: "MaxRoiPool", attrs: attrs{graph.Ints("pooled_shape", 2, 2)}, in: list{r.spread(2, 2, 5, 6),
			tensor.Of([]float64{0, 0, 1, 3, 4, 1, 2, 0, 5, 3}, 2, 5)}, constant: []int{1}},
		gradientCase{op: "GridSample", about: "volume", in: list{r.normal(1, 1, 2, 3, 2), r.between(-0.9, 0.9, 1, 2, 1, 2, 3)}},
		gradientCase{op: "AffineGrid", in: list{r.normal(2, 2, 3), tensor.Ints(2, 1, 3, 4)}, multilinear: true},
		gradientCase{op: "AffineGrid", about: "volume", attrs: attrs{graph.Int("align_corners", 1)}, in: list{r.normal(1, 3, 4), tensor.Ints(1, 1, 2, 3, 2)}, multilinear: true},
		gradientCase{op: "DeformConv", in: list{r.normal(1, 2, 4, 4), r.normal(2, 2, 2, 2), r.between(-0.9, 0.9, 1, 8, 3, 3)}},
		gradientCase{op: "DeformConv", about: "masked", attrs: attrs{graph.Int("group", 2), graph.Int("offset_group", 2), graph.Ints("pads", 1, 0, 1, 0), graph.Ints("strides", 2, 1)},
			in: list{r.normal(2, 4, 4, 3), r.normal(2, 2, 2, 2), r.between(-0.9, 0.9, 2, 16, 3, 2), r.normal(2), r.normal(2, 8, 3, 2)}},
		gradientCase{op: "Det", in: list{r.normal(2, 3, 3)}},
		gradientCase{op: "Det", about: "singular", in: list{tensor.Of([]float64{1, 2, 2, 4, 0, 0, 0, 3, 1, 0, 0, 1}, 3, 2, 2)}},
		gradientCase{op: "Det", about: "number", in: list{r.normal(2, 1, 1)}},
	)
}

// productCases have zeros among the factors.
func productCases(r points) []gradientCase {
	x := r.normal(2, 3, 4)
	for _, i := range []int{0, 5, 6, 12} {
		x.Set(i, 0)
	}
	cases := []gradientCase{
		{op: "ReduceProd", in: list{x, tensor.Ints(1)}},
		{op: "ReduceProd", about: "two axes", attrs: attrs{graph.Int("keepdims", 0)}, in: list{x, tensor.Ints(-1, 0)}},
		{op: "ReduceProd", about: "all", in: list{r.normal(2, 2)}},
		{op: "ReduceProd", about: "none", attrs: attrs{graph.Int("noop_with_empty_axes", 1)}, in: list{x}, multilinear: true},
	}
	for i := range 4 {
		at := attrs{graph.Int("reverse", i&1), graph.Int("exclusive", i>>1)}
		cases = append(cases,
			gradientCase{op: "CumProd", about: fmt.Sprint(i), attrs: at, in: list{x, tensor.Scalar(int64(i%3 - 1))}},
			gradientCase{op: "CumProd", about: fmt.Sprint(i, " of one"), attrs: at, in: list{r.normal(3, 1), tensor.Scalar(int64(1))}})
	}
	return cases
}

// placementCases move elements, or write some over others.
func placementCases(r points) []gradientCase {
	var cases []gradientCase
	take := func(op, about string, a attrs, in ...tensor.Tensor) {
		cases = append(cases, gradientCase{op: op, about: about, attrs: a, in: in, multilinear: true})
	}
	ints := tensor.Ints
	x := r.normal(2, 3, 4)
	for _, mode := range []string{"reflect", "edge", "wrap"} {
		take("Pad", mode, attrs{graph.Text("mode", mode)}, x, ints(0, 1, 2, 0, 2, 1))
		take("Pad", mode+" of axes", attrs{graph.Text("mode", mode)}, x, ints(2, 1, -1, 0), tensor.Tensor{}, ints(-1, 1))
	}
	take("ReverseSequence", "", nil, r.normal(4, 3, 2), ints(2, 4, 1))
	take("ReverseSequence", "batch first", attrs{graph.Int("batch_axis", 0), graph.Int("time_axis", 1)}, r.normal(2, 3), ints(2, 3))
	take("CenterCropPad", "", nil, r.normal(3, 4), ints(6, 3))
	take("CenterCropPad", "of an axis", attrs{graph.Ints("axes", -1)}, r.normal(3, 5), ints(2))
	take("Col2Im", "", nil, r.normal(1, 8, 6), ints(3, 4), ints(2, 2))
	take("Col2Im", "all attributes", attrs{graph.Ints("pads", 0, 1, 1, 0), graph.Ints("strides", 2, 1), graph.Ints("dilations", 1, 2)}, r.normal(2, 4, 8), ints(3, 5), ints(2, 2))
	take("GatherND", "batch", attrs{graph.Int("batch_dims", 1)}, r.normal(2, 3, 4), tensor.Of([]int64{2, 0, 1, -1}, 2, 2, 1))
	take("GatherND", "two batch axes", attrs{graph.Int("batch_dims", 2)}, r.normal(2, 2, 3), tensor.Of([]int64{2, 0, 1, 2}, 2, 2, 1))
	take("MaxUnpool", "", attrs{graph.Ints("kernel_shape", 2, 2), graph.Ints("strides", 2, 2)}, r.normal(1, 1, 2, 2), tensor.Of([]int64{1, 6, 8, 15}, 1, 1, 2, 2))
	take("MaxUnpool", "larger", attrs{graph.Ints("kernel_shape", 2, 2), graph.Ints("strides", 2, 2)}, r.normal(1, 1, 2, 2), tensor.Of([]int64{1, 6, 8, 15}, 1, 1, 2, 2), ints(1, 1, 5, 6))
	take("CastLike", "", nil, r.normal(3), f64(1))
	cases[len(cases)-1].constant = []int{1}
	for _, i := range []int{0, -1} {
		take("OneHot", fmt.Sprint("axis ", i), attrs{graph.Int("axis", i)}, tensor.Of([]int64{1, 0, 2, 7}, 2, 2), tensor.Scalar(int64(3)), r.normal(2))
	}
	take("Range", "", nil, f64(0.5), f64(3.1), f64(0.6))
	cases[len(cases)-1].constant = []int{1}
	cases[len(cases)-1].multilinear = false
	rows, places := tensor.Of([]int64{2, 0, 2}, 3, 1), tensor.Of([]int64{0, 2, 2, 1}, 2, 2)
	for _, op := range []string{"add", "mul", "max", "min"} {
		a := attrs{graph.Text("reduction", op)}
		cases = append(cases,
			gradientCase{op: "ScatterND", about: op, attrs: a, in: list{r.spread(3, 2), rows, r.normal(3, 2)}},
			gradientCase{op: "ScatterElements", about: op, attrs: a.With(graph.Int("axis", -1)), in: list{r.spread(2, 4), places, r.normal(2, 2)}})
	}
	cases = append(cases,
		gradientCase{op: "ScatterElements", about: "mul by zero", attrs: attrs{graph.Text("reduction", "mul")},
			in: list{tensor.Of([]float64{0, 2, 3}, 3), tensor.Of([]int64{0, 1, 2}, 3), tensor.Of([]float64{1.5, 0, 2}, 3)}},
		gradientCase{op: "Compress", attrs: attrs{graph.Int("axis", 1)}, in: list{x, tensor.Of([]bool{true, false, true}, 3)}},
		gradientCase{op: "Compress", about: "flat", in: list{r.normal(2, 3), tensor.Of([]bool{false, true, true, false, true}, 5)}},
		gradientCase{op: "Unique", outputs: 2, in: list{tensor.Of([]float64{2, 1, 3, 0.5}, 4)}},
		gradientCase{op: "Unique", about: "rows", attrs: attrs{graph.Int("axis", 0), graph.Int("sorted", 0)}, in: list{r.spread(3, 2)}},
		gradientCase{op: "Clip", about: "variable bounds", in: list{r.spread(4, 5), f64(-0.5), f64(0.4)}},
		gradientCase{op: "Clip", about: "crossed bounds", in: list{r.spread(4), f64(0.5), f64(-0.4)}},
		gradientCase{op: "TensorScatter", in: list{r.normal(2, 5, 2), r.normal(2, 2, 2), tensor.Of([]int64{1, 3}, 2)}},
		gradientCase{op: "TensorScatter", about: "circular", attrs: attrs{graph.Text("mode", "circular"), graph.Int("axis", 1)}, in: list{r.normal(2, 4), r.normal(2, 2), tensor.Of([]int64{3, 0}, 2)}},
	)
	return cases
}

// composedCases are operators that are lowered.
func composedCases(r points) []gradientCase {
	labels := tensor.Of([]int64{1, 0, 2, 1, 1, 3}, 3, 2)
	var cases []gradientCase
	for _, op := range []string{"NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"} {
		for _, reduction := range []string{"none", "sum", "mean"} {
			a := attrs{graph.Text("reduction", reduction)}
			cases = append(cases,
				gradientCase{op: op, about: reduction, attrs: a, in: list{r.normal(3, 4, 2), labels}},
				gradientCase{op: op, about: reduction + " weighted", attrs: a.With(graph.Int("ignore_index", 1)), in: list{r.normal(3, 4, 2), labels, r.between(0.5, 2, 4)}})
		}
	}
	for _, g := range []struct {
		about, equation string
		in              [][]int
	}{
		{"product", "ij,jk->ik", [][]int{{2, 3}, {3, 4}}}, {"batch", "bij,bkj->bik", [][]int{{2, 3, 4}, {2, 2, 4}}},
		{"trace", "ii->", [][]int{{3, 3}}}, {"transpose", "abc->cab", [][]int{{2, 3, 4}}}, {"bilinear", "bi,ijk,bk->bj", [][]int{{2, 3}, {3, 2, 4}, {2, 4}}},
		{"ellipsis", "...i,i->...", [][]int{{2, 3, 4}, {4}}},
	} {
		c := gradientCase{op: "Einsum", about: g.about, attrs: attrs{graph.Text("equation", g.equation)}, multilinear: true}
		for _, shape := range g.in {
			c.in = append(c.in, r.normal(shape...))
		}
		cases = append(cases, c)
	}
	for p := 1; p <= 3; p++ {
		a := attrs{graph.Int("p", p)}
		cases = append(cases, gradientCase{op: "GlobalLpPool", about: fmt.Sprint(p), attrs: a, in: list{r.spread(2, 2, 3, 2)}},
			gradientCase{op: "LpPool", about: fmt.Sprint(p), attrs: a.With(graph.Ints("kernel_shape", 2, 3)), in: list{r.spread(2, 2, 4, 5)}},
			gradientCase{op: "LpPool", about: fmt.Sprint(p, " padded"), attrs: a.With(graph.Ints("kernel_shape", 3, 2)).With(graph.Ints("strides", 2, 2)).
				With(graph.Ints("pads", 1, 0, 1, 1)).With(graph.Int("ceil_mode", 1)), in: list{r.spread(1, 2, 5, 6)}},
			gradientCase{op: "LpPool", about: fmt.Sprint(p, " same"), attrs: a.With(graph.Ints("kernel_shape", 3)).With(graph.Text("auto_pad", "SAME_UPPER")), in: list{r.spread(1, 2, 5)}})
	}
	return append(cases,
		gradientCase{op: "MeanVarianceNormalization", in: list{r.normal(2, 3, 2, 2)}},
		gradientCase{op: "DequantizeLinear", about: "blocks", attrs: attrs{graph.Int("axis", 1), graph.Int("block_size", 2)},
			in: list{tensor.Of([]int8{-128, 3, 127, 0, -5, 9, 1, 2, 3, 4}, 2, 5), r.between(0.1, 1, 2, 3), tensor.Of([]int8{1, -3, 2, 0, 1, 1}, 2, 3)}, multilinear: true},
		gradientCase{op: "compactify.SoftmaxCrossEntropy", about: "both", in: list{r.normal(3, 4), r.probabilities(3, 4)}},
		gradientCase{op: "DynamicQuantizeLinear", in: list{tensor.Of([]float32{1, 2}, 2)}},
	)
}

// stepCases are constant almost everywhere.
func stepCases(r points) []gradientCase {
	return []gradientCase{
		{op: "IsNaN", in: list{r.spread(3)}}, {op: "IsInf", in: list{r.spread(3)}}, {op: "Hardmax", in: list{r.spread(2, 3)}},
		{op: "EyeLike", in: list{r.spread(2, 3)}}, {op: "NonZero", in: list{r.spread(2, 3)}},
		{op: "QuantizeLinear", in: list{r.spread(2, 3), f64(0.25)}, constant: []int{1}},
		{op: "NonMaxSuppression", in: list{tensor.Of([]float32{0, 0, 1, 1, 2, 2, 3, 3}, 1, 2, 4), tensor.Of([]float32{0.9, 0.8}, 1, 1, 2), tensor.Of([]int64{2}, 1)}},
	}
}
