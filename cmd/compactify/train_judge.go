package main

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/calculus"
	"github.com/compactify/compactify/internal/jsonnum"
	"github.com/compactify/compactify/internal/words"
	"github.com/compactify/compactify/train"
)

// boundary says where the run stands on the way to its boundary.
type boundary struct {
	Approached bool               `json:"approached"`
	Norm       jsonnum.Float      `json:"norm"`
	Threshold  jsonnum.Float      `json:"threshold"`
	LossAt     jsonnum.Float      `json:"loss_at"` // of θ = 0, mean over the training examples
	Kind       string             `json:"kind"`    // zero, sparse stratum, infinity or none
	Verdict    compactify.Verdict `json:"verdict"`
	Reason     string             `json:"reason"`
	Zeros      int                `json:"zeros"` // weights that are exactly zero

	// The share of ‖θ‖² in weights whose size does not matter to the answers, as in
	// front of a normalisation, and their names.
	ScaleFree      jsonnum.Float `json:"scale_free"`
	ScaleFreeNames []string      `json:"scale_free_names,omitempty"`

	Fixed *fixedPoint `json:"fixed_point,omitempty"` // what θ = 0 is to the flow
}

// fixedPoint is a [train.FixedPoint].
type fixedPoint struct {
	Kind      string             `json:"kind"`
	Verdict   compactify.Verdict `json:"verdict"`
	Lambda    jsonnum.Float      `json:"lambda"`
	GradNorm  jsonnum.Float      `json:"grad_norm"`
	LambdaMin jsonnum.Float      `json:"lambda_min"`
	Margin    jsonnum.Float      `json:"margin"` // λ_min H(0) + 2λ
	Curvature string             `json:"curvature"`
	Reason    string             `json:"reason"`
	Examples  int                `json:"examples"`
}

// normBound is a [train.NormBound].
type normBound struct {
	Name    string             `json:"name"`
	Verdict compactify.Verdict `json:"verdict"`
	Reason  string             `json:"reason"`
	Radius  jsonnum.Float      `json:"radius"`
	Checked int                `json:"checked"`
	Floor   string             `json:"floor"` // where the lower bound of the loss comes from
}

// sharpness is the largest eigenvalue of the Hessian of the mean loss.
type sharpness struct {
	Epoch    int           `json:"epoch"`
	Largest  jsonnum.Float `json:"largest"`
	Bound    jsonnum.Float `json:"bound"` // an eigenvalue is this near
	Examples int           `json:"examples"`
}

// How much is spent on looking at the curvature: few products on few examples, about a
// fiftieth of the training's own work, and for the fixed point on some more.
const (
	sharpnessProducts = 12
	sharpnessShare    = 1500 // examples seen in training for one here
	leastSharpness    = 32
	mostSharpness     = 1024
	fixedExamples     = 1000

	vectorsBeside = 8  // float64 vectors beside Lanczos' basis
	fixedProducts = 40 // as many vectors in that basis
)

// sharp measures the top of the Hessian's spectrum at a model.
func (t *training) sharp(ctx context.Context, epoch int, g *graph.Graph) (sharpness, error) {
	n := min(max(leastSharpness, min(mostSharpness, t.set.Len()*t.o.Epochs/sharpnessShare)), t.set.Len())
	f, err := train.NewObjective(g, firstOf(t.set, n), train.ObjectiveOptions{Pool: t.pool, Batch: n})
	if err != nil {
		return sharpness{}, err
	}
	if err := engine.CheckMemory(8 * f.Dim() * (sharpnessProducts + vectorsBeside)); err != nil {
		return sharpness{}, fmt.Errorf("largest eigenvalue of the Hessian: %w", err)
	}
	s, err := calculus.Lanczos(ctx, f.Dim(), calculus.HessianAt(f, f.Point()), calculus.LanczosOptions{Largest: 1, Tolerance: 0.01, Products: sharpnessProducts, Seed: t.seed})
	if err != nil {
		return sharpness{}, err
	}
	return sharpness{epoch, jsonnum.Float(s.Largest[0].Value), jsonnum.Float(s.Largest[0].Bound), n}, nil
}

// judge says what theory makes of the run: the bounds on ‖θ‖, the boundary, θ = 0.
func (t *training) judge(ctx context.Context, r *trainResult, done trained) error {
	f, err := train.NewObjective(done.Model, t.set, train.ObjectiveOptions{Pool: t.pool})
	if err != nil {
		return err
	}
	start, err := t.f.network(t.set, t.seed)
	if err != nil {
		return err
	}
	initial, err := train.NewObjective(start, t.set, train.ObjectiveOptions{Pool: t.pool})
	if err != nil {
		return err
	}
	for _, place := range []struct {
		to *train.PlaceRecord
		f  *train.Objective
		x  []float64
		g  *graph.Graph
	}{{&r.record.Initial, initial, initial.Point(), start}, {&r.record.Final, f, f.Point(), done.Model}, {&r.record.Zero, f, make([]float64, f.Dim()), nil}} {
		loss, err := place.f.Loss(ctx, place.x)
		if err != nil {
			return err
		}
		*place.to = train.PlaceRecord{Loss: jsonnum.Float(loss)}
		if place.g != nil {
			place.to.Norm = jsonnum.Float(place.g.Norm())
			for _, p := range t.o.Penalties {
				if p.Kind != train.MaxNorm {
					_, last := p.Lambda.Ends(max(1, len(done.Epochs)))
					place.to.Penalty += jsonnum.Float(last * p.Value(place.g))
				}
			}
		}
	}
	r.Boundary.LossAt = r.record.Zero.Loss
	r.bounds(t, done)
	approach := train.ApproachOf(done.Epochs, f.Dim())
	if p := t.o.Penalties; approach.Kind == train.ToInfinity && len(p) > 0 {
		approach.Kind, approach.Reason = train.ToNone, "the penalty holds ‖θ‖ in a ball; "+approach.Reason
	}
	r.Boundary.Kind, r.Boundary.Verdict, r.Boundary.Reason = string(approach.Kind), approach.Verdict, approach.Reason
	return t.invariance(ctx, r, done, start)
}

// unlessShort runs a measurement that is left out, with a note, where it does not fit
// into the memory.
func (r *trainResult) unlessShort(measure func() error) error {
	err := measure()
	var short *engine.MemoryError
	if errors.As(err, &short) {
		r.Notes = append(r.Notes, "not measured: "+err.Error())
		return nil
	}
	return err
}

// bounds checks the bounds on the length of θ. Between the ends only the norm is known
// for all examples, so that there only the bound along training is checked.
func (r *trainResult) bounds(t *training, done trained) {
	ridge := func(e int) float64 {
		x := 0.0
		for _, p := range t.o.Penalties {
			if p.Kind == train.L2 {
				x += p.Lambda.At(e, max(1, len(done.Epochs)))
			}
		}
		return x
	}
	floor := train.CrossEntropyFloor
	list := []train.Iterate{{Norm: float64(r.record.Initial.Norm), Loss: float64(r.record.Initial.Loss), Lambda: ridge(0), Gradient: math.NaN()}}
	for i, e := range done.Epochs {
		k := train.Iterate{Norm: e.Norm, Loss: math.NaN(), Lambda: ridge(i), Gradient: math.NaN()}
		if i == len(done.Epochs)-1 && e.Norm == float64(r.record.Final.Norm) {
			k.Loss = float64(r.record.Final.Loss)
		}
		list = append(list, k)
	}
	for _, b := range train.NormBounds(list, train.BoundOptions{Floor: floor, Loss0: float64(r.record.Zero.Loss)}) {
		r.Bounds = append(r.Bounds, normBound{string(b.Name), b.Verdict, b.Reason, jsonnum.Float(b.Radius), b.Checked, floor.From})
	}
}

// invariance notes the weights whose size does not matter.
func (t *training) invariance(ctx context.Context, r *trainResult, done trained, start *graph.Graph) error {
	v, err := train.ScaleInvariance(ctx, train.WithWeights(start, done.Model), t.set, train.ObjectiveOptions{Pool: t.pool, Batch: 64})
	if err != nil {
		return err
	}
	r.Boundary.ScaleFree = jsonnum.Float(v.Share)
	for _, b := range v.Blocks {
		if b.Invariant {
			r.Boundary.ScaleFreeNames = append(r.Boundary.ScaleFreeNames, b.Name)
		}
	}
	return nil
}

// fixed asks what θ = 0 is to the gradient flow of the loss and the last λ of the L2
// penalty.
func (t *training) fixed(ctx context.Context, r *trainResult, done trained) error {
	for _, p := range t.o.Penalties {
		if p.Kind != train.L2 && p.Kind != train.MaxNorm {
			return nil // which has a kink at 0
		}
	}
	n := min(fixedExamples, t.set.Len())
	f, err := train.NewObjective(done.Model, firstOf(t.set, n), train.ObjectiveOptions{Pool: t.pool})
	if err != nil {
		return err
	}
	lambda := 0.0
	for _, p := range t.o.Penalties {
		if p.Kind == train.L2 {
			_, last := p.Lambda.Ends(max(1, len(done.Epochs)))
			lambda += last
		}
	}
	if err := engine.CheckMemory(8 * f.Dim() * (fixedProducts + vectorsBeside)); err != nil {
		return fmt.Errorf("what θ = 0 is: %w", err)
	}
	p, err := train.FixedPointAtZero(ctx, f, lambda, train.FixedOptions{Seed: t.seed, Products: fixedProducts, Gradients: 60})
	var unsupported *engine.UnsupportedError
	if errors.As(err, &unsupported) {
		return nil
	}
	if err != nil {
		return err
	}
	r.Boundary.Fixed = &fixedPoint{string(p.Kind), p.Verdict, jsonnum.Float(lambda), jsonnum.Float(p.GradNorm), jsonnum.Float(p.LambdaMin), jsonnum.Float(p.Margin()),
		string(p.Curvature), p.Reason, n}
	return nil
}

// sentence says a bound in words.
func (b normBound) sentence() string {
	return fmt.Sprintf("%s: %s, %s", b.Name, b.Verdict, b.Reason)
}

// sentences say the boundary in words, and what θ = 0 is, "" if that is not known.
func (b boundary) sentences() (list []string, fixed string) {
	switch {
	case b.Approached:
		list = append(list, fmt.Sprintf("the weights reached the boundary: ‖θ‖ = %s, at most %s counts; at θ = 0 the loss is %s", words.Number(float64(b.Norm)), words.Number(float64(b.Threshold)), words.Number(float64(b.LossAt))))
	case b.Kind != "" && b.Kind != string(train.ToNone):
		list = append(list, fmt.Sprintf("the way leads to %s (%s): %s", b.Kind, b.Verdict, b.Reason))
	}
	if b.ScaleFree > 0 {
		list = append(list, fmt.Sprintf("%s of ‖θ‖² is in weights whose size does not change the answers (a normalisation follows): shrinking them is no step towards a smaller function", words.Percent(float64(b.ScaleFree), 0)))
	}
	if f := b.Fixed; f != nil {
		fixed = fmt.Sprintf("θ = 0 at λ = %s: %s (%s), %s", words.Number(float64(f.Lambda)), f.Kind, f.Verdict, f.Reason)
	}
	return list, fixed
}
