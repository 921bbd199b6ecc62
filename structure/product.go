package structure

import "github.com/compactify/compactify/graph"

// product is an axis whose index runs over several factors: index i of the
// whole is index (i/stride) mod size of each.
type product struct {
	node    *graph.Node
	whole   axis
	factors []factor
	split   bool // a Reshape divides the axis, rather than making it
	done    bool
}

type factor struct {
	axis
	stride int
}

// multiply says that an axis is the product of others, the outermost first.
func (x *axes) multiply(n *graph.Node, split bool, whole axis, factors ...axis) {
	p := &product{node: n, whole: whole, split: split}
	stride := 1
	for i := len(factors) - 1; i >= 0; i-- {
		p.factors = append([]factor{{factors[i], stride}}, p.factors...)
		stride *= factors[i].size
	}
	if stride != whole.size {
		x.fixNode(n, "divides an axis in a way that is not understood")
		return
	}
	if len(p.factors) == 1 {
		x.tie(n, whole, factors[0])
		return
	}
	x.products = append(x.products, p)
}

// settle decides which factor of each product counts: the only one that is not
// fixed. Where several are left, the outermost is taken, one product at a time,
// as one choice settles others.
func (x *axes) settle() {
	for {
		progress, open := false, (*product)(nil)
		for _, p := range x.products {
			switch {
			case p.done:
			case x.try(p):
				progress = true
			case open == nil:
				open = p
			}
		}
		if progress {
			continue
		}
		if open == nil {
			return
		}
		x.chooseOutermost(open)
	}
}

// try settles a product if it can be.
func (x *axes) try(p *product) bool {
	var live []factor
	reason := int32(0)
	for _, f := range p.factors {
		if !x.allFixed(f.axis) {
			live = append(live, f)
		} else if f.size > 0 {
			reason = x.why(f.first)
		}
	}
	switch {
	case x.allFixed(p.whole):
		for _, f := range live {
			x.fix(f.axis, x.why(p.whole.first))
		}
	case len(live) == 0:
		x.fix(p.whole, reason)
	case len(live) == 1:
		for i := range p.whole.size {
			x.union(p.whole.slot(i), live[0].slot(i/live[0].stride%live[0].size))
		}
	default:
		return false
	}
	p.done = true
	return true
}

// chooseOutermost fixes all factors but the first that is free.
func (x *axes) chooseOutermost(p *product) {
	reason := x.because("%v makes it part of an axis that is removed by its outer index", p.node)
	chosen := false
	for _, f := range p.factors {
		switch {
		case x.allFixed(f.axis):
		case !chosen:
			chosen = true
			for i := 0; p.split && i < f.size; i++ {
				x.mark(f.slot(i), markHead)
			}
		default:
			x.fix(f.axis, reason)
		}
	}
}
