package graph

import (
	"github.com/compactify/compactify/tensor"
	"math"
)

func arithmeticRules() map[string]*Rule {
	return map[string]*Rule{
		"Add": {Since: []int{1, 6, 7}, MinIn: 2, MaxIn: 2, Infer: inferArithmetic(addDims)},
		"Sub": {Since: []int{1, 6, 7}, MinIn: 2, MaxIn: 2, Infer: inferArithmetic(subDims)},
		"Mul": {Since: []int{1, 6, 7}, MinIn: 2, MaxIn: 2, Infer: inferArithmetic(mulDims)},
		"Div": {Since: []int{1, 6, 7}, MinIn: 2, MaxIn: 2, Infer: inferArithmetic(divDims)},
		"Pow": {Since: []int{1, 7}, MinIn: 2, MaxIn: 2, Infer: inferPow},
		"Mod": {Since: []int{10}, MinIn: 2, MaxIn: 2, Infer: inferBroadcastOf(numbers)},

		"Max":  {Since: []int{1, 6, 8}, MinIn: 1, MaxIn: -1, Infer: inferBroadcastOf(numbers), Lower: lowerExtreme("Max", "Less")},
		"Min":  {Since: []int{1, 6, 8}, MinIn: 1, MaxIn: -1, Infer: inferBroadcastOf(numbers), Lower: lowerExtreme("Min", "Greater")},
		"Sum":  {Since: []int{1, 6, 8}, MinIn: 1, MaxIn: -1, Infer: inferBroadcastOf(floats), Lower: lowerSum},
		"Mean": {Since: []int{1, 6, 8}, MinIn: 1, MaxIn: -1, Infer: inferBroadcastOf(floats), Lower: lowerMean},

		"And":            {Since: []int{1, 7}, MinIn: 2, MaxIn: 2, Infer: inferCompare(booleans)},
		"Or":             {Since: []int{1, 7}, MinIn: 2, MaxIn: 2, Infer: inferCompare(booleans)},
		"Xor":            {Since: []int{1, 7}, MinIn: 2, MaxIn: 2, Infer: inferCompare(booleans)},
		"Not":            {Since: []int{1}, MinIn: 1, MaxIn: 1, Infer: inferUnary(booleans)},
		"Equal":          {Since: []int{1, 7}, MinIn: 2, MaxIn: 2, Infer: inferCompare(anyType)},
		"Greater":        {Since: []int{1, 7}, MinIn: 2, MaxIn: 2, Infer: inferCompare(numbers)},
		"Less":           {Since: []int{1, 7}, MinIn: 2, MaxIn: 2, Infer: inferCompare(numbers)},
		"GreaterOrEqual": {Since: []int{12}, MinIn: 2, MaxIn: 2, Infer: inferCompare(numbers)},
		"LessOrEqual":    {Since: []int{12}, MinIn: 2, MaxIn: 2, Infer: inferCompare(numbers)},
		"IsNaN":          {Since: []int{9}, MinIn: 1, MaxIn: 1, Infer: inferTest},
		"IsInf":          {Since: []int{10}, MinIn: 1, MaxIn: 1, Infer: inferTest},
		"Where":          {Since: []int{9}, MinIn: 3, MaxIn: 3, Infer: inferWhere},

		"BitShift":   {Since: []int{11}, MinIn: 2, MaxIn: 2, Infer: inferBitShift},
		"BitwiseAnd": {Since: []int{18}, MinIn: 2, MaxIn: 2, Infer: inferBroadcastOf(integers)},
		"BitwiseOr":  {Since: []int{18}, MinIn: 2, MaxIn: 2, Infer: inferBroadcastOf(integers)},
		"BitwiseXor": {Since: []int{18}, MinIn: 2, MaxIn: 2, Infer: inferBroadcastOf(integers)},
		"BitwiseNot": {Since: []int{18}, MinIn: 1, MaxIn: 1, Infer: inferUnary(integers)},

		"Cast":       {Since: []int{1, 6}, MinIn: 1, MaxIn: 1, Infer: inferCast},
		"CastLike":   {Since: []int{15}, MinIn: 2, MaxIn: 2, Infer: inferCastLike},
		"BitCast":    {Since: []int{26}, MinIn: 1, MaxIn: 1, Infer: inferBitCast},
		"Identity":   {Since: []int{1}, MinIn: 1, MaxIn: 1, Infer: inferIdentity},
		"Abs":        {Since: []int{1, 6}, MinIn: 1, MaxIn: 1, Infer: inferUnary(numbers)},
		"Neg":        {Since: []int{1, 6}, MinIn: 1, MaxIn: 1, Infer: inferNeg},
		"Sign":       {Since: []int{9}, MinIn: 1, MaxIn: 1, Infer: inferUnary(numbers)},
		"Floor":      {Since: []int{1, 6}, MinIn: 1, MaxIn: 1, Infer: inferUnary(floats)},
		"Ceil":       {Since: []int{1, 6}, MinIn: 1, MaxIn: 1, Infer: inferUnary(floats)},
		"Round":      {Since: []int{11}, MinIn: 1, MaxIn: 1, Infer: inferUnary(floats)},
		"Sqrt":       {Since: []int{1, 6}, MinIn: 1, MaxIn: 1, Infer: inferUnary(floats)},
		"Reciprocal": {Since: []int{1, 6}, MinIn: 1, MaxIn: 1, Infer: inferUnary(floats)},
		"Exp":        {Since: []int{1, 6}, MinIn: 1, MaxIn: 1, Infer: inferUnary(floats)},
		"Log":        {Since: []int{1, 6}, MinIn: 1, MaxIn: 1, Infer: inferUnary(floats)},
		"Erf":        {Since: []int{9}, MinIn: 1, MaxIn: 1, Infer: inferUnary(numbers)},
		"Sin":        {Since: []int{7}, MinIn: 1, MaxIn: 1, Infer: inferUnary(floats)},
		"Cos":        {Since: []int{7}, MinIn: 1, MaxIn: 1, Infer: inferUnary(floats)},
		"Tan":        {Since: []int{7}, MinIn: 1, MaxIn: 1, Infer: inferUnary(floats)},
		"Asin":       {Since: []int{7}, MinIn: 1, MaxIn: 1, Infer: inferUnary(floats)},
		"Acos":       {Since: []int{7}, MinIn: 1, MaxIn: 1, Infer: inferUnary(floats)},
		"Atan":       {Since: []int{7}, MinIn: 1, MaxIn: 1, Infer: inferUnary(floats)},
		"Sinh":       {Since: []int{9}, MinIn: 1, MaxIn: 1, Infer: inferUnary(floats)},
		"Cosh":       {Since: []int{9}, MinIn: 1, MaxIn: 1, Infer: inferUnary(floats)},
		"Asinh":      {Since: []int{9}, MinIn: 1, MaxIn: 1, Infer: inferUnary(floats)},
		"Acosh":      {Since: []int{9}, MinIn: 1, MaxIn: 1, Infer: inferUnary(floats)},
		"Atanh":      {Since: []int{9}, MinIn: 1, MaxIn: 1, Infer: inferUnary(floats)},
	}
}

// inferUnary gives the output the input's type.
func inferUnary(k class) func(*Inference) error {
	return func(c *Inference) error {
		if err := c.want(k, 0); err != nil {
			return err
		}
		c.Set(0, c.In(0))
		return nil
	}
}

// inferNeg also follows a size that is spelt as a negative constant.
func inferNeg(c *Inference) error {
	if list, ok := c.ConstInts(0); ok && c.In(0).Rank() <= 1 && len(list) <= maxKnownDims {
		dims := make([]tensor.Dim, len(list))
		for i, n := range list {
			dims[i] = dimOf(-n)
		}
		c.SetDims(0, dims)
	}
	return inferUnary(signeds)(c)
}

// inferIdentity passes on everything known of the input.
func inferIdentity(c *Inference) error {
	c.Set(0, c.In(0))
	out := c.Output(0)
	if out == nil {
		return nil
	}
	if t, ok := c.Const(0); ok {
		c.Facts.SetData(out, t)
	}
	if dims, ok := c.Dims(0); ok {
		c.SetDims(0, dims)
	}
	return nil
}

func inferCast(c *Inference) error {
	to := tensor.DType(c.Attrs.Int("to", 0))
	if !to.Valid() {
		return c.Errorf("attribute to: got %d, want the code of a number type", c.Attrs.Int("to", 0))
	}
	c.Set(0, c.In(0).With(to))
	if indices.has(to) {
		c.passDims()
	}
	return nil
}

func inferCastLike(c *Inference) error {
	c.Set(0, c.In(0).With(c.In(1).DType))
	if indices.has(c.In(1).DType) {
		c.passDims()
	}
	return nil
}

// inferBitCast: the same bits read as another number type of the same width.
func inferBitCast(c *Inference) error {
	x, to := c.In(0), tensor.DType(c.Attrs.Int("to", 0))
	if !to.Valid() || x.DType != tensor.Undefined && to.Bits() != x.DType.Bits() {
		return c.Errorf("attribute to: got %v, want a number type as wide as %v", to, x.DType)
	}
	c.Set(0, x.With(to))
	return nil
}

// inferTest is a unary predicate of floats.
func inferTest(c *Inference) error {
	if err := c.want(floats, 0); err != nil {
		return err
	}
	c.Set(0, c.In(0).With(tensor.Bool))
	return nil
}

// inferBroadcastOf is an operator of broadcast inputs that share one number
// type, which the output has as well.
func inferBroadcastOf(k class) func(*Inference) error {
	return func(c *Inference) error {
		d, shape, err := c.broadcastSame(k)
		if err != nil {
			return err
		}
		c.Set(0, tensor.Type{DType: d, Shape: shape})
		return nil
	}
}

// inferCompare is a broadcasting operator with a Boolean output.
func inferCompare(k class) func(*Inference) error {
	return func(c *Inference) error {
		_, shape, err := c.broadcastSame(k)
		if err != nil {
			return err
		}
		c.Set(0, tensor.Type{DType: tensor.Bool, Shape: shape})
		return nil
	}
}

// broadcastSame checks that all inputs are present and of one number type in
// class k, and broadcasts their shapes.
func (c *Inference) broadcastSame(k class) (tensor.DType, []tensor.Dim, error) {
	all := make([]int, len(c.Node.In))
	for i := range all {
		all[i] = i
		if !c.HasIn(i) {
			return 0, nil, c.Errorf("input %d: omitted, but required", i)
		}
	}
	if err := c.want(k, all...); err != nil {
		return 0, nil, err
	}
	d, err := c.same(all...)
	if err != nil {
		return 0, nil, err
	}
	shape, err := broadcastTypes(c, 0, len(all))
	return d, shape, err
}

// inferArithmetic is a binary operator that also computes with sizes.
func inferArithmetic(f func(a, b tensor.Dim) tensor.Dim) func(*Inference) error {
	infer := inferBroadcastOf(numbers)
	return func(c *Inference) error {
		if err := infer(c); err != nil {
			return err
		}
		a, ok := c.sizes(0)
		b, both := c.sizes(1)
		if !ok || !both || (len(a) != len(b) && len(a) != 1 && len(b) != 1) {
			return nil
		}
		out := make([]tensor.Dim, max(len(a), len(b)))
		if len(a) == 0 || len(b) == 0 {
			out = out[:0]
		}
		for i := range out {
			out[i] = f(a[i%len(a)], b[i%len(b)])
		}
		c.SetDims(0, out)
		return nil
	}
}

// The size arithmetic of shape computations. What is not certain, or negative,
// is unknown.

func addDims(a, b tensor.Dim) tensor.Dim {
	switch {
	case a.Known() && b.Known():
		return tensor.Fixed(a.Size + min(b.Size, math.MaxInt-a.Size))
	case a.Size == 0:
		return b
	case b.Size == 0:
		return a
	}
	return tensor.Unknown()
}

func subDims(a, b tensor.Dim) tensor.Dim {
	switch {
	case a.Known() && b.Known():
		return dimOf(a.Size - b.Size)
	case a.Same(b):
		return tensor.Fixed(0)
	case b.Size == 0:
		return a
	}
	return tensor.Unknown()
}

func mulDims(a, b tensor.Dim) tensor.Dim {
	switch {
	case a.Known() && b.Known():
		return tensor.Fixed(saturatingMul(a.Size, b.Size))
	case a.Size == 1:
		return b
	case b.Size == 1:
		return a
	}
	return tensor.Unknown()
}

// saturatingMul is a·b for sizes, the largest int where that overflows: a shape
// that checkSizes refuses.
func saturatingMul(a, b int) int {
	if a != 0 && b > math.MaxInt/a {
		return math.MaxInt
	}
	return a * b
}

func divDims(a, b tensor.Dim) tensor.Dim {
	switch {
	case a.Known() && b.Size > 0:
		return tensor.Fixed(a.Size / b.Size)
	case b.Size == 1:
		return a
	}
	return tensor.Unknown()
}

// inferPow lets the exponent have a number type of its own.
func inferPow(c *Inference) error {
	if err := c.want(numbers, 0, 1); err != nil {
		return err
	}
	return inferBroadcast(c)
}

func inferBitShift(c *Inference) error {
	if dir := c.Attrs.Text("direction", ""); dir != "LEFT" && dir != "RIGHT" {
		return c.Errorf("attribute direction: got %q, want LEFT or RIGHT", dir)
	}
	return inferBroadcastOf(integers)(c)
}

// inferWhere broadcasts the condition and both branches.
func inferWhere(c *Inference) error {
	if err := c.want(booleans, 0); err != nil {
		return err
	}
	d, err := c.same(1, 2)
	if err != nil {
		return err
	}
	shape, err := broadcastTypes(c, 0, 3)
	if err != nil {
		return err
	}
	c.Set(0, tensor.Type{DType: d, Shape: shape})
	return nil
}

// chain folds a variadic operator's inputs with a binary one.
func chain(n *Node, binary func(x, y *Value) *Value) *Value {
	y := n.In[0]
	for _, x := range n.In[1:] {
		y = binary(y, x)
	}
	return y
}

// lowerExtreme expresses Max and Min by comparison: of several inputs by a
// chain of two at a time, of two by a choice.
func lowerExtreme(op, loses string) func(*Builder, *Node) []*Value {
	return func(b *Builder, n *Node) []*Value {
		if len(n.In) == 2 {
			return []*Value{b.Op("Where", b.Op(loses, n.In[0], n.In[1]), n.In[1], n.In[0])}
		}
		return []*Value{chain(n, func(x, y *Value) *Value { return b.Op(op, x, y) })}
	}
}

func lowerSum(b *Builder, n *Node) []*Value {
	return []*Value{chain(n, func(x, y *Value) *Value { return b.Op("Add", x, y) })}
}

func lowerMean(b *Builder, n *Node) []*Value {
	sum := lowerSum(b, n)[0]
	return []*Value{b.Op("Div", sum, b.ConstLike(n.In[0], float64(len(n.In))))}
}
