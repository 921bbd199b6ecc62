package kernel

import "bytes"

// How convolutions and matrix products of bytes are computed. Data x is unsigned
// with a zero point, weights w are signed; both lie channels last, so that four
// neighbouring channels are one 32-bit word, which one instruction (VPDPBUSD)
// multiplies with the weights of 16 filters. Sums are exact in int32:
//
//	acc[m] = Σ (x − zero)·w = Σ x·w − zero·Σ w
//
// Pads hold the zero point, so that the correction is one number per filter, known
// beforehand. What becomes of the sums stands in [Int8Output].
//
// The image is taken in strips of output rows. A strip whose windows reach beyond
// the edge is copied, with its pads, to the worker's scratch memory; any other is
// read where it lies. For each strip and each 16, 32 or 64 filters the
// micro-kernel computes tiles of pixels, which it finds through a table of
// offsets, and the sums of up to [int8Chunk] pixels are then made outputs at once.

// Int8Output says what becomes of the sums of [Int8Conv]:
//
//	real[m] = float32(acc[m] + Bias[m])·Mul[m] + Add[m]
//	y = clamp(roundHalfToEven(real), Lo, Hi) + Zero       as bytes
//	y = clamp(real, Lo, Hi)                               if Real, as floats
//
// each operation rounded by itself. With Sum, the bytes that y would be are added
// to those of another tensor.
type Int8Output struct {
	Bias     []int32   // by filter; nil means 0
	Mul, Add []float32 // by filter
	Lo, Hi   float32
	Real     bool
	Zero     uint8
	Sum      *Int8Sum
}

// Int8Sum is the sum of two quantised tensors, in the units of a third. Of bytes a
// (less their zero point, which is how [Int8Output] has them) and b
//
//	y = clamp(roundHalfToEven((a·ScaleA + (b − ZeroB)·ScaleB)/ScaleY), Lo, Hi) + ZeroY
//
// with a rounding to float32 after each operation: what DequantizeLinear, Add, a
// function that clamps, and QuantizeLinear compute.
type Int8Sum struct {
	ScaleA, ScaleB, ScaleY float32
	ZeroB, ZeroY           uint8
	Lo, Hi                 float32
}

// int8Chunk is the most pixels whose sums are kept before they become outputs.
const int8Chunk = 80

// Int8Conv is a convolution of bytes with constant weights, ready to run. The
// shape is that of [ConvShape] but for the layout,
//
//	x [N, H, W, C],  w [M, C/Groups, KH, KW],  y [N, OH, OW, M]
//
// It may not run twice at once.
type Int8Conv struct {
	pool    *Pool
	kernels *int8Kernels
	s       ConvShape
	zero    uint8 // of x
	out     Int8Output
	scalars int8Scalars

	// Weights: for each group, block of 16 filters, segment and quad of channels,
	// [16][4]; of a depthwise convolution, see packDepthwise.
	weights   []int8
	depthwise bool
	blocks    int // of a group
	panel     int // weights of a block
	segs      []int
	taps      []int // of a depthwise convolution

	// By filter, blocks filled up. sums are those of the weights.
	sub, sums []int32
	mul, add  []float32

	rows     int // of a strip
	strips   int // of an image
	passes   int // over the filters, for one strip
	vectors  int // of 16 filters in a pass
	copied   bool
	pitch    int     // bytes from one row of a strip to the next
	pads     []uint8 // such a row outside of the image
	stripIn  int     // bytes of a copied strip, without margin
	off      []int   // by pixel of a strip
	space    int     // bytes of scratch for a worker
	accSpace int

	x, other, y []uint8
	real        []float32
	ints        []int32
	adds        bool
	ws          []byte
	workers     []int8Strips
	body        func(worker, lo, hi int)
}

// int8Scalars are the constants that assembly spreads over vectors; integers lie
// among them by their bits.
type int8Scalars [10]float32

// Int8Reach is the largest magnitude that a sum of [Int8Conv] can come to for any
// data, the most over the filters. It must stay below 2³¹.
func Int8Reach(s ConvShape, w []int8, bias []int32) int {
	k, most := s.taps(), 0
	for m := range s.M {
		sum := 0
		for _, v := range w[m*k:][:k] {
			sum += max(int(v), -int(v))
		}
		sum *= 255
		if bias != nil {
			sum += max(int(bias[m]), -int(bias[m]))
		}
		most = max(most, sum)
	}
	return most
}

// NewInt8Conv prepares a convolution: it packs the weights and makes the tables. s
// must be valid and [Int8Reach] below 2³¹, or sums wrap around. The pool is the one
// it will run on. For [Int8Conv.RunIntegers] alone the output needs no factors.
func NewInt8Conv(p *Pool, s ConvShape, zero uint8, w []int8, out Int8Output) *Int8Conv {
	checkLen("int8 convolution", "w", len(w), s.M*s.taps())
	if out.Mul == nil { // for RunIntegers
		out.Mul, out.Add = make([]float32, s.M), make([]float32, s.M)
	}
	checkLen("int8 convolution", "mul", len(out.Mul), s.M)
	checkLen("int8 convolution", "add", len(out.Add), s.M)
	c := &Int8Conv{pool: p, kernels: int8KernelsOf(p.set), s: s, zero: zero, out: out}
	c.scalars = out.scalars()
	c.flatten()
	c.depthwise = s.Groups > 1 && s.Groups == s.C && s.M == s.C
	if c.depthwise {
		c.packDepthwise(w)
	} else {
		c.pack(w)
	}
	c.corrections(w)
	c.split()
	c.workers = make([]int8Strips, p.threads)
	for w := range c.workers {
		c.workers[w].c = c
		c.workers[w].row.scalars = &c.scalars
	}
	c.body = c.part
	return c
}

// flatten makes a convolution that looks at one pixel at a time one over a single
// image a pixel wide, whose strips may have any height.
func (c *Int8Conv) flatten() {
	s := &c.s
	if s.KH*s.KW == 1 && s.SH*s.SW == 1 && s.PT+s.PB+s.PL+s.PR == 0 {
		s.H, s.W, s.N = s.N*s.H*s.W, 1, 1
		s.OH, s.OW = s.H, 1
	}
}

// segments are the stretches of x that one output sums over: whole rows of the
// window where its pixels lie side by side, else single pixels.
func (c *Int8Conv) segments() (count, length int) {
	s := &c.s
	if s.Groups == 1 && s.DW == 1 {
		return s.KH, s.KW * s.C
	}
	return s.KH * s.KW, s.C / s.Groups
}

// pack arranges the weights. The last quad of a segment is filled up with zeros,
// the last block of a group too.
func (c *Int8Conv) pack(w []int8) {
	s := &c.s
	count, length := c.segments()
	quads := (length + 3) / 4
	c.blocks = (s.groupOut() + int8Lanes - 1) / int8Lanes
	c.panel = count * quads * 4 * int8Lanes
	c.weights = make([]int8, s.Groups*c.blocks*c.panel)
	in, window := s.groupIn(), s.KH*s.KW
	for m := range s.M {
		g, r := m/s.groupOut(), m%s.groupOut()
		to := c.weights[(g*c.blocks+r/int8Lanes)*c.panel:][:c.panel]
		for ch := range in {
			for t := range window {
				at := t * in // of this weight among those of a filter, channels last
				at += ch
				seg, k := at/length, at%length
				to[((seg*quads+k/4)*int8Lanes+r%int8Lanes)*4+k%4] = w[(m*in+ch)*window+t]
			}
		}
	}
}

// corrections computes what is added to the sums, and the factors, by packed
// filter.
func (c *Int8Conv) corrections(w []int8) {
	s, k := &c.s, c.s.taps()
	n := s.Groups * c.blocks * int8Lanes
	if c.depthwise {
		n = c.blocks * depthwiseLanes
	}
	c.sub, c.sums, c.mul, c.add = make([]int32, n), make([]int32, n), make([]float32, n), make([]float32, n)
	for m := range s.M {
		at := m
		if !c.depthwise {
			at = m/s.groupOut()*c.blocks*int8Lanes + m%s.groupOut()
		}
		sum := int32(0)
		for _, v := range w[m*k:][:k] {
			sum += int32(v)
		}
		c.sums[at], c.sub[at] = sum, -int32(c.zero)*sum
		if c.out.Bias != nil {
			c.sub[at] += c.out.Bias[m]
		}
		c.mul[at], c.add[at] = c.out.Mul[m], c.out.Add[m]
	}
}

// Bounds on strips, in bytes of input: small enough for the first-level cache
// beside a block of weights; where the weights are too many for the second-level
// cache, as large as it takes to read them seldom. Found by measuring ResNet-18
// and -20 on Zen 5. Rule version 1.
const (
	int8Strip       = 16 << 10
	int8LargeStrip  = 256 << 10
	int8LargeWeight = 256 << 10
	int8StripPixels = 2 * int8Chunk
)

// split chooses the strips and makes the tables of offsets.
func (c *Int8Conv) split() {
	s := &c.s
	_, length := c.segments()
	padded := s.PT+s.PB+s.PL+s.PR > 0
	c.copied = padded || !c.depthwise && length%4 != 0
	c.pitch = (s.W + s.PL + s.PR) * s.C

	limit, pixels := int8Strip, int8StripPixels
	if len(c.weights) > int8LargeWeight {
		limit, pixels = int8LargeStrip, 1<<30
	}
	rows := min(s.OH, (pixels+s.OW-1)/s.OW)
	for rows > 1 && c.rowsIn(rows)*c.pitch > limit {
		rows = (rows + 1) / 2
	}
	c.strips = (s.OH + rows - 1) / rows
	c.rows = (s.OH + c.strips - 1) / c.strips
	c.strips = (s.OH + c.rows - 1) / c.rows

	c.vectors = 1
	for _, v := range []int{2, 4} {
		if c.blocks >= v && !c.depthwise && c.kernels.rows[v] > 0 && (v < 4 || c.rows*s.OW <= c.kernels.rows[v]) {
			c.vectors = v
		}
	}
	c.passes = s.Groups * ((c.blocks + c.vectors - 1) / c.vectors)
	lanes := c.vectors * int8Lanes
	if c.depthwise {
		c.passes, lanes = c.blocks, depthwiseLanes
	}
	c.tables()
	c.accSpace = 4 * min(int8Chunk, c.rows*s.OW) * lanes
	if c.copied {
		c.stripIn = c.rowsIn(c.rows) * c.pitch
		c.pads = bytes.Repeat([]byte{c.zero}, c.pitch)
	}
	c.space = roundUp64(c.accSpace) + roundUp64(c.stripIn+int8Margin)
}

// int8Margin is what the last quad of a segment may lie beyond it.
const int8Margin = 4

func roundUp64(n int) int { return (n + 63) &^ 63 }

// rowsIn is the number of input rows that some output rows read.
func (c *Int8Conv) rowsIn(rows int) int {
	return (rows-1)*c.s.SH + (c.s.KH-1)*c.s.DH + 1
}

func (c *Int8Conv) tables() {
	s := &c.s
	for i := range c.rows * s.OW {
		c.off = append(c.off, i/s.OW*s.SH*c.pitch+i%s.OW*s.SW*s.C)
	}
	if c.depthwise {
		c.taps = depthwiseTaps(s, c.pitch)
		return
	}
	count, length := c.segments()
	for i := range count {
		at := i * s.DH * c.pitch
		if count != s.KH {
			at = i/s.KW*s.DH*c.pitch + i%s.KW*s.DW*s.C
		}
		c.segs = append(c.segs, at, at+(length+3)&^3)
	}
}

// Workspace is the bytes of scratch that a run needs.
func (c *Int8Conv) Workspace() int { return c.pool.threads * c.space }

// Run convolves x. The outputs go to y or, if they are real, to reals. other is
// what [Int8Output] sums with, of y's shape. It panics if a slice is too short.
func (c *Int8Conv) Run(x, other, y []uint8, reals []float32, ws []byte) {
	s := &c.s
	size := s.N * s.OH * s.OW * s.M
	checkLen("int8 convolution", "x", len(x), s.N*s.H*s.W*s.C)
	if c.out.Real {
		checkLen("int8 convolution", "y", len(reals), size)
	} else {
		checkLen("int8 convolution", "y", len(y), size)
	}
	if c.out.Sum != nil {
		checkLen("int8 convolution", "other", len(other), size)
	}
	checkLen("int8 convolution", "scratch", len(ws), c.Workspace())
	c.x, c.other, c.y, c.real, c.ws = x, other, y, reals, ws
	c.run()
	c.x, c.other, c.y, c.real, c.ws = nil, nil, nil, nil, nil
}

// RunIntegers gives the sums themselves, for a zero point of x that may change
// from run to run: y = Σ (x − zero)·w, or y plus that if adds.
func (c *Int8Conv) RunIntegers(x []uint8, zero uint8, y []int32, adds bool, ws []byte) {
	s := &c.s
	checkLen("int8 convolution", "x", len(x), s.N*s.H*s.W*s.C)
	checkLen("int8 convolution", "y", len(y), s.N*s.OH*s.OW*s.M)
	checkLen("int8 convolution", "scratch", len(ws), c.Workspace())
	for i, sum := range c.sums {
		c.sub[i] = -int32(zero) * sum
	}
	for i := range c.pads {
		c.pads[i] = zero
	}
	c.x, c.ints, c.adds, c.ws = x, y, adds, ws
	c.run()
	c.x, c.ints, c.ws = nil, nil, nil
}

// run spreads the strips and passes.
func (c *Int8Conv) run() {
	s := &c.s
	items := s.N * c.strips * c.passes
	work := s.N * s.OH * s.OW * s.M * s.taps() / max(1, items)
	if err := c.pool.For(items, 1+int8Grain/max(1, work), c.body); err != nil {
		panic(err)
	}
}

// int8Grain is the number of products worth a thread of their own: what one
// computes in half a microsecond, about as long as it takes to wake another.
const int8Grain = 1 << 18

// part computes items [lo, hi): passes over strips, strip by strip.
func (c *Int8Conv) part(worker, lo, hi int) {
	ws := c.ws[worker*c.space:][:c.space]
	strip := &c.workers[worker]
	strip.acc, strip.memory = int32sOf(ws[:c.accSpace]), ws[roundUp64(c.accSpace):]
	at := -1
	for i := lo; i < hi; i++ {
		if i/c.passes != at {
			at = i / c.passes
			strip.begin(at)
		}
		if c.depthwise {
			strip.depthwise(i % c.passes)
		} else {
			strip.pass(i % c.passes)
		}
	}
}

// int8Strips is a worker's view of the strip it works on.
type int8Strips struct {
	c      *Int8Conv
	acc    []int32
	memory []byte
	x      []uint8 // what the offsets are relative to
	pixels int
	out    int // first pixel in y
	row    int8Row
}

// begin makes a strip's input readable.
func (t *int8Strips) begin(i int) {
	c, s := t.c, &t.c.s
	image, first := i/c.strips, i%c.strips*c.rows
	rows := min(c.rows, s.OH-first)
	t.pixels, t.out = rows*s.OW, (image*s.OH+first)*s.OW
	x := c.x[image*s.H*s.W*s.C:][:s.H*s.W*s.C]
	top := first*s.SH - s.PT
	if !c.copied {
		t.x = x[top*c.pitch:]
		return
	}
	copyPadded(t.memory, x, top, c.rowsIn(rows), s.H, s.W*s.C, s.PL*s.C, c.pads)
	t.x = t.memory
}

// copyPadded copies rows [top, top+n) of an image of h rows of some width to rows
// as long as pads, which are what those hold to the left, from left on to the
// right, and beyond the image.
func copyPadded(dst, x []uint8, top, n, h, width, left int, pads []uint8) {
	pitch := len(pads)
	if pitch == width && top >= 0 && top+n <= h {
		copy(dst[:n*width], x[top*width:])
		return
	}
	for i := range n {
		row := dst[i*pitch:][:pitch]
		if y := top + i; y >= 0 && y < h {
			copy(row[:left], pads)
			copy(row[left:left+width], x[y*width:])
			copy(row[left+width:], pads)
		} else {
			copy(row, pads)
		}
	}
}

// pass computes a strip's outputs of the filters of one pass.
func (t *int8Strips) pass(i int) {
	c, s := t.c, &t.c.s
	perGroup := (c.blocks + c.vectors - 1) / c.vectors
	group, first := i/perGroup, i%perGroup*c.vectors
	vectors := min(c.vectors, c.blocks-first)
	if vectors == 3 {
		vectors = 2 // and one more round below
	}
	for ; first < min(c.blocks, (i%perGroup+1)*c.vectors); first += vectors {
		vectors = min(vectors, c.blocks-first)
		x := t.x[group*s.groupIn():]
		w := c.weights[(group*c.blocks+first)*c.panel:][:vectors*c.panel]
		for p := 0; p < t.pixels; p += int8Chunk {
			n := min(int8Chunk, t.pixels-p)
			t.tiles(x, c.off[p:p+n], w, vectors)
			for v := range vectors {
				filter := (first + v) * int8Lanes
				t.store(p, n, t.acc[v*int8Lanes:], vectors*int8Lanes, (group*c.blocks+first+v)*int8Lanes,
					group*s.groupOut()+filter, min(int8Lanes, s.groupOut()-filter))
			}
		}
	}
}

// tiles computes the sums of the pixels at some offsets, by tiles as equal as
// can be; the last overlaps the one before it.
func (t *int8Strips) tiles(x []uint8, off []int, w []int8, vectors int) {
	k := t.c.kernels
	n, most := len(off), k.rows[vectors]
	count := (n + most - 1) / most
	rows := (n + count - 1) / count
	for i := 0; i < n; i += rows {
		i = min(i, n-rows)
		k.dot(rows, vectors, x, off[i:], w, t.c.panel, t.c.segs, t.acc[i*vectors*int8Lanes:])
	}
}

// store makes outputs of the sums of n pixels from p on and up to 16 filters:
// those at acc, every lda of them a pixel. packed and filter are where the filters
// begin among the constants and in y.
func (t *int8Strips) store(p, n int, acc []int32, lda, packed, filter, filters int) {
	c, s := t.c, &t.c.s
	at := (t.out+p)*s.M + filter
	last := at + (n-1)*s.M + filters // what is stored ends here
	r := &t.row
	r.n, r.acc, r.lda, r.ldy, r.filters = n, acc, lda, s.M, filters
	r.sub, r.mul, r.add = c.sub[packed:][:int8Lanes], c.mul[packed:][:int8Lanes], c.add[packed:][:int8Lanes]
	switch {
	case c.ints != nil:
		integersInt8(r, c.ints[at:last], c.adds)
	case c.out.Real:
		c.kernels.real(r, c.real[at:last])
	case c.out.Sum != nil:
		c.kernels.sum(r, c.y[at:last], c.other[at:last])
	default:
		c.kernels.requantize(r, c.y[at:last])
	}
}

// scalars lists the constants as the kernels read them.
func (o *Int8Output) scalars() int8Scalars {
	if o.Sum == nil {
		return int8Scalars{o.Lo, o.Hi, integerBits(o.Zero)}
	}
	s := o.Sum.scalars()
	return int8Scalars{o.Lo, o.Hi, integerBits(o.Zero), s[1], s[2], s[3], s[4], s[5], s[6], s[7]}
}

// scalars: zero of a, scale of a, zero of b, and so on. The first is for
// [Int8Add].
func (s *Int8Sum) scalars() int8Scalars {
	return int8Scalars{0, s.ScaleA, integerBits(s.ZeroB), s.ScaleB, s.ScaleY, s.Lo, s.Hi, integerBits(s.ZeroY)}
}
