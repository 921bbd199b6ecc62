package graph

import (
	"math"
	"slices"

	"github.com/compactify/compactify/tensor"
)

func attentionRules() map[string]*Rule {
	return map[string]*Rule{
		"Attention":       {Since: []int{23}, MinIn: 3, MaxIn: 7, MinOut: 1, MaxOut: 4, Infer: inferAttention, Lower: lowerAttention},
		"RotaryEmbedding": {Since: []int{23}, MinIn: 3, MaxIn: 4, Infer: inferRotary, Lower: lowerRotary},
	}
}

// heads is the sizes of an attention: batch, heads of the queries and of keys
// and values, steps, and entries of a head.
type heads struct {
	batch, queries, keys, steps, past, total, size, valueSize tensor.Dim
}

// inferAttention: q [N, heads, S, D], k [N, groups, T, D], v [N, groups, T, E],
// or each [N, steps, heads·size]; then mask, past k and v, and how many keys
// count → y like q with E for D, k and v with their past, and the scores.
func inferAttention(c *Inference) error {
	if err := c.attentionAttrs(); err != nil {
		return err
	}
	for i, t := range []tensor.Type{c.In(0), c.In(1), c.In(2)} {
		if t.Ranked() && t.Rank() != 3 && t.Rank() != 4 {
			return c.Errorf("input %d: got %v, want rank 3 or 4", i, t)
		}
		if err := c.rank(i, c.In(0).Rank()); c.In(0).Ranked() && err != nil {
			return err
		}
	}
	q, k, v := c.In(0), c.In(1), c.In(2)
	if !q.Ranked() || !k.Ranked() || !v.Ranked() {
		for i, d := range []tensor.DType{q.DType, k.DType, v.DType, q.DType} {
			c.Set(i, tensor.Type{DType: d})
		}
		return nil
	}
	h, err := c.attentionSizes()
	if err != nil {
		return err
	}
	y := []tensor.Dim{h.batch, h.queries, h.steps, h.valueSize}
	if q.Rank() == 3 {
		y = []tensor.Dim{h.batch, h.steps, mulDims(h.queries, h.valueSize)}
	}
	c.Set(0, tensor.Type{DType: q.DType, Shape: y})
	c.Set(1, tensor.Type{DType: k.DType, Shape: []tensor.Dim{h.batch, h.keys, h.total, h.size}})
	c.Set(2, tensor.Type{DType: v.DType, Shape: []tensor.Dim{h.batch, h.keys, h.total, h.valueSize}})
	c.Set(3, tensor.Type{DType: q.DType, Shape: []tensor.Dim{h.batch, h.queries, h.steps, h.total}})
	return nil
}

func (c *Inference) attentionAttrs() error {
	if c.HasIn(4) != c.HasIn(5) {
		return c.Errorf("inputs 4 and 5: want past keys and past values, or neither")
	}
	if c.HasIn(4) && c.HasIn(6) {
		return c.Errorf("input 6: counts of keys, but there are past keys too")
	}
	if d := c.In(3).DType; d != tensor.Undefined && d != tensor.Bool && d != c.In(0).DType {
		return c.Errorf("input 3: number type: got %v, want bool or %v as input 0", d, c.In(0).DType)
	}
	if m := c.Attrs.Int("qk_matmul_output_mode", 0); m < 0 || m > 3 {
		return c.Errorf("attribute qk_matmul_output_mode: got %d, want 0 to 3", m)
	}
	for _, name := range []string{"left_window_size", "right_window_size"} {
		if n := c.Attrs.Int(name, -1); n < -1 {
			return c.Errorf("attribute %s: got %d, want -1 or more", name, n)
		}
	}
	for _, name := range []string{"scale", "softcap"} {
		if x := c.Attrs.Float(name, 0); !(x >= 0) || math.IsInf(x, 0) {
			return c.Errorf("attribute %s: got %v, want a number of 0 or more", name, x)
		}
	}
	return nil
}

// attentionSizes resolves the sizes and checks that they fit.
func (c *Inference) attentionSizes() (heads, error) {
	var h heads
	var dims [3][]tensor.Dim // [N, heads, steps, size]
	for i, name := range []string{"q_num_heads", "kv_num_heads", "kv_num_heads"} {
		d := c.In(i).Shape
		if len(d) == 3 {
			n := c.Attrs.Int(name, 0)
			if n < 1 || d[2].Known() && d[2].Size%n != 0 {
				return h, c.Errorf("attribute %s: got %d, want a divisor of the last axis of %v", name, n, c.In(i))
			}
			d = []tensor.Dim{d[0], tensor.Fixed(n), d[1], divDims(d[2], tensor.Fixed(n))}
		}
		dims[i] = d
	}
	q, k, v := dims[0], dims[1], dims[2]
	ok := [5]bool{}
	h.batch, ok[0] = mergeDims(q[0], k[0])
	h.batch, ok[1] = mergeDims(h.batch, v[0])
	h.keys, ok[2] = mergeDims(k[1], v[1])
	h.total, ok[3] = mergeDims(k[2], v[2])
	h.size, ok[4] = mergeDims(q[3], k[3])
	if slices.Contains(ok[:], false) {
		return h, c.Errorf("inputs: got q %v, k %v and v %v, want equal batches, heads and steps of k and v, and head sizes of q and k",
			c.In(0), c.In(1), c.In(2))
	}
	h.queries, h.steps, h.valueSize, h.past = q[1], q[2], v[3], tensor.Fixed(0)
	if n, m := h.queries, h.keys; n.Known() && m.Known() && (m.Size == 0 || n.Size%m.Size != 0) {
		return h, c.Errorf("inputs: got %d heads of q and %d of k, want a multiple", n.Size, m.Size)
	}
	if c.HasIn(4) {
		past := tensor.Unknown()
		if t := c.In(4); t.Rank() == 4 {
			past = t.Shape[2]
		}
		if err := c.shapeIs(4, []tensor.Dim{h.batch, h.keys, past, h.size}); err != nil {
			return h, err
		}
		if err := c.shapeIs(5, []tensor.Dim{h.batch, h.keys, past, h.valueSize}); err != nil {
			return h, err
		}
		h.past, h.total = past, addDims(past, h.total)
	}
	if err := c.channels(6, h.batch); err != nil {
		return h, err
	}
	return h, c.attentionMask(h)
}

// attentionMask checks that the mask broadcasts to [N, heads, S, T], where its
// last axis may also be shorter.
func (c *Inference) attentionMask(h heads) error {
	mask := c.In(3)
	if !mask.Ranked() {
		return nil
	}
	want := []tensor.Dim{h.batch, h.queries, h.steps, h.total}
	if mask.Rank() < 1 || mask.Rank() > 4 {
		return c.Errorf("input 3: got mask %v, want rank 1 to 4", mask)
	}
	for i := 1; i <= mask.Rank(); i++ {
		d, most := mask.Shape[mask.Rank()-i], want[4-i]
		shorter := i == 1 && d.Known() && most.Known() && d.Size <= most.Size
		if d.Known() && most.Known() && d.Size != most.Size && d.Size != 1 && !shorter {
			return c.Errorf("input 3: got mask %v, want a shape that broadcasts to %v", mask, tensor.Type{DType: mask.DType, Shape: want})
		}
	}
	return nil
}

// inferRotary: x [N, heads, S, D] or [N, S, heads·D], tables of cosines and
// sines of R/2 angles for each step, or by position ids [N, S].
func inferRotary(c *Inference) error {
	x := c.In(0)
	if !x.Ranked() {
		c.Set(0, x)
		return nil
	}
	if x.Rank() != 3 && x.Rank() != 4 {
		return c.Errorf("input 0: got %v, want rank 3 or 4", x)
	}
	size, steps := x.Shape[x.Rank()-1], x.Shape[x.Rank()-2]
	if x.Rank() == 3 {
		n := c.Attrs.Int("num_heads", 0)
		if n < 1 || size.Known() && size.Size%n != 0 {
			return c.Errorf("attribute num_heads: got %d, want a divisor of the last axis of %v", n, x)
		}
		size = divDims(size, tensor.Fixed(n))
	}
	turned := c.Attrs.Int("rotary_embedding_dim", 0)
	if turned == 0 && size.Known() {
		turned = size.Size
	}
	if turned < 0 || turned%2 != 0 || size.Known() && turned > size.Size {
		return c.Errorf("attribute rotary_embedding_dim: got %d, want an even number of at most %v", turned, size)
	}
	table := []tensor.Dim{x.Shape[0], steps, tensor.Fixed(turned / 2)}
	if c.HasIn(3) {
		if err := c.shapeIs(3, []tensor.Dim{x.Shape[0], steps}); err != nil {
			return err
		}
		table = []tensor.Dim{tensor.Unknown(), table[2]}
	}
	if turned > 0 {
		for _, i := range []int{1, 2} {
			if err := c.shapeIs(i, table); err != nil {
				return err
			}
		}
	}
	c.Set(0, x)
	return nil
}
