package paths

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
	"github.com/compactify/compactify/train"
)

// Regular are the settings of the paths of regularised training: l2, l1, elastic,
// group, maxnorm and dropout.
//
// Such a path trains the model at a few fixed places, its rungs, each from the weights
// of the rung before; in between from the rung below. So the model at t is a function
// of t alone, whatever was asked for before. The models of all rungs are kept.
type Regular struct {
	Set      *data.Set  // what the model is trained on; with labels; required
	Lambda   [2]float64 // λ of the first rung and of the last, of a path that has λ; 0 means 1e-8 and 1e2
	Rungs    int        // 0 means 15
	Alpha    float64    // elastic: the share of ‖θ‖₁, in (0, 1]; 0 counts as ½
	Epochs   int        // of training at each place; 0 means 2, more where these have fewer than 300 steps
	Batch    int        // examples per step; 0 means 128, or 16 if there are fewer than 1000 examples
	Rate     float64    // the largest η of gradient descent with momentum 0.9, falling to 0 in the course of each training; 0 means 0.1
	Momentum float64    // 0 means 0.9; negative none
	Seed     uint64
	Output   string             // of the model, that answers; "" means the first
	Step     func(done float64) // told what share of a training is done; may be nil
}

// The defaults of [Regular]. Two epochs make a path of twenty places cost about as
// much as four trainings of twelve.
const (
	firstLambda   = 1e-8
	lastLambda    = 1e2
	regularRungs  = 15
	regularEpochs = 2
	regularSteps  = 300
	regularRate   = 0.1
	regularSpeed  = 0.9
)

func (r Regular) withDefaults() Regular {
	if r.Lambda == [2]float64{} {
		r.Lambda = [2]float64{firstLambda, lastLambda}
	}
	if r.Rungs <= 0 {
		r.Rungs = regularRungs
	}
	n := r.Set.Len()
	if r.Batch <= 0 {
		if r.Batch = 128; n < 1000 {
			r.Batch = 16
		}
	}
	r.Batch = min(r.Batch, n)
	if r.Epochs <= 0 {
		steps := max(1, n/r.Batch)
		r.Epochs = max(regularEpochs, (regularSteps+steps-1)/steps)
	}
	if r.Rate == 0 {
		r.Rate = regularRate
	}
	switch {
	case r.Momentum == 0:
		r.Momentum = regularSpeed
	case r.Momentum < 0:
		r.Momentum = 0
	}
	return r
}

func (r Regular) check() error {
	if r.Set == nil || r.Set.Len() == 0 {
		return errors.New("no examples to train on")
	}
	if !r.Set.Labeled() {
		return fmt.Errorf("data set %q has no labels to train on", r.Set.Name())
	}
	if a, b := r.Lambda[0], r.Lambda[1]; r.Lambda != [2]float64{} && !(a > 0 && b > a && b < math.MaxFloat64) {
		return fmt.Errorf("lambda: got %v to %v, want finite numbers above 0, the second larger", a, b)
	}
	if !(r.Rate >= 0 && r.Rate < math.Inf(1)) {
		return fmt.Errorf("rate: got %v, want a finite number ≥ 0", r.Rate)
	}
	return nil
}

// Stop is what training came to at one place of a path.
type Stop struct {
	T          float64
	Param      float64 // λ, the radius c, or the probability of keeping
	Loss       float64 // L: mean over all training examples, penalty and dropout left out
	Penalty    float64 // R, λ left out; of maxnorm the largest norm of a unit's incoming weights; NaN of dropout
	Norm       float64 // ‖θ‖₂ of what is trained
	Weights    int     // that are trained
	Zeros      int     // of them that are exactly zero
	Groups     int     // units and channels of layers
	ZeroGroups int     // of them with nothing but zeros, bias included
	Kept       bool    // training did not make the objective smaller, and the weights it began with stayed
	Limit      bool    // the model at t=1 is better, and stands here

	rate  float64 // η that the next place begins with
	model *graph.Graph
}

// ladder is a path of models that are trained at rungs. What it trains for is the
// business of its regime.
type ladder struct {
	kind   string
	g      *graph.Graph // the model given
	base   *graph.Graph // the model that training works on: the same in its inference form
	o      Regular
	pool   *kernel.Pool
	f      *train.Objective
	probe  *train.Objective // the same over a few of the examples
	regime regime

	places  []float64 // t of the rungs, ascending, in (0, 1)
	begin   *Stop
	rungs   []*Stop          // made so far
	last    *Stop            // made last in between
	end     *Stop            // nil before it is asked for
	figures map[float64]Stop // the figures of all
}

// regime is what a path of regularised training wants of the model at t.
type regime interface {
	param(t float64) float64
	options(t float64, o train.Options) train.Options                                              // of the training there
	penalty(theta []float64, g *graph.Graph) float64                                               // Stop.Penalty
	objective(t float64, f *Stop) float64                                                          // that training is to make smaller; NaN if it has no such aim
	limit() []float64                                                                              // θ at t=1
	shrunk(ctx context.Context, t float64, theta []float64) (_ []float64, changed bool, err error) // weights to begin with instead
	near(ctx context.Context, t float64) ([]float64, error)                                        // θ that should be better than that for t near 1; nil for none
}

// newLadder checks model and settings and measures the model given.
func newLadder(kind string, g *graph.Graph, o Options) (*ladder, error) {
	fail := func(err error) (*ladder, error) { return nil, fmt.Errorf("path %s: %w", kind, err) }
	if _, err := layersOf(kind, g); err != nil {
		return nil, err
	}
	if err := o.Regular.check(); err != nil {
		return fail(err)
	}
	l := &ladder{kind: kind, g: g, base: train.Finish(g), o: o.Regular.withDefaults(), pool: o.Pool, figures: make(map[float64]Stop)}
	if l.pool == nil {
		l.pool = kernel.NewPool(1, kernel.Best())
	}
	var err error
	if l.f, err = train.NewObjective(l.base, l.o.Set, train.ObjectiveOptions{Pool: l.pool, Output: l.o.Output}); err != nil {
		return fail(err)
	}
	if l.probe, err = l.newProbe(); err != nil {
		return fail(err)
	}
	return l, nil
}

// equalPlaces are the t of rungs at equal steps.
func (l *ladder) equalPlaces() {
	for k := 1; k <= l.o.Rungs; k++ {
		l.places = append(l.places, float64(k)/float64(l.o.Rungs+1))
	}
}

// at is the model at t.
func (l *ladder) at(ctx context.Context, t float64) (*graph.Graph, error) {
	if err := checkT(l.kind, t); err != nil {
		return nil, err
	}
	f, err := l.fit(ctx, t)
	if err != nil {
		return nil, fmt.Errorf("path %s: %w", l.kind, err)
	}
	return f.model, nil
}

// fit is the place t, trained if it was not yet.
func (l *ladder) fit(ctx context.Context, t float64) (*Stop, error) {
	switch {
	case t == 0:
		return l.start(ctx)
	case t == 1:
		return l.finish(ctx)
	case l.last != nil && l.last.T == t:
		return l.last, nil
	}
	k, found := slices.BinarySearch(l.places, t)
	if found {
		k++
	}
	from, err := l.climb(ctx, k)
	if err != nil || found {
		return from, err
	}
	if l.last, err = l.train(ctx, t, from); err != nil {
		l.last = nil
		return nil, err
	}
	return l.last, nil
}

// climb is the k-th rung, counted from 1; 0 is the model given.
func (l *ladder) climb(ctx context.Context, k int) (*Stop, error) {
	from, err := l.start(ctx)
	if err != nil {
		return nil, err
	}
	if n := min(k, len(l.rungs)); n > 0 {
		from = l.rungs[n-1]
	}
	for len(l.rungs) < k {
		next, err := l.train(ctx, l.places[len(l.rungs)], from)
		if err != nil {
			return nil, err
		}
		l.rungs = append(l.rungs, next)
		from = next
	}
	return from, nil
}

func (l *ladder) start(ctx context.Context) (*Stop, error) {
	if l.begin == nil {
		f, err := l.measure(ctx, 0, l.f.Point(), l.g)
		if err != nil {
			return nil, err
		}
		if f.rate, err = l.firstRate(ctx); err != nil {
			return nil, err
		}
		l.begin = f
		l.note(f)
	}
	return l.begin, nil
}

func (l *ladder) finish(ctx context.Context) (*Stop, error) {
	if l.end == nil {
		theta := l.regime.limit()
		f, err := l.measure(ctx, 1, theta, l.f.Model(theta))
		if err != nil {
			return nil, err
		}
		l.end = f
		l.note(f)
	}
	return l.end, nil
}

// measure runs a model over the training examples.
func (l *ladder) measure(ctx context.Context, t float64, theta []float64, g *graph.Graph) (*Stop, error) {
	loss, err := l.f.Loss(ctx, theta)
	if err != nil {
		return nil, err
	}
	f := &Stop{T: t, Param: l.regime.param(t), Loss: loss, Weights: len(theta), rate: l.o.Rate, model: g}
	squares := 0.0
	for _, x := range theta {
		squares += x * x
		if x == 0 {
			f.Zeros++
		}
	}
	f.Norm, f.Penalty = math.Sqrt(squares), l.regime.penalty(theta, g)
	f.ZeroGroups, f.Groups = train.ZeroGroups(g)
	return f, nil
}

// note remembers the figures of a place, without its model.
func (l *ladder) note(f *Stop) {
	own := *f
	own.model = nil
	l.figures[f.T] = own
}

// A training that diverges is done again, at a quarter of the rate, this many times.
const trainAgain = 3

// train makes the place t from another. Where training does not make the objective
// smaller, the weights it began with stay, and the next one has a smaller rate; where
// the model at t=1 is better still, that takes the place.
func (l *ladder) train(ctx context.Context, t float64, from *Stop) (*Stop, error) {
	model := from.model
	if model == l.g {
		model = l.base
	}
	theta, changed, err := l.regime.shrunk(ctx, t, l.theta(model))
	if err != nil {
		return nil, err
	}
	if changed {
		model = l.f.Model(theta)
	}
	kept := *from
	kept.T, kept.Param, kept.Kept, kept.rate = t, l.regime.param(t), true, from.rate/2
	o := l.regime.options(t, train.Options{Optimizer: train.SGD, Momentum: l.o.Momentum, Rate: from.rate, Decay: train.Cosine,
		Epochs: l.o.Epochs, Batch: l.o.Batch, Seed: l.o.Seed, Pool: l.pool, Output: l.o.Output, Step: l.o.Step})
	trained, _, err := train.Run(ctx, model, l.o.Set, o)
	for range trainAgain {
		if !errors.Is(err, train.ErrDiverged) {
			break
		}
		o.Rate /= 4
		trained, _, err = train.Run(ctx, model, l.o.Set, o)
	}
	switch {
	case errors.Is(err, train.ErrDiverged):
		return l.orLimit(ctx, &kept)
	case err != nil:
		return nil, err
	}
	next, err := l.measure(ctx, t, l.theta(trained), trained)
	if err != nil {
		return nil, err
	}
	next.rate = min(l.o.Rate, 2*o.Rate)
	was, now := l.regime.objective(t, &kept), l.regime.objective(t, next)
	if now < was || math.IsNaN(was) && finite(next.Loss) {
		return l.orLimit(ctx, next)
	}
	return l.orLimit(ctx, &kept)
}

func finite(x float64) bool { return x-x == 0 }

// nearLimit is the relative difference of objectives from which on a place is compared
// with what is known of the models near t=1 as well.
const nearLimit = 0.01

// orLimit is the place, or the model at t=1 if its objective is no larger, or what is
// known to be near that if it is better than both.
func (l *ladder) orLimit(ctx context.Context, f *Stop) (*Stop, error) {
	end, err := l.finish(ctx)
	if err != nil {
		return nil, err
	}
	value := func(s *Stop) float64 { return l.regime.objective(f.T, s) }
	t, param, rate := f.T, f.Param, f.rate
	close := value(end)-value(f) <= nearLimit*value(end)
	if value(end) <= value(f) {
		limit := *end
		limit.T, limit.Param, limit.rate, limit.Limit = t, param, rate, true
		f = &limit
	}
	if close {
		theta, err := l.regime.near(ctx, t)
		if err != nil {
			return nil, err
		}
		if theta != nil {
			next, err := l.measure(ctx, t, theta, l.f.Model(theta))
			if err != nil {
				return nil, err
			}
			if next.rate = rate; value(next) < value(f) {
				f = next
			}
		}
	}
	l.note(f)
	return f, nil
}

// theta reads the trained weights of a model.
func (l *ladder) theta(g *graph.Graph) []float64 {
	byName := make(map[string]tensor.Tensor, len(g.Params))
	for _, p := range g.Params {
		byName[p.Name] = p.Data
	}
	var x []float64
	for _, b := range l.f.Blocks() {
		x = append(x, byName[b.Name].Float64s()...)
	}
	return x
}

// Stops are the places where the path has made a model so far, in ascending t.
func (l *ladder) Stops() []Stop {
	var list []Stop
	for _, f := range l.figures {
		list = append(list, f)
	}
	slices.SortFunc(list, func(a, b Stop) int { return cmp.Compare(a.T, b.T) })
	return list
}

// Settings are those of the path, with defaults in place.
func (l *ladder) Settings() Regular { return l.o }

// Objective is the mean loss over the training examples that the path measures by.
func (l *ladder) Objective() *train.Objective { return l.f }
