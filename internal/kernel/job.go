package kernel

import (
	"fmt"
	"unsafe"
)

// job is a vector kernel in progress. Jobs are reused, and their body is bound
// once, so that a call allocates nothing.
type job[T Float] struct {
	pool       *Pool
	op         opcode
	dst        []T
	x, y, z    []T
	scale      []T
	rows, cols int
	factors    factors[T]

	lanes    [][laneCount]T // by worker
	scalars  []factors[T]   // by worker
	row      []T            // by worker, rowChunk each
	partials []T            // by block of a reduction
	body     func(worker, lo, hi int)
}

// factors are the scalar operands of a kernel.
type factors[T Float] [9]T

func newJob[T Float](p *Pool, op opcode) *job[T] {
	j := jobsOf[T](p).get()
	if j.body == nil {
		j.body = j.part
		j.lanes = make([][laneCount]T, p.threads)
		j.scalars = make([]factors[T], p.threads)
		j.row = make([]T, p.threads*rowChunk)
	}
	j.pool, j.op = p, op
	return j
}

func jobsOf[T Float](p *Pool) *freeList[job[T]] {
	if jobs, ok := any(&p.jobs32).(*freeList[job[T]]); ok {
		return jobs
	}
	return any(&p.jobs64).(*freeList[job[T]])
}

// run spreads n items and gives the job back.
func (j *job[T]) run(n, grain int) {
	j.spread(n, grain)
	j.free()
}

func (j *job[T]) spread(n, grain int) {
	if err := j.pool.For(n, grain, j.body); err != nil {
		panic(err)
	}
}

func (j *job[T]) free() {
	j.dst, j.x, j.y, j.z, j.scale = nil, nil, nil, nil, nil
	jobsOf[T](j.pool).put(j)
}

func (j *job[T]) part(worker, lo, hi int) {
	switch {
	case j.op < elementwiseOps:
		j.elements(lo, hi)
	case j.op >= blocksSum:
		j.blocks(worker, lo, hi)
	default:
		j.matrix(worker, lo, hi)
	}
}

// stride is the number of elements that assembly handles at a time, the same in
// all sets: what is left over is less than this.
const stride = 32

// bulk runs the assembly of op, if there is any, on the longest part of the
// slices that fills its stride, and returns its length.
func bulk[T Float](set Set, op opcode, dst, x, y, z []T, s *factors[T]) int {
	n := len(x) &^ (stride - 1)
	f := vectorKernel[T](set, op)
	if n == 0 || f == nil {
		return 0
	}
	if op < elementwiseOps {
		_ = dst[n-1]
	}
	for _, v := range [...][]T{y, z} {
		if v != nil {
			_ = v[n-1]
		}
	}
	scalars := &s[0]
	if c, ok := any(&coefficients[0]).(*T); ok && opExp <= op && op <= opAbs {
		scalars = c
	}
	f(n, unsafe.SliceData(dst), unsafe.SliceData(x), unsafe.SliceData(y), unsafe.SliceData(z), scalars)
	return n
}

// vectorFunc is an assembly kernel on n elements, a multiple of [stride], with
// scalar operands at s, or [coefficients] there. Which pointers it uses depends on the kernel.
type vectorFunc[T Float] func(n int, dst, x, y, z, s *T)

func vectorKernel[T Float](set Set, op opcode) vectorFunc[T] {
	if t, ok := any(&vectors32[set]).(*[opRows]vectorFunc[T]); ok {
		return t[op]
	}
	return nil
}

// cut is x[lo:hi], or nil if x is.
func cut[T Float](x []T, lo, hi int) []T {
	if x == nil {
		return nil
	}
	return x[lo:hi]
}

func checkLength(name string, got, want int) {
	if got != want {
		panic(fmt.Sprintf("kernel: length of %s: got %d, want %d", name, got, want))
	}
}

func checkSize(name string, got, rows, cols int) {
	if rows < 0 || cols < 0 || got != rows*cols {
		panic(fmt.Sprintf("kernel: length of %s [%d, %d]: got %d, want %d", name, rows, cols, got, rows*cols))
	}
}
