package data

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
)

// table is the contents of a CSV file: numbers, and one column of labels.
type table struct {
	values   []float64 // row by row
	width    int       // predictors per row
	cells    []string  // label of each row; nil without labels
	features []string  // names of the predictors; nil without a header
	label    int       // the column of labels, counted from 1; 0 without
}

// openCSV reads one example per row. The separator is the first of comma,
// semicolon and tab that the first line holds.
//
// The first row is a header if none of its predictors is a number, or if
// o.Label names one of its cells. A first row that mixes numbers and text is an
// error: it may be a header or a spoilt example.
func openCSV(path string, o Options, unlabeled bool) (Source, error) {
	lines, size := measureText(path, o.maxBytes())
	in, err := openInput(path, o.maxBytes())
	if err != nil {
		return Source{}, err
	}
	defer in.Close()
	t, err := readCSV(in, o.Label, unlabeled, o.maxBytes(), lines, size)
	if err != nil {
		return Source{}, fmt.Errorf("read csv %q: %w", path, err)
	}
	var l labels
	if !unlabeled {
		if l, err = textLabels(t.cells, o); err != nil {
			return Source{}, fmt.Errorf("read csv %q: %w", path, err)
		}
	}
	set, err := newSet(path, dense[float64]{t.values, t.width}, []int{t.width}, false, l, o)
	if err != nil {
		return Source{}, err
	}
	set.features = t.features
	return Source{Train: set, Table: true, label: t.label}, nil
}

// readCSV reads a table. label is the label column by name or number from 1,
// empty for the last; without labels, a column is left out only if label names it. The
// text has so many lines and bytes, 0 if that is not known.
func readCSV(r io.Reader, label string, unlabeled bool, limit, lines, size int64) (*table, error) {
	br := bufio.NewReaderSize(r, 64<<10)
	if bom, _ := br.Peek(3); string(bom) == "\ufeff" {
		br.Discard(3)
	}
	rd := csv.NewReader(br)
	rd.ReuseRecord = true
	rd.TrimLeadingSpace = true
	rd.FieldsPerRecord = 0 // every row as long as the first
	head, _ := br.Peek(br.Size())
	rd.Comma = separator(head)

	first, err := rd.Read()
	if err == io.EOF {
		return nil, errors.New("got no rows, want at least 1")
	}
	if err != nil {
		return nil, csvError(err, len(first), len(first))
	}
	first = slices.Clone(first)
	column, named, err := labelColumn(first, label, unlabeled)
	if err != nil {
		return nil, err
	}
	t := &table{width: len(first), label: column + 1}
	if column >= 0 {
		t.width--
	}
	if t.width < 1 {
		return nil, fmt.Errorf("columns: got %d, want a label and at least one predictor", len(first))
	}
	// A number takes two bytes or more, with what separates it from the next.
	t.values = make([]float64, 0, min(lines*int64(t.width), size/2))
	header := named
	if !named {
		if header, err = isHeader(first, column); err != nil {
			return nil, err
		}
	}
	if header {
		for c, name := range first {
			if c != column {
				t.features = append(t.features, strings.TrimSpace(name))
			}
		}
	} else if err := t.appendRow(first, column, unlabeled, 1); err != nil {
		return nil, err
	}
	for {
		rec, err := rd.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, csvError(err, len(rec), len(first))
		}
		line, _ := rd.FieldPos(0)
		if err := t.appendRow(rec, column, unlabeled, line); err != nil {
			return nil, err
		}
		const float64Bytes = 8
		if int64(len(t.values))*float64Bytes > limit {
			return nil, tooLarge(limit)
		}
	}
	if len(t.values) == 0 {
		return nil, errors.New("got a header and no rows, want at least 1")
	}
	return t, nil
}

// measureText counts lines and bytes, so that a table is allocated once, as large as it
// is: 0 for what is no file, or cannot be read.
func measureText(path string, limit int64) (lines, size int64) {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return 0, 0
	}
	in, err := openInput(path, limit)
	if err != nil {
		return 0, 0
	}
	defer in.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := in.Read(buf)
		lines += int64(bytes.Count(buf[:n], []byte("\n")))
		size += int64(n)
		if err == io.EOF {
			return lines + 1, size + 1
		}
		if err != nil {
			return 0, 0
		}
	}
}

func separator(head []byte) rune {
	line, _, _ := bytes.Cut(head, []byte("\n"))
	for _, sep := range ",;\t" {
		if bytes.ContainsRune(line, sep) {
			return sep
		}
	}
	return ','
}

// labelColumn finds the label among the cells of the first row; −1 means that
// there is none. named says that label is the name of a cell.
func labelColumn(first []string, label string, unlabeled bool) (column int, named bool, err error) {
	if label == "" {
		if unlabeled {
			return -1, false, nil
		}
		return len(first) - 1, false, nil
	}
	for c, cell := range first {
		if strings.TrimSpace(cell) == label && !isNumber(cell) {
			return c, true, nil
		}
	}
	n, err := strconv.Atoi(label)
	if err != nil {
		return 0, false, fmt.Errorf("label: got %q, want a column number or one of the names %q", label, firstFew(first))
	}
	if n < 1 || n > len(first) {
		return 0, false, fmt.Errorf("label: got column %d, want 1 to %d", n, len(first))
	}
	return n - 1, false, nil
}

func firstFew(cells []string) []string {
	const show = 20
	return cells[:min(len(cells), show)]
}

// isHeader reports whether the predictors of the first row are all text.
func isHeader(first []string, column int) (bool, error) {
	numbers, text := 0, ""
	for c, cell := range first {
		switch {
		case c == column:
		case isNumber(cell):
			numbers++
		case text == "":
			text = strings.TrimSpace(cell)
		}
	}
	predictors := len(first)
	if column >= 0 {
		predictors--
	}
	if numbers > 0 && numbers < predictors {
		return false, fmt.Errorf("row 1: got %d numbers and %d other predictors such as %q, want all numbers (an example) or none (a header)",
			numbers, predictors-numbers, clip(text))
	}
	return numbers == 0, nil
}

func isNumber(cell string) bool {
	_, err := strconv.ParseFloat(strings.TrimSpace(cell), 64)
	return err == nil || errors.Is(err, strconv.ErrRange)
}

// appendRow adds one example.
func (t *table) appendRow(rec []string, column int, unlabeled bool, line int) error {
	for c, cell := range rec {
		cell = strings.TrimSpace(cell)
		if c == column {
			if unlabeled {
				continue
			}
			if cell == "" {
				return fmt.Errorf("line %d, column %d: got an empty label", line, c+1)
			}
			t.cells = append(t.cells, strings.Clone(cell))
			continue
		}
		v, err := strconv.ParseFloat(cell, 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("line %d, column %d: got %q, want a finite number", line, c+1, clip(cell))
		}
		t.values = append(t.values, v)
	}
	return nil
}

// csvError says what is wrong with a row of got cells where want were expected.
func csvError(err error, got, want int) error {
	var p *csv.ParseError
	if !errors.As(err, &p) {
		return err
	}
	if errors.Is(p.Err, csv.ErrFieldCount) {
		return fmt.Errorf("line %d: cells: got %d, want %d as in row 1", p.Line, got, want)
	}
	return fmt.Errorf("line %d, column %d: %w", p.Line, p.Column, p.Err)
}
