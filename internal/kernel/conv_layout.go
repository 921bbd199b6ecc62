package kernel

// planes is how the kernels see one image: padded, and split by the strides'
// phases, so that the pixels under one tap of the kernel are contiguous along
// a row of outputs whatever the stride and dilation.
//
// A channel is nh × nw phase planes of [hq, wq]. Element (i, j) of phase plane
// (a, b) is the padded pixel (i·sh + a·dh mod sh, j·sw + b·dw mod sw), and pixel
// (0, 0) of the image is the padded pixel (top, left). Tap (kh, kw) at output
// (i, j) reads tap(kh, kw) + i·wq + j.
type planes struct {
	h, w           int
	top, left      int
	sh, sw, dh, dw int
	nh, nw, hq, wq int
	whole          bool // the image itself has this layout
}

// inputPlanes is the layout of x for a convolution.
func (s *ConvShape) inputPlanes() planes {
	p := planes{h: s.H, w: s.W, top: s.PT, left: s.PL, sh: s.SH, sw: s.SW, dh: s.DH, dw: s.DW}
	p.nh = min(s.KH, s.SH/gcd(s.SH, s.DH))
	p.nw = min(s.KW, s.SW/gcd(s.SW, s.DW))
	p.hq = ((s.KH-1)*s.DH)/s.SH + s.OH
	p.wq = ((s.KW-1)*s.DW)/s.SW + s.OW
	p.whole = s.SH == 1 && s.SW == 1 && s.PT == 0 && s.PL == 0 && p.hq == s.H && p.wq == s.W
	return p
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// size is the elements of one channel.
func (p *planes) size() int { return p.nh * p.nw * p.hq * p.wq }

// tap is where tap (kh, kw) of output (0, 0) lies in a channel.
func (p *planes) tap(kh, kw int) int {
	plane := (kh%p.nh)*p.nw + kw%p.nw
	return (plane*p.hq+kh*p.dh/p.sh)*p.wq + kw*p.dw/p.sw
}

// arrange writes one channel of an image in this layout.
func arrange[T Float](p *planes, dst, src []T) {
	for a := range p.nh {
		top := a*p.dh%p.sh - p.top
		i0, i1 := inside(top, p.sh, p.h, p.hq)
		for b := range p.nw {
			left := b*p.dw%p.sw - p.left
			j0, j1 := inside(left, p.sw, p.w, p.wq)
			plane := dst[:p.hq*p.wq]
			dst = dst[len(plane):]
			if i0 == i1 || j0 == j1 {
				clear(plane)
				continue
			}
			// What lies between two rows' pixels is one stretch of zeros.
			clear(plane[:i0*p.wq+j0])
			for i := i0; i < i1; i++ {
				row := plane[i*p.wq:]
				gather(row[j0:j1], src[(top+i*p.sh)*p.w+left+j0*p.sw:], p.sw)
				if i+1 < i1 {
					zero(row[j1 : p.wq+j0])
				}
			}
			clear(plane[(i1-1)*p.wq+j1:])
		}
	}
}

// gather computes dst[j] = src[j·step].
func gather[T Float](dst, src []T, step int) {
	switch step {
	case 1:
		copy(dst, src)
	case 2:
		for len(dst) >= 4 && len(src) >= 8 {
			d, s := dst[:4:4], src[:8:8]
			d[0], d[1], d[2], d[3] = s[0], s[2], s[4], s[6]
			dst, src = dst[4:], src[8:]
		}
		for j := range dst {
			dst[j] = src[2*j]
		}
	default:
		for j := range dst {
			dst[j] = src[j*step]
		}
	}
}

// spread computes dst[j·step] = src[j].
func spread[T Float](dst, src []T, step int) {
	switch step {
	case 1:
		copy(dst, src)
	case 2:
		for len(src) >= 4 && len(dst) >= 8 {
			d, s := dst[:8:8], src[:4:4]
			d[0], d[2], d[4], d[6] = s[0], s[1], s[2], s[3]
			dst, src = dst[8:], src[4:]
		}
		for j, v := range src {
			dst[2*j] = v
		}
	default:
		for j, v := range src {
			dst[j*step] = v
		}
	}
}

// zero is clear for a few elements, without its call.
func zero[T Float](x []T) {
	for i := range x {
		x[i] = 0
	}
}

// inside returns the j in [lo, hi) ⊆ [0, n) for which first + j·step is in
// [0, size).
func inside(first, step, size, n int) (lo, hi int) {
	if first < 0 {
		lo = min(n, (-first+step-1)/step)
	}
	if first < size {
		hi = min(n, (size-1-first)/step+1)
	}
	return lo, max(lo, hi)
}

// segment is a run of outputs that the micro-kernels compute together: out is
// its place among them, in that of its pixels under a tap at 0.
type segment struct{ in, out int }

// lattice is how outputs [h, w], whose pixels lie wq apart from row to row, are
// covered with segments.
type lattice struct {
	h, w, wq int
	flat     bool // segments run across rows; out counts wq elements to a row
	extent   int  // elements that out may address
	segs     []segment
}

// cover chooses between segments within rows, of which the last is moved back
// to end with its row, and segments across rows, which also compute the wq − w
// pixels between them; the one with fewer segments wins. count is rounded up to
// a multiple of group by repeating the last.
func (l *lattice) cover(h, w, wq, lanes, group int) {
	if w == wq {
		h, w, wq = 1, h*w, h*w
	}
	run := (h-1)*wq + w
	*l = lattice{h: h, w: w, wq: wq, segs: l.segs[:0]}
	l.flat = w < lanes || h*ceilDiv(w, lanes) > ceilDiv(run, lanes)
	if l.flat {
		l.extent = max(run, lanes)
		l.coverRow(0, 0, run, lanes)
	} else {
		l.extent = h * w
		for i := range h {
			l.coverRow(i*wq, i*w, w, lanes)
		}
	}
	for len(l.segs)%group != 0 {
		l.segs = append(l.segs, l.segs[len(l.segs)-1])
	}
}

func (l *lattice) coverRow(in, out, n, lanes int) {
	for j := 0; j < n; j += lanes {
		at := max(0, min(j, n-lanes))
		l.segs = append(l.segs, segment{in + at, out + at})
	}
}

// overrun is how far a lone segment reads past the last pixel.
func (l *lattice) overrun() int { return l.extent - ((l.h-1)*l.wq + l.w) }

// reach is the last element that a segment begins at under any tap.
func (l *lattice) reach(off []int) int {
	in, tap := 0, 0
	for i := range l.segs {
		in = max(in, l.segs[i].in)
	}
	for _, o := range off {
		tap = max(tap, o)
	}
	return in + tap
}
