package train

import (
	"context"
	"fmt"
	"math"

	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// Monitor watches a descent: at some of the steps it measures the loss of the same
// batch, under the same masks of dropout, before and after. [Run] fills in Descent.
type Monitor struct {
	Every   int // steps from one measured step to the next; 0 means 16
	Descent Descent
}

// defaultEvery makes watching cost a forward pass, a third of a step, in sixteen.
const defaultEvery = 16

// Descent is what a monitor saw.
type Descent struct {
	Steps     int // of the run
	Measured  int // of them
	Increases int // measured steps after which the function was larger
	Function  string

	Largest  float64 // the largest rise, 0 if there was none
	Total    float64 // of all rises
	MaxKappa float64 // largest κ of the measured steps; NaN if none was measured
	AtEdge   int     // measured steps with κ above the edge, where the objective rises

	Samples []Sample // in order of steps; of more than 4096 measured ones every second, fourth, ... is kept
	Rise    *Rise    // the largest rise, with all that it takes to see it again; nil if there was none, or no memory to keep it
}

// The functions whose rises are counted. The objective is F = L + λR of the batch.
// Under heavy-ball momentum that may rise in a sound descent; what may not is the total
// energy F + (μη/2)‖v‖² with the velocity v, ηv_k = −Δ_k = θ_{k−1} − θ_k at a constant
// rate: with M a bound of the curvature along the step,
//
//	F(θ_{k+1}) + (μη/2)‖v_{k+1}‖² ≤ F(θ_k) + (μη/2)‖v_k‖² − ((1−μ)/η − M/2)‖Δ_{k+1}‖²
//
// by the descent lemma, which a convex R enters through its subgradient at θ_{k+1}, and
// 2⟨v_k, v_{k+1}⟩ ≤ ‖v_k‖² + ‖v_{k+1}‖², so it falls for η ≤ 2(1−μ)/M. On mini-batches
// the velocity is that of other batches. Nesterov's momentum has such a function for
// quadratics alone and Adam none; their rises are those of the objective.
//
// Source: P. Ochs et al., "iPiano: inertial proximal algorithm for nonconvex
// optimization", SIAM J. Imaging Sci. 7 (2014), section 4.
const (
	objectiveFunction = "objective of the batch"
	energyFunction    = "total energy of the batch"
)

// Sample is one measured step θ_k → θ_{k+1}, d = θ_{k+1} − θ_k, with g the gradient of
// the batch's mean loss L at θ_k and λR the penalties:
//
//	κ    = 2(L(θ_{k+1}) − L(θ_k) − ⟨g, d⟩)/‖d‖², the mean curvature of L along the step
//	edge = −2(⟨g, d⟩ + λR(θ_{k+1}) − λR(θ_k))/‖d‖²; F rises if and only if κ > edge
//	ρ    = η(F(θ_k) − F(θ_{k+1}))/‖d‖²
//
// For gradient descent d = −ηg, the edge is 2/η and κ = 2(1−ρ)/η; with the proximal
// step of λ‖θ‖² the edge is 2/η + 2λ and κ = 2(1+ηλ−ρ)/η. Where the loss changes by no
// more than its rounding, κ is NaN.
type Sample struct {
	Step, Epoch     int // counted from 1
	Rate, Lambda    float64
	Loss, LossAfter float64 // L of the batch
	Objective       float64 // F before,
	ObjectiveAfter  float64 // and after
	Energy          float64 // what is counted: F, or the total energy before,
	EnergyAfter     float64 // and after
	Kappa           float64
	Edge            float64
	Rho             float64
	Norm            float64 // ‖θ_{k+1}‖
	GradNorm        float64 // ‖g‖
}

// watch is a monitor at work.
type watch struct {
	t       *trainer
	every   int
	epoch   int
	lambda  float64
	program *engine.Program // the loss alone

	sums                   []stepSums // of the chunks of the weight at hand,
	sumOf, sumWas, sumGrad []float32
	sumPart                func(worker, lo, hi int)
	out                    []tensor.Tensor
	descent                Descent

	first   snapshot // θ at the start of the epoch
	start   snapshot // θ_k of the last measured step, or of the epoch: all finite
	penalty float64  // λR there
	kinetic float64  // the energy there less the objective
	last    Sample
	rise    *Rise // the run's own, written over by larger ones
}

// snapshot is a copy of all weights and running statistics.
type snapshot struct {
	of      int // how many steps were done; −1 for nothing
	weights [][]float32
	running [][]byte
}

func newWatch(t *trainer) (*watch, error) {
	w := &watch{t: t, every: t.o.Monitor.Every, first: newSnapshot(t), start: newSnapshot(t)}
	if w.every <= 0 {
		w.every = defaultEvery
	}
	w.sumPart = w.sumRange
	w.descent = Descent{Function: objectiveFunction, MaxKappa: math.NaN()}
	if t.o.Momentum > 0 && t.o.Optimizer == SGD {
		w.descent.Function = energyFunction
	}
	g, o, err := t.forward()
	if err != nil {
		return nil, err
	}
	if w.program, err = engine.Compile(g, o); err != nil {
		return nil, fmt.Errorf("monitor: %w", err)
	}
	w.out = make([]tensor.Tensor, len(w.program.Outputs()))
	w.start.take(t)
	return w, nil
}

// estimateWatch is the memory of a run's watch, 0 without a monitor.
func (t *trainer) estimateWatch() (int, error) {
	if t.o.Monitor == nil {
		return 0, nil
	}
	g, o, err := t.forward()
	if err != nil {
		return 0, err
	}
	bytes, err := engine.Estimate(g, o)
	for _, w := range t.weights {
		bytes += 2 * 4 * len(w.data)
	}
	return bytes, err
}

func newSnapshot(t *trainer) snapshot {
	s := snapshot{of: -1}
	for _, w := range t.weights {
		s.weights = append(s.weights, make([]float32, len(w.data)))
	}
	for _, r := range t.running {
		s.running = append(s.running, make([]byte, len(r.param.Data.Raw())))
	}
	return s
}

func (s *snapshot) take(t *trainer) {
	s.of = t.done
	for i, w := range t.weights {
		copy(s.weights[i], w.data)
	}
	for i, r := range t.running {
		copy(s.running[i], r.param.Data.Raw())
	}
}

func (s *snapshot) put(t *trainer) {
	for i, w := range t.weights {
		copy(w.data, s.weights[i])
	}
	for i, r := range t.running {
		copy(r.param.Data.Raw(), s.running[i])
	}
}

// begin notes the epoch and that its start is finite.
func (w *watch) begin(epoch int) {
	w.epoch, w.lambda = epoch, w.t.lambda(epoch)
	w.start.take(w.t)
	w.first.take(w.t)
}

// turn is the angle between θ at the start of the epoch and θ now.
func (w *watch) turn() float64 {
	var xx, yy, xy float64
	for i, p := range w.t.weights {
		for j, x := range w.first.weights[i] {
			y := float64(p.data[j])
			xx += float64(x) * float64(x)
			xy += float64(x) * y
			yy += y * y
		}
	}
	return math.Acos(max(-1, min(1, xy/math.Sqrt(xx*yy))))
}

// measures reports whether step k, counted from 0, is measured: every so many, and
// the first few, in which most divergences begin.
func (w *watch) measures(k int) bool { return k%w.every == 0 || k < w.every && k&(k-1) == 0 }

// before notes where a step begins, if it is to be measured. Weights that are not finite
// any more, which a unit that is never active hides from the loss, are a divergence.
func (w *watch) before() error {
	t := w.t
	if !w.measures(t.done) {
		return nil
	}
	norm := 0.0
	for _, p := range t.weights {
		norm += squares(p.data)
	}
	if math.IsNaN(norm) || math.IsInf(norm, 0) {
		return t.diverged(w.epoch, t.done%(t.steps/t.o.Epochs), math.Sqrt(norm))
	}
	w.start.take(t)
	w.penalty, w.kinetic = t.penalty(), w.kineticEnergy()
	return nil
}

// kineticEnergy is (μη/2)‖v‖² where that is counted, 0 elsewhere. The velocity of
// weights that masks hold does not move anything.
func (w *watch) kineticEnergy() float64 {
	if w.descent.Function != energyFunction {
		return 0
	}
	sum := 0.0
	for _, p := range w.t.weights {
		vv := squares(p.m)
		if p.mask != nil {
			for i, keep := range p.mask.Keep {
				if !keep {
					vv -= float64(p.m[i]) * float64(p.m[i])
				}
			}
		}
		sum += p.unit * vv
	}
	return w.t.o.Momentum * w.t.rate / 2 * sum
}

// penalty is λR at the weights as they are.
func (t *trainer) penalty() float64 { return t.proximal.value(t.proximal.params, t.proximal.groups) }

// after measures the step just taken, if it is one to measure.
func (w *watch) after(ctx context.Context, loss float64) error {
	w.descent.Steps++
	if !w.measures(w.t.done - 1) {
		return nil
	}
	if err := w.program.Run(ctx, w.t.in, w.out); err != nil {
		return fmt.Errorf("monitor: %w", err)
	}
	s := w.sample(loss, w.out[len(w.out)-1].At(0))
	w.last = s
	d := &w.descent
	d.Measured++
	if !math.IsNaN(s.Kappa) && !(s.Kappa <= d.MaxKappa) {
		d.MaxKappa = s.Kappa
	}
	if s.Kappa > s.Edge {
		d.AtEdge++
	}
	if rise := s.EnergyAfter - s.Energy; rise > riseTolerance*math.Abs(s.Energy)+leastLoss {
		d.Increases++
		d.Total += rise
		if rise > d.Largest {
			d.Largest = rise
			d.Rise = w.witness(s)
		}
	}
	d.add(s)
	return nil
}

// riseTolerance is the rounding of a mean loss in float32, as a share of it.
const riseTolerance = 1e-6

// leastLoss is the least normal float32, below which a loss has fewer digits.
const leastLoss = 0x1p-126

// sample computes the figures of a step.
func (w *watch) sample(loss, lossAfter float64) Sample {
	t := w.t
	sums := w.sumUp()
	gd, dd, gg, nn := sums.gd, sums.dd, sums.gg, sums.nn
	penaltyAfter := t.penalty()
	s := Sample{Step: t.done, Epoch: w.epoch + 1, Rate: t.rate, Lambda: w.lambda, Loss: loss, LossAfter: lossAfter,
		Objective: loss + w.penalty, ObjectiveAfter: lossAfter + penaltyAfter, Norm: math.Sqrt(nn), GradNorm: math.Sqrt(gg)}
	s.Kappa = 2 * (lossAfter - loss - gd) / dd
	s.Edge = -2 * (gd + penaltyAfter - w.penalty) / dd
	if 2*riseTolerance*math.Abs(loss)/dd > max(math.Abs(s.Edge), math.Abs(s.Kappa)) {
		s.Kappa = math.NaN()
	}
	s.Rho = t.rate * (s.Objective - s.ObjectiveAfter) / dd
	s.Energy, s.EnergyAfter = s.Objective+w.kinetic, s.ObjectiveAfter+w.kineticEnergy()
	return s
}

// stepSums are ⟨g, d⟩, ‖d‖², ‖g‖² and ‖θ‖² of a step, or of a part of the weights.
type stepSums struct{ gd, dd, gg, nn float64 }

// sumChunk is how many weights are summed up at once; the sums of chunks are added in
// their order, so that threads do not matter.
const sumChunk = 1 << 13

// sumUp sums a step up over all weights.
func (w *watch) sumUp() stepSums {
	var all stepSums
	first := w.t.lossAt() + 1
	for i, p := range w.t.weights {
		w.sumOf, w.sumWas, w.sumGrad = p.data, w.start.weights[i], tensor.Data[float32](w.t.out[first+i])
		chunks := (len(p.data) + sumChunk - 1) / sumChunk
		for len(w.sums) < chunks {
			w.sums = append(w.sums, stepSums{})
		}
		if w.t.o.Pool.For(chunks, 4, w.sumPart) != nil {
			return stepSums{math.NaN(), math.NaN(), math.NaN(), math.NaN()}
		}
		for _, s := range w.sums[:chunks] {
			all.gd, all.dd, all.gg, all.nn = all.gd+s.gd, all.dd+s.dd, all.gg+s.gg, all.nn+s.nn
		}
	}
	return all
}

// sumRange sums up chunks lo to hi of the weight at hand.
func (w *watch) sumRange(_, lo, hi int) {
	for k := lo; k < hi; k++ {
		from, to := k*sumChunk, min((k+1)*sumChunk, len(w.sumOf))
		now := w.sumOf[from:to]
		was, grad := w.sumWas[from:to][:len(now)], w.sumGrad[from:to][:len(now)]
		// Scalars, and two of each: the compiler keeps them in registers, and none waits
		// for the last addition.
		var gd0, gd1, dd0, dd1, gg0, gg1, nn0, nn1 float64
		j := 0
		for ; j+1 < len(now); j += 2 {
			x0, x1 := float64(now[j]), float64(now[j+1])
			g0, g1 := float64(grad[j]), float64(grad[j+1])
			d0, d1 := x0-float64(was[j]), x1-float64(was[j+1])
			gd0, gd1 = gd0+g0*d0, gd1+g1*d1
			dd0, dd1 = dd0+d0*d0, dd1+d1*d1
			gg0, gg1 = gg0+g0*g0, gg1+g1*g1
			nn0, nn1 = nn0+x0*x0, nn1+x1*x1
		}
		for ; j < len(now); j++ {
			x, g := float64(now[j]), float64(grad[j])
			d := x - float64(was[j])
			gd0, dd0, gg0, nn0 = gd0+g*d, dd0+d*d, gg0+g*g, nn0+x*x
		}
		w.sums[k] = stepSums{gd0 + gd1, dd0 + dd1, gg0 + gg1, nn0 + nn1}
	}
}

// maxSamples bounds what is kept of a long run.
const maxSamples = 4096

// add keeps the sample just measured, if it is one of every stride: the least power of
// two that leaves no more than maxSamples.
func (d *Descent) add(s Sample) {
	stride := 1
	for (d.Measured+stride-1)/stride > maxSamples {
		stride *= 2
	}
	if (d.Measured-1)%stride != 0 {
		return
	}
	if len(d.Samples) == maxSamples { // the stride has just doubled
		for i := range maxSamples / 2 {
			d.Samples[i] = d.Samples[2*i]
		}
		d.Samples = d.Samples[:maxSamples/2]
	}
	d.Samples = append(d.Samples, s)
}

// restore puts the weights back that were last seen to have a finite loss.
func (w *watch) restore() { w.start.put(w.t) }

func (w *watch) monitor() Monitor { return Monitor{Every: w.every, Descent: w.descent} }

// DivergedError says where training left the finite numbers, and what was last
// measured of a step before. It wraps [ErrDiverged].
type DivergedError struct {
	Epoch, Step int     // of the epoch; both counted from 1
	Value       float64 // the loss, or the norm of the weights
	Rate        float64
	Lambda      float64
	Measured    int     // the last measured step of the run; 0 if none was
	Kappa, Edge float64 // its curvature, and that from which on the objective rises
}

func (e *DivergedError) Error() string {
	s := fmt.Sprintf("epoch %d, step %d: got the loss or norm %v at rate η = %.4g, λ = %.4g", e.Epoch, e.Step, e.Value, e.Rate, e.Lambda)
	if e.Measured > 0 {
		s += fmt.Sprintf(", κ = %.4g in step %d where up to %.4g the objective falls", e.Kappa, e.Measured, e.Edge)
	}
	return s + ": " + ErrDiverged.Error()
}

// Unwrap is [ErrDiverged].
func (e *DivergedError) Unwrap() error { return ErrDiverged }

func (t *trainer) diverged(epoch, step int, value float64) error {
	e := &DivergedError{Epoch: epoch + 1, Step: step + 1, Value: value, Rate: t.rate, Lambda: t.lambda(epoch)}
	if t.watch != nil && t.watch.last.Step > 0 {
		e.Measured, e.Kappa, e.Edge = t.watch.last.Step, t.watch.last.Kappa, t.watch.last.Edge
	}
	return e
}

// forward is the loss graph alone, to be run on the inputs of the gradients.
func (t *trainer) forward() (*graph.Graph, engine.Options, error) {
	o := engine.Options{Pool: t.o.Pool, Dims: t.dims}
	g, _ := t.lossOnly.Clone()
	g.Outputs = g.Outputs[len(g.Outputs)-1:]
	g.RemoveDead()
	for _, p := range g.Params {
		if t.changes(p.Name) {
			o.Mutable = append(o.Mutable, p)
		}
	}
	return g, o, nil
}
