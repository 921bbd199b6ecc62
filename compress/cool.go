package compress

import (
	"slices"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
	"github.com/compactify/compactify/train"
)

// Fine-tuning imitates probabilities. Where a model's logits lie so far apart that
// all its answers are certain, they say no more than a label does; divided by a
// temperature they also say which classes are near. Source: G. Hinton, O. Vinyals
// and J. Dean, "Distilling the knowledge in a neural network" (2015), section 2.

// certain is the distance of the two largest logits, in nats, from which on the
// rest of an answer is not seen; hot answers are divided until they are so far.
const certain = 15

// temperature is what a model's logits are divided by for fine-tuning: 1 unless
// the median distance of the two largest is beyond certain.
func (e *Evaluator) temperature() float64 {
	if e.head != train.Logits || e.width < 2 {
		return 1
	}
	margins := make([]float64, len(e.answers[0]))
	for i, row := range e.answers[0] {
		sorted := slices.Clone(row)
		slices.Sort(sorted)
		margins[i] = float64(sorted[len(sorted)-1]) - float64(sorted[len(sorted)-2])
	}
	slices.Sort(margins)
	return max(1, margins[len(margins)/2]/certain)
}

// The names of what is added to a model for the time of fine-tuning.
const (
	cooledOutput = "logits over temperature"
	coolingParam = "one over temperature"
)

// cooled adds an output that is another divided by a temperature.
func cooled(g *graph.Graph, output string, temperature float64) (*graph.Graph, error) {
	c, _ := g.Clone()
	b := graph.NewBuilder(c, "cool_")
	y := b.Op("Mul", c.Output(output), b.Param(coolingParam, tensor.Scalar(float32(1/temperature))))
	if err := b.Err(); err != nil {
		return nil, err
	}
	y.Name = cooledOutput
	c.Outputs = append(c.Outputs, y)
	return c, nil
}

// warmed removes the output that cooled added.
func warmed(g *graph.Graph) *graph.Graph {
	c, _ := g.Clone()
	c.Outputs = slices.DeleteFunc(c.Outputs, func(v *graph.Value) bool { return v.Name == cooledOutput })
	c.RemoveDead()
	return c
}
