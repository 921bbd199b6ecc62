package kernel

import (
	"fmt"
	"unsafe"
)

// LowBit is a matrix W [n, k] of integers of 1, 2 or 4 bits with a scale, and
// perhaps a zero point, for each output and block of inner indices:
//
//	W[j, p] = scale(j, p/block) · (level(j, p) − zero(j, p/block))
//
// Levels are in [−2^(bits−1), 2^(bits−1)−1], or −1 and +1 for one bit. Products
// with a few rows decode them in registers: what counts there is the bytes read.
// Others expand tiles while they pack them, as any matrix product packs.
type LowBit struct {
	n, k, bits int
	groups     int // of eight inner indices
	perBlock   int // groups in a block
	blocks     int

	// Strips of up to 64 outputs, the last one narrower by whole panels: groups
	// after groups; in each, for each output, bits bytes that hold the eight levels,
	// the lowest bits first.
	data []byte
	// By strip, block and output: the scale, and −scale·zero or nil.
	scale, shift []float32
}

const (
	groupDepth = 8         // inner indices in a group
	stripLanes = 4 * lanes // outputs in a strip
)

// LowBitSource says what a [LowBit] matrix holds.
type LowBitSource struct {
	N, K, Bits int
	Block      int // inner indices that share a scale, a multiple of 8; 0 for all
	Level      func(j, p int) int
	Scale      func(j, block int) float32
	Zero       func(j, block int) float32 // nil: 0
}

// NewLowBit packs a matrix. The error says what of the source does not fit the
// form.
func NewLowBit(s LowBitSource) (*LowBit, error) {
	if s.N < 1 || s.K < 1 {
		return nil, fmt.Errorf("pack matrix [%d, %d]: got an empty one", s.N, s.K)
	}
	if s.Bits != 1 && s.Bits != 2 && s.Bits != 4 {
		return nil, fmt.Errorf("pack matrix [%d, %d]: bits: got %d, want 1, 2 or 4", s.N, s.K, s.Bits)
	}
	if s.Block < 0 || s.Block%groupDepth != 0 {
		return nil, fmt.Errorf("pack matrix [%d, %d]: block: got %d, want a multiple of %d", s.N, s.K, s.Block, groupDepth)
	}
	w := &LowBit{n: s.N, k: s.K, bits: s.Bits, groups: ceilDiv(s.K, groupDepth)}
	w.perBlock = w.groups
	if s.Block > 0 {
		w.perBlock = min(w.groups, s.Block/groupDepth)
	}
	w.blocks = ceilDiv(w.groups, w.perBlock)
	padded := ceilDiv(s.N, lanes) * lanes
	w.data = make([]byte, padded*w.groups*w.bits)
	w.scale = make([]float32, padded*w.blocks)
	if s.Zero != nil {
		w.shift = make([]float32, padded*w.blocks)
	}
	for j := range s.N {
		if err := w.pack(s, j); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// pack stores the levels and scales of output j.
func (w *LowBit) pack(s LowBitSource, j int) error {
	lo, hi := -1<<(w.bits-1), 1<<(w.bits-1)-1
	if w.bits == 1 {
		hi = 1
	}
	for p := range w.k {
		v := s.Level(j, p)
		if v < lo || v > hi || w.bits == 1 && v == 0 {
			return fmt.Errorf("pack matrix [%d, %d]: level [%d, %d]: got %d, not of %d bits", w.n, w.k, j, p, v, w.bits)
		}
		code := uint32(v) & (1<<w.bits - 1)
		if w.bits == 1 { // a set bit is −1
			code = uint32(1-v) / 2
		}
		at := p % groupDepth * w.bits
		w.data[w.at(j, p/groupDepth)+at/8] |= byte(code << (at % 8))
	}
	for b := range w.blocks {
		at := w.scaleAt(j, b)
		w.scale[at] = s.Scale(j, b)
		if s.Zero != nil {
			w.shift[at] = -w.scale[at] * s.Zero(j, b)
		}
	}
	return nil
}

// width is the number of outputs in a strip, those that only fill it included.
func (w *LowBit) width(strip int) int {
	return min(stripLanes, ceilDiv(w.n-strip*stripLanes, lanes)*lanes)
}

// at is where the levels of output j in group g begin.
func (w *LowBit) at(j, g int) int {
	strip := j / stripLanes
	return (strip*stripLanes*w.groups + g*w.width(strip) + j%stripLanes) * w.bits
}

// scaleAt is where the scale of output j in a block is.
func (w *LowBit) scaleAt(j, block int) int {
	strip := j / stripLanes
	return strip*stripLanes*w.blocks + block*w.width(strip) + j%stripLanes
}

// lowBitLevels are the levels by the low bits of a code, as the assembly has them.
var lowBitLevels = [5][16]float32{
	1: {1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1},
	2: {0, 1, -2, -1, 0, 1, -2, -1, 0, 1, -2, -1, 0, 1, -2, -1},
	4: {0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1},
}

// decode reads the eight levels of group g of output j, which counts the outputs
// that fill strips too.
func (w *LowBit) decode(j, g int) (levels [groupDepth]float32) {
	table, code := &lowBitLevels[w.bits], uint32(0)
	for i, b := range w.data[w.at(j, g):][:w.bits] {
		code |= uint32(b) << (8 * i)
	}
	for i := range levels {
		levels[i] = table[code&15]
		code >>= w.bits
	}
	return levels
}

// Bytes is what the matrix occupies.
func (w *LowBit) Bytes() int { return len(w.data) + 4*len(w.scale) + 4*len(w.shift) }

// lowBitRows is the number of rows up to which levels are decoded in registers,
// each time for four rows, by set. Rule 1, measured at n = k = 256, 1024 and 4096
// on Zen 5: beyond it, expanding once and multiplying at full speed takes no more
// time; until there a dense product takes up to seven times as long.
var lowBitRows = [...]int{Portable: 8, AVX2: 24, AVX512: 64}

// Product implements [Form].
func (w *LowBit) Product(p *Pool, m int) func(x, bias, y []float32) {
	q := &lowBitProduct{w: w, pool: p, m: m}
	if m > lowBitRows[p.set] {
		q.fill = q.expand
		return q.expanded
	}
	q.sums = make([]float32, ceilDiv(m, 4)*w.blocks*4)
	if w.k%groupDepth != 0 {
		q.padded = make([]float32, m*w.groups*groupDepth)
	}
	q.tiles = make([]float32, p.threads*4*stripLanes)
	q.args = make([]lowBitArgs, p.threads)
	q.body = q.strips
	return q.direct
}

// lowBitProduct is a bound product.
type lowBitProduct struct {
	w          *LowBit
	pool       *Pool
	m          int
	x, bias, y []float32 // of the call in progress
	padded     []float32 // x with rows of whole groups; nil if they are
	sums       []float32 // Σx by four rows, block, and row of the four
	tiles      []float32 // by worker: four rows of a strip
	args       []lowBitArgs
	scratch    freeList[expandScratch]
	body       func(worker, lo, hi int)
	fill       func(dst []float32, k0, k1, n0, n1 int)
}

// expanded multiplies by tiles that exist only while they are used.
func (q *lowBitProduct) expanded(x, bias, y []float32) {
	w := q.w
	checkForm(q.m, w.n, w.k, x, bias, y)
	beta := float32(0)
	if bias != nil {
		beta = 1
		for i := range q.m {
			copy(y[i*w.n:][:w.n], bias)
		}
	}
	SGEMMPacked(q.pool, false, q.m, w.n, w.k, 1, x, w.k, q.fill, beta, y, w.n)
}

// direct multiplies by levels decoded in registers.
func (q *lowBitProduct) direct(x, bias, y []float32) {
	w := q.w
	checkForm(q.m, w.n, w.k, x, bias, y)
	depth := w.groups * groupDepth
	if q.padded != nil {
		for i := range q.m {
			copy(q.padded[i*depth:], x[i*w.k:][:w.k])
		}
		x = q.padded
	}
	if w.shift != nil {
		q.sum(x, depth)
	}
	q.x, q.bias, q.y = x, bias, y
	q.pool.spread(ceilDiv(w.n, stripLanes), stripLanes*w.k*q.m, q.body)
	q.x, q.bias, q.y = nil, nil, nil
}

// sum computes Σx over each block, in order.
func (q *lowBitProduct) sum(x []float32, depth int) {
	block := q.w.perBlock * groupDepth
	for i := range q.m {
		for b := range q.w.blocks {
			s := [4]float32{}
			row := x[i*depth+b*block : i*depth+min(depth, (b+1)*block)]
			for p := 0; p+4 <= len(row); p += 4 {
				s[0] += row[p]
				s[1] += row[p+1]
				s[2] += row[p+2]
				s[3] += row[p+3]
			}
			q.sums[(i/4*q.w.blocks+b)*4+i%4] = (s[0] + s[1]) + (s[2] + s[3])
		}
	}
}

// strips computes strips [lo, hi) of outputs for all rows.
func (q *lowBitProduct) strips(worker, lo, hi int) {
	w := q.w
	tile := q.tiles[worker*4*stripLanes:][:4*stripLanes]
	for strip := lo; strip < hi; strip++ {
		j := strip * stripLanes
		for i := 0; i < q.m; i += 4 {
			rows := min(4, q.m-i)
			clear(tile)
			q.strip(worker, strip, i, rows, tile)
			storeRows(q.y[i*w.n:], w.n, j, min(stripLanes, w.n-j), tile, stripLanes, rows, q.bias)
		}
	}
}

// lowBitArgs are the operands of the assembly: it adds to y [rows, lanes of the
// kernel] the products of rows of x with the outputs whose levels begin at data.
// Steps are in bytes.
type lowBitArgs struct {
	rows, wide       int
	groups, perBlock int
	data             *byte
	step             int // from group to group
	scale, shift     *float32
	scaleStep        int // from block to block
	x                *float32
	xStep            int // from row to row
	sums             *float32
	y                *float32
	yStep            int
}

// strip adds the products of rows [i, i+rows) to the tile.
func (q *lowBitProduct) strip(worker, strip, i, rows int, tile []float32) {
	w, set := q.w, q.pool.set
	k := lowBitKernels[set].multiply[w.bits]
	if k == nil {
		q.stripPortable(strip, i, rows, tile)
		return
	}
	depth, width, j := w.groups*groupDepth, w.width(strip), strip*stripLanes
	x := q.x[i*depth : (i+rows)*depth]
	args := &q.args[worker]
	*args = lowBitArgs{
		rows: rows, groups: w.groups, perBlock: w.perBlock, step: width * w.bits, scaleStep: 4 * width,
		x: &x[0], xStep: 4 * depth, sums: &q.sums[i/4*w.blocks*4], yStep: 4 * stripLanes,
	}
	for l := 0; l < width; {
		args.wide = 0
		n := lanes
		if wide := lowBitKernels[set].wide(rows); width-l >= wide {
			args.wide, n = 1, wide
		}
		data, at := w.data[w.at(j+l, 0):], w.scaleAt(j+l, 0)
		_, _, _ = data[((w.groups-1)*width+n)*w.bits-1], w.scale[at+(w.blocks-1)*width+n-1], tile[(rows-1)*stripLanes+l+n-1]
		args.data, args.scale, args.y = &data[0], &w.scale[at], &tile[l]
		if w.shift != nil {
			_ = w.shift[at+(w.blocks-1)*width+n-1]
			args.shift = &w.shift[at]
		}
		k((*int)(unsafe.Pointer(args)))
		l += n
	}
}

// stripPortable is strip in Go.
func (q *lowBitProduct) stripPortable(strip, i, rows int, tile []float32) {
	w := q.w
	depth, width := w.groups*groupDepth, w.width(strip)
	for l := range width {
		j := strip*stripLanes + l
		for b := range w.blocks {
			at := w.scaleAt(j, b)
			var sums [4]float32
			for g := b * w.perBlock; g < min(w.groups, (b+1)*w.perBlock); g++ {
				levels := w.decode(j, g)
				for r := range rows {
					for p, x := range q.x[(i+r)*depth+g*groupDepth:][:groupDepth] {
						sums[r] += float32(levels[p] * x)
					}
				}
			}
			for r := range rows {
				y := &tile[r*stripLanes+l]
				*y += float32(sums[r] * w.scale[at])
				if w.shift != nil {
					*y += float32(w.shift[at] * q.sums[(i/4*w.blocks+b)*4+r])
				}
			}
		}
	}
}

// expandArgs are the operands of the assembly that writes scale·level + shift to
// rows of dst, one for each inner index of the groups.
type expandArgs struct {
	groups       int
	data         *byte
	step         int
	scale, shift *float32
	dst          *float32
	dstStep      int
	wide         int // two vectors of outputs, not one
}

// expandScratch is what one call of expand needs.
type expandScratch struct {
	args expandArgs
	edge [groupDepth * 2 * lanes]float32 // a group of which a part is wanted
}

// noShift is the shift of matrices without zero points.
var noShift [stripLanes]float32

// expand writes panels of Wᵀ[k0:k1, n0:n1] in the layout of [SGEMMPacked].
func (q *lowBitProduct) expand(dst []float32, k0, k1, n0, n1 int) {
	w, panel := q.w, q.pool.PanelWidth()
	scratch := q.scratch.get()
	defer q.scratch.put(scratch)
	depth := k1 - k0
	block := w.perBlock * groupDepth
	for j := n0; j < n1; j += panel {
		out := dst[(j-n0)*depth:][:panel*depth]
		for p := k0; p < k1; {
			b := p / block
			end := min(k1, (b+1)*block)
			q.expandBlock(scratch, out[(p-k0)*panel:], panel, j, b, p, end)
			p = end
		}
	}
}

// expandBlock writes inner indices [p0, p1), all of block b, of one panel.
func (q *lowBitProduct) expandBlock(s *expandScratch, dst []float32, panel, j, b, p0, p1 int) {
	w := q.w
	k := lowBitKernels[q.pool.set].expand[w.bits]
	if k == nil {
		q.expandPortable(dst, panel, j, b, p0, p1)
		return
	}
	for p0 < p1 {
		g, first := p0/groupDepth, p0%groupDepth
		if first > 0 || p1-p0 < groupDepth {
			n := min(groupDepth-first, p1-p0)
			clear(s.edge[:])
			q.expandGroups(k, &s.args, s.edge[:], panel, j, b, g, 1)
			copy(dst[:n*panel], s.edge[first*panel:])
			dst, p0 = dst[n*panel:], p0+n
			continue
		}
		whole := (p1 - p0) / groupDepth
		q.expandGroups(k, &s.args, dst, panel, j, b, g, whole)
		dst, p0 = dst[whole*groupDepth*panel:], p0+whole*groupDepth
	}
}

// expandGroups writes whole groups.
func (q *lowBitProduct) expandGroups(k func(*int), args *expandArgs, dst []float32, panel, j, b, g, groups int) {
	w := q.w
	width := w.width(j / stripLanes)
	n := min(panel, width-j%stripLanes)
	data, at := w.data[w.at(j, g):], w.scaleAt(j, b)
	_, _, _ = data[((groups-1)*width+n)*w.bits-1], w.scale[at+n-1], dst[(groups*groupDepth-1)*panel+n-1]
	*args = expandArgs{groups: groups, data: &data[0], step: width * w.bits, scale: &w.scale[at], shift: &noShift[0], dst: &dst[0], dstStep: 4 * panel}
	if w.shift != nil {
		_ = w.shift[at+n-1]
		args.shift = &w.shift[at]
	}
	if n > lanes {
		args.wide = 1
	}
	k((*int)(unsafe.Pointer(args)))
}

// expandPortable is expandBlock in Go.
func (q *lowBitProduct) expandPortable(dst []float32, panel, j, b, p0, p1 int) {
	w := q.w
	for l := range min(panel, w.n-j) {
		at := w.scaleAt(j+l, b)
		scale, shift := w.scale[at], float32(0)
		if w.shift != nil {
			shift = w.shift[at]
		}
		for p := p0; p < p1; {
			levels := w.decode(j+l, p/groupDepth)
			for end := min(p1, p-p%groupDepth+groupDepth); p < end; p++ {
				dst[(p-p0)*panel+l] = float32(scale*levels[p%groupDepth]) + shift
			}
		}
	}
}

// lowBitSet is the assembly of one instruction set, by bits.
type lowBitSet struct {
	multiply, expand [5]func(*int)
	wideLanes        [2]int // of a wide kernel: for one row, and for more
}

func (s *lowBitSet) wide(rows int) int { return s.wideLanes[min(rows, 2)-1] }
