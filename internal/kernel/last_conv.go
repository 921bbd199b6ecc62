package kernel

import "math"

// LastConv is a convolution with constant weights over tensors whose channels
// lie side by side:
//
//	x [N, H, W, C],  y [N, OH, OW, M],  w [M, C/Groups, KH, KW]
//
// It computes the same as [Conv], plus a residual [N, OH, OW, M] if there is
// one, bounded to [Low, High]. Weights are packed once, into panels of as many
// output channels as a micro-kernel holds. An element of x is broadcast and
// multiplied with the channels of a panel; the elements under one row of the
// window lie side by side, so that a sum consists of few long runs. Taps beyond
// the top and bottom edge are left out; input rows with pads at their sides are
// copied to scratch, a strip at a time.
//
// Every output is one chain of (in the sets with assembly fused) multiply-adds
// from the bias on, in the order of the window, whatever the split.
type LastConv struct {
	pool      *Pool
	tile      *lastTiles
	shape     ConvShape
	low, high float32
	panels    []lastPanel

	perRow  int   // runs in a row of the window
	length  int   // elements of a run
	offsets []int // of runs from the window's first element
	blocks  []int // bounds of runs whose weights stay in the cache together

	flat    bool // 1×1 with stride 1: all pixels are one row
	padded  bool // input rows are copied with pads
	rowLen  int  // elements of an input row as the kernel reads it
	strip   int  // output rows done together
	byPanel bool // threads share the panels rather than the rows

	workers         []lastWorker
	x, residual, y  []float32
	scratch         []float32
	body            func(worker, lo, hi int)
	stripScratchLen int
}

// lastPanel is the packed weights [runs, length, vectors·lanes] of some output
// channels of one group.
type lastPanel struct {
	vectors, width int
	from, to       int // output channels, and
	in             int // first input channel
	w, bias        []float32
	mask           *laneMask
}

// lastWorker is a worker's arguments, on cache lines of their own.
type lastWorker struct {
	args lastArgs
	_    [128]byte
}

// Rules of version 1, found by timing the convolutions of ResNet-18, ResNet-20
// and MobileNetV2 on a Zen 5 core with 48 KB, 1 MB and 32 MB of cache.
const (
	stripBytes = 128 << 10 // input rows of a strip
	blockBytes = 400 << 10 // weights of a block of runs
)

// NewLastConv packs the weights. s must be valid; bias may be nil. It panics if
// a slice is too short.
func NewLastConv(p *Pool, s ConvShape, w, bias []float32, low, high float32) *LastConv {
	checkLen("convolution", "w", len(w), s.M*s.taps())
	if bias != nil {
		checkLen("convolution", "bias", len(bias), s.M)
	}
	c := &LastConv{pool: p, tile: &sLastTiles[p.set], shape: s, low: low, high: high, workers: make([]lastWorker, p.threads)}
	pixels := (s.OW-1)*s.SW + (s.KW-1)*s.DW + 1
	c.padded = s.PL > 0 || pixels > s.W
	if !c.padded {
		pixels = s.W
	}
	c.rowLen = pixels * s.C
	c.flat = s.KH*s.KW*s.SH*s.SW == 1 && s.H == s.OH && s.W == s.OW && s.PT == 0 && !c.padded
	c.runs()
	c.pack(w, bias)
	c.strip = s.OH
	for c.strip > 1 && 4*c.rowLen*c.stripRows(c.strip) > stripBytes {
		c.strip = max(1, c.strip/2)
	}
	if c.padded {
		c.stripScratchLen = c.rowLen * c.stripRows(c.strip)
	}
	weights := s.M * s.taps()
	c.byPanel = len(c.panels) >= p.threads && (weights > s.N*s.C*s.H*s.W || !c.flat && s.N*s.OH < p.threads)
	c.body = c.part
	return c
}

// stripRows is the input rows under so many output rows.
func (c *LastConv) stripRows(rows int) int {
	return (rows-1)*c.shape.SH + (c.shape.KH-1)*c.shape.DH + 1
}

// runs lays out what one output's sum reads: a run for each row of the window if
// the channels of neighbouring taps lie side by side, else one for each tap.
func (c *LastConv) runs() {
	s := &c.shape
	c.perRow, c.length = 1, s.KW*s.C
	if s.KW > 1 && (s.DW > 1 || s.Groups > 1) || s.Groups > 1 {
		c.perRow, c.length = s.KW, s.groupIn()
	}
	for kh := range s.KH {
		for r := range c.perRow {
			c.offsets = append(c.offsets, kh*s.DH*c.rowLen+r*s.DW*s.C)
		}
	}
}

// pack splits the output channels of each group evenly over panels.
func (c *LastConv) pack(w, bias []float32) {
	s := &c.shape
	lanes, most := c.tile.lanes, len(c.tile.pixels)-1
	perGroup := s.groupOut()
	vectors := ceilDiv(perGroup, lanes)
	parts := ceilDiv(vectors, most)
	for g := range s.Groups {
		for i := range parts {
			v0, v1 := vectors*i/parts, vectors*(i+1)/parts
			p := lastPanel{vectors: v1 - v0, width: (v1 - v0) * lanes, in: g * s.groupIn(),
				from: g*perGroup + v0*lanes, to: g*perGroup + min(v1*lanes, perGroup)}
			p.mask = newLaneMask(p.to-p.from-(p.vectors-1)*lanes, lanes)
			c.packPanel(&p, w, bias)
			c.panels = append(c.panels, p)
		}
	}
	width := c.panels[0].width
	perBlock := max(1, blockBytes/(4*c.length*width))
	runs := len(c.offsets)
	for b, n := 0, ceilDiv(runs, perBlock); b <= n; b++ {
		c.blocks = append(c.blocks, runs*b/n)
	}
}

func (c *LastConv) packPanel(p *lastPanel, w, bias []float32) {
	s := &c.shape
	p.bias = make([]float32, p.width)
	p.w = make([]float32, s.taps()*p.width)
	in, taps := s.groupIn(), s.KH*s.KW
	for m := p.from; m < p.to; m++ {
		if bias != nil {
			p.bias[m-p.from] = bias[m]
		}
		for k := range in {
			for t, v := range w[(m*in+k)*taps:][:taps] {
				p.w[(t*in+k)*p.width+m-p.from] = v
			}
		}
	}
}

// Workspace is the elements of scratch that Run needs.
func (c *LastConv) Workspace() int { return c.pool.threads * c.stripScratchLen }

// Run computes y; residual may be nil. A LastConv runs once at a time. It panics
// if a slice is too short.
func (c *LastConv) Run(x, residual, y, scratch []float32) error {
	s := &c.shape
	checkLen("convolution", "x", len(x), s.N*s.C*s.H*s.W)
	checkLen("convolution", "y", len(y), s.N*s.M*s.OH*s.OW)
	checkLen("convolution", "scratch", len(scratch), c.Workspace())
	if residual != nil {
		checkLen("convolution", "residual", len(residual), s.N*s.M*s.OH*s.OW)
	}
	c.x, c.residual, c.y, c.scratch = x, residual, y, scratch
	units := s.N * s.OH
	work := s.OW * s.M * s.taps() // of a unit
	switch {
	case c.byPanel:
		units, work = len(c.panels), s.N*s.OH*work/len(c.panels)
	case c.flat:
		units, work = s.N*s.OH*s.OW, work/s.OW
	}
	return c.pool.For(units, 1+minProducts/work, c.body)
}

// part does rows, pixels or panels [lo, hi).
func (c *LastConv) part(worker, lo, hi int) {
	s := &c.shape
	rows, panels := [2]int{lo, hi}, c.panels
	if c.byPanel {
		panels = c.panels[lo:hi]
		rows = [2]int{0, s.N * s.OH}
		if c.flat {
			rows[1] *= s.OW
		}
	}
	args := &c.workers[worker].args
	args.Length, args.Stride, args.StrideY = c.length, 4*s.SW*s.C, 4*s.M
	if c.flat {
		c.pixels(args, rows[0], rows[1], panels)
		return
	}
	for at := rows[0]; at < rows[1]; {
		n, oh := at/s.OH, at%s.OH
		end := min(oh+c.strip, s.OH, oh+rows[1]-at)
		c.rows(worker, args, n, oh, end, panels)
		at += end - oh
	}
}

// pixels does pixels [lo, hi) of a matrix product.
func (c *LastConv) pixels(args *lastArgs, lo, hi int, panels []lastPanel) {
	s := &c.shape
	step := max(96, stripBytes/(4*s.C))
	for at := lo; at < hi; at += step {
		count := min(step, hi-at)
		for i := range panels {
			p := &panels[i]
			args.Offsets, args.Runs, args.W = &c.offsets[0], 1, &p.w[0]
			c.tiles(args, p, at*s.C+p.in, c.x, at, count, true, true)
		}
	}
}

// rows does output rows [lo, hi) of image n.
func (c *LastConv) rows(worker int, args *lastArgs, n, lo, hi int, panels []lastPanel) {
	s := &c.shape
	first := 0 // input row that x begins with
	x := c.x[n*s.H*s.W*s.C:][:s.H*s.W*s.C]
	if c.padded {
		first = max(0, lo*s.SH-s.PT)
		x = c.pad(worker, x, first, min(s.H, lo*s.SH-s.PT+c.stripRows(hi-lo)))
	}
	for i := range panels {
		p := &panels[i]
		for b := range len(c.blocks) - 1 {
			for oh := lo; oh < hi; oh++ {
				c.row(args, p, x, first, n, oh, b)
			}
		}
	}
}

// pad copies input rows [lo, hi) with the pads at their sides.
func (c *LastConv) pad(worker int, x []float32, lo, hi int) []float32 {
	s := &c.shape
	to := c.scratch[worker*c.stripScratchLen:][:c.stripScratchLen]
	left := min(s.PL*s.C, c.rowLen)
	width := max(0, min(s.W*s.C, c.rowLen-left))
	for r := lo; r < hi; r++ {
		row := to[(r-lo)*c.rowLen:][:c.rowLen]
		clear(row[:left])
		copy(row[left:left+width], x[r*s.W*s.C:])
		clear(row[left+width:])
	}
	return to
}

// row adds the runs of one block to a row of outputs.
func (c *LastConv) row(args *lastArgs, p *lastPanel, x []float32, first, n, oh, block int) {
	s := &c.shape
	top := oh*s.SH - s.PT
	kh0, kh1 := inside(top, s.DH, s.H, s.KH)
	r0, r1 := max(c.blocks[block], kh0*c.perRow), min(c.blocks[block+1], kh1*c.perRow)
	begin, end := block == 0, block == len(c.blocks)-2
	at := p.in
	switch {
	case r0 < r1:
		at += (top + kh0*s.DH - first) * c.rowLen
		args.Offsets, args.Runs, args.W = &c.offsets[r0-kh0*c.perRow], r1-r0, &p.w[r0*c.length*p.width]
	case begin || end:
		args.Offsets, args.Runs, args.W = &c.offsets[0], 0, &p.w[0]
	default:
		return
	}
	c.tiles(args, p, at, x, (n*s.OH+oh)*s.OW, s.OW, begin, end)
}

// tiles does count neighbouring pixels, from x[at] to pixel out, in tiles of
// nearly equal size.
func (c *LastConv) tiles(args *lastArgs, p *lastPanel, at int, x []float32, out, count int, begin, end bool) {
	s := &c.shape
	args.Bias, args.Mask = &p.bias[0], p.mask
	args.Low, args.High = float32(math.Inf(-1)), float32(math.Inf(1))
	if end {
		args.Low, args.High = c.low, c.high
	}
	parts := ceilDiv(count, c.tile.pixels[p.vectors])
	for i, from := 0, 0; i < parts; i++ {
		to := count * (i + 1) / parts
		y := (out+from)*s.M + p.from
		args.X, args.Y = &x[at+from*s.SW*s.C], &c.y[y]
		args.Partial, args.Residual = nil, nil
		if !begin {
			args.Partial = args.Y
		}
		if end && c.residual != nil {
			args.Residual = &c.residual[y]
		}
		c.tile.conv(p.vectors, to-from, args)
		from = to
	}
}
