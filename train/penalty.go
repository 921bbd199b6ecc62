package train

import (
	"fmt"
	"math"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// PenaltyKind is a kind of penalty on the weights.
type PenaltyKind string

// The kinds of penalties. MaxNorm is the hard form of one: 0 inside a ball, +∞
// outside.
const (
	L2         PenaltyKind = "l2"      // λ‖θ‖²
	L1         PenaltyKind = "l1"      // λ‖θ‖₁
	ElasticNet PenaltyKind = "elastic" // λ(α‖θ‖₁ + (1−α)‖θ‖²)
	GroupLasso PenaltyKind = "group"   // λ Σ √|g|·‖θ_g‖₂
	MaxNorm    PenaltyKind = "maxnorm" // ‖θ_u‖₂ ≤ c for the incoming weights of every unit u
)

// PenaltyKinds lists them in the order in which their steps are taken.
var PenaltyKinds = []PenaltyKind{L1, GroupLasso, ElasticNet, L2, MaxNorm}

// Penalty is a term λR(θ) beside the mean loss, over all weights that train,
// biases included, or a constraint.
//
// A group of [GroupLasso] is what one output unit or channel of a layer adds up:
// its incoming weights and its bias, |g| of them. Weights that belong to no layer,
// such as the scales of a normalisation, are groups of one. [MaxNorm] holds for the
// incoming weights without the bias.
//
// Sources: A. Hoerl and R. Kennard, Technometrics 12 (1970); R. Tibshirani, J. R.
// Statist. Soc. B 58 (1996); H. Zou and T. Hastie, ibid. 67 (2005); M. Yuan and Y.
// Lin, ibid. 68 (2006), equation 2.1; N. Srebro and A. Shraibman, COLT 2005.
type Penalty struct {
	Kind   PenaltyKind
	Lambda Schedule // λ per epoch; of MaxNorm the radius c
	Alpha  float64  // of ElasticNet: the share of ‖θ‖₁, in (0, 1]; 0 counts as ½
}

func (p Penalty) alpha() float64 {
	if p.Alpha == 0 {
		return 0.5
	}
	return p.Alpha
}

func (p Penalty) check() error {
	switch p.Kind {
	case L2, L1, GroupLasso, MaxNorm:
	case ElasticNet:
		if a := p.alpha(); !(a > 0 && a <= 1) {
			return fmt.Errorf("penalty elastic: alpha: got %v, want a number in (0, 1]", a)
		}
	default:
		return fmt.Errorf("penalty %q: want l2, l1, elastic, group or maxnorm", p.Kind)
	}
	if err := p.Lambda.check(); err != nil {
		return fmt.Errorf("penalty %s: %w", p.Kind, err)
	}
	return nil
}

// strengths are the λ's of an epoch for each elementary proximal step.
type strengths struct {
	l1, group, l2 float64
	radius        float64 // of MaxNorm; +Inf for none
}

// strengthsAt adds up the penalties of an epoch. Penalties of one kind add; of
// several radii the least holds.
func strengthsAt(list []Penalty, epoch, epochs int) strengths {
	s := strengths{radius: math.Inf(1)}
	for _, p := range list {
		x := p.Lambda.At(epoch, epochs)
		switch p.Kind {
		case L1:
			s.l1 += x
		case L2:
			s.l2 += x
		case ElasticNet:
			s.l1 += x * p.alpha()
			s.l2 += x * (1 - p.alpha())
		case GroupLasso:
			s.group += x
		case MaxNorm:
			s.radius = min(s.radius, x)
		}
	}
	return s
}

// none reports whether there is nothing to do.
func (s strengths) none() bool {
	return s.l1 == 0 && s.group == 0 && s.l2 == 0 && math.IsInf(s.radius, 1)
}

// Value is the penalty's R(θ) for a model, λ left out: ‖θ‖², ‖θ‖₁, their mixture, or
// Σ √|g|·‖θ_g‖₂; for [MaxNorm] the largest norm of a unit's incoming weights. Running
// statistics of normalisations do not count.
func (p Penalty) Value(g *graph.Graph) float64 {
	params := g.Weights()
	groups := unitsOf(g, params)
	if p.Kind == MaxNorm {
		return largestUnit(params, groups)
	}
	one := strengthsAt([]Penalty{{Kind: p.Kind, Lambda: Always(1), Alpha: p.Alpha}}, 0, 1)
	return one.value(params, groups)
}

// ZeroGroups counts the groups of [GroupLasso] that belong to layers, and those of
// them of which every weight is zero: output units and channels that say nothing.
func ZeroGroups(g *graph.Graph) (zero, all int) {
	params := g.Weights()
	for i, u := range unitsOf(g, params) {
		if !u.layer {
			continue
		}
		w := floats(params[i])
		for k := range u.count {
			all++
			if u.squares(w, k)+u.biasSquare(params, k) == 0 {
				zero++
			}
		}
	}
	return zero, all
}

// value is the weighted sum of the penalties.
func (s strengths) value(params []*graph.Param, groups []units) float64 {
	sum := 0.0
	for i, p := range params {
		w := floats(p)
		if s.l1 != 0 {
			sum += s.l1 * norm1(w)
		}
		if s.l2 != 0 {
			sum += s.l2 * squares(w)
		}
		if s.group != 0 && !groups[i].member {
			u := groups[i]
			for k := range u.count {
				sum += s.group * math.Sqrt(float64(u.size())) * math.Sqrt(u.squares(w, k)+u.biasSquare(params, k))
			}
		}
	}
	return sum
}

func norm1(w []float32) float64 {
	sum := 0.0
	for _, x := range w {
		sum += math.Abs(float64(x))
	}
	return sum
}

// squares adds up in four sums, which do not wait for each other.
// squares is the sum of squares, by four sums of every fourth element: one would wait
// for each addition.
func squares(w []float32) float64 {
	var a, b, c, d float64
	for len(w) >= 4 {
		a += float64(w[0]) * float64(w[0])
		b += float64(w[1]) * float64(w[1])
		c += float64(w[2]) * float64(w[2])
		d += float64(w[3]) * float64(w[3])
		w = w[4:]
	}
	for _, x := range w {
		a += float64(x) * float64(x)
	}
	return (a + b) + (c + d)
}

// largestUnit is the largest norm of the incoming weights of a unit of a layer.
func largestUnit(params []*graph.Param, groups []units) float64 {
	largest := 0.0
	for i, p := range params {
		if u := groups[i]; u.layer {
			for k := range u.count {
				largest = max(largest, u.squares(floats(p), k))
			}
		}
	}
	return math.Sqrt(largest)
}

// floats are the elements of a float32 parameter, nil of any other.
func floats(p *graph.Param) []float32 {
	if p.Data.DType() != tensor.Float32 {
		return nil
	}
	return tensor.Data[float32](p.Data)
}

// units is how the elements of a parameter divide among output units: element
// (o, u, i) of [outer, count, inner] is one of unit u's incoming weights.
type units struct {
	outer, count, inner int
	layer               bool // the incoming weights of a layer; otherwise every element is a unit
	bias                int  // which parameter holds the units' biases; −1 for none
	member              bool // it is the bias of a layer, and counts there
}

// unitsOf divides parameters among the output units of their layers and finds the
// biases that belong to them.
func unitsOf(g *graph.Graph, params []*graph.Param) []units {
	index := make(map[*graph.Value]int, len(params))
	list := make([]units, len(params))
	for i, p := range params {
		index[p.Value] = i
		list[i] = units{outer: 1, count: len(floats(p)), inner: 1, bias: -1}
	}
	for _, l := range g.Layers() {
		i, ok := index[l.Param.Value]
		if !ok || floats(l.Param) == nil {
			continue
		}
		u := units{outer: 1, count: l.Channels(), inner: 1, layer: true, bias: -1}
		for axis, d := range l.Param.Data.Shape() {
			switch {
			case axis < l.Axis:
				u.outer *= d
			case axis > l.Axis:
				u.inner *= d
			}
		}
		if b, ok := index[biasOf(g, l)]; ok && list[b].count == u.count && !list[b].layer && !list[b].member {
			u.bias, list[b].member = b, true
		}
		list[i] = u
	}
	return list
}

// biasOf is the value that a layer's only node adds to each output channel, or that
// an addition right behind it does; nil if there is none.
func biasOf(g *graph.Graph, l graph.Layer) *graph.Value {
	if len(l.Nodes) != 1 || l.Nodes[0].Input(1) != l.Param.Value {
		return nil // the rows of a left operand are not what is added to
	}
	n := l.Nodes[0]
	switch n.Kind() {
	case "Conv", "ConvTranspose", "Gemm":
		if len(n.In) > 2 {
			return n.In[2]
		}
	case "MatMul":
		for _, next := range g.Nodes {
			if next.Kind() != "Add" {
				continue
			}
			switch n.Out[0] {
			case next.In[0]:
				return next.In[1]
			case next.In[1]:
				return next.In[0]
			}
		}
	}
	return nil
}

// size is |g|, the number of weights that come together in a unit.
func (u units) size() int {
	if u.bias >= 0 {
		return u.outer*u.inner + 1
	}
	return u.outer * u.inner
}

// squares is the sum of squares of the incoming weights of unit k.
func (u units) squares(w []float32, k int) float64 {
	sum := 0.0
	for o := range u.outer {
		sum += squares(w[(o*u.count+k)*u.inner:][:u.inner])
	}
	return sum
}

// biasSquare is the square of the bias of unit k.
func (u units) biasSquare(params []*graph.Param, k int) float64 {
	if u.bias < 0 {
		return 0
	}
	b := float64(floats(params[u.bias])[k])
	return b * b
}

// scale multiplies the incoming weights of unit k.
func (u units) scale(w []float32, k int, by float32) {
	for o := range u.outer {
		row := w[(o*u.count+k)*u.inner:][:u.inner]
		for i := range row {
			row[i] = positiveZero(row[i] * by)
		}
	}
}
