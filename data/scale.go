package data

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Normalization is a mean and a standard deviation per channel. One entry
// serves every channel; none means identity.
type Normalization struct {
	Mean, Std []float64
}

// ParseNormalization reads "mean,std" or, per channel, "m:m:m,s:s:s". The empty
// text is the identity. A standard deviation must be positive, everything finite.
func ParseNormalization(text string) (Normalization, error) {
	if text == "" {
		return Normalization{}, nil
	}
	fail := func(format string, args ...any) (Normalization, error) {
		return Normalization{}, fmt.Errorf("parse normalization %q: %s", text, fmt.Sprintf(format, args...))
	}
	mean, std, ok := strings.Cut(text, ",")
	if !ok || strings.Contains(std, ",") {
		return fail(`want "mean,std" or per channel "m:m:m,s:s:s"`)
	}
	var n Normalization
	var err error
	if n.Mean, err = parseNumbers(mean); err != nil {
		return fail("mean: %v", err)
	}
	if n.Std, err = parseNumbers(std); err != nil {
		return fail("std: %v", err)
	}
	if len(n.Mean) != len(n.Std) {
		return fail("got %d means and %d standard deviations, want equal counts", len(n.Mean), len(n.Std))
	}
	for _, s := range n.Std {
		if s <= 0 {
			return fail("standard deviation %v, want more than 0", s)
		}
	}
	return n, nil
}

func parseNumbers(list string) ([]float64, error) {
	var out []float64
	for _, f := range strings.Split(list, ":") {
		v, err := strconv.ParseFloat(strings.TrimSpace(f), 64)
		if err != nil || math.IsInf(v, 0) || math.IsNaN(v) {
			return nil, fmt.Errorf("got %q, want a finite number", f)
		}
		out = append(out, v)
	}
	return out, nil
}

// scaling maps a stored value v of channel c to (v/Div − Mean[c])/Std[c].
type scaling struct {
	Div       float64
	Mean, Std []float64
	table     [][256]float32 // the results for bytes; nil for other stores
}

func (s *scaling) apply(v float64, c int) float64 {
	if s.Mean == nil {
		return v / s.Div
	}
	if len(s.Mean) == 1 {
		c = 0
	}
	return (v/s.Div - s.Mean[c]) / s.Std[c]
}

// String identifies the scaling in [Set.Hash].
func (s scaling) String() string { return fmt.Sprint(s.Div, s.Mean, s.Std) }

// setScaling chooses stored order and scaling for rows of the given shape.
// image says that the rows are image bytes.
func (s *Set) setScaling(image bool, o Options) error {
	norm, err := ParseNormalization(o.Normalize)
	if err != nil {
		return err
	}
	if o.Raw && o.Normalize != "" {
		return fmt.Errorf("scale %q: raw values and normalization %q exclude each other", s.name, o.Normalize)
	}
	s.scale = scaling{Div: 1, Mean: norm.Mean, Std: norm.Std}
	if image && !o.Raw {
		s.scale.Div = 255
	}
	var channels int
	s.layout, channels = storedLayout(s.shape)
	if got := len(norm.Mean); got > 1 && got != channels {
		return fmt.Errorf("scale %q: normalization: got %d channels, want 1 or %d for examples of shape %v",
			s.name, got, channels, s.shape)
	}
	if s.rows.kind() == "uint8" {
		if len(s.shape) == 1 && len(norm.Mean) <= 1 {
			// One table serves a whole flat row.
			s.layout = layout{Major: 1, Minor: s.shape[0], StepA: s.shape[0], StepB: 1}
			channels = 1
		}
		s.scale.fillTables(channels)
	}
	return nil
}

func (s *scaling) fillTables(channels int) {
	s.table = make([][256]float32, channels)
	for c := range s.table {
		for v := range 256 {
			s.table[c][v] = float32(s.apply(float64(v), c))
		}
	}
}

// storedLayout finds the channels of a stored example: the columns of a flat
// row; the first dimension of an image, or its last if only that is 1, 3 or 4.
func storedLayout(shape []int) (l layout, channels int) {
	n := product(shape)
	l = layout{Major: 1, Minor: n, StepA: n, StepB: 1}
	switch {
	case len(shape) == 1:
		l.ChannelB = true
		return l, n
	case len(shape) == 3 && channelsLast(shape):
		c := shape[2]
		return layout{Major: n / c, Minor: c, StepA: c, StepB: 1, ChannelB: true}, c
	case len(shape) == 3:
		c := shape[0]
		return layout{Major: c, Minor: n / c, StepA: n / c, StepB: 1}, c
	}
	return l, 1
}

func channelsLast(shape []int) bool {
	plausible := func(c int) bool { return c == 1 || c == 3 || c == 4 }
	return !plausible(shape[0]) && plausible(shape[2])
}
