package engine

import (
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

func linearKernels() map[string]prepare {
	return map[string]prepare{
		"MatMul": variants{
			tensor.Float32: bindMatMul(kernel.SGEMM), tensor.Float64: bindMatMul(kernel.DGEMM),
			tensor.Int8: bindMatMul(integerGEMM[int8]), tensor.Uint8: bindMatMul(integerGEMM[uint8]),
			tensor.Int16: bindMatMul(integerGEMM[int16]), tensor.Uint16: bindMatMul(integerGEMM[uint16]),
			tensor.Int32: bindMatMul(integerGEMM[int32]), tensor.Uint32: bindMatMul(integerGEMM[uint32]),
			tensor.Int64: bindMatMul(integerGEMM[int64]), tensor.Uint64: bindMatMul(integerGEMM[uint64]),
		}.by(0),
		"Gemm": variants{
			tensor.Float32: bindGemm(kernel.SGEMM), tensor.Float64: bindGemm(kernel.DGEMM),
			tensor.Int32: bindGemm(integerGEMM[int32]), tensor.Uint32: bindGemm(integerGEMM[uint32]),
			tensor.Int64: bindGemm(integerGEMM[int64]), tensor.Uint64: bindGemm(integerGEMM[uint64]),
		}.by(0),
	}
}

// gemmFunc is C ← alpha·op(A)·op(B) + beta·C, see [kernel.SGEMM].
type gemmFunc[T number] func(p *kernel.Pool, transA, transB bool, m, n, k int, alpha T, a []T, lda int, b []T, ldb int, beta T, c []T, ldc int)

// integerGEMM is a matrix product modulo the type's range, spread over rows.
func integerGEMM[T integer](_ *kernel.Pool, transA, transB bool, m, n, k int, alpha T, a []T, lda int, b []T, ldb int, beta T, c []T, ldc int) {
	for i := range m {
		row := c[i*ldc:][:n]
		for j := range row {
			if beta == 0 { // as in BLAS, what was there does not count
				row[j] = 0
			}
			row[j] *= beta
		}
		for p := range k {
			x := alpha
			if transA {
				x *= a[p*lda+i]
			} else {
				x *= a[i*lda+p]
			}
			if transB {
				for j := range row {
					row[j] += x * b[j*ldb+p]
				}
				continue
			}
			for j, y := range b[p*ldb:][:n] {
				row[j] += x * y
			}
		}
	}
}

// product is the shape of a batched matrix product.
type product struct {
	m, n, k int
	batch   int
	a, b    []int // where each batch's operands start; nil if batch is 1
}

// newProduct follows numpy's matmul: vectors become a row or a column, batch
// axes broadcast. A batch of left operands against one right operand is one
// taller product.
func newProduct(a, b, out []int) product {
	if len(a) == 1 {
		a = []int{1, a[0]}
	}
	if len(b) == 1 {
		b = []int{b[0], 1}
	}
	p := product{m: a[len(a)-2], k: a[len(a)-1], n: b[len(b)-1], batch: 1}
	batchA, batchB := a[:len(a)-2], b[:len(b)-2]
	if elements(batchB) == 1 {
		p.m *= elements(batchA)
		return p
	}
	axes := batchAxes(batchA, batchB)
	p.batch = elements(axes)
	p.a = offsets(axes, broadcastStrides(batchA, axes), p.m*p.k)
	p.b = offsets(axes, broadcastStrides(batchB, axes), p.k*p.n)
	return p
}

// batchAxes is the shape that two shapes broadcast to.
func batchAxes(a, b []int) []int {
	if len(a) < len(b) {
		a, b = b, a
	}
	out := append([]int(nil), a...)
	for i, d := range b {
		if d != 1 {
			out[len(a)-len(b)+i] = d
		}
	}
	return out
}

// offsets lists where an operand of the given strides is read for each index of
// dims, in order, in units of scale elements.
func offsets(dims, strides []int, scale int) []int {
	out := make([]int, 1, max(1, elements(dims)))
	if elements(dims) == 0 {
		return nil
	}
	for i, d := range dims {
		prev := out
		out = make([]int, 0, len(prev)*d)
		for _, base := range prev {
			for x := range d {
				out = append(out, base+x*strides[i]*scale)
			}
		}
	}
	return out
}

func bindMatMul[T number](gemm gemmFunc[T]) prepare {
	return func(s *site) (func() error, error) {
		p := newProduct(s.inShape(0), s.inShape(1), s.outShape(0))
		one := func(i int) {
			a, b, c := tensor.Data[T](*s.in[0]), tensor.Data[T](*s.in[1]), tensor.Data[T](*s.out[0])
			if p.batch > 1 {
				a, b, c = a[p.a[i]:], b[p.b[i]:], c[i*p.m*p.n:]
			}
			gemm(s.pool, false, false, p.m, p.n, p.k, 1, a, max(1, p.k), b, max(1, p.n), 0, c, max(1, p.n))
		}
		if p.batch == 1 {
			return func() error { one(0); return nil }, nil
		}
		return s.parallel(p.batch, 1, func(_, lo, hi int) {
			for i := lo; i < hi; i++ {
				one(i)
			}
		}), nil
	}
}

// bindGemm: alpha·A'·B' + beta·C, C broadcast.
func bindGemm[T number](gemm gemmFunc[T]) prepare {
	return func(s *site) (func() error, error) {
		at := s.node.Attrs
		transA, transB := at.Int("transA", 0) != 0, at.Int("transB", 0) != 0
		alpha, beta := T(at.Float("alpha", 1)), T(at.Float("beta", 1))
		out, a, b := s.outShape(0), s.inShape(0), s.inShape(1)
		k := a[1]
		if transA {
			k = a[0]
		}
		var spread *nest
		if s.hasIn(2) {
			var err error
			if spread, err = newNest(out, broadcastStrides(s.inShape(2), out)); err != nil {
				return nil, s.errorf("%w", err)
			}
		} else {
			beta = 0
		}
		return func() error {
			y := tensor.Data[T](*s.out[0])
			if spread != nil {
				expand(spread, 0, spread.size, y, tensor.Data[T](*s.in[2]))
			}
			gemm(s.pool, transA, transB, out[0], out[1], k, alpha, tensor.Data[T](*s.in[0]), max(1, a[1]),
				tensor.Data[T](*s.in[1]), max(1, b[1]), beta, y, max(1, out[1]))
			return nil
		}, nil
	}
}

// expand copies iterations [lo, hi) of a nest over one operand.
func expand[T any](n *nest, lo, hi int, dst, src []T) {
	step := n.step(0)
	for w := n.from(lo, hi); w.next(); {
		out, from := dst[w.pos:][:w.len], src[w.off[0]:]
		switch step {
		case 1:
			copy(out, from)
		case 0:
			v := from[0]
			for i := range out {
				out[i] = v
			}
		default:
			for i := range out {
				out[i] = from[i*step]
			}
		}
	}
}
