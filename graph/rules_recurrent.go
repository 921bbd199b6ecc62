package graph

import (
	"slices"

	"github.com/compactify/compactify/tensor"
)

func recurrentRules() map[string]*Rule {
	return map[string]*Rule{
		"RNN":  {Since: []int{1, 7}, MinIn: 3, MaxIn: 6, MaxOut: 2, Infer: inferRecurrent(1), Lower: lowerRecurrent(1, plainCell)},
		"GRU":  {Since: []int{1, 3, 7}, MinIn: 3, MaxIn: 6, MaxOut: 2, Infer: inferRecurrent(3), Lower: lowerRecurrent(3, gruCell)},
		"LSTM": {Since: []int{1, 7}, MinIn: 3, MaxIn: 8, MaxOut: 3, Infer: inferRecurrent(4), Lower: lowerRecurrent(4, lstmCell)},
	}
}

// inferRecurrent: x [T, N, I], w [D, G·H, I], r [D, G·H, H] with G gates, D
// directions and H hidden units → y [T, D, N, H], last h (and c) [D, N, H];
// with layout 1 the batch axis N comes first in x, y and the states.
func inferRecurrent(gates int) func(*Inference) error {
	return func(c *Inference) error {
		d, err := c.same(0, 1, 2, 3)
		if err != nil {
			return err
		}
		if err := c.want(floats, 0); err != nil {
			return err
		}
		for i := range 3 {
			if err := c.rank(i, 3); err != nil {
				return err
			}
		}
		directions, err := c.directions()
		if err != nil {
			return err
		}
		hidden, err := c.hiddenUnits(gates, directions)
		if err != nil {
			return err
		}
		time, batch := tensor.Unknown(), tensor.Unknown()
		if x := c.In(0); x.Ranked() {
			time, batch = x.Shape[0], x.Shape[1]
		}
		dirs := tensor.Fixed(directions)
		y := []tensor.Dim{time, dirs, batch, hidden}
		state := []tensor.Dim{dirs, batch, hidden}
		if c.Attrs.Int("layout", 0) != 0 {
			time, batch = batch, time
			y, state = []tensor.Dim{batch, time, dirs, hidden}, []tensor.Dim{batch, dirs, hidden}
		}
		if err := c.shapeIs(3, []tensor.Dim{dirs, mulDims(tensor.Fixed(2*gates), hidden)}); err != nil {
			return err
		}
		if err := c.sequenceStates(state, dirs, batch, hidden); err != nil {
			return err
		}
		c.Set(0, tensor.Type{DType: d, Shape: y})
		c.Set(1, tensor.Type{DType: d, Shape: state})
		c.Set(2, tensor.Type{DType: d, Shape: slices.Clone(state)})
		return nil
	}
}

// sequenceStates checks sequence lengths [N] and initial states.
func (c *Inference) sequenceStates(state []tensor.Dim, directions, batch, hidden tensor.Dim) error {
	if err := c.channels(4, batch); err != nil {
		return err
	}
	if err := c.shapeIs(5, state); err != nil {
		return err
	}
	if c.Op != "LSTM" {
		return nil
	}
	if err := c.shapeIs(6, state); err != nil {
		return err
	}
	return c.shapeIs(7, []tensor.Dim{directions, mulDims(tensor.Fixed(3), hidden)})
}

func (c *Inference) directions() (int, error) {
	switch dir := c.Attrs.Text("direction", "forward"); dir {
	case "forward", "reverse":
		return 1, nil
	case "bidirectional":
		return 2, nil
	default:
		return 0, c.Errorf("attribute direction: got %q, want forward, reverse or bidirectional", dir)
	}
}

// hiddenUnits checks the shapes of w and r against each other and hidden_size.
func (c *Inference) hiddenUnits(gates, directions int) (tensor.Dim, error) {
	hidden := tensor.Unknown()
	if h := c.Attrs.Int("hidden_size", 0); h > 0 {
		hidden = tensor.Fixed(h)
	}
	x, w, r := c.In(0), c.In(1), c.In(2)
	if r.Ranked() {
		var ok bool
		if hidden, ok = mergeDims(hidden, r.Shape[2]); !ok {
			return hidden, c.Errorf("input 2: got %v, want hidden_size %v on axis 2", r, c.Attrs.Int("hidden_size", 0))
		}
	}
	rows := mulDims(tensor.Fixed(gates), hidden)
	for i, t := range []tensor.Type{w, r} {
		if !t.Ranked() {
			continue
		}
		_, okD := mergeDims(t.Shape[0], tensor.Fixed(directions))
		_, okR := mergeDims(t.Shape[1], rows)
		if !okD || !okR {
			return hidden, c.Errorf("input %d: got %v, want [%d,%v,...]", i+1, t, directions, rows)
		}
	}
	if x.Ranked() && w.Ranked() {
		if _, ok := mergeDims(x.Shape[2], w.Shape[2]); !ok {
			return hidden, c.Errorf("input 1: got %v, want %v inputs as %v has", w, x.Shape[2], x)
		}
	}
	return hidden, nil
}
