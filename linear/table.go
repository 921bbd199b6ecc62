package linear

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/compactify/compactify/data"
)

// Table is a source as a problem sees it: a design matrix with targets.
type Table struct {
	X        *Matrix
	Y        []float64 // nil of a source without labels
	Features []string  // names of the columns, nil if the source has none
	Classes  []string  // the labels that became 0, 1, …; nil if targets are numbers
	Note     string    // one more thing a user should know, or empty

	// Taken are the columns that [TableOptions].Take named, dense.
	Taken [][]float64
}

// TableOptions say how a table is read.
type TableOptions struct {
	Label string // as in [data.Options]
	// Take names columns that are no predictors, such as weights: by the name in the
	// header, or by the number in the file, from 1, the label's column counted.
	Take []string
	// Classes are those of another table, whose numbers the labels get. Empty takes
	// what the source has.
	Classes []string
	// Columns is how many predictors a compressed table has at least: more than the
	// file shows if the last ones are all 0.
	Columns  int
	Seed     uint64
	MaxBytes int64 // as in [data.Options]
}

// ReadTable opens what [data.Open] reads for a family: numbers as targets of gaussian
// and Poisson problems, classes of others. A binomial problem has exactly two classes,
// of which the larger number, or the later name, is 1.
func ReadTable(spec string, f Family, o TableOptions) (*Table, error) {
	task := data.Regress
	if f.classes() {
		task = data.Classify
	}
	c, err := data.OpenColumns(spec, data.Options{Label: o.Label, Task: task, ClassNames: o.Classes, Seed: o.Seed, MaxBytes: o.MaxBytes})
	if err != nil {
		return nil, err
	}
	t := &Table{Note: c.Note}
	if c.Test > 0 {
		t.Note = fmt.Sprintf("the %d test examples of %s are left alone", c.Test, spec)
	}
	if err := t.target(c, f, o); err != nil {
		return nil, fmt.Errorf("read %q: %w", spec, err)
	}
	if err := t.take(c, o); err != nil {
		return nil, fmt.Errorf("read %q: %w", spec, err)
	}
	t.Features = c.Features
	if t.X, err = newMatrix(c, o.Columns); err != nil {
		return nil, fmt.Errorf("read %q: %w", spec, err)
	}
	return t, nil
}

// classes reports whether targets are classes.
func (f Family) classes() bool { return f == Binomial || f == Multinomial }

func newMatrix(c *data.Columns, least int) (*Matrix, error) {
	if c.Dense != nil {
		return NewDense(c.Rows, c.Cols, c.Dense)
	}
	for c.Cols < least {
		c.Start = append(c.Start, c.Start[c.Cols])
		c.Cols++
	}
	return NewSparse(c.Rows, c.Cols, c.Start, c.Row, c.Value)
}

// target makes numbers of the labels.
func (t *Table) target(c *data.Columns, f Family, o TableOptions) error {
	switch {
	case c.Class == nil && c.Target == nil: // unlabelled
		return nil
	case !f.classes() && c.Target == nil:
		return errors.New("labels: got names of classes, want numbers")
	case !f.classes():
		t.Y = c.Target
		return nil
	case c.Class == nil:
		return errors.New("labels: got numbers, want classes")
	}
	if t.Classes = o.Classes; t.Classes == nil {
		t.dropUnused(c)
		if err := checkClasses(t.Classes, f); err != nil {
			return err
		}
	}
	t.Y = make([]float64, c.Rows)
	for i, k := range c.Class {
		t.Y[i] = float64(k)
	}
	return nil
}

// dropUnused renumbers the classes without those of which there is no example, such as
// 1 where the labels are 0 and 2.
func (t *Table) dropUnused(c *data.Columns) {
	used := make([]bool, len(c.Classes))
	for _, k := range c.Class {
		used[k] = true
	}
	number := make([]int32, len(used))
	for k, name := range c.Classes {
		if used[k] {
			number[k] = int32(len(t.Classes))
			t.Classes = append(t.Classes, name)
		}
	}
	for i, k := range c.Class {
		c.Class[i] = number[k]
	}
}

// ErrClasses is a number of classes that the family has no use for.
var ErrClasses = errors.New("number of classes")

func checkClasses(names []string, f Family) error {
	const few = 8
	shown := names[:min(few, len(names))]
	switch {
	case f == Binomial && len(names) != 2:
		return fmt.Errorf("labels: %w: got %d (%q), want 2", ErrClasses, len(names), shown)
	case len(names) < 2:
		return fmt.Errorf("labels: %w: got %d (%q), want at least 2", ErrClasses, len(names), shown)
	}
	return nil
}

// take moves the columns named by o.Take out of the predictors.
func (t *Table) take(c *data.Columns, o TableOptions) error {
	at := make([]int, len(o.Take)) // as counted before any is taken
	for i, name := range o.Take {
		j, err := columnOf(c, name)
		if err != nil {
			return err
		}
		at[i] = j
	}
	t.Taken = make([][]float64, len(at))
	dropped := map[int]int{} // column to place in Taken
	for i, j := range at {
		if first, ok := dropped[j]; ok {
			t.Taken[i] = t.Taken[first]
			continue
		}
		if c.Cols == 1 {
			return fmt.Errorf("column %q: it is the only predictor", o.Take[i])
		}
		shift := 0
		for other := range dropped {
			if other < j {
				shift++
			}
		}
		t.Taken[i] = c.Drop(j - shift)
		dropped[j] = i
	}
	return nil
}

// columnOf finds a predictor by name, or by its number in the file.
func columnOf(c *data.Columns, name string) (int, error) {
	for j, f := range c.Features {
		if f == name {
			return j, nil
		}
	}
	all := c.Cols
	if c.Label > 0 {
		all++
	}
	n, err := strconv.Atoi(name)
	switch {
	case err != nil:
		return 0, fmt.Errorf("column %q: no such name, want one of the header or a number from 1 to %d", name, all)
	case n < 1 || n > all:
		return 0, fmt.Errorf("column %d: want 1 to %d", n, all)
	case n == c.Label:
		return 0, fmt.Errorf("column %d: it is the label", n)
	case c.Label > 0 && n > c.Label:
		n--
	}
	return n - 1, nil
}

// FeatureName is the name of column j, counted from 0: the header's, or x1, x2, ….
func (t *Table) FeatureName(j int) string {
	if t.Features != nil {
		return t.Features[j]
	}
	return "x" + strconv.Itoa(j+1)
}

// Bytes is the memory that the matrix takes.
func (m *Matrix) Bytes() int {
	if m.dense != nil {
		return 8 * len(m.dense)
	}
	return 8*len(m.start) + 4*len(m.row) + 8*len(m.value)
}
