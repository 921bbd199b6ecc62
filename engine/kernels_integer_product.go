package engine

import (
	"slices"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// integerProduct computes MatMulInteger and ConvInteger: exact sums in int32 (which
// wrap around, as int32 does) of products of bytes less their zero points. The
// kernels take unsigned data and signed weights: signed data is flipped, and
// weights that leave int8, as unsigned ones may, are the sum of several that do not.
// Constant weights are prepared once, others at each run.
type integerProduct struct {
	s        *site
	shape    kernel.ConvShape
	filters  func(w tensor.Tensor) []int // the weights' elements in the order filters, channels, window
	parts    []*kernel.Int8Conv
	constant bool
	memory   *scratch
	flipped  *scratch
}

// bytesOf reports whether input i has a type of bytes.
func (s *site) bytesOf(i int) bool {
	return s.inDType(i) == tensor.Uint8 || s.inDType(i) == tensor.Int8
}

// newIntegerProduct reserves memory; data is the number of elements of x.
func (s *site) newIntegerProduct(shape kernel.ConvShape, data int, filters func(w tensor.Tensor) []int) *integerProduct {
	p := &integerProduct{s: s, shape: shape, filters: filters}
	if s.inDType(0) == tensor.Int8 {
		p.flipped = s.scratch(data)
	}
	size := kernel.NewInt8Conv(s.pool, shape, 0, make([]int8, shape.M*shape.C/shape.Groups*shape.KH*shape.KW), kernel.Int8Output{}).Workspace()
	p.memory = s.scratch(size)
	w, ok := s.constant(1)
	var zeros tensor.Tensor
	if ok && s.hasIn(3) {
		zeros, ok = s.constant(3)
	}
	if ok {
		p.constant = true
		p.prepare(w, zeros)
	}
	return p
}

// prepare splits the weights into parts that fit int8.
func (p *integerProduct) prepare(w, zeros tensor.Tensor) {
	p.parts = nil
	rest := make([]int, w.Len())
	per := len(rest) / p.shape.M
	for i, at := range p.filters(w) {
		rest[i] = int(w.At(at))
		if !zeros.IsZero() {
			rest[i] -= int(zeros.At(i / per % zeros.Len()))
		}
	}
	for first := true; first || slices.ContainsFunc(rest, func(v int) bool { return v != 0 }); first = false {
		part := make([]int8, len(rest))
		for i, v := range rest {
			part[i] = int8(min(max(v, -128), 127))
			rest[i] -= int(part[i])
		}
		p.parts = append(p.parts, kernel.NewInt8Conv(p.s.pool, p.shape, 0, part, kernel.Int8Output{}))
	}
}

// run computes y from x, which is laid out for the kernels, and its zero point as
// unsigned data has it.
func (p *integerProduct) run(x []uint8, w, zeros tensor.Tensor, zero uint8, y []int32) {
	if !p.constant {
		p.prepare(w, zeros)
	}
	if p.flipped != nil {
		kernel.Int8Flip(p.s.pool, p.flipped.raw, x)
		x = p.flipped.raw
	}
	for i, c := range p.parts {
		c.RunIntegers(x, zero, y, i > 0, p.memory.raw)
	}
}

// dataZero is the zero point of the data as unsigned bytes have it; ok is false if
// there are several.
func (s *site) dataZero(i int) (zero uint8, ok bool) {
	if s.inDType(0) == tensor.Int8 {
		zero = 128
	}
	if !s.hasIn(i) {
		return zero, true
	}
	z := s.in[i]
	if z.Len() != 1 {
		return zero, false
	}
	return zero + uint8(int(z.At(0))), true
}

// optional is input i, the zero tensor if it is omitted.
func (s *site) optional(i int) tensor.Tensor {
	if !s.hasIn(i) {
		return tensor.Tensor{}
	}
	return *s.in[i]
}

// bindMatMulInteger: x [..., M, K] with its zero point or one for each row, w [K, N]
// or a batch of such matrices with its zero point or one for each column.
func bindMatMulInteger(s *site) (func() error, error) {
	if !s.bytesOf(0) || !s.bytesOf(1) {
		return nil, s.unsupported("number types", []tensor.DType{s.inDType(0), s.inDType(1)})
	}
	a, b := s.inShape(0), s.inShape(1)
	p := newProduct(a, b, s.outShape(0))
	if p.m == 0 || p.n == 0 || p.k == 0 || p.batch == 0 {
		return func() error { clear(tensor.Data[int32](*s.out[0])); return nil }, nil
	}
	if p.m > maxElements/p.k {
		return nil, s.unsupported("shape", a)
	}
	rowsOf := 1 // rows of one matrix: a vector of zero points begins anew behind them
	if len(a) > 1 {
		rowsOf = a[len(a)-2]
	}
	columns := func(w tensor.Tensor) []int {
		at := make([]int, p.k*p.n)
		for i := range at {
			at[i] = i%p.k*p.n + i/p.k
		}
		return at
	}
	product := s.newIntegerProduct(matMulShape(p.m, []int{p.n, p.k}), p.m*p.k, columns)
	if p.batch > 1 {
		product.constant = false
	}
	return func() error {
		x, w, y := s.in[0].Raw(), *s.in[1], tensor.Data[int32](*s.out[0])
		zero, one := s.dataZero(2)
		for i := range p.batch {
			rows, matrix, out := x, w, y
			if p.batch > 1 {
				rows, out = x[p.a[i]:][:p.m*p.k], y[i*p.m*p.n:][:p.m*p.n]
				matrix, _ = tensor.FromRaw(w.DType(), []int{p.k, p.n}, w.Raw()[p.b[i]:][:p.k*p.n])
			}
			product.run(rows, matrix, s.optional(3), zero, out)
			if !one {
				if err := s.takeRowZeros(rows, matrix, out, p, rowsOf, i); err != nil {
					return err
				}
			}
		}
		return nil
	}, nil
}

// takeRowZeros takes a zero point for each row off the sums: zero·Σ_k (w − its zero).
func (s *site) takeRowZeros(x []uint8, w tensor.Tensor, y []int32, p product, rows, batch int) error {
	zeros, weightZeros := s.in[2], s.optional(3)
	if zeros.Len() != rows && zeros.Len() != p.m*p.batch {
		return s.unsupported("zero points", zeros)
	}
	for j := range p.n {
		sum := 0
		for k := range p.k {
			sum += int(w.At(k*p.n + j))
		}
		if !weightZeros.IsZero() {
			sum -= p.k * int(weightZeros.At(j%weightZeros.Len()))
		}
		for i := range p.m {
			y[i*p.n+j] -= int32(int(zeros.At((batch*p.m+i)%zeros.Len())) * sum)
		}
	}
	return nil
}

// bindConvInteger: x [N, C, spatial...] with one zero point, w [M, C/group,
// kernel...] with one or one for each filter. The data is moved to channels last
// and the sums back.
func bindConvInteger(s *site) (func() error, error) {
	x, w, y := s.inShape(0), s.inShape(1), s.outShape(0)
	win, err := graph.ConvGeometry(s.node, x, w)
	if err != nil {
		return nil, s.errorf("%w", err)
	}
	f, ok := flat(&win, x, y)
	if !ok || !s.bytesOf(0) || !s.bytesOf(1) || elements(x) == 0 || elements(w) == 0 {
		return nil, s.unsupported("shapes", [][]int{x, w})
	}
	asTheyAre := func(w tensor.Tensor) []int {
		at := make([]int, w.Len())
		for i := range at {
			at[i] = i
		}
		return at
	}
	product := s.newIntegerProduct(f.shape, elements(x), asTheyAre)
	last, sums := s.scratch(elements(x)), s.scratch(4*elements(y))
	return func() error {
		zero, one := s.dataZero(2)
		if !one {
			return s.unsupported("zero points", *s.in[2])
		}
		pixels, out := elements(x[2:]), elements(y[2:])
		for n := range x[0] {
			transposeAll(last.raw[n*x[1]*pixels:], s.in[0].Raw()[n*x[1]*pixels:], pixels, x[1])
		}
		acc := tensor.View[int32](sums.raw)
		product.run(last.raw, *s.in[1], s.optional(3), zero, acc)
		for n := range y[0] {
			transposeAll(tensor.Data[int32](*s.out[0])[n*y[1]*out:], acc[n*y[1]*out:], y[1], out)
		}
		return nil
	}, nil
}

// transposeAll transposes src [cols, rows] into dst [rows, cols].
func transposeAll[T any](dst, src []T, rows, cols int) {
	const tile = 32
	for r := 0; r < rows; r += tile {
		transposeTile(dst, src, r, min(r+tile, rows), rows, cols)
	}
}
