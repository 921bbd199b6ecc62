package graph

import "github.com/compactify/compactify/tensor"

// attrKinds lists the attributes of ONNX's own operators by their kinds: a name
// means the same kind in all of them.
// Source: the operator schemas of ONNX 1.23.
var attrKinds = kindsByName(map[AttrKind][]string{
	AttrInt: {"align_corners", "allowzero", "antialias", "axis", "batch_axis", "batch_dims", "block_size", "blocksize", "ceil_mode",
		"center_point_box", "chunk_size", "count_include_pad", "detect_negative", "detect_positive", "dtype", "end", "exclude_outside",
		"exclusive", "fmod", "group", "hidden_size", "ignore_index", "input_forget", "interleaved", "inverse", "is_causal", "k", "keepdims",
		"kv_num_heads", "largest", "layout", "linear_before_reset", "new_axis", "noop_with_empty_axes", "num_groups", "num_heads",
		"num_outputs", "num_scan_inputs", "offset_group", "onesided", "output_datatype", "output_dtype", "output_height", "output_width", "p",
		"periodic", "precision", "q_num_heads", "qk_matmul_output_mode", "reverse", "rotary_embedding_dim", "sample_size", "sampling_ratio",
		"saturate", "select_last_index", "size", "softmax_precision", "sorted", "spatial", "start", "stash_type", "storage_order",
		"time_axis", "to", "training_mode", "transA", "transB", "upper", "value_int"},
	AttrFloat: {"alpha", "beta", "bias", "cubic_coeff_a", "epsilon", "extrapolation_value", "gamma", "high", "lambd", "low", "max", "mean", "min",
		"momentum", "ratio", "scale", "softcap", "spatial_scale", "value_float"},
	AttrString: {"approximate", "auto_pad", "coordinate_transformation_mode", "direction", "equation", "keep_aspect_ratio_policy",
		"mode", "nearest_mode", "padding_mode", "reduction", "round_mode", "value_string"},
	AttrInts: {"axes", "dilations", "ends", "kernel_shape", "output_padding", "output_shape", "pads", "perm", "pooled_shape",
		"scan_input_axes", "scan_input_directions", "scan_output_axes", "scan_output_directions", "shape", "split", "starts", "strides",
		"value_ints"},
	AttrFloats:  {"activation_alpha", "activation_beta", "scales", "value_floats"},
	AttrStrings: {"activations", "value_strings"},
	AttrTensor:  {"value"},
	AttrGraph:   {"body", "else_branch", "then_branch"},
	AttrSparse:  {"sparse_value"},
})

func kindsByName(names map[AttrKind][]string) map[string]AttrKind {
	kinds := make(map[string]AttrKind)
	for k, list := range names {
		for _, name := range list {
			kinds[name] = k
		}
	}
	return kinds
}

// dtypeAttrs hold number types; 0 says "not given" in those that map to true.
var dtypeAttrs = map[string]bool{"dtype": false, "output_datatype": false, "output_dtype": true, "precision": true, "softmax_precision": true,
	"stash_type": false, "to": false}

// checkAttrs checks the kinds of the attributes of an operator of ONNX's own:
// rules read a field and would see a zero in its place.
func (c *Inference) checkAttrs() error {
	if c.Kind() != c.Op {
		return nil
	}
	for i := range c.Attrs {
		a := &c.Attrs[i]
		want, known := attrKinds[a.Name]
		if known && a.Kind != want {
			return c.Errorf("attribute %s: got %v, want %v", a.Name, a.Kind, want)
		}
	}
	for i := range c.Attrs {
		a := &c.Attrs[i]
		optional, ok := dtypeAttrs[a.Name]
		if !ok || a.Kind != AttrInt || optional && a.I == 0 {
			continue
		}
		if a.I < 0 || a.I > 255 || !tensor.DType(a.I).Valid() {
			return c.Errorf("attribute %s: got %d, want the code of a number type", a.Name, a.I)
		}
	}
	return nil
}
