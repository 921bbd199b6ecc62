package kernel

// Index is a number type of the places that [MaxPool] finds.
type Index interface{ int32 | int64 }

// poolRun is one pooling in progress; a unit of work is a plane.
type poolRun[T Float] struct {
	pool       *Pool
	shape      PoolShape
	x, y       []T
	index32    []int32
	index64    []int64
	includePad bool

	maxBody, maxGradBody, averageBody, averageGradBody func(worker, lo, hi int)
}

var (
	poolRuns32 freeList[poolRun[float32]]
	poolRuns64 freeList[poolRun[float64]]
)

func poolRuns[T Float]() *freeList[poolRun[T]] {
	if l, ok := any(&poolRuns32).(*freeList[poolRun[T]]); ok {
		return l
	}
	return any(&poolRuns64).(*freeList[poolRun[T]])
}

// newPoolRun checks and remembers the operands.
func newPoolRun[T Float](op string, p *Pool, s *PoolShape, x, y []T) *poolRun[T] {
	s.check(op, len(x), len(y))
	r := poolRuns[T]().get()
	if r.maxBody == nil {
		r.maxBody, r.maxGradBody = r.maxPlanes, r.maxGradPlanes
		r.averageBody, r.averageGradBody = r.averagePlanes, r.averageGradPlanes
	}
	r.pool, r.shape = p, *s
	r.x, r.y = x[:s.N*s.C*s.H*s.W], y[:s.N*s.C*s.OH*s.OW]
	return r
}

// run spreads the planes and gives r back.
func (r *poolRun[T]) run(body func(worker, lo, hi int)) {
	s := &r.shape
	work := s.H*s.W + s.OH*s.OW*s.KH*s.KW
	err := r.pool.For(s.N*s.C, 1+minPacked/work, body)
	r.pool, r.x, r.y, r.index32, r.index64 = nil, nil, nil, nil, nil
	poolRuns[T]().put(r)
	if err != nil {
		panic(err)
	}
}

// plane returns plane i of the input and of the output.
func (r *poolRun[T]) plane(i int) (x, y []T) {
	in, out := r.shape.H*r.shape.W, r.shape.OH*r.shape.OW
	return r.x[i*in:][:in:in], r.y[i*out:][:out:out]
}

// rows and cols return the first position of output i's window along an axis and
// the range of taps that lie inside the plane.
func (s *PoolShape) rows(i int) (at, lo, hi int) {
	at = i*s.SH - s.PT
	lo, hi = inside(at, s.DH, s.H, s.KH)
	return at, lo, hi
}

func (s *PoolShape) cols(j int) (at, lo, hi int) {
	at = j*s.SW - s.PL
	lo, hi = inside(at, s.DW, s.W, s.KW)
	return at, lo, hi
}

// wholeWindows returns the range of outputs along an axis whose windows lie
// inside the plane.
func wholeWindows(in, k, stride, dilation, before, out int) (lo, hi int) {
	lo, hi = 0, out
	for lo < hi && lo*stride < before {
		lo++
	}
	for hi > lo && (hi-1)*stride-before+(k-1)*dilation >= in {
		hi--
	}
	return lo, hi
}
