package engine

import (
	"fmt"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

type values = []*graph.Value

// subgraph makes a body whose inputs are like the given values.
func subgraph(b *graph.Builder, types []tensor.Type, make func(c *graph.Builder, in values) values) *graph.Graph {
	g := &graph.Graph{Name: "body", Opset: map[string]int{"": graph.LatestOpset}}
	c := graph.NewBuilder(g, b.Fresh()+"_")
	var in values
	for _, t := range types {
		in = append(in, c.Input("", t))
	}
	g.Outputs = make(c, in)
	if c.Err() != nil {
		b.Fail(c.Err())
	}
	return g
}

func double(shape ...int) tensor.Type { return tensor.TypeOf(tensor.Float64, shape...) }

// controlCases have subgraphs, most of which capture values from around them.
func controlCases(r points) []gradientCase {
	cases := []gradientCase{
		{op: "Loop", about: "a data-dependent end", in: list{r.between(0.5, 1, 2), r.normal(2, 2)}, make: loopUntil},
		{op: "Loop", about: "none", in: list{r.normal(2), r.normal(2, 2)}, make: loopTimes(0)},
		{op: "Loop", about: "three", in: list{r.normal(2), r.normal(2, 2)}, make: loopTimes(3)},
		{op: "Scan", about: "nested", in: list{r.normal(2), r.normal(2, 3, 2)}, make: nestedScan},
	}
	for i := range 2 {
		cases = append(cases, gradientCase{op: "If", about: fmt.Sprint(i), in: list{r.normal(2, 3), r.normal(3)}, make: branching(i == 1)})
	}
	for i := range 8 {
		cases = append(cases, gradientCase{op: "Scan", about: fmt.Sprint(i), in: list{r.normal(3), r.normal(4, 3), r.normal(2, 4), r.normal(3, 3)},
			make: scanning(i&1, i>>1&1, i>>2)})
	}
	return cases
}

// branching is an If whose branches capture x and w; one passes x through.
func branching(cond bool) func(b *graph.Builder, in values) values {
	return func(b *graph.Builder, in values) values {
		x, w := in[0], in[1]
		yes := subgraph(b, nil, func(c *graph.Builder, _ values) values { return values{c.Op("Mul", c.Op("Sin", x), w), x} })
		no := subgraph(b, nil, func(c *graph.Builder, _ values) values {
			return values{c.Op("Exp", x), c.Op("Mul", x, c.Op("Tanh", x))}
		})
		a := attrs{graph.Subgraph("then_branch", yes), graph.Subgraph("else_branch", no)}
		flag := b.Op("Less", b.Const(f64(0)), b.With("ReduceSum", attrs{graph.Int("keepdims", 0)}, b.Op("Mul", x, x)))
		if !cond {
			flag = b.Op("Not", flag)
		}
		return b.Multi("If", a, 2, flag)
	}
}

// scanning is h ← tanh(W·h + x + mean z), y = h² + x, with x from either end along
// its first axis, z along its last one, and y stacked from either end.
func scanning(x, z, y int) func(b *graph.Builder, in values) values {
	return func(b *graph.Builder, in values) values {
		w := in[3]
		body := subgraph(b, []tensor.Type{double(3), double(3), double(2)}, func(c *graph.Builder, s values) values {
			mean := c.Op("ReduceMean", s[2])
			h := c.Op("Tanh", c.Op("Add", c.Op("Add", c.Op("MatMul", w, s[0]), s[1]), mean))
			return values{h, c.Op("Add", c.Op("Mul", h, h), s[1]), c.Op("Identity", s[2])}
		})
		a := attrs{graph.Subgraph("body", body), graph.Int("num_scan_inputs", 2), graph.Ints("scan_input_axes", 0, 1),
			graph.Ints("scan_input_directions", x, z), graph.Ints("scan_output_axes", 1, 0), graph.Ints("scan_output_directions", y, 0)}
		return b.Multi("Scan", a, 3, in[:3]...)
	}
}

// nestedScan sums products along two axes.
func nestedScan(b *graph.Builder, in values) values {
	outer := subgraph(b, []tensor.Type{double(2), double(3, 2)}, func(c *graph.Builder, s values) values {
		inner := subgraph(c, []tensor.Type{double(2), double(2)}, func(d *graph.Builder, t values) values {
			h := d.Op("Add", d.Op("Mul", t[0], t[1]), s[0])
			return values{h, d.Op("Sin", h)}
		})
		return c.Multi("Scan", attrs{graph.Subgraph("body", inner), graph.Int("num_scan_inputs", 1)}, 2, s...)
	})
	return b.Multi("Scan", attrs{graph.Subgraph("body", outer), graph.Int("num_scan_inputs", 1)}, 2, in...)
}

// loopTimes is h ← W·h·(1 + i), which also stacks sin h.
func loopTimes(n int) func(b *graph.Builder, in values) values {
	return func(b *graph.Builder, in values) values {
		w := in[1]
		body := subgraph(b, []tensor.Type{tensor.TypeOf(tensor.Int64), tensor.TypeOf(tensor.Bool), double(2)}, func(c *graph.Builder, s values) values {
			k := c.With("Cast", attrs{graph.Int("to", int(tensor.Float64))}, s[0])
			h := c.Op("Mul", c.Op("MatMul", w, s[2]), c.Op("Add", k, c.Const(f64(1))))
			return values{s[1], h, c.Op("Sin", h)}
		})
		return b.Multi("Loop", attrs{graph.Subgraph("body", body)}, 2, b.Const(tensor.Scalar(int64(n))), nil, in[0])
	}
}

// loopUntil multiplies until the norm exceeds a bound.
func loopUntil(b *graph.Builder, in values) values {
	w := in[1]
	body := subgraph(b, []tensor.Type{tensor.TypeOf(tensor.Int64), tensor.TypeOf(tensor.Bool), double(2)}, func(c *graph.Builder, s values) values {
		h := c.Op("Add", c.Op("Mul", s[2], c.Const(f64(1.5))), c.Op("Sin", c.Op("MatMul", w, s[2])))
		norm := c.With("ReduceL2", attrs{graph.Int("keepdims", 0)}, h)
		return values{c.Op("Less", norm, c.Const(f64(9))), h}
	})
	return b.Multi("Loop", attrs{graph.Subgraph("body", body)}, 1, b.Const(tensor.Scalar(int64(9))), nil, in[0])
}

// recurrentCases cover the attributes and optional inputs of RNN, GRU and LSTM
// for 3 steps of 2 sequences of 2 inputs and 2 hidden units.
func recurrentCases(r points) []gradientCase {
	var cases []gradientCase
	for _, op := range []string{"RNN", "GRU", "LSTM"} {
		gates, outputs := map[string]int{"RNN": 1, "GRU": 3, "LSTM": 4}[op], 2
		if op == "LSTM" {
			outputs = 3
		}
		add := func(about string, a attrs, directions int, length, state, peep bool) {
			in := list{r.normal(3, 2, 2), r.normal(directions, gates*2, 2), r.normal(directions, gates*2, 2), r.normal(directions, gates*4), {}, {}, {}, {}}
			if length {
				in[4] = tensor.Of([]int32{2, 3}, 2)
			}
			if state {
				in[5], in[6] = r.normal(directions, 2, 2), r.normal(directions, 2, 2)
			}
			if a.Int("layout", 0) != 0 && state {
				in[5], in[6] = r.normal(2, directions, 2), r.normal(2, directions, 2)
			}
			if peep {
				in[7] = r.normal(directions, 6)
			}
			if op != "LSTM" {
				in = in[:6]
			}
			cases = append(cases, gradientCase{op: op, about: about, outputs: outputs, attrs: a.With(graph.Int("hidden_size", 2)), in: in})
		}
		add("forward", nil, 1, false, true, true)
		add("bidirectional", attrs{graph.Text("direction", "bidirectional")}, 2, true, true, false)
		own := map[int]string{1: "hidden_size", 3: "linear_before_reset", 4: "input_forget"}[gates]
		add("reverse", attrs{graph.Text("direction", "reverse"), graph.Int(own, 1)}, 1, true, false, false)
		names := map[int][]string{1: {"Softsign"}, 3: {"HardSigmoid", "ScaledTanh"}, 4: {"Sigmoid", "Affine", "Softplus"}}[gates]
		add("batch first", attrs{graph.Int("layout", 1), graph.Strings("activations", names...), graph.Float("clip", 9),
			graph.Floats("activation_alpha", 0.25, 0.75), graph.Floats("activation_beta", 0.5, 0.5)}, 1, false, true, false)
		// Batch first, the 3 × 2 of x are 3 sequences of 2 steps.
		last := &cases[len(cases)-1]
		for i := range last.in[5:] {
			if last.in[5+i].Rank() == 3 {
				last.in[5+i] = r.normal(3, 1, 2)
			}
		}
	}
	return cases
}
