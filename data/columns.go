package data

import (
	"fmt"
	"slices"
)

// Columns is a source by columns, the form in which linear models are fitted: its
// training examples, each flattened to one row. Numbers are dense or compressed.
type Columns struct {
	Rows, Cols int

	Dense []float64 // column j is Dense[j·Rows : (j+1)·Rows]; nil if compressed

	// Column j has Value[k] in row Row[k] for k in [Start[j], Start[j+1]), rows
	// ascending, no value 0.
	Start []int
	Row   []int32
	Value []float64

	Features []string  // names of the columns, nil without a header
	Class    []int32   // of every row, nil unless the labels are classes
	Classes  []string  // their names
	Target   []float64 // of every row, nil unless the labels are numbers
	Label    int       // the label column of a table, counted from 1; 0 if there is none
	Note     string    // one more thing a user should know, or empty
	Test     int       // examples of a test set, which was left alone
}

// OpenColumns is [Open] for a reader of columns. A table is held in memory once: its
// rows are turned into columns in place, and a NumPy array of doubles in Fortran order
// is taken as it is. LIBSVM text stays compressed.
func OpenColumns(spec string, o Options) (*Columns, error) {
	o.byColumns = true
	src, err := Open(spec, o)
	if err != nil {
		return nil, err
	}
	s := src.Train
	if s.rows == nil {
		return nil, fmt.Errorf("open data %q: arrays for several inputs: want one array x", spec)
	}
	c := &Columns{Rows: s.Len(), Cols: s.Size(), Features: s.features, Class: s.labels.class, Classes: s.labels.names,
		Target: s.labels.target, Label: src.label, Note: src.Note}
	if src.Test != nil {
		c.Test = src.Test.Len()
	}
	return c, c.take(s, o.maxBytes())
}

// take fills in the numbers of a set that nobody else holds.
func (c *Columns) take(s *Set, limit int64) error {
	switch rows := s.rows.(type) {
	case byColumn:
		c.Dense = rows.data
		return nil
	case *sparse:
		if s.plain() {
			c.compress(rows)
			return nil
		}
	case dense[float64]:
		if s.plain() {
			c.Dense = rows.data
			transpose(c.Dense, c.Rows, c.Cols)
			return nil
		}
	}
	const float64Bytes = 8
	if int64(c.Rows) > limit/float64Bytes/int64(c.Cols) {
		return fmt.Errorf("read %q: %d examples of %d numbers: %w", s.name, c.Rows, c.Cols, tooLarge(limit))
	}
	c.copy(s)
	return nil
}

// plain reports whether stored values and their order are those shown.
func (s *Set) plain() bool {
	l := s.layout
	return s.index == nil && s.scale.Div == 1 && s.scale.Mean == nil && l.StepB == 1 && (l.Major == 1 || l.StepA == l.Minor)
}

// copy scales rows and spreads them, some at a time: so many that a column's part is a
// cache line.
func (c *Columns) copy(s *Set) {
	const block = 8
	c.Dense = make([]float64, c.Rows*c.Cols)
	rows := make([]float64, block*c.Cols)
	for from := 0; from < c.Rows; from += block {
		n := min(block, c.Rows-from)
		for i := range n {
			s.Fill64(rows[i*c.Cols:], from+i)
		}
		for j := range c.Cols {
			to := c.Dense[j*c.Rows+from:][:n]
			for i := range to {
				to[i] = rows[i*c.Cols+j]
			}
		}
	}
}

// compress turns compressed rows into compressed columns, without zeros that were
// written out.
func (c *Columns) compress(rows *sparse) {
	c.Start = make([]int, c.Cols+1)
	for k, j := range rows.col {
		if rows.val[k] != 0 {
			c.Start[j+1]++
		}
	}
	for j := range c.Cols {
		c.Start[j+1] += c.Start[j]
	}
	c.Row, c.Value = make([]int32, c.Start[c.Cols]), make([]float64, c.Start[c.Cols])
	next := slices.Clone(c.Start[:c.Cols])
	for i := range c.Rows {
		for k := rows.start[i]; k < rows.start[i+1]; k++ {
			if rows.val[k] == 0 {
				continue
			}
			at := next[rows.col[k]]
			next[rows.col[k]]++
			c.Row[at], c.Value[at] = int32(i), rows.val[k]
		}
	}
}

// transpose turns a matrix by rows into the same by columns, in place: an element at
// k = i·cols + j moves to j·rows + i, along cycles. A bit per element says that it was
// moved.
//
// Source: D. E. Knuth, "The Art of Computer Programming", vol. 1 (1997), exercise
// 1.3.3-12.
func transpose(a []float64, rows, cols int) {
	if rows == 1 || cols == 1 {
		return
	}
	moved := make([]uint64, (len(a)+63)/64)
	for start := range a {
		if moved[start/64]>>(start%64)&1 != 0 {
			continue
		}
		for k, value := start, a[start]; ; {
			k = k%cols*rows + k/cols
			moved[k/64] |= 1 << (k % 64)
			value, a[k] = a[k], value
			if k == start {
				break
			}
		}
	}
}

// Drop takes column j, counted from 0, out and returns it, dense.
func (c *Columns) Drop(j int) []float64 {
	out := make([]float64, c.Rows)
	if c.Dense != nil {
		copy(out, c.Dense[j*c.Rows:])
		c.Dense = slices.Delete(c.Dense, j*c.Rows, (j+1)*c.Rows)
	} else {
		lo, hi := c.Start[j], c.Start[j+1]
		for k := lo; k < hi; k++ {
			out[c.Row[k]] = c.Value[k]
		}
		c.Row, c.Value = slices.Delete(c.Row, lo, hi), slices.Delete(c.Value, lo, hi)
		c.Start = slices.Delete(c.Start, j, j+1)
		for i := j; i < len(c.Start); i++ {
			c.Start[i] -= hi - lo
		}
	}
	if c.Features != nil {
		c.Features = slices.Delete(c.Features, j, j+1)
	}
	c.Cols--
	return out
}
