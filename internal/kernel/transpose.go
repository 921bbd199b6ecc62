package kernel

// TransposeRows computes rows [lo, hi) of dst [rows, cols] from src [cols, rows].
// Elements keep their bits, whatever numbers they are. It panics if a slice is
// too short.
func TransposeRows(p *Pool, dst, src []float32, lo, hi, rows, cols int) {
	checkLen("transpose", "dst", len(dst), rows*cols)
	checkLen("transpose", "src", len(src), rows*cols)
	if cols == 3 {
		interleave3(dst[3*lo:3*hi], src[lo:hi], src[rows+lo:rows+hi], src[2*rows+lo:2*rows+hi])
		return
	}
	t := &sTiles[p.set]
	r1, c1 := lo, 0
	if k := t.square; t.transpose != nil {
		r1, c1 = lo+(hi-lo)/k*k, cols/k*k
		for c := 0; c < c1 && r1 > lo; c += k {
			t.transpose(r1-lo, dst[lo*cols+c:], cols, src[c*rows+lo:], rows)
		}
	}
	transposeBlock(dst, src, lo, r1, c1, cols, rows, cols)
	transposeBlock(dst, src, r1, hi, 0, cols, rows, cols)
}

// interleave3 puts three rows, such as the colours of an image, side by side.
func interleave3(dst, a, b, c []float32) {
	b, c = b[:len(a)], c[:len(a)]
	for i, v := range a {
		d := dst[3*i : 3*i+3 : 3*i+3]
		d[0], d[1], d[2] = v, b[i], c[i]
	}
}

// transposeBlock does rows [r0, r1) and columns [c0, c1), in squares that stay in
// the cache.
func transposeBlock(dst, src []float32, r0, r1, c0, c1, rows, cols int) {
	const square = 32
	for c := c0; c < c1; c += square {
		end := min(c+square, c1)
		for r := r0; r < r1; r++ {
			out := dst[r*cols+c : r*cols+end]
			at := c*rows + r
			for j := range out {
				out[j] = src[at]
				at += rows
			}
		}
	}
}
