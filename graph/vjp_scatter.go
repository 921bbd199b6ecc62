package graph

import "github.com/compactify/compactify/tensor"

func scatterVJPs() map[string]vjpFunc {
	return map[string]vjpFunc{
		"ScatterElements": vjpScatter("GatherElements"),
		"ScatterND":       vjpScatter("GatherND"),
	}
}

// scattering is a scatter operator with the gather that reads where it writes.
type scattering struct {
	b      *Builder
	n      *Node
	gather string
}

// vjpScatter: what was scattered is gathered back, in the way each reduction
// asks for.
func vjpScatter(gather string) vjpFunc {
	return func(b *Builder, n *Node, dy []*Value) []*Value {
		s := scattering{b, n, gather}
		var data, updates *Value
		switch n.Attrs.Text("reduction", "none") {
		case "add":
			data, updates = dy[0], s.read(dy[0])
		case "mul":
			data, updates = s.product(dy[0])
		case "max", "min":
			data, updates = s.extreme(dy[0])
		default:
			// The data lose their cotangent where they are replaced (by one update:
			// ONNX leaves open which of several wins).
			data, updates = s.write(dy[0], b.zerosLike(n.In[2]), "none"), s.read(dy[0])
		}
		return []*Value{data, nil, updates}
	}
}

// read gathers at the indices.
func (s scattering) read(v *Value) *Value {
	return s.b.With(s.gather, s.n.Attrs.Without("reduction"), v, s.n.In[1])
}

// write scatters updates into data.
func (s scattering) write(data, updates *Value, reduction string) *Value {
	return s.b.With(s.n.Kind(), s.n.Attrs.With(Text("reduction", reduction)), data, s.n.In[1], updates)
}

// extreme shares the cotangent evenly among the data and updates that attain the
// extreme.
func (s scattering) extreme(d *Value) (data, updates *Value) {
	b, y := s.b, s.n.Out[0]
	hit := b.as(d.Type.DType, b.Op("Equal", s.n.In[0], y))
	hits := b.as(d.Type.DType, b.Op("Equal", s.n.In[2], s.read(y)))
	share := b.div(d, s.write(hit, hits, "add"))
	return b.mul(hit, share), b.mul(hits, s.read(share))
}

// product multiplies by the product of the other factors. Where one update is
// zero, that of the rest is found by counting zeros and multiplying what is not;
// a second derivative between two updates of one place, of which one is zero, is
// lost.
func (s scattering) product(d *Value) (data, updates *Value) {
	b, x, u := s.b, s.n.In[0], s.n.In[2]
	ones := b.onesLike(x)
	data = b.mul(d, s.write(ones, u, "mul"))
	none := b.Op("Equal", u, b.zeros(u))
	zeros := s.read(s.write(b.zerosLike(x), b.as(d.Type.DType, none), "add"))
	safe := b.Op("Where", none, b.ConstLike(u, 1), u)
	rest := b.div(s.read(s.write(ones, safe, "mul")), safe)
	alone := b.Op("Equal", b.sub(zeros, b.as(d.Type.DType, none)), b.zeros(d))
	return data, b.mask(alone, b.mul(rest, s.read(b.mul(d, x))))
}

// onesLike is a tensor of ones in v's shape.
func (b *Builder) onesLike(v *Value) *Value {
	one := tensor.New(v.Type.DType, 1)
	one.Set(0, 1)
	return b.With("ConstantOfShape", Attributes{TensorOf("value", one)}, b.Op("Shape", v))
}
