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
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/compactify/compactify/compress"
	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/internal/kernel"
	store "github.com/compactify/compactify/internal/run"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// app is one call of the program.
type app struct {
	settings
	args    []string
	command string // the command under way, without the program's name
	pool    *kernel.Pool
	report  *reporter
	stop    context.CancelCauseFunc // ends the command

	mu      sync.Mutex
	made    *store.Folder // the folder that the command writes; nil once it is sealed
	stdout  io.Writer
	printed bool
}

// settings are the flags of all commands.
type settings struct {
	json      bool
	seed      uint64
	threads   int
	out       string
	force     bool
	maxMemory byteCount
	maxBytes  byteCount
	kernel    string
	quiet     bool
}

// maxThreads is more than any machine has cores.
const maxThreads = 4096

// patience is how long a command may take to end after Ctrl-C: the promise of
// two seconds, less what printing and a busy machine take.
const patience = 1500 * time.Millisecond

// run is the whole program. It returns the exit status.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{args: args, stdout: stdout, report: newReporter(stderr)}
	asJSON := slices.Contains(args, "--json") // also when the flags cannot be parsed
	a.json = asJSON
	root := a.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	ctx, a.stop = context.WithCancelCause(ctx)
	defer a.stop(nil)
	done := make(chan error, 1)
	go func() { done <- a.execute(ctx, root) }()
	select {
	case err := <-done:
		return a.finish(reasonFor(ctx, err))
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return a.finish(reasonFor(ctx, err))
	case <-time.After(patience):
		a.abandon()
		f := failureOf(reasonFor(ctx, context.Canceled), "")
		a.fail(f, asJSON)
		return f.Exit
	}
}

// reasonFor is the error of a command that was stopped: why it was, if not by Ctrl-C.
func reasonFor(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(err, context.Canceled) && ctx.Err() != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// execute runs the command that the arguments name. An error before it started
// is one of usage.
func (a *app) execute(ctx context.Context, root *cobra.Command) (err error) {
	started := false
	defer func() {
		if p := recover(); p != nil {
			err = errors.Join(fmt.Errorf("%s: internal error: %v\n%s", a.command, p, debug.Stack()), a.abandon())
		}
	}()
	for _, c := range root.Commands() {
		if body := c.RunE; body != nil {
			c.RunE = func(c *cobra.Command, args []string) error {
				started = true
				return a.start(c, args, body)
			}
		}
	}
	c, err := root.ExecuteContextC(ctx)
	if err != nil && !started {
		if c.HasParent() {
			a.command = c.Name()
		}
		return usage(plain(err))
	}
	return err
}

// plain says in words what is wrong with the value of a flag that is a number.
func plain(err error) error {
	var (
		invalid *pflag.InvalidValueError
		number  *strconv.NumError
	)
	if !errors.As(err, &invalid) || !errors.As(err, &number) {
		return err
	}
	want := map[string]string{"float64": "a number", "int": "a whole number", "uint64": "a whole number of 0 or more", "intSlice": "whole numbers with commas between them", "float64Slice": "numbers with commas between them"}
	flag := invalid.GetFlag()
	if number.Err == strconv.ErrRange {
		return fmt.Errorf("--%s: got %q, which is too large or too small", flag.Name, invalid.GetValue())
	}
	return fmt.Errorf("--%s: got %q, want %s", flag.Name, invalid.GetValue(), cmp.Or(want[flag.Value.Type()], "a number"))
}

// collectAt is the garbage collected at, in percent of what is in use: half of
// Go's default. The program makes little garbage but for whole programs' tensors
// when it goes from one stage to the next, so this costs next to nothing and saves
// a fifth of the resident memory.
const collectAt = 50

// start prepares what all commands need.
func (a *app) start(c *cobra.Command, args []string, body func(*cobra.Command, []string) error) error {
	a.command = c.Name()
	set, err := kernel.ParseSet(a.kernel)
	if err != nil {
		return usage(fmt.Errorf("--kernel: %w", err))
	}
	if a.threads < 0 || a.threads > maxThreads {
		return usage(fmt.Errorf("--threads: got %d, want 0 (all cores) to %d", a.threads, maxThreads))
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	if a.maxMemory > 0 {
		engine.LimitMemory(int(a.maxMemory))
		defer a.watchMemory()()
	}
	if a.threads > 0 {
		runtime.GOMAXPROCS(a.threads)
	}
	a.pool = kernel.NewPool(a.threads, set)
	defer a.pool.Close()
	if a.quiet {
		a.report.silence()
	}
	defer a.report.end()
	return body(c, args)
}

// finish ends the program after its command: it says what went wrong and returns
// the status.
func (a *app) finish(err error) int {
	a.report.end()
	if err == nil {
		return 0
	}
	f := failureOf(err, a.command)
	a.fail(f, a.json)
	return f.Exit
}

// failureOf describes an error of a command.
func failureOf(err error, command string) failure {
	f := failure{Error: err.Error(), Hint: hintFor(err, command), Exit: exitStatus(err)}
	var early *stoppedError
	switch {
	case errors.As(err, &early):
		f.Error = early.Error()
	case errors.Is(err, context.Canceled):
		f.Error = "stopped"
	}
	return f
}

// fail says what went wrong, as the last word: a command that was left behind,
// whose fields must not be read here, prints nothing more.
func (a *app) fail(f failure, asJSON bool) {
	text := fmt.Sprintf("compactify: error: %s\n", f.Error)
	if f.Hint != "" {
		text += fmt.Sprintf("compactify: hint: %s\n", f.Hint)
	}
	a.report.last(text)
	a.mu.Lock()
	defer a.mu.Unlock()
	if asJSON && !a.printed {
		a.printJSON(f)
	}
	a.printed = true
}

// failure is the JSON object of a command that came to nothing.
type failure struct {
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`
	Exit  int    `json:"exit"`
}

// print writes a command's result: an object with --json, else what text
// writes.
func (a *app) print(result any, text func(io.Writer)) error {
	a.report.end()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.printed {
		return nil
	}
	a.printed = true
	if a.json {
		return a.printJSON(result)
	}
	var b bytes.Buffer
	text(&b)
	_, err := a.stdout.Write(b.Bytes())
	return err
}

func (a *app) printJSON(v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err == nil {
		_, err = a.stdout.Write(append(b, '\n'))
	}
	return err
}

// note tells the user something on standard error.
func (a *app) note(format string, args ...any) {
	if !a.quiet {
		a.report.line("compactify: " + fmt.Sprintf(format, args...))
	}
}

// asked is the record of a call.
type asked struct {
	Command string   `json:"command"`
	Args    []string `json:"args"`
	Seed    uint64   `json:"seed"`
	Version string   `json:"version"`
	Kernel  string   `json:"kernel"`
}

func (a *app) asked() asked {
	return asked{Command: a.command, Args: a.args, Seed: a.seed, Version: compress.Version, Kernel: a.pool.Set().String()}
}
