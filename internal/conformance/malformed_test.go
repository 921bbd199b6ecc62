package conformance

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/format/onnx"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// everyMalformed runs all malformations of all node tests; by default one in
// malformedStride is tried.
var everyMalformed = flag.Bool("every-malformed", false, "try every malformation of every node test")

// malformedStride keeps the test within seconds. It has no factor in common
// with the number of ways to malform an input, so that all ways are met.
const malformedStride = 83

// malformed is a node test with one thing wrong.
type malformed struct {
	what string
	node *graph.Node
	in   []tensor.Tensor // by input of the node; the zero Tensor where omitted
}

// oneNode takes a node test apart: its only node, and the data of its inputs.
// It reports false for tests that are not one node over tensors.
func (c nodeCase) oneNode() (*graph.Graph, malformed, bool) {
	g, err := onnx.Decode(c.files["model.onnx"], "")
	if err != nil || len(g.Nodes) != 1 || len(c.sets()) == 0 {
		return nil, malformed{}, false
	}
	data, err := c.tensors(c.sets()[0], "input")
	if err != nil || len(data) > len(g.Inputs) || g.Upgrade(graph.LatestOpset) != nil {
		return nil, malformed{}, false
	}
	of := make(map[*graph.Value]tensor.Tensor)
	for i, t := range data {
		of[g.Inputs[i]] = t
	}
	for _, p := range g.Params {
		of[p.Value] = p.Data
	}
	n := g.Nodes[len(g.Nodes)-1]
	m := malformed{node: n, in: make([]tensor.Tensor, len(n.In))}
	for i, v := range n.In {
		if v == nil {
			continue
		}
		t, ok := of[v]
		if !ok {
			return nil, malformed{}, false
		}
		m.in[i] = t
	}
	return g, m, len(g.Nodes) == 1
}

// with is a copy with another description, whose parts may be changed.
func (m malformed) with(format string, args ...any) malformed {
	n := *m.node
	n.Out, n.Attrs = slices.Clone(n.Out), slices.Clone(n.Attrs)
	return malformed{what: fmt.Sprintf(format, args...), node: &n, in: slices.Clone(m.in)}
}

// all lists the malformations.
func (m malformed) all() []malformed {
	list := append(m.wrongInputs(), m.wrongOutputs()...)
	for i, t := range m.in {
		if !t.IsZero() {
			list = append(list, m.wrongShapes(i)...)
			list = append(list, m.wrongNumbers(i)...)
		}
	}
	for i := range m.node.Attrs {
		list = append(list, m.wrongAttributes(i)...)
	}
	return list
}

func (m malformed) wrongInputs() []malformed {
	var list []malformed
	for i := range m.in {
		cut := m.with("inputs cut to %d", i)
		cut.in = cut.in[:i]
		omitted := m.with("input %d omitted", i)
		omitted.in[i] = tensor.Tensor{}
		list = append(list, cut, omitted)
		for k := range i {
			swapped := m.with("inputs %d and %d swapped", k, i)
			swapped.in[i], swapped.in[k] = m.in[k], m.in[i]
			list = append(list, swapped)
		}
	}
	more := m.with("one input more")
	more.in = append(more.in, tensor.Ints(1, 2))
	return append(list, more)
}

func (m malformed) wrongOutputs() []malformed {
	var list []malformed
	for i := range m.node.Out {
		cut := m.with("outputs cut to %d", i)
		cut.node.Out = cut.node.Out[:i]
		omitted := m.with("output %d omitted", i)
		omitted.node.Out[i] = nil
		list = append(list, cut, omitted)
	}
	for more := 1; more <= 2; more++ {
		longer := m.with("%d outputs more", more)
		for k := range more {
			longer.node.Out = append(longer.node.Out, &graph.Value{Name: fmt.Sprintf("more%d", k)})
		}
		list = append(list, longer)
	}
	return list
}

// wrongShapes gives input i other shapes, filled with its own elements in turn.
func (m malformed) wrongShapes(i int) []malformed {
	t := m.in[i]
	shape := t.Shape()
	shapes := [][]int{{}, {1}, {t.Len()}, append([]int{1}, shape...), append(slices.Clone(shape), 1), {0}, {2, 3}}
	for a, size := range shape {
		for _, other := range []int{0, 1, size + 1, size - 1, 2 * size} {
			if other >= 0 && other != size {
				s := slices.Clone(shape)
				s[a] = other
				shapes = append(shapes, s)
			}
		}
		shapes = append(shapes, slices.Delete(slices.Clone(shape), a, a+1))
	}
	var list []malformed
	for _, s := range shapes {
		if slices.Equal(s, shape) {
			continue
		}
		other := m.with("input %d of shape %v", i, s)
		other.in[i] = refill(t, t.DType(), s)
		list = append(list, other)
	}
	return list
}

// refill makes a tensor of another type from t's elements in turn.
func refill(t tensor.Tensor, d tensor.DType, shape []int) tensor.Tensor {
	other := tensor.New(d, shape...)
	if t.DType() == tensor.String || d == tensor.String || t.DType().IsComplex() || d.IsComplex() || t.Len() == 0 {
		return other
	}
	for k := range other.Len() {
		other.Set(k, t.At(k%t.Len()))
	}
	return other
}

// wrongNumbers gives input i other number types and, where it holds integers or
// few numbers, wild ones.
func (m malformed) wrongNumbers(i int) []malformed {
	var list []malformed
	t := m.in[i]
	for _, d := range []tensor.DType{tensor.Float32, tensor.Float64, tensor.Float16, tensor.Int64, tensor.Int32, tensor.Int8, tensor.Uint8,
		tensor.Bool, tensor.String, tensor.Int4, tensor.Complex64, tensor.Float8E4M3FN} {
		if d != t.DType() {
			other := m.with("input %d of type %v", i, d)
			other.in[i] = refill(t, d, t.Shape())
			list = append(list, other)
		}
	}
	if t.DType() == tensor.String || t.DType().IsComplex() || t.Len() == 0 {
		return list
	}
	wild := []float64{0, -1, -2, 7, 1 << 20, 1 << 31, 1 << 40, 1 << 62, math.MaxInt64, math.MinInt64, math.NaN(), math.Inf(1)}
	for _, at := range slices.Compact([]int{0, t.Len() / 2, t.Len() - 1}) {
		for _, x := range wild {
			if t.DType().IsInteger() && (x-x != 0) {
				continue
			}
			other := m.with("input %d with element %d set to %g", i, at, x)
			other.in[i] = t.Clone()
			other.in[i].Set(at, x)
			list = append(list, other)
		}
	}
	return list
}

// wildInts are what integers of attributes are changed to.
var wildInts = []int64{0, -1, -2, 1, 2, 3, 5, 100, 1 << 20, 1 << 31, 1 << 40, 1 << 62, math.MaxInt64, math.MinInt64}

func (m malformed) wrongAttributes(i int) []malformed {
	var list []malformed
	a := m.node.Attrs[i]
	change := func(what string, to graph.Attr) {
		other := m.with("attribute %s %s", a.Name, what)
		other.node.Attrs[i] = to
		list = append(list, other)
	}
	gone := m.with("attribute %s missing", a.Name)
	gone.node.Attrs = gone.node.Attrs.Without(a.Name)
	list = append(list, gone)
	change("as text", graph.Text(a.Name, "nonsense"))
	change("as a list", graph.Ints(a.Name, 1, 2, 3, 4, 5, 6, 7))
	change("as no list", graph.Ints(a.Name))
	change("as strings", graph.Strings(a.Name, "x"))
	change("as a float", graph.Float(a.Name, float32(math.NaN())))
	change("as a tensor", graph.TensorOf(a.Name, tensor.Ints()))
	change("as an empty graph", graph.Subgraph(a.Name, &graph.Graph{}))
	for _, x := range wildInts {
		change(fmt.Sprintf("set to %d", x), graph.Int(a.Name, int(x)))
		for k := range a.Ints {
			b := a
			b.Ints = slices.Clone(a.Ints)
			b.Ints[k] = x
			change(fmt.Sprintf("entry %d set to %d", k, x), b)
		}
	}
	if n := len(a.Ints); n > 0 {
		shorter, longer := a, a
		shorter.Ints, longer.Ints = a.Ints[:n-1], append(slices.Clone(a.Ints), 1)
		change("shorter", shorter)
		change("longer", longer)
	}
	for _, x := range []float64{0, -1, 1e30, math.Inf(1)} {
		change(fmt.Sprintf("set to %g", x), graph.Float(a.Name, float32(x)))
	}
	if a.T.Len() > 0 && a.Kind == graph.AttrTensor {
		change("longer", graph.TensorOf(a.Name, refill(a.T, a.T.DType(), []int{3})))
		change("of text", graph.TensorOf(a.Name, tensor.New(tensor.String, 1)))
	}
	return list
}

// knowledge says what is known of the inputs when the model is compiled.
type knowledge int

const (
	knownData knowledge = iota
	knownShapes
	knownRanks
	knowledges
)

// graph is a model of the one node.
func (m malformed) graph(g *graph.Graph, k knowledge) (*graph.Graph, []tensor.Tensor) {
	n := *m.node
	model := &graph.Graph{Name: g.Name, Opset: g.Opset, Nodes: []*graph.Node{&n}}
	n.In = nil
	var in []tensor.Tensor
	for i, t := range m.in {
		if t.IsZero() {
			n.In = append(n.In, nil)
			continue
		}
		v := &graph.Value{Name: fmt.Sprintf("in%d", i), Type: t.Type()}
		n.In = append(n.In, v)
		if k == knownData {
			model.Params = append(model.Params, &graph.Param{Value: v, Data: t})
			continue
		}
		if k == knownRanks {
			v.Type.Shape = slices.Clone(v.Type.Shape)
			for a := range v.Type.Shape {
				v.Type.Shape[a] = tensor.Unknown()
			}
		}
		model.Inputs, in = append(model.Inputs, v), append(in, t)
	}
	for i, v := range n.Out {
		if v != nil {
			n.Out[i] = &graph.Value{Name: v.Name}
			model.Outputs = append(model.Outputs, n.Out[i])
		}
	}
	return model, in
}

// malformedMemory bounds what one malformed node may take.
const malformedMemory = 192 << 20

// malformedTime bounds how long one may run.
const malformedTime = 10 * time.Second

// run compiles and runs the node; a panic that gets through is an error too.
func (m malformed) run(g *graph.Graph, k knowledge) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("internal error: panic: %v\n%s", p, debug.Stack())
		}
	}()
	m = m.with("%s", m.what)
	model, in := m.graph(g, k)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	p, err := engine.Compile(model, engine.Options{})
	if err == nil {
		err = p.Run(ctx, in, make([]tensor.Tensor, len(model.Outputs)))
	}
	return err
}

// TestMalformedNodes changes one thing of every node test: inputs, outputs,
// shapes, number types, numbers and attributes. Each either runs or is an error
// that names the node; none is an internal error, and none is slow.
func TestMalformedNodes(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(malformedMemory))
	tried, wrong, count := 0, 0, 0
	for _, c := range readNodeTests(t) {
		g, m, ok := c.oneNode()
		if !ok {
			continue
		}
		for _, bad := range m.all() {
			for k := range knowledges {
				count++
				if !*everyMalformed && count%malformedStride != 0 {
					continue
				}
				tried++
				result := make(chan error, 1)
				go func() { result <- bad.run(g, k) }()
				var err error
				select {
				case err = <-result:
				case <-time.After(malformedTime):
					t.Fatalf("%s, %s, knowledge %d: still runs after %v", c.name, bad.what, k, malformedTime)
				}
				switch {
				case err == nil:
					continue
				case strings.Contains(err.Error(), "internal error"):
					t.Errorf("%s, %s: %v", c.name, bad.what, err)
				case errors.As(err, new(*engine.MemoryError)), errors.Is(err, context.DeadlineExceeded):
				case !strings.Contains(err.Error(), "node ") && !strings.Contains(err.Error(), "output "):
					t.Errorf("%s, %s: the error names no node: %v", c.name, bad.what, err)
				}
				wrong++
			}
		}
	}
	fmt.Printf("malformed nodes: %d of %d tried, %d errors\n", tried, count, wrong)
}
