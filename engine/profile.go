package engine

import (
	"context"
	"strings"
	"time"

	"github.com/compactify/compactify/tensor"
)

// StepTime is what one step of a program takes.
type StepTime struct {
	Step   string // the node's kind, with the types it reads and makes
	Kind   string // the node's kind alone
	Median time.Duration
}

// Profile times every step of p on [Example] inputs, over so many runs after one
// that is not counted. Reading the clock adds some tens of nanoseconds to each.
func Profile(ctx context.Context, p *Program, runs int) ([]StepTime, error) {
	in, err := examples(p.Inputs())
	if err != nil {
		return nil, err
	}
	if err := p.Run(ctx, in, make([]tensor.Tensor, len(p.outputs))); err != nil { // sets the inputs' slots
		return nil, err
	}
	times := make([][]time.Duration, len(p.steps))
	for range max(1, runs) {
		for i := range p.steps {
			start := time.Now()
			if err := p.steps[i].do(); err != nil {
				return nil, err
			}
			times[i] = append(times[i], time.Since(start))
		}
	}
	report := make([]StepTime, len(p.steps))
	for i, st := range p.steps {
		report[i] = StepTime{Step: st.describe(), Kind: st.node.Kind(), Median: median(times[i])}
	}
	return report, nil
}

// describe is the node's kind and types, such as "Conv([1 3 8 8], [4 3 3 3]) [1 4
// 6 6]".
func (st *step) describe() string {
	var in []string
	for _, v := range st.node.In {
		if v == nil {
			in = append(in, "-")
			continue
		}
		in = append(in, v.Type.String())
	}
	text := st.node.Kind() + "(" + strings.Join(in, ", ") + ")"
	for _, v := range st.node.Out {
		if v != nil {
			text += " " + v.Type.String()
		}
	}
	if st.late != nil {
		text += ", bound at each run"
	}
	return text
}
