package kernel

import "testing"

func TestTransposeRows(t *testing.T) {
	for set := Portable; set <= Best(); set++ {
		p := NewPool(1, set)
		for _, d := range [][2]int{{1, 1}, {7, 3}, {40, 3}, {8, 8}, {37, 21}, {100, 70}, {5, 33}, {33, 5}} {
			rows, cols := d[0], d[1]
			src, dst := make([]float32, rows*cols), make([]float32, rows*cols)
			for i := range src {
				src[i] = float32(i)
			}
			middle := rows / 3
			TransposeRows(p, dst, src, 0, middle, rows, cols)
			TransposeRows(p, dst, src, middle, rows, rows, cols)
			for i, v := range dst {
				if want := float32(i%cols*rows + i/cols); v != want {
					t.Fatalf("%s, [%d, %d]: element %d: got %v, want %v", set, rows, cols, i, v, want)
				}
			}
		}
	}
}
