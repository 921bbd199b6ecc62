package kernel

// dotRows is the number of rows of A up to which a transposed B is read where it
// lies: transposing it would take longer than multiplying.
const dotRows = 4

// dots computes C as inner products of rows of A and rows of the stored B.
func (g *gemm[T]) dots() {
	g.edge = grow(g.edge, g.pool.threads*2*dotGroup)
	g.loop(ceilDiv(g.n, dotGroup), 1+minProducts/(dotGroup*g.m*g.k), g.dotRange)
}

// dotGroup is the number of columns of C that are computed together.
const dotGroup = 4

// dotColumns computes groups [lo, hi) of columns.
func (g *gemm[T]) dotColumns(worker, lo, hi int) {
	scratch := g.edge[worker*2*dotGroup:][:2*dotGroup]
	sums, same := scratch[:dotGroup], scratch[dotGroup:]
	bulk := g.k / g.tile.dotStep * g.tile.dotStep
	for j := lo * dotGroup; j < min(hi*dotGroup, g.n); j += dotGroup {
		width, ldb := min(dotGroup, g.n-j), g.csb
		b := g.b[j*ldb:]
		for i := range g.m {
			a := g.a[i*g.rsa:][:g.k]
			clear(sums)
			switch {
			case bulk == 0:
			case width == dotGroup:
				g.tile.dot(bulk, a, b, ldb, sums)
			default:
				for w := range width {
					g.tile.dot(bulk, a, b[w*ldb:], 0, same) // stride 0: one row, four times
					sums[w] = same[0]
				}
			}
			for w, s := range sums[:width] {
				row := b[w*ldb:][:g.k]
				for p := bulk; p < g.k; p++ {
					s += T(a[p] * row[p])
				}
				g.put(i, j+w, s)
			}
		}
	}
}

// put stores alpha·sum + beta·C in element (i, j).
func (g *gemm[T]) put(i, j int, sum T) {
	c := &g.c[i*g.ldc+j]
	v := T(g.alpha * sum)
	if g.beta != 0 {
		v += T(g.beta * *c)
	}
	*c = v
}
