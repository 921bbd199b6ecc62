package kernel

// Add computes dst ← x + y, element by element. dst may be x or y.
//
// This and the other vector kernels panic if lengths differ, and need operands
// that are either the same memory or do not overlap. Their arithmetic is the
// same in every [Set], product and sum rounded apart, and so are their bits.
func Add[T Float](p *Pool, dst, x, y []T) { apply(p, opAdd, dst, x, y, 0) }

// Sub computes dst ← x − y. dst may be x or y.
func Sub[T Float](p *Pool, dst, x, y []T) { apply(p, opSub, dst, x, y, 0) }

// Mul computes dst ← x · y, element by element. dst may be x or y.
func Mul[T Float](p *Pool, dst, x, y []T) { apply(p, opMul, dst, x, y, 0) }

// AddScalar computes dst ← x + s. dst may be x.
func AddScalar[T Float](p *Pool, dst, x []T, s T) { apply(p, opAddScalar, dst, x, nil, s) }

// MulScalar computes dst ← s·x. dst may be x.
func MulScalar[T Float](p *Pool, dst, x []T, s T) { apply(p, opMulScalar, dst, x, nil, s) }

// Axpy computes dst ← dst + s·x.
func Axpy[T Float](p *Pool, dst []T, s T, x []T) { apply(p, opAxpy, dst, x, nil, s) }

// Relu computes dst ← x where x ≥ 0 or x is NaN, 0 elsewhere. dst may be x.
func Relu[T Float](p *Pool, dst, x []T) { apply(p, opRelu, dst, x, nil, 0) }

// ReluGrad computes dst ← dy where x > 0, 0 elsewhere: the gradient of [Relu] at
// its input, or output, x. dst may be dy or x.
func ReluGrad[T Float](p *Pool, dst, dy, x []T) { apply(p, opReluGrad, dst, x, dy, 0) }

// opcode names a vector kernel.
type opcode uint8

const (
	opAdd opcode = iota
	opSub
	opMul
	opAddScalar
	opMulScalar
	opAxpy
	opRelu
	opReluGrad
	opDiv
	opMax
	opMin
	opFill
	opSqrt
	opClip
	opLeaky
	opExp
	opSigmoid
	opTanh
	opErf
	opLog
	opGelu
	opGeluTanh
	opReciprocal
	opAbs
	opMomentum
	opAdam
	opFakeQuantize
	opSumLanes
	opDotLanes
	opMaxLanes
	opFakeQuantizeGrad
	opRows // those from here on are loops over rows, made of the others
)

// elementwiseOps is the first kernel that does not work on each index alone.
const elementwiseOps = opSumLanes

// Row loops.
const (
	rowsAdd opcode = opRows + iota
	rowsAddColumn
	rowsSubColumn
	rowsMulColumn
	rowsSum
	rowsSumColumns
	rowsSoftmax
	rowsLogSoftmax
	rowsFakeQuantize
	rowsFakeQuantizeGrad
	blocksSum
	blocksDot
	blocksMax
)

// apply spreads an element-by-element kernel of up to two inputs.
func apply[T Float](p *Pool, op opcode, dst, x, y []T, s T) {
	checkLength("x", len(x), len(dst))
	if y != nil {
		checkLength("y", len(y), len(dst))
	} else if isBinary(op) {
		checkLength("y", 0, len(dst))
	}
	j := newJob[T](p, op)
	j.dst, j.x, j.y, j.factors[0] = dst, x, y, s
	grain := 1 << 14
	if op >= opExp {
		grain = 1 << 12
	}
	j.run(len(dst), grain)
}

// isBinary reports whether an element-by-element kernel reads y.
func isBinary(op opcode) bool { return op <= opMul || opReluGrad <= op && op <= opMin }

// elements runs an element-by-element kernel on the job's range [lo, hi).
func (j *job[T]) elements(lo, hi int) {
	elements(j.pool.set, j.op, cut(j.dst, lo, hi), cut(j.x, lo, hi), cut(j.y, lo, hi), cut(j.z, lo, hi), &j.factors)
}

// elements runs kernel op on whole slices: in assembly what fills its stride,
// then the rest in Go with the same arithmetic.
func elements[T Float](set Set, op opcode, dst, x, y, z []T, s *factors[T]) {
	n := bulk(set, op, dst, x, y, z, s)
	dst, x, y, z = dst[n:], x[n:], cut(y, n, len(y)), cut(z, n, len(z))
	x = x[:len(dst)]
	f := s[0]
	switch op {
	case opAdd:
		for i, v := range x {
			dst[i] = v + y[i]
		}
	case opSub:
		for i, v := range x {
			dst[i] = v - y[i]
		}
	case opMul:
		for i, v := range x {
			dst[i] = v * y[i]
		}
	case opAddScalar:
		for i, v := range x {
			dst[i] = v + f
		}
	case opMulScalar:
		for i, v := range x {
			dst[i] = v * f
		}
	case opAxpy:
		for i, v := range x {
			dst[i] += T(f * v)
		}
	case opRelu:
		for i, v := range x {
			if v < 0 {
				v = 0
			}
			dst[i] = v
		}
	case opReluGrad:
		for i, v := range x {
			d := y[i]
			if !(v > 0) {
				d = 0
			}
			dst[i] = d
		}
	case opMomentum:
		momentum(dst, x, y, s)
	case opAdam:
		adam(dst, x, y, z, s)
	case opFakeQuantize:
		fakeQuantize(dst, x, s)
	case opExp, opSigmoid, opTanh, opErf, opLog, opGelu, opGeluTanh:
		transcendental(op, dst, x)
	default:
		arithmetic(op, dst, x, y, s)
	}
}
