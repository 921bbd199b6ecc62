package kernel

import "fmt"

// Chain is a sequence of element-by-element operations over one set of slices:
// run on blocks that stay in the first-level cache, it passes over memory once.
type Chain[T Float] struct{ code []link[T] }

// link is an operation with the places of its operands and its result.
type link[T Float] struct {
	op        opcode
	dst, x, y int
	factors   factors[T]
}

// Link is one operation of a [Chain]: values[Dst] ← Op(values[X], values[Y]).
type Link struct {
	Op        string  // an operator of ONNX, or Gelu, GeluTanh, ReluGrad
	Dst, X, Y int     // places; operators of one operand do not read Y
	Factor    float64 // of LeakyRelu: the slope
}

var linkOps = map[string]opcode{
	"Add": opAdd, "Sub": opSub, "Mul": opMul, "Div": opDiv, "Max": opMax, "Min": opMin,
	"Relu": opRelu, "ReluGrad": opReluGrad, "LeakyRelu": opLeaky, "Abs": opAbs, "Neg": opMulScalar,
	"Exp": opExp, "Log": opLog, "Sqrt": opSqrt, "Reciprocal": opReciprocal, "Sigmoid": opSigmoid, "Tanh": opTanh, "Erf": opErf,
	"Gelu": opGelu, "GeluTanh": opGeluTanh,
}

// NewChain checks the operations' names. ReluGrad reads dy at X and x at Y.
func NewChain[T Float](links []Link) (*Chain[T], error) {
	c := &Chain[T]{code: make([]link[T], len(links))}
	for i, l := range links {
		op, ok := linkOps[l.Op]
		if !ok {
			return nil, fmt.Errorf("chain: operation %d: got %q, want a known one", i, l.Op)
		}
		t := &c.code[i]
		*t = link[T]{op: op, dst: l.Dst, x: l.X, y: l.Y}
		switch op {
		case opReluGrad: // the kernel has its operands the other way round
			t.x, t.y = l.Y, l.X
		case opMulScalar:
			t.factors[0] = -1
		case opLeaky:
			t.factors[0] = T(l.Factor)
		}
	}
	return c, nil
}

// Run runs the chain on values, slices of equal length that are the same memory
// or do not overlap.
func (c *Chain[T]) Run(set Set, values [][]T) {
	for i := range c.code {
		l := &c.code[i]
		var y []T
		if isBinary(l.op) {
			y = values[l.y]
		}
		elements(set, l.op, values[l.dst], values[l.x], y, nil, &l.factors)
	}
}

// Filler repeats a number; it is not safe for concurrent use.
type Filler[T Float] struct{ factors factors[T] }

// Fill sets every element of dst to v.
func (f *Filler[T]) Fill(set Set, dst []T, v T) {
	f.factors[0] = v
	elements(set, opFill, dst, dst, nil, nil, &f.factors)
}
