package kernel

// LastWinograd is a [LastConv] of windows of 3×3 with strides, dilations and
// groups of 1, computed by Winograd's transform; see winograd_tile.go. Channels
// are multiples of 16.
//
// Some tiles at a time are transformed, multiplied by a matrix [C, M] at each of
// 36 positions, and transformed back, in scratch that stays in the cache. Tiles
// over the edge are copied with zeros. A NaN, an infinity or a number near the
// largest makes all outputs of its tiles NaN or infinite.
type LastWinograd struct {
	pool      *Pool
	tile      *lastTiles
	set       *winogradSet
	shape     ConvShape
	low, high float32
	panels    []lastPanel // weights [36, C, width]
	bias      []float32

	down, across int // tiles of an image
	chunk        int // tiles done together
	perWorker    int // scratch
	workers      []winogradWorker

	x, residual, y, scratch []float32
	body                    func(worker, lo, hi int)
}

type winogradWorker struct {
	args lastArgs
	wino winogradArgs
	_    [128]byte
}

// winogradBytes bounds the transformed tiles of a chunk: half of a second-level
// cache of 1 MB. Version 1, found as the rules of [LastConv].
const winogradBytes = 512 << 10

// FitsWinograd reports whether [NewLastWinograd] takes the shape.
func (s ConvShape) FitsWinograd() bool {
	return s.KH == 3 && s.KW == 3 && s.SH*s.SW*s.DH*s.DW*s.Groups == 1 && s.C%16 == 0 && s.M%16 == 0
}

// winogradTiles is the number of tiles of a batch.
func (s *ConvShape) winogradTiles() int { return s.N * ceilDiv(s.OH, 4) * ceilDiv(s.OW, 4) }

// NewLastWinograd transforms and packs the weights. s must be valid and fit. It
// panics if a slice is too short.
func NewLastWinograd(p *Pool, s ConvShape, w, bias []float32, low, high float32) *LastWinograd {
	checkLen("convolution", "w", len(w), s.M*s.taps())
	c := &LastWinograd{pool: p, tile: &sLastTiles[p.set], set: &winogradSets[p.set], shape: s, low: low, high: high,
		bias: make([]float32, s.M), down: ceilDiv(s.OH, 4), across: ceilDiv(s.OW, 4), workers: make([]winogradWorker, p.threads)}
	copy(c.bias, bias)
	c.pack(w)
	most := c.tile.pixels[c.panels[0].vectors]
	c.chunk = max(most, winogradBytes/(4*winogradPositions*(s.C+s.M))/most*most)
	c.chunk = min(c.chunk, ceilDiv(s.winogradTiles(), p.threads))
	c.perWorker = winogradPositions*(c.chunk*(s.C+s.M)+16) + 36*s.C + 32*s.M
	c.body = c.part
	return c
}

func (c *LastWinograd) pack(w []float32) {
	s := &c.shape
	lanes, most := c.tile.lanes, len(c.tile.pixels)-1
	vectors := s.M / lanes
	parts := ceilDiv(vectors, most)
	for i := range parts {
		v0, v1 := vectors*i/parts, vectors*(i+1)/parts
		p := lastPanel{vectors: v1 - v0, width: (v1 - v0) * lanes, from: v0 * lanes, to: v1 * lanes}
		p.bias = make([]float32, p.width)
		p.w = make([]float32, winogradPositions*s.C*p.width)
		for m := p.from; m < p.to; m++ {
			for k := range s.C {
				for at, u := range winogradFilter(w[(m*s.C+k)*9:][:9]) {
					p.w[(at*s.C+k)*p.width+m-p.from] = u
				}
			}
		}
		c.panels = append(c.panels, p)
	}
}

// Workspace is the elements of scratch that Run needs.
func (c *LastWinograd) Workspace() int { return c.pool.threads * c.perWorker }

// Run computes y as [LastConv.Run] does.
func (c *LastWinograd) Run(x, residual, y, scratch []float32) error {
	s := &c.shape
	checkLen("convolution", "x", len(x), s.N*s.C*s.H*s.W)
	checkLen("convolution", "y", len(y), s.N*s.M*s.OH*s.OW)
	checkLen("convolution", "scratch", len(scratch), c.Workspace())
	if residual != nil {
		checkLen("convolution", "residual", len(residual), s.N*s.M*s.OH*s.OW)
	}
	c.x, c.residual, c.y, c.scratch = x, residual, y, scratch
	return c.pool.For(s.winogradTiles(), 1+minProducts/(winogradPositions*s.C*s.M), c.body)
}

// winogradScratch is a worker's memory: the transformed tiles [36, chunk, C],
// their products [36, chunk, M], lines of a transform, and tiles over the edge
// with what is added to them.
type winogradScratch struct{ v, m, tmp, in, out, add []float32 }

func (c *LastWinograd) memory(worker int) winogradScratch {
	s := &c.shape
	rest := c.scratch[worker*c.perWorker:][:c.perWorker]
	take := func(n int) []float32 {
		part := rest[:n]
		rest = rest[n:]
		return part
	}
	return winogradScratch{v: take(winogradPositions * c.chunk * s.C), m: take(winogradPositions * c.chunk * s.M),
		tmp: take(winogradPositions * 16), in: take(36 * s.C), out: take(16 * s.M), add: take(16 * s.M)}
}

// part does tiles [lo, hi).
func (c *LastWinograd) part(worker, lo, hi int) {
	s, w := &c.shape, &c.workers[worker]
	mem := c.memory(worker)
	w.wino.Tmp, w.wino.Factors = &mem.tmp[0], &winogradFactors[0]
	w.wino.Low, w.wino.High = c.low, c.high
	for at := lo; at < hi; at += c.chunk {
		count := min(c.chunk, hi-at)
		w.wino.Position, w.wino.Vectors, w.wino.Residual = 4*count*s.C, s.C/c.tile.lanes, nil
		for t := range count {
			w.wino.Matrix = &mem.v[t*s.C]
			c.input(&w.wino, at+t, &mem)
		}
		c.multiply(&w.args, count, &mem)
		w.wino.Position, w.wino.Vectors, w.wino.Bias = 4*count*s.M, s.M/c.tile.lanes, &c.bias[0]
		for t := range count {
			w.wino.Matrix = &mem.m[t*s.M]
			c.output(&w.wino, at+t, &mem)
		}
	}
}

// place is the image of a tile and its first output.
func (c *LastWinograd) place(tile int) (n, oh, ow int) {
	n, at := tile/(c.down*c.across), tile%(c.down*c.across)
	return n, at / c.across * 4, at % c.across * 4
}

// input transforms the 6×6 pixels under a tile.
func (c *LastWinograd) input(a *winogradArgs, tile int, mem *winogradScratch) {
	s := &c.shape
	n, oh, ow := c.place(tile)
	top, left := oh-s.PT, ow-s.PL
	x := c.x[n*s.H*s.W*s.C:][:s.H*s.W*s.C]
	a.Row, a.Column = 4*s.W*s.C, 4*s.C
	if top >= 0 && left >= 0 && top+6 <= s.H && left+6 <= s.W {
		a.Image = &x[(top*s.W+left)*s.C]
		c.set.input(a)
		return
	}
	clear(mem.in)
	r0, r1 := max(0, -top), min(6, s.H-top)
	c0, c1 := max(0, -left), min(6, s.W-left)
	for r := r0; r < r1 && c0 < c1; r++ {
		copy(mem.in[(r*6+c0)*s.C:(r*6+c1)*s.C], x[((top+r)*s.W+left+c0)*s.C:])
	}
	a.Image, a.Row = &mem.in[0], 4*6*s.C
	c.set.input(a)
}

// multiply is the 36 matrix products [count, C]·[C, M].
func (c *LastWinograd) multiply(a *lastArgs, count int, mem *winogradScratch) {
	s := &c.shape
	a.Offsets, a.Runs, a.Length = &lastOrigin, 1, s.C
	a.Stride, a.StrideY = 4*s.C, 4*s.M
	a.Low, a.High = unbounded[0], unbounded[1]
	for i := range c.panels {
		p := &c.panels[i]
		a.Bias = &p.bias[0]
		parts := ceilDiv(count, c.tile.pixels[p.vectors])
		for at := range winogradPositions {
			a.W = &p.w[at*s.C*p.width]
			v, m := mem.v[at*count*s.C:], mem.m[at*count*s.M+p.from:]
			for i, from := 0, 0; i < parts; i++ {
				to := count * (i + 1) / parts
				a.X, a.Y = &v[from*s.C], &m[from*s.M]
				c.tile.conv(p.vectors, to-from, a)
				from = to
			}
		}
	}
}

// lastOrigin is the table of a single run.
var lastOrigin int

// output transforms a tile back to the pixels of it that lie inside y.
func (c *LastWinograd) output(a *winogradArgs, tile int, mem *winogradScratch) {
	s := &c.shape
	n, oh, ow := c.place(tile)
	first := ((n*s.OH+oh)*s.OW + ow) * s.M
	rows, cols := min(4, s.OH-oh), min(4, s.OW-ow)
	a.Residual, a.Column = nil, 4*s.M
	if rows == 4 && cols == 4 {
		a.Image, a.Row = &c.y[first], 4*s.OW*s.M
		if c.residual != nil {
			a.Residual = &c.residual[first]
		}
		c.set.output(a)
		return
	}
	a.Image, a.Row = &mem.out[0], 4*4*s.M
	if c.residual != nil {
		a.Residual = &mem.add[0]
		copyRows(mem.add, 4*s.M, c.residual[first:], s.OW*s.M, rows, cols*s.M)
	}
	c.set.output(a)
	copyRows(c.y[first:], s.OW*s.M, mem.out, 4*s.M, rows, cols*s.M)
}
