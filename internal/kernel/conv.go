package kernel

// How convolutions are computed. The choice depends on the shape alone.
//
//   - A kernel as large as the image is a matrix product.
//   - Conv, of any other shape: the micro-kernel multiplies a tile of weights with
//     segments of pixels that it finds through a table of the taps' offsets.
//     Nothing is unrolled into columns; images are copied once, with their pads,
//     if they have pads or the stride is not 1 (see planes).
//   - ConvGradX is the same with the kernel turned round, once for each of the
//     SH·SW phases of the stride; or, where a large kernel on a small image
//     would make that mostly multiply zeros, products per tap that are added up
//     (see ConvShape.scatters).
//   - ConvGradW is dot products along the pixels, over the same tables.
//
// Source for the table of offsets: M. Dukhan, "The indirect convolution
// algorithm", 2019, section 3.

// Conv computes y = act(w ∗ x + bias), a cross-correlation as ONNX and deep
// learning define convolution; bias may be nil.
//
//	y[n, m, i, j] = act(bias[m] + Σ_{c,kh,kw} w[m, c, kh, kw]·x[n, c', i·SH + kh·DH − PT, j·SW + kw·DW − PL])
//
// with c' = c + m/(M/Groups)·(C/Groups) and x zero outside the image. s must be
// valid. ws is scratch of [ConvWorkspace] elements. It panics if a slice is too
// short.
func Conv[T Float](p *Pool, s ConvShape, x, w, bias, y []T, act Activation, ws []T) {
	s.check("convolution", len(x), len(w), len(y))
	if bias != nil {
		checkLen("convolution", "bias", len(bias), s.M)
	}
	if s.dense() {
		denseConv(p, &s, x, w, bias, y, act)
		return
	}
	r := newConvRun(p, &s, ws)
	defer r.free()

	in := s.inputPlanes()
	r.offsets(&in)
	r.lattice.cover(s.OH, s.OW, in.wq, r.tile.lanes, r.tile.group)
	r.source(&in, x, s.C, batchSize(s.N, s.C*in.size()))
	r.rows, r.k, r.a, r.lda = s.groupOut(), s.taps(), w, s.taps()
	r.bias, r.act = bias, act
	r.target(y, s.M, s.OH, s.OW)
	r.outH, r.outW, r.rowStep, r.colStep, r.origin = s.OH, s.OW, s.OW, 1, 0
	r.scratch = r.take(p.threads * r.scratchSize())
	r.batches(func() { r.correlate() })
}

// ConvWorkspace is the number of elements of scratch that [Conv], [ConvGradX]
// and [ConvGradW] need for a shape on a pool of so many threads, whatever its
// instruction set.
func ConvWorkspace(s ConvShape, threads int) int {
	most := 0
	if s.dense() {
		return most
	}
	for _, lanes := range []int{portableLanes, widestLanes} {
		most = max(most, s.forwardSpace(lanes, threads), s.gradXSpace(lanes, threads), s.gradWSpace(lanes))
	}
	return most
}

// Bounds on what any set's micro-kernels take at once.
const (
	widestLanes   = 8
	tallestTile   = 14
	largestGroup  = 4
	scratchMargin = widestLanes // behind copied images, for a lone segment
)

func (s *ConvShape) forwardSpace(lanes, threads int) int {
	in := s.inputPlanes()
	var l lattice
	l.cover(s.OH, s.OW, in.wq, lanes, 1)
	return copiedSpace(&in, &l, s.N, s.C) + threads*tallestTile*l.extent
}

// copiedSpace is the scratch that a batch of arranged images takes.
func copiedSpace(p *planes, l *lattice, n, channels int) int {
	if p.whole && l.overrun() == 0 {
		return 0
	}
	return batchSize(n, channels*p.size())*channels*p.size() + scratchMargin
}

// batchElements bounds the images that are arranged before they are used, so
// that they are still in the cache.
const batchElements = 1 << 17

func batchSize(n, image int) int { return max(1, min(n, batchElements/max(1, image))) }

// convRun is one convolution in progress. The same loop, correlate, serves the
// output and the gradient of the input.
type convRun[T Float] struct {
	pool  *Pool
	tile  *convTile[T]
	shape ConvShape
	ws    []T

	// Where sums read: images of some channels, copied into arranged batch by
	// batch unless their own layout serves.
	planes   planes
	copied   bool
	images   []T
	channels int
	arranged []T
	first, n int // the batch in progress: images [first, first+n)
	batch    int
	lattice  lattice
	off      []int // by tap, within a group
	reach    int   // elements that sums may address, within a group

	// What is summed: rows [rows, k] of a for each group.
	rows, k, lda int
	a, bias      []T
	act          Activation

	// Where sums go: output (i, j) of row r to origin + i·rowStep + j·colStep of
	// plane r, by way of scratch unless they lie there as the lattice has them.
	out                      []T
	outRows, outPlane        int
	outH, outW               int
	rowStep, colStep, origin int
	scratch                  []T // by worker
	parts                    int // stretches of segments

	phases  []gradPhase // of the gradient of the input
	turning int         // the phase whose weights are being turned
	w       []T         // weights to turn
	kept    []int       // by phase, the kernel's elements that are its taps
	places  []tapPlace
	weight  weightRun[T]

	arrangeBody, correlateBody, turnBody, scatterBody, padBody, weightBody, biasBody func(worker, lo, hi int)
}

var (
	convRuns32 freeList[convRun[float32]]
	convRuns64 freeList[convRun[float64]]
)

func convRuns[T Float]() *freeList[convRun[T]] {
	if l, ok := any(&convRuns32).(*freeList[convRun[T]]); ok {
		return l
	}
	return any(&convRuns64).(*freeList[convRun[T]])
}

func newConvRun[T Float](p *Pool, s *ConvShape, ws []T) *convRun[T] {
	r := convRuns[T]().get()
	r.pool, r.tile, r.shape, r.ws = p, convTileOf[T](p.set), *s, ws
	if r.arrangeBody == nil {
		r.arrangeBody, r.correlateBody, r.turnBody = r.arrangeImages, r.correlateUnits, r.turnWeights
		r.scatterBody, r.padBody, r.weightBody = r.scatterUnits, r.padRows, r.weightUnits
		r.biasBody = r.sumChannels
	}
	return r
}

// free drops references to the caller's memory and keeps the tables.
func (r *convRun[T]) free() {
	r.pool, r.ws, r.images, r.arranged, r.a, r.w, r.bias, r.out, r.scratch = nil, nil, nil, nil, nil, nil, nil, nil, nil
	r.weight.dy, r.weight.padded, r.weight.dw = nil, nil, nil
	convRuns[T]().put(r)
}

// take cuts n elements off the workspace.
func (r *convRun[T]) take(n int) []T {
	checkLen("convolution", "workspace", len(r.ws), n)
	part := r.ws[:n:n]
	r.ws = r.ws[n:]
	return part
}

func (r *convRun[T]) loop(n, grain int, body func(worker, lo, hi int)) {
	if err := r.pool.For(n, grain, body); err != nil {
		panic(err)
	}
}

// offsets tabulates where the taps of a group lie.
func (r *convRun[T]) offsets(p *planes) {
	s := &r.shape
	r.off = r.off[:0]
	for c := range s.groupIn() {
		for kh := range s.KH {
			for kw := range s.KW {
				r.off = append(r.off, c*p.size()+p.tap(kh, kw))
			}
		}
	}
}

// source says which images sums read, and how many of them make a batch if they
// are copied; the lattice is known.
func (r *convRun[T]) source(p *planes, images []T, channels, batch int) {
	r.planes, r.images, r.channels = *p, images, channels
	r.copied = !p.whole || r.lattice.overrun() > 0
	r.batch = r.shape.N
	if r.copied {
		image := channels * p.size()
		r.batch = batch
		r.arranged = r.take(r.batch*image + scratchMargin)
		clear(r.arranged[r.batch*image:])
	}
}

// target says where sums go.
func (r *convRun[T]) target(out []T, channels, h, w int) {
	r.out, r.outRows, r.outPlane = out, channels, h*w
}

// batches arranges batch after batch and lets use each. No closure of it may
// outlive the call.
func (r *convRun[T]) batches(use func()) {
	for r.first = 0; r.first < r.shape.N; r.first += r.batch {
		r.n = min(r.batch, r.shape.N-r.first)
		if r.copied {
			r.loop(r.n*r.channels, 1+minPacked/r.planes.size(), r.arrangeBody)
		}
		use()
	}
}

func (r *convRun[T]) arrangeImages(_, lo, hi int) {
	size, plane := r.planes.size(), r.planes.h*r.planes.w
	for i := lo; i < hi; i++ {
		arrange(&r.planes, r.arranged[i*size:][:size], r.images[(r.first*r.channels+i)*plane:][:plane])
	}
}

// image is what micro-kernels read of image n of the batch, from channel c on.
func (r *convRun[T]) image(n, c int) []T {
	at := (n*r.channels + c) * r.planes.size()
	if r.copied {
		return r.arranged[at:]
	}
	return r.images[r.first*r.channels*r.planes.size()+at:]
}

// direct reports that segments are stored where they belong.
func (r *convRun[T]) direct() bool {
	return !r.lattice.flat && r.rowStep == r.outW && r.colStep == 1
}

// scratchSize is what a worker needs to store the sums of a tile of rows before
// they are moved to their places.
func (r *convRun[T]) scratchSize() int {
	if r.direct() {
		return 0
	}
	return r.tile.rows * r.lattice.extent
}

// partSegments is the number of segments that a tile of weights passes over
// before the next tile does: their pixels stay in the first-level cache.
const partSegments = 64

// correlate computes the batch's sums. A unit of work is one image, group,
// stretch of segments and tile of rows.
func (r *convRun[T]) correlate() {
	r.reach = r.lattice.reach(r.off) + r.tile.lanes
	r.parts = 1
	if r.direct() {
		r.parts = ceilDiv(len(r.lattice.segs), partSegments)
	}
	tiles := ceilDiv(r.rows, r.tile.rows)
	units := r.n * r.shape.Groups * r.parts * tiles
	products := r.rows * r.k * len(r.lattice.segs) * r.tile.lanes / (tiles * r.parts)
	r.loop(units, 1+minProducts/max(1, products), r.correlateBody)
}

func (r *convRun[T]) correlateUnits(worker, lo, hi int) {
	tiles := ceilDiv(r.rows, r.tile.rows)
	for u := lo; u < hi; u++ {
		rest, t := u/tiles, u%tiles
		rest, part := rest/r.parts, rest%r.parts
		n, g := rest/r.shape.Groups, rest%r.shape.Groups
		r.correlateTile(worker, n, g, part, r.rows*t/tiles, r.rows*(t+1)/tiles)
	}
}

// partStart is the first segment of a part. A segment that was moved back over
// the one before it stays in its part, so that no two workers store one output.
func (r *convRun[T]) partStart(part int) int {
	segs, start := r.lattice.segs, part*partSegments
	if start >= len(segs) {
		return len(segs)
	}
	for start > 0 && segs[start].out < segs[start-1].out+r.tile.lanes {
		start -= r.tile.group
	}
	return max(0, start)
}

// correlateTile computes rows [i0, i1) of group g.
func (r *convRun[T]) correlateTile(worker, n, g, part, i0, i1 int) {
	x := r.image(n, g*(r.channels/r.shape.Groups))[:r.reach]
	row := g*r.rows + i0
	a := r.a[row*r.lda:]
	out := r.out[((r.first+n)*r.outRows+row)*r.outPlane:]
	var bias []T
	if r.bias != nil {
		bias = r.bias[row:]
	}
	if r.direct() {
		segs := r.lattice.segs[r.partStart(part):r.partStart(part+1)]
		r.tile.row(i1-i0, r.k, a, r.lda, x, r.off, segs, out, r.outPlane, bias, r.act)
		return
	}
	size := r.tile.rows * r.lattice.extent
	sums := r.scratch[worker*size:][:size]
	r.tile.row(i1-i0, r.k, a, r.lda, x, r.off, r.lattice.segs, sums, r.lattice.extent, bias, r.act)
	for i := range i1 - i0 {
		r.place(out[i*r.outPlane:][:r.outPlane], sums[i*r.lattice.extent:])
	}
}

// row runs the micro-kernel over segments.
func (t *convTile[T]) row(rows, k int, a []T, lda int, x []T, off []int, segs []segment, y []T, ldy int, bias []T, act Activation) {
	for ; len(segs) > 0; segs = segs[t.group:] {
		t.forward(rows, k, a, lda, x, off, segs, y, ldy, bias, act)
	}
}

// place moves a lattice of outputs to its places in a plane.
func (r *convRun[T]) place(plane, sums []T) {
	pitch := r.outW
	if r.lattice.flat {
		pitch = r.planes.wq
	}
	for i := range r.outH {
		spread(plane[r.origin+i*r.rowStep:], sums[i*pitch:][:r.outW], r.colStep)
	}
}

// ConvGradBias computes the gradient of the bias, db[m] = Σ_{n,i,j} dy[n, m, i, j],
// each plane's sum in eight chains of T and the planes' in float64.
func ConvGradBias[T Float](p *Pool, s ConvShape, dy, db []T) {
	checkLen("convolution bias gradient", "dy", len(dy), s.N*s.M*s.OH*s.OW)
	checkLen("convolution bias gradient", "db", len(db), s.M)
	r := newConvRun[T](p, &s, nil)
	defer r.free()
	r.images, r.out = dy, db
	r.loop(s.M, 1+minPacked/max(1, s.N*s.OH*s.OW), r.biasBody)
}

func (r *convRun[T]) sumChannels(_, lo, hi int) {
	s := &r.shape
	plane := s.OH * s.OW
	for m := lo; m < hi; m++ {
		total := 0.0
		for n := range s.N {
			total += sumPlane(r.images[(n*s.M+m)*plane:][:plane])
		}
		r.out[m] = T(total)
	}
}

// sumPlane adds eight interleaved chains.
func sumPlane[T Float](x []T) float64 {
	var s0, s1, s2, s3, s4, s5, s6, s7 T
	for len(x) >= 8 {
		v := x[:8:8]
		s0 += v[0]
		s1 += v[1]
		s2 += v[2]
		s3 += v[3]
		s4 += v[4]
		s5 += v[5]
		s6 += v[6]
		s7 += v[7]
		x = x[8:]
	}
	for _, v := range x {
		s0 += v
	}
	return float64((s0+s4)+(s2+s6)) + float64((s1+s5)+(s3+s7))
}
