package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/compress"
	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/format/onnx"
	"github.com/compactify/compactify/graph"
	store "github.com/compactify/compactify/internal/run"
	"github.com/compactify/compactify/internal/web"
	"github.com/compactify/compactify/paths"
	"github.com/compactify/compactify/train"
	"github.com/spf13/cobra"
)

// bestRanges lets the calibration examples decide.
const bestRanges = "best"

// runFlags are the settings of run.
type runFlags struct {
	dataFlags
	budget   string
	paths    []string
	finetune int
	bits     []int
	opset    int
	rounding string
	ranges   string
	examples int
	equalize string
	smooth   string
	biases   string
	output   string
}

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run [MODEL]",
		Short: "Find the smallest model inside a budget",
		Long: `Find the smallest model inside a budget, and write it with a report.

MODEL is an ONNX file; --data names examples like those it was trained on. They
are split: most train and calibrate, some decide between models, and held-out
ones are shown once to the finished file. The verdict is

    MET                 even the worse end of the 95 % confidence interval fits
    MET (within noise)  the measured value fits, the interval reaches beyond
    NOT MET             it does not fit (exit 3); the model is kept as rejected

Budgets say what may be lost:

    1pp         the metric may fall by one percentage point (the default)
    0.05nats    the mean loss may rise by 0.05 nats per example
    kl:0.01     answers may differ by 0.01 nats from the original's
    snr:30      outputs must agree with the original's to 30 dB: every
                floating-point output, unless --output names one

A model of several inputs takes an .npz or .safetensors file with an array for
each, named like the input (or in/INPUT), integers as integers:

    [examples, ...]        examples in place of the batch, where it comes first
    [examples, INPUT...]   a whole input, of batch 1, for every example
    [INPUT...]             the same for all examples: a state, a sampling rate

Without MODEL a small network (lenet5) is trained first on the examples: a
complete tour that needs no files.`,
		Example: "  compactify run\n  compactify run model.onnx --data digits/ --budget 0.5pp\n  compactify run model.onnx --data unlabeled:samples.npz --budget kl:0.01 --json",
		Args:    want("[MODEL]"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.compress(c.Context(), f, args, c.Flags().Changed("finetune"))
		},
	}
	f.add(c)
	flags := c.Flags()
	flags.StringVar(&f.budget, "budget", compactify.DefaultBudget.String(), "what may be lost: 1pp, 0.05nats, kl:0.01 or snr:30")
	flags.StringSliceVar(&f.paths, "paths", nil, "ways to make it smaller, combined: "+kindNames(false)+"\n(default: prune, quantize and prune-channels)")
	flags.IntSliceVar(&f.bits, "bits", nil, "widths that weights may have, of 8, 4 and 2 (default: all of them; 8 with int8 activations,\nbecause runtimes multiply bytes and unpack narrower weights)")
	flags.IntVar(&f.opset, "opset", 0, "newest ONNX opset that the file may need: 21 keeps 4 bits as the least, 13 keeps 8 (default: any; 2 bits\nneed 25); below 21 the biases of int8 layers are int32, as runtimes of that time need")
	flags.IntVar(&f.finetune, "finetune", 0, "epochs of training after each change; 0 for none (default: chosen by the size of the work)")
	flags.StringVar(&f.rounding, "activations", "float", "what flows between layers: float, or int8 with calibrated ranges")
	flags.StringVar(&f.ranges, "ranges", bestRanges, "how the ranges of int8 activations are chosen: "+compress.RangeNames()+",\nor best: what costs least on the calibration examples")
	flags.IntVar(&f.examples, "calibrate", 0, "training examples that ranges are measured on (default: at most 512); memory does not depend on it")
	flags.StringVar(&f.equalize, "equalize", "auto", "equalise weights across layers, which changes nothing that the model computes: on, off,\nor auto: if rounding then costs less on the calibration examples")
	flags.StringVar(&f.smooth, "smooth", "auto", "move large int8 activations into the weights behind them (SmoothQuant): off, auto, or\nhow far, above 0 to 1")
	flags.StringVar(&f.biases, "bias-correction", "auto", "correct biases for the mean of what rounding the weights changes: on, off or auto")
	flags.StringVar(&f.output, "output", "", "the model's output that answers (default: the first)")
	return c
}

// kindNames lists the kinds of paths, those that train every model only if asked to.
func kindNames(trained bool) string {
	var names []string
	for _, k := range paths.Kinds {
		if trained || !k.Trains {
			names = append(names, k.Name)
		}
	}
	return strings.Join(names, ", ")
}

// compress does the job and prints what it came to.
func (a *app) compress(ctx context.Context, f runFlags, args []string, tuned bool) error {
	job, err := a.job(f, tuned)
	if err != nil {
		return err
	}
	name := "lenet5"
	var inputs []data.Input
	if len(args) > 0 {
		name = filepath.Base(args[0])
		if note := f.defaulted(args[0]); note != "" {
			a.note("%s", note)
			job.Notes = append(job.Notes, note)
		}
		if job.Model, job.ModelBytes, err = a.readModel(args[0]); err != nil {
			return err
		}
		inputs = inputsOf(job.Model)
	}
	e, err := f.openFor(a, inputs)
	if err != nil {
		return err
	}
	job.Train, job.HeldOut, job.Source, job.Eval, job.Mapping = e.train, e.heldOut, e.source, f.eval, e.mapping
	folder, err := a.folder()
	if err != nil {
		return err
	}
	result, err := a.compressInto(ctx, folder, job, name)
	return a.conclude(folder, result, name, f.meant(err))
}

// job translates flags. Mistakes in them are errors of usage.
func (a *app) job(f runFlags, tuned bool) (compress.Job, error) {
	b, err := compactify.ParseBudget(f.budget)
	if err != nil {
		return compress.Job{}, usage(fmt.Errorf("--budget: %w", err))
	}
	if f.command.Flags().Changed("paths") && len(f.paths) == 0 {
		return compress.Job{}, usage(fmt.Errorf("--paths: got none, want some of %s", kindNames(false)))
	}
	if len(f.paths) > 0 && len(f.bits) > 0 && !slices.Contains(f.paths, "quantize") {
		return compress.Job{}, usage(errors.New("--bits: of no meaning where weights are not rounded: want quantize among --paths"))
	}
	for _, kind := range f.paths {
		if k, err := findKind(kind, false); k.Trains {
			return compress.Job{}, usage(fmt.Errorf("--paths %s: trains every model on the way: want walk %s", kind, kind))
		} else if err != nil {
			return compress.Job{}, err
		}
	}
	for _, n := range f.bits {
		if n != 8 && n != 4 && n != 2 {
			return compress.Job{}, usage(fmt.Errorf("--bits: got %d, want some of 8, 4 and 2, which ONNX stores", n))
		}
	}
	if f.opset < 0 || f.opset > graph.LatestOpset || f.opset > 0 && f.opset < compress.LeastOpset {
		return compress.Job{}, usage(fmt.Errorf("--opset: got %d, want %d to %d", f.opset, compress.LeastOpset, graph.LatestOpset))
	}
	if f.finetune < 0 {
		return compress.Job{}, usage(fmt.Errorf("--finetune: got %d epochs, want 0 or more", f.finetune))
	}
	if f.rounding != "float" && f.rounding != "int8" {
		return compress.Job{}, usage(fmt.Errorf("--activations: got %q, want float or int8", f.rounding))
	}
	if f.ranges == bestRanges {
		f.ranges = ""
	} else if _, err := compress.ParseRanges(f.ranges); err != nil {
		return compress.Job{}, usage(fmt.Errorf("--ranges: %w", err))
	}
	if f.examples < 0 {
		return compress.Job{}, usage(fmt.Errorf("--calibrate: got %d examples, want 1 or more", f.examples))
	}
	equalize, err := compress.ParseChoice(f.equalize)
	if err != nil {
		return compress.Job{}, usage(fmt.Errorf("--equalize: %w", err))
	}
	biases, err := compress.ParseChoice(f.biases)
	if err != nil {
		return compress.Job{}, usage(fmt.Errorf("--bias-correction: %w", err))
	}
	alpha, err := parseSmooth(f.smooth)
	if err != nil {
		return compress.Job{}, usage(err)
	}
	if tuned && f.finetune == 0 {
		f.finetune = -1 // the job's way to say none
	}
	return compress.Job{Output: f.output, Budget: b, Paths: f.paths, Finetune: f.finetune, Activation: f.rounding == "int8", Bits: f.bits, Opset: f.opset,
		Ranges: f.ranges, Calibrate: f.examples, Equalize: equalize, Smooth: alpha, CorrectBias: biases, MaxBytes: int(a.maxBytes),
		MaxMemory: int(a.maxMemory), Warn: func(text string) { a.note("warning: %s", text) },
		Estimated: func(m compress.MemoryEstimate) { a.note("memory at the peak, estimated: %v", m) },
		Seed:      a.seed, Pool: a.pool, Asked: a.asked(), Command: a.args, Progress: a.report.progress}, nil
}

// parseSmooth reads the strength of smoothing: 0 for auto, negative for off.
func parseSmooth(text string) (alpha float64, err error) {
	switch text {
	case "auto":
		return 0, nil
	case "off":
		return -1, nil
	}
	if alpha, err = strconv.ParseFloat(text, 64); err != nil || !(alpha > 0 && alpha <= 1) {
		return 0, fmt.Errorf("--smooth: got %q, want auto, off or a number above 0, at most 1", text)
	}
	return alpha, nil
}

// findKind is a kind of path by name; the error of an unknown one lists those that
// train only if asked to.
func findKind(name string, trained bool) (paths.Kind, error) {
	for _, k := range paths.Kinds {
		if k.Name == name {
			return k, nil
		}
	}
	return paths.Kind{}, usage(fmt.Errorf("path %q: unknown, want %s", name, kindNames(trained)))
}

// trainingShare is the part of a run's progress that training a first model
// takes.
const trainingShare = 0.25

// compressInto trains a model if there is none, and runs the job.
func (a *app) compressInto(ctx context.Context, folder *store.Folder, job compress.Job, name string) (*compress.Result, error) {
	if job.Model == nil {
		parts, err := compress.Divide(job.Train, job.HeldOut, job.Finetune >= 0, job.Seed)
		if err != nil {
			return nil, err
		}
		fresh := func(stage string, done float64) { a.report.progress(stage, trainingShare*done) }
		model, err := a.firstModel(ctx, parts, job.Source, fresh)
		if err != nil {
			return nil, err
		}
		file, err := onnx.Encode(model, onnx.Options{Oldest: true})
		if err != nil {
			return nil, err
		}
		if _, err := folder.Put("original.onnx", file); err != nil {
			return nil, err
		}
		job.Model, job.ModelBytes = model, len(file)
		job.Progress = func(stage string, done float64) { a.report.progress(stage, trainingShare+(1-trainingShare)*done) }
	}
	if len(job.Paths) == 0 || slices.Contains(job.Paths, "prune") {
		a.note("%s", compress.ZerosNote(job.Model))
	}
	result, err := compress.Run(ctx, job, folder)
	if result == nil {
		return nil, err
	}
	if _, reportErr := folder.PutFunc(compress.ReportFile, func(w io.Writer) error {
		return web.Report(w, result, "Compactify report: "+name)
	}); reportErr != nil {
		return nil, errors.Join(err, reportErr)
	}
	result.Files.Report = folder.Path(compress.ReportFile)
	return result, err
}

// firstModel trains the network that a run without a model starts from, on the
// examples that a run may use for training.
func (a *app) firstModel(ctx context.Context, parts compress.Parts, source string, progress func(string, float64)) (*graph.Graph, error) {
	a.note("no model given: training a lenet5 on %s first", source)
	t := trainFlags{architecture: train.Architecture{Name: "lenet5"}, decay: "cosine"}
	o, err := t.options(a)
	if err != nil {
		return nil, err
	}
	o.Step = func(done float64) { progress("training lenet5", done) }
	trained, err := t.train(ctx, parts.Training, a.seed, o, nil)
	return trained.Model, err
}

// conclude prints the result and seals the folder. A run that has nothing to
// show leaves no folder.
func (a *app) conclude(folder *store.Folder, r *compress.Result, name string, err error) error {
	var noFit *compress.NoFitError
	kept := r != nil && (err == nil || errors.As(err, &noFit) || r.SHA256 != "")
	if !kept {
		if errors.Is(err, context.Canceled) {
			err = &stoppedError{"before any model was measured to fit", err}
		}
		return a.sealed(folder, err)
	}
	if sealErr := a.seal(folder); sealErr != nil {
		return errors.Join(err, sealErr)
	}
	if a.json || r.SHA256 != "" {
		return errors.Join(a.print(r, func(w io.Writer) { summarize(w, r, name) }), err)
	}
	a.note("what was measured is in %s", r.Files.Report)
	return err
}
