package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/format/safetensors"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/calculus"
	"github.com/compactify/compactify/tensor"
)

// quasi trains by L-BFGS on the whole data set: an epoch is an iteration, which
// searches along a line and so takes one gradient or a few.
type quasi struct {
	o         Options
	f         *penalised
	valid     *Objective // nil without validation examples
	lambdas   []float64  // of the epochs
	minimiser *calculus.LBFGS
	settings  calculus.LBFGSOptions
	descent   *Descent // nil without a monitor
	epochs    []Epoch
	best      quasiBest
	from      []float64 // θ before the iteration
	slope     []float64 // ∇F there, for the monitor
}

// quasiBest is the best epoch so far of a run with validation examples.
type quasiBest struct {
	x     []float64
	loss  float64 // on those examples, or by metric its negative
	since int     // epochs
}

// runLBFGS is [Run] with [LBFGS]. Batches are but the pieces in which the whole is
// computed, and batch normalisations keep their statistics. When nothing lower is
// found and λ stays, training ends before its epochs are over.
func runLBFGS(ctx context.Context, g *graph.Graph, set *data.Set, o Options) (*graph.Graph, []Epoch, error) {
	fail := func(err error) (*graph.Graph, []Epoch, error) {
		return nil, nil, fmt.Errorf("train graph %q by L-BFGS: %w", g.Name, err)
	}
	q, err := newQuasi(g, set, o)
	if err != nil {
		return fail(err)
	}
	if err := q.start(ctx); err != nil {
		return fail(err)
	}
	err = q.run(ctx)
	if q.descent != nil {
		q.o.Monitor.Every, q.o.Monitor.Descent = 1, *q.descent
	}
	x := q.minimiser.State().X
	if q.o.Patience > 0 && q.best.x != nil {
		x = q.best.x
	}
	if err != nil {
		err = fmt.Errorf("train graph %q by L-BFGS: %w", g.Name, err)
	}
	return q.f.Model(x), q.epochs, err
}

func newQuasi(g *graph.Graph, set *data.Set, o Options) (*quasi, error) {
	err := refuseLBFGS(o)
	if err == nil {
		err = refuseLoss(o, set)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUntrainable, err)
	}
	o.Epochs = max(1, o.Epochs)
	q := &quasi{o: o, best: quasiBest{loss: math.Inf(1)}}
	if q.lambdas, err = smoothStrengths("L-BFGS", o.Penalties, o.Epochs); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUntrainable, err)
	}
	of := ObjectiveOptions{Pool: o.Pool, Batch: o.Batch, Output: o.Output}
	f, err := NewObjective(g, set, of)
	if err != nil {
		return nil, err
	}
	q.f = &penalised{f, q.lambdas[0]}
	q.from = make([]float64, f.dim)
	q.settings = calculus.LBFGSOptions{Noise: f.precision()}
	if o.Validation != nil {
		if q.valid, err = NewObjective(g, o.Validation, of); err != nil {
			return nil, fmt.Errorf("validation: %w", err)
		}
	}
	if o.Monitor != nil {
		q.descent = &Descent{Function: fullFunction, MaxKappa: math.NaN()}
		q.slope = make([]float64, f.dim)
	}
	return q, nil
}

// fullFunction is the function whose rises are counted where every step sees all
// examples.
const fullFunction = "objective"

// refuseLBFGS names what does not go with a method whose function has to be the same
// in every evaluation.
func refuseLBFGS(o Options) error {
	for _, c := range []struct {
		given bool
		says  string
	}{
		{!o.Dropout.none(), "dropout makes another function of every step"},
		{o.Vary > 0 || !o.Augment.IsZero(), "examples that vary make another function of every epoch"},
		{o.Smoothing != 0, "label smoothing is not part of its objective"},
		{o.Teacher != nil, "a teacher is not part of its objective"},
		{o.Binary.Mode != "", "binary weights make another function of every step"},
		{len(o.Masks) > 0 || o.Remask != nil, "masks hold weights that it moves"},
		{len(o.Frozen) > 0, "it moves all weights"},
		{o.Momentum != 0, "it has no momentum"},
		{o.Rate != 0 || !o.Rates.IsZero() || o.Decay != Constant || o.Relative, "it finds the length of its steps by a search"},
	} {
		if c.given {
			return fmt.Errorf("L-BFGS: %s", c.says)
		}
	}
	return nil
}

// refuseLoss refuses any other loss than that of an [Objective].
func refuseLoss(o Options, set *data.Set) error {
	loss, err := o.lossFor(set)
	if err != nil {
		return err
	}
	o.Loss = ""
	if own, err := o.lossFor(set); err != nil || loss != own {
		return errors.Join(err, fmt.Errorf("L-BFGS: loss %s: its objective on such examples is the %s", loss, own))
	}
	return nil
}

// start begins at the model's weights, or goes on where an earlier run ended.
func (q *quasi) start(ctx context.Context) (err error) {
	if q.o.From != nil {
		return q.resume(q.o.From)
	}
	q.minimiser, err = calculus.NewLBFGS(ctx, q.f, q.f.Point(), q.settings)
	if errors.Is(err, calculus.ErrNotFinite) {
		return fmt.Errorf("%w: %w", ErrDiverged, err)
	}
	return err
}

func (q *quasi) run(ctx context.Context) error {
	for e := len(q.epochs); e < q.o.Epochs; e++ {
		if q.o.Patience > 0 && q.valid != nil && q.best.since >= q.o.Patience {
			return nil
		}
		if q.settled() {
			return nil
		}
		record, moved, err := q.epoch(ctx, e)
		if err != nil {
			return err
		}
		if !moved && q.constant(e) {
			return nil
		}
		q.epochs = append(q.epochs, record)
		if q.o.Save != nil {
			if err := q.o.Save(q.state()); err != nil {
				return err
			}
		}
		if q.o.Step != nil {
			q.o.Step(float64(e+1) / float64(q.o.Epochs))
		}
		if q.o.Epoch != nil {
			q.o.Epoch(record)
		}
		if q.o.Look != nil {
			if err := q.o.Look(record, q.f.Model(q.minimiser.State().X)); err != nil {
				return err
			}
		}
	}
	return nil
}

// constant tells whether λ stays from an epoch on.
func (q *quasi) constant(from int) bool {
	return !slices.ContainsFunc(q.lambdas[from:], func(x float64) bool { return x != q.lambdas[from] })
}

// settledEpochs is how many epochs have to bring nothing for training to end.
const settledEpochs = 5

// settled tells whether λ stays and the last epochs lowered the objective by no more
// than its rounding.
func (q *quasi) settled() bool {
	from := len(q.epochs) - 1 - settledEpochs
	if from < 0 || !q.constant(from) {
		return false
	}
	value := func(e Epoch) float64 { return e.Loss + e.Penalty }
	was, is := value(q.epochs[from]), value(q.epochs[len(q.epochs)-1])
	return was-is <= q.f.precision()*math.Abs(was)
}

// epoch takes one iteration and tells whether it went anywhere.
func (q *quasi) epoch(ctx context.Context, e int) (Epoch, bool, error) {
	if err := q.penalise(q.lambdas[e]); err != nil {
		return Epoch{}, false, err
	}
	before := q.minimiser.State()
	copy(q.from, before.X)
	copy(q.slope, before.G) // nothing without a monitor
	step, err := q.minimiser.Step(ctx)
	if err != nil {
		return Epoch{}, false, err
	}
	x := q.minimiser.State().X
	squared := dot(x, x)
	record := Epoch{Norm: math.Sqrt(squared), Lambda: q.lambdas[e], Rate: step.Rate, Penalty: q.lambdas[e] * squared, Zeros: zerosIn(x), Turn: turn(q.from, x),
		ValidLoss: math.NaN(), ValidMetric: math.NaN()}
	if record.Loss, record.Metric, err = q.f.score(ctx, x); err != nil {
		return Epoch{}, false, err
	}
	if q.valid != nil {
		if record.ValidLoss, record.ValidMetric, err = q.valid.score(ctx, x); err != nil {
			return Epoch{}, false, err
		}
		loss := record.ValidLoss
		if q.o.ByMetric {
			loss = -record.ValidMetric
		}
		q.best.since++
		if loss < q.best.loss {
			q.best = quasiBest{slices.Clone(x), loss, 0}
		}
	}
	if q.descent != nil && !step.Stalled {
		q.watch(e, before.Loss, step)
	}
	return record, !step.Stalled, nil
}

// penalise changes λ. What the minimiser knows of F = L + λ‖θ‖² follows exactly.
func (q *quasi) penalise(lambda float64) (err error) {
	by := lambda - q.f.lambda
	if by == 0 {
		return nil
	}
	q.f.lambda = lambda
	s := q.minimiser.State()
	s.Loss += by * dot(s.X, s.X)
	add := func(to, from []float64) {
		for i, x := range from {
			to[i] += 2 * by * x
		}
	}
	add(s.G, s.X)
	for i := range s.S {
		add(s.Y[i], s.S[i])
	}
	q.minimiser, err = calculus.ResumeLBFGS(q.f, s, q.settings)
	return err
}

// watch measures an iteration as a [Sample], of the mean over all examples.
func (q *quasi) watch(e int, before float64, step calculus.LBFGSStep) {
	x, lambda := q.minimiser.State().X, q.lambdas[e]
	var gd, dd, gg, xx, yy float64
	for i, was := range q.from {
		d, g := x[i]-was, q.slope[i]-2*lambda*was
		gd += g * d
		dd += d * d
		gg += g * g
		xx += was * was
		yy += x[i] * x[i]
	}
	s := Sample{Step: e + 1, Epoch: e + 1, Rate: step.Rate, Lambda: lambda, Loss: before - lambda*xx, LossAfter: step.Loss - lambda*yy,
		Objective: before, ObjectiveAfter: step.Loss, Energy: before, EnergyAfter: step.Loss, Norm: math.Sqrt(yy), GradNorm: math.Sqrt(gg)}
	s.Kappa = 2 * (s.LossAfter - s.Loss - gd) / dd
	s.Edge = -2 * (gd + lambda*(yy-xx)) / dd
	if 2*riseTolerance*math.Abs(s.Loss)/dd > max(math.Abs(s.Edge), math.Abs(s.Kappa)) {
		s.Kappa = math.NaN() // the rounding of the losses alone
	}
	s.Rho = step.Rate * (before - step.Loss) / dd
	d := q.descent
	d.Steps++
	d.Measured++
	if !math.IsNaN(s.Kappa) && !(s.Kappa <= d.MaxKappa) {
		d.MaxKappa = s.Kappa
	}
	if s.Kappa > s.Edge {
		d.AtEdge++
	}
	if rise := step.Loss - before; rise > riseTolerance*math.Abs(before) {
		d.Increases++
		d.Total += rise
		d.Largest = max(d.Largest, rise)
	}
	d.add(s)
}

// quasiState is what L-BFGS goes on from, in a [State].
type quasiState struct {
	calculus.LBFGSState
	lambda float64
	best   quasiBest
}

func (q *quasi) state() *State {
	s := &State{Epochs: q.epochs, Steps: len(q.epochs), quasi: &quasiState{q.minimiser.State(), q.f.lambda, q.best}}
	if q.descent != nil {
		d := *q.descent
		s.Descent = &d
	}
	return s
}

// resume puts a state in place.
func (q *quasi) resume(s *State) (err error) {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("resume: %w: "+format, append([]any{ErrCheckpoint}, args...)...)
	}
	from := s.quasi
	if from == nil {
		return fail("it is not one of L-BFGS")
	}
	if len(s.Epochs) > q.o.Epochs || len(from.X) != q.f.dim {
		return fail("got %d weights after %d epochs, want %d after at most %d", len(from.X), len(s.Epochs), q.f.dim, q.o.Epochs)
	}
	if (s.Descent != nil) != (q.descent != nil) {
		return fail("monitor %v, want %v", s.Descent != nil, q.descent != nil)
	}
	if from.best.x != nil && len(from.best.x) != q.f.dim {
		return fail("the best of %d weights, want %d", len(from.best.x), q.f.dim)
	}
	q.f.lambda, q.epochs = from.lambda, slices.Clone(s.Epochs)
	q.best = quasiBest{slices.Clone(from.best.x), from.best.loss, from.best.since}
	if q.descent != nil {
		*q.descent = *s.Descent
		q.descent.Samples = slices.Clone(s.Descent.Samples)
	}
	if q.minimiser, err = calculus.ResumeLBFGS(q.f, copyOf(from.LBFGSState), q.settings); err != nil {
		return fail("%w", err)
	}
	return nil
}

// copyOf is a state that shares nothing.
func copyOf(s calculus.LBFGSState) calculus.LBFGSState {
	s.X, s.G, s.S, s.Y = slices.Clone(s.X), slices.Clone(s.G), slices.Clone(s.S), slices.Clone(s.Y)
	for i := range s.S {
		s.S[i], s.Y[i] = slices.Clone(s.S[i]), slices.Clone(s.Y[i])
	}
	return s
}

// The tensors of a quasiState in a checkpoint, all float64.
const (
	quasiPoint   = "lbfgs/point"   // θ and ∇F
	quasiSteps   = "lbfgs/steps"   // pairs of step and change of the gradient
	quasiBestAt  = "lbfgs/best"    // θ of the best epoch, if one was looked for
	quasiFigures = "lbfgs/figures" // F, λ, iterations, evaluations, the best loss, epochs since
)

// tensors writes the state; nil has none.
func (s *quasiState) tensors() []safetensors.Named {
	if s == nil {
		return nil
	}
	n := len(s.X)
	table := func(rows ...[]float64) tensor.Tensor { return tensor.Of(slices.Concat(rows...), len(rows), n) }
	pairs := slices.Concat(s.S, s.Y)
	list := []safetensors.Named{
		{Name: quasiPoint, Tensor: table(s.X, s.G)},
		{Name: quasiSteps, Tensor: table(pairs...)},
		{Name: quasiFigures, Tensor: tensor.Of([]float64{s.Loss, s.lambda, float64(s.Iterations), float64(s.Evaluations), s.best.loss, float64(s.best.since)}, 6)},
	}
	if s.best.x != nil {
		list = append(list, safetensors.Named{Name: quasiBestAt, Tensor: table(s.best.x)})
	}
	return list
}

// quasiOf reads what tensors wrote, nil if there is nothing of it.
func quasiOf(f *safetensors.File) (*quasiState, error) {
	if _, ok := f.Tensor(quasiPoint); !ok {
		return nil, nil
	}
	var err error
	n := -1
	rows := func(name string) [][]float64 {
		t, ok := f.Tensor(name)
		if !ok || t.DType() != tensor.Float64 || t.Rank() != 2 || t.Shape()[1] < 1 || n >= 0 && t.Shape()[1] != n {
			err = errors.Join(err, fmt.Errorf("tensor %q: got %v, want float64 of %d columns", name, t, n))
			return nil
		}
		n = t.Shape()[1]
		var list [][]float64
		for k, all := 0, t.Float64s(); k < t.Shape()[0]; k++ {
			list = append(list, all[k*n:(k+1)*n:(k+1)*n])
		}
		return list
	}
	s := &quasiState{}
	point, pairs := rows(quasiPoint), rows(quasiSteps)
	if _, ok := f.Tensor(quasiBestAt); ok {
		if best := rows(quasiBestAt); len(best) == 1 {
			s.best.x = best[0]
		}
	}
	figures, _ := f.Tensor(quasiFigures)
	if err != nil || len(point) != 2 || len(pairs)%2 != 0 || figures.DType() != tensor.Float64 || figures.Len() != 6 {
		return nil, errors.Join(err, fmt.Errorf("L-BFGS: got %d points, %d halves of pairs, figures %v, want 2, an even number, 6", len(point), len(pairs), figures))
	}
	x := figures.Float64s()
	s.X, s.G, s.S, s.Y = point[0], point[1], pairs[:len(pairs)/2], pairs[len(pairs)/2:]
	s.Loss, s.lambda, s.Iterations, s.Evaluations = x[0], x[1], int(x[2]), int(x[3])
	s.best.loss, s.best.since = x[4], int(x[5])
	return s, nil
}
