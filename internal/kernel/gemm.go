package kernel

import "fmt"

// SGEMM computes C ← alpha·op(A)·op(B) + beta·C in float32, where op transposes
// if the flag is set.
//
//	op(A) [m, k], op(B) [k, n], C [m, n], all row-major; row i of a stored
//	matrix starts at i·ld
//
// As in BLAS, C is not read if beta is 0 (a NaN in it is overwritten), and A and
// B are not read if alpha is 0. C must not overlap A or B. It panics if a slice
// is too short or ld is less than a stored row.
//
// AVX2 and AVX512 give the same bits: each element of C is one chain of fused
// multiply-adds over k, broken every [blockDepth] terms, or for a few rows times
// a transposed B, where reading in place is all that counts, an inner product in
// lanes of 64 bytes.
//
// Source: K. Goto and R. van de Geijn, "Anatomy of High-Performance Matrix
// Multiplication", ACM TOMS 34(3), 2008; F. Van Zee and R. van de Geijn, "BLIS",
// ACM TOMS 41(3), 2015.
func SGEMM(p *Pool, transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	g := p.scratch32.get()
	g.setup(p, &sTiles[p.set], m, n, k, alpha, beta)
	g.setA("sgemm", a, lda, transA)
	g.setB("sgemm", b, ldb, transB)
	g.setC("sgemm", c, ldc)
	g.run()
	p.scratch32.put(g)
}

// DGEMM is [SGEMM] in float64.
func DGEMM(p *Pool, transA, transB bool, m, n, k int, alpha float64, a []float64, lda int, b []float64, ldb int, beta float64, c []float64, ldc int) {
	g := p.scratch64.get()
	g.setup(p, &dTiles[p.set], m, n, k, alpha, beta)
	g.setA("dgemm", a, lda, transA)
	g.setB("dgemm", b, ldb, transB)
	g.setC("dgemm", c, ldc)
	g.run()
	p.scratch64.put(g)
}

// SGEMMPacked is [SGEMM] with an op(B) [k, n] that exists only while it is
// multiplied: packB writes the part B[k0:k1, n0:n1] to dst in the layout that
// the micro-kernel reads, so that a convolution need not store its patches.
//
// The layout is panels of w = [Pool.PanelWidth] columns; n0 is a multiple of w.
// Element (kk, j) of B goes to
//
//	dst[((j−n0)/w·(k1−k0) + kk−k0)·w + (j−n0)%w]
//
// that is, panel after panel, each [k1−k0, w] row-major. Columns that pad the
// last panel to w are zero already and must stay so. packB is called from
// several goroutines at once with disjoint dst, and once for each element of B.
// Nothing is allocated here; keep packB in a variable that outlives the call to
// spare its closure too.
func SGEMMPacked(p *Pool, transA bool, m, n, k int, alpha float32, a []float32, lda int, packB func(dst []float32, k0, k1, n0, n1 int), beta float32, c []float32, ldc int) {
	g := p.scratch32.get()
	g.setup(p, &sTiles[p.set], m, n, k, alpha, beta)
	g.setA("sgemm", a, lda, transA)
	g.b, g.rsb, g.csb, g.fill = nil, 0, 0, packB
	g.setC("sgemm", c, ldc)
	g.run()
	p.scratch32.put(g)
}

// PanelWidth is the number of columns in a panel of [SGEMMPacked].
func (p *Pool) PanelWidth() int { return sTiles[p.set].nr }

// tiles is a family of micro-kernels. A micro-kernel computes, for i < rows ≤ mr
// and j < nr,
//
//	c[i·ldc+j] ← alpha·Σ_p a[i·rsa+p·csa]·b[p·rsb+j] + beta·c[i·ldc+j],  0 ≤ p < k
//
// and does not read c if beta is 0. B is packed into panels with rsb = nr, or is
// read in place. Sums run over p in order.
type tiles[T Float] struct {
	mr, nr int
	micro  func(rows, k int, a []T, rsa, csa int, b []T, rsb int, c []T, ldc int, alpha, beta T)

	// Assembly that the portable family lacks.

	// row is micro for one row and widePanels·nr columns.
	row func(k int, a []T, csa int, b []T, rsb int, c []T, alpha, beta T)

	// copyA copies k rows of mr elements, stride apart in src, to dst; copyB, of nr.
	copyA, copyB func(k int, dst, src []T, stride int)
	// transpose sets dst[p·ldd+i] to src[i·lds+p] for i < square, p < k; k is a
	// multiple of square.
	transpose func(k int, dst []T, ldd int, src []T, lds int)
	square    int
	// dot sets out[j] to Σ_p a[p]·b[j·ldb+p] for j < 4, p < k; k is a multiple of
	// dotStep.
	dot     func(k int, a, b []T, ldb int, out []T)
	dotStep int
}

// blockDepth bounds the terms of one pass over k: a strip of A and a panel of B
// [blockDepth, nr] stay in the second-level cache. Every pass but the first reads
// C again, which costs a large product more than a panel of B that the first-level
// cache would hold saves. It is the same for all sets, see [SGEMM].
const blockDepth = 704

// A packed block of A [blockRows, blockDepth] and one of B [blockDepth,
// blockCols] stay in the outer cache; strips of stripRows of A in the second.
const (
	blockRows = 4096
	blockCols = 4096
	stripRows = 168
)

// gemm is one matrix product in progress and the scratch it packs into.
type gemm[T Float] struct {
	pool *Pool
	tile *tiles[T]

	m, n, k     int
	alpha, beta T
	a           []T // element (i, p) at i·rsa + p·csa
	rsa, csa    int
	b           []T // element (p, j) at p·rsb + j·csb
	rsb, csb    int
	fill        func(dst []T, k0, k1, n0, n1 int) // stands in for b if not nil
	c           []T
	ldc         int

	// The block in progress: rows [ic, ic+mb), columns [jc, jc+nb), depth [pc, pc+kb).
	ic, mb, jc, nb, pc, kb int
	packA, packB           bool
	strideA                int  // scratch per packed row of A
	freshB                 bool // this pack step includes B
	gridM, gridN           int  // rectangles that the block's panels are split into

	bufA, bufB, edge []T
	// Loop bodies, bound once so that no call allocates.
	pack, multiply, dotRange func(worker, lo, hi int)
}

func (g *gemm[T]) setup(p *Pool, t *tiles[T], m, n, k int, alpha, beta T) {
	if m < 0 || n < 0 || k < 0 {
		panic(fmt.Sprintf("gemm: shape: got m %d, n %d, k %d, want none negative", m, n, k))
	}
	g.pool, g.tile, g.m, g.n, g.k, g.alpha, g.beta = p, t, m, n, k, alpha, beta
	if g.pack == nil {
		g.pack, g.multiply, g.dotRange = g.packPanels, g.multiplyRectangles, g.dotColumns
	}
}

func (g *gemm[T]) setA(op string, a []T, lda int, trans bool) {
	if trans {
		checkMatrix(op, "a", len(a), g.k, g.m, lda)
		g.a, g.rsa, g.csa = a, 1, lda
		return
	}
	checkMatrix(op, "a", len(a), g.m, g.k, lda)
	g.a, g.rsa, g.csa = a, lda, 1
}

func (g *gemm[T]) setB(op string, b []T, ldb int, trans bool) {
	g.fill = nil
	if trans {
		checkMatrix(op, "b", len(b), g.n, g.k, ldb)
		g.b, g.rsb, g.csb = b, 1, ldb
		return
	}
	checkMatrix(op, "b", len(b), g.k, g.n, ldb)
	g.b, g.rsb, g.csb = b, ldb, 1
}

func (g *gemm[T]) setC(op string, c []T, ldc int) {
	checkMatrix(op, "c", len(c), g.m, g.n, ldc)
	g.c, g.ldc = c, ldc
}

// checkMatrix panics unless a row-major matrix fits the slice it is stored in.
func checkMatrix(op, name string, have, rows, cols, ld int) {
	if ld < max(1, cols) {
		panic(fmt.Sprintf("%s: row stride of %s: got %d, want at least %d", op, name, ld, max(1, cols)))
	}
	if rows == 0 || cols == 0 {
		return
	}
	if want := (rows-1)*ld + cols; have < want {
		panic(fmt.Sprintf("%s: %s [%d, %d]: got %d elements, want %d", op, name, rows, cols, have, want))
	}
}

// run walks the blocks: columns, then depth, then rows.
func (g *gemm[T]) run() {
	defer g.release()
	if g.m == 0 || g.n == 0 {
		return
	}
	if g.k == 0 || g.alpha == 0 {
		g.scale()
		return
	}
	if g.tile.dot != nil && g.fill == nil && g.csa == 1 && g.rsb == 1 && g.m <= dotRows {
		g.dots()
		return
	}
	g.choose()
	depth := ceilDiv(g.k, ceilDiv(g.k, blockDepth)) // equal passes
	beta := g.beta
	for g.jc = 0; g.jc < g.n; g.jc += blockCols {
		g.nb = min(blockCols, g.n-g.jc)
		g.beta = beta
		for g.pc = 0; g.pc < g.k; g.pc += depth {
			g.kb = min(depth, g.k-g.pc)
			g.freshB = true
			for g.ic = 0; g.ic < g.m; g.ic += blockRows {
				g.mb = min(blockRows, g.m-g.ic)
				g.block()
				g.freshB = false
			}
			g.beta = 1
		}
	}
}

// choose decides which operands to pack. Bits do not depend on it.
func (g *gemm[T]) choose() {
	g.packA = g.n > 4*g.tile.nr
	g.packB = g.fill != nil || g.csb != 1 || g.m > 2*g.tile.mr
}

// release drops references to the caller's memory.
func (g *gemm[T]) release() {
	g.a, g.b, g.c, g.fill = nil, nil, nil, nil
}

// scale computes C ← beta·C.
func (g *gemm[T]) scale() {
	for i := range g.m {
		row := g.c[i*g.ldc:][:g.n]
		if g.beta == 0 {
			clear(row)
			continue
		}
		for j := range row {
			row[j] *= g.beta
		}
	}
}

// Loops with fewer multiplications, or fewer packed elements, than these stay on
// the caller: waking a helper would cost more.
const (
	minProducts = 1 << 16
	minPacked   = 1 << 14
)

// block packs what it must of the current block and multiplies it.
func (g *gemm[T]) block() {
	mr, nr := g.tile.mr, g.tile.nr
	rows, cols := ceilDiv(g.mb, mr), ceilDiv(g.nb, nr)
	if g.packA {
		g.packedRows()
		g.bufA = grow(g.bufA, rows*mr*g.strideA)
	}
	g.bufB = grow(g.bufB, cols*nr*g.kb)
	g.edge = grow(g.edge, g.pool.threads*mr*nr)

	panels := cols
	if g.packA {
		panels += rows
	}
	grain := 1 + minPacked/(nr*g.kb)
	g.loop(panels, grain, g.pack)

	parts := min(g.pool.threads, max(1, g.mb*g.nb*g.kb/minProducts))
	g.gridM, g.gridN = grid(rows, cols, parts)
	g.loop(g.gridM*g.gridN, 1, g.multiply)
}

func (g *gemm[T]) loop(n, grain int, body func(worker, lo, hi int)) {
	if err := g.pool.For(n, grain, body); err != nil {
		panic(err)
	}
}

// grid splits rows × cols panels into at most parts rectangles so that the
// largest is as small as can be; of equal ones it takes the tallest split.
func grid(rows, cols, parts int) (gridM, gridN int) {
	best := rows*cols + 1
	for gm := min(parts, rows); gm >= 1; gm-- {
		gn := min(parts/gm, cols)
		if size := ceilDiv(rows, gm) * ceilDiv(cols, gn); size < best {
			best, gridM, gridN = size, gm, gn
		}
	}
	return gridM, gridN
}

// packPanels packs panels [lo, hi): first those of B, then those of A.
func (g *gemm[T]) packPanels(_, lo, hi int) {
	cols := ceilDiv(g.nb, g.tile.nr)
	if lo < cols && g.freshB {
		g.packColumns(lo, min(hi, cols))
	}
	mr := g.tile.mr
	for r := max(lo, cols) - cols; r < hi-cols; r++ {
		i := r * mr
		a, height := g.a[(g.ic+i)*g.rsa+g.pc*g.csa:], min(mr, g.mb-i)
		if g.csa == 1 {
			copyRows(g.bufA[i*g.strideA:], g.strideA, a, g.rsa, height, g.kb)
		} else {
			g.tile.packPanel(g.bufA[i*g.strideA:], mr, a, g.rsa, g.csa, height, g.kb)
		}
	}
}

// rowPad keeps packed rows of A from falling into the same cache sets.
const rowPad = 16

// packedRows chooses how A is packed. The micro-kernel reads single elements of
// A, so that rows may stay rows, which is a plain copy; only if A is transposed
// is it packed into panels [kb, mr].
func (g *gemm[T]) packedRows() {
	g.strideA = g.kb
	if g.csa == 1 {
		g.strideA = (g.kb+rowPad-1)/rowPad*rowPad + rowPad
	}
}

// packColumns packs panels [lo, hi) of B; to read B in place, it needs that only
// for a panel wider than B.
func (g *gemm[T]) packColumns(lo, hi int) {
	nr := g.tile.nr
	end := min(hi*nr, g.nb)
	if !g.packB && g.n >= nr {
		return
	}
	if g.fill == nil {
		for j := lo * nr; j < end; j += nr {
			g.tile.packPanel(g.bufB[j*g.kb:], nr, g.b[g.pc*g.rsb+(g.jc+j)*g.csb:], g.csb, g.rsb, min(nr, g.nb-j), g.kb)
		}
		return
	}
	if end < hi*nr {
		clear(g.bufB[(hi-1)*nr*g.kb : hi*nr*g.kb])
	}
	g.fill(g.bufB[lo*nr*g.kb:hi*nr*g.kb], g.pc, g.pc+g.kb, g.jc+lo*nr, g.jc+end)
}

// multiplyRectangles runs rectangles [lo, hi) of the grid.
func (g *gemm[T]) multiplyRectangles(worker, lo, hi int) {
	rows, cols := ceilDiv(g.mb, g.tile.mr), ceilDiv(g.nb, g.tile.nr)
	strip := max(1, stripRows/g.tile.mr)
	for q := lo; q < hi; q++ {
		qm, qn := q/g.gridN, q%g.gridN
		r1 := rows * (qm + 1) / g.gridM
		c0, c1 := cols*qn/g.gridN, cols*(qn+1)/g.gridN
		for r0 := rows * qm / g.gridM; r0 < r1; r0 += strip {
			c := c0
			if g.m == 1 && !g.packB && g.tile.row != nil {
				c = g.multiplyWide(c0, c1)
			}
			for ; c < c1; c++ {
				g.multiplyColumn(worker, r0, min(r0+strip, r1), c)
			}
		}
	}
}

// multiplyColumn computes the tiles of row panels [r0, r1) in column panel col.
func (g *gemm[T]) multiplyColumn(worker, r0, r1, col int) {
	mr, nr := g.tile.mr, g.tile.nr
	j := col * nr
	width := min(nr, g.nb-j)
	b, rsb, skip := g.bufB[j*g.kb:], nr, 0
	if !g.packB && g.n >= nr {
		skip = nr - width // the last panel starts early, in columns done already
		b, rsb = g.b[g.pc*g.rsb+g.jc+j-skip:], g.rsb
	}
	for r := r0; r < r1; r++ {
		i := r * mr
		height := min(mr, g.mb-i)
		a, rsa, csa := g.a[(g.ic+i)*g.rsa+g.pc*g.csa:], g.rsa, g.csa
		switch {
		case g.packA && g.csa == 1:
			a, rsa = g.bufA[i*g.strideA:], g.strideA
		case g.packA:
			a, rsa, csa = g.bufA[i*g.strideA:], 1, mr
		}
		c := g.c[(g.ic+i)*g.ldc+g.jc+j:]
		if width == nr {
			g.tile.micro(height, g.kb, a, rsa, csa, b, rsb, c, g.ldc, g.alpha, g.beta)
			continue
		}
		edge := g.edge[worker*mr*nr:][:mr*nr]
		if g.beta != 0 {
			copyRows(edge[skip:], nr, c, g.ldc, height, width)
		}
		g.tile.micro(height, g.kb, a, rsa, csa, b, rsb, edge, nr, g.alpha, g.beta)
		copyRows(c, g.ldc, edge[skip:], nr, height, width)
	}
}

// widePanels is the number of panels that tiles.row takes at a time.
const widePanels = 4

// multiplyWide computes as many column panels of a single row, from c0 below c1,
// as fill the wide kernel, and returns the first that is left.
func (g *gemm[T]) multiplyWide(c0, c1 int) int {
	nr := g.tile.nr
	c1 = min(c1, g.nb/nr)
	for ; c0+widePanels <= c1; c0 += widePanels {
		j := g.jc + c0*nr
		g.tile.row(g.kb, g.a[g.pc*g.csa:], g.csa, g.b[g.pc*g.rsb+j:], g.rsb, g.c[j:], g.alpha, g.beta)
	}
	return c0
}

func copyRows[T Float](dst []T, ldd int, src []T, lds, rows, cols int) {
	for i := range rows {
		copy(dst[i*ldd:][:cols], src[i*lds:][:cols])
	}
}

// grow returns a slice of n elements, s's own memory if it suffices.
func grow[T Float](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }
