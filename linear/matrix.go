package linear

import (
	"errors"
	"fmt"
	"math"

	"github.com/compactify/compactify/internal/kernel"
)

// ErrNotFinite is a value that is NaN or infinite.
var ErrNotFinite = errors.New("not a finite number")

// Matrix is a design matrix [n, p] by columns, dense or compressed (CSC). It is
// never written to.
type Matrix struct {
	rows, cols int
	dense      []float64 // column j is dense[j·rows : (j+1)·rows]; nil if compressed

	start []int // column j is entries [start[j], start[j+1])
	row   []int32
	value []float64
}

// NewDense shares columnMajor, of length rows·cols: element (i, j) is
// columnMajor[j·rows + i].
func NewDense(rows, cols int, columnMajor []float64) (*Matrix, error) {
	if rows < 1 || cols < 1 || len(columnMajor)/rows != cols || len(columnMajor)%rows != 0 {
		return nil, fmt.Errorf("design matrix [%d, %d]: got %d values, want at least one row and one column, and their product", rows, cols, len(columnMajor))
	}
	return &Matrix{rows: rows, cols: cols, dense: columnMajor}, nil
}

// NewSparse shares a compressed matrix: column j has value[k] in row row[k] for k in
// [start[j], start[j+1]), rows ascending.
func NewSparse(rows, cols int, start []int, row []int32, value []float64) (*Matrix, error) {
	m := &Matrix{rows: rows, cols: cols, start: start, row: row, value: value}
	fail := func(format string, args ...any) (*Matrix, error) {
		return nil, fmt.Errorf("sparse design matrix [%d, %d]: %w", rows, cols, fmt.Errorf(format, args...))
	}
	if rows < 1 || cols < 1 || len(start) != cols+1 || len(row) != len(value) {
		return fail("got %d starts, %d rows and %d values, want %d starts and as many rows as values", len(start), len(row), len(value), cols+1)
	}
	if start[0] != 0 || start[cols] != len(row) {
		return fail("starts: got %d to %d, want 0 to %d", start[0], start[cols], len(row))
	}
	for j := range cols {
		if start[j+1] < start[j] {
			return fail("start of column %d: got %d after %d, want ascending starts", j+2, start[j+1], start[j])
		}
		last := int32(-1)
		for _, i := range row[start[j]:start[j+1]] {
			if i <= last || int(i) >= rows {
				return fail("column %d: got row %d after %d, want ascending rows below %d", j+1, i, last, rows)
			}
			last = i
		}
	}
	return m, nil
}

// Rows is n.
func (m *Matrix) Rows() int { return m.rows }

// Cols is p.
func (m *Matrix) Cols() int { return m.cols }

// Sparse reports whether the matrix is compressed.
func (m *Matrix) Sparse() bool { return m.dense == nil }

// column is a dense column.
func (m *Matrix) column(j int) []float64 { return m.dense[j*m.rows : (j+1)*m.rows : (j+1)*m.rows] }

// entries are the stored values of a compressed column.
func (m *Matrix) entries(j int) (row []int32, value []float64) {
	lo, hi := m.start[j], m.start[j+1]
	return m.row[lo:hi], m.value[lo:hi]
}

// moments are Σ w x, Σ w (x − mean)² of a column, and whether all its values of
// positive weight are equal. The weights sum to 1; positive is how many are > 0.
func (m *Matrix) moments(set kernel.Set, j int, w []float64, positive int) (mean, variance float64, constant bool, err error) {
	if m.dense != nil {
		return denseMoments(set, m.column(j), w)
	}
	row, value := m.entries(j)
	return sparseMoments(row, value, w, positive)
}

// denseMoments takes the deviations from a first mean for both a better one and the
// variance about it.
func denseMoments(set kernel.Set, x, w []float64) (mean, variance float64, constant bool, err error) {
	mean = kernel.Dot64(set, w, x)
	if math.IsNaN(mean) || math.IsInf(mean, 0) { // so if any value is, at any weight
		return 0, 0, false, errors.Join(notFinite(x), overflow(mean))
	}
	first, second := kernel.WeightedMoments64(set, w, x, mean)
	mean, variance = mean+first, max(0, second-first*first)
	if value, ok := onlyValue(x, w); ok {
		return value, 0, true, nil
	}
	return mean, variance, variance == 0, overflow(variance) // squares may underflow
}

// onlyValue is the value that all examples of positive weight have, if they do.
func onlyValue(x, w []float64) (value float64, ok bool) {
	value = math.NaN()
	for i, v := range x {
		switch {
		case w[i] <= 0 || v == value:
		case math.IsNaN(value):
			value = v
		default:
			return 0, false
		}
	}
	return value, !math.IsNaN(value)
}

// notFinite names the first value that is not finite; nil if all are.
func notFinite(x []float64) error {
	for i, v := range x {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("row %d: got %v: %w", i+1, v, ErrNotFinite)
		}
	}
	return nil
}

func overflow(x float64) error {
	if math.IsInf(x, 0) || math.IsNaN(x) {
		return errors.New("values are so large that their squares overflow")
	}
	return nil
}

// sparseMoments is denseMoments with the zeros that are not stored.
func sparseMoments(row []int32, value, w []float64, positive int) (mean, variance float64, constant bool, err error) {
	if err := notFinite(value); err != nil {
		return 0, 0, false, err
	}
	stored, squares := 0.0, 0.0
	for k, i := range row {
		stored += w[i]
		mean += w[i] * value[k]
	}
	for k, i := range row {
		squares += w[i] * (value[k] - mean) * (value[k] - mean)
	}
	variance = squares + max(0, 1-stored)*mean*mean
	if err := overflow(variance); err != nil {
		return 0, 0, false, err
	}
	return sparseConstant(row, value, w, positive, mean, variance)
}

// sparseConstant decides whether a compressed column varies.
func sparseConstant(row []int32, value, w []float64, positive int, mean, variance float64) (float64, float64, bool, error) {
	seen, first := 0, math.NaN()
	for k, i := range row {
		if w[i] <= 0 {
			continue
		}
		seen++
		if value[k] != first && !math.IsNaN(first) {
			return mean, variance, false, nil
		}
		first = value[k]
	}
	switch {
	case seen == 0 || first == 0:
		return 0, 0, true, nil
	case seen == positive:
		return first, 0, true, nil
	}
	return mean, variance, false, nil
}
