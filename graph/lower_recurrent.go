package graph

import (
	"fmt"

	"github.com/compactify/compactify/tensor"
)

// recurrence is a recurrent layer being written out as a Scan per direction, for
// derivatives: the engine has kernels for the operators themselves. What the
// inputs contribute to the gates is one matrix product before the Scan.
type recurrence struct {
	b             *Builder
	n             *Node
	gates, hidden int
	x             *Value // [T, N, I]
	rows          *Value // N, as a vector
	activations   []func(*Builder, *Value) *Value
}

// direction is one direction of the layer inside the body of its Scan.
type direction struct {
	*recurrence
	c       *Builder // of the body
	weights *Value   // Rᵀ [H, G·H]
	bias    *Value   // of the states [G·H], nil without
	peep    *Value   // [3·H], nil without
	acts    []func(*Builder, *Value) *Value
}

// cell maps what the inputs contribute to the gates [N, G·H], and the states
// [N, H], to new states.
type cell func(d *direction, drive *Value, states []*Value) []*Value

func lowerRecurrent(gates int, f cell) func(*Builder, *Node) []*Value {
	return func(b *Builder, n *Node) []*Value {
		out := make([]*Value, len(n.Out))
		l, err := newRecurrence(b, n, gates)
		if err != nil {
			b.Fail(fmt.Errorf("lower %s: %w", n, err))
			return out
		}
		directions := 1
		if n.Attrs.Text("direction", "forward") == "bidirectional" {
			directions = 2
		}
		parts := make([][]*Value, 3)
		for k := range directions {
			for i, v := range l.run(k, f) {
				axis := 0
				if i == 0 {
					axis = 1
				}
				parts[i] = append(parts[i], b.unsqueeze(v, axis))
			}
		}
		for i := range out {
			if len(parts[i]) == 0 {
				continue
			}
			axis := 0
			if i == 0 {
				axis = 1
			}
			out[i] = b.With("Concat", Attributes{Int("axis", axis)}, parts[i]...)
			if n.Attrs.Int("layout", 0) != 0 { // [T, D, N, H] → [N, T, D, H]; [D, N, H] → [N, D, H]
				out[i] = b.permute(out[i], [][]int{{2, 0, 1, 3}, {1, 0, 2}, {1, 0, 2}}[i])
			}
		}
		return out
	}
}

func newRecurrence(b *Builder, n *Node, gates int) (*recurrence, error) {
	l := &recurrence{b: b, n: n, gates: gates, x: n.In[0]}
	r := n.In[2].Type
	if r.Rank() != 3 || !r.Shape[2].Known() {
		return nil, fmt.Errorf("input 2: got %v, want a known number of hidden units", r)
	}
	if w := n.In[1].Type; l.x.Type.Rank() < 0 && w.Rank() == 3 && w.Shape[2].Known() { // its rank is 3, whoever makes it
		l.x = b.Op("Reshape", l.x, b.Const(tensor.Ints(0, 0, w.Shape[2].Size)))
	}
	if l.x.Type.Rank() != 3 {
		return nil, fmt.Errorf("input 0: got %v, want rank 3", l.x.Type)
	}
	l.hidden = r.Shape[2].Size
	if n.Attrs.Int("layout", 0) != 0 {
		l.x = b.permute(l.x, []int{1, 0, 2})
	}
	l.rows = b.With("Shape", Attributes{Int("start", 1), Int("end", 2)}, l.x)
	return l, l.readActivations()
}

// of takes the part of an input that belongs to one direction, without that
// axis; nil if the input is omitted.
func (l *recurrence) of(i, k int) *Value {
	v := l.n.Input(i)
	if v == nil {
		return nil
	}
	axis := 0
	if i >= 5 && i <= 6 && l.n.Attrs.Int("layout", 0) != 0 {
		axis = 1
	}
	return l.b.Op("Squeeze", l.b.slice(v, axis, k, k+1), l.b.Const(tensor.Ints(axis)))
}

// run is direction k: the outputs [T, N, H] and the last states [N, H].
func (l *recurrence) run(k int, f cell) []*Value {
	b, n, width := l.b, l.n, l.gates*l.hidden
	drive := b.Op("MatMul", l.x, b.transposeLast(l.of(1, k)))
	body := &Graph{Name: n.Name}
	d := &direction{recurrence: l, c: b.inner(body), weights: b.transposeLast(l.of(2, k)), peep: l.of(7, k)}
	d.acts = l.activations[k*len(l.activations)/l.directionCount():]
	if bias := l.of(3, k); bias != nil {
		own := b.slice(bias, 0, 0, width)
		d.bias = b.slice(bias, 0, width, 2*width)
		if !d.resetsLast() {
			own, d.bias = b.add(own, d.bias), nil
		}
		drive = b.add(drive, own)
	}
	initial := []*Value{l.initial(5, k)}
	if n.Op == "LSTM" {
		initial = append(initial, l.initial(6, k))
	}
	states := make([]*Value, len(initial))
	for i, v := range initial {
		states[i] = b.Value(v.Type)
	}
	slice := b.Value(tensor.Type{DType: drive.Type.DType, Shape: drive.Type.Shape[1:]})
	body.Inputs = append(append(body.Inputs, states...), slice)
	in := append(initial, drive)
	next := f(d, slice, states)
	y := next[0]
	if lengths := n.Input(4); lengths != nil {
		time := b.Value(tensor.TypeOf(tensor.Int64))
		body.Inputs = append(body.Inputs, time)
		steps := b.Op("Squeeze", b.With("Shape", Attributes{Int("end", 1)}, l.x), b.Const(tensor.Ints(0)))
		in = append(in, b.Op("Range", b.Const(tensor.Scalar(int64(0))), steps, b.Const(tensor.Scalar(int64(1)))))
		running := d.c.unsqueeze(d.c.Op("Less", time, b.wide(lengths)), -1)
		for i := range next {
			next[i] = d.c.Op("Where", running, next[i], states[i])
		}
		y = d.c.mask(running, y)
	}
	// The first state is emitted too; an output stands for one value.
	body.Outputs = append(next, d.c.Op("Identity", y))
	b.finish(d.c)
	backward := truth(k == 1 || n.Attrs.Text("direction", "forward") == "reverse")
	scans := len(in) - len(initial)
	directions := make([]int, scans)
	for i := range directions {
		directions[i] = backward
	}
	attrs := Attributes{Subgraph("body", body), Int("num_scan_inputs", scans),
		Ints("scan_input_directions", directions...), Ints("scan_output_directions", backward)}
	out := b.Multi("Scan", attrs, len(body.Outputs), in...)
	last := len(out) - 1
	return append([]*Value{out[last]}, out[:last]...)
}

func (l *recurrence) directionCount() int {
	if l.n.Attrs.Text("direction", "forward") == "bidirectional" {
		return 2
	}
	return 1
}

// resetsLast: in a GRU that is linear before the reset, the reset gate acts on
// the states' bias.
func (d *direction) resetsLast() bool {
	return d.gates == 3 && d.n.Attrs.Int("linear_before_reset", 0) != 0
}

// initial is a state, zeros if it is omitted.
func (l *recurrence) initial(i, k int) *Value {
	if v := l.of(i, k); v != nil {
		return v
	}
	shape := l.b.With("Concat", Attributes{Int("axis", 0)}, l.rows, l.b.Const(tensor.Ints(l.hidden)))
	return l.b.With("ConstantOfShape", Attributes{TensorOf("value", tensor.New(l.x.Type.DType, 1))}, shape)
}

// gate is columns [from, to)·H.
func (d *direction) gate(v *Value, from, to int) *Value {
	return d.c.slice(v, 1, from*d.hidden, to*d.hidden)
}

// recur is state·Rᵀ for gates [from, to).
func (d *direction) recur(state *Value, from, to int) *Value {
	w := d.weights
	if to-from < d.gates {
		w = d.gate(w, from, to)
	}
	return d.c.Op("MatMul", state, w)
}

// act applies activation i, to values clipped if asked for.
func (d *direction) act(i int, v *Value) *Value {
	if clip := d.n.Attrs.Float("clip", 0); clip > 0 {
		v = d.c.Op("Clip", v, d.c.ConstLike(v, -clip), d.c.ConstLike(v, clip))
	}
	return d.acts[i](d.c, v)
}

// plainCell: h = f(x·Wᵀ + h·Rᵀ + bias).
func plainCell(d *direction, drive *Value, s []*Value) []*Value {
	return []*Value{d.act(0, d.c.add(drive, d.recur(s[0], 0, 1)))}
}

// gruCell: h = (1 − z)·n + z·h, with gates z, r and the candidate n, in which r
// multiplies the state or, linear before the reset, what the state contributes.
func gruCell(d *direction, drive *Value, s []*Value) []*Value {
	c, h := d.c, s[0]
	gates := c.add(d.gate(drive, 0, 2), d.recur(h, 0, 2))
	if d.bias != nil {
		gates = c.add(gates, c.slice(d.bias, 0, 0, 2*d.hidden))
	}
	z, r := d.act(0, d.gate(gates, 0, 1)), d.act(0, d.gate(gates, 1, 2))
	var own *Value
	if d.resetsLast() {
		own = d.recur(h, 2, 3)
		if d.bias != nil {
			own = c.add(own, c.slice(d.bias, 0, 2*d.hidden, 3*d.hidden))
		}
		own = c.mul(r, own)
	} else {
		own = d.recur(c.mul(r, h), 2, 3)
	}
	candidate := d.act(1, c.add(d.gate(drive, 2, 3), own))
	return []*Value{c.add(c.mul(c.sub(c.ConstLike(z, 1), z), candidate), c.mul(z, h))}
}

// lstmCell: c = f·c + i·g, h = o·tanh(c) with gates i, o, f and the candidate g,
// and peepholes from c to the gates.
func lstmCell(d *direction, drive *Value, s []*Value) []*Value {
	c, cell := d.c, s[1]
	gates := c.add(drive, d.recur(s[0], 0, 4))
	part := func(g, peep int, state *Value) *Value {
		v := d.gate(gates, g, g+1)
		if d.peep != nil && state != nil {
			v = c.add(v, c.mul(c.slice(d.peep, 0, peep*d.hidden, (peep+1)*d.hidden), state))
		}
		return v
	}
	in := d.act(0, part(0, 0, cell))
	forget := d.act(0, part(2, 2, cell))
	if d.n.Attrs.Int("input_forget", 0) != 0 {
		forget = c.sub(c.ConstLike(in, 1), in)
	}
	cell = c.add(c.mul(forget, cell), c.mul(in, d.act(1, part(3, 0, nil))))
	out := d.act(0, part(1, 1, cell))
	return []*Value{c.mul(out, d.acts[2](c, cell)), cell}
}

// readActivations resolves the attribute of that name, or the operator's own;
// those with parameters take them in order.
func (l *recurrence) readActivations() error {
	var names []string
	if a, ok := l.n.Attrs.Get("activations"); ok {
		names = a.Strings
	}
	own := map[int][]string{1: {"Tanh"}, 3: {"Sigmoid", "Tanh"}, 4: {"Sigmoid", "Tanh", "Tanh"}}[l.gates]
	if len(names) == 0 {
		for range l.directionCount() {
			names = append(names, own...)
		}
	}
	if len(names) != len(own)*l.directionCount() {
		return fmt.Errorf("attribute activations: got %d, want %d", len(names), len(own)*l.directionCount())
	}
	alphas, betas := l.n.Attrs.Floats("activation_alpha"), l.n.Attrs.Floats("activation_beta")
	take := func(list *[]float32, def float32) float32 {
		if len(*list) == 0 {
			return def
		}
		v := (*list)[0]
		*list = (*list)[1:]
		return v
	}
	for _, name := range names {
		var attrs Attributes
		switch name {
		case "Affine", "ScaledTanh":
			a, s := take(&alphas, 1), float64(take(&betas, map[string]float32{"ScaledTanh": 1}[name]))
			scaled := name == "ScaledTanh"
			l.activations = append(l.activations, func(b *Builder, x *Value) *Value {
				if scaled {
					return b.scale(b.Op("Tanh", b.scale(x, s)), float64(a))
				}
				return b.add(b.scale(x, float64(a)), b.ConstLike(x, s))
			})
			continue
		case "HardSigmoid":
			attrs = Attributes{Float("alpha", take(&alphas, 0.2)), Float("beta", take(&betas, 0.5))}
		case "LeakyRelu":
			attrs = Attributes{Float("alpha", take(&alphas, 0.01))}
		case "Elu", "ThresholdedRelu":
			attrs = Attributes{Float("alpha", take(&alphas, 1))}
		case "Sigmoid", "Tanh", "Relu", "Softsign", "Softplus":
		default:
			return fmt.Errorf("attribute activations: got %q, which is not known", name)
		}
		l.activations = append(l.activations, func(b *Builder, x *Value) *Value { return b.With(name, attrs, x) })
	}
	return nil
}
