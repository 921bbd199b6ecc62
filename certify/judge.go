package certify

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/internal/stream"
	"github.com/compactify/compactify/tensor"
	"github.com/compactify/compactify/train"
)

// judge holds what several claims compute of a subject.
type judge struct {
	s *Subject
	o Options

	whole *train.Objective // L over all examples, in float32; nil if the model has no loss
	part  *train.Objective // L over a part of them, for curvature
	why   string           // the model has none

	theta []float64 // of the model
	start []float64 // θ₀, once it was asked for
	now   lambdas

	known map[string]float64 // losses that were computed, by name of the point
	grad  []float64          // ∇L over all examples at theta
	form  train.Form

	gradZero []float64 // at 0
	fixed    *train.FixedPoint

	curved map[string]curvature // by name of the point
}

// What one product with the Hessian may take, in multiplications of a forward pass:
// that of a fully connected network of 266,000 weights on 1000 examples. A few
// hundred products then take seconds.
const affordableProducts = 2.66e8

// affordable is on how many examples curvature is measured.
func affordable(g *graph.Graph) int {
	return int(min(max(affordableProducts/multiplications(g), 100), 10000))
}

// multiplications is about how many a forward pass of one example takes.
func multiplications(g *graph.Graph) float64 {
	n := 1.0
	for _, l := range g.Layers() {
		for _, node := range l.Nodes {
			n += float64(l.Param.Data.Len()) * positions(node)
		}
	}
	return n
}

// positions is how many outputs of an example each weight of a node has a part in.
func positions(n *graph.Node) float64 {
	product := 1.0
	if out := n.Out[0].Type; n.Kind() == "Conv" && out.Rank() > 2 {
		for _, d := range out.Shape[2:] {
			product *= float64(max(1, d.Size))
		}
	}
	return product
}

// convolves reports whether a model has convolutions, whose kernels are fast in
// float32 alone.
func convolves(g *graph.Graph) bool {
	return slices.ContainsFunc(g.Nodes, func(n *graph.Node) bool { return n.Kind() == "Conv" || n.Kind() == "ConvTranspose" })
}

func newJudge(s *Subject, o Options) (*judge, error) {
	if o.Pool == nil {
		o.Pool = kernel.NewPool(1, kernel.Best())
	}
	if o.Examples <= 0 {
		o.Examples = affordable(s.Model)
	}
	j := &judge{s: s, o: o, now: lambdasOf(s.Penalties), known: make(map[string]float64), curved: make(map[string]curvature)}
	if s.Set == nil {
		return nil, ErrNoData
	}
	options := train.ObjectiveOptions{Pool: o.Pool, Output: s.Output}
	var err error
	if j.whole, err = train.NewObjective(s.Model, s.Set, options); err != nil {
		j.why = err.Error()
		return j, nil
	}
	if j.whole.Dim() == 0 {
		j.whole, j.why = nil, "the model has no float32 weights that its answer depends on"
		return j, nil
	}
	if name := notFinite(s.Model); name != "" {
		j.whole, j.why = nil, fmt.Sprintf("parameter %q has values that are not finite", name)
		return j, nil
	}
	options.Double = !convolves(s.Model)
	if j.part, err = train.NewObjective(s.Model, sample(s.Set, o.Examples, o.Seed), options); err != nil {
		return nil, err
	}
	j.theta = j.whole.Point()
	j.form = j.whole.Form()
	return j, nil
}

// notFinite is a parameter with a NaN or an infinity, "" if there is none.
func notFinite(g *graph.Graph) string {
	for _, p := range g.Params {
		if t := p.Data.DType(); t != tensor.Float32 && t != tensor.Float64 {
			continue
		}
		if slices.ContainsFunc(p.Data.Float64s(), func(x float64) bool { return math.IsNaN(x) || math.IsInf(x, 0) }) {
			return p.Name
		}
	}
	return ""
}

// sample is at most n examples, drawn at random, of each class its share of them
// rounded down: where classes are equally frequent in the whole they are in the
// sample, and a gradient at 0 that is zero for that reason stays so.
func sample(set *data.Set, n int, seed uint64) *data.Set {
	if set.Len() <= n {
		return set
	}
	order := stream.New(seed, "certify/examples", 0).Perm(set.Len())
	if set.Classes() == 0 {
		return set.Subset(order[:n])
	}
	quota := make([]int, set.Classes())
	for i := range set.Len() {
		quota[set.Label(i)]++
	}
	for k, count := range quota {
		quota[k] = count * n / set.Len()
	}
	var chosen []int
	for _, i := range order {
		if k := set.Label(i); quota[k] > 0 {
			quota[k]--
			chosen = append(chosen, i)
		}
	}
	return set.Subset(chosen)
}

// begin starts a claim that needs a loss; ok is false, and the claim complete,
// if the model has none.
func (j *judge) begin(statement string) (c Claim, ok bool) {
	c = Claim{Statement: statement}
	if j.whole == nil {
		c.Verdict = compactify.NotApplicable
		c.suppose(false, "the model and the examples have a differentiable loss: %s", j.why)
		return c, false
	}
	return c, true
}

// loss is L over all examples at x. Equal names must stand for equal points.
func (j *judge) loss(ctx context.Context, name string, x []float64) (float64, error) {
	if l, ok := j.known[name]; ok {
		return l, nil
	}
	l, err := j.whole.Loss(ctx, x)
	if err == nil {
		j.known[name] = l
	}
	return l, err
}

// The points whose losses several claims need.
const (
	atModel   = "model"
	atZero    = "zero"
	atInitial = "initial"
)

// lossHere is L at the model.
func (j *judge) lossHere(ctx context.Context) (float64, error) { return j.loss(ctx, atModel, j.theta) }

// lossAtZero is L(0).
func (j *judge) lossAtZero(ctx context.Context) (float64, error) {
	return j.loss(ctx, atZero, make([]float64, len(j.theta)))
}

// initial is θ₀ as a vector, nil if the folder does not have it. Losses at it are with
// the running statistics of the model, as at every other point.
func (j *judge) initial() ([]float64, error) {
	if j.s.Initial == nil || j.start != nil {
		return j.start, nil
	}
	f, err := train.NewObjective(j.s.Initial, j.s.Set, train.ObjectiveOptions{Pool: j.o.Pool, Output: j.s.Output})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", j.s.Record.Files.Initial, err)
	}
	x, ok := pointIn(f, j.whole.Blocks())
	if !ok {
		return nil, fmt.Errorf("%s: its parameters are not those of %s", j.s.Record.Files.Initial, j.s.File)
	}
	j.start = x
	return x, nil
}

// initialLoss is the loss of the initial model with running statistics of its own.
func (j *judge) initialLoss(ctx context.Context) (float64, error) {
	if _, normalises := following(j.s.Initial); !normalises {
		return j.loss(ctx, atInitial, j.start)
	}
	f, err := train.NewObjective(j.s.Initial, j.s.Set, train.ObjectiveOptions{Pool: j.o.Pool, Output: j.s.Output})
	if err != nil {
		return 0, err
	}
	return f.Loss(ctx, f.Point())
}

// pointIn is θ of a function's model in the order of other blocks; ok is false if they
// are not of the same names and sizes. Files list sparse tensors apart from dense ones,
// so that the order of a model's parameters depends on their zeros.
func pointIn(f *train.Objective, blocks []train.Block) (_ []float64, ok bool) {
	own, from := f.Point(), make(map[string]train.Block)
	for _, b := range f.Blocks() {
		from[b.Name] = b
	}
	var x []float64
	for _, b := range blocks {
		at, found := from[b.Name]
		if !found || !slices.Equal(at.Shape, b.Shape) {
			return nil, false
		}
		x = append(x, own[at.At:at.At+at.Len]...)
	}
	return x, len(from) == len(blocks)
}

// gradient is ∇L over all examples at the model.
func (j *judge) gradient(ctx context.Context) ([]float64, error) {
	if j.grad != nil {
		return j.grad, nil
	}
	g := make([]float64, len(j.theta))
	l, err := j.whole.Gradient(ctx, j.theta, g)
	if err != nil {
		return nil, err
	}
	j.grad = g
	if _, ok := j.known[atModel]; !ok {
		j.known[atModel] = l
	}
	return g, nil
}

// penalty is Σ λR(θ) of the subject's penalties, those that are sums.
func (j *judge) penalty(x []float64) float64 {
	g := j.whole.Model(x)
	sum := 0.0
	for _, p := range j.s.Penalties {
		if p.Kind != train.MaxNorm {
			sum += p.Lambda.At(0, 1) * p.Value(g)
		}
	}
	return sum
}

// lowerBound is L̲: cross-entropies and squared errors are never below 0.
const lowerBound = 0

func norm(x []float64) float64 { return math.Sqrt(dot(x, x)) }

func dot(a, b []float64) float64 {
	sum := 0.0
	for i, x := range a {
		sum += x * b[i]
	}
	return sum
}

// along is x + s·d.
func along(x []float64, s float64, d []float64) []float64 {
	y := make([]float64, len(x))
	for i := range x {
		y[i] = x[i] + s*d[i]
	}
	return y
}

// minus is a − b.
func minus(a, b []float64) []float64 { return along(a, -1, b) }

// lossTolerance is the rounding of a mean loss that was computed in float32, as a
// share of 1 + |L|: two computations of it on different kernels or batches agree to
// this.
const lossTolerance = 1e-5

func agrees(a, b float64) bool { return math.Abs(a-b) <= lossTolerance*(1+math.Abs(b)) }
