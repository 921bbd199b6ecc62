package kernel

// dense reports that the kernel covers the image, so that the convolution is the
// matrix product y [N, M] = x [N, C·H·W] · wᵀ.
func (s *ConvShape) dense() bool {
	return s.Groups == 1 && s.OH == 1 && s.OW == 1 && s.PT == 0 && s.PL == 0 &&
		s.KH == s.H && s.KW == s.W && (s.DH == 1 || s.KH == 1) && (s.DW == 1 || s.KW == 1)
}

// matmul computes C = op(A)·op(B) of contiguous matrices; see [SGEMM].
func matmul[T Float](p *Pool, transA, transB bool, m, n, k int, a, b, c []T) {
	lda, ldb := k, n
	if transA {
		lda = m
	}
	if transB {
		ldb = k
	}
	switch a := any(a).(type) {
	case []float32:
		SGEMM(p, transA, transB, m, n, k, 1, a, lda, any(b).([]float32), ldb, 0, any(c).([]float32), n)
	case []float64:
		DGEMM(p, transA, transB, m, n, k, 1, a, lda, any(b).([]float64), ldb, 0, any(c).([]float64), n)
	}
}

func denseConv[T Float](p *Pool, s *ConvShape, x, w, bias, y []T, act Activation) {
	matmul(p, false, true, s.N, s.M, s.taps(), x, w, y)
	y = y[:s.N*s.M]
	if bias != nil {
		AddRow(p, y, y, bias[:s.M], s.N)
	}
	if act == ActRelu {
		Relu(p, y, y)
	}
}
