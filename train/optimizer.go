package train

import (
	"fmt"
	"math"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// Optimizer is a rule by which gradients move parameters.
type Optimizer uint8

// The optimisers.
const (
	Adam     Optimizer = iota // D. Kingma and J. Ba, "Adam", ICLR 2015, algorithm 1
	SGD                       // with heavy-ball momentum
	Nesterov                  // SGD whose step looks ahead: I. Sutskever et al., ICML 2013, in the form θ ← θ − η(g + μv)
	LBFGS                     // a limited-memory quasi-Newton method on all examples at once; an epoch is an iteration
)

// Adam's constants, as its paper recommends them.
const (
	adamBeta1   = 0.9
	adamBeta2   = 0.999
	adamEpsilon = 1e-8
)

// Decay is how the rate falls over the run.
type Decay uint8

// The decays.
const (
	Constant Decay = iota
	Cosine         // η·(1+cos πs)/2 at share s of the run
)

func (d Decay) at(rate, share float64) float64 {
	if d == Cosine {
		return rate * (1 + math.Cos(math.Pi*share)) / 2
	}
	return rate
}

// weight is a parameter under training with the optimiser's memory of it.
type weight struct {
	param *graph.Param // of the model; its tensor is the trainer's own
	data  []float32
	m, v  []float32 // first and second moments, or the velocity
	unit  float64   // what the rate is multiplied by
	mask  *Mask

	moved []float32 // the weights between the step and its proximal part, where that changes the velocity
}

// collectWeights lists what trains, in the graph's order: what the loss depends
// on and is not frozen.
func (t *trainer) collectWeights(inLoss map[string]*graph.Param) []*weight {
	var list []*weight
	for _, p := range t.model.Weights() {
		if t.o.Frozen[p.Name] || p.Data.DType() != tensor.Float32 || inLoss[p.Name] == nil {
			continue
		}
		w := &weight{param: p, data: tensor.Data[float32](p.Data), unit: 1, mask: t.o.Masks[p.Name]}
		if t.o.Relative {
			w.unit = t.unitOf(p)
		}
		w.m = make([]float32, len(w.data))
		if t.o.Optimizer == Adam {
			w.v = make([]float32, len(w.data))
		}
		list = append(list, w)
	}
	return list
}

// The units of relative rates. A weight on a grid has to move by the order of
// the grid's step to change anything, whatever its width. The step itself moves
// every weight on it at once, so it goes more slowly (S. Esser et al., "Learned
// step size quantization", ICLR 2020, section 2.2, scale its gradient down for
// the same reason). Parameters without a grid move as if on one of four bits,
// whose step is about a third of the root mean square; a tensor of zeros, such as
// fresh biases, counts as one of small numbers.
const (
	stepUnit  = 0.2
	freeUnit  = 0.3
	leastUnit = 3e-3
)

// unitOf is the size against which changes of a parameter are small or large.
func (t *trainer) unitOf(p *graph.Param) float64 {
	for _, n := range t.model.Nodes {
		if n.Kind() != "compactify.FakeQuantize" {
			continue
		}
		step := t.model.Param(n.In[1])
		switch {
		case n.In[1] == p.Value:
			return stepUnit * rootMeanSquare(p.Data)
		case n.In[0] == p.Value && step != nil:
			return rootMeanSquare(step.Data)
		}
	}
	return max(leastUnit, freeUnit*rootMeanSquare(p.Data))
}

func rootMeanSquare(t tensor.Tensor) float64 {
	sum := 0.0
	for _, x := range tensor.Data[float32](t) {
		sum += float64(x) * float64(x)
	}
	return math.Sqrt(sum / float64(max(1, t.Len())))
}

// changes reports whether the run writes into the parameter.
func (t *trainer) changes(name string) bool {
	for _, w := range t.weights {
		if w.param.Name == name {
			return true
		}
	}
	for _, s := range t.running {
		if s.param.Name == name {
			return true
		}
	}
	return false
}

// update takes one step of the optimiser with the gradients just computed, the
// proximal step of the penalties, and puts the running statistics in place.
func (t *trainer) update() error {
	t.done++
	first := t.lossAt() + 1
	for i, w := range t.weights {
		g := tensor.Data[float32](t.out[first+i])
		rate := t.rate * w.unit
		switch t.o.Optimizer {
		case Adam:
			kernel.Adam(t.o.Pool, w.data, w.m, w.v, g, kernel.AdamStep{
				Rate: rate, Beta1: adamBeta1, Beta2: adamBeta2, Epsilon: adamEpsilon, Step: t.done})
		default:
			t.descend(w, g, rate)
		}
	}
	t.keepMoved()
	if err := t.proximal.step(t.rate); err != nil {
		return err
	}
	t.turnVelocities()
	for _, w := range t.weights {
		w.mask.apply(w.data)
	}
	if err := t.binary.clip(); err != nil {
		return err
	}
	for i, s := range t.running {
		copy(s.param.Data.Raw(), t.out[1+i].Raw())
	}
	return nil
}

// descend takes a step of gradient descent with momentum.
func (t *trainer) descend(w *weight, g []float32, rate float64) {
	mu := float32(t.o.Momentum)
	if t.o.Optimizer != Nesterov {
		kernel.SGDMomentum(t.o.Pool, w.data, w.m, g, kernel.MomentumStep[float32]{Rate: float32(rate), Momentum: mu})
		return
	}
	// θ ← θ − ημv and then − ηg.
	kernel.SGDMomentum(t.o.Pool, w.data, w.m, g, kernel.MomentumStep[float32]{Rate: float32(rate) * mu, Momentum: mu})
	kernel.Axpy(t.o.Pool, w.data, float32(-rate), g)
}

// keepMoved notes where the weights are before a proximal step that turns the
// velocities.
func (t *trainer) keepMoved() {
	if t.o.Optimizer == Adam || t.o.Momentum == 0 || t.proximal.none() {
		return
	}
	for _, w := range t.weights {
		w.moved = append(w.moved[:0], w.data...)
	}
}

// turnVelocities makes the proximal step a part of the velocity, which otherwise
// would go on adding up 1/(1−μ) gradients against one step of the penalty: the weights
// would come to rest where (1−μ)λ has its minimum. With δ what the proximal step took
// off, heavy-ball momentum becomes
//
//	θ_{k+1} = prox(θ_k − ηg + μ(θ_k − θ_{k−1})),   v ← v + δ/η
//
// and Nesterov's velocity, of which the step takes the share μ, v + δ/(ημ).
//
// Source: P. Ochs et al., "iPiano: inertial proximal algorithm for nonconvex
// optimization", SIAM J. Imaging Sci. 7 (2014), algorithm 1.
func (t *trainer) turnVelocities() {
	if t.o.Optimizer == Adam || t.o.Momentum == 0 || t.proximal.none() {
		return
	}
	for _, w := range t.weights {
		share := t.rate * w.unit
		if t.o.Optimizer == Nesterov {
			share *= t.o.Momentum
		}
		if share == 0 {
			continue // the proximal step took nothing off
		}
		kernel.Sub(t.o.Pool, w.moved, w.moved, w.data)
		kernel.Axpy(t.o.Pool, w.m, float32(1/share), w.moved)
	}
}

// followsBatches reports whether n is a batch normalisation in training mode.
func followsBatches(n *graph.Node) bool {
	return n.Kind() == "BatchNormalization" && n.Attrs.Int("training_mode", 0) != 0
}

// runningStatistic is a parameter of a batch normalisation that follows the
// batches' statistics.
type runningStatistic struct{ param *graph.Param }

// collectRunning makes batch normalisations in training mode give out their
// running statistics. A model whose normalisations are in inference mode keeps
// its statistics.
//
//	running ← momentum·running + (1 − momentum)·of the batch, variances divided by n
func (t *trainer) collectRunning(g *graph.Graph, b *graph.Builder) error {
	byName := make(map[string]*graph.Param)
	for _, p := range t.model.Params {
		byName[p.Name] = p
	}
	for _, n := range g.Nodes {
		if !followsBatches(n) {
			continue
		}
		n.Out = n.Out[:1:1]
		for _, in := range n.In[3:5] {
			p := byName[in.Name]
			if p == nil {
				return fmt.Errorf("%s: statistic %q: want a stored parameter", n, in.Name)
			}
			v := b.Value(in.Type)
			n.Out = append(n.Out, v)
			g.Outputs = append(g.Outputs, v)
			t.running = append(t.running, runningStatistic{p})
		}
	}
	return nil
}
