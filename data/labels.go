package data

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Task says what labels are.
type Task int

const (
	// Auto decides by the labels. Text labels are classes. Numbers are classes if
	// there are exactly two different ones, or if all are integers and there are
	// at most 20 different ones or 20 examples for each; they are regression
	// targets otherwise.
	Auto Task = iota
	Classify
	Regress
)

const (
	maxClasses     = 1 << 16
	fewClasses     = 20 // so many different integers are always classes
	examplesPerInt = 20 // so many examples per different integer make them classes
)

// textLabels makes labels from the label column of a text file.
func textLabels(cells []string, o Options) (labels, error) {
	values := make([]float64, len(cells))
	for i, c := range cells {
		v, err := strconv.ParseFloat(c, 64)
		if err != nil {
			return namedLabels(cells, o)
		}
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return labels{}, fmt.Errorf("label of example %d: got %q, want a finite number or a name", i+1, c)
		}
		values[i] = v
	}
	if len(o.ClassNames) > 0 && o.Task != Regress {
		return knownNumbers(values, o.ClassNames)
	}
	return numberLabels(values, o.Task)
}

// namedLabels numbers text labels in the order of o.ClassNames, or alphabetically.
func namedLabels(cells []string, o Options) (labels, error) {
	if o.Task == Regress {
		for i, c := range cells {
			if _, err := strconv.ParseFloat(c, 64); err != nil {
				return labels{}, fmt.Errorf("label of example %d: got %q, want a number for regression", i+1, c)
			}
		}
	}
	l := labels{names: slices.Clone(o.ClassNames), class: make([]int32, len(cells))}
	if len(l.names) == 0 {
		l.names = slices.Compact(slices.Sorted(slices.Values(cells)))
	}
	if err := checkClassCount(len(l.names)); err != nil {
		return labels{}, err
	}
	number := make(map[string]int32, len(l.names))
	for k, name := range l.names {
		number[name] = int32(k)
	}
	for i, c := range cells {
		k, ok := number[c]
		if !ok {
			return labels{}, fmt.Errorf("label of example %d: got %q, want one of %q", i+1, c, l.names)
		}
		l.class[i] = k
	}
	l.setMapping()
	return l, nil
}

// knownNumbers numbers numeric labels in the order of names, comparing values:
// 1, +1 and 1.0 are one label.
func knownNumbers(values []float64, names []string) (labels, error) {
	number := make(map[float64]int32, len(names))
	for k, name := range names {
		if v, err := strconv.ParseFloat(name, 64); err == nil {
			number[v] = int32(k)
		}
	}
	l := labels{names: slices.Clone(names), class: make([]int32, len(values)), target: values}
	for i, v := range values {
		k, ok := number[v]
		if !ok {
			return labels{}, fmt.Errorf("label of example %d: got %v, want one of %q", i+1, v, names)
		}
		l.class[i] = k
	}
	l.setMapping()
	return l, nil
}

// numberLabels makes classes or regression targets from numbers, by task.
// Classes are numbered by increasing value, except that integers from 0 on
// without large gaps are class indices already.
func numberLabels(values []float64, task Task) (labels, error) {
	l := labels{target: values}
	distinct := slices.Compact(slices.Sorted(slices.Values(values)))
	integers := !slices.ContainsFunc(distinct, func(v float64) bool { return v != math.Trunc(v) })
	n := len(distinct)
	switch {
	case task == Regress:
		return l, nil
	case task == Classify, n == 2, integers && (n <= fewClasses || n*examplesPerInt <= len(values)):
	default:
		l.note = fmt.Sprintf("numeric labels with %d different values: regression", n)
		return l, nil
	}
	if first, last := distinct[0], distinct[n-1]; integers && first == 0 && last < float64(2*n) {
		distinct = nil
		for k := range int(last) + 1 {
			distinct = append(distinct, float64(k))
		}
	}
	if err := checkClassCount(len(distinct)); err != nil {
		return labels{}, err
	}
	l.class = make([]int32, len(values))
	for i, v := range values {
		k, _ := slices.BinarySearch(distinct, v)
		l.class[i] = int32(k)
	}
	for _, v := range distinct {
		l.names = append(l.names, strconv.FormatFloat(v, 'g', -1, 64))
	}
	l.setMapping()
	return l, nil
}

// indexLabels makes classes from integers that are class indices already, as in
// IDX files and NumPy arrays. An evaluation set may lack any class, so gaps are kept.
func indexLabels(values []int64) (labels, error) {
	l := labels{class: make([]int32, len(values)), target: make([]float64, len(values))}
	top := int64(0)
	for i, v := range values {
		if v < 0 || v >= maxClasses {
			return labels{}, fmt.Errorf("label of example %d: out of range: got %d, want 0 to %d", i+1, v, maxClasses-1)
		}
		l.class[i], l.target[i] = int32(v), float64(v)
		top = max(top, v)
	}
	l.nameIndices(int(top) + 1)
	return l, nil
}

// nameIndices names n classes by their numbers.
func (l *labels) nameIndices(n int) {
	l.names = make([]string, n)
	for k := range l.names {
		l.names[k] = strconv.Itoa(k)
	}
}

// checkNames makes o.ClassNames the names of labels that are indices already. Where
// the names are indices too, there may be more classes than names: what they were
// taken from lacked the last ones.
func (l *labels) checkNames(o Options) error {
	if len(o.ClassNames) == 0 || l.class == nil {
		return nil
	}
	if got, want := len(l.names), len(o.ClassNames); got > want {
		if slices.Equal(l.names[:want], o.ClassNames) {
			return nil
		}
		return fmt.Errorf("classes: got label %d, want 0 to %d", got-1, want-1)
	}
	l.names = slices.Clone(o.ClassNames)
	return nil
}

func checkClassCount(n int) error {
	if n > maxClasses {
		return fmt.Errorf("labels: got %d classes, want at most %d", n, maxClasses)
	}
	return nil
}

// setMapping describes the numbering unless the names are the class indices.
func (l *labels) setMapping() {
	for k, name := range l.names {
		if name != strconv.Itoa(k) {
			l.mapping = mapping(l.names)
			return
		}
	}
}

// mapping reads "−1 → 0, 1 → 1"; long lists are cut.
func mapping(names []string) string {
	const show = 12
	var b strings.Builder
	for k, name := range names {
		if k > 0 {
			b.WriteString(", ")
		}
		if k == show && len(names) > show+1 {
			fmt.Fprintf(&b, "… (%d classes)", len(names))
			break
		}
		fmt.Fprintf(&b, "%s → %d", name, k)
	}
	return b.String()
}

// joinClasses gives two sets of index labels the classes of the larger.
func joinClasses(a, b *labels) {
	if len(a.names) < len(b.names) {
		a.names = b.names
	} else {
		b.names = a.names
	}
}
