package compress

import "github.com/compactify/compactify/graph"

// storesIntegers reports whether a file holds weights as integers, which ONNX Runtime,
// where what they are multiplied by is not rounded too, unpacks to floats at every
// run: measured on small models, 1.7 to 6 times the time of the original.
func storesIntegers(file *graph.Graph) bool {
	ledger := file.Ledger(0)
	for i := range file.AllParams() {
		if e := ledger.Tensors[i]; e.Role == graph.RoleWeight && !e.DType.IsFloat() {
			return true
		}
	}
	return false
}

// roundsInputs reports whether ONNX Runtime, by default, rounds the inputs of some of
// a file's products to 8 bits, which the file does not ask for: from the optimisation
// level "extended" on it fuses DequantizeLinear → MatMul, or Gemm that transposes
// nothing, into MatMulNBits, whose accuracy level of 4 means just that. Measured with
// versions 1.30 and 1.32 at 8, 4 and 2 bits: the outputs are off by about 46 dB; with
// session.qdq_matmulnbits_accuracy_level set to 0 they are exact.
func roundsInputs(file *graph.Graph) bool {
	producer := file.Producers()
	dequantized := func(v *graph.Value) bool {
		n := producer[v]
		return n != nil && n.Kind() == "DequantizeLinear"
	}
	for _, n := range file.Nodes {
		plain := n.Kind() == "MatMul" || n.Kind() == "Gemm" && n.Attrs.Int("transA", 0) == 0 && n.Attrs.Int("transB", 0) == 0
		if plain && len(n.In) >= 2 && dequantized(n.In[1]) && file.Param(producer[n.In[1]].In[0]) != nil && !dequantized(n.In[0]) {
			return true
		}
	}
	return false
}
