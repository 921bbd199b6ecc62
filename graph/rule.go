package graph

import "fmt"

// Rule is what the program knows of one operator that is not a kernel. Every
// field but Since and Infer may be nil.
//
// Infer, Lower and VJP speak of the operator as the newest opset defines
// it; older graphs go through Upgrade first.
type Rule struct {
	// Since lists the opsets in which the operator's form changed (inputs,
	// attributes or meaning; not merely the number types it accepts), the
	// first being the one that introduced it. The last is the oldest opset in
	// which today's form may be written.
	Since []int

	// MinIn and MaxIn bound the number of inputs; MaxIn < 0 means any number.
	MinIn, MaxIn int

	// MinOut and MaxOut bound the number of outputs, of which the first MinOut may
	// not be omitted; MaxOut < 0 means any number. Both 0 mean exactly one.
	MinOut, MaxOut int

	// Infer checks the inputs and sets the types of the outputs.
	Infer func(*Inference) error

	// Lower expresses the operator in terms of others and returns the values
	// that replace its outputs (nil where the node omits one).
	Lower func(*Builder, *Node) []*Value

	// VJP maps cotangents of the outputs (nil where none flows) to cotangents
	// of the inputs (nil where the input has none), as operators. Those of what
	// the node's subgraphs capture follow. Every other derivative is made of it:
	// a Jacobian-vector product is the transpose of the transpose.
	VJP func(*Builder, *Node, []*Value) []*Value

	// Batch appends the operator for many examples at once; see [Batching].
	Batch batchFunc

	// Upgrade rewrites a node written for an opset before the key into the
	// form the key introduced.
	Upgrade map[int]func(*Builder, *Node) error
}

// RuleFor returns the row of the table for an operator, nil if it is unknown.
func RuleFor(domain, op string) *Rule { return rules[opKey(domain, op)] }

// Rule returns the row of the table for the node's operator, nil if unknown.
func (n *Node) Rule() *Rule { return rules[n.Kind()] }

// rules is the table: one row per operator, assembled from one file per family.
// Derivatives fill in a field of their rows from files of their own, vjp_*.go, and batching in batch_*.go.
var rules map[string]*Rule

func init() {
	rules = make(map[string]*Rule)
	for _, family := range []map[string]*Rule{
		arithmeticRules(), activationRules(), linearRules(), convolutionRules(), normalizationRules(), poolingRules(),
		reductionRules(), shapeRules(), constantRules(), layoutRules(), selectionRules(), scatterRules(), samplingRules(), lossRules(),
		quantizationRules(), randomRules(), controlRules(), recurrentRules(), internalRules(), attentionRules(), signalRules(), contribRules(),
	} {
		for op, r := range family {
			if rules[op] != nil {
				panic(fmt.Sprintf("graph: two rules for operator %s", op))
			}
			rules[op] = r
		}
	}
	for _, family := range []map[string]vjpFunc{
		elementwiseVJPs(), activationVJPs(), linearVJPs(), shapeVJPs(), selectionVJPs(), scatterVJPs(), reductionVJPs(), productVJPs(),
		samplingVJPs(), controlVJPs(), quantizationVJPs(), flatVJPs(), signalVJPs(),
	} {
		for op, f := range family {
			if rules[op] == nil {
				panic(fmt.Sprintf("graph: derivative of operator %s, which has no rule", op))
			}
			rules[op].VJP = f
		}
	}
	for _, family := range []map[string]batchFunc{elementwiseBatches(), linearBatches(), shapeBatches(), controlBatches()} {
		for op, f := range family {
			if rules[op] == nil {
				panic(fmt.Sprintf("graph: batching of operator %s, which has no rule", op))
			}
			rules[op].Batch = f
		}
	}
}

// Operators lists every operator that has a rule.
func Operators() []string {
	names := make([]string, 0, len(rules))
	for op := range rules {
		names = append(names, op)
	}
	return names
}
