package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The definition in float64, element by element; the operands are exact in
// float32, and no quotient lies near a tie by chance.
func TestFakeQuantizeDefinition(t *testing.T) {
	const tol = 1e-5 // roundings of float32 in sums of 100 slopes below 16
	p := newPool(t, 2, Best())
	r := rand.New(rand.NewPCG(7, 8))
	for _, c := range []struct{ outer, channels, cols int }{
		{1, 4, 100}, {3, 5, 33}, {8, 40, 1}, {5, 3, 7}, {2, 1, 9000}, {1, 2, 20000},
	} {
		rows := c.outer * c.channels
		n := rows * c.cols
		x, dy, scale := random[float32](r, n), random[float32](r, n), random[float32](r, c.channels)
		y, dx, ds := make([]float32, n), make([]float32, n), make([]float32, c.channels)
		for i := range scale {
			scale[i] = 0.05 + abs32(scale[i])
		}
		const lo, hi = -3, 4
		FakeQuantize(p, y, x, scale, c.cols, lo, hi)
		FakeQuantizeGrad(p, dx, ds, dy, x, scale, c.cols, lo, hi)
		want, size := make([]float64, c.channels), make([]float64, c.channels)
		for i := range x {
			k := i / c.cols % c.channels
			v := float64(x[i] / scale[k])
			bounded := max(lo, min(hi, math.RoundToEven(v)))
			if got, w := float64(y[i]), bounded*float64(scale[k]); math.Abs(got-w) > 1e-6*math.Abs(w) {
				t.Fatalf("%+v: y[%d] of %v in steps of %v: got %v, want %v", c, i, x[i], scale[k], got, w)
			}
			d, slope := dy[i], bounded-v
			if v < lo || v > hi {
				d, slope = 0, bounded
			}
			if dx[i] != d {
				t.Fatalf("%+v: dx[%d]: got %v, want %v", c, i, dx[i], d)
			}
			want[k] += float64(dy[i]) * slope
			size[k] += math.Abs(float64(dy[i]) * slope)
		}
		for k := range want {
			if math.Abs(float64(ds[k])-want[k]) > tol*size[k] {
				t.Errorf("%+v: dscale[%d]: got %v, want %v", c, k, ds[k], want[k])
			}
		}
	}
}
