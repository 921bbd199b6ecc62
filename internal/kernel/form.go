package kernel

//go:generate go run ./asm -family forms -out forms_kernels_amd64.s -stubs forms_kernels_amd64.go -pkg kernel

// A form is a constant matrix W [n, k] stored so that it takes fewer bytes than
// its float32 elements, or fewer operations, and a product with it:
//
//	y [m, n] = x [m, k] · Wᵀ + bias
//
// [LowBit] holds integers of 1, 2 or 4 bits, [BlockSparse] columns of sixteen
// weights, [TwoOfFour] two weights of every four, [SparseRows] any few weights,
// and [Signs] signs that meet signs. Output channels lie in the lanes of vectors,
// so that no sum crosses lanes.
type Form interface {
	// Product binds the product with m rows. The returned function allocates
	// nothing; bias [n] may be nil. It must not run twice at once, and panics if a
	// slice is too short.
	Product(p *Pool, m int) func(x, bias, y []float32)
	// Bytes is what the matrix occupies.
	Bytes() int
}

// lanes is the number of outputs in a panel: one vector of AVX-512.
const lanes = 16

// checkForm panics unless the operands of a product fit.
func checkForm(m, n, k int, x, bias, y []float32) {
	checkSize("x", len(x), m, k)
	checkSize("y", len(y), m, n)
	if bias != nil {
		checkLength("bias", len(bias), n)
	}
}

// storeRows copies rows of a panel, ld apart in sums, to columns [j, j+width) of y
// with n columns, and adds the bias.
func storeRows(y []float32, n, j, width int, sums []float32, ld, rows int, bias []float32) {
	for i := range rows {
		out, s := y[i*n+j:][:width], sums[i*ld:][:width]
		if bias == nil {
			copy(out, s)
			continue
		}
		for l, b := range bias[j:][:width] {
			out[l] = s[l] + b
		}
	}
}

// spread runs body over n items that each take so many multiplications.
func (p *Pool) spread(n, products int, body func(worker, lo, hi int)) {
	if err := p.For(n, 1+minProducts/max(1, products), body); err != nil {
		panic(err)
	}
}
