// Package separation decides whether a hyperplane separates two classes of points,
// and proves it.
//
// A point x_i of sign y_i = ±1 is the vector z_i = y_i x_i, or y_i (x_i, 1) if the
// hyperplane need not pass through the origin. For every set of vectors the rows fall
// into two parts (Goldman and Tucker): a direction u with z_i·u > 0 for the one and
// = 0 for the other, and weights α_i > 0 of the other with Σ α_i z_i = 0. If the
// second part is empty the classes are separable; if the first is, they overlap and
// the logistic loss has a minimiser (Stiemke's alternative); otherwise they are
// quasi-separable.
//
// Directions and weights are found in double precision, by least squares under the
// constraint α ≥ 0, and then computed and checked in integers: doubles are rational
// numbers. Where rounding misled the search, a simplex method in rational numbers goes
// on from there. What [Decide] says is therefore true of the numbers it was given, or
// it says [Undecided].
//
// Sources: A. Albert and J. A. Anderson, "On the existence of maximum likelihood
// estimates in logistic regression models", Biometrika 71 (1984), 1–10; A. Dax, "The
// relationship between theorems of the alternative, least norm problems, steepest
// descent directions, and degeneracy: a review", Annals of Operations Research 46
// (1993), 11–60.
package separation

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/big"
)

// Kind is what can be said of two classes.
type Kind int

const (
	Undecided      Kind = iota // out of budget
	Separable                  // a hyperplane has every point on its right side
	QuasiSeparable             // a hyperplane has points on it, and none on its wrong side
	Overlapping                // every hyperplane has points on its wrong side or all points on it
)

// String is the word of the literature.
func (k Kind) String() string {
	return [...]string{"undecided", "separable", "quasi-separable", "overlapping"}[k]
}

// Vector is a point: all its coordinates, or those in Index, ascending from 0.
type Vector struct {
	Index []int32 // nil: all
	Value []float64
}

// Points are what is to be separated. They are not written to.
type Points struct {
	Dim       int
	Rows      []Vector
	Sign      []int8 // ±1; nil: all +1
	Intercept bool   // the hyperplane need not pass through the origin
}

// ErrNotFinite is a coordinate that is NaN or infinite.
var ErrNotFinite = errors.New("not a finite number")

// ErrTooLarge is a problem that takes too long.
var ErrTooLarge = errors.New("too large")

// Options bound the work.
type Options struct {
	// Work is how many products of words the arithmetic of integers may take, by an
	// estimate made before each step; 0 means 2e10, which is half a minute's.
	Work float64
}

const defaultWork = 2e10

// Result is a decision with its proof.
type Result struct {
	Kind Kind
	// Direction is u, one number per coordinate and one for the intercept if there is
	// one; nil for overlapping points. Float holds the nearest doubles, up to a positive
	// factor.
	Direction []*big.Rat
	Float     []float64
	// Tied are the rows with z_i·u = 0, ascending; all others have z_i·u > 0.
	Tied []int
	// Weights are α_i − 1 ≥ 0 of the rows Extra, a few of those tied: with 1 for every
	// other tied row, Σ α_i z_i = 0. Extra is empty if the vectors add up to 0.
	Extra   []int
	Weights []*big.Rat
	// Reached says what is known of undecided points.
	Reached string
}

// size is the number of coordinates of z.
func (p *Points) size() int {
	if p.Intercept {
		return p.Dim + 1
	}
	return p.Dim
}

func (p *Points) sign(i int) float64 {
	if p.Sign == nil {
		return 1
	}
	return float64(p.Sign[i])
}

// each calls f for the coordinates of z_i that are not 0.
func (p *Points) each(i int, f func(j int, z float64)) {
	s, row := p.sign(i), p.Rows[i]
	for k, x := range row.Value {
		if x == 0 {
			continue
		}
		j := k
		if row.Index != nil {
			j = int(row.Index[k])
		}
		f(j, s*x)
	}
	if p.Intercept {
		f(p.Dim, s)
	}
}

func (p *Points) check() error {
	if p.Dim < 1 || len(p.Rows) == 0 {
		return fmt.Errorf("separate %d points of dimension %d: want at least one of each", len(p.Rows), p.Dim)
	}
	if p.Sign != nil && len(p.Sign) != len(p.Rows) {
		return fmt.Errorf("separate: signs: got %d, want %d, one per point", len(p.Sign), len(p.Rows))
	}
	for i, row := range p.Rows {
		if err := p.checkRow(row); err != nil {
			return fmt.Errorf("separate: point %d: %w", i+1, err)
		}
		if p.Sign != nil && p.Sign[i] != 1 && p.Sign[i] != -1 {
			return fmt.Errorf("separate: sign of point %d: got %d, want 1 or -1", i+1, p.Sign[i])
		}
	}
	return nil
}

func (p *Points) checkRow(row Vector) error {
	want := p.Dim
	if row.Index != nil {
		want = len(row.Index)
	}
	if len(row.Value) != want {
		return fmt.Errorf("coordinates: got %d, want %d", len(row.Value), want)
	}
	last := int32(-1)
	for _, j := range row.Index {
		if j <= last || int(j) >= p.Dim {
			return fmt.Errorf("coordinate %d after %d: want ascending ones below %d", j, last, p.Dim)
		}
		last = j
	}
	for k, x := range row.Value {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return fmt.Errorf("value %d: got %v: %w", k+1, x, ErrNotFinite)
		}
	}
	return nil
}

// Decide finds which of the three kinds the points are. Where the work allowed does not
// suffice the kind is [Undecided]; errors are those of the points and the context's.
func Decide(ctx context.Context, p Points, o Options) (*Result, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if o.Work == 0 {
		o.Work = defaultWork
	}
	d := newDecision(ctx, &p, o)
	r, err := d.decide()
	if err != nil {
		return nil, fmt.Errorf("separate: %w", err)
	}
	return r, nil
}
