package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/compactify/compactify/compress"
	"github.com/compactify/compactify/internal/published"
	"github.com/compactify/compactify/internal/words"
	"github.com/spf13/cobra"
)

// table is a set of published or required figures that this program computes again:
// runs of the main job, an experiment with training of its own, or networks whose
// Hessian is measured.
type table struct {
	name, about string
	rows        []job
	experiment  *published.Experiment
	ends        []endsNetwork
}

// job is one row of a table: a run of this program and the figure it must reach.
type job struct {
	name  string
	args  []string // behind "compactify run"; DATA stands for the data folder, MADE for the folder of made examples
	least float64  // how many times smaller the file must be
	goal  float64  // how many times smaller it should be; 0 for none
	quick bool     // it takes a minute or less
}

func (j job) called() (name string, quick bool) { return j.name, j.quick }

// tables are all that can be reproduced.
var tables = append([]table{{name: "compression", about: "real networks made smaller inside their budgets", rows: compressionJobs},
	{name: "ends", about: "weight decay and early stopping along the Hessian's ends", ends: endsNetworks}}, experimentTables()...)

var compressionJobs = []job{
	{"lenet5 trained on glyphs", nil, 8, 0, true},
	{"mnist-cntk", []string{"DATA/models/mnist-cntk/mnist.onnx", "--data", "DATA/datasets/mnist", "--raw", "--budget", "0.5pp"}, 5, 10, true},
	{"mnist-pytorch", []string{"DATA/models/mnist-pytorch/cnn_mnist_pytorch.onnx", "--data", "DATA/datasets/mnist",
		"--normalize", "0.1307,0.3081", "--budget", "0.5pp"}, 12, 0, true},
	{"burn-mnist", []string{"DATA/models/burn-mnist/mnist.onnx", "--data", "DATA/datasets/mnist",
		"--normalize", "0.1307,0.3081", "--budget", "0.5pp"}, 30, 0, false},
	{"resnet20 without labels", []string{"DATA/models/resnet-cifar10/resnet20.onnx", "--data", "unlabeled:DATA/datasets/cifar10/data_batch_1-first4000.bin.gz",
		"--eval", "DATA/datasets/cifar10/test-jpeg75.tar.gz", "--normalize", resnetPixels, "--budget", "1pp", "--finetune", "0"}, 4, 0, false},
	{"resnet20", []string{"DATA/models/resnet-cifar10/resnet20.onnx", "--data", "DATA/datasets/cifar10/data_batch_1-first4000.bin.gz",
		"--eval", "DATA/datasets/cifar10/test-jpeg75.tar.gz", "--normalize", resnetPixels, "--budget", "1pp"}, 6, 8, false},
	{"resnet8", []string{"DATA/models/mlperf-tiny/image_classification/resnet8.onnx", "--data", "DATA/datasets/cifar10/data_batch_1-first4000.bin.gz",
		"--eval", "DATA/datasets/cifar10/test-jpeg75.tar.gz", "--raw", "--budget", "1pp"}, 3, 4, false},
	{"dscnn", []string{"DATA/models/mlperf-tiny/keyword_spotting/dscnn.onnx", "--data", "DATA/models/mlperf-tiny/keyword_spotting/eval/kws.npz",
		"--activations", "int8", "--budget", "1pp"}, 3, 3.5, false},
	{"magika", []string{"DATA/models/magika/standard_v3_3/model.onnx", "--data", "unlabeled:DATA/models/magika/eval/samples.npz", "--budget", "kl:0.01"}, 3.5, 6, false},
	{"silero", spoken("models/silero-vad/silero_vad_16k_op15.onnx"), 3, 0, true},
	{"dtln 1", spoken("models/dtln/model_1.onnx"), 3, 0, false},
	{"dtln 2", spoken("models/dtln/model_2.onnx"), 3, 0, false},
	{"dnsmos", spoken("models/dnsmos/sig_bak_ovr.onnx"), 3, 0, false},
}

// resnetPixels are mean and spread of the images that resnet20 was trained on.
const resnetPixels = "0.485:0.456:0.406,0.229:0.224:0.225"

// reproduceFlags are the settings of reproduce.
type reproduceFlags struct {
	data     string
	examples string
	only     []string
	quick    bool
	full     bool
}

func (a *app) reproduceCommand() *cobra.Command {
	var f reproduceFlags
	long := `Compute a table of figures again, from real models and data.

The data folder holds models/ and datasets/. --out is written anew after every row.

Every row of compression is a run of this program with the command that the table
shows. A row is ok if the written file keeps its budget (MET), was verified, and is as
small as published. Models of speech are judged by examples made from a recording,
with the states that the models carry from frame to frame; --examples keeps them.

ends has no paper's networks but its equations: predicted and measured stand side by
side for small networks trained here. With --quick it needs no data folder.

The other tables train the networks of a paper, for about a quarter of an hour on two
processors, with --full as long as published, which takes hours or days. Published
and measured errors stand side by side, with 95 % intervals over the test examples. A
row is ok if its error is not larger than published, or may be so by chance.

Tables:
`
	for _, t := range tables {
		long += fmt.Sprintf("    %-14s %s\n", t.name, t.about)
	}
	c := &cobra.Command{
		Use:     "reproduce NAME",
		Short:   "Compute a published table again, from real models and data",
		Long:    long,
		Example: "  compactify reproduce compression --data ../shared/data --quick\n  compactify reproduce compression --data ../shared/data --out docs/results.md\n  compactify reproduce dropout --data ../shared/data",
		Args:    want("NAME"),
		RunE:    func(c *cobra.Command, args []string) error { return a.reproduce(c.Context(), f, args[0]) },
	}
	flags := c.Flags()
	flags.StringVar(&f.data, "data", "../shared/data", "folder that holds the models and the data sets")
	flags.StringVar(&f.examples, "examples", "", "folder to keep examples in that are made from recordings (default: a temporary one)")
	flags.StringSliceVar(&f.only, "only", nil, "rows to compute, by name (default: all of them)")
	flags.BoolVar(&f.quick, "quick", false, "only the rows that take a minute or less; of a paper's table all rows, trained just long enough to see that they run")
	flags.BoolVar(&f.full, "full", false, "train a paper's networks as long as published")
	return c
}

// reproduceResult is the JSON object of reproduce.
type reproduceResult struct {
	Table   string         `json:"table"`
	Rows    []reproduceRow `json:"rows"`
	File    string         `json:"file,omitempty"`
	Machine string         `json:"machine"`
	Date    string         `json:"date"`
	Version string         `json:"version"`
	Seed    uint64         `json:"seed"`
	Seconds float64        `json:"seconds"`

	missing int // rows that are still to come
}

// reproduceRow is one figure.
type reproduceRow struct {
	Name      string  `json:"name"`
	Published float64 `json:"published"` // how many times smaller the file must be
	Goal      float64 `json:"goal,omitempty"`
	Source    string  `json:"source"`
	Measured  float64 `json:"measured"` // how many times smaller it is
	OK        bool    `json:"ok"`
	Command   string  `json:"command"`
	Problem   string  `json:"problem,omitempty"` // why there is no figure
	outcome
}

// outcome is what the table needs of a run's JSON.
type outcome struct {
	Baseline struct {
		Metric any `json:"metric"`
		Bytes  int `json:"bytes"`
	} `json:"baseline"`
	Compact struct {
		Metric any `json:"metric"`
		Bytes  int `json:"bytes"`
	} `json:"compact"`
	Budget compress.Contract `json:"budget"`
	Verify struct {
		OK bool `json:"ok"`
	} `json:"verify"`
	Rejected string  `json:"rejected,omitempty"`
	SHA256   string  `json:"sha256"`
	Seconds  float64 `json:"seconds"`
}

// required is where the figures of the table of compression come from.
const required = "the project's requirements"

func (a *app) reproduce(ctx context.Context, f reproduceFlags, name string) error {
	start := time.Now()
	i := slices.IndexFunc(tables, func(t table) bool { return t.name == name })
	if i < 0 {
		var names []string
		for _, t := range tables {
			names = append(names, t.name)
		}
		return usage(fmt.Errorf("table %q: unknown, want %s", name, strings.Join(names, " or ")))
	}
	if f.quick && f.full {
		return usage(errors.New("--quick and --full exclude each other"))
	}
	rows, networks, err := tables[i].chosen(f)
	if err != nil {
		return err
	}
	builtIn := networks != nil && !slices.ContainsFunc(networks, func(n endsNetwork) bool { return strings.HasPrefix(n.source, "DATA") })
	if info, err := os.Stat(f.data); !builtIn && (err != nil || !info.IsDir()) {
		return fmt.Errorf("--data %q: want a folder that holds models and datasets", f.data)
	}
	if a.out != "" {
		if err := a.checkFile(a.out); err != nil {
			return err
		}
	}
	if e := tables[i].experiment; e != nil {
		return a.reproduceExperiment(ctx, f, e)
	}
	if networks != nil {
		return a.reproduceEnds(ctx, f, networks)
	}
	folder, err := os.MkdirTemp("", "compactify-reproduce-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	shown := cmp.Or(f.examples, "EXAMPLES")
	f.examples = cmp.Or(f.examples, filepath.Join(folder, "examples"))
	r := &reproduceResult{Table: name, Rows: []reproduceRow{}, Machine: machine(),
		Date: start.UTC().Format(time.DateOnly), Version: compress.Version, Seed: a.seed, File: a.out}
	for k, j := range rows {
		a.report.progress(j.name, float64(k)/float64(len(rows)))
		row, err := a.row(ctx, j, f, shown, filepath.Join(folder, fmt.Sprint(k)))
		if err != nil {
			return err
		}
		r.Rows = append(r.Rows, row)
		r.Seconds, r.missing = time.Since(start).Seconds(), len(rows)-k-1
		if a.out == "" {
			continue
		}
		if err := a.writeFile(a.out, r.markdown()); err != nil {
			return err
		}
		a.force = true // from here on the file is this run's own
	}
	return a.print(r, func(w io.Writer) { r.text(w) })
}

// machine says what computes.
func machine() string {
	return fmt.Sprintf("%s/%s, %s", runtime.GOOS, runtime.GOARCH, words.Count(runtime.NumCPU(), "processor", "processors"))
}

// chosen are the rows that the flags ask for: jobs, or networks.
func (t table) chosen(f reproduceFlags) (jobs []job, networks []endsNetwork, err error) {
	if t.experiment != nil {
		_, err := chosenRows(t.experiment, f.only)
		return nil, nil, err
	}
	if f.full {
		return nil, nil, usage(fmt.Errorf("--full: table %s has no longer form", t.name))
	}
	if t.ends != nil {
		networks, err = pick(t.ends, f)
		return nil, networks, err
	}
	jobs, err = pick(t.rows, f)
	return jobs, nil, err
}

// pick keeps those of all rows that the flags ask for.
func pick[R interface {
	called() (name string, quick bool)
}](all []R, f reproduceFlags) (rows []R, err error) {
	known := make(map[string]bool)
	for _, r := range all {
		name, quick := r.called()
		known[name] = true
		if (!f.quick || quick) && (len(f.only) == 0 || slices.Contains(f.only, name)) {
			rows = append(rows, r)
		}
	}
	for _, name := range f.only {
		if !known[name] {
			return nil, usage(fmt.Errorf("--only %q: there is no such row", name))
		}
	}
	if len(rows) == 0 {
		return nil, usage(errors.New("--only and --quick leave no rows"))
	}
	return rows, nil
}

// row runs one job as a user would. A run that fails is a row with its problem;
// the error is that of a context that ended.
func (a *app) row(ctx context.Context, j job, f reproduceFlags, examples, out string) (reproduceRow, error) {
	places := strings.NewReplacer("DATA", filepath.ToSlash(f.data), "MADE", filepath.ToSlash(examples))
	r := reproduceRow{Name: j.name, Published: j.least, Goal: j.goal, Source: required,
		Command: places.Replace(strings.Join(append([]string{"compactify", "run"}, j.args...), " "))}
	args := []string{"run", "--json", "--quiet", "--out", out, "--seed", fmt.Sprint(a.seed), "--threads", fmt.Sprint(a.threads), "--kernel", a.kernel}
	for _, arg := range j.args {
		args = append(args, strings.NewReplacer("DATA", f.data, "MADE", f.examples).Replace(arg))
	}
	if err := a.makeExamples(ctx, j, f); err != nil {
		r.Problem = err.Error()
		return r, ctx.Err()
	}
	var object, problems bytes.Buffer
	run(ctx, args, strings.NewReader(""), &object, &problems)
	if err := ctx.Err(); err != nil {
		return r, err
	}
	var failed failure
	err := json.Unmarshal(object.Bytes(), &r.outcome)
	if err == nil {
		err = json.Unmarshal(object.Bytes(), &failed)
	}
	if err != nil || r.Compact.Bytes == 0 {
		r.Problem = cmp.Or(failed.Error, r.Rejected, strings.TrimSpace(problems.String()), "the run said nothing")
		return r, nil
	}
	r.Measured = float64(r.Baseline.Bytes) / float64(r.Compact.Bytes)
	r.OK = r.Budget.Verdict != compress.NotMet && r.Verify.OK && r.Measured >= j.least
	return r, nil
}

// cells are what the table shows of a row.
func (r reproduceRow) cells() []string {
	goal, ok := "", "**no**"
	if r.Goal > 0 {
		goal = words.Significant(r.Goal, 3) + "×"
	}
	if r.OK {
		ok = "yes"
	}
	if r.Problem != "" {
		return []string{r.Name, "", "", "", words.Significant(r.Published, 3) + "×", goal, "", "", "", r.Problem, "", "", ok}
	}
	spent := func(x float64) string { return words.Significant(x, 3) }
	return []string{r.Name, words.Grouped(r.Baseline.Bytes), words.Grouped(r.Compact.Bytes), words.Fixed(r.Measured, 2) + "×", words.Significant(r.Published, 3) + "×", goal,
		share(r.Baseline.Metric), share(r.Compact.Metric),
		fmt.Sprintf("%s %s [%s, %s]", spent(float64(r.Budget.Measured)), r.Budget.Kind, spent(float64(r.Budget.CI95[0])), spent(float64(r.Budget.CI95[1]))),
		string(r.Budget.Verdict), fmt.Sprint(r.Verify.OK), fmt.Sprintf("%.0f", r.Seconds), ok}
}

// share is a metric in percent, "" where there is none.
func share(metric any) string {
	if x, ok := metric.(float64); ok {
		return words.Percent(x, 2)
	}
	return ""
}

var reproduceHead = []string{"model", "bytes before", "after", "smaller", "at least", "goal", "metric before", "after", "spent [95 % interval]", "verdict", "verified", "seconds", "ok"}

// markdown is the table as a page.
func (r *reproduceResult) markdown() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Results on real models\n\nWritten by `compactify reproduce %s --out FILE`, version %s, seed %d, on %s, %s. No figure is typed by hand.\n", r.Table, r.Version, r.Seed, r.Date, r.Machine)
	fmt.Fprintf(&b, "What was spent of the budget is measured on held-out examples, from the written file, with its paired 95 %% interval.\n\n")
	fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(reproduceHead, " | "), strings.Repeat("---|", len(reproduceHead)))
	for _, row := range r.Rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row.cells(), " | "))
	}
	if r.missing > 0 {
		fmt.Fprintf(&b, "\nNot finished: %s missing.\n", words.Count(r.missing, "row is", "rows are"))
	}
	fmt.Fprintf(&b, "\nCommands:\n\n")
	for _, row := range r.Rows {
		fmt.Fprintf(&b, "* %s: `%s`\n", row.Name, row.Command)
	}
	return b.Bytes()
}

func (r *reproduceResult) text(w io.Writer) {
	rows := [][]string{reproduceHead}
	for _, row := range r.Rows {
		rows = append(rows, row.cells())
	}
	columns(w, rows)
	for _, row := range r.Rows {
		fmt.Fprintf(w, "\n%s:\n    %s\n", row.Name, row.Command)
	}
}
