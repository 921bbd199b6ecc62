package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/internal/jsonnum"
	"github.com/compactify/compactify/internal/words"
	"github.com/compactify/compactify/linear"
)

// linearResult is the JSON object of linear. Columns are counted from 1, and so are
// examples.
type linearResult struct {
	Kind        string   `json:"kind"`
	Data        string   `json:"data"`
	Family      string   `json:"family"`
	Examples    int      `json:"examples"`
	Features    int      `json:"features"`
	Sparse      bool     `json:"sparse"`
	Classes     []string `json:"classes,omitempty"` // the labels that became 0, 1, …
	Mapping     string   `json:"mapping,omitempty"`
	Groups      int      `json:"groups,omitempty"`
	Alpha       float64  `json:"alpha"`
	Intercept   bool     `json:"intercept"`
	Standardize bool     `json:"standardize"`
	Exact       bool     `json:"exact"`
	Unpenalised int      `json:"unpenalised,omitempty"` // columns whose penalty factor is 0

	LambdaMax   jsonnum.Float      `json:"lambda_max"`
	Points      []linearPoint      `json:"points"`
	Converged   bool               `json:"converged"` // every point reached the gap
	GapAllowed  jsonnum.Float      `json:"gap_allowed"`
	Worst       linearWorst        `json:"worst_gap"`
	Checks      linearChecks       `json:"checks"`
	Separable   linearSeparable    `json:"separable"`
	Limit       *linearLimit       `json:"limit,omitempty"` // for λ → 0
	CV          *linearCV          `json:"cv,omitempty"`
	Breakpoints *[]linearBreak     `json:"breakpoints,omitempty"`
	Verdict     compactify.Verdict `json:"breakpoints_verdict,omitempty"`
	Reason      string             `json:"breakpoints_reason,omitempty"`
	Predictions []linearScore      `json:"predictions,omitempty"`

	Constant []int        `json:"constant"` // columns without variation
	Notes    []string     `json:"notes"`
	Memory   linearMemory `json:"memory"`
	Seed     uint64       `json:"seed"`
	Seconds  float64      `json:"seconds"` // of fitting
	Timing   linearTiming `json:"timing"`
	Files    linearFiles  `json:"files"`

	name func(j int) string // of a column, counted from 0
}

type linearPoint struct {
	Lambda       jsonnum.Float `json:"lambda"`
	Objective    jsonnum.Float `json:"objective"` // loss + lambda·penalty
	Loss         jsonnum.Float `json:"loss"`
	Penalty      jsonnum.Float `json:"penalty"` // in the scale that is penalised
	Gap          jsonnum.Float `json:"gap"`     // relative to the objective
	KKT          jsonnum.Float `json:"kkt"`
	Explained    jsonnum.Float `json:"explained"`
	Support      []int         `json:"support"`
	SupportBelow *[]int        `json:"support_below,omitempty"` // of a breakpoint
	Norm1        jsonnum.Float `json:"norm1"`                   // of the coefficients of the columns as given
	Norm2        jsonnum.Float `json:"norm2"`
	Intercept    any           `json:"intercept"` // a list for several classes
	Converged    bool          `json:"converged"`
}

type linearWorst struct {
	Lambda jsonnum.Float `json:"lambda"`
	Gap    jsonnum.Float `json:"gap"`
}

type linearChecks struct {
	Monotone   bool              `json:"monotone"` // the penalty falls and the loss rises with λ
	Concave    bool              `json:"concave"`  // so does the least objective
	Violations []linearViolation `json:"violations"`
	Slack      jsonnum.Float     `json:"slack"`
}

// linearViolation is a point whose objective another point undercuts.
type linearViolation struct {
	Lambda jsonnum.Float `json:"lambda"`
	By     jsonnum.Float `json:"by"` // the λ of the other
	Gap    jsonnum.Float `json:"gap"`
}

// linearSeparable is linear.Separability in numbers that JSON can hold.
type linearSeparable struct {
	Verdict   compactify.Verdict  `json:"verdict"`
	Statement string              `json:"statement,omitempty"`
	Kind      string              `json:"kind,omitempty"`
	Direction []jsonnum.Float     `json:"direction"`
	Intercept []jsonnum.Float     `json:"intercept,omitempty"`
	Margin    []jsonnum.Float     `json:"margin,omitempty"` // bounds
	Support   []int               `json:"support_vectors,omitempty"`
	Separated int                 `json:"separated"`
	Tied      int                 `json:"tied"`
	Proof     *linear.Certificate `json:"certificate,omitempty"`
	Minimiser *bool               `json:"finite_minimiser,omitempty"` // of the loss alone; nil if not decided
	Note      string              `json:"note,omitempty"`
}

type linearCV struct {
	Folds      int             `json:"folds"`
	LambdaMin  jsonnum.Float   `json:"lambda_min"`
	Lambda1SE  jsonnum.Float   `json:"lambda_1se"`
	Best       int             `json:"best"` // index into points, from 0
	Simplest   int             `json:"simplest"`
	MetricName string          `json:"metric_name"`
	Points     []linearCVPoint `json:"points"`
}

type linearCVPoint struct {
	Lambda jsonnum.Float `json:"lambda"`
	Loss   jsonnum.Float `json:"loss"`
	Error  jsonnum.Float `json:"standard_error"`
	Metric jsonnum.Float `json:"metric"`
}

type linearBreak struct {
	Lambda  jsonnum.Float      `json:"lambda"`
	Exact   string             `json:"exact,omitempty"` // λ as a fraction
	Entered []int              `json:"entered"`
	Left    []int              `json:"left"`
	Support []int              `json:"support"` // below the breakpoint
	Verdict compactify.Verdict `json:"verdict"`
}

// linearScore is a model of the path on the examples of --predict; figures are NaN if
// those have no labels.
type linearScore struct {
	Lambda     jsonnum.Float `json:"lambda"`
	Examples   int           `json:"examples"`
	Loss       jsonnum.Float `json:"loss"`
	Metric     jsonnum.Float `json:"metric"`
	MetricName string        `json:"metric_name"`
}

type linearMemory struct {
	Design int `json:"design_bytes"`        // the matrix, as it is held
	Peak   int `json:"peak_resident_bytes"` // of the whole program
}

type linearTiming struct {
	Read      float64 `json:"read"`
	Fit       float64 `json:"fit"`
	Separable float64 `json:"separable"`
}

type linearFiles struct {
	Coef        string `json:"coef,omitempty"`
	Predictions string `json:"predictions,omitempty"`
	Report      string `json:"report,omitempty"`
}

// result gathers what is known.
func (w *linearWork) result() *linearResult {
	f, p := w.flags, w.path
	r := &linearResult{Kind: f.kind.name, Data: f.data, Family: f.kind.family.String(), Examples: w.table.X.Rows(), Features: w.table.X.Cols(),
		Sparse: w.table.X.Sparse(), Classes: w.table.Classes, Groups: w.groups, Alpha: f.alpha, Intercept: !f.noIntercept, Standardize: !f.noStandardize, Exact: f.exact, Unpenalised: w.unpenalised(),
		LambdaMax: jsonnum.Float(p.LambdaMax), Constant: fromOne(p.Constant), Seed: w.seed, name: w.table.FeatureName,
		Memory: linearMemory{w.table.X.Bytes(), engine.PeakResident()}}
	r.Mapping = mappingOf(w.table.Classes)
	r.GapAllowed = jsonnum.Float(f.gap)
	if f.gap == 0 {
		r.GapAllowed = 1e-10
	}
	w.addPoints(r)
	w.addChecks(r)
	w.addSeparable(r)
	w.addLimit(r)
	w.addValidation(r)
	w.addBreakpoints(r)
	r.Notes = append([]string{}, w.notes...)
	r.Notes = append(r.Notes, w.remarks()...)
	return r
}

// mappingOf says which label became which class; "" if they are the same.
func mappingOf(classes []string) string {
	var parts []string
	same := true
	for k, name := range classes {
		parts = append(parts, fmt.Sprintf("%s → %d", name, k))
		same = same && name == strconv.Itoa(k)
	}
	if same {
		return ""
	}
	return strings.Join(parts, ", ")
}

// fromOne counts columns from 1.
func fromOne(list []int) []int {
	out := make([]int, len(list))
	for i, j := range list {
		out[i] = j + 1
	}
	return out
}

func numbers(list []float64) []jsonnum.Float {
	out := make([]jsonnum.Float, len(list))
	for i, v := range list {
		out[i] = jsonnum.Float(v)
	}
	return out
}

func (w *linearWork) addPoints(r *linearResult) {
	r.Points, r.Converged = []linearPoint{}, true
	for i := range w.path.Points {
		p := &w.path.Points[i]
		norm1, norm2 := p.Norms()
		q := linearPoint{Lambda: jsonnum.Float(p.Lambda), Objective: jsonnum.Float(p.Objective), Loss: jsonnum.Float(p.Loss), Penalty: jsonnum.Float(p.Penalty),
			Gap: jsonnum.Float(p.Gap), KKT: jsonnum.Float(p.KKT), Explained: jsonnum.Float(p.Explained), Support: fromOne(p.Support(w.path.Features)),
			Norm1: jsonnum.Float(norm1), Norm2: jsonnum.Float(norm2), Intercept: numbers(p.Intercept), Converged: p.Converged}
		if len(p.Intercept) == 1 {
			q.Intercept = jsonnum.Float(p.Intercept[0])
		}
		if w.flags.exact && len(w.flags.lambda) == 0 {
			below := fromOne(w.breakpoints.Points[i].Support)
			q.SupportBelow = &below
		}
		if !(float64(r.Worst.Gap) >= p.Gap) || i == 0 {
			r.Worst = linearWorst{q.Lambda, q.Gap}
		}
		r.Converged = r.Converged && p.Converged
		r.Points = append(r.Points, q)
	}
}

func (w *linearWork) addChecks(r *linearResult) {
	c := w.path.Checks
	r.Checks = linearChecks{Monotone: c.Monotone, Concave: c.Concave, Violations: []linearViolation{}, Slack: jsonnum.Float(c.Slack)}
	lambda := func(i int) jsonnum.Float {
		if w.flags.exact { // all breakpoints were checked, whatever is shown
			return jsonnum.Float(w.breakpoints.Points[i].Lambda)
		}
		return jsonnum.Float(w.path.Points[i].Lambda)
	}
	for _, b := range c.Beaten {
		r.Checks.Violations = append(r.Checks.Violations, linearViolation{lambda(b.Point), lambda(b.By), jsonnum.Float(b.Gap)})
	}
}

func (w *linearWork) addSeparable(r *linearResult) {
	s := w.separable
	if s == nil {
		r.Separable = linearSeparable{Verdict: compactify.NotApplicable, Note: "the labels are no classes"}
		if w.table.Classes != nil {
			r.Separable.Note = "not asked"
		}
		return
	}
	r.Separable = linearSeparable{Verdict: s.Verdict, Statement: s.Statement, Kind: s.Kind, Support: s.SupportVectors, Separated: s.Separated, Tied: s.Tied,
		Proof: s.Certificate, Note: s.Note}
	if s.Kind != "undecided" {
		r.Separable.Minimiser = &s.FiniteMinimiser
	}
	if s.Direction != nil {
		r.Separable.Direction, r.Separable.Intercept = numbers(s.Direction), numbers(s.Intercept)
	}
	if s.Margin != nil {
		r.Separable.Margin = numbers(s.Margin[:])
	}
}

func (w *linearWork) addValidation(r *linearResult) {
	v := w.cv
	if v == nil {
		return
	}
	r.CV = &linearCV{Folds: v.Count, LambdaMin: jsonnum.Float(v.LambdaMin), Lambda1SE: jsonnum.Float(v.Lambda1SE), Best: v.Best, Simplest: v.Simplest,
		MetricName: w.path.Family.MetricName()}
	for _, p := range v.Points {
		r.CV.Points = append(r.CV.Points, linearCVPoint{jsonnum.Float(p.Lambda), jsonnum.Float(p.Loss), jsonnum.Float(p.StandardError), jsonnum.Float(p.Metric)})
	}
}

func (w *linearWork) addBreakpoints(r *linearResult) {
	b := w.breakpoints
	if b == nil {
		return
	}
	r.Verdict, r.Reason = b.Verdict, b.Reason
	list := []linearBreak{}
	for i := range b.Points {
		p := &b.Points[i]
		x := linearBreak{Lambda: jsonnum.Float(p.Lambda), Entered: fromOne(p.Entered), Left: fromOne(p.Left), Support: fromOne(p.Support), Verdict: p.Verdict}
		if b.Exact {
			x.Exact = p.String()
		}
		list = append(list, x)
	}
	r.Breakpoints = &list
}

// remarks are what the data had that a user may not expect.
func (w *linearWork) remarks() []string {
	list := w.orderRemarks()
	if n := len(w.path.Constant); n > 0 {
		const show = 8
		names := make([]string, 0, show)
		for _, j := range w.path.Constant[:min(n, show)] {
			names = append(names, w.table.FeatureName(j))
		}
		if n > show {
			names = append(names, "…")
		}
		left := "its coefficient is 0"
		if n > 1 {
			left = "their coefficients are 0"
		}
		if w.flags.noIntercept && w.flags.noStandardize {
			left = "without an intercept it counts like one"
			if n > 1 {
				left = "without an intercept they count like one"
			}
		}
		list = append(list, fmt.Sprintf("%s without variation (%s): %s", words.Count(n, "column is", "columns are"), strings.Join(names, ", "), left))
	}
	free := w.unpenalised()
	switch {
	case free == w.path.Features:
		list = append(list, "no column is penalised: coefficients are the same at every λ")
	case w.path.LambdaMax == 0 && free > 0:
		list = append(list, "λ_max is 0: no penalised column has anything to explain")
	case w.path.LambdaMax == 0:
		list = append(list, "λ_max is 0: no column has anything to explain")
	case math.IsInf(w.path.LambdaMax, 1):
		list = append(list, "λ_max is infinite: with α = 0 penalised coefficients tend to 0 and do not reach it")
	}
	if free > 0 {
		list = append(list, fmt.Sprintf("what is explained is relative to the model of %s without a penalty", words.Count(free, "column", "columns")))
	}
	return list
}

// unpenalised counts the columns whose penalty factor is 0.
func (w *linearWork) unpenalised() (n int) {
	for _, f := range w.penalty.Factors {
		if f == 0 {
			n++
		}
	}
	return n
}

// orderRemarks say where points are not one by one those of --lambda.
func (w *linearWork) orderRemarks() (list []string) {
	given := w.flags.lambda
	lambdas := slices.Sorted(slices.Values(given))
	slices.Reverse(lambdas)
	if !slices.Equal(lambdas, given) {
		list = append(list, "--lambda: points are in descending λ, which is not the order given")
	}
	if n := len(lambdas) - len(slices.Compact(lambdas)); n > 0 {
		list = append(list, fmt.Sprintf("--lambda: %s left out", words.Count(n, "repeated λ is", "repeated λ are")))
	}
	return list
}
