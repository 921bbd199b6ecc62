// Package compactify shrinks a trained model by moving it along a curve that
// ends at a smaller model.
//
// A [Path] is a map γ from [0, 1] to models. γ(0) is the trained model; γ(1) is
// a boundary point, where the parametrisation degenerates and parameters can be
// dropped: a zero channel, a rank-1 weight, a one-bit grid. Pruning,
// quantisation and factorisation differ only in the boundary point they aim at;
// package paths holds them all.
//
// Write ℓ(t) for the held-out loss of γ(t). Compressing asks how large t can be
// while the model stays in the sublevel set
//
//	{ t : ℓ(t) ≤ ℓ(0) + ε }
//
// and [Profile.Furthest] answers. The set may have gaps: a stretch of high loss
// does not hide good models beyond it. It may be half-open: a profile may jump.
// So the answer is a t at which the budget was measured to hold, with the
// bracket in which the edge lies.
//
// Loss is in nats per example, size in bytes. A Path never modifies the trained
// model, and At returns equal models for equal t.
package compactify

import (
	"context"

	"github.com/compactify/compactify/graph"
)

// Path is a curve of models from the trained one at t=0 to a boundary model at
// t=1.
type Path interface {
	// At returns the model at t in [0, 1]; equal models for equal t. The model
	// shares every tensor that the path did not change.
	At(ctx context.Context, t float64) (*graph.Graph, error)
}

// Bounded is a Path that knows its end.
type Bounded interface {
	Path
	Boundary() Boundary
}

// Stepped is a Path that changes at finitely many t only, such as a number of
// bits. Steps lists them, ascending, 0 and 1 included.
type Stepped interface {
	Path
	Steps() []float64
}

// Jumping is a Path along which a threshold passes finitely many values, so many
// that a list is of no use: the loss is a right-continuous step function of it.
type Jumping interface {
	Path
	// Jumps returns the last t at or before the given one at which the threshold
	// passes a value, 0 if there is none, and the first behind it, 1 if none is
	// nearer.
	Jumps(t float64) (at, next float64)
}

// Parametrized is a Path with a natural parameter behind t, such as a fraction
// removed or a number of bits.
type Parametrized interface {
	Path
	Param(t float64) float64
}

// Graded is a Path along which equal steps of t are not equal changes, such as one
// of a penalty's weight λ that runs over powers of ten.
type Graded interface {
	Path
	// Grid lists where about n steps from 0 to 1 end that are equal changes:
	// ascending, 0 and 1 included.
	Grid(n int) []float64
	// Between is halfway from a to b, for 0 ≤ a < b ≤ 1, and strictly between
	// them, or a if nothing that can be told from them is.
	Between(a, b float64) float64
}

// BoundaryKind says where a boundary model stands. See the theory, section 1.
type BoundaryKind string

// The kinds of boundary models.
const (
	Ideal      BoundaryKind = "ideal"       // a limit at infinite parameters
	Stratum    BoundaryKind = "stratum"     // a degenerate model among the finite ones: sparse, zero
	ControlEnd BoundaryKind = "control-end" // the end of a control: one bit, infinite λ, width or depth
)

// Boundary describes the model at t=1.
type Boundary struct {
	Kind BoundaryKind
	Name string // in words, "all prunable weights zero"
}

// Evaluator measures models, always on the same examples.
type Evaluator interface {
	Evaluate(ctx context.Context, g *graph.Graph) (Measure, error)
}

// Measure is what was measured of one model.
type Measure struct {
	Loss     float64 // mean per example; nats for classification
	Metric   float64 // top-1 accuracy in [0, 1], or R² for regression; NaN without labels
	KL       float64 // mean KL from the original model's answers, nats per example; 0 for the original
	SNR      float64 // outputs against the original's, dB; +Inf for the original
	Examples int     // how many examples the figures come from
	Bytes    int     // size of the model as a file
	Norm     float64 // ‖θ‖₂ over all weights
}

// Verdict is what may be said about a claim.
type Verdict string

// The verdicts; a verdict is never shown without the numbers behind it.
const (
	Verified      Verdict = "verified"       // proved for this model
	Supported     Verdict = "supported"      // numerical evidence within a stated tolerance
	Refuted       Verdict = "refuted"        // contradicted by a witness
	NotApplicable Verdict = "not applicable" // a hypothesis fails
	Inconclusive  Verdict = "inconclusive"   // out of budget or precision
)
