package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/compactify/compactify/internal/words"
	"golang.org/x/term"
)

// reporter shows how far a command is: a bar on a terminal, otherwise a line
// every few seconds.
type reporter struct {
	mu       sync.Mutex
	to       io.Writer
	terminal bool
	width    func() int // of the terminal, in characters; 0 means unknown
	silent   bool
	start    time.Time
	next     time.Time // when to show something again
	shown    bool      // a bar is on the terminal's line
	closed   bool      // nothing may be written any more
}

const (
	barEvery  = 100 * time.Millisecond
	lineEvery = 5 * time.Second
	barWidth  = 24
	barLeast  = 4               // a shorter bar says nothing
	etaAfter  = 2 * time.Second // before, a guess would be noise
)

// newReporter reports to a terminal that can take a line back, or to anything else
// line by line.
func newReporter(to io.Writer) *reporter {
	f, ok := to.(*os.File)
	r := &reporter{to: to, terminal: ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"}
	r.width = func() int {
		n, _, err := term.GetSize(int(f.Fd()))
		if err != nil {
			return 0
		}
		return n
	}
	return r
}

func (r *reporter) silence() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.silent = true
}

// progress says what is being done and which share of the whole is done.
func (r *reporter) progress(stage string, done float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if r.silent || now.Before(r.next) {
		return
	}
	if r.start.IsZero() {
		r.start = now
	}
	done = max(0, min(1, done))
	left := remaining(now.Sub(r.start), done)
	if !r.terminal {
		r.next = now.Add(lineEvery)
		fmt.Fprintf(r.to, "compactify: %s: %s\n", stage, status(done, left))
		return
	}
	r.next = now.Add(barEvery)
	fmt.Fprintf(r.to, "\r\x1b[K%s", barLine(r.width(), done, status(done, left)+" "+stage))
	r.shown = true
}

// barLine is a bar with a text on one line of a terminal of the given width, 0 for
// any: a line that wraps could not be taken back. The bar gets shorter first, then
// the text is cut.
func barLine(width int, done float64, text string) string {
	letters, bar := []rune(text), barWidth
	if room := width - 1; width > 0 {
		if bar = min(barWidth, room-1-len(letters)); bar < barLeast {
			return string(letters[:max(0, min(len(letters), room))])
		}
	}
	full := int(done * float64(bar))
	return strings.Repeat("█", full) + strings.Repeat("░", bar-full) + " " + text
}

func status(done float64, left time.Duration) string {
	s := fmt.Sprintf("%3.0f %%", 100*done)
	if left > 0 {
		s += ", about " + words.Duration(left.Round(time.Second).Seconds()) + " left"
	}
	return s
}

// remaining guesses the time left from the share done; 0 means unknown.
func remaining(spent time.Duration, done float64) time.Duration {
	if spent < etaAfter || done < 0.01 || done >= 1 {
		return 0
	}
	return time.Duration(float64(spent) * (1 - done) / done)
}

// line writes a line, and lets a bar go on below it.
func (r *reporter) line(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.clear()
	fmt.Fprintln(r.to, s)
}

// last writes the last thing that the program says; a command that was left
// behind stays mute.
func (r *reporter) last(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clear()
	fmt.Fprint(r.to, text)
	r.silent, r.closed = true, true
}

// end takes the bar away and shows no more.
func (r *reporter) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clear()
	r.silent = true
}

func (r *reporter) clear() {
	if r.shown {
		fmt.Fprint(r.to, "\r\x1b[K")
		r.shown = false
	}
}
