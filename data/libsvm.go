package data

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math"
	"strconv"
)

// maxLIBSVMIndex bounds the width of a row, because a batch of rows is dense.
const maxLIBSVMIndex = 1 << 24

// openLIBSVM reads lines "label index:value index:value …" with indices that
// ascend from 1. Absent features are zero, and # starts a comment.
//
// Source: C.-C. Chang and C.-J. Lin, LIBSVM, README, section "svm-train Usage".
func openLIBSVM(path string, o Options, unlabeled bool) (Source, error) {
	in, err := openInput(path, o.maxBytes())
	if err != nil {
		return Source{}, err
	}
	defer in.Close()
	rows, cells, width, err := readLIBSVM(in, unlabeled)
	if err != nil {
		return Source{}, fmt.Errorf("read libsvm %q: %w", path, err)
	}
	var l labels
	if !unlabeled {
		if l, err = textLabels(cells, o); err != nil {
			return Source{}, fmt.Errorf("read libsvm %q: %w", path, err)
		}
	}
	set, err := newSet(path, rows, []int{width}, false, l, o)
	return Source{Train: set}, err
}

// readLIBSVM returns the rows, the label of each, and the largest index.
// Without labels, a first field that is not index:value is skipped.
func readLIBSVM(r io.Reader, unlabeled bool) (rows *sparse, cells []string, width int, err error) {
	rows = &sparse{start: []int{0}}
	lines := bufio.NewReader(r)
	for number := 1; ; number++ {
		line, readErr := lines.ReadBytes('\n')
		if readErr != nil && readErr != io.EOF {
			return nil, nil, 0, readErr
		}
		line, _, _ = bytes.Cut(line, []byte("#"))
		if fields := bytes.Fields(line); len(fields) > 0 {
			label, err := rows.appendLine(fields, unlabeled)
			if err != nil {
				return nil, nil, 0, fmt.Errorf("line %d: %w", number, err)
			}
			cells = append(cells, label)
		}
		if readErr == io.EOF {
			break
		}
	}
	for _, c := range rows.col {
		width = max(width, int(c)+1)
	}
	if rows.len() == 0 || width == 0 {
		return nil, nil, 0, fmt.Errorf("got %d examples of %d features, want at least 1 of 1", rows.len(), width)
	}
	return rows, cells, width, nil
}

// appendLine adds one row and returns its label.
func (sp *sparse) appendLine(fields [][]byte, unlabeled bool) (string, error) {
	label := ""
	if !bytes.Contains(fields[0], []byte(":")) {
		label, fields = string(fields[0]), fields[1:]
	} else if !unlabeled {
		return "", fmt.Errorf("label: got %q, want a label before the features", clip(fields[0]))
	}
	previous := int64(0)
	for _, f := range fields {
		index, value, err := parseFeature(f)
		if err != nil {
			return "", err
		}
		if index <= previous {
			return "", fmt.Errorf("index: got %d after %d, want ascending indices from 1", index, previous)
		}
		previous = index
		sp.col = append(sp.col, int32(index-1))
		sp.val = append(sp.val, value)
	}
	sp.start = append(sp.start, len(sp.col))
	return label, nil
}

// parseFeature reads "index:value".
func parseFeature(f []byte) (index int64, value float64, err error) {
	left, right, ok := bytes.Cut(f, []byte(":"))
	if !ok {
		return 0, 0, fmt.Errorf("feature: got %q, want index:value", clip(f))
	}
	index, err = strconv.ParseInt(string(left), 10, 64)
	if err != nil || index < 1 || index > maxLIBSVMIndex {
		return 0, 0, fmt.Errorf("index: got %q, want an integer from 1 to %d", clip(left), maxLIBSVMIndex)
	}
	value, err = strconv.ParseFloat(string(right), 64)
	if err != nil || math.IsNaN(value) || math.IsInf(value, 0) {
		return 0, 0, fmt.Errorf("value of index %d: got %q, want a finite number", index, clip(right))
	}
	return index, value, nil
}

// clip shortens foreign text for a message.
func clip[T string | []byte](text T) string {
	const show = 40
	if len(text) > show {
		return string(text[:show]) + "…"
	}
	return string(text)
}
