package kernel

// The portable tile is 2 × 4: its eight sums and six operands fit the sixteen
// floating-point registers of the poorest machine.
const portableRows, portableCols = 2, 4

// microPortable is the micro-kernel in Go; see [tiles]. Each product is
// converted before it is added, which forbids the compiler to fuse the two.
func microPortable[T Float](rows, k int, a []T, rsa, csa int, b []T, rsb int, c []T, ldc int, alpha, beta T) {
	var s00, s01, s02, s03, s10, s11, s12, s13 T
	second := (rows - 1) * rsa // a lone row is computed twice
	a = a[:(k-1)*csa+second+1]
	b = b[:(k-1)*rsb+portableCols]
	for p := range k {
		x, y := a[p*csa], a[p*csa+second]
		w := b[p*rsb:][:portableCols:portableCols]
		s00 += T(x * w[0])
		s01 += T(x * w[1])
		s02 += T(x * w[2])
		s03 += T(x * w[3])
		s10 += T(y * w[0])
		s11 += T(y * w[1])
		s12 += T(y * w[2])
		s13 += T(y * w[3])
	}
	sums := [portableRows][portableCols]T{{s00, s01, s02, s03}, {s10, s11, s12, s13}}
	for i := range rows {
		out := c[i*ldc:][:portableCols]
		for j, s := range sums[i] {
			v := T(alpha * s)
			if beta != 0 {
				v += T(beta * out[j])
			}
			out[j] = v
		}
	}
}

var portableTiles32 = tiles[float32]{mr: portableRows, nr: portableCols, micro: microPortable[float32]}

var portableTiles64 = tiles[float64]{mr: portableRows, nr: portableCols, micro: microPortable[float64]}
