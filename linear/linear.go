// Package linear follows linear models along the whole path of a penalty, from the
// model that is nothing but its intercept to where the penalty hardly counts, and
// certifies every point of the path.
//
// For examples (x_i, y_i), i < n, with weights w_i that sum to 1 it minimises
//
//	Σ w_i ℓ(y_i, o_i + b + x_i·θ) + λ Σ_j f_j (α|θ_j| + (1−α)/2 θ_j²)
//
// where ℓ is half the squared error, or the negative log-likelihood in nats of the
// logistic, multinomial or Poisson model; o are offsets, f penalty factors; groups
// of coefficients may take the place of the |θ_j|. The intercept b is not
// penalised. If columns are standardised, θ in the penalty is the coefficient of
// the column divided by its standard deviation (divisor n); what a [Path] shows are
// always coefficients of the columns as they were given.
//
// The loss is convex, so everything that holds along the path can be proved for the
// data at hand: a dual point bounds how far the objective is from its minimum
// ([Point.Gap]), θ = 0 is reached at a λ that is known ([Path.LambdaMax]), the
// minimum is concave in λ and the penalty falls with λ.
package linear

import (
	"context"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/internal/kernel"
)

// Family says what the targets are and so which loss counts.
type Family int

const (
	Gaussian    Family = iota // real numbers; ½(y − η)²
	Binomial                  // classes 0 and 1; log(1 + e^η) − yη
	Multinomial               // classes 0 to K−1, one η per class; log Σ e^{η_k} − η_y
	Poisson                   // counts; e^η − yη
)

// String names the family as the literature does.
func (f Family) String() string {
	return [...]string{"gaussian", "binomial", "multinomial", "poisson"}[f]
}

// Problem is what is fitted.
type Problem struct {
	X      *Matrix // [n, p]
	Y      []float64
	Family Family
	// Classes is the number K of classes of a [Multinomial] problem; otherwise it is
	// ignored.
	Classes int
	// Weights are relative weights of the examples, ≥ 0 with a positive sum; nil
	// means equal ones. An example of weight 0 takes no part.
	Weights []float64
	// Offset is added to η: [n], or [K, n] for a multinomial problem; nil means 0.
	Offset []float64
}

// Penalty is R without λ.
type Penalty struct {
	// Alpha is the share of the ℓ1 norm, in [0, 1]: 1 is the lasso, 0 ridge.
	Alpha float64
	// Factors are f, ≥ 0: 0 leaves a coefficient without a penalty; nil means 1.
	// Unlike in glmnet they are not rescaled.
	Factors []float64
	// Lower ≤ 0 and Upper ≥ 0 bound the coefficients of the columns as given; nil
	// means no bound, and single bounds may be infinite.
	Lower, Upper []float64
	// Groups gives every column its group, counted from 0. With it R is
	// Σ_g w_g (α‖θ_g‖₂ + (1−α)/2 ‖θ_g‖₂²), w_g = √|g|, times GroupFactors[g] if given:
	// a factor of 0 leaves a group without a penalty.
	Groups       []int
	GroupFactors []float64
}

// Options say how. The zero value fits an intercept-free model on columns as given;
// see [DefaultOptions].
type Options struct {
	Intercept   bool
	Standardize bool
	// Lambdas are the λ wanted, ≥ 0, in any order. If nil there are Count of them in
	// geometric progression from λ_max to MinRatio·λ_max; 0 means 100, and a ratio of
	// 1e-4, or 1e-2 if n ≤ p.
	Lambdas  []float64
	Count    int
	MinRatio float64
	// Gap is the largest duality gap allowed, relative to the objective; 0 means 1e-10.
	Gap float64
	// Pool runs the loops; nil means one thread.
	Pool *kernel.Pool
}

// DefaultOptions has an intercept and standardised columns.
func DefaultOptions() Options { return Options{Intercept: true, Standardize: true} }

const (
	defaultGap   = 1e-10
	defaultCount = 100
)

// Path is a fitted path.
type Path struct {
	Family    Family
	Features  int // p
	Responses int // K for a multinomial problem, else 1
	// LambdaMax is the least λ from which on all penalised coefficients are 0: the
	// boundary of the path. It is +Inf for ridge unless every coefficient is 0 already.
	LambdaMax float64
	Points    []Point // in descending λ
	// Center and Scale are what was taken off a column and what it was divided by.
	Center, Scale []float64
	// Constant are the columns without variation, counted from 0: standardised, they
	// can carry nothing and their coefficients are 0.
	Constant []int
	// Checks hold every point against all others.
	Checks compactify.Minimality
}

// Point is the model at one λ, with its certificate.
type Point struct {
	Lambda    float64
	Objective float64 // Loss + Lambda·Penalty
	Loss      float64 // mean, in nats but for Gaussian problems
	Penalty   float64 // R in the scale that is penalised
	// Gap bounds Objective minus its minimum, divided by the objective: objective at
	// this point less that of a feasible dual point, computed as a sum of terms ≥ 0.
	Gap float64
	// KKT is the largest distance of a component of the loss's gradient to what the
	// optimality conditions allow, in units of λ.
	KKT float64
	// Explained is the share of the null model's deviance that is gone.
	Explained float64
	Intercept []float64 // [Responses]
	// Index and Value are the coefficients that are not 0, of the columns as given;
	// index k·p + j is column j's for response k. Ascending.
	Index []int
	Value []float64
	// Converged says whether the gap asked for was reached; if not, Gap is what was.
	Converged bool
}

// Norms are ‖θ‖₁ and ‖θ‖₂ of the coefficients as given, without intercepts.
func (p *Point) Norms() (norm1, norm2 float64) { return norms(p.Value) }

// Support are the columns with a coefficient that is not 0, counted from 0,
// ascending, each once.
func (p *Point) Support(features int) []int {
	seen := make(map[int]bool, len(p.Index))
	for _, i := range p.Index {
		seen[i%features] = true
	}
	return sortedKeys(seen)
}

// Fit follows the path. Errors name what is wrong with the problem; a context that
// ends stops the work between two points.
func Fit(ctx context.Context, problem Problem, penalty Penalty, o Options) (*Path, error) {
	t, err := prepare(problem, penalty, o)
	if err != nil {
		return nil, err
	}
	return t.fit(ctx)
}
