package kernel

import "unsafe"

// SparseRows is a matrix W [n, k] of which only the weights other than zero are
// stored, row after row. Unlike in the other forms the rows of x lie in the lanes:
// they are turned into tiles [k, 64], or [k, 16] if there are few, of which a
// weight multiplies a row.
type SparseRows struct {
	n, k  int
	start []int32 // by row; then their number
	index []int32
	data  []float32
}

// NewSparseRows stores w, whose element (j, p) is w[j·sj+p·sp].
func NewSparseRows(n, k int, w []float32, sj, sp int) *SparseRows {
	checkStrided(n, k, len(w), sj, sp)
	s := &SparseRows{n: n, k: k, start: make([]int32, 1, n+1)}
	for j := range n {
		for p := range k {
			if v := w[j*sj+p*sp]; v != 0 {
				s.index = append(s.index, int32(p))
				s.data = append(s.data, v)
			}
		}
		s.start = append(s.start, int32(len(s.index)))
	}
	return s
}

// Bytes is what the matrix occupies.
func (s *SparseRows) Bytes() int { return 4 * (len(s.start) + len(s.index) + len(s.data)) }

const tileWidth = 64 // of a wide tile

// rowsProduct is a bound product. A tile holds rows [first, first+width) of x.
type rowsProduct struct {
	s      *SparseRows
	pool   *Pool
	m      int
	ld     int     // width of a tile
	offset []int32 // index·ld
	tile   []float32
	outs   []float32 // by worker: sixteen rows of the product
	args   []rowArgs // by worker
	first  int
	width  int

	x, bias, y []float32
	gather     func(worker, lo, hi int)
	body       func(worker, lo, hi int)
}

// Product implements [Form].
func (s *SparseRows) Product(p *Pool, m int) func(x, bias, y []float32) {
	q := &rowsProduct{s: s, pool: p, m: m, ld: tileWidth, offset: make([]int32, len(s.index))}
	if m <= lanes {
		q.ld = lanes
	}
	for i, k := range s.index {
		q.offset[i] = k * int32(q.ld)
	}
	q.tile = make([]float32, s.k*q.ld)
	q.outs = make([]float32, p.threads*lanes*q.ld)
	q.args = make([]rowArgs, p.threads)
	q.gather, q.body = q.load, q.rows
	return q.run
}

func (q *rowsProduct) run(x, bias, y []float32) {
	s := q.s
	checkForm(q.m, s.n, s.k, x, bias, y)
	q.x, q.bias, q.y = x, bias, y
	groups := ceilDiv(s.n, lanes)
	for q.first = 0; q.first < q.m; q.first += q.ld {
		q.width = min(q.ld, q.m-q.first)
		q.pool.spread(ceilDiv(s.k, turnDepth), turnDepth*q.width, q.gather)
		q.pool.spread(groups, len(s.data)*q.width/groups, q.body)
	}
	q.x, q.bias, q.y = nil, nil, nil
}

// turnDepth is how many rows of a tile are brought in together.
const turnDepth = 64

// load brings rows of the tile, turnDepth for each of [lo, hi), in. What columns
// that only fill it hold does not matter.
func (q *rowsProduct) load(_, lo, hi int) {
	s := q.s
	p0, p1 := lo*turnDepth, min(hi*turnDepth, s.k)
	t := &sTiles[q.pool.set]
	done, bulk := 0, 0
	if t.transpose != nil {
		bulk = (p1 - p0) / t.square * t.square
		for ; bulk > 0 && done+t.square <= q.width; done += t.square {
			t.transpose(bulk, q.tile[p0*q.ld+done:], q.ld, q.x[(q.first+done)*s.k+p0:], s.k)
		}
	}
	for i := range q.width {
		from := p0
		if i < done {
			from += bulk
		}
		for p := from; p < p1; p++ {
			q.tile[p*q.ld+i] = q.x[(q.first+i)*s.k+p]
		}
	}
}

// rowArgs are the operands of the assembly: c [64 or 16] ← Σ data·b[offset:].
type rowArgs struct {
	wide, count int
	offset      *int32
	data        *float32
	b, c        *float32
}

// rows computes sixteen rows of the product for each of [lo, hi).
func (q *rowsProduct) rows(worker, lo, hi int) {
	s, kernel := q.s, sparseKernels[q.pool.set].row
	outs := q.outs[worker*lanes*q.ld:][:lanes*q.ld]
	for j := lo * lanes; j < min(hi*lanes, s.n); j += lanes {
		height := min(lanes, s.n-j)
		for l := range height {
			from, to := s.start[j+l], s.start[j+l+1]
			offset, data, c := q.offset[from:to], s.data[from:to], outs[l*q.ld:][:q.ld]
			switch {
			case from == to:
				clear(c)
			case kernel == nil:
				rowPortable(c, offset, data, q.tile)
			default: // offsets lie in the tile by construction
				q.args[worker] = rowArgs{0, len(data), &offset[0], &data[0], &q.tile[0], &c[0]}
				if q.ld == tileWidth {
					q.args[worker].wide = 1
				}
				kernel((*int)(unsafe.Pointer(&q.args[worker])))
			}
		}
		q.store(outs, j, height)
	}
}

func rowPortable(c []float32, offset []int32, data, tile []float32) {
	clear(c)
	for i, w := range data {
		for l, b := range tile[offset[i]:][:len(c)] {
			c[l] += float32(w * b)
		}
	}
}

// store adds the bias to rows [j, j+height) and puts them where they belong.
func (q *rowsProduct) store(outs []float32, j, height int) {
	if q.bias != nil {
		for l, b := range q.bias[j:][:height] {
			row := outs[l*q.ld:][:q.ld]
			for i := range row {
				row[i] += b
			}
		}
	}
	t, done := &sTiles[q.pool.set], 0
	if t.transpose != nil && height == lanes {
		done = q.width / t.square * t.square
		for l := 0; l < lanes && done > 0; l += t.square {
			t.transpose(done, q.y[q.first*q.s.n+j+l:], q.s.n, outs[l*q.ld:], q.ld)
		}
	}
	for i := done; i < q.width; i++ {
		out := q.y[(q.first+i)*q.s.n+j:][:height]
		for l := range out {
			out[l] = outs[l*q.ld+i]
		}
	}
}
