package kernel

//go:generate go run ./asm -family rows -out rows_kernels_amd64.s -stubs rows_kernels_amd64.go -pkg kernel

// Extremes takes largest or least elements: a NaN wins, and a zero may come out
// with either sign, but with the same one in every [Set]. It is safe for
// concurrent use.
type Extremes[T Float] struct {
	least   bool
	op      opcode
	factors factors[T] // none is read
}

// NewExtremes takes the largest elements, or the least.
func NewExtremes[T Float](least bool) *Extremes[T] {
	if least {
		return &Extremes[T]{least: true, op: opMin}
	}
	return &Extremes[T]{op: opMax}
}

// Into computes acc[i] ← max(acc[i], x[i]), or min, for slices of one length.
func (e *Extremes[T]) Into(set Set, acc, x []T) {
	checkLength("x", len(x), len(acc))
	elements(set, e.op, acc, acc, x, nil, &e.factors)
}

// Rows computes dst[i] ← max_j x[i·cols + j], or min, for rows that x fills. It
// panics if a row has no elements.
func (e *Extremes[T]) Rows(set Set, dst, x []T, cols int) {
	checkSize("x", len(x), len(dst), cols)
	if len(dst) == 0 || rowExtremesBulk(set, e.least, dst, x, cols) {
		return
	}
	for i := range dst {
		row := x[i*cols:][:cols]
		best := row[0]
		for _, v := range row[1:] {
			if e.least {
				best = min(best, v)
			} else {
				best = max(best, v)
			}
		}
		dst[i] = best + 0 // of a zero, the positive one
	}
}
