package paths

import (
	"strings"
	"testing"
)

// TestLeftInFloat names what runtimes compute in floating point: nothing of an
// 8-bit residual network, and its layers of 4 and of 2 bits.
func TestLeftInFloat(t *testing.T) {
	for bits, want := range map[int]string{8: "", 4: "has 4 bits", 2: "has 2 bits", 32: "stays in floating point"} {
		g := residualNet(t)
		q, err := QuantizeWeights(nil, g, Uniform(g, Scheme{Bits: bits}))
		if err != nil {
			t.Fatal(err)
		}
		ranges := make(map[string]Range)
		for _, v := range Activations(q) {
			ranges[v.Name] = Range{-1, 1}
		}
		if q, err = QuantizeActivations(q, ranges); err != nil {
			t.Fatal(err)
		}
		if got := len(RoundedValues(q)); bits != 2 && got < len(ranges) {
			t.Errorf("%d bits: %d values rounded, want at least %d", bits, got, len(ranges))
		}
		layers := 0
		for _, f := range LeftInFloat(q) {
			if f.Node.Kind() == "Conv" || f.Node.Kind() == "Gemm" {
				layers++
				if want == "" || !strings.Contains(f.Reason, want) {
					t.Errorf("%d bits: %s: %s", bits, f.Node.Kind(), f.Reason)
				}
			}
		}
		if (layers == 4) != (want != "") {
			t.Errorf("%d bits: %d of 4 layers in floating point", bits, layers)
		}
	}
}
