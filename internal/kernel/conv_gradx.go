package kernel

// ConvGradX computes the gradient of [Conv]'s input, without activation, from
// that of its output: the adjoint of x ↦ w ∗ x. dx is overwritten.
func ConvGradX[T Float](p *Pool, s ConvShape, w, dy, dx, ws []T) {
	s.check("convolution input gradient", len(dx), len(w), len(dy))
	if s.dense() {
		matmul(p, false, false, s.N, s.taps(), s.M, dy, w, dx)
		return
	}
	r := newConvRun(p, &s, ws)
	defer r.free()
	r.bias, r.act = nil, ActNone
	if s.scatters(r.tile.lanes) {
		r.gradXScatter(w, dy, dx)
		return
	}
	r.gradXTurned(w, dy, dx)
}

// gradPhase is one phase of the stride: the pixels of dx at (h + i·SH, w + j·SW),
// to which the same taps contribute.
type gradPhase struct {
	h, w         int
	outH, outW   int
	k            int
	weights, off int // where its turned weights and offsets begin
	kept, taps   int // its taps are kept[kept:][:taps]
}

// phaseTaps returns the range of rows of dy, relative to the index of a phase's
// pixel, that taps touch, and the number of taps of one phase.
//
// Tap k reaches pixel r + i·stride from output i + (r + pad − k·dilation)/stride
// if that is an integer.
func phaseTaps(k, stride, dilation, pad, r int) (lo, hi, taps int) {
	for q := range k {
		t := r + pad - q*dilation
		if t%stride != 0 {
			continue
		}
		t /= stride
		if taps == 0 {
			lo, hi = t, t
		}
		lo, hi = min(lo, t), max(hi, t)
		taps++
	}
	return lo, hi, taps
}

// gradReach returns how many rows of zeros precede the outputs along an axis and
// how many rows there are with them, so that every phase finds what it reads.
func gradReach(in, k, stride, dilation, pad int) (before, size int) {
	size = 1
	for r := range min(stride, in) {
		if lo, _, taps := phaseTaps(k, stride, dilation, pad, r); taps > 0 {
			before = max(before, -lo)
		}
	}
	for r := range min(stride, in) {
		if _, hi, taps := phaseTaps(k, stride, dilation, pad, r); taps > 0 {
			size = max(size, before+hi+ceilDiv(in-r, stride))
		}
	}
	return before, size
}

// gradPlanes is the layout of dy for the gradient of the input.
func (s *ConvShape) gradPlanes() planes {
	p := planes{h: s.OH, w: s.OW, sh: 1, sw: 1, dh: 1, dw: 1, nh: 1, nw: 1}
	p.top, p.hq = gradReach(s.H, s.KH, s.SH, s.DH, s.PT)
	p.left, p.wq = gradReach(s.W, s.KW, s.SW, s.DW, s.PL)
	p.whole = p.top == 0 && p.left == 0 && p.hq == s.OH && p.wq == s.OW
	return p
}

func (s *ConvShape) gradXSpace(lanes, threads int) int {
	if s.scatters(lanes) {
		return s.M*s.taps() + threads*s.KH*s.KW*s.OH*s.OW
	}
	in := s.gradPlanes()
	images := batchSize(s.N, s.M*in.size()) * s.M * in.size()
	extent := max(s.H*s.W, in.hq*in.wq+widestLanes)
	return images + scratchMargin + s.M*s.taps() + threads*tallestTile*extent
}

// gradXTurned correlates dy with the kernel turned by 180°.
func (r *convRun[T]) gradXTurned(w, dy, dx []T) {
	s := &r.shape
	in := s.gradPlanes()
	r.listPhases(&in)
	turned := r.take(s.M * s.taps())
	r.w, r.a = w, turned
	for r.turning = range r.phases {
		r.loop(s.C, 1+minPacked/max(1, s.groupOut()*s.KH*s.KW), r.turnBody)
	}
	if r.missing() {
		clear(dx[:s.N*s.C*s.H*s.W])
	}
	r.target(dx, s.C, s.H, s.W)
	r.rows = s.groupIn()

	// The smallest phase decides whether dy must be copied.
	small := len(r.phases) - 1
	r.use(&r.phases[small], &in)
	space := 0
	for i := range r.phases {
		r.use(&r.phases[i], &in)
		space = max(space, r.scratchSize())
	}
	r.use(&r.phases[small], &in)
	r.source(&in, dy, s.M, batchSize(s.N, s.M*in.size()))
	r.scratch = r.take(r.pool.threads * space)
	off := r.off
	r.batches(func() {
		for i := range r.phases {
			ph := &r.phases[i]
			if ph.k == 0 {
				continue
			}
			r.use(ph, &in)
			r.a, r.off, r.k, r.lda = turned[ph.weights:], off[ph.off:][:ph.k], ph.k, ph.k
			r.correlate()
			r.off = off
		}
	})
}

// use makes ph the outputs that correlate computes.
func (r *convRun[T]) use(ph *gradPhase, in *planes) {
	s := &r.shape
	r.outH, r.outW = ph.outH, ph.outW
	r.rowStep, r.colStep, r.origin = s.SH*s.W, s.SW, ph.h*s.W+ph.w
	r.lattice.cover(ph.outH, ph.outW, in.wq, r.tile.lanes, r.tile.group)
}

// missing reports whether some pixels of dx are under no tap.
func (r *convRun[T]) missing() bool {
	for i := range r.phases {
		if r.phases[i].k == 0 {
			return true
		}
	}
	return false
}

// listPhases tabulates the phases and the offsets of their taps.
func (r *convRun[T]) listPhases(in *planes) {
	s := &r.shape
	r.phases, r.off, r.kept = r.phases[:0], r.off[:0], r.kept[:0]
	weights := 0
	for h := range min(s.SH, s.H) {
		for w := range min(s.SW, s.W) {
			ph := gradPhase{h: h, w: w, outH: ceilDiv(s.H-h, s.SH), outW: ceilDiv(s.W-w, s.SW), weights: weights, off: len(r.off), kept: len(r.kept)}
			r.listTaps(in, &ph)
			ph.taps = len(r.kept) - ph.kept
			for m := 1; m < s.groupOut(); m++ {
				for _, o := range r.off[ph.off:][:ph.taps] {
					r.off = append(r.off, m*in.size()+o)
				}
			}
			ph.k = len(r.off) - ph.off
			weights += s.C * ph.k
			r.phases = append(r.phases, ph)
		}
	}
}

// listTaps appends a phase's taps and their offsets in the first channel.
func (r *convRun[T]) listTaps(in *planes, ph *gradPhase) {
	s := &r.shape
	for kh := range s.KH {
		i := ph.h + s.PT - kh*s.DH
		if i%s.SH != 0 {
			continue
		}
		for kw := range s.KW {
			j := ph.w + s.PL - kw*s.DW
			if j%s.SW == 0 {
				r.kept = append(r.kept, kh*s.KW+kw)
				r.off = append(r.off, (i/s.SH+in.top)*in.wq+j/s.SW+in.left)
			}
		}
	}
}

// turnBlock is the number of rows that turnWeights fills together: their weights
// are neighbours.
const turnBlock = 16

// turnWeights packs rows [lo, hi) of a phase: one row for each channel of x, with
// the taps in the order of the offsets.
func (r *convRun[T]) turnWeights(_, lo, hi int) {
	s, ph := &r.shape, &r.phases[r.turning]
	in, out, size := s.groupIn(), s.groupOut(), s.KH*s.KW
	kept := r.kept[ph.kept:][:ph.taps]
	for c0 := lo; c0 < hi; {
		c1 := min(c0+turnBlock, hi, (c0/in+1)*in) // of one group
		for m := range out {
			w := r.w[((c0/in*out+m)*in+c0%in)*size:]
			for c := c0; c < c1; c++ {
				row := r.a[ph.weights+c*ph.k+m*ph.taps:][:ph.taps]
				for i, q := range kept {
					row[i] = w[q]
				}
				w = w[size:]
			}
		}
		c0 = c1
	}
}

// scatters reports that the gradient of the input is computed by products per
// tap, added up where they overlap. That takes as many products as the output
// did, and scatterCost times as long for each sum; the turned kernel multiplies
// the zeros around dy too. Segments need room in a plane of dy.
func (s *ConvShape) scatters(lanes int) bool {
	if s.OH*s.OW < lanes {
		return false
	}
	turned := s.C * s.groupOut() * s.KH * s.KW * ceilDiv(s.H*s.W, s.SH*s.SW)
	sums := s.C * s.KH * s.KW * s.OH * s.OW
	return sums*s.groupOut()+sums*scatterCost < turned
}

// scatterCost is the time to add one sum to dx, in products of the micro-kernel.
const scatterCost = 8

// gradXScatter computes, for each image and channel, the products of the taps
// with dy, and adds each tap's plane of them to dx at its place.
func (r *convRun[T]) gradXScatter(w, dy, dx []T) {
	s := &r.shape
	out, plane := s.groupOut(), s.OH*s.OW
	r.lattice.cover(1, plane, plane, r.tile.lanes, r.tile.group)
	r.off = r.off[:0]
	for m := range out {
		r.off = append(r.off, m*plane)
	}
	r.reach = r.lattice.reach(r.off) + r.tile.lanes
	turned := r.take(s.M * s.taps())
	transposeGroups(turned, w, s.Groups, out, s.taps())
	r.listPlaces()
	r.a, r.images, r.out = turned, dy, dx
	r.k, r.lda = out, out
	r.scratch = r.take(r.pool.threads * s.KH * s.KW * plane)
	products := s.KH * s.KW * plane * (out + scatterCost)
	r.loop(s.N*s.C, 1+minProducts/products, r.scatterBody)
}

// transposeGroups writes the transpose of each of several matrices [rows, cols].
func transposeGroups[T Float](dst, src []T, matrices, rows, cols int) {
	for range matrices {
		for i := range rows {
			for j, v := range src[i*cols:][:cols] {
				dst[j*rows+i] = v
			}
		}
		dst, src = dst[rows*cols:], src[rows*cols:]
	}
}

// scatterUnits computes channels [lo, hi) of dx, counted over all images.
func (r *convRun[T]) scatterUnits(worker, lo, hi int) {
	s := &r.shape
	plane, taps, in := s.OH*s.OW, s.KH*s.KW, s.groupIn()
	sums := r.scratch[worker*taps*plane:][:taps*plane]
	tiles := ceilDiv(taps, r.tile.rows)
	for u := lo; u < hi; u++ {
		n, c := u/s.C, u%s.C
		x := r.images[(n*s.M+c/in*s.groupOut())*plane:][:r.reach]
		a := r.a[c*taps*r.lda:]
		for t := range tiles {
			i0, i1 := taps*t/tiles, taps*(t+1)/tiles
			r.tile.row(i1-i0, r.k, a[i0*r.lda:], r.lda, x, r.off, r.lattice.segs, sums[i0*plane:], plane, nil, ActNone)
		}
		dx := r.out[u*s.H*s.W:][:s.H*s.W]
		clear(dx)
		for i := range r.places {
			r.addTap(dx, sums, &r.places[i])
		}
	}
}

// tapPlace says that rows × cols sums from sums[from] on, of the taps of a
// channel, are added to its plane of dx from dx[to] on.
type tapPlace struct{ from, to, rows, cols int }

// listPlaces tabulates where the sums of each tap belong: (i, j) at
// (kh·DH − PT + i·SH, kw·DW − PL + j·SW).
func (r *convRun[T]) listPlaces() {
	s := &r.shape
	r.places = r.places[:0]
	for kh := range s.KH {
		top := kh*s.DH - s.PT
		i0, i1 := inside(top, s.SH, s.H, s.OH)
		for kw := range s.KW {
			left := kw*s.DW - s.PL
			j0, j1 := inside(left, s.SW, s.W, s.OW)
			if i0 < i1 && j0 < j1 {
				r.places = append(r.places, tapPlace{
					from: ((kh*s.KW+kw)*s.OH+i0)*s.OW + j0, to: (top+i0*s.SH)*s.W + left + j0*s.SW,
					rows: i1 - i0, cols: j1 - j0,
				})
			}
		}
	}
}

func (r *convRun[T]) addTap(dx, sums []T, q *tapPlace) {
	s := &r.shape
	dx, sums = dx[q.to:], sums[q.from:]
	if s.SW == 1 {
		r.tile.add(q.rows, q.cols, dx, s.SH*s.W, sums, s.OW)
		return
	}
	for i := range q.rows {
		for j := range q.cols {
			dx[i*s.SH*s.W+j*s.SW] += sums[i*s.OW+j]
		}
	}
}
