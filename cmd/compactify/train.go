package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/compress"
	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/format/onnx"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/jsonnum"
	"github.com/compactify/compactify/internal/words"
	"github.com/compactify/compactify/train"
	"github.com/spf13/cobra"
)

// trainFlags are the settings of train.
type trainFlags struct {
	dataFlags
	arch, optimizer, decay, l2 string
	epochs, batch              int  // 0 is what schedule chooses
	timed                      bool // epochs was given
	rate, momentum, threshold  float64
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

func (a *app) trainCommand() *cobra.Command {
	var f trainFlags
	c := &cobra.Command{
		Use:   "train",
		Short: "Train a small network, with a penalty that pulls it towards zero",
		Long: `Train a small network and write it as ONNX.

The penalty λ‖θ‖² is added to the mean loss, biases included, and applied as a
proximal step. As λ grows the weights are pulled towards the boundary, the network
whose weights are all zero; "boundary" says how near they came.

Architectures (--arch):
    lenet5           convolutions 6/16, dense 120/84; for images
    lenet5-caffe     convolutions 20/50, dense 500; for images
    lenet-300-100    dense 300/100
    mlp:A-B-…-Z      dense, A inputs, Z classes, such as mlp:784-300-10
    resnet8          residual, three stages; for images
    resnet20         residual, three stages of three blocks; for images`,
		Example: "  compactify train\n  compactify train --arch lenet-300-100 --data digits/ --epochs 10 --l2 1e-4 --out digits.onnx",
		Args:    want(),
		RunE: func(c *cobra.Command, _ []string) error {
			f.timed = c.Flags().Changed("epochs")
			return a.train(c.Context(), f)
		},
	}
	f.add(c)
	flags := c.Flags()
	flags.StringVar(&f.arch, "arch", "lenet5", "the network, see above")
	flags.IntVar(&f.epochs, "epochs", 0, "passes over the examples (default: 12, or as many as make 900 steps)")
	flags.StringVar(&f.l2, "l2", "0", "λ of the penalty λ‖θ‖²")
	flags.StringVar(&f.optimizer, "optimizer", "adam", "adam or sgd")
	flags.Float64Var(&f.rate, "rate", 0, "step size (default 0.001 for adam, 0.05 for sgd)")
	flags.StringVar(&f.decay, "decay", "constant", "how the step size falls: constant or cosine")
	flags.Float64Var(&f.momentum, "momentum", 0, "momentum of sgd, in [0, 1)")
	flags.IntVar(&f.batch, "batch", 0, "examples per step (default: 128, or 16 if there are fewer than 1,000 examples)")
	flags.Float64Var(&f.threshold, "threshold", 0, "norm that counts as the boundary (default: 1 % of the largest norm seen)")
	return c
}

// options translates flags. Mistakes in them are errors of usage.
func (f *trainFlags) options(a *app) (train.Options, error) {
	o := train.Options{Epochs: f.epochs, Batch: f.batch, Rate: f.rate, Momentum: f.momentum, Seed: a.seed, Pool: a.pool}
	if err := f.optimize(&o); err != nil {
		return o, usage(err)
	}
	switch f.decay {
	case "constant":
	case "cosine":
		o.Decay = train.Cosine
	default:
		return o, usage(fmt.Errorf("--decay: got %q, want constant or cosine", f.decay))
	}
	lambda, err := train.ParseSchedule(f.l2)
	if err != nil {
		return o, usage(fmt.Errorf("--l2: %w", err))
	}
	if !lambda.IsZero() {
		o.Penalties = []train.Penalty{{Kind: train.L2, Lambda: lambda}}
	}
	for _, check := range []struct {
		flag string
		x    float64
		ok   bool
		want string
	}{
		{"epochs", float64(f.epochs), f.epochs >= 1 || !f.timed, "1 or more"},
		{"batch", float64(f.batch), f.batch >= 0, "1 or more"},
		{"rate", f.rate, f.rate >= 0 && !math.IsInf(f.rate, 0), "a positive number"},
		{"momentum", f.momentum, f.momentum >= 0 && f.momentum < 1, "a number in [0, 1)"},
		{"threshold", f.threshold, f.threshold >= 0, "a positive number"},
	} {
		if !check.ok {
			return o, usage(fmt.Errorf("--%s: got %v, want %s", check.flag, check.x, check.want))
		}
	}
	return o, nil
}

// optimize sets the optimiser by its name.
func (f *trainFlags) optimize(o *train.Options) error {
	switch f.optimizer {
	case "", "adam", "adamw":
		o.Optimizer = train.Adam
	case "sgd", "momentum":
		o.Optimizer = train.SGD
	case "nesterov":
		o.Optimizer = train.Nesterov
	default:
		return fmt.Errorf("--optimizer: got %q, want sgd, momentum, nesterov, adam or adamw", f.optimizer)
	}
	if o.Momentum == 0 && (f.optimizer == "momentum" || f.optimizer == "nesterov") {
		o.Momentum = 0.9
	}
	return nil
}

// trained is what training came to.
type trained struct {
	model  *graph.Graph // in inference form
	first  float64      // ‖θ‖ before the first step
	epochs []train.Epoch
	steps  int
}

// train builds the network for the examples and trains it. When ctx ends, what
// was reached is returned with its error.
func (f *trainFlags) train(ctx context.Context, set *data.Set, seed uint64, o train.Options) (trained, error) {
	if set.Classes() == 0 {
		return trained{}, fmt.Errorf("train on %q: got examples without classes, want labels", set.Name())
	}
	model, err := train.NewModel(f.arch, exampleShape(f.arch, set.Shape()), set.Classes(), seed)
	if err != nil {
		return trained{}, usage(err)
	}
	o.Epochs, o.Batch = schedule(o.Epochs, o.Batch, set.Len())
	t := trained{first: model.Norm()}
	step := o.Step
	o.Step = func(done float64) {
		t.steps++
		if step != nil {
			step(done)
		}
	}
	model, t.epochs, err = train.Run(ctx, model, set, o)
	if model != nil {
		t.model = train.Finish(model)
	}
	return t, err
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

// trainResult is the JSON object of train.
type trainResult struct {
	Arch       string        `json:"arch"`
	Params     int           `json:"params"`
	Epochs     []epochResult `json:"epochs"`
	Metric     jsonnum.Float `json:"metric"` // on the held-out examples
	MetricName string        `json:"metric_name"`
	Loss       jsonnum.Float `json:"loss"`
	HeldOut    int           `json:"held_out"`
	Lyapunov   lyapunov      `json:"lyapunov"`
	Boundary   boundary      `json:"boundary"`
	Recomputed *recomputed   `json:"recomputed,omitempty"`
	Files      trainFiles    `json:"files"`
	Bytes      int           `json:"bytes"`
	Seed       uint64        `json:"seed"`
}

type epochResult struct {
	Loss   jsonnum.Float `json:"loss"`
	Metric jsonnum.Float `json:"metric"`
	Norm   jsonnum.Float `json:"norm"`
	Lambda jsonnum.Float `json:"lambda"`
}

// lyapunov holds what is known of the descent; NaN is what was not measured.
type lyapunov struct {
	Steps           int           `json:"steps"`
	Increases       jsonnum.Float `json:"increases"`
	MaxKappa        jsonnum.Float `json:"max_kappa"`
	TwoOverEta      jsonnum.Float `json:"two_over_eta"`
	BalanceResidual jsonnum.Float `json:"balance_residual"`
}

type boundary struct {
	Approached bool          `json:"approached"`
	Norm       jsonnum.Float `json:"norm"`
	Threshold  jsonnum.Float `json:"threshold"`
}

// recomputed says what every training step computes twice to fit in memory.
type recomputed struct {
	Operations int `json:"operations"` // per step
	BytesSaved int `json:"bytes_saved"`
}

type trainFiles struct {
	Model string `json:"model"`
}

// train runs the command. After Ctrl-C the model as far as it got is kept.
func (a *app) train(ctx context.Context, f trainFlags) error {
	o, err := f.options(a)
	if err != nil {
		return err
	}
	e, err := f.open(a)
	if err != nil {
		return err
	}
	if err := a.checkOut(); err != nil {
		return err
	}
	set, heldOut := e.train, e.heldOut
	if heldOut == nil {
		set, heldOut = compress.HoldOut(set, a.seed)
	}
	o.Step = func(done float64) { a.report.progress("training "+f.arch, done) }
	var twice *recomputed
	o.Recomputed = func(r engine.Recomputation) {
		twice = &recomputed{r.Steps, r.Saved}
		a.note("%s", words.Recomputed("training", r.Steps, r.Saved))
	}
	t, err := f.train(ctx, set, a.seed, o)
	stopped := errors.Is(err, context.Canceled) && t.steps > 0
	if err != nil && !stopped {
		return err
	}
	// The tensors of training are garbage: what follows takes their place instead of
	// more memory.
	runtime.GC()
	r := newTrainResult(f, t, o, a.seed)
	r.Recomputed = twice
	if r.Files.Model, r.Bytes, err = a.keepModel(t.model); err != nil {
		return err
	}
	if stopped {
		r.Metric, r.Loss = jsonnum.Float(math.NaN()), jsonnum.Float(math.NaN())
		return errors.Join(a.print(r, func(w io.Writer) { r.text(w) }), ctx.Err())
	}
	if err := r.measure(ctx, a, t.model, heldOut); err != nil {
		return err
	}
	return a.print(r, func(w io.Writer) { r.text(w) })
}

func newTrainResult(f trainFlags, t trained, o train.Options, seed uint64) *trainResult {
	nan := jsonnum.Float(math.NaN())
	r := &trainResult{Arch: f.arch, Params: t.model.NumParams(), Seed: seed, Epochs: []epochResult{}}
	largest := t.first
	for _, e := range t.epochs {
		r.Epochs = append(r.Epochs, epochResult{jsonnum.Float(e.Loss), jsonnum.Float(e.Metric), jsonnum.Float(e.Norm), jsonnum.Float(e.Lambda)})
		largest = max(largest, e.Norm)
	}
	r.Lyapunov = lyapunov{Steps: t.steps, Increases: nan, MaxKappa: nan, TwoOverEta: jsonnum.Float(2 / o.FirstRate()), BalanceResidual: nan}
	norm := t.model.Norm()
	threshold := f.threshold
	if threshold == 0 {
		threshold = 0.01 * largest
	}
	r.Boundary = boundary{Approached: norm <= threshold, Norm: jsonnum.Float(norm), Threshold: jsonnum.Float(threshold)}
	return r
}

// measure evaluates the model on the held-out examples.
func (r *trainResult) measure(ctx context.Context, a *app, model *graph.Graph, heldOut *data.Set) error {
	e, err := compress.NewEvaluator(ctx, model, heldOut, "", a.pool, nil)
	if err != nil {
		return err
	}
	var m compactify.Measure
	if m, err = e.Evaluate(ctx, model); err != nil {
		return err
	}
	r.Metric, r.MetricName, r.Loss, r.HeldOut = jsonnum.Float(m.Metric), e.MetricName(), jsonnum.Float(m.Loss), m.Examples
	return nil
}

// checkOut finds out before a long work whether its result may be written.
func (a *app) checkOut() error {
	if strings.HasSuffix(a.out, ".onnx") {
		return a.checkFile(a.out)
	}
	if entries, err := os.ReadDir(a.out); a.out != "" && err == nil && len(entries) > 0 && !a.force {
		return fmt.Errorf("write into %q: the folder is not empty: %w", a.out, os.ErrExist)
	}
	return nil
}

// keepModel writes a model to the file that --out names, or as model.onnx into
// the folder.
func (a *app) keepModel(g *graph.Graph) (path string, bytes int, err error) {
	file, err := onnx.Encode(g, onnx.Options{Oldest: true})
	if err != nil {
		return "", 0, err
	}
	if err := a.checkSize("the model", len(file)); err != nil {
		return "", 0, err
	}
	if strings.HasSuffix(a.out, ".onnx") {
		return a.out, len(file), a.writeFile(a.out, file)
	}
	folder, err := a.folder()
	if err != nil {
		return "", 0, err
	}
	if err = folder.Asked(a.asked()); err == nil {
		_, err = folder.Put(compress.ModelFile, file)
	}
	return filepath.Join(folder.Dir(), compress.ModelFile), len(file), a.sealed(folder, err)
}

// maxRows is about how many epochs are printed; --json has all of them.
const maxRows = 20

func (r *trainResult) text(w io.Writer) {
	rows := [][]string{{"epoch", "training loss (nats)", "training accuracy", "‖θ‖"}}
	every := (len(r.Epochs) + maxRows - 1) / maxRows
	for i, e := range r.Epochs {
		if (i+1)%every != 0 && i+1 != len(r.Epochs) {
			continue
		}
		rows = append(rows, []string{strconv.Itoa(i + 1), words.Number(float64(e.Loss)), words.Percent(float64(e.Metric), 2), words.Number(float64(e.Norm))})
	}
	columns(w, rows)
	fmt.Fprintf(w, "\n%s with %s, ", r.Arch, words.Count(r.Params, "weight", "weights"))
	if r.HeldOut > 0 {
		fmt.Fprintf(w, "%s %s on %s\n", r.MetricName, words.Metric(r.MetricName, float64(r.Metric)), words.Count(r.HeldOut, "held-out example", "held-out examples"))
	} else {
		fmt.Fprintln(w, "stopped before it was finished")
	}
	if r.Boundary.Approached {
		fmt.Fprintf(w, "the weights reached the boundary: ‖θ‖ = %s\n", words.Number(float64(r.Boundary.Norm)))
	}
	fmt.Fprintf(w, "model     %s  (%s)\n", r.Files.Model, words.Size(r.Bytes))
}
