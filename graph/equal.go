package graph

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/compactify/compactify/tensor"
)

// Equal compares two graphs and returns their first difference, nil if there is
// none: structure, names, types, attributes, opsets, metadata and every byte of
// the parameters. Only the IR version is left out, which is the file's business,
// and the order between dense and sparse parameters, which a file does not keep.
func Equal(a, b *Graph) error { return compare(a, b, true) }

// Isomorphic compares two graphs as [Equal] does, but not what a model can do
// without: names other than those of the graph's inputs and outputs, types of
// inner values, documentation, producer, and omitted inputs and outputs at the
// end of a node's lists.
func Isomorphic(a, b *Graph) error { return compare(a, b, false) }

func compare(a, b *Graph, exact bool) error {
	c := &comparison{exact: exact, there: make(map[*Value]*Value), back: make(map[*Value]*Value)}
	if err := c.meta(a, b); err != nil {
		return err
	}
	return c.graphs(a, b, true)
}

// comparison pairs the values of two graphs, one to one.
type comparison struct {
	exact       bool
	there, back map[*Value]*Value
}

// differ reports a difference of two things that print.
func differ[T comparable](what string, a, b T) error {
	if a == b {
		return nil
	}
	return fmt.Errorf("%s: got %v, want %v", what, b, a)
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *comparison) meta(a, b *Graph) error {
	if c.exact && !maps.Equal(a.Opset, b.Opset) {
		return fmt.Errorf("opsets: got %v, want %v", b.Opset, a.Opset)
	}
	m, n := a.Meta, b.Meta
	if !slices.Equal(m.Props, n.Props) {
		return fmt.Errorf("properties: got %v, want %v", n.Props, m.Props)
	}
	err := firstOf(differ("domain", m.Domain, n.Domain), differ("model version", m.ModelVersion, n.ModelVersion))
	if err != nil || !c.exact {
		return err
	}
	return firstOf(differ("producer", m.Producer, n.Producer), differ("producer version", m.ProducerVersion, n.ProducerVersion),
		differ("documentation", m.Doc, n.Doc))
}

func (c *comparison) graphs(a, b *Graph, top bool) error {
	if c.exact {
		if err := firstOf(differ("graph name", a.Name, b.Name), differ("graph documentation", a.Meta.GraphDoc, b.Meta.GraphDoc)); err != nil {
			return err
		}
	}
	if err := c.interfaces("input", a.Inputs, b.Inputs, top); err != nil {
		return err
	}
	if err := c.params(a.Params, b.Params); err != nil {
		return err
	}
	if err := differ("nodes", len(a.Nodes), len(b.Nodes)); err != nil {
		return err
	}
	for i, n := range a.Nodes {
		if err := c.nodes(n, b.Nodes[i]); err != nil {
			return fmt.Errorf("%v: %w", n, err)
		}
	}
	return c.interfaces("output", a.Outputs, b.Outputs, top)
}

// interfaces compares inputs or outputs, whose types count in any case, and
// whose names count at the top.
func (c *comparison) interfaces(what string, a, b []*Value, top bool) error {
	if err := differ(what+"s", len(a), len(b)); err != nil {
		return err
	}
	for i, v := range a {
		err := c.values(v, b[i])
		if err == nil && top {
			err = differ("name", v.Name, b[i].Name)
		}
		if err == nil {
			err = differTypes(v.Type, b[i].Type)
		}
		if err != nil {
			return fmt.Errorf("%s %d %q: %w", what, i, v.Name, err)
		}
	}
	return nil
}

func differTypes(a, b tensor.Type) error {
	if !a.Equal(b) {
		return fmt.Errorf("type: got %v, want %v", b, a)
	}
	return nil
}

// values compares two values by what they were paired with before.
func (c *comparison) values(v, w *Value) error {
	if v == nil || w == nil {
		if v != w {
			return fmt.Errorf("one is omitted, the other is not")
		}
		return nil
	}
	if known, ok := c.there[v]; ok {
		if known != w {
			return fmt.Errorf("value: got %q, want %q", w.Name, known.Name)
		}
		return nil
	}
	if other, ok := c.back[w]; ok {
		return fmt.Errorf("value: got %q, which stands for %q", w.Name, other.Name)
	}
	c.there[v], c.back[w] = w, v
	if !c.exact {
		return nil
	}
	return firstOf(differ("name", v.Name, w.Name), differTypes(v.Type, w.Type), differ("documentation", v.Doc, w.Doc))
}

func (c *comparison) params(a, b []*Param) error {
	if err := differ("parameters", len(a), len(b)); err != nil {
		return err
	}
	a, b = denseFirst(a), denseFirst(b)
	for i, p := range a {
		q := b[i]
		err := firstOf(c.values(p.Value, q.Value), differ("sparse", p.Sparse, q.Sparse))
		if err == nil && !p.Data.Equal(q.Data) {
			err = fmt.Errorf("data: got %v, want %v or other bytes of it", q.Data, p.Data)
		}
		if err != nil {
			return fmt.Errorf("parameter %q: %w", p.Name, err)
		}
	}
	return nil
}

func denseFirst(list []*Param) []*Param {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(p, q *Param) int {
		switch {
		case p.Sparse == q.Sparse:
			return 0
		case q.Sparse:
			return -1
		}
		return 1
	})
	return list
}

func (c *comparison) nodes(m, n *Node) error {
	err := differ("operator", m.Kind(), n.Kind())
	if err == nil && c.exact {
		err = firstOf(differ("name", m.Name, n.Name), differ("documentation", m.Doc, n.Doc))
	}
	if err == nil {
		err = firstOf(c.lists("input", m.In, n.In), c.lists("output", m.Out, n.Out))
	}
	if err == nil {
		err = differ("attributes", len(m.Attrs), len(n.Attrs))
	}
	if err != nil {
		return err
	}
	for i, a := range m.Attrs {
		if err := c.attrs(a, n.Attrs[i]); err != nil {
			return fmt.Errorf("attribute %q: %w", a.Name, err)
		}
	}
	return nil
}

func (c *comparison) lists(what string, a, b []*Value) error {
	if !c.exact {
		a, b = withoutTail(a), withoutTail(b)
	}
	if err := differ(what+"s", len(a), len(b)); err != nil {
		return err
	}
	for i, v := range a {
		if err := c.values(v, b[i]); err != nil {
			return fmt.Errorf("%s %d: %w", what, i, err)
		}
	}
	return nil
}

func withoutTail(list []*Value) []*Value {
	for len(list) > 0 && list[len(list)-1] == nil {
		list = list[:len(list)-1]
	}
	return list
}

// attrs compares attributes; floats by their bits, so that NaN equals itself.
func (c *comparison) attrs(a, b Attr) error {
	err := firstOf(differ("name", a.Name, b.Name), differ("kind", a.Kind, b.Kind),
		differ("value", math.Float32bits(a.F), math.Float32bits(b.F)), differ("value", a.I, b.I), differ("value", a.S, b.S))
	if err == nil && c.exact {
		err = differ("documentation", a.Doc, b.Doc)
	}
	if err != nil {
		return err
	}
	sameBits := func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) }
	if !a.T.Equal(b.T) || !slices.EqualFunc(a.Tensors, b.Tensors, tensor.Tensor.Equal) ||
		!slices.EqualFunc(a.Floats, b.Floats, sameBits) || !slices.Equal(a.Ints, b.Ints) ||
		!slices.Equal(a.Strings, b.Strings) || !bytes.Equal(a.Verbose, b.Verbose) {
		return fmt.Errorf("the values differ")
	}
	subs, others := a.Subgraphs(), b.Subgraphs()
	if err := differ("graphs", len(subs), len(others)); err != nil {
		return err
	}
	for i, g := range subs {
		if err := c.graphs(g, others[i], false); err != nil {
			return err
		}
	}
	return nil
}
