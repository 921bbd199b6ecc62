package graph

import (
	"fmt"
	"slices"

	"github.com/compactify/compactify/tensor"
)

// Validate checks that the graph is well formed: every value is produced once
// and before it is read, names are unique, parameters agree with their types.
// The error names node, input and reason. Types are [Graph.Infer]'s business.
func (g *Graph) Validate() error {
	return g.validate(&validation{defined: make(map[*Value]bool), names: make(map[string]bool)})
}

// validation is what is defined where the check has come to.
type validation struct {
	defined map[*Value]bool
	names   map[string]bool
	order   []*Value // as they were defined, for leave
}

// leave forgets what was defined since there were n values: a subgraph ends.
func (c *validation) leave(n int) {
	for _, v := range c.order[n:] {
		delete(c.defined, v)
		delete(c.names, v.Name)
	}
	c.order = c.order[:n]
}

func (g *Graph) validate(c *validation) error {
	define := func(v *Value, what string) error {
		if v.Name == "" {
			return fmt.Errorf("graph %q: %s has no name", g.Name, what)
		}
		if c.names[v.Name] || c.defined[v] {
			return fmt.Errorf("graph %q: %s: value %q is defined twice", g.Name, what, v.Name)
		}
		c.names[v.Name], c.defined[v] = true, true
		c.order = append(c.order, v)
		return nil
	}
	for _, v := range g.Inputs {
		if err := define(v, "input"); err != nil {
			return err
		}
	}
	for _, p := range g.Params {
		if err := define(p.Value, "parameter"); err != nil {
			return err
		}
		if err := p.check(); err != nil {
			return err
		}
	}
	for _, n := range g.Nodes {
		if err := n.validate(c); err != nil {
			return err
		}
		for _, v := range n.Out {
			if v == nil {
				continue
			}
			if err := define(v, n.String()); err != nil {
				return err
			}
		}
	}
	for _, v := range g.Outputs {
		if !c.defined[v] {
			return fmt.Errorf("graph %q: output %q: nothing produces it", g.Name, v.Name)
		}
	}
	return nil
}

func (n *Node) validate(c *validation) error {
	for i, v := range n.In {
		if v != nil && !c.defined[v] {
			return fmt.Errorf("%s: input %d %q: not defined before it is read", n, i, v.Name)
		}
	}
	for _, a := range n.Attrs {
		for _, sub := range a.Subgraphs() {
			outer := len(c.order)
			if err := sub.validate(c); err != nil {
				return fmt.Errorf("%s: attribute %q: %w", n, a.Name, err)
			}
			c.leave(outer)
		}
	}
	return nil
}

func (p *Param) check() error {
	if p.Data.IsZero() {
		return fmt.Errorf("parameter %q: has no data", p.Name)
	}
	if sizes, ok := p.Type.Static(); !ok || p.Type.DType != p.Data.DType() || !slices.Equal(sizes, p.Data.Shape()) {
		return fmt.Errorf("parameter %q: type: got %v, want %v as its data", p.Name, p.Type, p.Data.Type())
	}
	return nil
}

// CheckFinite reports the first floating-point parameter, of the graph or of a body
// in it, that holds a NaN, or an infinity although it is a weight. Infinities are
// good constants elsewhere: a maximum may start from −Inf, and masks add it.
func (g *Graph) CheckFinite() error {
	weights := make(map[*Value]bool)
	g.eachNode(func(n *Node) {
		if n.Op == "Add" || n.Op == "Mul" {
			return
		}
		for _, i := range weightOperands[n.Kind()] {
			weights[n.Input(i)] = true
		}
	})
	var err error
	g.eachParam(func(p *Param) {
		if err != nil || !p.Data.DType().IsFloat() {
			return
		}
		if i, ok := firstNonFinite(p.Data, weights[p.Value]); ok {
			err = fmt.Errorf("parameter %q: element %d: got %v, want a finite number", p.Name, i, p.Data.At(i))
		}
	})
	return err
}

// firstNonFinite finds a NaN or, if infinities count, the first of either.
func firstNonFinite(t tensor.Tensor, infinities bool) (int, bool) {
	bad := func(x float64) bool { return x != x || infinities && x-x != 0 }
	if t.DType() == tensor.Float32 {
		for i, x := range tensor.Data[float32](t) {
			if x-x != 0 && bad(float64(x)) {
				return i, true
			}
		}
		return 0, false
	}
	for i, n := 0, t.Len(); i < n; i++ {
		if bad(t.At(i)) {
			return i, true
		}
	}
	return 0, false
}
