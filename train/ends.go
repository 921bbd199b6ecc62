package train

import (
	"context"
	"fmt"
	"math"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/internal/calculus"
)

// ShrinkageOptions are the settings of [MeasureShrinkage].
type ShrinkageOptions struct {
	// Base is λ₀ of the penalty the network was trained with: H is the Hessian of
	// F = L + λ₀‖θ‖². Without one the loss of most networks has flat directions and no
	// strict minimiser.
	Base   float64
	Lambda float64 // what λ₀ is raised by, above 0

	Largest, Smallest int     // eigenpairs of each end; 0 means 5
	Products          int     // bound on Hessian-vector products of each minimisation and of Lanczos; 0 means 2000
	Residual          float64 // ‖∇‖ at which a point counts as a minimiser; 0 means 1e-11, which float32 arithmetic does not reach
	Tolerance         float64 // on the shrinkage measured, relative to that predicted; 0 means 0.05
	Seed              uint64
}

func (o ShrinkageOptions) withDefaults() ShrinkageOptions {
	if o.Largest <= 0 {
		o.Largest = 5
	}
	if o.Smallest <= 0 {
		o.Smallest = 5
	}
	if o.Products <= 0 {
		o.Products = 2000
	}
	if o.Residual == 0 {
		o.Residual = 1e-11
	}
	if o.Tolerance == 0 {
		o.Tolerance = 0.05
	}
	return o
}

// Shrinkage compares what weight decay does to a minimiser θ* with what the
// curvature there predicts: the component along an eigenvector of the Hessian with
// eigenvalue h becomes h/(h + 2λ) of itself.
type Shrinkage struct {
	Base, Lambda          float64
	GradBefore, GradAfter float64 // ‖∇F(θ*)‖ and ‖∇(F + λ‖θ‖²)(θ_λ)‖
	NormBefore, NormAfter float64 // ‖θ*‖ and ‖θ_λ‖
	Rows                  []ShrinkageRow
	Compared              int     // rows whose shrinkage stands out of the residuals
	Worst                 float64 // the largest |Measured − Predicted|/(1 − Predicted) among them
	Whole                 float64 // ‖θ_λ − θ̂‖/‖θ_λ − θ*‖ with (H + 2λ)θ̂ = Hθ*: all components at once
	Tolerance             float64 // on both
	Verdict               compactify.Verdict
	Reason                string
}

// ShrinkageRow is one eigenvector.
type ShrinkageRow struct {
	Eigenvalue, Bound float64 // h of F's Hessian at θ*, and its error
	Component         float64 // ⟨θ*, u⟩
	Measured          float64 // ⟨θ_λ, u⟩/⟨θ*, u⟩
	Predicted         float64 // h/(h + 2λ)
}

// MeasureShrinkage moves x to the minimiser θ* of F = L + λ₀‖θ‖² nearby, finds
// eigenpairs at both ends of the Hessian there, minimises F + λ‖θ‖² from θ*, and
// compares. The prediction is exact for a quadratic F and every λ; for any smooth F it
// is so to first order in λ, d⟨θ_λ, u⟩/dλ = −2⟨θ*, u⟩/h, so that λ is best chosen small
// against λ₀ and the shrinkage, not the quotient, is what is compared.
//
// The claim is not applicable where θ* is no strict minimiser, and inconclusive where
// a minimisation ended early: with weight decay the minimisers of networks with ReLU
// tend to lie at kinks, where there is no Hessian.
//
// Source: I. Goodfellow, Y. Bengio and A. Courville, "Deep learning", 2016,
// equation 7.13, with α = 2λ.
func MeasureShrinkage(ctx context.Context, f calculus.Curved, x []float64, o ShrinkageOptions) (Shrinkage, error) {
	if !(o.Lambda > 0) || !(o.Base >= 0) || len(x) != f.Dim() {
		return Shrinkage{}, fmt.Errorf("shrinkage: got λ₀ = %v, λ = %v and %d numbers, want λ₀ ≥ 0, λ > 0 and %d", o.Base, o.Lambda, len(x), f.Dim())
	}
	o = o.withDefaults()
	s := Shrinkage{Base: o.Base, Lambda: o.Lambda, Tolerance: o.Tolerance}
	if err := s.measure(ctx, f, append([]float64(nil), x...), o); err != nil {
		return Shrinkage{}, fmt.Errorf("shrinkage: %w", err)
	}
	s.judge(o)
	return s, nil
}

func (s *Shrinkage) measure(ctx context.Context, f calculus.Curved, at []float64, o ShrinkageOptions) (err error) {
	base := Ridge(f, o.Base, nil)
	if s.GradBefore, err = newton(ctx, base, at, o.Residual, o.Products); err != nil {
		return err
	}
	spectrum, err := calculus.Lanczos(ctx, f.Dim(), calculus.HessianAt(base, at), calculus.LanczosOptions{
		Largest: o.Largest, Smallest: min(o.Smallest, max(0, f.Dim()-o.Largest)), Products: o.Products, Seed: o.Seed, Vectors: true,
		Tolerance: max(1e-6, 100*precisionOf(f))})
	if err != nil {
		return err
	}
	after := append([]float64(nil), at...)
	if s.GradAfter, err = newton(ctx, Ridge(f, o.Base+o.Lambda, nil), after, o.Residual, o.Products); err != nil {
		return err
	}
	s.NormBefore, s.NormAfter = length(at), length(after)
	if s.Whole, err = wholeError(ctx, base, at, after, o); err != nil {
		return err
	}
	for _, pairs := range [][]calculus.Eigenpair{spectrum.Largest, spectrum.Smallest} {
		for _, p := range pairs {
			c := dot(at, p.Vector)
			s.Rows = append(s.Rows, ShrinkageRow{Eigenvalue: p.Value, Bound: p.Bound, Component: c,
				Measured: dot(after, p.Vector) / c, Predicted: p.Value / (p.Value + 2*o.Lambda)})
		}
	}
	return nil
}

// wholeError solves (H + 2λ)d = −2λθ* and compares d with θ_λ − θ*.
func wholeError(ctx context.Context, base calculus.Curved, at, after []float64, o ShrinkageOptions) (float64, error) {
	n := len(at)
	slope, d, rest := make([]float64, n), make([]float64, n), make([]float64, n)
	scaleTo(slope, 2*o.Lambda, at)
	_, err := conjugate(ctx, Ridge(base, o.Lambda, nil), at, slope, d, 1e-8*length(slope), o.Products)
	for i := range rest {
		rest[i] = after[i] - at[i]
	}
	size := length(rest)
	for i := range rest {
		rest[i] -= d[i]
	}
	return length(rest) / size, err
}

// judge decides on the claim. Residuals move a component by ‖∇‖/h, and weight decay by
// 2λ/h of itself: a hundred times more is asked for.
func (s *Shrinkage) judge(o ShrinkageOptions) {
	least := math.Inf(1)
	for _, r := range s.Rows {
		least = min(least, r.Eigenvalue-r.Bound)
		if math.Abs(r.Component)*2*o.Lambda >= 100*(s.GradBefore+s.GradAfter) {
			s.Compared++
			s.Worst = max(s.Worst, math.Abs(r.Measured-r.Predicted)/(1-r.Predicted))
		}
	}
	switch {
	case max(s.GradBefore, s.GradAfter) > o.Residual:
		s.Verdict = compactify.Inconclusive
		s.Reason = fmt.Sprintf("the minimisations ended at gradients of %.3g and %.3g, want %.3g: the products ran out, or the minimisers lie at kinks", s.GradBefore, s.GradAfter, o.Residual)
	case least < 0:
		s.Verdict, s.Reason = compactify.NotApplicable, fmt.Sprintf("the Hessian has an eigenvalue of %.3g: θ* is no strict minimiser", least)
	case s.Compared == 0:
		s.Verdict, s.Reason = compactify.Inconclusive, "no component found shrinks by more than the residuals blur"
	case max(s.Worst, s.Whole) <= s.Tolerance:
		s.Verdict = compactify.Supported
		s.Reason = fmt.Sprintf("weight decay shrinks %s by what h/(h + 2λ) says within %.3g, and all of θ within %.3g", plural(s.Compared, "component"), s.Worst, s.Whole)
	default:
		s.Verdict = compactify.Refuted
		s.Reason = fmt.Sprintf("a component is off by %.3g of its shrinkage and all of θ by %.3g: the loss is not quadratic between the two minimisers", s.Worst, s.Whole)
	}
}
