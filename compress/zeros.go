package compress

import (
	"fmt"
	"strings"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/words"
)

// ZerosNote says, before the work, what removing single weights of a model can
// bring: no speed in runtimes that multiply dense matrices, and a smaller file below
// the density at which a sparse initialiser takes fewer bytes than another encoding.
func ZerosNote(g *graph.Graph) string {
	each := sparseBytes(g)
	var below []string
	for _, bits := range []int{32, 8, 4, 2} {
		below = append(below, fmt.Sprintf("%s %% of %d bits", words.Significant(100*min(1, float64(bits)/8/each), 2), bits))
	}
	return fmt.Sprintf("unstructured zeros: expect 1.0× the speed where matrices are multiplied whole, as in ONNX Runtime; a weight that stays takes %s bytes with its place, so files shrink below these densities: %s",
		words.Significant(each, 2), strings.Join(below, ", "))
}

// sparseBytes is what one float32 weight of a sparse initialiser takes, its index
// as a protobuf varint included, on average over the places of all layers.
func sparseBytes(g *graph.Graph) float64 {
	total, weights := 0.0, 0.0
	for _, l := range g.Layers() {
		n := float64(l.Param.Data.Len())
		weights += n
		total += 5 * n // four of the value and the first of the index
		for from := 128.0; from < n; from *= 128 {
			total += n - from
		}
	}
	if weights == 0 {
		return 5
	}
	return total / weights
}

// AloneNote names the matrices among a model's weights that no path works on, such
// as those that several operators read in different ways; "" if there are none.
func AloneNote(g *graph.Graph) string {
	worked := make(map[string]bool)
	for _, l := range g.Layers() {
		worked[l.Name()] = true
	}
	var names []string
	for _, p := range g.Weights() {
		if !worked[p.Name] && p.Data.Rank() > 1 {
			names = append(names, fmt.Sprintf("%q", p.Name))
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "left alone, as a bias, or shared in a way that forbids it: " + strings.Join(names, ", ")
}
