package graph

import (
	"maps"

	"github.com/compactify/compactify/tensor"
)

func controlBatches() map[string]batchFunc {
	return map[string]batchFunc{"If": batchIf, "Loop": batchLoop, "Scan": batchScan, "RNN": batchRecurrent, "GRU": batchRecurrent, "LSTM": batchRecurrent}
}

// inside batches a copy of a node's subgraph; differs tells which of its inputs
// do. All outputs do.
func (b *Batching) inside(g *Graph, differs func(i int) bool) (body *Graph, inner *Batching) {
	body = g.cloneInside(make(map[*Value]*Value))
	inner = &Batching{Builder: b.inner(body), count: b.count, size: b.size, of: maps.Clone(b.of), flat: maps.Clone(b.flat)}
	inner.facts.AddParams(body)
	inner.Fail(inner.facts.InferGraph(body))
	for i, v := range body.Inputs {
		if !differs(i) {
			continue
		}
		t, err := Batched(v.Type, b.size)
		inner.Fail(err)
		body.Inputs[i] = b.Value(t)
		inner.of[v] = body.Inputs[i]
	}
	nodes := body.Nodes
	body.Nodes = nil
	inner.nodes(nodes, 0)
	b.Fail(inner.err)
	return body, inner
}

func batchIf(b *Batching, n *Node) bool {
	if b.differs(n.In[0]) {
		return false
	}
	var attrs Attributes
	for _, name := range []string{"then_branch", "else_branch"} {
		body, inner := b.inside(n.body(name), nil)
		for i, v := range body.Outputs {
			body.Outputs[i] = inner.full(v)
		}
		attrs = append(attrs, Subgraph(name, body))
	}
	b.again(n, attrs, n.In[0])
	return true
}

// batchScan runs one Scan, each step of which is for all examples.
func batchScan(b *Batching, n *Node) bool {
	scans := n.Attrs.Int("num_scan_inputs", 0)
	states := len(n.In) - scans
	body, inner := b.inside(n.body("body"), func(i int) bool { return i < states || b.differs(n.In[i]) })
	for i, v := range body.Outputs {
		body.Outputs[i] = inner.full(v)
	}
	var in []*Value
	var inAxes, outAxes []int
	for i, v := range n.In {
		if i < states {
			in = append(in, b.full(v))
			continue
		}
		axis := entry(n.Attrs.Ints("scan_input_axes"), i-states)
		if b.differs(v) {
			axis = behind(axis)
		}
		in, inAxes = append(in, b.get(v)), append(inAxes, axis)
	}
	for i := range len(body.Outputs) - states {
		outAxes = append(outAxes, behind(entry(n.Attrs.Ints("scan_output_axes"), i)))
	}
	attrs := n.Attrs.With(Subgraph("body", body)).With(Ints("scan_input_axes", inAxes...)).With(Ints("scan_output_axes", outAxes...))
	b.again(n, attrs, in...)
	return true
}

// batchLoop runs one Loop where the examples agree on when it ends.
func batchLoop(b *Batching, n *Node) bool {
	if b.differs(n.In[0]) || b.differs(n.In[1]) {
		return false
	}
	body, inner := b.inside(n.body("body"), func(i int) bool { return i >= 2 })
	if inner.differs(body.Outputs[0]) {
		return false
	}
	for i, v := range body.Outputs[1:] {
		body.Outputs[1+i] = inner.full(v)
	}
	in := n.In[:2:2]
	for _, v := range n.In[2:] {
		in = append(in, b.full(v))
	}
	b.again(n, n.Attrs.With(Subgraph("body", body)), in...)
	for i, v := range n.Out {
		if i < len(n.In)-2 || v == nil {
			continue
		}
		all := b.of[v] // [T, N, ...]
		rank := v.Type.Rank() + 1
		if rank < 2 {
			b.failRank(v)
			return true
		}
		perm := upTo(rank)
		perm[0], perm[1] = 1, 0
		b.of[v] = b.With("Transpose", Attributes{Ints("perm", perm...)}, all)
	}
	return true
}

// batchRecurrent: recurrent layers whose weights are shared: the examples are
// more sequences.
func batchRecurrent(b *Batching, n *Node) bool {
	if !b.onlyDiffers(n, 0) || n.Attrs.Int("layout", 0) != 0 || n.has(4) || n.has(5) || n.has(6) || !ranked(n) {
		return false
	}
	// [N, T, B, I] → [T, N·B, I], and back for every output.
	x := b.permute(b.get(n.In[0]), []int{1, 0, 2, 3})
	x = b.Op("Reshape", x, b.concat(b.Const(tensor.Ints(0, -1)), b.With("Shape", Attributes{Int("start", 3)}, x)))
	b.again(n, n.Attrs, append([]*Value{x}, n.In[1:]...)...)
	for i, v := range n.Out {
		if v == nil {
			continue
		}
		lead, perm := []int{0, 0}, []int{2, 0, 1, 3, 4} // [T, D, N·B, H]
		if i > 0 {
			lead, perm = []int{0}, []int{1, 0, 2, 3}
		}
		y := b.of[v]
		y = b.Op("Reshape", y, b.concat(b.Const(tensor.Ints(lead...)), b.count, b.Const(tensor.Ints(-1)), b.With("Shape", Attributes{Int("start", len(lead)+1)}, y)))
		b.of[v] = b.permute(y, perm)
	}
	return true
}
