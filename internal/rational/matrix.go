package rational

import (
	"fmt"
	"math/big"
)

// Matrix is a matrix of integers [rows, cols].
type Matrix struct {
	rows, cols int
	a          []*big.Int // by rows
}

// NewMatrix shares rowMajor: element (i, j) is rowMajor[i·cols + j]. The numbers are
// never written to.
func NewMatrix(rows, cols int, rowMajor []*big.Int) (*Matrix, error) {
	if rows < 0 || cols < 0 || len(rowMajor) != rows*cols {
		return nil, fmt.Errorf("rational: matrix [%d, %d]: got %d numbers, want their product", rows, cols, len(rowMajor))
	}
	return &Matrix{rows, cols, rowMajor}, nil
}

// MatrixFromFloats is a matrix of floating-point numbers each of whose rows was
// multiplied by a power of 2:
//
//	rowMajor[i·cols + j] = element (i, j) · 2^exp[i]
func MatrixFromFloats(rows, cols int, rowMajor []float64) (m *Matrix, exp []int, err error) {
	if rows < 0 || cols < 0 || len(rowMajor) != rows*cols {
		return nil, nil, fmt.Errorf("rational: matrix [%d, %d]: got %d numbers, want their product", rows, cols, len(rowMajor))
	}
	m, exp = &Matrix{rows: rows, cols: cols}, make([]int, rows)
	for i := range rows {
		row, e, err := Integers(rowMajor[i*cols : (i+1)*cols])
		if err != nil {
			return nil, nil, fmt.Errorf("row %d: %w", i+1, err)
		}
		exp[i], m.a = e, append(m.a, row...)
	}
	return m, exp, nil
}

// Rows is the number of rows.
func (m *Matrix) Rows() int { return m.rows }

// Cols is the number of columns.
func (m *Matrix) Cols() int { return m.cols }

// At is an element; it must not be written to.
func (m *Matrix) At(i, j int) *big.Int { return m.a[i*m.cols+j] }

// Row is a row; it must not be written to.
func (m *Matrix) Row(i int) []*big.Int { return m.a[i*m.cols : (i+1)*m.cols] }

// Transpose is the matrix with rows and columns exchanged; it shares the numbers.
func (m *Matrix) Transpose() *Matrix {
	t := &Matrix{m.cols, m.rows, make([]*big.Int, len(m.a))}
	for i := range m.rows {
		for j := range m.cols {
			t.a[j*m.rows+i] = m.a[i*m.cols+j]
		}
	}
	return t
}

// Bits is the length of the longest element.
func (m *Matrix) Bits() int {
	longest := 0
	for _, v := range m.a {
		longest = max(longest, v.BitLen())
	}
	return longest
}

// Residual is A x·d − b·d for x over the denominator d: 0 exactly where x solves row i.
func (m *Matrix) Residual(x Fractions, b []*big.Int) []*big.Int {
	out := make([]*big.Int, m.rows)
	for i := range out {
		out[i] = DotInts(m.Row(i), x.Num)
		out[i].Sub(out[i], new(big.Int).Mul(b[i], x.Den))
	}
	return out
}

// Solves reports whether A x = b.
func (m *Matrix) Solves(x Fractions, b []*big.Int) bool {
	for _, r := range m.Residual(x, b) {
		if r.Sign() != 0 {
			return false
		}
	}
	return true
}
