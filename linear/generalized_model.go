package linear

import (
	"math"
	"slices"

	"github.com/compactify/compactify/internal/algebra"
)

// model is the quadratic model of the loss at the present point, with the penalty as it
// is, on the coordinates that move there or would at its minimum. An active-set method
// minimises it: free coordinates go towards the solution of their linear system until
// the first comes to an end of its piece and rests there; where none does, the one that
// the penalty holds least becomes free. So the model falls with every step.
//
// Its minimum is where a proximal Newton step leads, also where columns are so nearly
// collinear that a step that is cut coordinate by coordinate goes up.
//
// Sources: J. Lee, Y. Sun and M. Saunders, "Proximal Newton-type methods for minimizing
// composite functions", SIAM J. Optim. 24 (2014), section 2; M. R. Osborne, B. Presnell
// and B. A. Turlach, "A new approach to variable selection in least squares problems",
// IMA J. Numer. Anal. 20 (2000), for the active sets.
type model struct {
	g       *generalized
	coords  []coordinate
	cols    [][]int32        // [K]: columns of coords by class, the intercept first ...
	index   [][]int          // ... and where they are in coords
	known   []map[int32]bool // [K]: columns in cols
	hessian [][]float64      // row i: XᵀDX of coordinates i and 0 to i
	factor  algebra.Factor   // of hessian + B on free
	free    []int
	d       []float64 // solution of the last linear system
	u, v    []float64 // [K, n]: X·(value − start), and −w∘∂ℓ/∂η there in the model
}

// coordinate is one of a model.
type coordinate struct {
	class int
	col   int32
	term
	piece
	start, value float64
	at, now      float64 // correlation at start, in the model at value
	free         bool
	blocked      bool // depends on others, or does not move but for rounding
}

const (
	// modelRidge is the share by which diagonal elements are raised: along combinations of
	// columns that vanish the model falls like the penalty, to where one comes to rest.
	modelRidge  = 1e-10
	modelRounds = 20
	modelShare  = 1e-6 // of the largest gradient, that the model's minimum may miss
	modelOrder  = 2800 // more coordinates are no model
)

// leapModel goes to the minimum of the model, or towards it until the objective falls. It
// reports whether it does.
func (g *generalized) leapModel() bool {
	q := g.minimisedModel()
	return len(q.coords) > 0 && q.search()
}

// minimisedModel is the model at its minimum on the working set.
func (g *generalized) minimisedModel() *model {
	g.correlateSet()
	q := &model{g: g, factor: algebra.Factor{Set: g.set}, u: make([]float64, len(g.eta)), v: slices.Clone(g.v)}
	for range g.blocks {
		q.cols, q.index, q.known = append(q.cols, nil), append(q.index, nil), append(q.known, map[int32]bool{})
	}
	if g.intercept {
		_, sums := g.classParts(g.v)
		for k, sum := range sums {
			q.add(k, interceptColumn, sum)
		}
	}
	corr := make([][]float64, len(g.corr))
	for k := range corr {
		corr[k] = slices.Clone(g.corr[k])
	}
	q.extend(g.corr, corr, 0)
	tolerance := 0.0
	for i := range q.coords {
		q.release(i)
		tolerance = max(tolerance, modelShare*q.pull(i))
	}
	dv := make([]float64, len(g.v))
	for range modelRounds {
		q.minimise(tolerance)
		q.expand()
		g.like.curve(dv, q.u)
		for i, d := range dv {
			q.v[i] = g.v[i] - d
		}
		parts, sums := g.classParts(q.v)
		g.correlate(corr, g.working, parts, sums)
		if !q.extend(g.corr, corr, tolerance) {
			break
		}
	}
	return q
}

// extend adds coordinates of the working set that move where correlations are now; at
// are those where the model was made. It reports whether there were any.
func (q *model) extend(at, now [][]float64, tolerance float64) bool {
	g, before := q.g, len(q.coords)
	for k := range g.blocks {
		for i, j := range g.working {
			t, c := g.beta[k*g.cols+int(j)], now[k][i]
			moves, p := g.term(int(j), g.lambda).piece(t, c)
			far := math.Abs(c - p.slope - p.curve*t)
			if moves && far > tolerance*math.Sqrt(g.squares[j]*q.weight(k)) && !q.known[k][j] && len(q.coords) < modelOrder {
				q.add(k, j, at[k][i])
			}
		}
	}
	return len(q.coords) > before
}

// weight is the sum of class k's weights in the factor's D.
func (q *model) weight(k int) float64 {
	sum := 0.0
	for _, h := range q.g.blocks[k].h {
		sum += h
	}
	return sum
}

// add makes column j of a class a coordinate at rest; at is its correlation.
func (q *model) add(class int, j int32, at float64) {
	g, n := q.g, q.g.rows
	c := coordinate{class: class, col: j, at: at, now: at}
	u, du := make([]float64, len(g.eta)), make([]float64, len(g.eta))
	if j == interceptColumn {
		c.term = unheld
		c.start = g.bias[class]
		for i := range n {
			u[class*n+i] = 1
		}
	} else {
		c.term = g.term(int(j), g.lambda)
		c.start = g.beta[class*g.cols+int(j)]
		g.shift(class, int(j), 1, u)
	}
	c.value = c.start
	last := len(q.coords)
	q.cols[class] = append(q.cols[class], j)
	q.index[class] = append(q.index[class], last)
	q.known[class][j] = true
	g.like.curve(du, u)
	row := make([]float64, last+1)
	for k, cols := range q.cols {
		if len(cols) == 0 {
			continue
		}
		products := make([]float64, len(cols))
		s := system{g: g, cols: [][]int32{cols}}
		s.collect(products, du[k*n:(k+1)*n])
		for i, at := range q.index[k] {
			row[at] = products[i]
		}
	}
	row[last] *= 1 + modelRidge
	for i, other := range q.coords {
		c.now -= row[i] * (other.value - other.start)
	}
	q.hessian = append(q.hessian, row)
	q.coords = append(q.coords, c)
}

// product is element i, j of the Hessian.
func (q *model) product(i, j int) float64 {
	if j > i {
		i, j = j, i
	}
	return q.hessian[i][j]
}

// pull is how steeply the model falls along a coordinate of unit curvature.
func (q *model) pull(i int) float64 {
	c := &q.coords[i]
	moves, p := c.term.piece(c.value, c.now)
	if square := q.hessian[i][i]; moves && square > 0 {
		return math.Abs(c.now-p.slope-p.curve*c.value) / math.Sqrt(square)
	}
	return 0
}

// release makes a coordinate free if it moves and depends on no others.
func (q *model) release(i int) {
	c := &q.coords[i]
	moves, p := c.term.piece(c.value, c.now)
	if !moves {
		return
	}
	row := q.factor.Row(len(q.free) + 1)
	for at, j := range q.free {
		row[at] = q.product(i, j)
	}
	row[len(q.free)] = q.hessian[i][i] + p.curve
	if !q.factor.Append(row) {
		c.blocked = true
		return
	}
	c.piece, c.free = p, true
	q.free = append(q.free, i)
}

// minimise goes to the model's minimum on its coordinates, up to tolerance.
func (q *model) minimise(tolerance float64) {
	for range 20*len(q.coords) + 100 {
		if q.advance() {
			continue
		}
		worst, pull := -1, tolerance
		for i := range q.coords {
			if c := &q.coords[i]; c.free || c.blocked {
				continue
			}
			if p := q.pull(i); p > pull {
				worst, pull = i, p
			}
		}
		if worst < 0 {
			return
		}
		q.release(worst)
	}
}

// advance moves the free coordinates to where the model is least, or until the first of
// them comes to an end of its piece; it reports whether one does.
func (q *model) advance() bool {
	q.d = grown(q.d, len(q.free))
	for at, i := range q.free {
		c := &q.coords[i]
		q.d[at] = c.now - c.slope - c.curve*c.value
	}
	q.factor.Solve(q.d)
	step, first, end := 1.0, -1, 0.0
	for at, i := range q.free {
		c, d := &q.coords[i], q.d[at]
		to := c.hi
		if d < 0 {
			to = c.lo
		}
		if t := (to - c.value) / d; d != 0 && t < step {
			step, first, end = max(0, t), at, to
		}
	}
	if step > 0 {
		for at, i := range q.free {
			q.coords[i].value += step * q.d[at]
		}
		for i := range q.coords {
			sum := 0.0
			for at, j := range q.free {
				sum += q.product(i, j) * q.d[at]
			}
			q.coords[i].now -= step * sum
		}
	}
	if first < 0 {
		return false
	}
	c := &q.coords[q.free[first]]
	c.value, c.free, c.blocked = end, false, step == 0 && first == len(q.free)-1 && c.start != end
	q.factor.Delete(first)
	q.free = slices.Delete(q.free, first, first+1)
	return true
}

// expand sets u to X·(value − start).
func (q *model) expand() {
	n := q.g.rows
	for k, cols := range q.cols {
		d := make([]float64, len(cols))
		for i, at := range q.index[k] {
			d[i] = q.coords[at].value - q.coords[at].start
		}
		q.g.combine(q.u[k*n:(k+1)*n], cols, d)
	}
}

// search goes towards the model's minimum, as far as the objective falls by a share of
// what its slope promises.
func (q *model) search() bool {
	g := q.g
	before, start := g.loss+g.penalty(&g.iterate), g.iterate.clone()
	promised := 0.0
	for i := range q.coords {
		c := &q.coords[i]
		promised += c.at*(c.value-c.start) - c.a*(math.Abs(c.value)-math.Abs(c.start)) - c.b/2*(c.value-c.start)*(c.value+c.start)
	}
	v := make([]float64, len(g.v))
	for length := 1.0; length > 1e-9 && promised > 0; length /= 2 {
		for i, u := range q.u {
			g.eta[i] = start.eta[i] + length*u
		}
		for i := range q.coords {
			c := &q.coords[i]
			to := c.value
			if length < 1 {
				to = c.start + length*(c.value-c.start)
			}
			if c.col == interceptColumn {
				g.bias[c.class] = to
			} else {
				g.beta[c.class*g.cols+int(c.col)] = to
			}
		}
		loss := g.like.at(g.eta, v)
		if after := loss + g.penalty(&g.iterate); fell(before, after, length*promised) {
			g.loss = loss
			copy(g.v, v)
			return true
		}
	}
	g.iterate.copy(&start)
	g.loss = g.like.at(g.eta, g.v)
	return false
}

// fell says that the objective fell by a share of what was promised. So near the minimum
// objectives tell no more, and Newton's method needs no watch.
func fell(before, after, promised float64) bool {
	near := promised <= 1e-9*math.Abs(before) && math.Abs(after-before) <= 1e-12*math.Abs(before)
	return after <= before-1e-4*promised || near
}
