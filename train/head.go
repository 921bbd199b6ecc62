package train

import (
	"fmt"
	"math"

	"github.com/compactify/compactify/graph"
)

// HeadKind says what a classifier's output holds.
type HeadKind string

// The kinds of heads.
const (
	Logits           HeadKind = "logits"
	Probabilities    HeadKind = "probabilities"
	LogProbabilities HeadKind = "log-probabilities"
)

// Head is the output of a model that answers.
type Head struct {
	Kind   HeadKind
	Output *graph.Value // the graph output
	Logits *graph.Value // the value whose softmax is the answer; nil if the graph does not hold one

	// Activation is the elementwise function that makes the output, such as Sigmoid or
	// Relu, "" if none does. Logits are not made so: unless labels say that it answers
	// with classes after all, such a model makes signals, as masks or levels.
	Activation string
}

// FindHead looks at the operator that makes an output ("" means the first): a
// softmax makes probabilities, a log-softmax log-probabilities, anything else
// counts as logits. Operators that only change the shape are looked through.
func FindHead(g *graph.Graph, output string) (Head, error) {
	if len(g.Outputs) == 0 {
		return Head{}, fmt.Errorf("head of graph %q: it has no output", g.Name)
	}
	v := g.Outputs[0]
	if output != "" {
		if v = g.Output(output); v == nil {
			return Head{}, fmt.Errorf("head of graph %q: output %q: not in the graph", g.Name, output)
		}
	}
	producer := g.Producers()
	at := v
	for {
		n := producer[at]
		if n == nil {
			break
		}
		switch n.Kind() {
		case "Identity", "Flatten", "Reshape", "Squeeze", "Dropout":
			at = n.In[0]
			continue
		case "Softmax":
			return Head{Kind: Probabilities, Output: v, Logits: n.In[0]}, nil
		case "LogSoftmax":
			return Head{Kind: LogProbabilities, Output: v, Logits: n.In[0]}, nil
		}
		break
	}
	return Head{Kind: Logits, Output: v, Logits: v, Activation: activationOf(producer, v)}, nil
}

// activationOf is the elementwise function that makes a value, "" if none does.
// Operators that only move, convert or round elements are looked through.
func activationOf(producer map[*graph.Value]*graph.Node, v *graph.Value) string {
	for n := producer[v]; n != nil; n = producer[v] {
		switch n.Kind() {
		case "Identity", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Dropout", "Cast", "QuantizeLinear", "DequantizeLinear":
			v = n.In[0]
			continue
		case "Sigmoid", "HardSigmoid", "Tanh", "Relu", "LeakyRelu", "PRelu", "ThresholdedRelu", "Clip", "Elu", "Celu", "Selu", "Gelu", "Softplus", "Softsign",
			"HardSwish", "Swish", "Mish", "Abs", "Exp", "Sqrt":
			return n.Kind()
		}
		break
	}
	return ""
}

// LogProbabilities turns one row of the head's output into log-probabilities,
// in place. Probabilities are floored at the smallest normal float32.
func (k HeadKind) LogProbabilities(row []float64) {
	switch k {
	case Probabilities:
		for i, p := range row {
			row[i] = math.Log(max(p, 0x1p-126))
		}
	case Logits:
		top := math.Inf(-1)
		for _, z := range row {
			top = max(top, z)
		}
		sum := 0.0
		for _, z := range row {
			sum += math.Exp(z - top)
		}
		shift := top + math.Log(sum)
		for i := range row {
			row[i] -= shift
		}
	}
}
