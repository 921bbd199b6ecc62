package kernel

// ConvGradW computes the gradient of [Conv]'s weights, without activation, from
// that of its output: the adjoint of w ↦ w ∗ x. dw is overwritten.
//
// Sums over images and pixels are split by the shape only, never by the number
// of threads. If x holds infinities or NaNs, more elements of dw may be NaN
// than by the definition.
func ConvGradW[T Float](p *Pool, s ConvShape, x, dy, dw, ws []T) {
	s.check("convolution weight gradient", len(x), len(dw), len(dy))
	if s.N == 0 {
		clear(dw[:s.M*s.taps()])
		return
	}
	if s.dense() {
		matmul(p, true, false, s.M, s.taps(), s.N, dy, x, dw)
		return
	}
	r := newConvRun(p, &s, ws)
	defer r.free()
	in := s.inputPlanes()
	r.offsets(&in)
	for taps := s.taps(); len(r.off)%r.tile.weightTaps != 0; {
		r.off = append(r.off, r.off[taps-1])
	}
	r.lattice.cover(s.OH, s.OW, in.wq, r.tile.lanes, r.tile.step)
	batch := s.weightBatch(&in, &r.lattice, r.tile.lanes)
	r.source(&in, x, s.C, batch)
	r.batch = batch
	r.weight.prepare(r, dy, dw)
	r.batches(r.weights)
}

// weightElements bounds the images and gradients that one pass over the weights
// reads, so that they stay in the cache while tile after tile comes back to them;
// but a pass sums at least weightPixels, if there are as many, since it also has
// to add up the lanes and what earlier passes left.
const (
	weightElements = 3 << 16
	weightPixels   = 512
)

func (s *ConvShape) weightBatch(p *planes, l *lattice, lanes int) int {
	pixels := len(l.segs) * lanes
	n := max(weightElements/(s.C*p.size()+s.M*pixels), ceilDiv(weightPixels, pixels))
	return min(s.N, n)
}

func (s *ConvShape) gradWSpace(lanes int) int {
	in := s.inputPlanes()
	var l lattice
	l.cover(s.OH, s.OW, in.wq, lanes, largestStep)
	var one lattice
	one.cover(s.OH, s.OW, in.wq, lanes, 1)
	batch := s.weightBatch(&in, &one, lanes)
	return batch*(s.C*in.size()+s.M*len(l.segs)*lanes) + scratchMargin
}

// largestStep bounds the segments that any set's micro-kernel takes at once.
const largestStep = 2

// weightRun is the part of a convRun that only the gradient of the weights has.
type weightRun[T Float] struct {
	dy, dw []T

	// The gradients as the segments see them: rows of pitch elements, with zeros
	// where a pixel is none or belongs to an earlier segment.
	padded  []T
	pitch   int
	runs    []copyRun
	inPlace bool // dy itself is that

	sums []T // by worker
}

// copyRun says that n elements at from go to to.
type copyRun struct{ to, from, n int }

func (q *weightRun[T]) prepare(r *convRun[T], dy, dw []T) {
	t, plane := r.tile, r.shape.OH*r.shape.OW
	q.dy, q.dw = dy, dw
	q.pitch = len(r.lattice.segs) * t.lanes
	q.runs = r.lattice.runs(q.runs[:0], t.lanes)
	q.inPlace = len(q.runs) == 1 && q.pitch == plane
	if !q.inPlace {
		q.padded = r.take(r.batch * r.shape.M * q.pitch)
	}
	q.sums = grow(q.sums, r.pool.threads*t.weightRows*t.weightTaps)
}

// runs lists the outputs that lie in the lanes of the segments, each once.
func (l *lattice) runs(to []copyRun, lanes int) []copyRun {
	next := 0 // outputs before it are listed
	for q, s := range l.segs {
		for i := range lanes {
			at := s.out + i
			if at < next {
				continue
			}
			next = at + 1
			if l.flat {
				if at%l.wq >= l.w || at/l.wq >= l.h {
					continue
				}
				at = at/l.wq*l.w + at%l.wq
			}
			lane := q*lanes + i
			if n := len(to); n > 0 && to[n-1].to+to[n-1].n == lane && to[n-1].from+to[n-1].n == at {
				to[n-1].n++
				continue
			}
			to = append(to, copyRun{lane, at, 1})
		}
	}
	return to
}

// weights adds the batch's share to dw. A unit of work is one tile of weights.
func (r *convRun[T]) weights() {
	s, t, q := &r.shape, r.tile, &r.weight
	if !q.inPlace {
		r.loop(r.n*s.M, 1+minPacked/q.pitch, r.padBody)
	}
	r.reach = (r.n-1)*r.channels*r.planes.size() + r.lattice.reach(r.off) + t.lanes
	products := t.weightRows * t.weightTaps * q.pitch * r.n
	r.loop(s.Groups*ceilDiv(s.groupOut(), t.weightRows)*ceilDiv(s.taps(), t.weightTaps), 1+minProducts/products, r.weightBody)
}

func (r *convRun[T]) padRows(_, lo, hi int) {
	q, plane := &r.weight, r.shape.OH*r.shape.OW
	for i := lo; i < hi; i++ {
		to, from := q.padded[i*q.pitch:][:q.pitch], q.dy[(r.first*r.shape.M+i)*plane:][:plane]
		at := 0
		for _, c := range q.runs {
			clear(to[at:c.to])
			at = c.to + copy(to[c.to:], from[c.from:][:c.n])
		}
		clear(to[at:])
	}
}

func (r *convRun[T]) weightUnits(worker, lo, hi int) {
	s, t := &r.shape, r.tile
	across, down := ceilDiv(s.taps(), t.weightTaps), ceilDiv(s.groupOut(), t.weightRows)
	for u := lo; u < hi; u++ {
		rest, j := u/across, u%across
		g, i := rest/down, rest%down
		r.weightTile(worker, g, s.groupOut()*i/down, s.groupOut()*(i+1)/down, j*t.weightTaps)
	}
}

// weightTile computes rows [i0, i1) of group g under the taps from j0.
func (r *convRun[T]) weightTile(worker, g, i0, i1, j0 int) {
	s, t, q := &r.shape, r.tile, &r.weight
	row := g*s.groupOut() + i0
	x := r.image(0, g*s.groupIn())[:r.reach]
	dy := q.padded[min(row*q.pitch, len(q.padded)):]
	if q.inPlace {
		dy = q.dy[(r.first*s.M+row)*q.pitch:]
	}
	sums := q.sums[worker*t.weightRows*t.weightTaps:]
	t.weight(i1-i0, r.n, dy, q.pitch, s.M*q.pitch, x, r.channels*r.planes.size(), r.off[j0:][:t.weightTaps], r.lattice.segs, sums)
	width := min(t.weightTaps, s.taps()-j0)
	for i := range i1 - i0 {
		dw := q.dw[(row+i)*s.taps()+j0:][:width]
		part := sums[i*t.weightTaps:][:width]
		if r.first == 0 {
			copy(dw, part)
			continue
		}
		for j, v := range part {
			dw[j] += v
		}
	}
}
