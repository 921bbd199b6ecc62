package compress

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/jsonnum"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// Tolerances of [Verify], relative to the largest of the values compared.
const (
	// verifyTolerance holds where both sides compute the same sums in other orders.
	verifyTolerance = 1e-4
	// flippedTolerance holds between two executors where activations are rounded: a
	// sum that lies within its own rounding of the edge between two steps may fall on
	// either side, and each such flip moves what follows by 1/255 of a range. Of
	// 64 images, the worst logit of ResNet-20 moved by 1.2 % of the largest.
	flippedTolerance = 5e-2
)

// verifyExamples is how many examples answers are compared on. Values between
// nodes are compared on one.
const verifyExamples = 64

// verify compares the decoded file with the model in memory on calibration
// examples.
func (w *work) verify(ctx context.Context, file, memory *graph.Graph) (Verify, error) {
	n := min(verifyExamples, w.probe.Len(), affordable(w.graph, verifyWork, 1))
	if w.stopped {
		n = min(n, stoppedVerify)
	}
	set, err := firstExamples(w.probe, n).Adapt(w.choosing.set.Shape())
	if err != nil {
		return Verify{}, err
	}
	portable := kernel.NewPool(1, kernel.Portable)
	defer portable.Close()
	c := comparison{set: set, output: w.choosing.Output(), portable: portable}
	v := Verify{Examples: n, RoundsValues: roundsActivations(file), NodesMaxErr: nan}
	written, err := c.answers(ctx, file, portable)
	if err != nil {
		return v, err
	}
	plain, err := c.answers(ctx, memory, portable)
	if err != nil {
		return v, err
	}
	fast, err := c.answers(ctx, memory, w.Pool)
	if err != nil {
		return v, err
	}
	top, limit := largest(plain), verifyTolerance
	if v.RoundsValues {
		limit = flippedTolerance
	}
	v.MaxAbsErr, v.Tolerance = jsonnum.Float(farthest(written, plain)), jsonnum.Float(verifyTolerance*top)
	v.Fast, v.FastLimit = jsonnum.Float(farthest(written, fast)), jsonnum.Float(limit*top)
	if err := c.nodes(ctx, &v, file, memory); err != nil {
		return v, err
	}
	v.OK = v.MaxAbsErr <= v.Tolerance && v.Fast <= v.FastLimit && (v.Nodes == 0 || v.NodesMaxErr <= verifyTolerance)
	return v, nil
}

// problem says which comparison failed.
func (v Verify) problem() string {
	switch {
	case !(v.MaxAbsErr <= v.Tolerance):
		return fmt.Sprintf("the written file differs from the model in memory by %.3g, want at most %.3g", float64(v.MaxAbsErr), float64(v.Tolerance))
	case !(v.Fast <= v.FastLimit):
		return fmt.Sprintf("the written file on the portable kernels differs from the model on the fast ones by %.3g, want at most %.3g", float64(v.Fast), float64(v.FastLimit))
	}
	return fmt.Sprintf("value %q of the written file differs from that of the model in memory by %.3g of its largest element, want at most %.3g",
		v.WorstNode, float64(v.NodesMaxErr), verifyTolerance)
}

// firstExamples is the first n examples of a set.
func firstExamples(s *data.Set, n int) *data.Set {
	idx := make([]int, n)
	for i := range idx {
		idx[i] = i
	}
	return s.Subset(idx)
}

// roundsActivations reports whether a model rounds values as it runs.
func roundsActivations(g *graph.Graph) bool {
	return slices.ContainsFunc(g.Nodes, func(n *graph.Node) bool {
		return n.Kind() == "QuantizeLinear" || n.Kind() == "DynamicQuantizeLinear"
	})
}

// comparison runs models on the same examples.
type comparison struct {
	set      *data.Set
	output   string
	portable *kernel.Pool
}

// answers runs a model: unfused on the portable kernels, otherwise fused.
func (c comparison) answers(ctx context.Context, g *graph.Graph, pool *kernel.Pool) ([][]float32, error) {
	r := newRunner(g, c.output, pool)
	r.unfused = pool == c.portable
	rows := make([][]float32, c.set.Len())
	err := r.each(ctx, c.set, func(i int, y []float32) { rows[i] = slices.Clone(y) })
	return rows, err
}

// nodes compares every floating-point value between nodes. Where writing and
// reading changed the list of nodes nothing is compared.
func (c comparison) nodes(ctx context.Context, v *Verify, file, memory *graph.Graph) error {
	a, names, err := exposed(file)
	if err != nil {
		return err
	}
	b, others, err := exposed(memory)
	if err != nil {
		return err
	}
	if !slices.EqualFunc(a.Nodes, b.Nodes, func(m, n *graph.Node) bool { return m.Kind() == n.Kind() }) || len(names) != len(others) {
		return nil
	}
	batch := newRunner(file, c.output, c.portable).batchSize(1)
	written, err := c.values(ctx, a, batch)
	if err != nil {
		return err
	}
	plain, err := c.values(ctx, b, batch)
	if err != nil {
		return err
	}
	v.Nodes, v.NodesMaxErr = len(names), 0
	for i, values := range written {
		if len(values) != len(plain[i]) {
			v.NodesMaxErr, v.WorstNode = jsonnum.Float(math.Inf(1)), names[i]
			return nil
		}
		d := farthest([][]float32{values}, [][]float32{plain[i]})
		if top := largest([][]float32{plain[i]}); d > 0 {
			d /= top
		}
		if !(jsonnum.Float(d) <= v.NodesMaxErr) {
			v.NodesMaxErr, v.WorstNode = jsonnum.Float(d), names[i]
		}
	}
	return nil
}

// exposed returns a copy of a graph, in the newest opset, in which every
// floating-point value between the nodes of the top graph is an output, and the
// names of the outputs.
func exposed(g *graph.Graph) (*graph.Graph, []string, error) {
	c, _ := g.Clone()
	if err := c.Upgrade(graph.LatestOpset); err != nil {
		return nil, nil, err
	}
	if err := c.Infer(); err != nil {
		return nil, nil, err
	}
	known := make(map[*graph.Value]bool)
	for _, v := range c.Outputs {
		known[v] = true
	}
	for _, n := range c.Nodes {
		for _, v := range n.Out {
			if v != nil && !known[v] && v.Type.DType.IsFloat() {
				known[v] = true
				c.Outputs = append(c.Outputs, v)
			}
		}
	}
	names := make([]string, len(c.Outputs))
	for i, v := range c.Outputs {
		names[i] = v.Name
	}
	return c, names, nil
}

// values runs a model on a batch that holds the first example and returns all its
// outputs.
func (c comparison) values(ctx context.Context, g *graph.Graph, batch int) ([][]float32, error) {
	r := &runner{g: g, pool: c.portable, unfused: true, set: c.set}
	p, err := r.compile(batch)
	if err != nil {
		return nil, err
	}
	all := make([][]float32, len(g.Outputs))
	err = r.batch(ctx, p, c.set, 0, 1, func(out []tensor.Tensor, _, _, _ int) error {
		for i, y := range out {
			all[i] = slices.Clone(y.Float32s())
		}
		return nil
	})
	return all, err
}

// farthest is the largest difference of two lists of rows: infinite where their
// lengths differ, NaN where only one of two numbers is NaN.
func farthest(a, b [][]float32) float64 {
	worst := 0.0
	for i := range a {
		if len(a[i]) != len(b[i]) {
			return math.Inf(1)
		}
		for k, x := range a[i] {
			y := b[i][k]
			if x == y || x != x && y != y {
				continue
			}
			d := math.Abs(float64(x) - float64(y))
			if math.IsNaN(d) {
				return d
			}
			worst = max(worst, d)
		}
	}
	return worst
}

// largest is the largest finite magnitude in rows.
func largest(rows [][]float32) float64 {
	top := 0.0
	for _, row := range rows {
		for _, x := range row {
			if a := math.Abs(float64(x)); a > top && !math.IsInf(a, 0) {
				top = a
			}
		}
	}
	return top
}
