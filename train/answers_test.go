package train

import (
	"context"
	"math"
	"testing"

	"github.com/compactify/compactify/data"
)

// TestEachSlope: of a linear network with a bias the derivatives are the example and 1,
// and give the answers back.
func TestEachSlope(t *testing.T) {
	g, err := NewModel("mlp:2-3", []int{2}, 3, 1)
	if err != nil {
		t.Fatal(err)
	}
	set := table(t, data.Classify, []float64{1, 2, 0}, []float64{3, -1, 1}, []float64{0.5, 0, 2})
	f, err := NewObjective(g, set, ObjectiveOptions{Batch: 2, Double: true})
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	x, row := f.Point(), make([]float32, set.Size())
	err = f.EachSlope(context.Background(), func(i int, rows [][]float64) error {
		seen++
		set.Fill(row, i)
		for k, r := range rows {
			z, want := 0.0, 0.0
			for j, s := range r {
				z += s * x[j]
			}
			for _, b := range f.Blocks() {
				if len(b.Shape) == 1 {
					want += x[b.At+k]
					continue
				}
				for d, v := range row { // Gemm's weights are [out, in]
					want += float64(v) * x[b.At+k*len(row)+d]
				}
			}
			if math.Abs(z-want) > 1e-12 {
				t.Errorf("example %d, answer %d: got %v, want %v", i, k, z, want)
			}
		}
		return nil
	})
	if err != nil || seen != set.Len() {
		t.Fatalf("%d examples: %v", seen, err)
	}
}
