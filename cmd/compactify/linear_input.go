package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/compactify/compactify/linear"
)

// linearWork is a problem on its way to an answer.
type linearWork struct {
	flags *linearFlags
	seed  uint64
	limit int64 // of bytes; 0 means none

	table   *linear.Table
	problem linear.Problem
	penalty linear.Penalty
	options linear.Options
	groups  int
	notes   []string

	predicted *linear.Table // the examples of --predict; nil without
	offset    []float64     // theirs

	path        *linear.Path
	cv          *linear.Validation
	breakpoints *linear.Breakpoints // nil if not asked for
	separable   *linear.Separability
	limited     *linear.Limit
}

// columns are the names of columns that are no predictors: weights come first.
func (f *linearFlags) columns() (names []string) {
	for _, name := range []string{f.weights, f.offset} {
		if name != "" && !isFile(name) {
			names = append(names, name)
		}
	}
	return names
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// read opens the data and the files beside them.
func (w *linearWork) read(a *app) error {
	f := w.flags
	t, err := linear.ReadTable(f.data, f.kind.family, linear.TableOptions{Label: f.label, Take: f.columns(), Seed: w.seed, MaxBytes: w.limit})
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) && !isFile(f.data) {
			return fmt.Errorf("DATA %q: not found: want glyphs, or the path of a file or folder: %w", f.data, err)
		}
		return err
	}
	if t.Y == nil {
		return usage(fmt.Errorf("linear %s: %s: got no labels, want one for every example", f.kind.name, f.data))
	}
	w.table = t
	if t.Note != "" {
		w.notes = append(w.notes, t.Note)
	}
	w.problem = linear.Problem{X: t.X, Y: t.Y, Family: f.kind.family}
	if f.kind.family == linear.Multinomial {
		w.problem.Classes = len(t.Classes)
	}
	w.penalty.Alpha = f.alpha
	w.options = linear.Options{Intercept: !f.noIntercept, Standardize: !f.noStandardize, Lambdas: f.lambda, Count: f.lambdas, MinRatio: f.ratio, Gap: f.gap, Pool: a.pool}
	if err := errors.Join(w.readExamples(), w.readColumns()); err != nil || f.predict == "" {
		return err
	}
	w.predicted, w.offset, err = w.readPredicted()
	return err
}

// readExamples reads weights and offsets.
func (w *linearWork) readExamples() (err error) {
	f, n := w.flags, w.table.X.Rows()
	taken := w.table.Taken
	if f.weights != "" {
		if isFile(f.weights) {
			w.problem.Weights, err = numbersOf("weights", f.weights, n, "example")
		} else {
			w.problem.Weights, taken = taken[0], taken[1:]
		}
		if err != nil {
			return err
		}
	}
	if f.offset != "" {
		if isFile(f.offset) {
			w.problem.Offset, err = offsetsOf(f.offset, n, w.table.Classes, w.responses())
			return err
		}
		if w.responses() > 1 {
			return usage(fmt.Errorf("--offset %q: want a file with a number for every class of every example", f.offset))
		}
		w.problem.Offset = taken[0]
	}
	return nil
}

// offsetsOf reads [n, responses] numbers, one per example and class if there are several
// responses, and gives them as [responses, n].
func offsetsOf(path string, n int, names []string, responses int) ([]float64, error) {
	if responses == 1 {
		return numbersOf("offsets", path, n, "example")
	}
	each := fmt.Sprintf("example and class: for each example those of its %d classes, in the order %s", responses, strings.Join(firstNames(names), ", "))
	if len(names) > len(firstNames(names)) {
		each += ", …"
	}
	list, err := numbersOf("offsets", path, n*responses, each)
	if err != nil {
		return nil, err
	}
	out := make([]float64, len(list))
	for i := range n {
		for k := range responses {
			out[k*n+i] = list[i*responses+k]
		}
	}
	return out, nil
}

func (w *linearWork) responses() int { return max(1, w.problem.Classes) }

// readColumns reads what there is of every column.
func (w *linearWork) readColumns() (err error) {
	f, p := w.flags, w.table.X.Cols()
	if f.factors != "" {
		if w.penalty.Factors, err = numbersOf("penalty factors", f.factors, p, "column"); err != nil {
			return err
		}
	}
	if w.penalty.Lower, err = boundsOf("lower bounds", f.lower, p); err != nil {
		return err
	}
	if w.penalty.Upper, err = boundsOf("upper bounds", f.upper, p); err != nil {
		return err
	}
	if f.groups == "" {
		return nil
	}
	entries, err := entriesOf("groups", f.groups, p, "column")
	if err != nil {
		return err
	}
	number := make(map[string]int)
	for _, name := range entries {
		if _, ok := number[name]; !ok {
			number[name] = len(number)
		}
		w.penalty.Groups = append(w.penalty.Groups, number[name])
	}
	w.groups = len(number)
	return nil
}

// boundsOf is one number for all columns, or a file.
func boundsOf(what, value string, n int) ([]float64, error) {
	if value == "" {
		return nil, nil
	}
	if v, err := strconv.ParseFloat(value, 64); err == nil {
		return slices.Repeat([]float64{v}, n), nil
	}
	return numbersOf(what, value, n, "column")
}

// entriesOf reads n entries with blanks, commas or ends of lines between them.
func entriesOf(what, path string, n int, each string) ([]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	entries := strings.FieldsFunc(string(text), func(r rune) bool { return r == ',' || r == ';' || r == ' ' || r == '\t' || r == '\n' || r == '\r' })
	if len(entries) != n {
		return nil, fmt.Errorf("read %s %q: got %d entries, want %d, one per %s", what, path, len(entries), n, each)
	}
	return entries, nil
}

func numbersOf(what, path string, n int, each string) ([]float64, error) {
	entries, err := entriesOf(what, path, n, each)
	if err != nil {
		return nil, err
	}
	list := make([]float64, n)
	for i, e := range entries {
		v, err := strconv.ParseFloat(e, 64)
		if err != nil || math.IsNaN(v) {
			return nil, fmt.Errorf("read %s %q: entry %d: got %q, want a number", what, path, i+1, e)
		}
		list[i] = v
	}
	return list, nil
}

// fit follows the path, and what else was asked for.
func (w *linearWork) fit(ctx context.Context) (err error) {
	f := w.flags
	switch {
	case f.exact:
		return w.fitExact(ctx)
	case f.cv > 0:
		if w.cv, err = linear.CrossValidate(ctx, w.problem, w.penalty, w.options, linear.Folds{Count: f.cv, Seed: w.seed}); err != nil {
			return err
		}
		w.path = w.cv.Path
	default:
		if w.path, err = linear.Fit(ctx, w.problem, w.penalty, w.options); err != nil {
			return err
		}
	}
	if f.breakpoints {
		w.breakpoints, err = linear.Homotopy(ctx, w.problem, w.penalty, linear.HomotopyOptions{Options: w.options, Verify: true})
	}
	return err
}

// fitExact takes the breakpoints as the path, or its points at the λ asked for.
func (w *linearWork) fitExact(ctx context.Context) (err error) {
	o := linear.HomotopyOptions{Options: w.options, Exact: true}
	if len(w.flags.lambda) > 0 {
		o.MinLambda = slices.Min(w.flags.lambda)
	}
	b, err := linear.Homotopy(ctx, w.problem, w.penalty, o)
	if err != nil {
		return err
	}
	w.breakpoints = b
	w.path = &linear.Path{Family: w.problem.Family, Features: b.Features, Responses: 1, LambdaMax: b.LambdaMax, Constant: b.Constant, Scale: b.Scale, Checks: b.Checks}
	for _, p := range b.Points {
		w.path.Points = append(w.path.Points, p.Point)
	}
	if len(w.flags.lambda) == 0 {
		return nil
	}
	w.path.Points = nil
	lambdas := slices.Sorted(slices.Values(w.flags.lambda))
	slices.Reverse(lambdas)
	for _, l := range slices.Compact(lambdas) {
		p, err := b.At(l)
		if err != nil {
			return err
		}
		w.path.Points = append(w.path.Points, p)
	}
	return nil
}

func (w *linearWork) separate(ctx context.Context) (err error) {
	if w.table.Classes == nil || w.flags.unseparated {
		return nil
	}
	w.separable, err = linear.Separate(ctx, w.problem, w.options)
	return err
}

// pointsAt are the points to predict at, with the path they belong to.
func (w *linearWork) pointsAt(ctx context.Context) (*linear.Path, []int, error) {
	at := w.flags.at
	if at == "" && w.cv != nil {
		at = "1se"
	}
	switch at {
	case "":
		all := make([]int, len(w.path.Points))
		for i := range all {
			all[i] = i
		}
		return w.path, all, nil
	case "min":
		return w.path, []int{w.cv.Best}, nil
	case "1se":
		return w.path, []int{w.cv.Simplest}, nil
	}
	lambda, err := strconv.ParseFloat(at, 64)
	if err != nil {
		return nil, nil, err
	}
	if i := slices.IndexFunc(w.path.Points, func(p linear.Point) bool { return p.Lambda == lambda }); i >= 0 {
		return w.path, []int{i}, nil
	}
	if w.flags.exact {
		p, err := w.breakpoints.At(lambda)
		if err != nil {
			return nil, nil, err
		}
		path := *w.path
		path.Points = []linear.Point{p}
		return &path, []int{0}, nil
	}
	o := w.options
	o.Lambdas = []float64{lambda}
	path, err := linear.Fit(ctx, w.problem, w.penalty, o)
	return path, []int{0}, err
}

// readPredicted opens the examples to predict, in the form of those that were fitted.
func (w *linearWork) readPredicted() (t *linear.Table, offset []float64, err error) {
	f := w.flags
	label := f.label
	if strings.HasPrefix(f.predict, "unlabeled:") {
		label = "" // there is no such column
	}
	t, err = linear.ReadTable(f.predict, f.kind.family, linear.TableOptions{Label: label, Take: f.columns(), Classes: w.table.Classes,
		Columns: w.table.X.Cols(), Seed: w.seed, MaxBytes: w.limit})
	if err != nil {
		return nil, nil, fmt.Errorf("--predict: %w", err)
	}
	if got, want := t.X.Cols(), w.table.X.Cols(); got != want {
		return nil, nil, fmt.Errorf("--predict %q: predictors: got %d, want %d as in %q", f.predict, got, want, f.data)
	}
	if got, want := t.Features, w.table.Features; got != nil && want != nil && !slices.Equal(got, want) {
		return nil, nil, fmt.Errorf("--predict %q: predictors: got %q, want %q as in %q", f.predict, firstNames(got), firstNames(want), f.data)
	}
	switch {
	case f.offset == "":
	case f.predictOffset != "":
		offset, err = offsetsOf(f.predictOffset, t.X.Rows(), w.table.Classes, w.responses())
	case isFile(f.offset):
		return nil, nil, usage(errors.New("--predict-offset: got none, want a file: the offsets that were fitted are those of other examples"))
	default:
		offset = t.Taken[len(t.Taken)-1]
	}
	return t, offset, err
}

func firstNames(list []string) []string {
	const show = 12
	return list[:min(show, len(list))]
}
