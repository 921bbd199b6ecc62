package kernel

import "math"

// Dense is a matrix product with a constant right operand, a bias for each
// column, a residual and bounds:
//
//	y [m, n] = x [m, k] · w [k, n] + bias [n] + residual [m, n], in [low, high]
//
// w is packed once, into panels [k, width] of as many columns as a micro-kernel
// holds, so that any number of rows reads it from its first byte to its last. Every
// element of y is one chain of (in the sets with assembly fused) multiply-adds from
// the bias on, in the order of k, however many rows and threads there are. A Dense
// runs once at a time.
type Dense struct {
	pool      *Pool
	tile      *lastTiles
	m, n, k   int
	low, high float32
	panels    []lastPanel
	depth     int // terms of one pass over k
	strip     int // rows whose part of x stays in the cache through a pass
	byPanel   bool
	unit      int // panels that threads do not split

	workers        []lastWorker
	then           func(worker int, y []float32)
	start          int // the offset of a tile's only run
	x, residual, y []float32
	body           func(worker, lo, hi int)
}

// Rules of version 1, by BenchmarkDense on a Zen 5 core with 48 KB, 1 MB and 32 MB
// of cache: a block of w [denseDepth, width] and a strip of x [denseRows, denseDepth]
// share the second level.
const (
	denseDepth = 704
	denseRows  = 168
)

// DenseStretch is the most elements that a function given to [Dense.Then] gets.
const DenseStretch = 512

// DenseWeights is the number of elements that [NewDense] packs a matrix [k, n]
// into, at most.
func DenseWeights(n, k int) int {
	const lanes = 16 // the widest vector
	return ceilDiv(n, lanes) * lanes * k
}

// NewDense packs w [k, n], or [n, k] if trans, for products of m rows; all are at
// least 1. bias may be nil. It panics if a slice is too short.
func NewDense(p *Pool, m, n, k int, w []float32, trans bool, bias []float32, low, high float32) *Dense {
	checkLen("product", "w", len(w), n*k)
	if bias != nil {
		checkLen("product", "bias", len(bias), n)
	}
	d := &Dense{pool: p, tile: &sLastTiles[p.set], m: m, n: n, k: k, low: low, high: high, workers: make([]lastWorker, p.threads)}
	d.pack(w, trans, bias)
	d.depth, d.strip = k, m
	if m > d.tile.pixels[d.panels[0].vectors] { // else no part of w is read twice
		d.depth = ceilDiv(k, ceilDiv(k, denseDepth))
		d.strip = ceilDiv(m, ceilDiv(m, denseRows))
	}
	d.byPanel = ceilDiv(len(d.panels), d.unit) >= p.threads && n > m
	d.body = d.part
	return d
}

// Then has f change finished stretches of rows of y, each once and while it is in
// the cache. In the sets with assembly a stretch begins at a multiple of the
// vector kernels' stride, and ends at one or at the end of its row, so that each
// element is the same bits at any number of threads.
func (d *Dense) Then(f func(worker int, y []float32)) { d.then = f }

// pack splits the columns over panels of nearly equal width that begin at whole
// strides of vector kernels, or as often as they can.
func (d *Dense) pack(w []float32, trans bool, bias []float32) {
	lanes, most := d.tile.lanes, len(d.tile.pixels)-1
	vectors := ceilDiv(d.n, lanes)
	memory := hugePages(vectors * lanes * d.k)
	d.unit = max(1, stride/(lanes*most))
	step := min(most, stride/lanes) // vectors
	steps := ceilDiv(vectors, step)
	parts := ceilDiv(steps, most/step)
	for i := range parts {
		v0, v1 := steps*i/parts*step, min(steps*(i+1)/parts*step, vectors)
		p := lastPanel{vectors: v1 - v0, width: (v1 - v0) * lanes, from: v0 * lanes, to: min(v1*lanes, d.n)}
		p.mask = newLaneMask(p.to-p.from-(p.vectors-1)*lanes, lanes)
		p.bias = make([]float32, p.width)
		if bias != nil {
			copy(p.bias, bias[p.from:p.to])
		}
		p.w, memory = memory[:d.k*p.width], memory[d.k*p.width:]
		if trans && d.k > 1 { // a column is a row
			sTiles[d.pool.set].packPanel(p.w, p.width, w[p.from*d.k:], d.k, 1, p.to-p.from, d.k)
		} else {
			packRows(p.w, p.width, w[p.from:], d.n, p.to-p.from)
		}
		d.panels = append(d.panels, p)
	}
}

// packRows copies rows of width elements, stride apart in src, to rows of wide.
func packRows(dst []float32, wide int, src []float32, stride, width int) {
	for p := range len(dst) / wide {
		copy(dst[p*wide:][:width], src[p*stride:])
	}
}

// Run computes y; residual may be nil. It panics if a slice is too short.
func (d *Dense) Run(x, residual, y []float32) error {
	checkLen("product", "x", len(x), d.m*d.k)
	checkLen("product", "y", len(y), d.m*d.n)
	if residual != nil {
		checkLen("product", "residual", len(residual), d.m*d.n)
	}
	d.x, d.residual, d.y = x, residual, y
	units := d.m
	if d.byPanel {
		units = ceilDiv(len(d.panels), d.unit)
	}
	err := d.pool.For(units, 1+minProducts/(d.m*d.n*d.k/units), d.body)
	d.x, d.residual, d.y = nil, nil, nil
	return err
}

// part does rows or panels [lo, hi).
func (d *Dense) part(worker, lo, hi int) {
	rows, panels := [2]int{lo, hi}, d.panels
	if d.byPanel {
		rows, panels = [2]int{0, d.m}, d.panels[lo*d.unit:min(hi*d.unit, len(d.panels))]
	}
	args := &d.workers[worker].args
	args.Offsets, args.Runs, args.Stride, args.StrideY = &d.start, 1, 4*d.k, 4*d.n
	for at := rows[0]; at < rows[1]; at += d.strip {
		end := min(at+d.strip, rows[1])
		for k := 0; k < d.k; k += d.depth {
			from := 0 // the first panel that is not finished
			for i := range panels {
				d.tiles(args, &panels[i], at, end, k)
				last := i+1 == len(panels) || panels[i+1].to-panels[from].from > DenseStretch
				if d.then != nil && last && k+d.depth >= d.k {
					d.finish(worker, at, end, panels[from].from, panels[i].to)
					from = i + 1
				}
			}
		}
	}
}

// finish applies then to columns [from, to) of rows [lo, hi).
func (d *Dense) finish(worker, lo, hi, from, to int) {
	for i := lo; i < hi; i++ {
		d.then(worker, d.y[i*d.n+from:i*d.n+to])
	}
}

// tiles does terms [k, k+depth) of rows [lo, hi) in tiles of nearly equal size.
func (d *Dense) tiles(args *lastArgs, p *lastPanel, lo, hi, k int) {
	last := k+d.depth >= d.k
	args.Length = min(d.depth, d.k-k)
	args.W, args.Bias, args.Mask = &p.w[k*p.width], &p.bias[0], p.mask
	args.Low, args.High = float32(math.Inf(-1)), float32(math.Inf(1))
	if last {
		args.Low, args.High = d.low, d.high
	}
	parts := ceilDiv(hi-lo, d.tile.pixels[p.vectors])
	for i, from := 0, lo; i < parts; i++ {
		to := lo + (hi-lo)*(i+1)/parts
		y := from*d.n + p.from
		args.X, args.Y = &d.x[from*d.k+k], &d.y[y]
		args.Partial, args.Residual = nil, nil
		if k > 0 {
			args.Partial = args.Y
		}
		if last && d.residual != nil {
			args.Residual = &d.residual[y]
		}
		d.tile.conv(p.vectors, to-from, args)
		from = to
	}
}
