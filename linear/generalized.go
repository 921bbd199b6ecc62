package linear

import "errors"

// generalized solves binomial, multinomial and Poisson problems.
type generalized struct{ *task }

func newGeneralized(t *task) (solver, error) { return nil, errors.New("generalized: not there yet") }
