package data

import (
	"archive/zip"
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
)

// openNPZ reads the arrays named as the inputs of a model, or else arrays x (or
// x_train) and y (or y_train), and x_test and y_test if present. x is [N, …]; y is [N] or [N, 1]. Integer y are class indices,
// except that negative ones are numbered like the labels of a table; other y
// follow [Task].
func openNPZ(path string, o Options, unlabeled bool) (Source, error) {
	z, err := zip.OpenReader(path)
	if err != nil {
		return Source{}, fmt.Errorf("read npz %q: %w", path, err)
	}
	defer z.Close()
	files := map[string]*zip.File{}
	var keys []string
	for _, f := range z.File {
		if key, ok := strings.CutSuffix(f.Name, ".npy"); ok {
			files[key] = f
			keys = append(keys, key)
		}
	}
	first := func(names ...string) string {
		for _, n := range names {
			if files[n] != nil {
				return n
			}
		}
		return names[0]
	}
	r := npzReader{path, files, o, unlabeled}
	if hasInputs(o.Inputs, keys) {
		return r.openInputArrays()
	}
	if files[first("x", "x_train")] == nil {
		return Source{}, fmt.Errorf("read npz %q: arrays: got %q, want x%s", path, keys, orInputs(o.Inputs))
	}
	train, err := r.set(first("x", "x_train"), first("y", "y_train"), nil)
	if err != nil || files["x_test"] == nil {
		return Source{Train: train}, err
	}
	test, err := r.set("x_test", "y_test", train)
	if err != nil {
		return Source{}, err
	}
	return pairSource(train, test)
}

// orInputs names what would do instead of x.
func orInputs(inputs []Input) string {
	if len(inputs) == 0 || inputs[0].Name == "x" {
		return ""
	}
	return fmt.Sprintf(" or %s", inputs[0].Name)
}

type npzReader struct {
	path      string
	files     map[string]*zip.File
	o         Options
	unlabeled bool
}

// set reads one split. like is the split whose label numbers this one shares.
func (r npzReader) set(x, y string, like *Set) (*Set, error) {
	fail := func(key string, err error) (*Set, error) {
		return nil, fmt.Errorf("read npz %q: %s: %w", r.path, key, err)
	}
	a, err := r.array(x)
	if err != nil {
		return fail(x, err)
	}
	if len(a.dims) < 2 || product(a.dims) == 0 {
		return fail(x, fmt.Errorf("shape: got %v, want at least one example of one value", a.dims))
	}
	rows, err := a.rows(product(a.dims[1:]))
	if err == nil {
		err = checkFinite(rows)
	}
	if err != nil {
		return fail(x, err)
	}
	var l labels
	if !r.unlabeled {
		if l, err = r.labels(y, a.dims[0], like); err != nil {
			return fail(y, err)
		}
	}
	shape := a.dims[1:]
	image := a.kind == 'u' && a.size == 1 && len(shape) >= 2
	return newSet(r.path+" "+x, rows, shape, image, l, r.o)
}

func (r npzReader) array(key string) (npyArray, error) {
	f := r.files[key]
	if f == nil {
		return npyArray{}, errors.New("no such array")
	}
	in, err := f.Open()
	if err != nil {
		return npyArray{}, err
	}
	defer in.Close()
	limit := r.o.maxBytes()
	known := int64(0)
	if info, err := os.Stat(r.path); err == nil && f.Method == zip.Store { // what is not compressed is no longer than the file
		known = min(info.Size(), limit)
	}
	return readNPY(bufio.NewReader(&limited{r: in, left: limit, limit: limit}), r.o.byColumns, known)
}

func (r npzReader) labels(key string, count int, like *Set) (labels, error) {
	if r.files[key] == nil {
		return labels{}, fmt.Errorf("no such array; use %s%s to do without", unlabeledPrefix, r.path)
	}
	a, err := r.array(key)
	if err != nil {
		return labels{}, err
	}
	if len(a.dims) == 0 || product(a.dims) != a.dims[0] {
		return labels{}, fmt.Errorf("shape: got %v, want [%d], one label per example", a.dims, count)
	}
	if a.dims[0] != count {
		return labels{}, fmt.Errorf("count: got %d labels, want %d", a.dims[0], count)
	}
	rows, err := a.rows(1)
	if err == nil {
		err = checkFinite(rows)
	}
	if err != nil {
		return labels{}, err
	}
	values := make([]float64, count)
	negative := false
	for i := range values {
		rows.fill64(values[i:i+1], i, layout{Major: 1, Minor: 1, StepA: 1, StepB: 1}, &scaling{Div: 1})
		negative = negative || values[i] < 0
	}
	return npzLabels(values, a.kind != 'f' && !negative, r.o, like)
}

func npzLabels(values []float64, indices bool, o Options, like *Set) (labels, error) {
	switch {
	case o.Task == Regress:
		return labels{target: values}, nil
	case like != nil && like.labels.class == nil:
		return labels{target: values}, nil
	case !indices && len(o.ClassNames) > 0:
		return knownNumbers(values, o.ClassNames)
	case !indices && like != nil:
		return knownNumbers(values, like.labels.names)
	case !indices:
		return numberLabels(values, o.Task)
	}
	whole := make([]int64, len(values))
	for i, v := range values {
		whole[i] = int64(v)
	}
	l, err := indexLabels(whole)
	if err == nil {
		err = l.checkNames(o)
	}
	return l, err
}
