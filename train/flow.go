package train

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/calculus"
	"github.com/compactify/compactify/internal/jsonnum"
	"github.com/compactify/compactify/internal/kernel"
)

// FlowOptions says how to follow a gradient flow. The zero value follows it for a
// time of 1.
type FlowOptions struct {
	Time      float64   // how long the flow runs; 0 means 1. Gradient descent with rate η covers a time of η per step
	Epochs    int       // into how many equal parts the time is divided: λ is constant in each, and each is recorded; 0 means 20
	Tolerance float64   // of a step and of the balance, see [calculus.FlowOptions]; 0 means 1e-4, in float64 arithmetic of a model without kinks 1e-6
	Gradient  float64   // the flow ends when ‖∇L_λ‖ is at most this; 0 means never
	Budget    int       // of gradients and Hessian products; 0 means 20,000
	Penalties []Penalty // L2 alone, which has a gradient everywhere

	// Method is the integrator: "" chooses and changes on the way, see
	// [calculus.FlowMethod].
	Method calculus.FlowMethod

	Double bool         // arithmetic in float64
	Batch  int          // examples computed at once; 0 means 256
	Pool   *kernel.Pool // nil means one thread
	Output string       // the output that holds the answer; "" means the first

	// Validation, if set, is judged after every epoch.
	Validation *data.Set

	// Step, if set, is called after every step with the share of the time covered.
	Step func(done float64)
	// Epoch, if set, is called after every part.
	Epoch func(Epoch)
}

// FlowRecord is what a flow says of itself.
type FlowRecord struct {
	Time      jsonnum.Float    `json:"time"`    // asked for
	Reached   jsonnum.Float    `json:"reached"` // where it ended
	End       calculus.FlowEnd `json:"end"`     // why
	Tolerance jsonnum.Float    `json:"tolerance"`
	Double    bool             `json:"double"` // arithmetic in float64

	// Kinks names an operator of the model whose derivative jumps, such as Relu; "" if
	// there is none. With one the loss is not C¹ as the balance wants it: where the flow
	// slides along a kink, ∇L_λ taken now from one side and now from the other, the loss
	// falls by less than ∫‖∇L_λ‖². Then the residual says by how much, and steps are held
	// to it but loosely.
	Kinks string `json:"kinks"`

	// Balance is L_λ(0) − L_λ(T) + Σ Δλ‖θ‖² − ∫‖∇L_λ‖², which is 0 for the exact flow:
	// the penalised loss falls by what is dissipated and rises by what changes of λ
	// add. Relative is its size as a share of what was dissipated.
	Balance    jsonnum.Float `json:"balance_residual"`
	Relative   jsonnum.Float `json:"relative_residual"`
	Dissipated jsonnum.Float `json:"dissipated"`    // ∫‖∇L_λ‖²
	Schedule   jsonnum.Float `json:"schedule_term"` // Σ Δλ‖θ‖²
	Length     jsonnum.Float `json:"length"`        // of the path, ∫‖∇L_λ‖

	Steps     int           `json:"steps"`    // accepted
	Implicit  int           `json:"implicit"` // of them with the implicit method
	Rejected  int           `json:"rejected"`
	Switches  int           `json:"switches"` // between the methods
	Rises     int           `json:"rises"`    // steps after which L_λ was higher
	MaxRise   jsonnum.Float `json:"max_rise"`
	Gradients int           `json:"gradients"`
	Products  int           `json:"products"` // with the Hessian

	Points []FlowPoint `json:"points"` // the start, the ends of the epochs, and where else it ended
}

// FlowPoint is one time of a flow.
type FlowPoint struct {
	Time       jsonnum.Float `json:"time"`
	Lambda     jsonnum.Float `json:"lambda"` // of the part that ends here
	Objective  jsonnum.Float `json:"objective"`
	Gradient   jsonnum.Float `json:"gradient"` // ‖∇L_λ‖
	Norm       jsonnum.Float `json:"norm"`
	Length     jsonnum.Float `json:"length"`
	Dissipated jsonnum.Float `json:"dissipated"`
}

// flowing is a flow at work.
type flowing struct {
	o       FlowOptions
	f       *penalised
	valid   *Objective
	lambdas []float64
	x       []float64
	last    []float64 // where the epoch began
	record  FlowRecord
	epochs  []Epoch
}

// Flow follows the gradient flow θ' = −∇(L + λ‖θ‖²) of the mean loss over all
// examples from the model's weights, and returns where it ends, rounded to float32,
// with a record of every part of the time and of the flow itself. Batch
// normalisations keep their statistics.
//
// When ctx ends, the model as far as it got is returned with the error. The error
// wraps [ErrUntrainable] if the model has no gradient or a penalty has none
// somewhere, and [ErrDiverged] if the loss is not finite at the start.
func Flow(ctx context.Context, g *graph.Graph, set *data.Set, o FlowOptions) (*graph.Graph, []Epoch, *FlowRecord, error) {
	w, err := newFlowing(g, set, o)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("gradient flow of graph %q: %w", g.Name, err)
	}
	if err = w.run(ctx); err != nil {
		err = fmt.Errorf("gradient flow of graph %q: %w", g.Name, err)
	}
	return w.f.Model(w.x), w.epochs, w.finish(), err
}

func newFlowing(g *graph.Graph, set *data.Set, o FlowOptions) (*flowing, error) {
	if !(o.Time >= 0) || math.IsInf(o.Time, 0) || o.Epochs < 0 {
		return nil, fmt.Errorf("time %v in %d parts: want a finite time and no negative number", o.Time, o.Epochs)
	}
	if o.Time == 0 {
		o.Time = 1
	}
	if o.Epochs == 0 {
		o.Epochs = 20
	}
	if o.Budget == 0 {
		o.Budget = 20_000
	}
	w := &flowing{}
	var err error
	if w.lambdas, err = smoothStrengths("gradient flow", o.Penalties, o.Epochs); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUntrainable, err)
	}
	of := ObjectiveOptions{Pool: o.Pool, Batch: o.Batch, Output: o.Output, Double: o.Double}
	f, err := NewObjective(g, set, of)
	if err != nil {
		return nil, err
	}
	if o.Validation != nil {
		if w.valid, err = NewObjective(g, o.Validation, of); err != nil {
			return nil, fmt.Errorf("validation: %w", err)
		}
	}
	kinks := kinkOf(f.loss)
	if o.Tolerance == 0 {
		if o.Tolerance = 1e-4; o.Double && kinks == "" {
			o.Tolerance = 1e-6
		}
	}
	w.o = o
	w.f, w.x, w.last = &penalised{f, w.lambdas[0]}, f.Point(), f.Point()
	w.record = FlowRecord{Time: jsonnum.Float(o.Time), Tolerance: jsonnum.Float(o.Tolerance), Double: o.Double, Kinks: kinks, Points: []FlowPoint{}}
	return w, nil
}

// kinkOf names the first operator of a graph whose derivative jumps where its inputs
// are numbers; "" if there is none.
func kinkOf(g *graph.Graph) string {
	for _, n := range g.Nodes {
		switch n.Kind() {
		case "Relu", "LeakyRelu", "PRelu", "ThresholdedRelu", "Selu", "HardSigmoid", "HardSwish", "Shrink", "Abs", "Clip", "Max", "Min",
			"MaxPool", "GlobalMaxPool", "ReduceMax", "ReduceMin", "ReduceL1", "Where", "TopK":
			return n.Kind()
		}
	}
	return ""
}

// run follows the flow from one change of λ to the next.
func (w *flowing) run(ctx context.Context) error {
	for e := 0; e < w.o.Epochs; {
		to := e + 1
		for to < w.o.Epochs && w.lambdas[to] == w.lambdas[e] {
			to++
		}
		if e > 0 {
			by := (w.lambdas[e] - w.lambdas[e-1]) * dot(w.x, w.x)
			w.record.Schedule += jsonnum.Float(by)
		}
		w.f.lambda = w.lambdas[e]
		if err := w.stretch(ctx, e, to); err != nil {
			return err
		}
		if w.record.End != calculus.FlowTime {
			// An equilibrium of one λ is none of the next, any other end is one of all.
			if w.record.End != calculus.FlowCritical {
				return nil
			}
			if err := w.rest(ctx, to); err != nil {
				return err
			}
		}
		e = to
	}
	return nil
}

// at is the time at which an epoch begins.
func (w *flowing) at(epoch int) float64 { return w.o.Time * float64(epoch) / float64(w.o.Epochs) }

// stretch follows the flow through the epochs [from, to) of one λ.
func (w *flowing) stretch(ctx context.Context, from, to int) error {
	begin, spent := w.at(from), w.record.Gradients+w.record.Products
	if spent >= w.o.Budget {
		w.record.End = calculus.FlowBudget
		return nil
	}
	o := calculus.FlowOptions{Time: w.at(to) - begin, Tolerance: w.o.Tolerance, Noise: w.f.precision(), Kinks: w.record.Kinks != "", Gradient: w.o.Gradient,
		Evaluations: w.o.Budget - spent, Method: w.o.Method}
	for e := from + 1; e < to; e++ {
		o.Report = append(o.Report, w.at(e)-begin)
	}
	ends := append(o.Report, o.Time)
	before := w.record
	o.Step = func(p calculus.FlowPoint, x []float64) error {
		if w.o.Step != nil {
			w.o.Step((begin + p.Time) / w.o.Time)
		}
		if p.Time != ends[0] {
			return nil
		}
		ends = ends[1:]
		w.add(before, begin, p)
		return w.keep(ctx, x)
	}
	r, err := calculus.Flow(ctx, w.f, w.x, o)
	if r == nil {
		if errors.Is(err, calculus.ErrNotFinite) {
			err = fmt.Errorf("%w: %w", ErrDiverged, err)
		}
		return err
	}
	w.take(before, begin, r)
	return err
}

// take adds a stretch to the record.
func (w *flowing) take(before FlowRecord, begin float64, r *calculus.FlowResult) {
	first, last := r.Points[0], r.Points[len(r.Points)-1]
	if len(before.Points) == 0 {
		w.record.Points = append([]FlowPoint{w.point(before, 0, first)}, w.record.Points...)
	}
	if r.End != calculus.FlowTime {
		w.add(before, begin, last)
	}
	c := &w.record
	c.End, c.Reached = r.End, jsonnum.Float(begin+last.Time)
	c.Balance = before.Balance + jsonnum.Float(r.Balance)
	c.Dissipated = before.Dissipated + jsonnum.Float(last.Dissipated)
	c.Length = before.Length + jsonnum.Float(last.Length)
	c.MaxRise = max(c.MaxRise, jsonnum.Float(r.MaxRise))
	c.Steps += r.Steps
	c.Implicit += r.Implicit
	c.Rejected += r.Rejected
	c.Switches += r.Switches
	c.Rises += r.Rises
	c.Gradients += r.Gradients
	c.Products += r.Products
	w.x = r.X
}

// point translates one of calculus, of a stretch that begins at a time.
func (w *flowing) point(before FlowRecord, begin float64, p calculus.FlowPoint) FlowPoint {
	f := func(x float64) jsonnum.Float { return jsonnum.Float(x) }
	return FlowPoint{Time: f(begin + p.Time), Lambda: f(w.f.lambda), Objective: f(p.Loss), Gradient: f(p.Gradient), Norm: f(p.Norm),
		Length: before.Length + f(p.Length), Dissipated: before.Dissipated + f(p.Dissipated)}
}

func (w *flowing) add(before FlowRecord, begin float64, p calculus.FlowPoint) {
	w.record.Points = append(w.record.Points, w.point(before, begin, p))
}

// keep records the epoch that ends at x.
func (w *flowing) keep(ctx context.Context, x []float64) (err error) {
	squared := dot(x, x)
	e := Epoch{Norm: math.Sqrt(squared), Lambda: w.f.lambda, Penalty: w.f.lambda * squared, Zeros: zerosIn(x), Turn: turn(w.last, x), Rate: w.o.Time / float64(w.o.Epochs),
		ValidLoss: math.NaN(), ValidMetric: math.NaN()}
	if e.Loss, e.Metric, err = w.f.score(ctx, x); err != nil {
		return err
	}
	if w.valid != nil {
		if e.ValidLoss, e.ValidMetric, err = w.valid.score(ctx, x); err != nil {
			return err
		}
	}
	copy(w.last, x)
	w.epochs = append(w.epochs, e)
	if w.o.Epoch != nil {
		w.o.Epoch(e)
	}
	return nil
}

// rest records the epochs until to, in which the flow stands still.
func (w *flowing) rest(ctx context.Context, to int) error {
	for len(w.epochs) < to {
		last := w.record.Points[len(w.record.Points)-1]
		last.Time = jsonnum.Float(w.at(len(w.epochs) + 1))
		w.record.Points = append(w.record.Points, last)
		if err := w.keep(ctx, w.x); err != nil {
			return err
		}
	}
	return nil
}

// finish completes the record.
func (w *flowing) finish() *FlowRecord {
	if w.record.Dissipated > 0 {
		w.record.Relative = jsonnum.Float(math.Abs(float64(w.record.Balance))) / w.record.Dissipated
	}
	return &w.record
}
