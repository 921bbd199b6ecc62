package main

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/calculus"
	"github.com/compactify/compactify/train"
	"github.com/spf13/cobra"
)

// trainFlags are the settings of train.
type trainFlags struct {
	dataFlags
	architecture           train.Architecture
	activation, init, loss string
	flow                   flowFlags
	optimizer, decay       string
	rate                   string // a schedule
	l2, l1, elastic, group string // schedules of λ
	maxnorm                string // of the radius
	alpha                  float64
	dropout                train.Dropout
	augment                string
	smoothing              float64
	epochs, batch          int  // 0 is what schedule chooses
	timed                  bool // epochs was given
	patience, every, sharp int
	momentum, threshold    float64
	resume                 string
}

// flowFlags are the settings of --flow.
type flowFlags struct {
	on              bool
	time, tolerance float64
	method          string
	double          bool
}

// How a network is trained when nothing is said. An epoch of few examples has few
// steps: then a step takes fewer of them, and there are as many epochs as make
// firstSteps, which is what firstEpochs of the built-in digits come to.
const (
	firstEpochs = 12
	firstSteps  = 900
	firstBatch  = 128
	fewExamples = 1000
	smallBatch  = 16
)

// validationShare is set aside for --patience.
const validationShare = 0.1

func (a *app) trainCommand() *cobra.Command {
	var f trainFlags
	c := &cobra.Command{
		Use:   "train",
		Short: "Train a small network, with penalties that pull it towards zero",
		Long: `Train a small network and write it as ONNX.

Penalties are added to the mean loss, over all weights, biases included, and applied
as exact proximal steps, stable for every λ. sgd, momentum, nesterov and lbfgs come to
rest at minima of loss plus penalty; with adam the penalty is decoupled from the step
(which makes it adamw), and the rest is another point. As λ grows the weights are
pulled towards the boundary, the network whose weights are all zero; "boundary" says
how near they came, "lyapunov" whether the descent was one: some of the steps are
measured on their own batch before and after.

Schedules (SCHED) run over the epochs, ends included:
    1e-4             the same in every epoch
    linear:A..B      geom:A..B      cosine:A..B
    step:A@E,B@F     A from epoch E on, B from epoch F on; epochs count from 1

Architectures (--arch):
    lenet5           convolutions 6/16, dense 120/84; for images
    lenet5-caffe     convolutions 20/50, dense 500; for images
    lenet-300-100    dense 300/100
    mlp:A-B-…-Z      dense, A inputs, Z classes, such as mlp:784-300-10
    resnet8          residual, three stages; for images
    resnet20         residual, three stages of three blocks; for images

Into a folder (--out DIR, or a numbered one) go the model, the initial model, a record
of every epoch and measured step, a page to look at, and after each epoch a
checkpoint: --resume DIR goes on from it, with the same settings, and ends with the
bytes of a run that was not interrupted. certify checks the folder's claims.`,
		Example: "  compactify train\n  compactify train --arch lenet-300-100 --data digits/ --epochs 10 --l2 1e-4 --out digits.onnx\n" +
			"  compactify train --arch lenet-300-100 --data digits/ --l2 geom:1e-8..1e2 --out walk-to-zero\n" +
			"  compactify train --optimizer momentum --rate cosine:0.1..0.001 --dropout 0.5 --maxnorm 2\n  compactify train --resume walk-to-zero",
		Args: want(),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.train(c.Context(), &f)
		},
	}
	f.add(c)
	flags := c.Flags()
	flags.StringVar(&f.architecture.Name, "arch", "lenet5", "the network, see above")
	flags.BoolVar(&f.architecture.NoBias, "no-bias", false, "layers without biases: θ = 0 then answers log(classes) exactly")
	flags.BoolVar(&f.architecture.BatchNorm, "batch-norm", false, "normalise what an activation follows over the batch (resnets always do)")
	flags.StringVar(&f.activation, "activation", string(train.ReLU), "relu, logistic or tanh")
	flags.StringVar(&f.init, "init", string(train.HeUniform), "initial weights: he-uniform, glorot-uniform or glorot-logistic")
	flags.StringVar(&f.loss, "loss", string(train.CrossEntropy), "cross-entropy, squared-hinge or squared-error")
	flags.IntVar(&f.epochs, "epochs", 0, "passes over the examples (default: 12, or as many as make 900 steps)")
	flags.StringVar(&f.l2, "l2", "0", "SCHED of λ in the penalty λ‖θ‖²")
	flags.StringVar(&f.l1, "l1", "0", "SCHED of λ in λ‖θ‖₁")
	flags.StringVar(&f.elastic, "elastic", "0", "SCHED of λ in λ(α‖θ‖₁ + (1−α)‖θ‖²)")
	flags.Float64Var(&f.alpha, "alpha", 0.5, "α of --elastic, in (0, 1]")
	flags.StringVar(&f.group, "group", "0", "SCHED of λ in λ·Σ√|g|·‖θ_g‖: all that one unit or channel adds up, with its bias")
	flags.StringVar(&f.maxnorm, "maxnorm", "0", "SCHED of the largest norm of a unit's incoming weights (0: none)")
	flags.Float64Var(&f.dropout.Hidden, "dropout", 0, "probability of dropping a value that a dense layer reads")
	flags.Float64Var(&f.dropout.Input, "dropout-input", 0, "probability of dropping a value of the input")
	flags.Float64Var(&f.dropout.Weights, "drop-connect", 0, "probability of dropping a weight, for a whole batch")
	flags.StringVar(&f.augment, "augment", "", "change images anew in every epoch: shift:PIXELS, flip, elastic:ALPHA, with commas between them")
	flags.Float64Var(&f.smoothing, "label-smoothing", 0, "share of each target that is spread over all classes")
	flags.StringVar(&f.optimizer, "optimizer", "adam", "sgd, momentum, nesterov, adam, adamw or lbfgs")
	flags.StringVar(&f.rate, "rate", "", "SCHED of the step size (default 0.001 for adam and adamw, 0.05 otherwise)")
	flags.StringVar(&f.decay, "decay", "constant", "how the step size falls within the run: constant or cosine")
	flags.Float64Var(&f.momentum, "momentum", 0, "momentum, in [0, 1) (default 0.9 for momentum and nesterov)")
	flags.IntVar(&f.batch, "batch", 0, "examples per step (default: 128, or 16 if there are fewer than 1,000 examples)")
	flags.IntVar(&f.patience, "patience", 0, "end after so many epochs without a smaller loss on a tenth of the examples, set aside, and keep the best (0: never)")
	flags.IntVar(&f.every, "monitor", 16, "measure every so many steps (0: none)")
	flags.IntVar(&f.sharp, "sharpness", 0, "measure the largest eigenvalue of the Hessian every so many epochs (0: at the end)")
	flags.Float64Var(&f.threshold, "threshold", 0, "norm that counts as the boundary (default: 1 % of the largest norm seen)")
	flags.BoolVar(&f.flow.on, "flow", false, "follow the gradient flow of all examples instead of taking steps: the loss falls by ∫‖g‖² exactly, and the balance is checked")
	flags.Float64Var(&f.flow.time, "flow-time", 1, "how long the flow runs; steps of a rate η cover a time of η each")
	flags.Float64Var(&f.flow.tolerance, "flow-tolerance", 0, "error of a step (default 1e-4, with --flow-double 1e-6)")
	flags.StringVar(&f.flow.method, "flow-method", "", "explicit (Dormand–Prince) or implicit, for stiff flows (default: whichever is cheaper on the way)")
	flags.BoolVar(&f.flow.double, "flow-double", false, "follow the flow in float64")
	flags.StringVar(&f.resume, "resume", "", "folder or checkpoint of a run to go on with; its settings hold")
	return c
}

// options translates flags. Mistakes in them are errors of usage.
func (f *trainFlags) options(a *app) (train.Options, error) {
	o := train.Options{Epochs: f.epochs, Batch: f.batch, Momentum: f.momentum, Dropout: f.dropout, Smoothing: f.smoothing,
		Patience: f.patience, Loss: train.Loss(f.loss), Seed: a.seed, Pool: a.pool}
	f.architecture.Activation, f.architecture.Init = train.Activation(f.activation), train.Init(f.init)
	if err := f.optimize(&o); err != nil {
		return o, usage(err)
	}
	switch o.Loss {
	case "", train.CrossEntropy, train.SquaredHinge, train.SquaredError:
	default:
		return o, usage(fmt.Errorf("--loss: got %q, want cross-entropy, squared-hinge or squared-error", f.loss))
	}
	switch f.decay {
	case "constant", "":
	case "cosine":
		o.Decay = train.Cosine
	default:
		return o, usage(fmt.Errorf("--decay: got %q, want constant or cosine", f.decay))
	}
	augment, err := data.ParseAugmentation(f.augment)
	if err != nil {
		return o, usage(fmt.Errorf("--augment: %w", err))
	}
	o.Augment = augment
	if err := f.alone(); err != nil {
		return o, usage(err)
	}
	if err := f.penalize(&o); err != nil {
		return o, usage(err)
	}
	if f.every > 0 {
		o.Monitor = &train.Monitor{Every: f.every}
	}
	share := func(p float64) bool { return p >= 0 && p < 1 }
	for _, check := range []struct {
		flag string
		x    float64
		ok   bool
		want string
	}{
		{"epochs", float64(f.epochs), f.epochs >= 1 || !f.timed, "1 or more"},
		{"batch", float64(f.batch), f.batch >= 0, "1 or more"},
		{"momentum", f.momentum, share(f.momentum), "a number in [0, 1)"},
		{"dropout", f.dropout.Hidden, share(f.dropout.Hidden), "a probability in [0, 1)"},
		{"dropout-input", f.dropout.Input, share(f.dropout.Input), "a probability in [0, 1)"},
		{"drop-connect", f.dropout.Weights, share(f.dropout.Weights), "a probability in [0, 1)"},
		{"label-smoothing", f.smoothing, share(f.smoothing), "a number in [0, 1)"},
		{"alpha", f.alpha, f.alpha > 0 && f.alpha <= 1 || f.elastic == "", "a number in (0, 1]"},
		{"patience", float64(f.patience), f.patience >= 0, "0 or more"},
		{"monitor", float64(f.every), f.every >= 0, "0 or more"},
		{"sharpness", float64(f.sharp), f.sharp >= 0, "0 or more"},
		{"flow-time", f.flow.time, !f.flow.on || f.flow.time > 0 && !math.IsInf(f.flow.time, 0), "a positive number"},
		{"flow-tolerance", f.flow.tolerance, f.flow.tolerance >= 0 && f.flow.tolerance < 1, "a number in [0, 1)"},
		{"threshold", f.threshold, f.threshold >= 0 && !math.IsInf(f.threshold, 0), "a positive number"},
	} {
		if !check.ok {
			return o, usage(fmt.Errorf("--%s: got %v, want %s", check.flag, check.x, check.want))
		}
	}
	return o, nil
}

// optimize sets the optimiser by its name, with its rate.
func (f *trainFlags) optimize(o *train.Options) error {
	switch f.optimizer {
	case "", "adam", "adamw":
		o.Optimizer = train.Adam
	case "sgd", "momentum":
		o.Optimizer = train.SGD
	case "nesterov":
		o.Optimizer = train.Nesterov
	case "lbfgs":
		o.Optimizer = train.LBFGS
	default:
		return fmt.Errorf("--optimizer: got %q, want sgd, momentum, nesterov, adam, adamw or lbfgs", f.optimizer)
	}
	if o.Momentum > 0 && (o.Optimizer == train.Adam || o.Optimizer == train.LBFGS) {
		return fmt.Errorf("--momentum: of no meaning to %s, want sgd, momentum or nesterov", f.optimizer)
	}
	if o.Momentum == 0 && (f.optimizer == "momentum" || f.optimizer == "nesterov") {
		o.Momentum = 0.9
	}
	rate, err := f.schedule("rate", f.rate)
	if err != nil {
		return err
	}
	o.Rates = rate
	if f.decay == "cosine" && !rate.IsZero() {
		first, last := rate.Ends(2)
		if first != last {
			return fmt.Errorf("--decay cosine: --rate %v is a schedule already", rate)
		}
		o.Rates, o.Rate = train.Schedule{}, first
	}
	return nil
}

// schedule reads a flag's schedule.
func (f *trainFlags) schedule(flag, text string) (train.Schedule, error) {
	if text == "" {
		return train.Schedule{}, nil
	}
	s, err := train.ParseSchedule(text)
	if err != nil {
		return s, fmt.Errorf("--%s: %w", flag, err)
	}
	return s, nil
}

// adamwLambda is λ of adamw when no penalty is given: the weight decay of 0.01 that is
// usual for it, as the penalty λ‖θ‖² has the gradient 2λθ.
const adamwLambda = 0.005

// penalize reads the penalties. All are decoupled from the optimiser's step, so that
// adamw is adam with a penalty of its own.
func (f *trainFlags) penalize(o *train.Options) error {
	if f.optimizer == "adamw" && f.l2 == "0" {
		f.l2 = fmt.Sprint(adamwLambda)
	}
	for _, p := range []struct {
		kind train.PenaltyKind
		text string
	}{{train.L2, f.l2}, {train.L1, f.l1}, {train.ElasticNet, f.elastic}, {train.GroupLasso, f.group}, {train.MaxNorm, f.maxnorm}} {
		s, err := f.schedule(string(p.kind), p.text)
		if err != nil {
			return err
		}
		if s.IsZero() {
			continue
		}
		one := train.Penalty{Kind: p.kind, Lambda: s}
		if p.kind == train.ElasticNet {
			one.Alpha = f.alpha
		}
		o.Penalties = append(o.Penalties, one)
	}
	return nil
}

// trained is what training came to.
type trained struct {
	train.Result
	steps int
	flow  *train.FlowRecord // of a gradient flow
}

// train builds the network for the examples, shows it to started, if that is set, and
// trains it. When ctx ends, what
// was reached is returned with its error.
func (f *trainFlags) train(ctx context.Context, set *data.Set, seed uint64, o train.Options, started func(initial *graph.Graph) error) (trained, error) {
	if set.Classes() == 0 {
		return trained{}, fmt.Errorf("train on %q: got examples without classes, want labels", set.Name())
	}
	model, err := f.network(set, seed)
	if err != nil {
		return trained{}, usage(err)
	}
	o.Epochs, o.Batch = schedule(o.Epochs, o.Batch, set.Len())
	var t trained
	if started != nil {
		if err := started(train.Finish(model)); err != nil {
			return t, err
		}
	}
	step := o.Step
	o.Step = func(done float64) {
		t.steps++
		if step != nil {
			step(done)
		}
	}
	if f.flow.on {
		err = f.follow(ctx, &t, model, set, o)
		return t, err
	}
	t.Result, err = train.Towards(ctx, model, set, f.threshold, o)
	return t, err
}

// follow follows the gradient flow.
func (f *trainFlags) follow(ctx context.Context, t *trained, model *graph.Graph, set *data.Set, o train.Options) error {
	start := model.Norm()
	end, epochs, record, err := train.Flow(ctx, model, set, train.FlowOptions{Time: f.flow.time, Epochs: o.Epochs, Tolerance: f.flow.tolerance,
		Penalties: o.Penalties, Method: calculus.FlowMethod(f.flow.method), Double: f.flow.double, Pool: o.Pool, Validation: o.Validation, Step: o.Step, Epoch: o.Epoch})
	if end == nil {
		return err
	}
	t.flow = record
	t.Result = train.Result{Model: train.Finish(end), Start: start, Epochs: epochs, Boundary: train.NewBoundary(end.Norm(), start, epochs, f.threshold)}
	return err
}

// alone refuses what a gradient flow has no place for.
func (f *trainFlags) alone() error {
	for _, name := range []string{"optimizer", "rate", "decay", "momentum", "batch", "dropout", "dropout-input", "drop-connect", "label-smoothing", "augment", "patience", "monitor", "resume", "loss"} {
		if f.flow.on && f.command.Flags().Changed(name) {
			return fmt.Errorf("--flow: --%s has no meaning for a flow", name)
		}
	}
	for _, name := range []string{"l1", "elastic", "group", "maxnorm"} {
		if f.flow.on && f.command.Flags().Changed(name) {
			return fmt.Errorf("--flow: --%s has no gradient everywhere: want --l2", name)
		}
	}
	return nil
}

// network builds the network for the examples, as it trains: normalisations follow the
// batch.
func (f *trainFlags) network(set *data.Set, seed uint64) (*graph.Graph, error) {
	return f.architecture.Model(exampleShape(f.architecture.Name, set.Shape()), set.Classes(), seed)
}

// schedule fills in the epochs and the batch size that are 0, for n examples.
func schedule(epochs, batch, n int) (int, int) {
	if batch == 0 {
		batch = firstBatch
		if n < fewExamples {
			batch = smallBatch
		}
	}
	if epochs == 0 {
		steps := max(1, (n+batch-1)/batch)
		epochs = max(firstEpochs, (firstSteps+steps-1)/steps)
	}
	return epochs, batch
}

// exampleShape is the shape a network is built for: grey images without a
// channel axis get one, for the networks that need it.
func exampleShape(arch string, shape []int) []int {
	if len(shape) == 2 && !strings.HasPrefix(arch, "mlp:") && arch != "lenet-300-100" {
		return append([]int{1}, shape...)
	}
	return shape
}
