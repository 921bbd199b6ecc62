package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/linear"
)

const linearUsage = "ours linear TAG N P FAMILY[:CLASSES] ALPHA STANDARDIZE GAP REPEATS [THREADS] [glmnet]"

// linearPath fits a problem of peers/linear_data.py or peers/glmnet_agree.R in
// $PEERS_DIR on the λ written there, prints the median of the seconds, the megabytes
// that the process held at most beyond those before it read the data, the worst gap that
// it certifies itself, relative to the objective, and the coefficients that are not 0 at
// the last λ; and writes TAG.ALPHA.ours.beta and .intercept. With "glmnet" α and λ are
// glmnet's.
func linearPath(args []string) error {
	w, err := parseLinear(args)
	if err != nil {
		return fmt.Errorf("%w; usage: %s", err, linearUsage)
	}
	const garbage = 10 // percent of what is held: the data are most of it
	debug.SetGCPercent(garbage)
	before, err := held("VmRSS")
	if err != nil {
		return err
	}
	if err := w.read(); err != nil {
		return err
	}
	var path *linear.Path
	var seconds []float64
	for range w.repeats {
		path = nil
		debug.FreeOSMemory() // or the garbage of one fit, or of reading, counts as memory of the next
		start := time.Now()
		if path, err = linear.Fit(context.Background(), w.problem, w.penalty, w.options); err != nil {
			return err
		}
		seconds = append(seconds, time.Since(start).Seconds())
	}
	most, err := held("VmHWM")
	if err != nil {
		return err
	}
	slices.Sort(seconds)
	gap := 0.0
	for _, p := range path.Points {
		gap = max(gap, p.Gap)
	}
	last := path.Points[len(path.Points)-1]
	fmt.Printf("%.4f %.1f %.2e %d\n", seconds[len(seconds)/2], most-before, gap, len(last.Index))
	return w.write(path)
}

// linearWork is one problem and how to fit it.
type linearWork struct {
	base, alpha string // of the files' names
	n, p        int
	repeats     int
	theirs      bool // λ and α are glmnet's
	problem     linear.Problem
	penalty     linear.Penalty
	options     linear.Options
}

func parseLinear(args []string) (*linearWork, error) {
	if len(args) < 8 || len(args) > 10 {
		return nil, fmt.Errorf("linear: got %d arguments, want 8 to 10", len(args))
	}
	w := &linearWork{base: os.Getenv("PEERS_DIR") + "/" + args[0], alpha: args[4]}
	var errs [5]error
	w.n, errs[0] = strconv.Atoi(args[1])
	w.p, errs[1] = strconv.Atoi(args[2])
	w.penalty.Alpha, errs[2] = strconv.ParseFloat(args[4], 64)
	w.options.Gap, errs[3] = strconv.ParseFloat(args[6], 64)
	w.repeats, errs[4] = strconv.Atoi(args[7])
	for _, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("linear: %w", err)
		}
	}
	family, classes, _ := strings.Cut(args[3], ":")
	families := []linear.Family{linear.Gaussian, linear.Binomial, linear.Multinomial, linear.Poisson}
	at := slices.IndexFunc(families, func(f linear.Family) bool { return f.String() == family })
	if at < 0 {
		return nil, fmt.Errorf("linear: family: got %q, want one of %v", family, families)
	}
	w.problem.Family = families[at]
	if classes != "" {
		n, err := strconv.Atoi(classes)
		if err != nil {
			return nil, fmt.Errorf("linear: classes: %w", err)
		}
		w.problem.Classes = n
	}
	w.options.Intercept = args[5] != "0"
	w.options.Standardize = args[5] == "1"
	for _, arg := range args[8:] {
		if arg == "glmnet" {
			w.theirs = true
		} else if threads, err := strconv.Atoi(arg); err != nil {
			return nil, fmt.Errorf("linear: threads: %w", err)
		} else if threads > 1 {
			w.options.Pool = kernel.NewPool(threads, kernel.Best())
		}
	}
	return w, nil
}

// read sets the matrix, the targets and the λ.
func (w *linearWork) read() error {
	var err error
	if _, statErr := os.Stat(w.base + ".start"); statErr == nil {
		err = w.readSparse()
	} else {
		var x []float64
		if x, err = readRaw[float64](w.base + ".X"); err == nil {
			w.problem.X, err = linear.NewDense(w.n, w.p, x)
		}
	}
	if err != nil {
		return err
	}
	if w.problem.Y, err = readRaw[float64](w.base + ".y"); err != nil {
		return err
	}
	if w.options.Lambdas, err = readRaw[float64](w.base + "." + w.alpha + ".lambda"); err != nil || !w.theirs {
		return err
	}
	spread, err := linear.GlmnetSpread(w.problem, w.options.Intercept)
	theirs := w.penalty.Alpha
	for i, l := range w.options.Lambdas {
		w.options.Lambdas[i], w.penalty.Alpha = linear.FromGlmnet(l, theirs, spread)
	}
	return err
}

func (w *linearWork) readSparse() error {
	start, err := readRaw[int32](w.base + ".start")
	if err != nil {
		return err
	}
	row, err := readRaw[int32](w.base + ".row")
	if err != nil {
		return err
	}
	value, err := readRaw[float64](w.base + ".value")
	if err != nil {
		return err
	}
	wide := make([]int, len(start))
	for i, s := range start {
		wide[i] = int(s)
	}
	w.problem.X, err = linear.NewSparse(w.n, w.p, wide, row, value)
	return err
}

// readRaw reads little-endian numbers, piece by piece: a second copy of the file would
// count as memory of the fit.
func readRaw[T float64 | int32](name string) ([]T, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	out := make([]T, info.Size()/int64(binary.Size(T(0))))
	r := bufio.NewReader(f)
	const piece = 4096
	for at := 0; at < len(out); at += piece {
		if err := binary.Read(r, binary.LittleEndian, out[at:min(at+piece, len(out))]); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return out, nil
}

// write writes the coefficients [λ, K, p] and the intercepts [λ, K].
func (w *linearWork) write(path *linear.Path) error {
	base := w.base + "." + w.alpha + ".ours"
	beta, err := os.Create(base + ".beta")
	if err != nil {
		return err
	}
	defer beta.Close()
	intercept, err := os.Create(base + ".intercept")
	if err != nil {
		return err
	}
	defer intercept.Close()
	all := bufio.NewWriter(beta)
	for _, p := range path.Points {
		dense := make([]float64, path.Features*path.Responses)
		for i, at := range p.Index {
			dense[at] = p.Value[i]
		}
		if err := writeRaw(all, dense); err != nil {
			return err
		}
		if err := writeRaw(intercept, p.Intercept); err != nil {
			return err
		}
	}
	return all.Flush()
}

func writeRaw(w io.Writer, x []float64) error {
	buf := make([]byte, 0, 8*len(x))
	for _, v := range x {
		buf = binary.LittleEndian.AppendUint64(buf, math.Float64bits(v))
	}
	_, err := w.Write(buf)
	return err
}

// held is a line of this process's status, in megabytes.
func held(what string) (float64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, what+":"); ok {
			kilobytes, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 64)
			return kilobytes * 1.024e-3, err
		}
	}
	return 0, fmt.Errorf("/proc/self/status: no line %s", what)
}
