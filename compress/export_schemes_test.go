package compress

import (
	"fmt"
	"testing"

	"github.com/compactify/compactify/internal/testkit"
	"github.com/compactify/compactify/paths"
)

// exportSchemes are the forms in which weights are stored, beside those of
// exportWidths: zero points or none, one scale for the tensor, for each output
// channel or for each block. The fit of the range does not change the form.
func exportSchemes() []paths.Scheme {
	var list []paths.Scheme
	for _, block := range []int{paths.PerChannel, paths.PerTensor, 2, 5, 16, 32} {
		for _, s := range []paths.Scheme{
			{Bits: 8}, {Bits: 4}, {Bits: 2}, {Bits: 1}, {Bits: 2, Ternary: true},
			{Bits: 8, Asymmetric: true}, {Bits: 3, Asymmetric: true}, {Bits: 2, Asymmetric: true},
		} {
			if s.Block = block; block == paths.PerChannel && !s.Asymmetric && !s.Ternary {
				continue // TestExportCheckLayers has those
			}
			list = append(list, s)
		}
	}
	return list
}

// TestExportCheckSchemes writes every kind of layer in every form.
func TestExportCheckSchemes(t *testing.T) {
	e := testkit.NewExports(t, "compress-schemes")
	for _, c := range layerCases {
		for _, n := range []int{1, 3, 6, 8} {
			g := c.graphOf(t, n)
			for i, s := range exportSchemes() {
				q, err := paths.QuantizeWeights(nil, g, paths.Uniform(g, s))
				if err != nil {
					t.Fatal(err)
				}
				file, err := Encode(q)
				if err != nil {
					t.Fatal(err)
				}
				addExport(t, e, fmt.Sprintf("%s-%d-%02d %v", c.name, n, i, s), file, roundingTolerance, normal(99, c.shape...))
			}
		}
	}
}
