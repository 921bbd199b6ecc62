package graph

import (
	"fmt"

	"github.com/compactify/compactify/tensor"
)

// Rebatch returns a copy of a model that was exported for one batch size, say
// [1, 3, 32, 32], and takes any: the leading size of every input becomes the
// symbol, and Reshape targets that spell the old size out follow it. The copy is
// in the newest opset's form.
//
// The error says why the model cannot be converted: inputs that disagree about
// the batch, or the node at which the batch gets lost.
func Rebatch(g *Graph, symbol string) (*Graph, error) {
	c, _ := g.Clone()
	if err := c.rebatch(symbol); err != nil {
		return nil, fmt.Errorf("rebatch graph %q: %w", g.Name, err)
	}
	return c, nil
}

func (g *Graph) rebatch(symbol string) error {
	if err := g.Upgrade(LatestOpset); err != nil {
		return err
	}
	old, err := g.leadingSize()
	if err != nil {
		return err
	}
	g.SetBatch(g.Inputs, tensor.Symbol(symbol))
	if old.Known() {
		err = g.rebatchNodes(old.Size, symbol)
	} else {
		err = g.Infer()
	}
	if err != nil {
		return err
	}
	for _, v := range g.Outputs {
		if v.Type.Rank() < 1 || v.Type.Shape[0] != tensor.Symbol(symbol) {
			return fmt.Errorf("output %q: got %v, want leading size %s%s", v.Name, v.Type, symbol, g.batchLostAt(symbol))
		}
	}
	return g.tryBatch(3)
}

// leadingSize is the size on which the inputs' first axes agree, unknown if
// they are symbols already.
func (g *Graph) leadingSize() (tensor.Dim, error) {
	lead := tensor.Unknown()
	if len(g.Inputs) == 0 {
		return lead, fmt.Errorf("no inputs")
	}
	for _, v := range g.Inputs {
		if v.Type.Rank() < 1 {
			return lead, fmt.Errorf("input %q: got %v, want a leading axis for the batch", v.Name, v.Type)
		}
		var ok bool
		if lead, ok = mergeDims(lead, v.Type.Shape[0]); !ok {
			return lead, fmt.Errorf("input %q: leading size: got %v, want %v as the inputs before it", v.Name, v.Type.Shape[0], lead)
		}
	}
	return lead, nil
}

// SetBatch gives inputs, which are ranked, the leading size d and forgets the
// types that followed from the old one: [Graph.Infer] finds the new ones.
func (g *Graph) SetBatch(inputs []*Value, d tensor.Dim) {
	for _, v := range inputs {
		v.Type.Shape = append([]tensor.Dim{d}, v.Type.Shape[1:]...)
	}
	g.eachNode(func(n *Node) {
		if n.Rule() == nil {
			return
		}
		for _, v := range n.Out {
			if v != nil {
				v.Type.Shape = nil
			}
		}
	})
}

// rebatchNodes infers node by node and rewrites Reshape targets on the way.
func (g *Graph) rebatchNodes(old int, symbol string) error {
	b := NewBuilder(g, "rebatch_")
	replaced := make(map[*Value]bool)
	for _, n := range g.Nodes {
		if n.Kind() == "Reshape" {
			if was, err := b.rebatchReshape(n, old, symbol); err != nil {
				return err
			} else if was != nil {
				replaced[was] = true
			}
		}
		if err := b.facts.Infer(n); err != nil {
			return err
		}
	}
	for v := range g.Consumers() {
		delete(replaced, v)
	}
	g.RemoveParams(func(p *Param) bool { return replaced[p.Value] })
	return b.Err()
}

// rebatchReshape rewrites a constant target that begins with the old batch
// size, if the data has the batch in front. It returns the target replaced.
func (b *Builder) rebatchReshape(n *Node, old int, symbol string) (*Value, error) {
	x, t := n.In[0].Type, n.In[1]
	data, ok := b.facts.Data(t)
	if !ok || x.Rank() < 1 || x.Shape[0] != tensor.Symbol(symbol) {
		return nil, nil
	}
	ints, err := data.Int64s()
	if err != nil || len(ints) == 0 || ints[0] != int64(old) {
		return nil, nil
	}
	target := make([]int, len(ints))
	open := false
	for i, v := range ints {
		target[i] = int(v)
		open = open || v == -1
	}
	target[0] = -1
	if open {
		target[0] = 0 // the other -1 stands for what is left of each example
		if n.Attrs.Int("allowzero", 0) != 0 {
			return nil, fmt.Errorf("%s: target %v: with allowzero it cannot both copy the batch and leave an axis open", n, ints)
		}
	}
	n.In[1] = b.Const(tensor.Ints(target...))
	return t, nil
}

// batchLostAt names the first node that reads the batch and does not pass it on.
func (g *Graph) batchLostAt(symbol string) string {
	holds := func(list []*Value) bool {
		for _, v := range list {
			if v == nil {
				continue
			}
			for _, d := range v.Type.Shape {
				if d == tensor.Symbol(symbol) {
					return true
				}
			}
		}
		return false
	}
	for _, n := range g.Nodes {
		if holds(n.In) && !holds(n.Out) {
			return fmt.Sprintf("; the batch is lost at %s, whose output is %v", n, n.Out[0].Type)
		}
	}
	return ""
}

// tryBatch infers a copy at a batch size of its own: constants that still have
// the old size in them, such as the initial state of a recurrence, show here.
func (g *Graph) tryBatch(size int) error {
	c, _ := g.Clone()
	c.SetBatch(c.Inputs, tensor.Fixed(size))
	if err := c.Infer(); err != nil {
		return fmt.Errorf("at batch size %d: %w", size, err)
	}
	for _, v := range c.Outputs {
		if v.Type.Rank() < 1 || v.Type.Shape[0] != tensor.Fixed(size) {
			return fmt.Errorf("at batch size %d: output %q: got %v", size, v.Name, v.Type)
		}
	}
	return nil
}
