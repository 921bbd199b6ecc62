// Command acceptance runs the main job on real models as a user would, through
// the command line, and writes what came of it as a table: no figure in that
// table is typed by hand.
//
//	go run ./bench/acceptance -data ../shared/data -out docs/results.md
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// row is one job with what is asked of it.
type row struct {
	name  string
	args  []string // behind "compactify run"; DATA stands for the data folder
	least float64  // how many times smaller the file must be
}

var rows = []row{
	{"lenet5 trained on glyphs", nil, 8},
	{"mnist-pytorch", []string{"DATA/models/mnist-pytorch/cnn_mnist_pytorch.onnx", "--data", "DATA/datasets/mnist",
		"--normalize", "0.1307,0.3081", "--budget", "0.5pp"}, 8},
	{"burn-mnist", []string{"DATA/models/burn-mnist/mnist.onnx", "--data", "DATA/datasets/mnist",
		"--normalize", "0.1307,0.3081", "--budget", "0.5pp"}, 12},
	{"resnet20", []string{"DATA/models/resnet-cifar10/resnet20.onnx", "--data", "DATA/datasets/cifar10/data_batch_1-first4000.bin.gz",
		"--eval", "DATA/datasets/cifar10/test-jpeg75.tar.gz", "--normalize", "0.485:0.456:0.406,0.229:0.224:0.225"}, 3.5},
}

// outcome is what the table needs of the command's JSON.
type outcome struct {
	Baseline struct {
		Metric float64
		Bytes  int
	}
	Compact struct {
		Metric float64
		Bytes  int
	}
	Budget struct {
		Measured float64
		CI95     [2]float64
		Verdict  string
	}
	Verify struct {
		OK bool
	}
	SHA256  string
	Seconds float64
}

func main() {
	data := flag.String("data", "../shared/data", "folder of the models and data sets")
	out := flag.String("out", "", "file to write; empty means standard output")
	only := flag.String("only", "", "run only the row with this name")
	flag.Parse()
	text, err := table(*data, *only)
	if err == nil && *out != "" {
		err = os.WriteFile(*out, text, 0o666)
	} else if err == nil {
		_, err = os.Stdout.Write(text)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "acceptance:", err)
		os.Exit(1)
	}
}

func table(data, only string) ([]byte, error) {
	folder, err := os.MkdirTemp("", "acceptance")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	binary := filepath.Join(folder, "compactify")
	if msg, err := exec.Command("go", "build", "-o", binary, "./cmd/compactify").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build: %w: %s", err, msg)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Results on real models\n\nWritten by `go run ./bench/acceptance -out docs/results.md` at commit %s, %s, %s/%s with %d processors; run alone, seconds include reading the data.\n",
		commit(), time.Now().UTC().Format("2006-01-02"), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	fmt.Fprintf(&b, "The drop is of held-out accuracy, in percentage points, measured from the exported file with its paired 95 %% interval.\n\n")
	fmt.Fprintf(&b, "| model | bytes before | bytes after | smaller | at least | accuracy before | after | drop | verdict | read back | seconds | ok |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	var commands []string
	for i, r := range rows {
		if only != "" && r.name != only {
			continue
		}
		line, err := r.run(binary, data, filepath.Join(folder, fmt.Sprint(i)))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.name, err)
		}
		b.WriteString(line)
		commands = append(commands, fmt.Sprintf("* %s: `%s`", r.name, strings.ReplaceAll(strings.Join(append([]string{"compactify run"}, r.args...), " "), "DATA", "../shared/data")))
	}
	fmt.Fprintf(&b, "\nCommands:\n\n%s\n", strings.Join(commands, "\n"))
	return b.Bytes(), nil
}

func (r row) run(binary, data, out string) (string, error) {
	args := []string{"run"}
	for _, a := range r.args {
		args = append(args, strings.ReplaceAll(a, "DATA", data))
	}
	cmd := exec.Command(binary, append(args, "--json", "--quiet", "--out", out)...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	start := time.Now()
	text, err := cmd.Output()
	seconds := time.Since(start).Seconds()
	if err != nil && len(text) == 0 {
		return "", fmt.Errorf("%w: %s", err, errs.String())
	}
	var o outcome
	if err := json.Unmarshal(text, &o); err != nil {
		return "", fmt.Errorf("read the result: %w: %s", err, errs.String())
	}
	ratio := float64(o.Baseline.Bytes) / float64(o.Compact.Bytes)
	ok := "yes"
	if o.Budget.Verdict != "MET" || ratio < r.least || !o.Verify.OK {
		ok = "**no**"
	}
	return fmt.Sprintf("| %s | %d | %d | %.2f× | %g× | %.2f %% | %.2f %% | %.2f [%.2f, %.2f] | %s | %v | %.0f | %s |\n",
		r.name, o.Baseline.Bytes, o.Compact.Bytes, ratio, r.least, 100*o.Baseline.Metric, 100*o.Compact.Metric,
		o.Budget.Measured, o.Budget.CI95[0], o.Budget.CI95[1], o.Budget.Verdict, o.Verify.OK, seconds, ok), nil
}

func commit() string {
	out, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	dirty, _ := exec.Command("git", "status", "--porcelain", "--untracked-files=no").Output()
	if len(bytes.TrimSpace(dirty)) > 0 {
		return strings.TrimSpace(string(out)) + " with changes"
	}
	return strings.TrimSpace(string(out))
}
