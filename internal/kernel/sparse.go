package kernel

import (
	"fmt"
	"math"
	"unsafe"
)

// sparseSet is the assembly of sparse forms for one instruction set.
type sparseSet struct {
	blocks    func(*int)
	blockRows int // that blocks takes at most
	four      func(*int)
	row       func(*int)
}

// BlockSparse is a matrix W [n, k] of which only columns of sixteen successive
// outputs are stored that hold a weight other than zero. Such a block is one
// vector of AVX-512 (two of AVX2), so that a weight costs what it costs in a
// dense product and no sum crosses lanes: a block along k would need one shuffle
// per sum, and smaller blocks would leave lanes empty.
//
// A weight that is not stored does not meet x: unlike in a dense product an
// infinity beside it makes no NaN.
type BlockSparse struct {
	n, k  int
	start []int32 // by panel of sixteen outputs: its first block; then their number
	index []int32 // by block: k
	data  []float32
}

// NewBlockSparse stores the blocks of w [n, k] that are not zero throughout; the
// element (j, p) is w[j·sj+p·sp].
func NewBlockSparse(n, k int, w []float32, sj, sp int) *BlockSparse {
	checkStrided(n, k, len(w), sj, sp)
	b := &BlockSparse{n: n, k: k, start: make([]int32, 1, ceilDiv(n, lanes)+1)}
	for j := 0; j < n; j += lanes {
		height := min(lanes, n-j)
		for p := range k {
			var block [lanes]float32
			some := false
			for l := range height {
				block[l] = w[(j+l)*sj+p*sp]
				some = some || block[l] != 0
			}
			if some {
				b.index = append(b.index, int32(p))
				b.data = append(b.data, block[:]...)
			}
		}
		b.start = append(b.start, int32(len(b.index)))
	}
	return b
}

// checkStrided panics unless a matrix of the given strides fits in so many
// elements and its indices into int32.
func checkStrided(n, k, have, sj, sp int) {
	if n < 1 || k < 1 || sj < 1 || sp < 1 || have < (n-1)*sj+(k-1)*sp+1 || n > math.MaxInt32/max(k, 64) {
		panic(fmt.Sprintf("kernel: sparse matrix [%d, %d] of strides %d and %d in %d elements", n, k, sj, sp, have))
	}
}

// Bytes is what the matrix occupies.
func (b *BlockSparse) Bytes() int { return 4 * (len(b.start) + len(b.index) + len(b.data)) }

// Density is the share of blocks that are stored.
func (b *BlockSparse) Density() float64 {
	return float64(len(b.index)) / float64(ceilDiv(b.n, lanes)*b.k)
}

// Product implements [Form].
func (b *BlockSparse) Product(p *Pool, m int) func(x, bias, y []float32) {
	q := &blockProduct{b: b, pool: p, m: m, tiles: make([]float32, p.threads*12*lanes), args: make([]blockArgs, p.threads), bias: make([]float32, ceilDiv(b.n, lanes)*lanes)}
	q.body = q.panels
	return q.run
}

type blockProduct struct {
	b     *BlockSparse
	pool  *Pool
	m     int
	x, y  []float32
	bias  []float32 // of whole panels; 0 where there is none
	tiles []float32 // by worker
	args  []blockArgs
	body  func(worker, lo, hi int)
}

func (q *blockProduct) run(x, bias, y []float32) {
	b := q.b
	checkForm(q.m, b.n, b.k, x, bias, y)
	q.x, q.y = x, y
	clear(q.bias)
	copy(q.bias, bias)
	items := ceilDiv(b.n, lanes) * ceilDiv(q.m, q.chunk())
	q.pool.spread(items, len(b.data)*q.m/max(1, items), q.body)
	q.x, q.y = nil, nil
}

// blockArgs are the operands of the assembly: y [rows, 16] ← bias [16] + rows of x
// times the blocks. Steps are in bytes.
type blockArgs struct {
	rows, count int
	index       *int32
	data        *float32
	x           *float32
	xStep       int
	y           *float32
	yStep       int
	bias        *float32
}

// chunkBytes of x stay in the second-level cache while panels pass.
const chunkBytes = 512 << 10

// chunk is the number of rows that meet a panel before the next one comes.
func (q *blockProduct) chunk() int {
	rows := sparseKernels[q.pool.set].blockRows
	return rows * max(1, min(8, chunkBytes/(4*rows*q.b.k)))
}

// panels computes items [lo, hi): a panel of outputs for a chunk of rows each, all
// panels of one chunk before the next chunk.
func (q *blockProduct) panels(worker, lo, hi int) {
	b, set := q.b, &sparseKernels[q.pool.set]
	panels, chunk := ceilDiv(b.n, lanes), q.chunk()
	tile := q.tiles[worker*12*lanes:][:12*lanes]
	for item := lo; item < hi; item++ {
		panel, j := item%panels, item%panels*lanes
		from, to := int(b.start[panel]), int(b.start[panel+1])
		index, data := b.index[from:to], b.data[from*lanes:to*lanes]
		end := min(q.m, (item/panels+1)*chunk)
		for i := item / panels * chunk; i < end; i += set.blockRows {
			rows := min(set.blockRows, end-i)
			x := q.x[i*b.k : (i+rows)*b.k]
			out, ld := q.y[i*b.n+j:], b.n
			if j+lanes > b.n {
				out, ld = tile, lanes
			}
			q.panel(worker, out, ld, index, data, x, rows, q.bias[j:][:lanes])
			if ld == lanes && j+lanes > b.n {
				copyRows(q.y[i*b.n+j:], b.n, tile, lanes, rows, b.n-j)
			}
		}
	}
}

// panel computes out [rows, 16], whose rows are ld apart.
func (q *blockProduct) panel(worker int, out []float32, ld int, index []int32, data, x []float32, rows int, bias []float32) {
	blocks := sparseKernels[q.pool.set].blocks
	if len(index) == 0 || blocks == nil {
		blocksPortable(out, ld, index, data, x, rows, q.b.k, bias)
		return
	}
	_ = out[(rows-1)*ld+lanes-1] // indices are less than k by construction
	q.args[worker] = blockArgs{rows, len(index), &index[0], &data[0], &x[0], 4 * q.b.k, &out[0], 4 * ld, &bias[0]}
	blocks((*int)(unsafe.Pointer(&q.args[worker])))
}

func blocksPortable(out []float32, ld int, index []int32, data, x []float32, rows, k int, bias []float32) {
	for r := range rows {
		sums := out[r*ld:][:lanes]
		copy(sums, bias)
		for at, p := range index {
			w, v := data[at*lanes:][:lanes], x[r*k+int(p)]
			for l := range sums {
				sums[l] += float32(v * w[l])
			}
		}
	}
}

// TwoOfFour is a matrix W [n, k] with at most two weights other than zero in
// every four successive inner indices of an output: the 2:4 pattern. It stores
// two weights and two places of two bits each for every four.
type TwoOfFour struct {
	n, k   int
	groups int       // of 32 inner indices
	index  []uint32  // by panel of sixteen outputs, group, output: the places of eight fours
	data   []float32 // by panel, four, first or second, output
}

// NewTwoOfFour stores w, whose element (j, p) is w[j·sj+p·sp]. It reports false if
// some four hold more than two weights.
func NewTwoOfFour(n, k int, w []float32, sj, sp int) (*TwoOfFour, bool) {
	checkStrided(n, k, len(w), sj, sp)
	f := &TwoOfFour{n: n, k: k, groups: ceilDiv(k, 32)}
	padded := ceilDiv(n, lanes) * lanes
	f.index, f.data = make([]uint32, padded*f.groups), make([]float32, padded*f.groups*16)
	for j := range n {
		panel, lane := j/lanes, j%lanes
		for p := 0; p < k; p += 4 {
			at, found := (panel*f.groups*8+p/4)*2, 0
			for o := range min(4, k-p) {
				v := w[j*sj+(p+o)*sp]
				if v == 0 {
					continue
				}
				if found == 2 {
					return nil, false
				}
				f.data[(at+found)*lanes+lane] = v
				f.index[(panel*f.groups+p/32)*lanes+lane] |= uint32(o) << (p%32 + 2*found)
				found++
			}
		}
	}
	return f, true
}

// Bytes is what the matrix occupies.
func (f *TwoOfFour) Bytes() int { return 4 * (len(f.index) + len(f.data)) }

// Product implements [Form].
func (f *TwoOfFour) Product(p *Pool, m int) func(x, bias, y []float32) {
	q := &fourProduct{f: f, pool: p, m: m, tiles: make([]float32, p.threads*4*lanes), args: make([]fourArgs, p.threads)}
	if f.k%32 != 0 {
		q.padded = make([]float32, m*f.groups*32)
	}
	q.body = q.panels
	return q.run
}

type fourProduct struct {
	f          *TwoOfFour
	pool       *Pool
	m          int
	x, bias, y []float32
	padded     []float32
	tiles      []float32
	args       []fourArgs
	body       func(worker, lo, hi int)
}

func (q *fourProduct) run(x, bias, y []float32) {
	f := q.f
	checkForm(q.m, f.n, f.k, x, bias, y)
	if q.padded != nil {
		for i := range q.m {
			copy(q.padded[i*f.groups*32:], x[i*f.k:][:f.k])
		}
		x = q.padded
	}
	q.x, q.bias, q.y = x, bias, y
	q.pool.spread(ceilDiv(f.n, lanes), lanes*f.k*q.m/2, q.body)
	q.x, q.bias, q.y = nil, nil, nil
}

// fourArgs are the operands of the assembly: y [rows, 16] ← rows of x times a
// panel. Steps are in bytes.
type fourArgs struct {
	rows, groups int
	index        *uint32
	data         *float32
	x            *float32
	xStep        int
	y            *float32
	yStep        int
}

func (q *fourProduct) panels(worker, lo, hi int) {
	f, four := q.f, sparseKernels[q.pool.set].four
	depth := f.groups * 32
	tile := q.tiles[worker*4*lanes:][:4*lanes]
	for panel := lo; panel < hi; panel++ {
		index, data := f.index[panel*f.groups*lanes:][:f.groups*lanes], f.data[panel*f.groups*16*lanes:][:f.groups*16*lanes]
		for i := 0; i < q.m; i += 4 {
			rows := min(4, q.m-i)
			x := q.x[i*depth : (i+rows)*depth]
			if four == nil {
				fourPortable(tile, index, data, x, rows, depth)
			} else {
				q.args[worker] = fourArgs{rows, f.groups, &index[0], &data[0], &x[0], 4 * depth, &tile[0], 4 * lanes}
				four((*int)(unsafe.Pointer(&q.args[worker])))
			}
			j := panel * lanes
			storeRows(q.y[i*f.n:], f.n, j, min(lanes, f.n-j), tile, lanes, rows, q.bias)
		}
	}
}

func fourPortable(tile []float32, index []uint32, data, x []float32, rows, depth int) {
	clear(tile)
	for at := range depth / 2 { // two to a four
		w := data[at*lanes:][:lanes]
		for l, v := range w {
			p := at/2*4 + int(index[at/16*lanes+l]>>(at%16*2)&3)
			for r := range rows {
				tile[r*lanes+l] += float32(v * x[r*depth+p])
			}
		}
	}
}
