package engine

import (
	"fmt"
	"math"
	"slices"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// Simplify returns a graph that computes the same with fewer parts: in the
// newest opset, constants computed, branches taken, dropout and identities gone, batch
// normalisations folded into the convolutions and matrix products before them.
// It says in words what it did. Quantised weights stay quantised.
func Simplify(g *graph.Graph) (*graph.Graph, []string, error) {
	c, _ := g.Clone()
	if err := c.Upgrade(graph.LatestOpset); err != nil {
		return nil, nil, fmt.Errorf("simplify: %w", err)
	}
	if err := c.Infer(); err != nil {
		return nil, nil, fmt.Errorf("simplify graph %q: %w", g.Name, err)
	}
	passes := []struct {
		done, one, many string
		run             func(*graph.Graph) (int, error)
	}{
		{"computed", "operator that depends on constants alone", "operators that depend on constants alone", foldConstants},
		{"took", "branch whose condition is constant", "branches whose condition is constant", takeBranches},
		{"moved", "weight out of the bodies of control flow", "weights out of the bodies of control flow", func(g *graph.Graph) (int, error) { return g.HoistWeights(), nil }},
		{"removed", "operator that passes its input on", "operators that pass their input on", dropIdentities},
		{"folded", "batch normalisation into the weights before it", "batch normalisations into the weights before them", foldBatchNorms},
	}
	var notes []string
	for _, p := range passes {
		n, err := p.run(c)
		if err != nil {
			return nil, nil, fmt.Errorf("simplify graph %q: %w", g.Name, err)
		}
		if n > 0 {
			what := p.many
			if n == 1 {
				what = p.one
			}
			notes = append(notes, fmt.Sprintf("%s %d %s", p.done, n, what))
		}
	}
	c.RemoveDead()
	if err := c.Infer(); err != nil {
		return nil, nil, fmt.Errorf("simplify graph %q: %w", g.Name, err)
	}
	return c, notes, nil
}

// foldSlack is how many bytes a constant may take beyond what it replaces:
// folding must not make a file larger.
const foldSlack = 256

// foldConstants computes nodes whose inputs are all constant, also in the bodies of
// control flow, and stores the results as parameters.
func foldConstants(g *graph.Graph) (int, error) {
	c := &compiler{g: g, o: Options{Pool: kernel.NewPool(1, kernel.Best())}, facts: graph.NewFacts(g)}
	count := 0
	kept := g.Nodes[:0]
	for _, n := range g.Nodes {
		if err := c.facts.Infer(n); err != nil {
			return 0, err
		}
		ok, err := c.foldIntoParams(n)
		if err != nil {
			return 0, err
		}
		if ok {
			count++
		} else {
			count += c.foldBodies(n)
			kept = append(kept, n)
		}
	}
	g.Nodes = kept
	return count, nil
}

// foldBodies does the same in the bodies that a node holds. What cannot be
// computed there is left to the run that reaches it, if one does.
func (c *compiler) foldBodies(n *graph.Node) int {
	count := 0
	for _, a := range n.Attrs {
		for _, body := range a.Subgraphs() {
			inner := *c
			inner.g = body
			inner.facts.AddParams(body)
			var kept []*graph.Node
			for _, m := range body.Nodes {
				if ok, err := inner.foldIntoParams(m); ok && err == nil {
					count++
					continue
				}
				count += inner.foldBodies(m)
				kept = append(kept, m)
			}
			body.Nodes = kept
			body.RemoveDead()
		}
	}
	return count
}

func (c *compiler) foldIntoParams(n *graph.Node) (bool, error) {
	if n.Kind() == "DequantizeLinear" || kernels[n.Kind()] == nil {
		return false, nil
	}
	if c.foldSizes(n) {
		return true, nil
	}
	limit := foldSlack
	if n.Kind() == "Constant" {
		limit = math.MaxInt // its bytes are in the file as they are
	}
	for _, v := range n.Reads() {
		if t, ok := c.facts.Data(v); ok {
			limit += len(t.Raw())
		}
	}
	for _, v := range n.Out {
		if v != nil && typeBytes(v.Type) > limit {
			return false, nil
		}
	}
	ok, err := c.fold(n)
	if err != nil || !ok {
		return false, err
	}
	for _, v := range n.Out {
		if v == nil {
			continue
		}
		t, _ := c.facts.Data(v)
		v.Type = t.Type()
		c.g.Params = append(c.g.Params, &graph.Param{Value: v, Data: t})
	}
	return true, nil
}

// foldSizes stores what a node makes of the sizes of tensors, where inference
// followed it to known numbers although the tensors' other sizes are open.
func (c *compiler) foldSizes(n *graph.Node) bool {
	if len(n.Out) != 1 || n.Out[0] == nil || impure[n.Kind()] {
		return false
	}
	v := n.Out[0]
	dims, ok := c.facts.Dims(v)
	sizes, static := v.Type.Static()
	if count, _ := tensor.Size(sizes); !ok || !static || count != len(dims) || v.Type.DType != tensor.Int64 {
		return false
	}
	t := tensor.New(tensor.Int64, sizes...)
	for i, d := range dims {
		if !d.Known() {
			return false
		}
		t.Set(i, float64(d.Size))
	}
	c.facts.SetData(v, t)
	c.g.Params = append(c.g.Params, &graph.Param{Value: v, Data: t})
	return true
}

// dropIdentities removes nodes that pass their first input on, except where
// that would change the name of an output or let two outputs be one value.
func dropIdentities(g *graph.Graph) (int, error) {
	count := 0
	params := g.ParamsByValue()
	for _, n := range slices.Clone(g.Nodes) {
		passes := n.Kind() == "Identity" || n.Kind() == "Dropout" && n.Output(1) == nil && !maybeTrue(params, n.Input(2))
		if !passes || slices.Contains(g.Outputs, n.Out[0]) {
			continue
		}
		g.Replace(n.Out[0], n.In[0])
		g.Remove(n)
		count++
	}
	return count, nil
}

// maybeTrue reports whether an optional Boolean input may be true.
func maybeTrue(params map[*graph.Value]*graph.Param, v *graph.Value) bool {
	return v != nil && (params[v] == nil || params[v].Data.Len() != 1 || params[v].Data.At(0) != 0)
}

// foldBatchNorms multiplies the scale of a batch normalisation in inference mode
// into the weights of the convolution or matrix product that alone feeds it:
//
//	γ·(W·x + b − μ)/√(σ² + ε) + β = (f·W)·x + f·(b − μ) + β,   f = γ/√(σ² + ε)
func foldBatchNorms(g *graph.Graph) (int, error) {
	producer, readers, params := g.Producers(), g.Consumers(), g.ParamsByValue()
	for _, v := range g.Outputs { // whoever runs the graph reads them too
		readers[v] = append(readers[v], nil)
	}
	b := graph.NewBuilder(g, "folded")
	count := 0
	for _, n := range slices.Clone(g.Nodes) {
		if n.Kind() != "BatchNormalization" || n.Attrs.Int("training_mode", 0) != 0 {
			continue
		}
		before := producer[n.In[0]]
		if before == nil || len(readers[n.In[0]]) != 1 {
			continue
		}
		f, ok := newNormFold(before, n, params, readers)
		if !ok {
			continue
		}
		f.apply(g, b)
		params = g.ParamsByValue()
		count++
	}
	return count, nil
}

// normFold is one batch normalisation about to be folded.
type normFold struct {
	before, norm *graph.Node
	weight, bias *graph.Param // bias may be nil
	axis         int          // of the output channels in weight
	factor       []float64    // f
	shift        []float64    // β − f·μ
}

// newNormFold checks that weight and bias are parameters of this node alone, the
// weight in float32 and the bias one entry per channel.
func newNormFold(before, norm *graph.Node, params map[*graph.Value]*graph.Param, readers map[*graph.Value][]*graph.Node) (normFold, bool) {
	f := normFold{before: before, norm: norm}
	switch before.Kind() {
	case "Conv":
	case "Gemm":
		f.axis = 1 - before.Attrs.Int("transB", 0)
		if before.Attrs.Float("beta", 1) != 1 {
			return f, false
		}
	default:
		return f, false
	}
	own := func(v *graph.Value) *graph.Param {
		if len(readers[v]) != 1 {
			return nil
		}
		return params[v]
	}
	f.weight = own(before.In[1])
	if f.weight == nil || f.weight.Data.DType() != tensor.Float32 {
		return f, false
	}
	channels := f.weight.Data.Shape()[f.axis]
	if b := before.Input(2); b != nil {
		if f.bias = own(b); f.bias == nil || !perChannel(f.bias.Data.Shape(), channels) {
			return f, false
		}
	}
	stats := make([][]float64, 4)
	for i := range stats {
		p := params[norm.In[i+1]]
		if p == nil || p.Data.Len() != channels {
			return f, false
		}
		stats[i] = p.Data.Float64s()
	}
	epsilon := norm.Attrs.Float("epsilon", 1e-5)
	for c := range channels {
		factor := stats[0][c] / math.Sqrt(stats[3][c]+epsilon)
		f.factor = append(f.factor, factor)
		f.shift = append(f.shift, stats[1][c]-factor*stats[2][c])
	}
	return f, true
}

// perChannel reports whether a bias of this shape has one entry per channel,
// along its last axis: the bias of Gemm may as well have one per row.
func perChannel(shape []int, channels int) bool {
	n, _ := tensor.Size(shape)
	return n == channels && (len(shape) == 0 || shape[len(shape)-1] == channels)
}

// apply rewrites weight and bias and lets the node before the normalisation make
// its output.
func (f normFold) apply(g *graph.Graph, b *graph.Builder) {
	w := f.weight.Data.Clone()
	data := tensor.Data[float32](w)
	inner := 1
	for _, n := range w.Shape()[f.axis+1:] {
		inner *= n
	}
	for i := range data {
		data[i] = float32(float64(data[i]) * f.factor[i/inner%len(f.factor)])
	}
	f.weight.Data = w
	bias := make([]float32, len(f.factor))
	for c := range bias {
		sum := f.shift[c]
		if f.bias != nil {
			sum += f.factor[c] * f.bias.Data.At(c)
		}
		bias[c] = float32(sum)
	}
	t := tensor.Of(bias, len(bias))
	if f.bias != nil {
		f.bias.Data = t.As(f.bias.Data.Shape())
	} else {
		f.before.In = append(f.before.In[:2:2], b.Param(f.norm.In[2].Name+".folded", t))
	}
	g.Remove(f.norm)
	f.before.Out[0] = f.norm.Out[0] // outputs of the graph keep their names
}
