package graph

// flatVJPs are operators that are constant almost everywhere, that count, or
// that draw at random: nothing flows through them.
func flatVJPs() map[string]vjpFunc {
	rules := make(map[string]vjpFunc)
	for _, op := range []string{
		"Constant", "ConstantOfShape", "EyeLike", "Shape", "Size", "NonZero", "NonMaxSuppression", // shapes and positions
		"Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "IsInf", "IsNaN", "And", "Or", "Xor", "Not", // truth
		"BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot", "BitCast", // bits
		"Sign", "Floor", "Ceil", "Round", "Hardmax", "ArgMax", "ArgMin", "QuantizeLinear", // steps
		"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial", // draws
	} {
		rules[op] = vjpNone
	}
	return rules
}

// vjpNone is the rule of functions that are constant almost everywhere, or not
// differentiable at all.
func vjpNone(_ *Builder, n *Node, _ []*Value) []*Value { return make([]*Value, len(n.In)) }
