package graph

import (
	"fmt"

	"github.com/compactify/compactify/tensor"
)

func linearRules() map[string]*Rule {
	return map[string]*Rule{
		"MatMul": {Since: []int{1}, MinIn: 2, MaxIn: 2, Infer: inferMatMul},
		"Einsum": {Since: []int{12}, MinIn: 1, MaxIn: -1, Infer: inferEinsum, Lower: lowerEinsum},
		"Gemm":   {Since: []int{1, 6, 7}, MinIn: 2, MaxIn: 3, Infer: inferGemm},
	}
}

// inferMatMul: numpy's matmul.
func inferMatMul(c *Inference) error {
	d, err := c.same(0, 1)
	if err != nil {
		return err
	}
	if err := c.want(numbers, 0); err != nil {
		return err
	}
	shape, err := matMulShape(c.In(0).Shape, c.In(1).Shape)
	if err != nil {
		return c.Errorf("%w", err)
	}
	c.Set(0, tensor.Type{DType: d, Shape: shape})
	return nil
}

// matMulShape is the shape of a·b; nil if a rank is unknown.
func matMulShape(a, b []tensor.Dim) ([]tensor.Dim, error) {
	if a == nil || b == nil {
		return nil, nil
	}
	if len(a) == 0 || len(b) == 0 {
		return nil, fmt.Errorf("inputs: got %v and %v, want rank 1 or more", tensor.Type{Shape: a}, tensor.Type{Shape: b})
	}
	inner, rows := a[len(a)-1], a[max(0, len(a)-2):len(a)-1]
	contract := b[max(0, len(b)-2)]
	cols := b[min(len(b)-1, max(1, len(b)-1)):]
	if len(b) == 1 {
		cols = nil
	}
	if _, ok := mergeDims(inner, contract); !ok {
		return nil, fmt.Errorf("inner sizes differ: %v · %v: got %v and %v", tensor.Type{Shape: a}, tensor.Type{Shape: b}, inner, contract)
	}
	batch, err := broadcast(a[:max(0, len(a)-2)], b[:max(0, len(b)-2)])
	if err != nil {
		return nil, fmt.Errorf("batch axes: %w", err)
	}
	return append(append(batch, rows...), cols...), nil
}

// inferGemm: alpha·A'·B' + beta·C with A' [M, K], B' [K, N], C broadcast to
// [M, N].
func inferGemm(c *Inference) error {
	d, err := c.same(0, 1, 2)
	if err != nil {
		return err
	}
	if err := c.want(numbers, 0); err != nil {
		return err
	}
	for i := range 2 {
		if err := c.rank(i, 2); err != nil {
			return err
		}
	}
	m, ka := c.gemmSides(0, "transA")
	kb, n := c.gemmSides(1, "transB")
	if _, ok := mergeDims(ka, kb); !ok {
		return c.Errorf("inner sizes differ: A %v, B %v: got %v and %v", c.In(0), c.In(1), ka, kb)
	}
	out := []tensor.Dim{m, n}
	if bias := c.In(2); bias.Ranked() {
		shape, err := broadcast(out, bias.Shape)
		if err != nil {
			return c.Errorf("input 2: %w", err)
		}
		if len(shape) > 2 || m.Size == 1 && shape[0].Size > 1 || n.Size == 1 && shape[1].Size > 1 {
			return c.Errorf("input 2: got %v, want a shape that broadcasts to %v", bias, tensor.Type{DType: d, Shape: out})
		}
	}
	c.Set(0, tensor.Type{DType: d, Shape: out})
	return nil
}

// gemmSides is the two axes of a Gemm operand after its optional transposition.
func (c *Inference) gemmSides(i int, trans string) (rows, cols tensor.Dim) {
	t := c.In(i)
	if !t.Ranked() {
		return tensor.Unknown(), tensor.Unknown()
	}
	if c.Attrs.Int(trans, 0) != 0 {
		return t.Shape[1], t.Shape[0]
	}
	return t.Shape[0], t.Shape[1]
}
