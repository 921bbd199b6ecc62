package data

import (
	"fmt"
	"slices"
)

// Origin says how a set was opened and which part of it was taken, so that it can
// be opened again later and be seen to be the same.
type Origin struct {
	Source    string `json:"source"` // as [Open] reads it; a path is relative to the folder the program ran in
	Normalize string `json:"normalize,omitempty"`
	Label     string `json:"label,omitempty"`
	Raw       bool   `json:"raw,omitempty"`
	Seed      uint64 `json:"seed"`           // of [Options]: of the built-in glyphs
	Test      bool   `json:"test,omitempty"` // the source's test set instead of its training set
	Cuts      []Cut  `json:"cuts,omitempty"` // applied one after the other

	Hash     string `json:"sha256"` // [Set.Hash] of the part
	Examples int    `json:"examples"`
	Classes  int    `json:"classes"` // 0 for regression
}

// Cut is one part that [Split] gives.
type Cut struct {
	Fractions []float64 `json:"fractions"`
	Seed      uint64    `json:"seed"`
	Purpose   string    `json:"purpose"`
	Take      int       `json:"take"` // which part, counted from 0
}

// Describe fills in what identifies the set itself.
func (o Origin) Describe(s *Set) Origin {
	o.Hash, o.Examples, o.Classes = s.Hash(), s.Len(), s.Classes()
	return o
}

// Options are the settings of [Open] that the origin holds.
func (o Origin) Options() Options {
	return Options{Normalize: o.Normalize, Label: o.Label, Raw: o.Raw, Seed: o.Seed}
}

// Open opens the set again. With a source other than "" that one is read instead
// of the recorded one, by the recorded settings. A set of other content is an error
// that holds both hashes.
func (o Origin) Open(source string, maxBytes int64) (*Set, error) {
	if source == "" {
		source = o.Source
	}
	options := o.Options()
	options.MaxBytes = maxBytes
	src, err := Open(source, options)
	if err != nil {
		return nil, err
	}
	set := src.Train
	if o.Test {
		if set = src.Test; set == nil {
			return nil, fmt.Errorf("open %q again: got no test set, want one", source)
		}
	}
	for i, c := range o.Cuts {
		if err := c.check(); err != nil {
			return nil, fmt.Errorf("open %q again: cut %d: %w", source, i+1, err)
		}
		set = Split(set, c.Fractions, c.Seed, c.Purpose)[c.Take]
	}
	if got := set.Hash(); got != o.Hash {
		return nil, fmt.Errorf("open %q again: SHA-256 of the examples: got %.16s… (%d examples), want %.16s… (%d examples)", source, got, set.Len(), o.Hash, o.Examples)
	}
	return set, nil
}

// check refuses what [Split] would panic on: origins are read from files.
func (c Cut) check() error {
	sum := 0.0
	for _, f := range c.Fractions {
		sum += f
	}
	negative := slices.ContainsFunc(c.Fractions, func(f float64) bool { return !(f >= 0) })
	if negative || !(sum <= 1+roundoff) || len(c.Fractions) > maxCuts || c.Take < 0 || c.Take >= len(c.Fractions) {
		return fmt.Errorf("got part %d of fractions %v, want one of up to %d numbers ≥ 0 that sum to at most 1", c.Take, c.Fractions, maxCuts)
	}
	return nil
}

const (
	maxCuts  = 64   // more parts than a set is ever split into
	roundoff = 1e-9 // fractions such as 0.8 and 0.2 need not sum to 1 exactly
)
