package kernel

import "math"

// LastWindow slides a window over tensors whose channels lie side by side and
// keeps the channels apart:
//
//	x [N, H, W, C],  y [N, OH, OW, C]
//
// It is a depthwise convolution, a maximum or a mean. Taps beyond the edge are
// left out: outputs with the same taps inside share a table of them, and
// neighbouring ones are done together.
type LastWindow struct {
	pool      *Pool
	kernel    func(pixels int, a *lastArgs)
	mean      bool
	shape     PoolShape
	low, high float32
	w, bias   []float32 // packed [taps, channels of whole vectors]
	mask      *laneMask
	columns   []windowColumns
	classes   []windowRows
	class     []int // of each output row

	depth *[4]func(pixels int, a *lastArgs) // of a window three wide, or nil

	workers []lastWorker
	x, y    []float32
	body    func(worker, lo, hi int)
}

// windowColumns are neighbouring outputs whose windows have the same columns
// inside; count is those that a mean counts.
type windowColumns struct{ from, to, kw0, kw1, count int }

// windowRows are output rows whose windows have the same rows inside.
type windowRows struct {
	kh0, kh1, count int
	taps            [][]int // by columns: pairs of offsets in x and w
}

// maxWindowTable bounds the entries of a LastWindow's tables.
const maxWindowTable = 1 << 20

// FitsLastWindow reports whether the tables of a [LastWindow] are small; windows
// of hundreds of rows and columns over pads as wide make them large.
func FitsLastWindow(s PoolShape) bool {
	return countable(min(s.OH, 2*s.KH+1), min(s.OW, 2*s.KW+1), s.KH, s.KW) &&
		min(s.OH, 2*s.KH+1)*min(s.OW, 2*s.KW+1)*s.KH*s.KW <= maxWindowTable
}

// NewLastDepthwise is the convolution with one filter w [C, KH, KW] for each
// channel, bounded to [low, high]. bias may be nil. conv must be valid, with
// groups of one channel each and as many filters.
func NewLastDepthwise(p *Pool, conv ConvShape, w, bias []float32, low, high float32) *LastWindow {
	s := conv.window()
	c := newLastWindow(p, s, false)
	c.kernel, c.low, c.high = sLastTiles[p.set].multiply, low, high
	taps, width := s.KH*s.KW, c.width()
	checkLen("convolution", "w", len(w), s.C*taps)
	c.w, c.bias = make([]float32, taps*width), make([]float32, width)
	copy(c.bias, bias)
	for ch := range s.C {
		for t := range taps {
			c.w[t*width+ch] = w[ch*taps+t]
		}
	}
	overhang := (s.OW-1)*s.SW - s.PL + 3 - s.W
	if s.KW == 3 && s.DW == 1 && s.SW <= 2 && s.PL <= 1 && overhang <= 1 && sLastTiles[p.set].depth[0][0] != nil {
		c.depth = &sLastTiles[p.set].depth[s.SW-1]
	}
	return c
}

// NewLastMaxPool is the maximum over each window; a NaN wins. s must be valid.
func NewLastMaxPool(p *Pool, s PoolShape) *LastWindow {
	c := newLastWindow(p, s, false)
	c.kernel, c.low = sLastTiles[p.set].max, float32(math.Inf(-1))
	return c
}

// NewLastAveragePool is the mean over each window as [AveragePool] defines it. s
// must be valid.
func NewLastAveragePool(p *Pool, s PoolShape, includePad bool) *LastWindow {
	c := newLastWindow(p, s, includePad)
	c.kernel, c.mean = sLastTiles[p.set].sum, true
	return c
}

func newLastWindow(p *Pool, s PoolShape, includePad bool) *LastWindow {
	c := &LastWindow{pool: p, shape: s, workers: make([]lastWorker, p.threads)}
	lanes := sLastTiles[p.set].lanes
	c.mask = newLaneMask((s.C-1)%lanes+1, lanes)
	for j := range s.OW {
		left, lo, hi := s.cols(j)
		col := windowColumns{j, j + 1, lo, hi, hi - lo}
		if includePad {
			col.count = tapsBefore(left, s.DW, s.W+s.PR, s.KW)
		}
		if last := len(c.columns) - 1; last >= 0 {
			q := &c.columns[last]
			if q.kw0 == lo && q.kw1 == hi && q.count == col.count {
				q.to = j + 1
				continue
			}
		}
		c.columns = append(c.columns, col)
	}
	for i := range s.OH {
		top, lo, hi := s.rows(i)
		count := hi - lo
		if includePad {
			count = tapsBefore(top, s.DH, s.H+s.PB, s.KH)
		}
		c.class = append(c.class, c.rowsClass(lo, hi, count))
	}
	c.body = c.part
	return c
}

// width is the channels of whole vectors.
func (c *LastWindow) width() int {
	lanes := sLastTiles[c.pool.set].lanes
	return ceilDiv(c.shape.C, lanes) * lanes
}

// rowsClass finds or makes the class of rows with these taps inside.
func (c *LastWindow) rowsClass(kh0, kh1, count int) int {
	for i := range c.classes {
		if r := &c.classes[i]; r.kh0 == kh0 && r.kh1 == kh1 && r.count == count {
			return i
		}
	}
	s := &c.shape
	r := windowRows{kh0: kh0, kh1: kh1, count: count}
	for _, col := range c.columns {
		var taps []int
		for kh := kh0; kh < kh1; kh++ {
			for kw := col.kw0; kw < col.kw1; kw++ {
				taps = append(taps, ((kh-kh0)*s.DH*s.W+(kw-col.kw0)*s.DW)*s.C, (kh*s.KW+kw)*c.width())
			}
		}
		r.taps = append(r.taps, taps)
	}
	c.classes = append(c.classes, r)
	return len(c.classes) - 1
}

// Run computes y. A LastWindow runs once at a time. It panics if a slice is too
// short.
func (c *LastWindow) Run(x, y []float32) error {
	s := &c.shape
	s.check("window", len(x), len(y))
	c.x, c.y = x, y
	return c.pool.For(s.N*s.OH, 1+minProducts/(s.OW*s.C*s.KH*s.KW), c.body)
}

// part does rows [lo, hi) of outputs.
func (c *LastWindow) part(worker, lo, hi int) {
	s := &c.shape
	args := &c.workers[worker].args
	args.Stride, args.StrideY, args.Channels, args.Mask = 4*s.SW*s.C, 4*s.C, s.C, c.mask
	args.Low, args.High = c.low, c.high
	if c.w != nil {
		args.W, args.Bias = &c.w[0], &c.bias[0]
	}
	for at := lo; at < hi; at++ {
		n, oh := at/s.OH, at%s.OH
		rows := &c.classes[c.class[oh]]
		x := c.x[n*s.H*s.W*s.C:][:s.H*s.W*s.C]
		top := oh*s.SH - s.PT + rows.kh0*s.DH
		if c.depth != nil {
			c.three(args, rows, x, top, at*s.OW)
			continue
		}
		for i := range c.columns {
			c.span(args, &c.columns[i], rows, rows.taps[i], x, top, at*s.OW)
		}
	}
}

// three does a row of outputs of a depthwise window three wide, in tiles of
// nearly equal size.
func (c *LastWindow) three(args *lastArgs, rows *windowRows, x []float32, top, out int) {
	s := &c.shape
	args.Runs, args.Row, args.Tap = rows.kh1-rows.kh0, 4*s.DH*s.W*s.C, 4*c.width()
	args.Stride = 4 * s.C
	args.W = &c.w[rows.kh0*3*c.width()]
	if args.Runs == 0 {
		top, args.W = 0, &c.w[0]
	}
	parts := ceilDiv(s.OW, windowPixels)
	for i, from := 0, 0; i < parts; i++ {
		to := s.OW * (i + 1) / parts
		first, edges := from*s.SW-s.PL, 0
		if first < 0 {
			first, edges = 0, 1
		}
		if (to-1)*s.SW-s.PL+3 > s.W {
			edges |= 2
		}
		args.X, args.Y = &x[(top*s.W+first)*s.C], &c.y[(out+from)*s.C]
		c.depth[edges](to-from, args)
		from = to
	}
}

// span does the outputs of a row that share their taps, the row's first being
// pixel out.
func (c *LastWindow) span(args *lastArgs, col *windowColumns, rows *windowRows, taps []int, x []float32, top, out int) {
	s := &c.shape
	args.Runs, args.Offsets = len(taps)/2, nil
	if c.mean {
		args.Low = 0
		if n := rows.count * col.count; n > 0 {
			args.Low = 1 / float32(n)
		}
	}
	for from := col.from; from < col.to; from += windowPixels {
		pixels := min(windowPixels, col.to-from)
		args.X = &x[0]
		if len(taps) > 0 {
			args.Offsets = &taps[0]
			args.X = &x[(top*s.W+from*s.SW-s.PL+col.kw0*s.DW)*s.C]
		}
		args.Y = &c.y[(out+from)*s.C]
		c.kernel(pixels, args)
	}
}

// Depthwise reports whether every filter reads one channel of its own, for which
// [NewLastDepthwise] is there.
func (s ConvShape) Depthwise() bool {
	return s.Groups > 1 && s.Groups == s.C && s.M == s.C && FitsLastWindow(s.window())
}
