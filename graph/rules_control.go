package graph

import (
	"fmt"
	"maps"
	"slices"

	"github.com/compactify/compactify/tensor"
)

func controlRules() map[string]*Rule {
	return map[string]*Rule{
		"If":   {Since: []int{1}, MinIn: 1, MaxIn: 1, MinOut: 1, MaxOut: -1, Infer: inferIf},
		"Loop": {Since: []int{1}, MinIn: 0, MaxIn: -1, MinOut: 1, MaxOut: -1, Infer: inferLoop},
		"Scan": {Since: []int{8, 9}, MinIn: 1, MaxIn: -1, MinOut: 1, MaxOut: -1, Infer: inferScan, Upgrade: map[int]step{9: scanBatched}},
	}
}

// branch is the subgraph an attribute holds.
func (c *Inference) branch(name string) (*Graph, error) {
	a, ok := c.Attrs.Get(name)
	if !ok || a.G == nil {
		return nil, c.Errorf("attribute %s: missing", name)
	}
	return a.G, nil
}

// inferIf: a condition that is constant chooses the branch, else the outputs
// have what both branches agree on.
func inferIf(c *Inference) error {
	if err := c.want(booleans, 0); err != nil {
		return err
	}
	if err := c.scalar(0); err != nil {
		return err
	}
	cond, known := c.Const(0)
	var types []tensor.Type
	for _, name := range []string{"then_branch", "else_branch"} {
		sub, err := c.branch(name)
		if err != nil {
			return err
		}
		if len(sub.Outputs) != len(c.Out) {
			return c.Errorf("attribute %s: got %d outputs, want %d", name, len(sub.Outputs), len(c.Out))
		}
		if known && cond.Len() == 1 && (cond.At(0) != 0) != (name == "then_branch") {
			continue // it may not even fit the shapes at hand
		}
		c.Facts.AddParams(sub)
		if err := c.Facts.InferGraph(sub); err != nil {
			return c.Errorf("attribute %s: %w", name, err)
		}
		for i, v := range sub.Outputs {
			if types == nil || i >= len(types) {
				types = append(types, v.Type)
				continue
			}
			if d := types[i].DType; d != v.Type.DType && d != tensor.Undefined && v.Type.DType != tensor.Undefined {
				return c.Errorf("output %d: number type: got %v in one branch and %v in the other", i, d, v.Type.DType)
			}
			types[i] = commonType(types[i], v.Type)
		}
	}
	for i, t := range types {
		c.Set(i, t)
	}
	return nil
}

// commonType is what two types agree on.
func commonType(a, b tensor.Type) tensor.Type {
	t := tensor.Type{DType: a.DType}
	if a.DType == tensor.Undefined {
		t.DType = b.DType
	}
	if !a.Ranked() || !b.Ranked() || a.Rank() != b.Rank() {
		return t
	}
	t.Shape = make([]tensor.Dim, a.Rank())
	for i := range t.Shape {
		t.Shape[i] = tensor.Unknown()
		if a.Shape[i].Same(b.Shape[i]) {
			t.Shape[i] = a.Shape[i]
		}
	}
	return t
}

// inferLoop: body(iteration, condition, carried...) → condition, carried...,
// scanned...; the outputs are the carried values and the scanned ones stacked.
func inferLoop(c *Inference) error {
	body, err := c.branch("body")
	if err != nil {
		return err
	}
	if len(c.Node.In) < 2 {
		return c.Errorf("inputs: got %d, want at least 2, of which the first two may be omitted", len(c.Node.In))
	}
	for i := 2; i < len(c.Node.In); i++ {
		if !c.HasIn(i) {
			return c.Errorf("input %d: omitted, but required", i)
		}
	}
	carried := len(c.Node.In) - 2
	scanned := len(body.Outputs) - 1 - carried
	if len(body.Inputs) != carried+2 || scanned < 0 || len(c.Out) > carried+scanned {
		return c.Errorf("attribute body: got %d inputs and %d outputs, want %d inputs and at least %d outputs",
			len(body.Inputs), len(body.Outputs), carried+2, max(carried, len(c.Out))+1)
	}
	in := []tensor.Type{tensor.TypeOf(tensor.Int64), tensor.TypeOf(tensor.Bool)}
	for i, want := range in {
		if got := c.In(i); c.HasIn(i) && got.DType != tensor.Undefined && got.DType != want.DType {
			return c.Errorf("input %d: number type: got %v, want %v", i, got.DType, want.DType)
		}
	}
	for i := range carried {
		in = append(in, c.In(i+2))
	}
	out, err := c.inferBody(body, in, 2, 1, carried)
	if err != nil {
		return err
	}
	for i := range c.Out {
		t := out[i+1]
		if i < carried {
			// No iteration at all leaves the initial value.
			t = commonType(t, c.In(i+2))
		} else if t.Ranked() {
			t.Shape = append([]tensor.Dim{c.trips()}, t.Shape...)
		}
		c.Set(i, t)
	}
	return nil
}

// trips is how often a Loop iterates: certain only if the trip count is
// constant and the body's condition stays the true it starts with.
func (c *Inference) trips() tensor.Dim {
	body, err := c.branch("body")
	if err != nil || body.Outputs[0] != body.Inputs[1] {
		return tensor.Unknown()
	}
	if c.HasIn(1) {
		if cond, ok := c.Const(1); !ok || cond.Len() != 1 || cond.At(0) == 0 {
			return tensor.Unknown()
		}
	}
	if dims, ok := c.sizes(0); ok && len(dims) == 1 {
		return dims[0]
	}
	return tensor.Unknown()
}

// maxLoosening bounds the attempts to find types that an iteration preserves.
const maxLoosening = 4

// inferBody infers the body of an iteration whose inputs from firstIn on are
// fed back from its outputs from firstOut on. Sizes that an iteration changes
// are unknown inside the body; the search for them works on a copy.
func (c *Inference) inferBody(body *Graph, in []tensor.Type, firstIn, firstOut, carried int) ([]tensor.Type, error) {
	in = slices.Clone(in)
	for attempt := 0; ; attempt++ {
		trial, copyOf := body.Clone()
		out, err := c.Facts.copyFor(copyOf).types(trial, in)
		if err != nil {
			return nil, c.Errorf("attribute body: %w", err)
		}
		stable := true
		for i := range carried {
			was := in[firstIn+i]
			now := commonType(was, out[firstOut+i])
			if !now.Equal(was) {
				stable = false
				in[firstIn+i] = now
				if attempt == maxLoosening {
					in[firstIn+i].Shape = nil
				}
			}
		}
		if stable || attempt > maxLoosening {
			break
		}
	}
	c.Facts.AddParams(body)
	out, err := c.Facts.types(body, in)
	if err != nil {
		return nil, c.Errorf("attribute body: %w", err)
	}
	return out, nil
}

// types infers a body for inputs of the given types and returns its outputs'.
func (f *Facts) types(body *Graph, in []tensor.Type) ([]tensor.Type, error) {
	for i, v := range body.Inputs {
		v.Type = tensor.Type{DType: in[i].DType, Shape: in[i].Shape}
	}
	for _, n := range body.Nodes {
		if n.Rule() != nil {
			for _, v := range n.Out {
				if v != nil {
					v.Type.Shape = nil
				}
			}
		}
	}
	if err := f.InferGraph(body); err != nil {
		return nil, err
	}
	out := make([]tensor.Type, len(body.Outputs))
	for i, v := range body.Outputs {
		out[i] = v.Type
	}
	return out, nil
}

// copyFor carries what is known of values over to their copies.
func (f *Facts) copyFor(copyOf map[*Value]*Value) *Facts {
	c := &Facts{data: make(map[*Value]tensor.Tensor), dims: make(map[*Value][]tensor.Dim)}
	for v, w := range copyOf {
		if t, ok := f.data[v]; ok {
			c.data[w] = t
		}
		if d, ok := f.dims[v]; ok {
			c.dims[w] = d
		}
	}
	return c
}

// inferScan: body(state..., slices...) → state..., slices...; inputs are
// sliced along scan_input_axes (0 by default), outputs stacked along
// scan_output_axes (0).
func inferScan(c *Inference) error {
	body, err := c.branch("body")
	if err != nil {
		return err
	}
	scans := c.Attrs.Int("num_scan_inputs", 0)
	states := len(c.Node.In) - scans
	if scans < 1 || states < 0 || len(body.Inputs) != len(c.Node.In) || len(body.Outputs) < max(states, len(c.Out)) {
		return c.Errorf("attribute body: got %d inputs and %d outputs for %d inputs, %d of them scanned, and %d outputs",
			len(body.Inputs), len(body.Outputs), len(c.Node.In), scans, len(c.Out))
	}
	in := make([]tensor.Type, len(c.Node.In))
	length := tensor.Unknown()
	for i := range in {
		in[i] = c.In(i)
		if i < states || !in[i].Ranked() {
			continue
		}
		axis, err := c.scanAxis("scan_input_axes", i-states, in[i].Rank())
		if err != nil {
			return err
		}
		var ok bool
		if length, ok = mergeDims(length, in[i].Shape[axis]); !ok {
			return c.Errorf("input %d: got %v, want %v on axis %d", i, in[i], length, axis)
		}
		in[i].Shape = dropAxes(in[i].Shape, []int{axis}, false)
	}
	out, err := c.inferBody(body, in, 0, 0, states)
	if err != nil {
		return err
	}
	for i := range c.Out {
		t := out[i]
		if i >= states && t.Ranked() {
			axis, err := c.scanAxis("scan_output_axes", i-states, t.Rank()+1)
			if err != nil {
				return err
			}
			t.Shape = slices.Insert(slices.Clone(t.Shape), axis, length)
		}
		c.Set(i, t)
	}
	return nil
}

func (c *Inference) scanAxis(name string, i, rank int) (int, error) {
	axis := 0
	if axes := c.Attrs.Ints(name); i < len(axes) {
		axis = axes[i]
	}
	axis, err := normAxis(axis, rank)
	if err != nil {
		return 0, c.Errorf("attribute %s: %w", name, err)
	}
	return axis, nil
}

// scanBatched: opset 8 scanned a batch of sequences, all axes behind the batch
// axis, states with a batch axis too. That is a scan over the batch whose body
// is a scan over the sequence. Sequences of several lengths have no equal.
func scanBatched(b *Builder, n *Node) error {
	if n.Input(0) != nil {
		return fmt.Errorf("input 0: sequence lengths, which no newer opset has")
	}
	a, ok := n.Attrs.Get("body")
	if !ok || a.G == nil || len(n.In)-1 != len(a.G.Inputs) || len(n.Out) > len(a.G.Outputs) {
		return fmt.Errorf("attribute body: missing, or its inputs or outputs are not those of the node")
	}
	inner := &Node{Name: n.Name, Op: "Scan", Attrs: n.Attrs.Without("directions")}
	if d, ok := n.Attrs.Get("directions"); ok {
		d.Name = "scan_input_directions"
		inner.Attrs = inner.Attrs.With(d)
	}
	outer := &Graph{Name: n.Name, Opset: maps.Clone(b.g.Opset)}
	for range n.In[1:] {
		v := b.Value(tensor.Type{})
		outer.Inputs, inner.In = append(outer.Inputs, v), append(inner.In, v)
	}
	for range n.Out {
		v := b.Value(tensor.Type{})
		outer.Outputs, inner.Out = append(outer.Outputs, v), append(inner.Out, v)
	}
	outer.Nodes = []*Node{inner}
	n.In = n.In[1:]
	n.Attrs = Attributes{Subgraph("body", outer), Int("num_scan_inputs", len(n.In))}
	return nil
}
