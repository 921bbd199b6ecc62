package engine

import (
	"fmt"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// Gradient extends a graph by the gradient of a scalar with respect to the
// given inputs or parameters (values of g). The result has g's outputs followed
// by one gradient per entry of wrt, in order; names, shapes and number types
// are those of wrt. A value on which the loss does not depend has a gradient of
// zeros.
//
// It is reverse accumulation from graph to graph: the result can be
// differentiated again. Operators without a rule are lowered to operators that
// have one; the error names the first that cannot be.
func Gradient(g *graph.Graph, loss *graph.Value, wrt []*graph.Value) (*graph.Graph, error) {
	return derive("gradient", g, []*graph.Value{loss}, wrt, func(d *derivation) []*graph.Value {
		return d.zerosFor(d.wrt, d.gradient(d.of[0]))
	})
}

// VJP extends a graph by a vector-Jacobian product: for cotangents u of the
// values y it computes Jᵀu with J = ∂y/∂wrt. The result has g's inputs followed
// by one u per entry of y, and g's outputs followed by one product per entry of
// wrt. Its cost is that of a gradient.
func VJP(g *graph.Graph, y, wrt []*graph.Value) (*graph.Graph, error) {
	return derive("vector-Jacobian product", g, y, wrt, func(d *derivation) []*graph.Value {
		return d.zerosFor(d.wrt, d.b.Pullback(d.of, d.inputs("cotangent_", d.of), d.wrt))
	})
}

// JVP extends a graph by a Jacobian-vector product, the derivative in a
// direction: for tangents v of the values wrt it computes Jv with J = ∂y/∂wrt.
// The result has g's inputs followed by one v per entry of wrt, and g's outputs
// followed by one product per entry of y.
//
// There are no rules for it. Jᵀu is linear in u, so its own pullback to u, at v,
// is (Jᵀ)ᵀv; of Jᵀu itself nothing is left but what that reads.
//
// Source: A. Radul et al., "You only linearize once: tangents transpose to
// gradients", POPL 2023, turned round.
func JVP(g *graph.Graph, y, wrt []*graph.Value) (*graph.Graph, error) {
	return derive("Jacobian-vector product", g, y, wrt, func(d *derivation) []*graph.Value {
		return d.zerosFor(d.of, d.pushforward(d.wrt, d.inputs("tangent_", d.wrt), d.of))
	})
}

// HessianVector extends a graph by the product of the Hessian of a scalar with a
// vector. The result has g's inputs followed by one part v of the vector per
// entry of wrt, and g's outputs followed by one part of Hv per entry.
//
// It is the gradient of ⟨gradient, v⟩. A convolution or matrix product is three of
// its kind in a gradient, itself and two cotangents, and at most eight in this:
// less than three gradients. [JVP] of a [Gradient] gives both at once.
//
// Source: B. Christianson, "Automatic Hessians by reverse accumulation", IMA J.
// Numerical Analysis 12 (1992); B. Pearlmutter, "Fast exact multiplication by
// the Hessian", Neural Computation 6 (1994).
func HessianVector(g *graph.Graph, loss *graph.Value, wrt []*graph.Value) (*graph.Graph, error) {
	return derive("Hessian-vector product", g, []*graph.Value{loss}, wrt, func(d *derivation) []*graph.Value {
		v := d.inputs("tangent_", d.wrt)
		return d.zerosFor(d.wrt, d.b.Pullback(d.gradient(d.of[0]), v, d.wrt))
	})
}

// GaussNewtonVector extends a graph by the product of a generalised Gauss-Newton
// matrix with a vector: JᵀHJ·v with J = ∂z/∂wrt and H the Hessian of the loss in
// the value z through which alone it depends on wrt, such as logits. It is
// positive semi-definite where the loss is convex in z. Inputs and outputs are
// those of [HessianVector].
//
// Source: N. Schraudolph, "Fast curvature matrix-vector products for
// second-order gradient descent", Neural Computation 14 (2002), section 3.
func GaussNewtonVector(g *graph.Graph, loss, z *graph.Value, wrt []*graph.Value) (*graph.Graph, error) {
	return derive("Gauss-Newton product", g, []*graph.Value{loss, z}, wrt, func(d *derivation) []*graph.Value {
		z := d.of[1:]
		moved := d.pushforward(d.wrt, d.inputs("tangent_", d.wrt), z)
		curved := d.b.Pullback(d.b.Pullback(d.of[:1], []*graph.Value{d.b.ConstLike(d.of[0], 1)}, z), moved, z)
		return d.zerosFor(d.wrt, d.b.Pullback(z, curved, d.wrt))
	})
}

// derivation is a graph about to be extended by derivatives: values of the
// caller's graph are those of its clone here.
type derivation struct {
	g   *graph.Graph
	b   *graph.Builder
	of  []*graph.Value
	wrt []*graph.Value
}

// derive clones the graph, lets build append to the clone, and makes what it
// returns the outputs behind those there are.
func derive(what string, g *graph.Graph, of, wrt []*graph.Value, build func(*derivation) []*graph.Value) (*graph.Graph, error) {
	d, err := newDerivation(g, of, wrt)
	if err == nil {
		d.g.Outputs = append(d.g.Outputs, build(d)...)
		err = d.b.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("%s of %q in graph %q: %w", what, of[0].Name, g.Name, err)
	}
	d.g.RemoveDead()
	return d.g, nil
}

func newDerivation(g *graph.Graph, of, wrt []*graph.Value) (*derivation, error) {
	clone, copyOf := g.Clone()
	d := &derivation{g: clone}
	for _, list := range []struct {
		from []*graph.Value
		to   *[]*graph.Value
	}{{of, &d.of}, {wrt, &d.wrt}} {
		for _, v := range list.from {
			if copyOf[v] == nil {
				return nil, fmt.Errorf("value %q is not in the graph", v.Name)
			}
			*list.to = append(*list.to, copyOf[v])
		}
	}
	if err := clone.Upgrade(graph.LatestOpset); err != nil {
		return nil, err
	}
	if err := clone.Infer(); err != nil {
		return nil, err
	}
	d.b = graph.NewBuilder(clone, "d_")
	return d, nil
}

// inputs adds an input like each of the values.
func (d *derivation) inputs(prefix string, like []*graph.Value) []*graph.Value {
	list := make([]*graph.Value, len(like))
	for i, v := range like {
		list[i] = d.b.Input(prefix+v.Name, v.Type)
	}
	return list
}

// gradient is the pullback of 1.
func (d *derivation) gradient(loss *graph.Value) []*graph.Value {
	if loss.Type.Rank() != 0 {
		d.b.Fail(fmt.Errorf("loss: got %v, want a scalar", loss.Type))
		return make([]*graph.Value, len(d.wrt))
	}
	return d.b.Pullback([]*graph.Value{loss}, []*graph.Value{d.b.ConstLike(loss, 1)}, d.wrt)
}

// pushforward builds the tangents of values from those of wrt: the pullback of a
// pullback at cotangents u. Nothing depends on what u is; where its shape is
// read, zeros stand for it.
func (d *derivation) pushforward(wrt, tangents, of []*graph.Value) []*graph.Value {
	u := make([]*graph.Value, len(of))
	for i, v := range of {
		u[i] = d.b.Value(v.Type)
	}
	var back, at []*graph.Value
	for i, v := range d.b.Pullback(of, u, wrt) {
		if v != nil && tangents[i] != nil {
			back, at = append(back, v), append(at, tangents[i])
		}
	}
	moved := d.b.Pullback(back, at, u)
	for i, v := range of {
		d.b.Append(d.zerosNode(v, u[i]))
	}
	if err := d.g.Sort(); err != nil {
		d.b.Fail(err)
	}
	return moved
}

// zerosFor replaces what is nil by zeros like the values.
func (d *derivation) zerosFor(like, list []*graph.Value) []*graph.Value {
	for i, v := range list {
		if v == nil {
			n := d.zerosNode(like[i], d.b.Value(tensor.Type{}))
			d.b.Append(n)
			list[i] = n.Out[0]
		}
	}
	return list
}

// zerosNode makes out zeros in the shape of v.
func (d *derivation) zerosNode(v, out *graph.Value) *graph.Node {
	attrs := graph.Attributes{graph.TensorOf("value", tensor.New(v.Type.DType, 1))}
	return &graph.Node{Op: "ConstantOfShape", Attrs: attrs, In: []*graph.Value{d.b.Op("Shape", v)}, Out: []*graph.Value{out}}
}
