package linear

import "github.com/compactify/compactify/internal/kernel"

// gramian holds the products Σ_i w_i x̃_ij x̃_ik of the columns that have mattered so
// far, each in a slot of its own in the order of their arrival.
type gramian struct {
	set    kernel.Set
	column []int32     // of every slot
	slot   []int32     // of every column; −1 for none
	rows   [][]float64 // rows[a][b] for slots b ≤ a
	scaled [together][]float64
}

func newGramian(cols int, set kernel.Set) *gramian {
	g := &gramian{set: set, slot: make([]int32, cols)}
	for j := range g.slot {
		g.slot[j] = -1
	}
	return g
}

// at is the product of two columns that have slots.
func (g *gramian) at(j, k int32) float64 {
	a, b := g.slot[j], g.slot[k]
	if a < b {
		a, b = b, a
	}
	return g.rows[a][b]
}

// times sets dst to the matrix times v, both by slots.
func (g *gramian) times(dst, v []float64) {
	for a, row := range g.rows {
		x := v[a]
		dst[a] = kernel.Dot64(g.set, row, v)
		if x != 0 {
			kernel.Axpy64(g.set, dst, x, row[:a])
		}
	}
}

// together is how many columns are multiplied with all others in one pass.
const together = 4

// admit gives slots to columns that have none.
func (g *gramian) admit(d *design, cols []int32) {
	var fresh []int32
	for _, j := range cols {
		if g.slot[j] < 0 {
			g.slot[j] = int32(len(g.column))
			g.column = append(g.column, j)
			fresh = append(fresh, j)
		}
	}
	for len(fresh) > 0 {
		part := fresh[:min(together, len(fresh))]
		fresh = fresh[len(part):]
		first := len(g.rows)
		sums := make([]float64, len(part))
		v := make([][]float64, len(part))
		dst := make([][]float64, len(part))
		for i, j := range part {
			if g.scaled[i] == nil {
				g.scaled[i] = make([]float64, d.rows)
			}
			v[i] = g.scaled[i]
			clear(v[i])
			shift := d.axpy(int(j), 1, v[i])
			for k, w := range d.weights {
				v[i][k] = (v[i][k] + shift) * w
				sums[i] += v[i][k]
			}
			dst[i] = make([]float64, first+len(part))
		}
		d.correlate(dst, g.column[:first+len(part)], v, sums)
		for i := range part {
			g.rows = append(g.rows, dst[i][:first+i+1])
		}
	}
}

// admitAll gives slots to all columns in their order.
func (g *gramian) admitAll(d *design) {
	n := d.cols
	all := make([]int32, n)
	for j := range all {
		all[j] = int32(j)
		g.slot[j] = int32(j)
	}
	g.column = all
	whole := make([]float64, n*n)
	d.gram(whole, all, all, nil)
	for j := range all {
		g.rows = append(g.rows, whole[j*n:][:j+1])
	}
}
