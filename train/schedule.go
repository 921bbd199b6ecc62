package train

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Schedule is a number that changes from epoch to epoch: a rate, or the λ of a
// penalty. The zero value is constantly 0.
type Schedule struct {
	form  string // "" (constant), "linear", "geom", "cosine" or "step"
	a, b  float64
	steps []scheduleStep // of "step", in ascending order of epochs
}

// scheduleStep is a value that holds from an epoch on.
type scheduleStep struct {
	value float64
	from  int // counted from 1
}

// Always is a schedule that stays.
func Always(x float64) Schedule { return Schedule{a: x} }

// Linear is a schedule that goes from a to b in equal steps.
func Linear(a, b float64) Schedule { return Schedule{form: "linear", a: a, b: b} }

// Geometric is a schedule that goes from a to b, both above 0, by equal factors.
func Geometric(a, b float64) Schedule { return Schedule{form: "geom", a: a, b: b} }

// ParseSchedule reads a schedule of numbers ≥ 0:
//
//	1e-4             constant
//	linear:A..B      equal steps from A in the first epoch to B in the last
//	geom:A..B        equal factors; A and B above 0
//	cosine:A..B      half a cosine wave: level at both ends
//	step:A@E,B@F     A from epoch E on, B from epoch F on; epochs count from 1, and before the first the value is 0
func ParseSchedule(text string) (Schedule, error) {
	form, rest, hasForm := strings.Cut(text, ":")
	s := Schedule{form: form}
	var err error
	switch {
	case !hasForm:
		s.form = ""
		s.a, err = parseLevel(text)
	case form == "step":
		s.steps, err = parseSteps(rest)
	case form == "linear" || form == "geom" || form == "cosine":
		s.a, s.b, err = parseEnds(rest)
		if err == nil && form == "geom" && (s.a == 0 || s.b == 0) {
			err = fmt.Errorf("ends: got %v..%v, want numbers above 0", s.a, s.b)
		}
	default:
		err = fmt.Errorf("form %q: want a number, linear:A..B, geom:A..B, cosine:A..B or step:A@E,B@E", form)
	}
	if err != nil {
		return Schedule{}, fmt.Errorf("parse schedule %q: %w", text, err)
	}
	return s, nil
}

// parseLevel reads a finite number ≥ 0.
func parseLevel(text string) (float64, error) {
	x, err := strconv.ParseFloat(text, 64)
	if err != nil || !(x >= 0) || math.IsInf(x, 0) {
		return 0, fmt.Errorf("number %q: want a finite number ≥ 0", text)
	}
	return x + 0, nil // −0 is 0
}

// check refuses values that [ParseSchedule] would not read.
func (s Schedule) check() error {
	values := []float64{s.a, s.b}
	for _, step := range s.steps {
		values = append(values, step.value)
	}
	for _, x := range values {
		if !(x >= 0) || math.IsInf(x, 0) {
			return fmt.Errorf("schedule %v: got %v, want finite numbers ≥ 0", s, x)
		}
	}
	return nil
}

func parseEnds(text string) (a, b float64, err error) {
	from, to, ok := strings.Cut(text, "..")
	if !ok {
		return 0, 0, fmt.Errorf("ends %q: want A..B", text)
	}
	if a, err = parseLevel(from); err != nil {
		return 0, 0, err
	}
	b, err = parseLevel(to)
	return a, b, err
}

func parseSteps(text string) ([]scheduleStep, error) {
	var steps []scheduleStep
	for _, part := range strings.Split(text, ",") {
		value, epoch, ok := strings.Cut(part, "@")
		from, err := strconv.Atoi(epoch)
		if !ok || err != nil || from < 0 {
			return nil, fmt.Errorf("step %q: want VALUE@EPOCH, such as 1e-4@5", part)
		}
		if n := len(steps); n > 0 && from <= steps[n-1].from {
			return nil, fmt.Errorf("step %q: want epochs in ascending order", part)
		}
		x, err := parseLevel(value)
		if err != nil {
			return nil, err
		}
		steps = append(steps, scheduleStep{x, from})
	}
	return steps, nil
}

// At is the value in an epoch, counted from 0, of so many. The first epoch has the
// first value and the last the last; a single epoch has the last.
func (s Schedule) At(epoch, epochs int) float64 {
	share := 1.0
	if epochs > 1 {
		share = float64(epoch) / float64(epochs-1)
	}
	switch s.form {
	case "linear":
		return s.between(share, s.a+(s.b-s.a)*share)
	case "geom":
		return s.between(share, math.Pow(s.a, 1-share)*math.Pow(s.b, share))
	case "cosine":
		return s.between(share, s.b+(s.a-s.b)*(1+math.Cos(math.Pi*share))/2)
	case "step":
		value := 0.0
		for _, step := range s.steps {
			if epoch+1 >= step.from {
				value = step.value
			}
		}
		return value
	}
	return s.a
}

// between is x, or the very end at an end: rounding must not miss it.
func (s Schedule) between(share, x float64) float64 {
	switch share {
	case 0:
		return s.a
	case 1:
		return s.b
	}
	return x
}

// IsZero reports whether the value is 0 in every epoch.
func (s Schedule) IsZero() bool {
	for _, step := range s.steps {
		if step.value != 0 {
			return false
		}
	}
	return s.a == 0 && s.b == 0
}

// Ends are the first and the last value of so many epochs.
func (s Schedule) Ends(epochs int) (first, last float64) {
	return s.At(0, epochs), s.At(epochs-1, epochs)
}

// Rising reports whether the value never falls in so many epochs.
func (s Schedule) Rising(epochs int) bool {
	for e := 1; e < epochs; e++ {
		if s.At(e, epochs) < s.At(e-1, epochs) {
			return false
		}
	}
	return true
}

// String writes the schedule as [ParseSchedule] reads it.
func (s Schedule) String() string {
	number := func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
	switch s.form {
	case "":
		return number(s.a)
	case "step":
		parts := make([]string, len(s.steps))
		for i, step := range s.steps {
			parts[i] = number(step.value) + "@" + strconv.Itoa(step.from)
		}
		return "step:" + strings.Join(parts, ",")
	}
	return s.form + ":" + number(s.a) + ".." + number(s.b)
}
