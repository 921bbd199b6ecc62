package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A stage that takes long is said to go on, and no guess is made of what is left.
func TestDuring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines bytes.Buffer
		a := &app{report: newReporter(&lines)}
		failed := errors.New("failed")
		if err := a.during("fitting", func() error { time.Sleep(11500 * time.Millisecond); return failed }); err != failed {
			t.Errorf("error: got %v, want that of the work", err)
		}
		got := strings.Split(strings.TrimSpace(lines.String()), "\n")
		want := []string{"compactify: fitting:   0 %", "compactify: fitting for 5 s:   0 %", "compactify: fitting for 10 s:   0 %"}
		if strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("lines: got %q, want %q", got, want)
		}
	})
}
