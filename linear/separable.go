package linear

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/internal/separation"
)

// Separability says whether hyperplanes tell the classes of a problem apart, and so
// whether its likelihood has a maximum at finite coefficients.
//
// Source: A. Albert and J. A. Anderson, "On the existence of maximum likelihood
// estimates in logistic regression models", Biometrika 71 (1984), 1–10.
type Separability struct {
	// Verdict is that of the statement "a hyperplane separates the classes strictly".
	Verdict   compactify.Verdict `json:"verdict"`
	Statement string             `json:"statement"`
	// Kind is "separable", "quasi-separable" (a hyperplane has examples on it and none
	// on its wrong side), "overlapping", or "undecided".
	Kind string `json:"kind"`
	// Direction are coefficients of the columns as given, k·p + j for class k of a
	// multinomial problem: along them no example's loss rises and the loss of Separated
	// examples tends to 0. Of strictly separable binomial data it is the direction of
	// the largest margin, of norm 1. They are the nearest doubles to the rational numbers
	// of the proof, up to a positive factor. Nil for overlapping classes.
	Direction []float64 `json:"direction"`
	Intercept []float64 `json:"intercept,omitempty"` // [Responses]; nil without an intercept
	// Margin encloses the largest margin, the distance of the hyperplane to the nearest
	// example; nil if it was not computed.
	Margin *[2]float64 `json:"margin,omitempty"`
	// SupportVectors are the examples that the largest margin rests on, counted from 1.
	SupportVectors []int `json:"support_vectors,omitempty"`
	// Separated and Tied count the examples on the right side of the hyperplane and on
	// it: of a multinomial problem, those told from all other classes, and the rest. No
	// direction does better for a tied one: Certificate proves it.
	Separated int `json:"separated"`
	Tied      int `json:"tied"`
	// Certificate proves that nothing separates the tied examples; nil if there are none.
	Certificate *Certificate `json:"certificate,omitempty"`
	// FiniteMinimiser is true if the loss is proved to have a minimiser, and false if it
	// is proved to have none or if the kind is undecided.
	FiniteMinimiser bool `json:"finite_minimiser"`
	// Note says how much was proved, or what was reached.
	Note string `json:"note,omitempty"`
}

// Certificate are positive weights α of the tied examples with Σ α_i y_i (x_i, 1) = 0,
// y_i = ±1, which no direction with y_i (x_i·w + b) ≥ 0 for all and > 0 for some can
// meet (Stiemke's alternative): α is Everywhere, and Weights more for Rows.
type Certificate struct {
	Everywhere float64   `json:"everywhere"`
	Rows       []int     `json:"rows"`    // counted from 1
	Weights    []float64 `json:"weights"` // the nearest doubles to rational numbers
	Exact      bool      `json:"exact"`   // the sum is exactly 0 with those
	// Against are the classes, counted from 0, that the examples in Rows are told from
	// in a multinomial problem, where every example has an inequality per other class.
	Against []int `json:"against,omitempty"`
}

// Separate decides whether the classes of a binomial or multinomial problem can be
// separated, and proves it in rational numbers. Examples of weight 0 take no part, nor
// do constant columns where a fit leaves them out; offsets do not matter. For a
// gaussian or Poisson problem the verdict is not applicable.
func Separate(ctx context.Context, p Problem, o Options) (*Separability, error) {
	s, err := newSeparation(p, o)
	if err != nil {
		return nil, fmt.Errorf("separate: %w", err)
	}
	if p.Family != Binomial && p.Family != Multinomial {
		return &Separability{Verdict: compactify.NotApplicable, Statement: statement, Kind: separation.Undecided.String(),
			Note: fmt.Sprintf("the targets of a %v problem are no classes", p.Family)}, nil
	}
	if size := s.entries(); size > maxSeparated {
		return &Separability{Verdict: compactify.Inconclusive, Statement: statement, Kind: separation.Undecided.String(),
			Note: fmt.Sprintf("not tried: %d inequalities have %d coefficients, and at most %d are taken on", len(s.examples)*(s.classes-1), size, maxSeparated)}, nil
	}
	return s.decide(ctx)
}

const statement = "a hyperplane separates the classes strictly"

// maxSeparated is how many coefficients the inequalities may have: half a gigabyte's.
const maxSeparated = 1 << 26

// separated is a problem whose classes are to be separated.
type separated struct {
	Problem
	intercept bool
	examples  []int // of positive weight
	columns   []int // that a fit would not leave out
	classes   int
}

func newSeparation(p Problem, o Options) (*separated, error) {
	if p.X == nil {
		return nil, errors.New("got no design matrix")
	}
	if _, err := normalized(p.Weights, p.X.rows); err != nil {
		return nil, fmt.Errorf("weights: %w", err)
	}
	if err := checkTargets(p); err != nil {
		return nil, fmt.Errorf("%v: %w", p.Family, err)
	}
	s := &separated{Problem: p, intercept: o.Intercept, classes: 2}
	if p.Family == Multinomial {
		s.classes = p.Classes
	}
	for i := range p.X.rows {
		if p.Weights == nil || p.Weights[i] > 0 {
			s.examples = append(s.examples, i)
		}
	}
	for j := range p.X.cols {
		constant, err := s.constant(j)
		if err != nil {
			return nil, fmt.Errorf("column %d: %w", j+1, err)
		}
		if !constant || !o.Intercept && !o.Standardize {
			s.columns = append(s.columns, j)
		}
	}
	return s, nil
}

// constant reports whether a column has one value for all examples.
func (s *separated) constant(j int) (bool, error) {
	if s.X.dense != nil {
		x := s.X.column(j)
		first := x[s.examples[0]]
		varies := slices.ContainsFunc(s.examples, func(i int) bool { return x[i] != first })
		return !varies, notFinite(x)
	}
	row, value := s.X.entries(j)
	if err := notFinite(value); err != nil {
		return false, err
	}
	seen, first, same := 0, 0.0, true
	for k, i := range row {
		if s.Weights != nil && s.Weights[i] == 0 {
			continue
		}
		if seen == 0 {
			first = value[k]
		}
		same = same && value[k] == first
		seen++
	}
	return same && (seen == len(s.examples) || first == 0), nil
}

// entries is how many coefficients the inequalities have.
func (s *separated) entries() int {
	stored := len(s.examples) * len(s.columns)
	if s.X.dense == nil {
		stored = len(s.X.value)
	}
	if s.Family == Multinomial {
		stored *= 2 * (s.classes - 1)
	}
	return stored
}

// vectors are the examples' rows of the columns that count.
func (s *separated) vectors() []separation.Vector {
	out := make([]separation.Vector, len(s.examples))
	at := make([]int, s.X.rows)
	for k, i := range s.examples {
		at[i] = k
		if s.X.dense != nil {
			out[k].Value = make([]float64, len(s.columns))
		} else {
			out[k].Index = []int32{}
		}
	}
	for c, j := range s.columns {
		if s.X.dense != nil {
			x := s.X.column(j)
			for k, i := range s.examples {
				out[k].Value[c] = x[i]
			}
			continue
		}
		row, value := s.X.entries(j)
		for k, i := range row {
			if s.Weights == nil || s.Weights[i] > 0 {
				v := &out[at[i]]
				v.Index, v.Value = append(v.Index, int32(c)), append(v.Value, value[k])
			}
		}
	}
	return out
}

// points are the inequalities of a binomial problem.
func (s *separated) points() separation.Points {
	p := separation.Points{Dim: len(s.columns), Rows: s.vectors(), Intercept: s.intercept, Sign: make([]int8, len(s.examples))}
	for k, i := range s.examples {
		p.Sign[k] = int8(2*s.Y[i] - 1)
	}
	if p.Dim == 0 { // nothing but an intercept
		p.Dim = 1
		for k := range p.Rows {
			p.Rows[k].Value = []float64{0}
			p.Rows[k].Index = nil
		}
	}
	return p
}

func (s *separated) decide(ctx context.Context) (*Separability, error) {
	p := s.points()
	if s.Family == Multinomial {
		p = s.stacked()
	}
	r, err := separation.Decide(ctx, p, separation.Options{})
	if err != nil {
		return nil, err
	}
	out := &Separability{Statement: statement, Kind: r.Kind.String(), FiniteMinimiser: r.Kind == separation.Overlapping}
	out.Tied = s.tied(r.Tied)
	out.Separated = len(s.examples) - out.Tied
	s.direct(out, r.Float)
	switch r.Kind {
	case separation.Separable:
		out.Verdict = compactify.Verified
		out.Note = "proved in rational numbers: every example is on its side of the hyperplane, and the loss has no minimiser: it tends to 0 along the direction"
		if s.Family == Binomial {
			return out, s.widen(ctx, p, out)
		}
	case separation.QuasiSeparable:
		out.Verdict = compactify.Refuted
		out.Note = "proved in rational numbers: along the direction no example's loss rises and that of the separated ones tends to 0, so the loss has no minimiser; the tied examples stay on the hyperplane"
	case separation.Overlapping:
		out.Verdict = compactify.Refuted
		out.Note = "proved in rational numbers: along every direction that changes an answer some example's loss tends to infinity, so the loss has a minimiser"
	default:
		out.Verdict = compactify.Inconclusive
		out.Note = "not decided: " + r.Reached
		if out.Direction != nil {
			out.Note += "; along the direction no example's loss rises and that of the separated ones tends to 0, so the loss has no minimiser"
		}
		return out, nil
	}
	if len(r.Tied) > 0 {
		out.Certificate = s.certificate(r)
	}
	return out, nil
}

// widen takes the direction of the largest margin, if it was found, instead of just one
// that separates.
func (s *separated) widen(ctx context.Context, p separation.Points, out *Separability) error {
	m, err := separation.MaxMargin(ctx, p)
	if errors.Is(err, separation.ErrNotSeparated) {
		out.Note += "; the margin is too small for double precision to find the largest"
		return nil
	}
	if errors.Is(err, separation.ErrTooLarge) {
		out.Note += "; the largest margin would take too long"
		return nil
	}
	if err != nil {
		return err
	}
	u := m.Direction
	if s.intercept {
		u = append(slices.Clone(u), m.Intercept)
	}
	s.direct(out, u)
	out.Margin = &[2]float64{m.Low, m.High}
	for _, k := range m.Support {
		out.SupportVectors = append(out.SupportVectors, s.examples[k]+1)
	}
	return nil
}

// direct spreads a direction over the columns as given.
func (s *separated) direct(out *Separability, u []float64) {
	if u == nil {
		return
	}
	if s.Family == Multinomial {
		out.Direction, out.Intercept = s.centred(u)
		return
	}
	out.Direction = make([]float64, s.X.cols)
	for c, j := range s.columns {
		out.Direction[j] = u[c]
	}
	if s.intercept {
		out.Intercept = []float64{u[len(u)-1]}
	}
}

func (s *separated) certificate(r *separation.Result) *Certificate {
	c := &Certificate{Everywhere: 1, Rows: []int{}, Weights: []float64{}, Exact: true}
	for k, i := range r.Extra {
		weight, _ := r.Weights[k].Float64()
		c.Rows, c.Weights = append(c.Rows, s.example(i)+1), append(c.Weights, weight)
		if s.Family == Multinomial {
			c.Against = append(c.Against, s.rival(i))
		}
	}
	return c
}
