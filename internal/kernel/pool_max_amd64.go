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

// pickBulk pools a plane of rows of windows in assembly; it reports false if it
// has none for the set or width.
func pickBulk(set Set, rows, width int, x, y []float32, pick []byte) bool {
	n := width / 2
	switch {
	case set == Portable || n < 4 || rows == 0:
		return false
	case n >= 8:
		smaxPick8(rows, n, &x[0], width, &y[0], &pick[0])
	default:
		smaxPick4(rows, n, &x[0], width, &y[0], &pick[0])
	}
	return true
}

// spreadBulk is the adjoint of pickBulk.
func spreadBulk(set Set, rows, width int, dy []float32, pick []byte, dx []float32) bool {
	n := width / 2
	switch {
	case set == Portable || n < 4 || rows == 0:
		return false
	case n >= 8:
		smaxSpread8(rows, n, &dx[0], width, &dy[0], &pick[0])
	default:
		smaxSpread4(rows, n, &dx[0], width, &dy[0], &pick[0])
	}
	return true
}
