package train

import (
	"context"
	"fmt"
	"math"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/internal/calculus"
)

// FixedKind says what a point is to the gradient flow of a loss.
type FixedKind string

// The kinds of points. A saddle has directions of both signs of curvature, a
// repeller only negative ones.
const (
	Attractor    FixedKind = "attractor"
	Repeller     FixedKind = "repeller"
	Saddle       FixedKind = "saddle"
	NotFixed     FixedKind = "not a fixed point"
	FixedUnknown FixedKind = "inconclusive"
)

// Curvature says how the second order of a loss at θ = 0 was found.
type Curvature string

// The ways to the second order.
const (
	ByHessian   Curvature = "Hessian"     // its eigenvalues, by Lanczos
	ByDegree    Curvature = "zero"        // the answer is homogeneous of degree 3 or more in θ: there is none
	ByDirection Curvature = "directional" // the Hessian does not exist: d²L(εv)/dε² at ε = 0⁺, extremes over unit v by descent from random directions
	NoCurvature Curvature = ""            // not asked for, or no fixed point
)

// FixedPoint says whether θ = 0 is a fixed point of the gradient flow of
// L + λ‖θ‖², and of what kind.
type FixedPoint struct {
	Lambda float64 // λ

	GradNorm      float64 // ‖g(0)‖₂
	GradTolerance float64 // up to which it counts as zero; 0 where the structure of the network shows that it is

	// The least and the largest eigenvalue of H(0), or extreme of the directional
	// second derivative, of L alone. The form at 0 takes the values themselves. The bounds
	// are residuals, within which there is an eigenvalue; of a directional form, the
	// spread of the extremes found from different directions.
	Curvature                       Curvature
	LambdaMin, LambdaMinBound       float64
	LambdaMax, LambdaMaxBound       float64
	LambdaFloor                     float64 // proven by the structure: no direction curves less; −Inf if that shows nothing
	Kind                            FixedKind
	Verdict                         compactify.Verdict // on Kind
	Reason                          string
	converged, flat, differentiable bool
	precision                       float64 // relative, of the function's values
}

// Margin is λ_min H(0) + 2λ: above 0 for an attractor.
func (p FixedPoint) Margin() float64 { return p.LambdaMin + 2*p.Lambda }

// FixedOptions are the settings of [FixedPointAtZero]; the zero value works.
type FixedOptions struct {
	Seed       uint64 // of start vectors and directions
	Products   int    // bound on Hessian-vector products; 0 means 200
	Directions int    // random directions of a directional form; 0 means 4
	Gradients  int    // bound on the gradients of a directional form; 0 means 200
}

func (o FixedOptions) withDefaults() FixedOptions {
	if o.Products <= 0 {
		o.Products = 200
	}
	if o.Directions <= 0 {
		o.Directions = 4
	}
	if o.Gradients <= 0 {
		o.Gradients = 200
	}
	return o
}

// FixedPointAtZero examines θ = 0 under the penalty λ‖θ‖². Of a network that is
// homogeneous of degree 2 or more in θ, the gradient at 0 is exactly zero; of any
// other function it counts as zero up to a tolerance that is part of the answer.
//
// A network of two layers with ReLU between them has no Hessian at 0, although
// formulas give one: L(εv) = L(0) + ε²q(v) + o(ε²) with a q that is homogeneous but
// not quadratic. This shows when gradients near 0 are compared with
// Hessian-vector products at 0, and then the extremes of 2q(v) over unit v take the
// eigenvalues' place: a value below −2λ is a direction of descent, but values found
// above it are no proof that there is none; the bound of [DropBound] is, for
// networks that have it.
//
// Source: theory, row 6.
func FixedPointAtZero(ctx context.Context, f calculus.Curved, lambda float64, o FixedOptions) (FixedPoint, error) {
	z := &zeroPoint{f: f, o: o.withDefaults(), form: Form{Degree: -1}, precision: precisionOf(f), p: FixedPoint{LambdaFloor: math.Inf(-1), precision: precisionOf(f)}}
	if err := z.examine(ctx); err != nil {
		return FixedPoint{}, fmt.Errorf("fixed point at zero: %w", err)
	}
	return z.p.With(lambda), nil
}

// precisionOf is the relative error of a function's values and derivatives.
func precisionOf(f calculus.Function) float64 {
	if ob, ok := f.(*Objective); ok && !ob.o.Double {
		return 1e-6 // sums of float32 products
	}
	return 1e-12
}

// zeroPoint is an examination.
type zeroPoint struct {
	f         calculus.Curved
	o         FixedOptions
	form      Form
	precision float64
	g0        []float64
	p         FixedPoint
}

func (z *zeroPoint) examine(ctx context.Context) error {
	if ob, ok := z.f.(*Objective); ok {
		z.form = ob.Form()
		b, err := ob.DropBound(ctx)
		if err != nil {
			return err
		}
		if b.Layers == 2 {
			z.p.LambdaFloor = -b.C // L(0) − L(θ) ≤ C‖θ‖²/2
		}
	}
	n := z.f.Dim()
	z.g0 = make([]float64, n)
	loss, err := z.f.Gradient(ctx, make([]float64, n), z.g0)
	if err != nil {
		return err
	}
	z.p.GradNorm = length(z.g0)
	if math.IsNaN(loss) || math.IsInf(loss, 0) || math.IsNaN(z.p.GradNorm) || math.IsInf(z.p.GradNorm, 0) {
		return nil // as of an answer that is divided by its norm
	}
	if z.p.differentiable = z.form.Degree >= 2 || !z.form.Kinks; z.form.Degree < 2 {
		z.p.GradTolerance = z.precision * (1 + math.Abs(loss))
	}
	if !z.p.differentiable {
		if z.p.differentiable, err = z.smoothAlong(ctx); err != nil {
			return err
		}
	}
	if !z.p.differentiable || z.p.GradNorm > z.p.GradTolerance {
		return nil
	}
	return z.secondOrder(ctx)
}

// secondOrder finds the curvature at a fixed point.
func (z *zeroPoint) secondOrder(ctx context.Context) error {
	if z.form.Degree >= 3 {
		z.p.Curvature, z.p.flat, z.p.LambdaFloor, z.p.converged = ByDegree, true, 0, true
		return nil
	}
	if z.form.Kinks {
		exists, err := z.hessianExists(ctx)
		if err != nil {
			return err
		}
		if !exists {
			return z.directional(ctx)
		}
	}
	n := z.f.Dim()
	s, err := calculus.Lanczos(ctx, n, calculus.HessianAt(z.f, make([]float64, n)), calculus.LanczosOptions{
		Largest: 1, Smallest: 1, Products: z.o.Products, Seed: z.o.Seed, Tolerance: max(1e-6, 100*z.precision)})
	if err != nil {
		return err
	}
	z.p.Curvature, z.p.converged = ByHessian, s.Converged
	z.p.LambdaMin, z.p.LambdaMinBound = s.Smallest[0].Value, s.Smallest[0].Bound
	z.p.LambdaMax, z.p.LambdaMaxBound = s.Largest[0].Value, s.Largest[0].Bound
	return nil
}

// With is the answer for another λ.
func (p FixedPoint) With(lambda float64) FixedPoint {
	p.Lambda = lambda
	p.Kind, p.Verdict, p.Reason = p.judge()
	return p
}

func (p FixedPoint) judge() (FixedKind, compactify.Verdict, string) {
	if !p.differentiable {
		return FixedUnknown, compactify.NotApplicable, "the loss is not differentiable at θ = 0"
	}
	if p.GradNorm > p.GradTolerance {
		return NotFixed, compactify.Supported, fmt.Sprintf("‖g(0)‖ = %.6g, zero up to %.3g", p.GradNorm, p.GradTolerance)
	}
	shift := 2 * p.Lambda
	noise := max(1e-9, p.precision) * max(math.Abs(p.LambdaMin), math.Abs(p.LambdaMax))
	least, most := p.LambdaMin+shift, p.LambdaMax+shift
	switch {
	case p.LambdaFloor+shift > 0:
		return Attractor, compactify.Verified, fmt.Sprintf("no direction curves less than %.6g + 2λ = %.6g", p.LambdaFloor, p.LambdaFloor+shift)
	case p.flat:
		return FixedUnknown, compactify.Inconclusive, "the second order is zero in every direction"
	case least < -noise && most+p.LambdaMaxBound < -noise && p.converged:
		return Repeller, compactify.Supported, fmt.Sprintf("every direction curves down: at most %.6g + 2λ = %.6g", p.LambdaMax, most)
	case least < -noise && most > noise:
		return Saddle, compactify.Supported, fmt.Sprintf("directions curve by %.6g and %.6g", least, most)
	case least < -noise:
		return FixedUnknown, compactify.Inconclusive, fmt.Sprintf("a direction curves down by %.6g; whether one curves up is open", least)
	case !p.converged:
		return FixedUnknown, compactify.Inconclusive, fmt.Sprintf("the search for the least curvature ended at %.6g + 2λ = %.6g without convergence", p.LambdaMin, least)
	case least-p.LambdaMinBound <= noise:
		return FixedUnknown, compactify.Inconclusive, fmt.Sprintf("the least curvature is %.3g within %.3g", least, p.LambdaMinBound)
	case p.Curvature == ByDirection:
		return Attractor, compactify.Supported, fmt.Sprintf("the least curvature found is %.6g + 2λ = %.6g, by descent from random directions", p.LambdaMin, least)
	}
	return Attractor, compactify.Supported, fmt.Sprintf("λ_min H(0) + 2λ = %.6g", least)
}
