package kernel

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// Agrees in bits with the general pooling and its gradient, special values and
// ties included, in every set and for odd sizes.
func TestMaxPool2x2(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	for _, s := range [][2]int{{2, 2}, {1, 5}, {4, 8}, {5, 9}, {6, 11}, {8, 16}, {7, 17}, {4, 30}, {3, 50}, {28, 28}} {
		const planes = 5
		h, w := s[0], s[1]
		x := operands(r, planes*h*w)
		for i := range x {
			if r.IntN(3) == 0 {
				x[i] = 1
			}
		}
		n := planes * (h / 2) * (w / 2)
		dy := random[float32](r, n)
		shape := PoolShape{N: 1, C: planes, H: h, W: w, KH: 2, KW: 2, SH: 2, SW: 2, DH: 1, DW: 1, OH: h / 2, OW: w / 2}
		for _, set := range sets() {
			p := newPool(t, 2, set)
			got, pick, gotGrad := make([]float32, n), make([]byte, n), slices.Repeat([]float32{7}, len(x))
			MaxPool2x2(p, planes, h, w, x, got, pick)
			MaxPool2x2Grad(p, planes, h, w, dy, pick, gotGrad)
			want, index, wantGrad := make([]float32, n), make([]int64, n), make([]float32, len(x))
			if n > 0 {
				MaxPool(p, shape, x, want, index)
				MaxPoolGrad(p, shape, dy, index, wantGrad)
			}
			if i := sameBits(got, want); i >= 0 {
				t.Fatalf("%v, %v: y[%d]: got %x, want %x", set, s, i, got[i], want[i])
			}
			if i := sameBits(gotGrad, wantGrad); i >= 0 {
				t.Fatalf("%v, %v: dx[%d]: got %x, want %x", set, s, i, gotGrad[i], wantGrad[i])
			}
		}
	}
}
