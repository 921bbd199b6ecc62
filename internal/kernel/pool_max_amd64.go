package kernel

// maxPoolRows pools rows of n outputs, 4 or more, whose windows begin at x with
// a horizontal stride of at most 2; index is as in smaxPool4x1.
func maxPoolRows(s *PoolShape, rows, n int, x, y []float32, index *byte, base, wide int) {
	row, tapRow := s.SH*s.W, s.DH*s.W
	switch {
	case n >= 8 && s.SW == 1:
		smaxPool8x1(rows, n, s.KH, s.KW, &x[0], row, tapRow, s.DW, &y[0], s.OW, index, base, wide)
	case n >= 8:
		smaxPool8x2(rows, n, s.KH, s.KW, &x[0], row, tapRow, s.DW, &y[0], s.OW, index, base, wide)
	case s.SW == 1:
		smaxPool4x1(rows, n, s.KH, s.KW, &x[0], row, tapRow, s.DW, &y[0], s.OW, index, base, wide)
	default:
		smaxPool4x2(rows, n, s.KH, s.KW, &x[0], row, tapRow, s.DW, &y[0], s.OW, index, base, wide)
	}
}
