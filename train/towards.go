package train

import (
	"context"
	"math"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/graph"
)

// Towards trains a model under penalties that grow towards its boundary and says how
// near it came. It is the compactified training of the source text with its two faults
// mended: gradients are those of the step alone, and the penalty is a proximal step,
// which no ηλ makes unstable.
//
// The loss follows from the model's output and the labels: the cross-entropy of a
// classifier, the squared error of a regression. Options.Penalties holds the schedules
// of λ, Options.Epochs their length; threshold is the norm that counts as the boundary,
// 0 means 1 % of the largest norm seen. Options.Step and Options.Epoch are called on
// the way, Options.Monitor watches the descent.
//
// When ctx ends, or the loss is not finite any more, what was reached is returned with
// the error: after a divergence the last weights that were seen to have a finite loss.
func Towards(ctx context.Context, g *graph.Graph, set *data.Set, threshold float64, o Options) (Result, error) {
	r := Result{Start: g.Norm()}
	model, epochs, err := Run(ctx, g, set, o)
	if model == nil {
		return r, err
	}
	r.Model, r.Epochs = Finish(model), epochs
	if o.Monitor != nil {
		r.Monitor = *o.Monitor
	}
	r.Boundary = NewBoundary(r.Model.Norm(), r.Start, epochs, threshold)
	return r, err
}

// Result is what training towards the boundary came to.
type Result struct {
	Model    *graph.Graph // in inference form
	Start    float64      // ‖θ₀‖₂
	Epochs   []Epoch
	Monitor  Monitor // what the monitor of the options saw
	Boundary Boundary
}

// Boundary says where a model stands on the way to θ = 0.
type Boundary struct {
	Approached bool
	Norm       float64 // ‖θ‖₂
	Threshold  float64 // the norm that counts as the boundary
}

// boundaryShare is the default threshold, as a share of the largest norm seen.
const boundaryShare = 0.01

// NewBoundary judges a norm by the threshold, which if 0 follows from the largest norm
// at the start and after the epochs.
func NewBoundary(norm, start float64, epochs []Epoch, threshold float64) Boundary {
	if threshold == 0 {
		largest := math.Max(start, norm)
		for _, e := range epochs {
			largest = math.Max(largest, e.Norm)
		}
		threshold = boundaryShare * largest
	}
	return Boundary{norm <= threshold, norm, threshold}
}
