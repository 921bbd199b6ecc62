package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/compress"
	store "github.com/compactify/compactify/internal/run"
)

// Ctrl-C ends the program within two seconds, with status 130, one JSON object,
// and no half-written file.
func TestInterrupt(t *testing.T) {
	const slack = 5 * time.Second // other tests keep the cores busy, and the race detector slows them tenfold
	t.Chdir(t.TempDir())
	for _, args := range [][]string{
		{"train", "--epochs", "1000", "--json", "--out", "m.onnx"},
		{"run", "--json"},
	} {
		ctx, cancel := context.WithCancel(context.Background())
		var stdout, stderr bytes.Buffer
		stopped := make(chan time.Time, 1)
		time.AfterFunc(400*time.Millisecond, func() { stopped <- time.Now(); cancel() })
		status := run(ctx, args, strings.NewReader(""), &stdout, &stderr)
		if late := time.Since(<-stopped); late > patience+slack {
			t.Errorf("%v: stopped after %v, want at most %v", args, late, patience+slack)
		}
		if status != 130 {
			t.Errorf("%v: exit status %d, want 130; %s", args, status, &stderr)
		}
		if args[0] == "run" && !strings.Contains(stderr.String(), "compactify: error: stopped") {
			t.Errorf("%v: got %s, want it to say that it was stopped", args, &stderr)
		}
		var object map[string]any
		if err := json.Unmarshal(stdout.Bytes(), &object); err != nil {
			t.Errorf("%v: standard output: %v: %s", args, err, &stdout)
		}
	}
}

// TestStoppedBeforeAFit: a run that is stopped early says that there is no model.
func TestStoppedBeforeAFit(t *testing.T) {
	folder, err := store.Create(filepath.Join(t.TempDir(), "out"), false)
	if err != nil {
		t.Fatal(err)
	}
	a := &app{report: newReporter(&bytes.Buffer{})}
	err = a.conclude(folder, &compress.Result{}, "m", context.Canceled)
	if f := failureOf(err, "run"); f.Error != "stopped before any model was measured to fit" || f.Exit != 130 {
		t.Errorf("got %+v, want it to say that no model fits yet, and 130", f)
	}
	if _, err := os.Stat(folder.Dir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("folder: got %v, want none", err)
	}
}

func TestExitStatus(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0}, {errors.New("x"), 1}, {usage(errors.New("x")), 2}, {&compress.NoFitError{}, 3}, {&tooLargeError{}, 3},
		{&refutedError{}, 4}, {context.Canceled, 130}, {fmt.Errorf("a: %w", errors.Join(errors.New("x"), context.Canceled)), 130},
		{fmt.Errorf("a: %w", usage(errors.New("x"))), 2},
	} {
		if got := exitStatus(c.err); got != c.want {
			t.Errorf("exit status of %v: got %d, want %d", c.err, got, c.want)
		}
	}
}

func TestHint(t *testing.T) {
	err := &compress.NoFitError{Reason: "x", WouldFit: compactify.Budget{Kind: compactify.LossRise, Limit: 0.04}}
	if got, want := hintFor(err, "run"), "--budget 0.04nats would fit"; got != want {
		t.Errorf("hint: got %q, want %q", got, want)
	}
	err.Kept, err.WouldFitBytes = "out/model.rejected.onnx", 900
	want := "the model, kept as out/model.rejected.onnx, needs 0.04nats and 900 bytes; a run with that budget would choose another, smaller one; more examples (--data, --eval) make the choice surer"
	if got := hintFor(err, "run"); got != want {
		t.Errorf("hint where the held-out examples disagree: got %q, want %q", got, want)
	}
	if got := hintFor(&compress.NoFitError{Kept: "k"}, "run"); got != "the model is kept as k; more examples (--data, --eval) make the choice surer" {
		t.Errorf("hint where no budget would do: got %q", got)
	}
	if got := hintFor(errors.New("x"), "run"); got != "" {
		t.Errorf("hint for an unknown error: %q", got)
	}
}

func TestByteCount(t *testing.T) {
	for s, want := range map[string]byteCount{"1": 1, "20kB": 20000, "1.5 GiB": 3 << 29, "2M": 2e6, "7B": 7, "1KiB": 1024} {
		var n byteCount
		if err := n.Set(s); err != nil || n != want {
			t.Errorf("%q: got %d, %v, want %d", s, n, err, want)
		}
	}
	for _, s := range []string{"", "0", "-1", "kB", "1e30GB", "NaN", "Inf", "1.2.3", "5 apples"} {
		var n byteCount
		if err := n.Set(s); err == nil {
			t.Errorf("%q: got %d, want an error", s, n)
		}
	}
}

// Beside a terminal a line appears at once and then every few seconds; on one,
// a bar that is gone at the end.
func TestReporter(t *testing.T) {
	var lines bytes.Buffer
	r := newReporter(&lines)
	for i := range 100 {
		r.progress("working", float64(i)/100)
	}
	r.end()
	r.progress("working", 1)
	if got, want := lines.String(), "compactify: working:   0 %\n"; got != want {
		t.Errorf("lines: got %q, want %q", got, want)
	}

	var bar bytes.Buffer
	r = newReporter(&bar)
	r.terminal, r.width = true, func() int { return 0 }
	r.progress("working", 0.5)
	if !strings.Contains(bar.String(), "████████████░░░░░░░░░░░░  50 % working") {
		t.Errorf("bar: got %q", bar.String())
	}
	r.line("a note")
	if !strings.HasSuffix(bar.String(), "\r\x1b[Ka note\n") {
		t.Errorf("a note among bars: got %q", bar.String())
	}
}

// TestBarLine: a line that is wider than the terminal would wrap, and stay.
func TestBarLine(t *testing.T) {
	const text = " 50 %, about 12 s left measuring layers"
	for _, c := range []struct {
		width int
		want  string
	}{
		{0, "████████████░░░░░░░░░░░░ " + text},
		{120, "████████████░░░░░░░░░░░░ " + text},
		{50, "████░░░░░ " + text},
		{40, " 50 %, about 12 s left measuring layers"},
		{30, " 50 %, about 12 s left measuri"[:29]},
		{1, ""},
	} {
		got := barLine(c.width, 0.5, text)
		if got != c.want || c.width > 0 && len([]rune(got)) >= c.width {
			t.Errorf("width %d: got %q, want %q", c.width, got, c.want)
		}
	}
}

func TestDumbTerminal(t *testing.T) {
	t.Setenv("TERM", "dumb")
	if r := newReporter(os.Stderr); r.terminal {
		t.Error("a dumb terminal gets a bar, want lines")
	}
}

func TestRemaining(t *testing.T) {
	if got := remaining(10*time.Second, 0.25); got != 30*time.Second {
		t.Errorf("got %v, want 30s", got)
	}
	for _, done := range []float64{0, 0.001, 1} {
		if got := remaining(10*time.Second, done); got != 0 {
			t.Errorf("at %v: got %v, want unknown", done, got)
		}
	}
}
