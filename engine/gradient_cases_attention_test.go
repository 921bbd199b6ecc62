package engine

import (
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// attentionCases cover attention in its forms, rotary embedding and transforms.
func attentionCases(r points) []gradientCase {
	none := tensor.Tensor{}
	mask := tensor.Of([]bool{true, false, true, false, false, false, true, true, true}, 3, 3) // the second query has no key
	angles := func() (cos, sin tensor.Tensor) { return r.between(-1, 1, 2, 3, 2), r.between(-1, 1, 2, 3, 2) }
	cos, sin := angles()
	return []gradientCase{
		{op: "Attention", in: list{r.normal(2, 2, 3, 4), r.normal(2, 2, 3, 4), r.normal(2, 2, 3, 2)}},
		{op: "Attention", about: "grouped, past, causal", attrs: attrs{graph.Int("is_causal", 1), graph.Float("softcap", 2)},
			in: list{r.normal(1, 4, 2, 2), r.normal(1, 2, 2, 2), r.normal(1, 2, 2, 3), none, r.normal(1, 2, 1, 2), r.normal(1, 2, 1, 3)}},
		{op: "Attention", about: "masked", in: list{r.normal(1, 1, 3, 2), r.normal(1, 1, 3, 2), r.normal(1, 1, 3, 2), mask}},
		{op: "Attention", about: "biased, flat", attrs: attrs{graph.Int("q_num_heads", 2), graph.Int("kv_num_heads", 1), graph.Float("scale", 0.3)},
			in: list{r.normal(1, 2, 4), r.normal(1, 3, 2), r.normal(1, 3, 2), r.normal(2, 2, 3)}},
		{op: "Attention", about: "window, counts", attrs: attrs{graph.Int("left_window_size", 1), graph.Int("right_window_size", 0)},
			in: list{r.normal(2, 1, 2, 2), r.normal(2, 1, 4, 2), r.normal(2, 1, 4, 2), none, none, none, tensor.Ints(2, 4)}},
		{op: "RotaryEmbedding", in: list{r.normal(2, 2, 3, 4), cos, sin}},
		{op: "RotaryEmbedding", about: "interleaved, part, by position", attrs: attrs{graph.Int("interleaved", 1), graph.Int("rotary_embedding_dim", 4), graph.Int("num_heads", 2)},
			in: list{r.normal(1, 2, 12), r.normal(5, 2), r.normal(5, 2), tensor.Of([]int64{4, 0}, 1, 2)}},
		{op: "DFT", in: list{r.normal(2, 6, 2)}, multilinear: true},
		{op: "DFT", about: "real, cut, other axis", in: list{r.normal(5, 2, 1), tensor.Scalar(int64(3)), tensor.Scalar(int64(0))}, multilinear: true},
		{op: "DFT", about: "one-sided, padded", attrs: attrs{graph.Int("onesided", 1)}, in: list{r.normal(2, 5, 1), tensor.Scalar(int64(8))}, multilinear: true},
		{op: "DFT", about: "inverse, cut", attrs: attrs{graph.Int("inverse", 1)}, in: list{r.normal(2, 5, 2), tensor.Scalar(int64(4))}, multilinear: true},
		{op: "DFT", about: "inverse one-sided", attrs: attrs{graph.Int("inverse", 1), graph.Int("onesided", 1)}, in: list{r.normal(2, 4, 2)}, multilinear: true},
		{op: "DFT", about: "inverse one-sided, odd", attrs: attrs{graph.Int("inverse", 1), graph.Int("onesided", 1)}, in: list{r.normal(1, 4, 2), tensor.Scalar(int64(7))}, multilinear: true},
		{op: "DFT", about: "inverse one-sided, padded", attrs: attrs{graph.Int("inverse", 1), graph.Int("onesided", 1)}, in: list{r.normal(1, 3, 2), tensor.Scalar(int64(10))}, multilinear: true},
		{op: "STFT", in: list{r.normal(1, 9, 1), tensor.Scalar(int64(2)), r.normal(4)}, multilinear: true},
	}
}
