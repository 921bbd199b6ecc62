package engine

import (
	"math"

	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

func recurrentKernels() map[string]prepare {
	return map[string]prepare{
		"RNN":  variants{tensor.Float32: bindRecurrent(kernel.SGEMM, 1), tensor.Float64: bindRecurrent(kernel.DGEMM, 1)}.by(0),
		"GRU":  variants{tensor.Float32: bindRecurrent(kernel.SGEMM, 3), tensor.Float64: bindRecurrent(kernel.DGEMM, 3)}.by(0),
		"LSTM": variants{tensor.Float32: bindRecurrent(kernel.SGEMM, 4), tensor.Float64: bindRecurrent(kernel.DGEMM, 4)}.by(0),
	}
}

// recurrent is a recurrent layer bound to its node. Its matrices are row-major:
//
//	x [T, N, I], w [D, G·H, I], r [D, G·H, H], b [D, 2·G·H], h and c [D, N, H]
//
// for T steps, N sequences, I inputs, D directions, G gates and H hidden units.
// Gate g of a sequence is elements [g·H, (g+1)·H) of its row of G·H.
type recurrent[T float] struct {
	s    *site
	gemm gemmFunc[T]
	cell func(d int, h, c []T)

	steps, batch, inputs, directions, gates, hidden int
	batchFirst                                      bool
	clip                                            T // bound of what goes into activations; 0 for none
	activations                                     []activation[T]

	drive  *scratch // [T·N, G·H]: what the inputs contribute to the gates, with bias
	gate   *scratch // [N, G·H]: the gates of one step
	extra  *scratch // [N, H]: the reset state of a GRU
	h, c   *scratch // [N, H]: the states
	kept   *scratch // [2·N·H]: the states before the step, for sequences that have ended
	bias   *scratch // [G·H]
	linear bool     // GRU: the reset gate acts behind the matrix product
	couple bool     // LSTM: the forget gate is 1 − the input gate
}

// activation is a function applied to a slice in place.
type activation[T float] func(p *kernel.Pool, dst, x []T)

func bindRecurrent[T float](gemm gemmFunc[T], gates int) prepare {
	return func(s *site) (func() error, error) {
		x, r := s.inShape(0), s.inShape(2)
		l := &recurrent[T]{s: s, gemm: gemm, steps: x[0], batch: x[1], inputs: x[2], directions: r[0], gates: gates, hidden: r[2],
			batchFirst: s.node.Attrs.Int("layout", 0) != 0,
			clip:       T(s.node.Attrs.Float("clip", 0)),
			linear:     s.node.Attrs.Int("linear_before_reset", 0) != 0,
			couple:     s.node.Attrs.Int("input_forget", 0) != 0,
		}
		if l.batchFirst {
			l.steps, l.batch = l.batch, l.steps
		}
		if err := l.readActivations(); err != nil {
			return nil, err
		}
		switch gates {
		case 1:
			l.cell = l.plain
		case 3:
			l.cell = l.gru
		default:
			l.cell = l.lstm
		}
		size := func(n int) *scratch { return s.scratch(elementBytes[T]() * n) }
		state := l.batch * l.hidden
		l.drive, l.gate = size(l.steps*l.batch*l.width()), size(l.batch*l.width())
		l.extra, l.h, l.c, l.kept, l.bias = size(state), size(state), size(state), size(2*state), size(l.width())
		return l.run, nil
	}
}

// width is the elements of all gates of one sequence.
func (l *recurrent[T]) width() int { return l.gates * l.hidden }

// run goes through each direction, then each step.
func (l *recurrent[T]) run() error {
	for _, y := range l.s.out {
		if y != nil {
			clear(y.Raw())
		}
	}
	for d := range l.directions {
		l.driveGates(d)
		h, c := scratchOf[T](l.h), scratchOf[T](l.c)
		l.initial(5, d, h)
		l.initial(6, d, c)
		backward := d == 1 || l.s.node.Attrs.Text("direction", "forward") == "reverse"
		for k := range l.steps {
			if err := l.step(d, k, backward, h, c); err != nil {
				return err
			}
		}
		l.final(1, d, h)
		l.final(2, d, c)
	}
	return nil
}

// driveGates computes x·Wᵀ + bias for all steps at once.
func (l *recurrent[T]) driveGates(d int) {
	rows, width := l.steps*l.batch, l.width()
	drive := scratchOf[T](l.drive)[:rows*width]
	w := tensor.Data[T](*l.s.in[1])[d*width*l.inputs:]
	l.gemm(l.s.pool, false, true, rows, width, l.inputs, 1, tensor.Data[T](*l.s.in[0]), max(1, l.inputs), w, max(1, l.inputs), 0, drive, max(1, width))
	if !l.s.hasIn(3) {
		return
	}
	b, bias := l.biases(d), scratchOf[T](l.bias)[:width]
	for i := range bias {
		bias[i] = b[i]
		if !l.linear || i < 2*l.hidden { // the reset gate acts on the last gate's second bias
			bias[i] += b[width+i]
		}
	}
	kernel.AddRow(l.s.pool, drive, drive, bias, rows)
}

// biases is those of the inputs followed by those of the states.
func (l *recurrent[T]) biases(d int) []T {
	return tensor.Data[T](*l.s.in[3])[2*d*l.width():][:2*l.width()]
}

// place is the row of x or of the sequences' outputs at time t.
func (l *recurrent[T]) place(t, n int) int {
	if l.batchFirst {
		return n*l.steps + t
	}
	return t*l.batch + n
}

// length is the steps of sequence n.
func (l *recurrent[T]) length(n int) (int, error) {
	if !l.s.hasIn(4) {
		return l.steps, nil
	}
	k := positionsOf(*l.s.in[4]).at(n, 0)
	if k < 0 || k > l.steps {
		return 0, l.s.errorf("length of sequence %d: got %d, want 0 to %d", n, k, l.steps)
	}
	return k, nil
}

// step runs the k-th step of all sequences; those that have ended keep their
// states.
func (l *recurrent[T]) step(d, k int, backward bool, h, c []T) error {
	gates, width := scratchOf[T](l.gate), l.width()
	drive := scratchOf[T](l.drive)
	for n := range l.batch {
		length, err := l.length(n)
		if err != nil {
			return err
		}
		row := gates[n*width:][:width]
		if k >= length {
			clear(row)
			continue
		}
		copy(row, drive[l.place(l.time(k, length, backward), n)*width:])
	}
	kept := scratchOf[T](l.kept)
	copy(kept, h)
	copy(kept[len(h):], c)
	l.cell(d, h, c)
	return l.emit(d, k, backward, h, c, kept)
}

// time is when a sequence of the given length takes its k-th step.
func (l *recurrent[T]) time(k, length int, backward bool) int {
	if backward {
		return length - 1 - k
	}
	return k
}

// emit writes the step's outputs, and takes the states of ended sequences back.
func (l *recurrent[T]) emit(d, k int, backward bool, h, c, kept []T) error {
	for n := range l.batch {
		length, err := l.length(n)
		if err != nil {
			return err
		}
		lo, hi := n*l.hidden, (n+1)*l.hidden
		if k >= length {
			copy(h[lo:hi], kept[lo:])
			copy(c[lo:hi], kept[len(h)+lo:])
			continue
		}
		if l.s.hasOut(0) {
			at := l.place(l.time(k, length, backward), n)
			if l.batchFirst {
				at = at*l.directions + d
			} else {
				at = (at/l.batch*l.directions+d)*l.batch + n
			}
			copy(tensor.Data[T](*l.s.out[0])[at*l.hidden:], h[lo:hi])
		}
	}
	return nil
}

// initial reads a state of direction d from input i, zeros if it is omitted.
func (l *recurrent[T]) initial(i, d int, state []T) {
	if !l.s.hasIn(i) {
		clear(state)
		return
	}
	from := tensor.Data[T](*l.s.in[i])
	for n := range l.batch {
		copy(state[n*l.hidden:][:l.hidden], from[l.stateRow(d, n)*l.hidden:])
	}
}

// final writes a state of direction d to output i, if wanted.
func (l *recurrent[T]) final(i, d int, state []T) {
	if !l.s.hasOut(i) {
		return
	}
	to := tensor.Data[T](*l.s.out[i])
	for n := range l.batch {
		copy(to[l.stateRow(d, n)*l.hidden:][:l.hidden], state[n*l.hidden:])
	}
}

func (l *recurrent[T]) stateRow(d, n int) int {
	if l.batchFirst {
		return n*l.directions + d
	}
	return d*l.batch + n
}

// recur adds state·Rᵀ for gates [from, to) to the columns from column on of out,
// whose rows are width apart.
func (l *recurrent[T]) recur(d, from, to int, state, out []T, column, width int) {
	r := tensor.Data[T](*l.s.in[2])[(d*l.gates+from)*l.hidden*l.hidden:]
	l.gemm(l.s.pool, false, true, l.batch, (to-from)*l.hidden, l.hidden, 1, state, max(1, l.hidden),
		r, max(1, l.hidden), 1, out[column:], max(1, width))
}

// activate applies activation i of direction d to gate g of every row.
func (l *recurrent[T]) activate(d, i, g int) {
	gates, width := scratchOf[T](l.gate), l.width()
	for n := range l.batch {
		l.apply(d, i, gates[n*width+g*l.hidden:][:l.hidden])
	}
}

func (l *recurrent[T]) apply(d, i int, x []T) {
	if l.clip > 0 {
		for k, v := range x {
			x[k] = max(-l.clip, min(l.clip, v))
		}
	}
	l.activations[d*len(l.activations)/l.directions+i](l.s.pool, x, x)
}

// plain: h = f(x·Wᵀ + h·Rᵀ + bias).
func (l *recurrent[T]) plain(d int, h, _ []T) {
	gates := scratchOf[T](l.gate)[:l.batch*l.hidden]
	l.recur(d, 0, 1, h, gates, 0, l.hidden)
	l.activate(d, 0, 0)
	copy(h, gates)
}

// gru: gates z, r and the candidate n in this order;
//
//	h = (1 − z)·n + z·h,  n = g(x·Wᵀ + (r·h)·Rᵀ + bias)
//
// or, linear before reset, n = g(x·Wᵀ + r·(h·Rᵀ + bias) + bias).
func (l *recurrent[T]) gru(d int, h, _ []T) {
	gates, width, size := scratchOf[T](l.gate), l.width(), l.hidden
	l.recur(d, 0, 2, h, gates, 0, width)
	l.activate(d, 0, 0)
	l.activate(d, 0, 1)
	extra := scratchOf[T](l.extra)
	if l.linear {
		clear(extra)
		if l.s.hasIn(3) {
			for n := range l.batch {
				copy(extra[n*size:][:size], l.biases(d)[width+2*size:])
			}
		}
		l.recur(d, 2, 3, h, extra, 0, size)
		for i, v := range extra[:l.batch*size] {
			row := gates[i/size*width:]
			row[2*size+i%size] += T(row[size+i%size] * v)
		}
	} else {
		for i, v := range h {
			extra[i] = gates[i/size*width+size+i%size] * v
		}
		l.recur(d, 2, 3, extra, gates, 2*size, width)
	}
	l.activate(d, 1, 2)
	for i, v := range h {
		row := gates[i/size*width:]
		z := row[i%size]
		h[i] = T((1-z)*row[2*size+i%size]) + T(z*v)
	}
}

// lstm: gates i, o, f and the candidate g in this order, with peepholes p;
//
//	c = f·c + i·g,  h = o·tanh(c)
func (l *recurrent[T]) lstm(d int, h, c []T) {
	gates, width, size := scratchOf[T](l.gate), l.width(), l.hidden
	l.recur(d, 0, 4, h, gates, 0, width)
	l.peep(d, 0, 0, c)
	l.peep(d, 2, 2, c)
	l.activate(d, 0, 0)
	l.activate(d, 0, 2)
	l.activate(d, 1, 3)
	for i, v := range c {
		row := gates[i/size*width:]
		in, forget, g := row[i%size], row[2*size+i%size], row[3*size+i%size]
		if l.couple {
			forget = 1 - in
		}
		c[i] = T(forget*v) + T(in*g)
	}
	l.peep(d, 1, 1, c)
	l.activate(d, 0, 1)
	extra := scratchOf[T](l.extra)
	copy(extra, c)
	for n := range l.batch {
		l.activations[d*len(l.activations)/l.directions+2](l.s.pool, extra[n*size:][:size], extra[n*size:][:size])
	}
	for i := range h {
		h[i] = gates[i/size*width+size+i%size] * extra[i]
	}
}

// peep adds the p-th peephole times the cell state to gate g; P [D, 3·H] is in
// the order i, o, f.
func (l *recurrent[T]) peep(d, g, p int, c []T) {
	if !l.s.hasIn(7) {
		return
	}
	gates, width, size := scratchOf[T](l.gate), l.width(), l.hidden
	weights := tensor.Data[T](*l.s.in[7])[(3*d+p)*size:][:size]
	for i, v := range c {
		gates[i/size*width+g*size+i%size] += T(weights[i%size] * v)
	}
}

// readActivations resolves the attribute of that name, or the operator's own.
func (l *recurrent[T]) readActivations() error {
	at := l.s.node.Attrs
	var names []string
	if a, ok := at.Get("activations"); ok {
		names = a.Strings
	}
	own := map[int][]string{1: {"Tanh"}, 3: {"Sigmoid", "Tanh"}, 4: {"Sigmoid", "Tanh", "Tanh"}}[l.gates]
	if len(names) == 0 {
		for range l.directions {
			names = append(names, own...)
		}
	}
	if len(names) != len(own)*l.directions {
		return l.s.errorf("attribute activations: got %d, want %d", len(names), len(own)*l.directions)
	}
	parameters := activationParameters{at.Floats("activation_alpha"), at.Floats("activation_beta")}
	for _, name := range names {
		f := namedActivation[T](name, &parameters)
		if f == nil {
			return l.s.unsupported("activation", name)
		}
		l.activations = append(l.activations, f)
	}
	return nil
}

// activationParameters are consumed in order by the activations that have any.
type activationParameters struct{ alphas, betas []float32 }

func (p *activationParameters) alpha(def float64) float64 { return take(&p.alphas, def) }
func (p *activationParameters) beta(def float64) float64  { return take(&p.betas, def) }

func take(list *[]float32, def float64) float64 {
	if len(*list) == 0 {
		return def
	}
	v := (*list)[0]
	*list = (*list)[1:]
	return float64(v)
}

// namedActivation is nil for an unknown name.
func namedActivation[T float](name string, p *activationParameters) activation[T] {
	var f func(x float64) float64
	switch name {
	case "Sigmoid":
		return kernel.Sigmoid[T]
	case "Tanh":
		return kernel.Tanh[T]
	case "Relu":
		return kernel.Relu[T]
	case "Affine":
		a, b := p.alpha(1), p.beta(0)
		f = func(x float64) float64 { return a*x + b }
	case "LeakyRelu":
		a := p.alpha(0.01)
		f = func(x float64) float64 { return leaky(x, a) }
	case "ThresholdedRelu":
		a := p.alpha(1)
		f = func(x float64) float64 {
			if x > a {
				return x
			}
			return 0
		}
	case "ScaledTanh":
		a, b := p.alpha(1), p.beta(1)
		f = func(x float64) float64 { return a * math.Tanh(b*x) }
	case "HardSigmoid":
		a, b := p.alpha(0.2), p.beta(0.5)
		f = func(x float64) float64 { return max(0, min(1, a*x+b)) }
	case "Elu":
		a := p.alpha(1)
		f = func(x float64) float64 { return elu(x, a) }
	case "Softsign":
		f = func(x float64) float64 { return x / (1 + math.Abs(x)) }
	case "Softplus":
		f = softplus
	default:
		return nil
	}
	loop := mapLoop[T](f)
	return func(_ *kernel.Pool, dst, x []T) { loop(dst, x) }
}
