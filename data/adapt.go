package data

import (
	"errors"
	"fmt"
	"slices"
)

// ErrShape says that examples do not have the shape that a model reads.
var ErrShape = errors.New("shape of an example")

// Adapt presents the examples in the shape a model wants, without the batch
// dimension. A dimension below 1 in shape accepts any size. In this order:
//
//	equal shapes                              nothing to do
//	equal but for dimensions of size 1        [1, H, W], [H, W], [H, W, 1]
//	[C, H, W] and [H, W, C]                   values move
//	one shape flat, equal number of values    stored order
//	a sparse row and a longer flat shape      absent features are zero
//
// Anything else is an [ErrShape] that names both shapes. The starting point is always
// the stored example, so adapting twice is adapting once to the last shape. A set
// of several inputs was made for the model and is returned as it is.
func (s *Set) Adapt(shape []int) (*Set, error) {
	if s.parts != nil {
		return s, nil
	}
	stored := s.storedShape
	want := slices.Clone(shape)
	if len(want) == len(stored) {
		for i, d := range want {
			if d < 1 {
				want[i] = stored[i]
			}
		}
	}
	t := *s
	t.shape = want
	l := s.layout.straight()
	switch {
	case slices.Equal(squeeze(stored), squeeze(want)):
	case isTranspose(stored, want):
		l = l.transposed()
	case (len(stored) == 1 || len(want) == 1) && product(stored) == product(want) && positive(want):
	case s.padsTo(want):
	default:
		return nil, fmt.Errorf("adapt %q: %w: got %v, want %v", s.name, ErrShape, stored, shape)
	}
	t.layout = l
	return &t, nil
}

// straight is l presented in stored order.
func (l layout) straight() layout {
	l.StepA, l.StepB = l.Minor, 1
	return l
}

// isTranspose reports whether want is stored with the channels moved from first
// to last or from last to first, where stored keeps them.
func isTranspose(stored, want []int) bool {
	if len(stored) != 3 || len(want) != 3 {
		return false
	}
	a, b, c := stored[0], stored[1], stored[2]
	if channelsLast(stored) {
		return slices.Equal(want, []int{c, a, b})
	}
	return slices.Equal(want, []int{b, c, a})
}

// padsTo reports whether want is a flat row that only adds columns to a sparse
// one. Per-column normalisation has no figures for new columns.
func (s *Set) padsTo(want []int) bool {
	_, ok := s.rows.(*sparse)
	return ok && len(want) == 1 && want[0] > s.storedShape[0] && len(s.scale.Mean) <= 1
}

func squeeze(shape []int) []int {
	return slices.DeleteFunc(slices.Clone(shape), func(d int) bool { return d == 1 })
}

func positive(shape []int) bool {
	return !slices.ContainsFunc(shape, func(d int) bool { return d < 1 })
}
