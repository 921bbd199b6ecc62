package linear

import (
	"context"
	"errors"

	"github.com/compactify/compactify"
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
	// the largest margin, of norm 1. Nil for overlapping classes.
	Direction []float64 `json:"direction,omitempty"`
	Intercept []float64 `json:"intercept,omitempty"` // [Responses]; nil without an intercept
	// Margin encloses the largest margin, the distance of the hyperplane to the nearest
	// example; nil if it was not computed.
	Margin *[2]float64 `json:"margin,omitempty"`
	// SupportVectors are the examples that the largest margin rests on, counted from 1.
	SupportVectors []int `json:"support_vectors,omitempty"`
	// Separated and Tied count the examples on the right side of the hyperplane and on
	// it. No direction does better for a tied one: Certificate proves it.
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
	Weights    []float64 `json:"weights"` // the nearest doubles of rational numbers
	Exact      bool      `json:"exact"`   // the sum is exactly 0 with those
}

// Separate decides whether the classes of a binomial or multinomial problem can be
// separated, and proves it in rational numbers. Examples of weight 0 take no part;
// offsets do not matter.
func Separate(ctx context.Context, p Problem, o Options) (*Separability, error) {
	return nil, errors.New("separate: not there yet")
}
