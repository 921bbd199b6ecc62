package engine

import (
	"errors"
	"fmt"
	"slices"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// Jacobian extends a graph by all derivatives of a value y with respect to inputs
// or parameters. The result has g's outputs followed by one Jacobian per entry of
// wrt, of shape [y's shape..., its shape...]. All these shapes must be known.
//
// It pulls all unit vectors of y back at once, or pushes those of wrt forward if
// they are fewer.
func Jacobian(g *graph.Graph, y *graph.Value, wrt []*graph.Value) (*graph.Graph, error) {
	return derive("Jacobian", g, []*graph.Value{y}, wrt, func(d *derivation) []*graph.Value { return d.jacobian() })
}

// PerExample makes the graph of the derivatives of each example of a batch: y of
// one example with respect to the values wrt, which all share. The inputs listed
// in examples have the batch along their leading axis, whatever its size is in g;
// in the result it is size. The result has y for each example as its first
// output and then one Jacobian per entry of wrt:
//
//	y [size, y's shape...],   ∂y/∂w [size, y's shape..., w's shape...]
//
// y's shape is that of a batch of one, without the leading 1 if it has one: of
// logits [N, K] there are K derivatives per example, of a mean loss one. A batch
// normalisation in training mode sees each example alone. The rows are those of
// the empirical neural tangent kernel.
func PerExample(g *graph.Graph, y *graph.Value, wrt, examples []*graph.Value, size tensor.Dim) (*graph.Graph, error) {
	d, err := perExample(g, y, wrt, examples, size)
	if err != nil {
		return nil, fmt.Errorf("derivatives of %q per example in graph %q: %w", y.Name, g.Name, err)
	}
	return d.g, nil
}

func perExample(g *graph.Graph, y *graph.Value, wrt, examples []*graph.Value, size tensor.Dim) (*derivation, error) {
	one, copyOf := g.Clone()
	of := func(list []*graph.Value) []*graph.Value {
		out := make([]*graph.Value, len(list))
		for i, v := range list {
			out[i] = copyOf[v]
		}
		return out
	}
	if len(examples) == 0 {
		return nil, errors.New("inputs with a leading axis for the examples: got none, want at least one")
	}
	for i, v := range of(examples) {
		if v == nil || !slices.Contains(one.Inputs, v) || v.Type.Rank() < 1 {
			return nil, fmt.Errorf("value %q: want an input with a leading axis for the examples", examples[i].Name)
		}
	}
	for _, v := range append(wrt[:len(wrt):len(wrt)], y) {
		if copyOf[v] == nil {
			return nil, fmt.Errorf("value %q is not in the graph", v.Name)
		}
	}
	if err := one.Upgrade(graph.LatestOpset); err != nil {
		return nil, err
	}
	one.SetBatch(of(examples), tensor.Fixed(1))
	d, err := newDerivation(one, append(of([]*graph.Value{y}), of(examples)...), of(wrt))
	if err != nil {
		return nil, err
	}
	inputs := d.of[1:]
	d.of = d.of[:1]
	jacobians := d.jacobian()
	d.g.Outputs = append(d.of[:1:1], jacobians...)
	return d, d.spreadExamples(inputs, size)
}

// spreadExamples batches the graph over examples, whose inputs lose their leading
// 1; so do the outputs, which all begin with the shape of the first.
func (d *derivation) spreadExamples(inputs []*graph.Value, size tensor.Dim) error {
	all := make(map[*graph.Value]*graph.Value)
	nodes := d.g.Nodes
	d.g.Nodes = nil
	for _, v := range inputs {
		t := v.Type
		t.Shape = append([]tensor.Dim{size}, t.Shape[1:]...)
		in := &graph.Value{Name: v.Name, Type: t, Doc: v.Doc}
		d.g.Inputs[slices.Index(d.g.Inputs, v)] = in
		all[v] = d.b.Op("Unsqueeze", in, d.b.Const(tensor.Ints(1)))
	}
	head := d.g.Nodes
	d.g.Nodes = nodes
	lead := d.of[0].Type.Rank() > 0 && d.of[0].Type.Shape[0] == tensor.Fixed(1)
	d.b.Batch(size, all)
	d.g.Nodes = append(head, d.g.Nodes...)
	for i, v := range d.g.Outputs {
		if lead {
			d.g.Outputs[i] = d.b.Op("Squeeze", v, d.b.Const(tensor.Ints(1)))
		}
	}
	d.g.RemoveDead()
	return d.b.Err()
}

// jacobian builds one Jacobian per entry of wrt.
func (d *derivation) jacobian() []*graph.Value {
	rows, ok := d.static(d.of[0])
	columns, total := make([][]int, len(d.wrt)), 0
	for i, v := range d.wrt {
		var known bool
		columns[i], known = d.static(v)
		ok = ok && known
		total += elements(columns[i])
	}
	list := make([]*graph.Value, len(d.wrt))
	if !ok {
		return list
	}
	if elements(rows) > total {
		for i := range d.wrt {
			list[i] = d.columnsOf(i, rows, columns[i])
		}
		return list
	}
	u := d.b.Value(d.of[0].Type)
	list = d.zerosFor(d.wrt, d.b.Pullback(d.of, []*graph.Value{u}, d.wrt))
	list = d.along(u, rows, list)
	for i, v := range list {
		list[i] = d.b.Op("Reshape", v, d.b.Const(tensor.Ints(slices.Concat(rows, columns[i])...)))
	}
	return list
}

// static is the shape of a value, which must be known.
func (d *derivation) static(v *graph.Value) ([]int, bool) {
	sizes, ok := v.Type.Static()
	if !ok {
		d.b.Fail(fmt.Errorf("value %q: got %v, want a known shape", v.Name, v.Type))
	}
	return sizes, ok
}

// columnsOf pushes the unit vectors of one entry of wrt forward.
func (d *derivation) columnsOf(i int, rows, columns []int) *graph.Value {
	v := d.b.Value(d.wrt[i].Type)
	moved := d.zerosFor(d.of, d.pushforward(d.wrt[i:i+1], []*graph.Value{v}, d.of))
	all := d.along(v, columns, moved)[0]
	flat := d.b.Op("Reshape", all, d.b.Const(tensor.Ints(elements(columns), elements(rows))))
	turned := d.b.With("Transpose", graph.Attributes{graph.Ints("perm", 1, 0)}, flat)
	return d.b.Op("Reshape", turned, d.b.Const(tensor.Ints(slices.Concat(rows, columns)...)))
}

// along batches what depends on v over all unit vectors of its shape.
func (d *derivation) along(v *graph.Value, shape []int, list []*graph.Value) []*graph.Value {
	n := elements(shape)
	if n > maxUnits {
		d.b.Fail(fmt.Errorf("value %q: got %d elements, want at most %d", v.Name, n, maxUnits))
		return list
	}
	unit := tensor.New(v.Type.DType, append([]int{n}, shape...)...)
	for i := range n {
		unit.Set(i*n+i, 1)
	}
	outputs := d.g.Outputs
	d.g.Outputs = slices.Clone(list)
	d.b.Batch(tensor.Fixed(n), map[*graph.Value]*graph.Value{v: d.b.Const(unit)})
	list, d.g.Outputs = d.g.Outputs, outputs
	return list
}

// maxUnits bounds the unit vectors that a Jacobian holds at once: 64 MiB of them
// in float32.
const maxUnits = 1 << 12
