package graph

import (
	"fmt"

	"github.com/compactify/compactify/tensor"
)

// step rewrites a node into the form that an opset introduced; see
// [Rule.Upgrade].
type step = func(*Builder, *Node) error

// intsToInput moves an attribute of integers into an int64 vector at input i.
// An absent attribute leaves the input omitted.
func intsToInput(name string, i int) step {
	return func(b *Builder, n *Node) error {
		if !n.Attrs.Has(name) {
			return nil
		}
		n.setInput(i, b.Const(tensor.Ints(n.Attrs.Ints(name)...)))
		n.Attrs = n.Attrs.Without(name)
		return nil
	}
}

// floatToInput moves a float attribute into a scalar of input 0's number type
// at input i. An absent attribute takes the default, or leaves the input
// omitted if there is none.
func floatToInput(name string, i int, def ...float64) step {
	return func(b *Builder, n *Node) error {
		if !n.Attrs.Has(name) && len(def) == 0 {
			return nil
		}
		fallback := 0.0
		if len(def) > 0 {
			fallback = def[0]
		}
		n.setInput(i, b.ConstLike(n.In[0], n.Attrs.Float(name, fallback)))
		n.Attrs = n.Attrs.Without(name)
		return nil
	}
}

// steps takes several steps one after the other.
func steps(list ...step) step {
	return func(b *Builder, n *Node) error {
		for _, s := range list {
			if err := s(b, n); err != nil {
				return err
			}
		}
		return nil
	}
}

// setInput makes v input i, with omitted inputs in front of it if need be.
func (n *Node) setInput(i int, v *Value) {
	for len(n.In) <= i {
		n.In = append(n.In, nil)
	}
	n.In[i] = v
}

// renameText renames a value of a text attribute.
func renameText(name string, from ...string) step {
	return func(_ *Builder, n *Node) error {
		for i := 0; i+1 < len(from); i += 2 {
			if n.Attrs.Text(name, "") == from[i] {
				n.Attrs = n.Attrs.With(Text(name, from[i+1]))
				return nil
			}
		}
		return nil
	}
}

// renameOp gives the node the name under which a newer opset has the operator.
func renameOp(to string) step {
	return func(_ *Builder, n *Node) error {
		n.Op = to
		return nil
	}
}

// finish marks the node as replaced by others, which produce its outputs.
func (n *Node) finish() { n.Op = "" }

// inputRank is the rank of input i, which an upgrade step depends on.
func (n *Node) inputRank(i int) (int, error) {
	if v := n.Input(i); v != nil && v.Type.Ranked() {
		return v.Type.Rank(), nil
	}
	return 0, fmt.Errorf("input %d: rank unknown, but the new form depends on it", i)
}
