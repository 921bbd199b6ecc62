package linear

import (
	"errors"
	"fmt"
	"slices"

	"github.com/compactify/compactify/internal/rational"
)

// member is a column of a support with the sign of its correlation, or of its
// coefficient; sign 0 is a column without a penalty, which is always in.
type member struct{ column, sign int }

// lasso is a problem in one kind of numbers.
type lasso interface {
	// null is the line from λ = ∞ on, with a largest independent set of columns without
	// a penalty as its support.
	null() (line, error)
	// line is the solution for a support of independent columns, as long as it is one:
	// θ(λ) = a − λb, with G a = X̃ᵀWy and G b = s∘f, G the support's Gram matrix. The
	// error wraps rational.ErrSingular if they are not independent.
	line(support []member) (line, error)
}

// line is a segment of a path, extended both ways. With c(λ) are meant the
// correlations of all columns with the residual.
type line interface {
	support() []member
	// heads is the sign of s_k b_k for member k: negative if a coefficient that is 0 at
	// the upper end takes the wrong sign below.
	heads(k int) int
	// slack is the sign of s c′_j − f_j for a column outside of the support with s c_j =
	// λf_j at the upper end: negative if the column goes beyond what it is allowed below.
	slack(m member) int
	// descend finds the lower end: the largest λ below the upper end at which a
	// coefficient becomes 0 or a correlation as large as allowed. tied are the members
	// for which one of both holds at the upper end.
	descend(tied []member) (event, error)
	// reaches reports whether the lower end is at most lambda.
	reaches(lambda float64) bool
	// at is the model at λ.
	at(lambda float64) Point
	// lower is the model at the lower end, as a breakpoint.
	lower() Breakpoint
}

// event is what happens at the lower end of a line.
type event struct {
	end   bool     // nothing: λ = 0, or the least λ wanted
	zeros []member // coefficients that have become 0
	hits  []member // columns whose correlation has become as large as allowed
	idle  []member // columns whose correlation was and is as large as allowed, without a coefficient
}

// follower goes from line to line.
type follower struct {
	check func() error
	steps int
}

// follow returns all lines of the path; line i ends at breakpoint i.
func (f *follower) follow(problem lasso) ([]line, error) {
	current, err := problem.null()
	if err != nil {
		return nil, fmt.Errorf("columns without a penalty: %w", err)
	}
	var lines []line
	var tied []member
	for {
		if err := f.check(); err != nil {
			return nil, err
		}
		e, err := current.descend(tied)
		if err != nil {
			return nil, fmt.Errorf("segment %d: %w", len(lines)+1, err)
		}
		lines = append(lines, current)
		if e.end {
			return lines, nil
		}
		if len(lines) >= f.steps {
			return nil, fmt.Errorf("got %d breakpoints by λ = %v: want at most %d", len(lines), current.lower().Lambda, f.steps)
		}
		current, tied, err = f.turn(problem, current, e)
		if err != nil {
			return nil, fmt.Errorf("breakpoint %d, at λ = %v: %w", len(lines), lines[len(lines)-1].lower().Lambda, err)
		}
	}
}

// turn finds the line below an event.
//
// Which of the tied columns have a coefficient below is a linear complementarity
// problem: coefficients leave 0 to the side of their sign only, and the correlation of
// a column that stays out falls at least as quickly as what is allowed. It is solved by
// exchanging the first column in the wrong place until there is none. That is the
// criss-cross method: its matrix is positive semidefinite and its right-hand side in
// the range, so that pivots on the diagonal suffice, and the method is finite. A column
// that depends on the support is never in the wrong place, so supports stay
// independent.
//
// Source: E. Klafszky and T. Terlaky, "Some generalizations of the criss-cross method
// for quadratic programming", Optimization 24 (1992), 127–139.
func (f *follower) turn(problem lasso, above line, e event) (below line, tied []member, err error) {
	tied = slices.Concat(e.zeros, e.hits, e.idle)
	slices.SortFunc(tied, func(a, b member) int { return a.column - b.column })
	in := make([]bool, len(tied))
	if len(e.hits) > 0 {
		// A column that was not tied before depends on no support.
		first := slices.MinFunc(e.hits, func(a, b member) int { return a.column - b.column })
		in[slices.Index(tied, first)] = true
	}
	var fixed []member
	for _, m := range above.support() {
		if !slices.Contains(e.zeros, m) {
			fixed = append(fixed, m)
		}
	}
	for range 100 + 10*len(tied)*len(tied) {
		if err := f.check(); err != nil {
			return nil, nil, err
		}
		below, err = problem.line(joined(fixed, tied, in))
		if errors.Is(err, rational.ErrSingular) {
			return nil, nil, fmt.Errorf("%d columns tie: %w: %w", len(tied), ErrDegenerate, err)
		}
		if err != nil {
			return nil, nil, err
		}
		wrong := misplaced(below, tied, in)
		if wrong < 0 {
			below, err = settle(problem, below, fixed, tied, in)
			return below, tied, err
		}
		in[wrong] = !in[wrong]
	}
	return nil, nil, fmt.Errorf("%d columns tie: %w", len(tied), ErrDegenerate)
}

// misplaced is the first tied column that should be in and is not, or the reverse; -1
// if there is none.
func misplaced(below line, tied []member, in []bool) int {
	support := below.support()
	for i, m := range tied {
		if in[i] && below.heads(slices.Index(support, m)) < 0 || !in[i] && below.slack(m) < 0 {
			return i
		}
	}
	return -1
}

// settle takes out columns whose coefficients would stay 0.
func settle(problem lasso, below line, fixed, tied []member, in []bool) (line, error) {
	support, stay := below.support(), false
	for i, m := range tied {
		if in[i] && below.heads(slices.Index(support, m)) == 0 {
			in[i], stay = false, true
		}
	}
	if !stay {
		return below, nil
	}
	return problem.line(joined(fixed, tied, in))
}

func joined(fixed, tied []member, in []bool) []member {
	support := slices.Clone(fixed)
	for i, m := range tied {
		if in[i] {
			support = append(support, m)
		}
	}
	slices.SortFunc(support, func(a, b member) int { return a.column - b.column })
	return support
}

// record makes breakpoints of the lines: places where the support changes.
func (b *Breakpoints) record(lines []line) {
	for i, l := range lines {
		if i+1 < len(lines) && slices.Equal(l.support(), lines[i+1].support()) {
			continue // something was touched only; the next line goes on with this one
		}
		p, above, below := l.lower(), columns(l.support()), l.support()
		if i+1 < len(lines) {
			below = lines[i+1].support()
		} else {
			below = slices.DeleteFunc(slices.Clone(below), func(m member) bool {
				return m.sign != 0 && !slices.Contains(p.Index, m.column)
			})
		}
		p.Support = columns(below)
		for _, m := range below {
			p.Signs = append(p.Signs, m.sign)
		}
		p.Entered, p.Left = without(p.Support, above), without(above, p.Support)
		b.lines = append(b.lines, l)
		b.Points = append(b.Points, p)
	}
	b.LambdaMax = b.Points[0].Lambda
}

func columns(s []member) []int {
	out := make([]int, len(s))
	for i, m := range s {
		out[i] = m.column
	}
	return out
}

// without are the numbers of a that are not in b, both ascending.
func without(a, b []int) []int {
	var out []int
	for _, x := range a {
		if _, ok := slices.BinarySearch(b, x); !ok {
			out = append(out, x)
		}
	}
	return out
}
