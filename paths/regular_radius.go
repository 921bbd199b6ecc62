package paths

import (
	"context"
	"math"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/train"
)

// MaxNorm is the path of a bound on the norm of every unit's incoming weights:
// ‖θ_u‖ ≤ c = (1−t)·c_max, with c_max the largest norm in the model given. Biases are
// free, so that at t=1, with the weights of all layers zero, the last bias stands at
// the best constant answer. Rungs stand at equal steps of t.
type MaxNorm struct {
	ladder
	largest float64 // c_max
}

// constantModel is the name of the boundary where only a constant answer is left.
const constantModel = "weights of all layers zero, the last bias at the best constant answer"

// NewMaxNorm makes the path.
func NewMaxNorm(g *graph.Graph, o Options) (*MaxNorm, error) {
	l, err := newLadder("maxnorm", g, o)
	if err != nil {
		return nil, err
	}
	p := &MaxNorm{ladder: *l, largest: radiusOf(l.base)}
	p.regime = p
	p.equalPlaces()
	return p, nil
}

func radiusOf(g *graph.Graph) float64 { return train.Penalty{Kind: train.MaxNorm}.Value(g) }

// Param is the radius c.
func (p *MaxNorm) Param(t float64) float64 { return p.param(t) }

func (p *MaxNorm) param(t float64) float64 { return (1 - t) * p.largest }

// Boundary is the model that answers the same to everything.
func (p *MaxNorm) Boundary() compactify.Boundary {
	return compactify.Boundary{Kind: compactify.Stratum, Name: constantModel}
}

// At returns the model at t: the one given at 0, the constant one at 1.
func (p *MaxNorm) At(ctx context.Context, t float64) (*graph.Graph, error) { return p.at(ctx, t) }

func (p *MaxNorm) options(t float64, o train.Options) train.Options {
	o.Penalties = []train.Penalty{{Kind: train.MaxNorm, Lambda: train.Always(p.param(t))}}
	return o
}

func (p *MaxNorm) penalty(_ []float64, g *graph.Graph) float64 { return radiusOf(g) }

// radiusRounding is how far the projection of float32 weights may miss the ball.
const radiusRounding = 1e-5

// objective is the loss inside the ball.
func (p *MaxNorm) objective(t float64, f *Stop) float64 {
	if f.Penalty > p.param(t)*(1+radiusRounding) {
		return math.Inf(1)
	}
	return f.Loss
}

func (p *MaxNorm) limit() []float64 { return p.constant() }

func (p *MaxNorm) shrunk(context.Context, float64, []float64) ([]float64, bool, error) {
	return nil, false, nil // the projection does it
}

func (p *MaxNorm) near(context.Context, float64) ([]float64, error) { return nil, nil }

// Minimisers are the claims of the places where the path has made a model so far, in
// the order of [MaxNorm.Stops], for [compactify.CheckNested]: Lambda is the radius and
// Penalty the largest norm. The model given claims nothing.
func (p *MaxNorm) Minimisers() []compactify.Minimiser {
	var list []compactify.Minimiser
	for _, f := range p.Stops() {
		list = append(list, compactify.Minimiser{Lambda: f.Param, Loss: f.Loss, Penalty: f.Penalty, Given: f.T == 0})
	}
	return list
}

// Dropout is the path of training under dropout: in every step each value that enters
// the network or a dense layer is dropped with probability t, and the others divided
// by p = 1−t, the probability of staying. The weights that are given out are to be used
// without dropout. As p → 0 the noise behind a weight grows without bound, so that at
// t=1 the weights are zero and the last bias stands at the best constant answer. Rungs
// stand at equal steps of t.
//
// For a linear model the expected squared loss is that of a weighted ridge with the
// weights (1−p)/p·diag(XᵀX). (THEORY row 11.)
type Dropout struct{ ladder }

// NewDropout makes the path.
func NewDropout(g *graph.Graph, o Options) (*Dropout, error) {
	l, err := newLadder("dropout", g, o)
	if err != nil {
		return nil, err
	}
	p := &Dropout{ladder: *l}
	p.regime = p
	p.equalPlaces()
	return p, nil
}

// Param is p, the probability of staying.
func (p *Dropout) Param(t float64) float64 { return p.param(t) }

func (p *Dropout) param(t float64) float64 { return 1 - t }

// Boundary is the model that answers the same to everything.
func (p *Dropout) Boundary() compactify.Boundary {
	return compactify.Boundary{Kind: compactify.ControlEnd, Name: constantModel}
}

// At returns the model at t: the one given at 0, the constant one at 1.
func (p *Dropout) At(ctx context.Context, t float64) (*graph.Graph, error) { return p.at(ctx, t) }

func (p *Dropout) options(t float64, o train.Options) train.Options {
	// Sixteen random bits decide, so that a probability nearer to 1 counts as 1.
	t = min(t, 1-0x1p-16)
	o.Dropout.Hidden = t
	if p.base.Inputs[0].Type.DType.IsFloat() {
		o.Dropout.Input = t
	}
	return o
}

func (p *Dropout) penalty([]float64, *graph.Graph) float64 { return math.NaN() }

// objective is unknown: the expectation over all masks.
func (p *Dropout) objective(float64, *Stop) float64 { return math.NaN() }

func (p *Dropout) limit() []float64 { return p.constant() }

func (p *Dropout) shrunk(context.Context, float64, []float64) ([]float64, bool, error) {
	return nil, false, nil
}

func (p *Dropout) near(context.Context, float64) ([]float64, error) { return nil, nil }
