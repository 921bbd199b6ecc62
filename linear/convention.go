package linear

import (
	"math"

	"github.com/compactify/compactify/internal/kernel"
)

// Other programs minimise the same kind of objective with another scale of λ. The
// functions of this file turn a penalty of theirs into (λ, α) of ours at which the
// minimiser is the same; docs/linear.md has them in one table. total is the sum of the
// weights of the examples in the other program: n without weights.

// FromGlmnet is for glmnet with the same columns, intercept and standardisation. spread
// is [GlmnetSpread]; with penalty factors use [GlmnetFactors].
//
// glmnet divides gaussian targets by their spread s before it fits, and the λ that it
// reports belong to the ℓ1 part on the way back: its λ((1−α)/2‖θ‖² + α‖θ‖₁) is
// λ((1−α)/(2s)‖θ‖² + α‖θ‖₁) in the scale of the targets.
//
// Source: J. Friedman, T. Hastie, R. Tibshirani, "Regularization paths for generalized
// linear models via coordinate descent", J. Stat. Softw. 33 (2010), section 2, and the
// entry lambda of glmnet's reference manual.
func FromGlmnet(lambda, alpha, spread float64) (ourLambda, ourAlpha float64) {
	share := alpha + (1-alpha)/spread
	return lambda * share, alpha / share
}

// ToGlmnet is the inverse of [FromGlmnet].
func ToGlmnet(lambda, alpha, spread float64) (theirLambda, theirAlpha float64) {
	share := alpha + (1-alpha)*spread
	return lambda * share, alpha / share
}

// GlmnetSpread is what glmnet divides targets by: the standard deviation (divisor n,
// weighted) of gaussian targets less their offsets, their root mean square if there is
// no intercept, and 1 for other families.
func GlmnetSpread(p Problem, intercept bool) (float64, error) {
	if p.Family != Gaussian {
		return 1, nil
	}
	if err := checkTargets(p); err != nil {
		return 0, err
	}
	weights, err := normalized(p.Weights, p.X.rows)
	if err != nil {
		return 0, err
	}
	y := make([]float64, len(p.Y))
	for i, v := range p.Y {
		y[i] = v
		if p.Offset != nil {
			y[i] -= p.Offset[i]
		}
	}
	mean, square, _, err := denseMoments(kernel.Best(), y, weights)
	if !intercept {
		square += mean * mean
	}
	return math.Sqrt(square), err
}

// GlmnetFactors are penalty factors as glmnet uses them: rescaled to a sum of p.
func GlmnetFactors(factors []float64) []float64 {
	sum := 0.0
	for _, f := range factors {
		sum += f
	}
	out := make([]float64, len(factors))
	for j, f := range factors {
		out[j] = f * float64(len(factors)) / sum
	}
	return out
}

// FromC is for programs that multiply the sum of the losses by C and the penalty by 1:
// LIBLINEAR (L2R_LR: α = 0, L1R_LR: α = 1) and scikit-learn's LogisticRegression
// (penalty l2: α = 0, l1: α = 1, elasticnet: α = l1_ratio).
//
// LIBLINEAR's bias B ≥ 0 is a column of B whose coefficient is penalised like any other:
// it is [Options] without Intercept and a matrix with that column. So is scikit-learn's
// with the solver liblinear, B being intercept_scaling; its other solvers leave the
// intercept alone, as ours.
//
// Source: R.-E. Fan et al., "LIBLINEAR: a library for large linear classification", J.
// Mach. Learn. Res. 9 (2008), 1871–1874, equation 1 and appendix A.
func FromC(c, total float64) (lambda float64) { return 1 / (c * total) }

// ToC is the inverse of [FromC].
func ToC(lambda, total float64) (c float64) { return 1 / (lambda * total) }

// FromSumOfSquares is for ½RSS + λ‖θ‖₁, as of LARS.
func FromSumOfSquares(lambda, total float64) (ourLambda float64) { return lambda / total }

// FromRidge is for RSS + a‖θ‖², as of scikit-learn's Ridge; α is 0.
func FromRidge(a, total float64) (lambda float64) { return a / total }

// FromMeanLoss is for a mean loss + a(ρ‖θ‖₁ + (1−ρ)/2‖θ‖²), with half the squared error:
// scikit-learn's Lasso (ρ = 1), ElasticNet and SGDRegressor, SGDClassifier with log_loss
// (ρ = l1_ratio), and PoissonRegressor (ρ = 0), whose half deviance is the Poisson loss up
// to a constant. It changes nothing.
func FromMeanLoss(a, ratio float64) (lambda, alpha float64) { return a, ratio }
