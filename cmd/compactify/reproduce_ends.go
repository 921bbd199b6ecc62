package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/compress"
	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/jsonnum"
	"github.com/compactify/compactify/internal/stream"
	"github.com/compactify/compactify/internal/words"
	"github.com/compactify/compactify/train"
)

// endsNetwork is a network whose Hessian's ends are measured: a perceptron with tanh,
// since the minimisers of one with ReLU lie at kinks, where there is no Hessian.
type endsNetwork struct {
	name, arch string
	source     string // behind "--data"; DATA stands for the data folder
	examples   int
	base       float64 // λ₀ of the penalty it is trained with
	steps      int     // epochs by Adam of the network that is stopped early
	quick      bool    // it takes a minute or less
}

func (n endsNetwork) called() (name string, quick bool) { return n.name, n.quick }

var endsNetworks = []endsNetwork{
	{"glyphs", "mlp:784-12-10", "glyphs", 200, 3e-3, 10, true},
	{"mnist", "mlp:784-30-10", "DATA/datasets/mnist", 2000, 1e-2, 1, false},
}

// What the networks are measured with. The predictions are exact for quadratics, and
// for other functions to first order: in λ, and in how far the flow gets.
const (
	endsIterations = 200   // of L-BFGS
	endsProducts   = 20000 // of Hessian and vector, at most
	endsResidual   = 1e-13 // ‖∇‖ of what counts as a minimiser
	endsRaise      = 1. / 20000
	endsNoise      = 1e-3 // added to the trained weights, in units of ‖θ‖, for something to descend

	shrinkageTolerance = 0.05  // of the shrinkage
	nearTolerance      = 0.005 // of what a component tends to, near a minimiser
	farTolerance       = 0.05  // the same, far from one
	worstProduct       = 2.5129
)

// Where the predictions come from.
const (
	shrinkageSource = "Goodfellow, Bengio and Courville 2016, equation 7.13"
	stoppingSource  = "Goodfellow, Bengio and Courville 2016, section 7.8; Ali, Kolter and Tibshirani 2019"
)

// endsResult is the JSON object of reproduce ends.
type endsResult struct {
	Table   string    `json:"table"`
	Rows    []endsRow `json:"rows"`
	File    string    `json:"file,omitempty"`
	Machine string    `json:"machine"`
	Date    string    `json:"date"`
	Version string    `json:"version"`
	Seed    uint64    `json:"seed"`
	Seconds float64   `json:"seconds"`

	networks []endsNetwork // that are done
	missing  int           // networks that are still to come
}

// endsRow is one figure.
type endsRow struct {
	Network    string        `json:"network"`
	Name       string        `json:"name"`
	Eigenvalue jsonnum.Float `json:"eigenvalue"` // NaN where the figure is not of one
	Error      jsonnum.Float `json:"eigenvalue_error"`
	Published  jsonnum.Float `json:"published"`         // by theory
	AtMost     bool          `json:"at_most,omitempty"` // Published is a bound
	Source     string        `json:"source"`
	Measured   jsonnum.Float `json:"measured"`
	Tolerance  jsonnum.Float `json:"tolerance"`
	OK         bool          `json:"ok"`
	Problem    string        `json:"problem,omitempty"` // why there is no figure
}

// reproduceEnds measures what weight decay and early stopping do along the ends of the
// Hessian.
func (a *app) reproduceEnds(ctx context.Context, f reproduceFlags, networks []endsNetwork) error {
	start := time.Now()
	r := &endsResult{Table: "ends", Rows: []endsRow{}, File: a.out, Machine: machine(), Date: start.UTC().Format(time.DateOnly),
		Version: compress.Version, Seed: a.seed, missing: len(networks)}
	for k, n := range networks {
		a.report.progress(n.name, float64(k)/float64(len(networks)))
		m := &endsMeasurement{app: a, n: n}
		err := m.measure(ctx, f)
		if e := ctx.Err(); e != nil {
			return e
		}
		if err != nil {
			m.add(endsRow{Name: "all figures", Published: nan, Measured: nan, Tolerance: nan, Problem: err.Error()})
		}
		r.Rows, r.networks, r.missing = append(r.Rows, m.rows...), append(r.networks, n), r.missing-1
		r.Seconds = time.Since(start).Seconds()
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

var nan = jsonnum.Float(math.NaN())

// endsMeasurement is the work on one network.
type endsMeasurement struct {
	app  *app
	n    endsNetwork
	set  *data.Set
	rows []endsRow
}

func (m *endsMeasurement) measure(ctx context.Context, f reproduceFlags) error {
	source, err := data.Open(strings.Replace(m.n.source, "DATA", f.data, 1), data.Options{Seed: m.app.seed, MaxBytes: int64(m.app.maxMemory)})
	if err != nil {
		return err
	}
	if m.set = source.Train; m.set.Len() < m.n.examples {
		return fmt.Errorf("data set %q: got %d examples, want %d", m.set.Name(), m.set.Len(), m.n.examples)
	}
	first := make([]int, m.n.examples)
	for i := range first {
		first[i] = i
	}
	m.set = m.set.Subset(first)
	architecture := train.Architecture{Name: m.n.arch, Activation: train.Tanh}
	initial, err := architecture.Model(exampleShape(m.n.arch, m.set.Shape()), m.set.Classes(), m.app.seed)
	if err != nil {
		return err
	}
	if err := m.nearMinimiser(ctx, initial); err != nil {
		return err
	}
	return m.halfTrained(ctx, initial)
}

// objective trains a network and returns its loss as a function, in float64.
func (m *endsMeasurement) objective(ctx context.Context, initial *graph.Graph, o train.Options) (*train.Objective, error) {
	o.Seed, o.Pool = m.app.seed, m.app.pool
	g, _, err := train.Run(ctx, initial, m.set, o)
	if err != nil {
		return nil, err
	}
	return train.NewObjective(g, m.set, train.ObjectiveOptions{Pool: m.app.pool, Double: true})
}

// nearMinimiser trains with weight decay until nothing is left to gain, raises the
// decay, and stops the flow of the same function early from weights with some noise.
func (m *endsMeasurement) nearMinimiser(ctx context.Context, initial *graph.Graph) error {
	f, err := m.objective(ctx, initial, train.Options{Optimizer: train.LBFGS, Epochs: endsIterations,
		Penalties: []train.Penalty{{Kind: train.L2, Lambda: train.Always(m.n.base)}}})
	if err != nil {
		return err
	}
	theta := f.Point()
	s, err := train.MeasureShrinkage(ctx, f, theta, train.ShrinkageOptions{Base: m.n.base, Lambda: m.n.base * endsRaise,
		Products: endsProducts, Residual: endsResidual, Tolerance: shrinkageTolerance, Seed: m.app.seed})
	if err != nil {
		return err
	}
	m.shrinkage(s)
	r, square := stream.New(m.app.seed, "reproduce/ends", 0), 0.0
	for _, x := range theta {
		square += x * x
	}
	for i := range theta {
		theta[i] += endsNoise * math.Sqrt(square/float64(len(theta))) * r.NormFloat64()
	}
	stopped, err := train.CompareStopping(ctx, train.Ridge(f, m.n.base, nil), theta, train.StoppingOptions{Products: endsProducts, Seed: m.app.seed})
	if err != nil {
		return err
	}
	m.stoppingNear(stopped)
	return nil
}

// halfTrained stops the flow of the loss early from where a few steps by Adam led.
func (m *endsMeasurement) halfTrained(ctx context.Context, initial *graph.Graph) error {
	f, err := m.objective(ctx, initial, train.Options{Epochs: m.n.steps, Batch: 100, Rate: 1e-2})
	if err != nil {
		return err
	}
	s, err := train.CompareStopping(ctx, f, f.Point(), train.StoppingOptions{Products: endsProducts, Tolerance: farTolerance, Seed: m.app.seed})
	if err != nil {
		return err
	}
	row := endsRow{Name: fmt.Sprintf("early stopping of a half-trained network: largest gap to weight decay along %s", words.Count(s.Compared, "eigenvector", "eigenvectors")),
		Eigenvalue: nan, Error: nan, Published: train.StoppingGap, AtMost: true, Source: stoppingSource, Measured: jsonnum.Float(s.Gap), Tolerance: farTolerance}
	if s.Verdict == compactify.Inconclusive {
		row.Problem = s.Reason
	}
	m.add(row)
	return nil
}

// add appends a row and judges it.
func (m *endsMeasurement) add(r endsRow) {
	r.Network = m.n.name
	off := float64(r.Measured - r.Published)
	if !r.AtMost {
		off = math.Abs(off)
	}
	r.OK = r.Problem == "" && off <= float64(r.Tolerance)
	m.rows = append(m.rows, r)
}

// shrinkage lists the components, and all of θ at once.
func (m *endsMeasurement) shrinkage(s train.Shrinkage) {
	problem := ""
	if s.Verdict == compactify.Inconclusive || s.Verdict == compactify.NotApplicable {
		problem = s.Reason
	}
	for i, r := range s.Rows {
		m.add(endsRow{Name: fmt.Sprintf("weight decay raised by λ = %s: component %d", words.Number(s.Lambda), i+1),
			Eigenvalue: jsonnum.Float(r.Eigenvalue), Error: jsonnum.Float(r.Bound), Published: jsonnum.Float(r.Predicted), Source: shrinkageSource,
			Measured: jsonnum.Float(r.Measured), Tolerance: jsonnum.Float(shrinkageTolerance * (1 - r.Predicted)), Problem: problem})
	}
	m.add(endsRow{Name: "all of θ: the share of its change that the prediction misses", Eigenvalue: nan, Error: nan,
		Source: shrinkageSource, Measured: jsonnum.Float(s.Whole), Tolerance: shrinkageTolerance, Problem: problem})
}

// stoppingNear lists, for every eigenvector found and the time at which the gap along
// the first is largest, the flow, the minimiser and their difference.
func (m *endsMeasurement) stoppingNear(s train.Stopping) {
	problem := ""
	if s.Verdict == compactify.Inconclusive {
		problem = s.Reason
	}
	k := slices.IndexFunc(s.Times, func(t float64) bool { return math.Abs(s.Modes[0].Eigenvalue*t-worstProduct) < 1e-9 })
	for i, mode := range s.Modes {
		x := mode.Eigenvalue * s.Times[k]
		flow, ridge := -math.Expm1(-x), x/(1+x)
		for _, figure := range []struct {
			what            string
			theory, measure float64
		}{{"1 − e^(−ht)", flow, mode.Flow[k]}, {"ht/(1 + ht)", ridge, mode.Ridge[k]}, {"their gap", flow - ridge, mode.Flow[k] - mode.Ridge[k]}} {
			m.add(endsRow{Name: fmt.Sprintf("stopped at ht = %s: component %d, %s", words.Number(x), i+1, figure.what),
				Eigenvalue: jsonnum.Float(mode.Eigenvalue), Error: jsonnum.Float(mode.Bound), Published: jsonnum.Float(figure.theory), Source: stoppingSource,
				Measured: jsonnum.Float(figure.measure), Tolerance: nearTolerance, Problem: problem})
		}
	}
	m.add(endsRow{Name: fmt.Sprintf("early stopping near a minimiser: largest gap to weight decay along %s", words.Count(s.Compared, "eigenvector", "eigenvectors")),
		Eigenvalue: nan, Error: nan, Published: train.StoppingGap, AtMost: true, Source: stoppingSource, Measured: jsonnum.Float(s.Gap), Tolerance: nearTolerance, Problem: problem})
}

var endsHead = []string{"network", "figure", "eigenvalue h", "theory", "measured", "measured − theory", "tolerance", "ok"}

// cells are what the table shows of a row.
func (r endsRow) cells() []string {
	ok, eigenvalue, theory := "**no**", "", words.Significant(float64(r.Published), 10)
	if r.OK {
		ok = "yes"
	}
	if r.AtMost {
		theory = "≤ " + theory
	}
	if !math.IsNaN(float64(r.Eigenvalue)) {
		eigenvalue = words.Significant(float64(r.Eigenvalue), 6) + " ± " + words.Significant(float64(r.Error), 1)
	}
	if r.Problem != "" {
		return []string{r.Network, r.Name, eigenvalue, "", r.Problem, "", "", ok}
	}
	return []string{r.Network, r.Name, eigenvalue, theory, words.Significant(float64(r.Measured), 10),
		words.Significant(float64(r.Measured-r.Published), 2), words.Significant(float64(r.Tolerance), 2), ok}
}

// markdown is the table as a page.
func (r *endsResult) markdown() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Ends of the Hessian\n\nWritten by `compactify reproduce ends --out FILE`, version %s, seed %d, on %s, %s. No figure is typed by hand.\n\n", r.Version, r.Seed, r.Date, r.Machine)
	for _, s := range r.explain() {
		fmt.Fprintf(&b, "%s\n\n", s)
	}
	fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(endsHead, " | "), strings.Repeat("---|", len(endsHead)))
	for _, row := range r.Rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row.cells(), " | "))
	}
	if r.missing > 0 {
		fmt.Fprintf(&b, "\nNot finished: %s missing.\n", words.Count(r.missing, "network is", "networks are"))
	}
	return b.Bytes()
}

// explain says what was measured, and how.
func (r *endsResult) explain() []string {
	list := []string{
		"Weight decay λ‖θ‖² shrinks the component of a minimiser along an eigenvector of the Hessian by h/(h + 2λ) (" + shrinkageSource + ", with α = 2λ): " +
			"exact for a quadratic, elsewhere to first order in λ. So λ is small, and what is compared is the shrinkage: the tolerance is " + words.Percent(shrinkageTolerance, 0) + " of 1 − h/(h + 2λ). " +
			"The first half of the components belong to the largest eigenvalues, the second to the smallest, both found by Lanczos' method; h is an eigenvalue of F = L + λ₀‖θ‖² at its minimiser, and λ comes on top of λ₀.",
		"The gradient flow stopped at time t goes 1 − e^(−ht) of the way along an eigenvector, weight decay with λ = 1/(2t) towards the start ht/(1 + ht) (" + stoppingSource + "). " +
			"They differ by at most " + words.Significant(train.StoppingGap, 7) + ", at ht = " + words.Significant(worstProduct, 5) + ". Near a minimiser, at its weights with noise of " + words.Number(endsNoise) + " of their norm, F is almost quadratic; a half-trained network is not.",
	}
	for _, n := range r.networks {
		list = append(list, fmt.Sprintf("`%s`: %s with tanh and cross-entropy in float64 on the first %s training examples of %s; λ₀ = %s. Half-trained: %s by Adam without decay.", n.name, n.arch,
			words.Grouped(n.examples), filepath.Base(n.source), words.Number(n.base), words.Count(n.steps, "epoch", "epochs")))
	}
	return list
}

func (r *endsResult) text(w io.Writer) {
	rows := [][]string{endsHead}
	for _, row := range r.Rows {
		rows = append(rows, row.cells())
	}
	columns(w, rows)
}
