package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/compactify/compactify/internal/words"
	"github.com/compactify/compactify/linear"
	"github.com/spf13/cobra"
)

// linearKind is a row of the table of kinds.
type linearKind struct {
	name   string
	family linear.Family
	alpha  float64
	fixed  bool // α is part of the kind
}

var linearKinds = []linearKind{
	{"ridge", linear.Gaussian, 0, true},
	{"lasso", linear.Gaussian, 1, true},
	{"elastic", linear.Gaussian, 0.5, false},
	{"group", linear.Gaussian, 1, false},
	{"logistic", linear.Binomial, 1, false},
	{"multinomial", linear.Multinomial, 1, false},
	{"poisson", linear.Poisson, 1, false},
}

// linearFlags are the settings of linear.
type linearFlags struct {
	kind                       linearKind
	data, label                string
	noIntercept, noStandardize bool
	lambdas                    int
	lambda                     []float64
	ratio, alpha, gap          float64
	weights, offset            string
	groups, factors            string
	lower, upper               string
	exact, breakpoints         bool
	unseparated, limit         bool
	cv                         int
	predict, predictions, at   string
	predictOffset              string
	coef, page                 string

	changed func(flag string) bool
}

func (a *app) linearCommand() *cobra.Command {
	var f linearFlags
	c := &cobra.Command{
		Use:   "linear KIND DATA",
		Short: "Follow a linear model along the whole path of its penalty, with a proof at every λ",
		Long: `Follow a linear model along the whole path of its penalty, with a proof at every λ.

What is minimised is the mean loss plus λ·(α‖θ‖₁ + (1−α)/2·‖θ‖²), θ the coefficients
of columns divided by their standard deviations (not with --no-standardize). The
intercept has no penalty. Coefficients, norms and supports that are shown are those of
the columns as they are in DATA. For every λ a dual point bounds how far the objective
is from its minimum: "gap", relative to the objective.

Kinds:
    ridge            half the squared error, α = 0; labels are numbers
    lasso            half the squared error, α = 1
    elastic          half the squared error, --alpha (0.5)
    group            half the squared error, ‖θ‖₁ replaced by Σ √|g|·‖θ_g‖ over --groups
    logistic         two classes, any two labels; --alpha (1)
    multinomial      two classes or more; --alpha (1)
    poisson          counts; --alpha (1)

DATA is what --data of other commands is: .csv[.gz] (--label names the column), .npz
with x and y, LIBSVM text, images. Of a source with a test part the training part is
taken. COLUMN is a name in the header or a number from 1; a COLUMN that is named here is
no predictor. FILE for weights, offsets, factors, bounds and groups is text: one entry per
example or column, with blanks, commas or ends of lines between them. multinomial takes
an offset per example and class: those of the first example, one for each class in the
order of "classes" of --json, then those of the second.

--exact follows the lasso from one breakpoint to the next in rational numbers: the
points are then the breakpoints. Nothing is rounded with --no-standardize; without it
the standard deviations of the columns are, to float64, and then taken as exact.
--breakpoints finds breakpoints in floating point beside the path and checks them in
rational numbers.

logistic and multinomial say whether a hyperplane separates the classes: then the
likelihood has no finite maximum, and the direction in which it rises is given. --limit
measures how the coefficients grow as λ → 0: like log(1/λ) over the largest margin.

Without flags nothing is written but the answer on standard output. --out DIR writes
report.html and coefficients.csv.`,
		Example: "  compactify linear lasso prices.csv\n  compactify linear logistic sick.csv --label diagnosis --cv 10 --report page.html\n" +
			"  compactify linear lasso small.csv --exact --json\n  compactify linear poisson visits.csv --offset log_days --coef coefficients.csv\n" +
			"  compactify linear logistic train.csv --cv 5 --predict new.csv --predictions answers.csv",
		Args: want("KIND", "DATA"),
		RunE: func(c *cobra.Command, args []string) error {
			f.data, f.changed = args[1], c.Flags().Changed
			if err := f.check(args[0], a.out != ""); err != nil {
				return usage(fmt.Errorf("linear %s: %w", args[0], err))
			}
			return a.linear(c.Context(), &f)
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.label, "label", "", "label column of a .csv: a name, or a number from 1 (default: the last)")
	flags.BoolVar(&f.noIntercept, "no-intercept", false, "a model without an intercept")
	flags.BoolVar(&f.noStandardize, "no-standardize", false, "penalise coefficients of the columns as they are")
	flags.IntVar(&f.lambdas, "lambdas", 0, "how many λ, in geometric progression from λ_max down (default 100)")
	flags.Float64SliceVar(&f.lambda, "lambda", nil, "these λ instead, with commas between them")
	flags.Float64Var(&f.ratio, "lambda-min-ratio", 0, "the least λ as a share of λ_max (default 1e-4, or 0.01 if there are no more examples than columns)")
	flags.Float64Var(&f.alpha, "alpha", 0, "share of ‖θ‖₁ in the penalty, 0 to 1 (default: see the kinds)")
	flags.Float64Var(&f.gap, "gap", 0, "largest duality gap allowed, relative to the objective (default 1e-10)")
	flags.StringVar(&f.weights, "weights", "", "COLUMN or FILE of weights of the examples")
	flags.StringVar(&f.offset, "offset", "", "COLUMN or FILE of numbers to add to the linear predictor")
	flags.StringVar(&f.groups, "groups", "", "FILE with the group of every column, a number or a name (for group)")
	flags.StringVar(&f.factors, "penalty-factors", "", "FILE with a factor of λ for every column; 0 leaves it without a penalty")
	flags.StringVar(&f.lower, "lower", "", "least value of the coefficients, ≤ 0: one for all, or a FILE with one per column")
	flags.StringVar(&f.upper, "upper", "", "largest value, ≥ 0, likewise")
	flags.BoolVar(&f.exact, "exact", false, "the lasso path in rational numbers, from breakpoint to breakpoint")
	flags.BoolVar(&f.breakpoints, "breakpoints", false, "also all breakpoints of the lasso path, in floating point, checked in rational numbers")
	flags.BoolVar(&f.unseparated, "no-separability", false, "do not ask whether the classes can be separated")
	flags.BoolVar(&f.limit, "limit", false, "also follow a logistic path towards λ = 0, and hold it against the largest margin")
	flags.IntVar(&f.cv, "cv", 0, "cross-validate with so many folds: the best λ, and the largest within one standard error")
	flags.StringVar(&f.predict, "predict", "", "DATA to predict, in the form of the other; unlabeled:PATH if it has no labels")
	flags.StringVar(&f.predictions, "predictions", "", "FILE.csv for what is predicted")
	flags.StringVar(&f.predictOffset, "predict-offset", "", "FILE of offsets of the examples to predict")
	flags.StringVar(&f.at, "at", "", "predict at min or 1se (of --cv), or at a λ (default: 1se, or all λ without --cv)")
	flags.StringVar(&f.coef, "coef", "", "FILE.csv or FILE.npz for the coefficients at every λ")
	flags.StringVar(&f.page, "report", "", "FILE.html for a page with the path drawn")
	return c
}

// check holds the flags against each other.
func (f *linearFlags) check(kind string, folder bool) error {
	i := slices.IndexFunc(linearKinds, func(k linearKind) bool { return k.name == kind })
	if i < 0 {
		var names []string
		for _, k := range linearKinds {
			names = append(names, k.name)
		}
		return fmt.Errorf("kind %q: unknown, want %s", kind, strings.Join(names, ", "))
	}
	f.kind = linearKinds[i]
	if !f.changed("alpha") {
		f.alpha = f.kind.alpha
	}
	return errors.Join(f.checkPenalty(), f.checkGrid(), f.checkExact(), f.checkLimit(), f.checkSeparable(), f.checkFiles(folder))
}

func (f *linearFlags) checkPenalty() error {
	switch {
	case f.kind.fixed && f.alpha != f.kind.alpha:
		return fmt.Errorf("--alpha: got %v, want %v for %s; elastic takes others", f.alpha, f.kind.alpha, f.kind.name)
	case !(f.alpha >= 0 && f.alpha <= 1):
		return fmt.Errorf("--alpha: got %v, want 0 to 1", f.alpha)
	case f.kind.name == "group" && f.groups == "":
		return errors.New("--groups: got none, want a file with the group of every column")
	case f.kind.name != "group" && f.groups != "":
		return fmt.Errorf("--groups: of no meaning to %s: want group", f.kind.name)
	}
	return nil
}

func (f *linearFlags) checkGrid() error {
	if f.changed("lambda") {
		if f.changed("lambdas") || f.changed("lambda-min-ratio") {
			return errors.New("--lambda names the λ: it excludes --lambdas and --lambda-min-ratio")
		}
		if len(f.lambda) == 0 {
			return errors.New("--lambda: got none, want numbers ≥ 0")
		}
	}
	for _, l := range f.lambda {
		if !(l >= 0) || math.IsInf(l, 0) {
			return fmt.Errorf("--lambda: got %v, want finite numbers ≥ 0", l)
		}
	}
	switch {
	case f.changed("lambdas") && (f.lambdas < 1 || f.lambdas > 1<<20):
		return fmt.Errorf("--lambdas: got %d, want 1 to %d", f.lambdas, 1<<20)
	case f.changed("lambda-min-ratio") && !(f.ratio > 0 && f.ratio < 1):
		return fmt.Errorf("--lambda-min-ratio: got %v, want more than 0 and less than 1", f.ratio)
	case f.changed("gap") && !(f.gap > 0 && f.gap < 1):
		return fmt.Errorf("--gap: got %v, want more than 0 and less than 1", f.gap)
	case f.changed("cv") && f.cv < 2:
		return fmt.Errorf("--cv: got %d folds, want at least 2", f.cv)
	}
	return nil
}

// checkExact refuses what the homotopy has no answer to.
func (f *linearFlags) checkExact() error {
	name := "--exact"
	if !f.exact {
		if !f.breakpoints {
			return nil
		}
		name = "--breakpoints"
	}
	if f.kind.name != "lasso" {
		return fmt.Errorf("%s: of no meaning to %s: want lasso, the kind whose path is piecewise linear", name, f.kind.name)
	}
	for _, flag := range []string{"lower", "upper"} {
		if f.changed(flag) {
			return fmt.Errorf("%s: excludes --%s", name, flag)
		}
	}
	for _, flag := range []string{"lambdas", "lambda-min-ratio", "gap", "cv"} {
		if f.exact && f.changed(flag) {
			return fmt.Errorf("--exact: excludes --%s: its points are the breakpoints, or those of --lambda", flag)
		}
	}
	return nil
}

// checkSeparable refuses a flag about classes where there are none.
func (f *linearFlags) checkSeparable() error {
	if f.changed("no-separability") && !f.classes() {
		return fmt.Errorf("--no-separability: of no meaning to %s: want logistic or multinomial, the kinds with classes", f.kind.name)
	}
	return nil
}

// classes reports whether the labels are classes.
func (f *linearFlags) classes() bool {
	return f.kind.family == linear.Binomial || f.kind.family == linear.Multinomial
}

func (f *linearFlags) checkFiles(folder bool) error {
	ext := strings.ToLower(filepath.Ext(f.coef))
	switch {
	case f.coef != "" && ext != ".csv" && ext != ".npz":
		return fmt.Errorf("--coef %q: want a name that ends in .csv or .npz", f.coef)
	case f.page != "" && !slices.Contains([]string{".html", ".htm"}, strings.ToLower(filepath.Ext(f.page))):
		return fmt.Errorf("--report %q: want a name that ends in .html", f.page)
	case (f.predict == "") != (f.predictions == ""):
		return errors.New("--predict names the examples and --predictions the file to write: want both")
	case f.predict == "" && f.at != "":
		return errors.New("--at: of no meaning without --predict")
	case f.predict == "" && f.predictOffset != "":
		return errors.New("--predict-offset: of no meaning without --predict")
	case f.offset == "" && f.predictOffset != "":
		return errors.New("--predict-offset: of no meaning without --offset")
	case folder && (f.coef != "" || f.page != ""):
		return errors.New("--out is a folder for report.html and coefficients.csv: it excludes --coef and --report")
	}
	if f.at == "min" || f.at == "1se" {
		if f.cv == 0 {
			return fmt.Errorf("--at %s: want --cv, which finds it", f.at)
		}
		return nil
	}
	if f.at != "" {
		if l, err := strconv.ParseFloat(f.at, 64); err != nil || !(l >= 0) || math.IsInf(l, 0) {
			return fmt.Errorf("--at: got %q, want min, 1se or a λ ≥ 0", f.at)
		}
	}
	return nil
}

// linearCollectAt is [collectAt] for linear: most of what is in use is one matrix, which
// costs the collector nothing, and a share of it is a lot of garbage.
const linearCollectAt = 10

// linear reads, fits, writes and says what came of it.
func (a *app) linear(ctx context.Context, f *linearFlags) error {
	for _, path := range []string{f.coef, f.page, f.predictions} {
		if path == "" {
			continue
		}
		if err := a.checkFile(path); err != nil {
			return err
		}
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(linearCollectAt)
	}
	start := time.Now()
	a.report.progress("reading", 0)
	w := &linearWork{flags: f, seed: a.seed, limit: int64(a.maxMemory)}
	if err := w.read(a); err != nil {
		return err
	}
	read := time.Since(start)
	start = time.Now()
	if err := a.during("fitting", func() error { return w.fit(ctx) }); err != nil {
		return fmt.Errorf("linear %s: %w", f.kind.name, err)
	}
	fitted := time.Since(start)
	if f.classes() && (!f.unseparated || f.limit) {
		stage := "separating"
		if f.unseparated {
			stage = "following the limit"
		}
		if err := a.during(stage, func() error { return errors.Join(w.separate(ctx), w.measureLimit(ctx)) }); err != nil {
			return fmt.Errorf("linear %s: %w", f.kind.name, err)
		}
	}
	a.report.progress("writing", 0.9)
	r := w.result()
	r.Timing = linearTiming{Read: read.Seconds(), Fit: fitted.Seconds(), Separable: (time.Since(start) - fitted).Seconds()}
	r.Seconds = r.Timing.Fit
	if err := a.predictLinear(ctx, w, r); err != nil {
		return err
	}
	if err := a.writeLinear(w, r); err != nil {
		return err
	}
	return a.print(r, func(out io.Writer) { r.text(out) })
}

// during shows a stage while it works, and for how long it has: how much is left is not
// known of it.
func (a *app) during(stage string, work func() error) error {
	start := time.Now()
	a.report.progress(stage, 0)
	stop := make(chan struct{})
	var shown sync.WaitGroup
	shown.Go(func() {
		every := time.NewTicker(time.Second)
		defer every.Stop()
		for {
			select {
			case <-stop:
				return
			case now := <-every.C:
				a.report.progress(stage+" for "+words.Duration(now.Sub(start).Round(time.Second).Seconds()), 0)
			}
		}
	})
	defer shown.Wait()
	defer close(stop)
	return work()
}
