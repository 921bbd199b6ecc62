package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/compress"
	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/format/onnx"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/jsonnum"
	"github.com/compactify/compactify/internal/web"
	"github.com/compactify/compactify/internal/words"
	"github.com/compactify/compactify/train"
)

// trainResult is the JSON object of train.
type trainResult struct {
	Arch       string              `json:"arch"`
	Params     int                 `json:"params"`
	Epochs     []train.EpochRecord `json:"epochs"`
	Metric     jsonnum.Float       `json:"metric"` // on the held-out examples
	MetricName string              `json:"metric_name"`
	Loss       jsonnum.Float       `json:"loss"`
	HeldOut    int                 `json:"held_out"`
	Lyapunov   lyapunov            `json:"lyapunov"`
	Boundary   boundary            `json:"boundary"`
	Bounds     []normBound         `json:"bounds"`
	Recomputed *recomputed         `json:"recomputed,omitempty"`
	Diverged   string              `json:"diverged,omitempty"` // why the run ended early
	Notes      []string            `json:"notes,omitempty"`
	Files      trainFiles          `json:"files"`
	Bytes      int                 `json:"bytes"`
	Seed       uint64              `json:"seed"`
	Seconds    float64             `json:"seconds"`

	record train.Record
	unit   string // of the loss

	lossName string
}

// lyapunov holds what is known of the descent; NaN is what was not measured.
type lyapunov struct {
	Steps           int           `json:"steps"`
	Measured        int           `json:"measured"` // of them, on their own batch before and after
	Function        string        `json:"function"` // whose rises are counted
	Increases       jsonnum.Float `json:"increases"`
	LargestRise     jsonnum.Float `json:"largest_rise"`
	TotalRise       jsonnum.Float `json:"total_rise"`
	MaxKappa        jsonnum.Float `json:"max_kappa"`
	MedianKappa     jsonnum.Float `json:"median_kappa"`
	AboveEdge       int           `json:"above_edge"` // measured steps on which the objective had to rise
	TwoOverEta      jsonnum.Float `json:"two_over_eta"`
	BalanceResidual jsonnum.Float `json:"balance_residual"`
	Sharpness       []sharpness   `json:"sharpness,omitempty"`

	Flow *train.FlowRecord `json:"flow,omitempty"`
}

// recomputed says what every training step computes twice to fit in memory.
type recomputed struct {
	Operations int `json:"operations"` // per step
	BytesSaved int `json:"bytes_saved"`
}

// trainFiles are the files that were written.
type trainFiles struct {
	Model      string `json:"model"`
	Initial    string `json:"initial,omitempty"`
	Record     string `json:"record,omitempty"`
	Checkpoint string `json:"checkpoint,omitempty"`
	Witness    string `json:"witness,omitempty"` // of the largest rise
	Report     string `json:"report,omitempty"`
}

func newTrainResult(t *training, done trained) *trainResult {
	nan := jsonnum.Float(math.NaN())
	r := &trainResult{Arch: t.f.architecture.Name, Params: done.Model.NumParams(), Seed: t.seed, Bounds: []normBound{}, Recomputed: t.twice,
		Metric: nan, Loss: nan}
	if t.o.Loss == "" || t.o.Loss == train.CrossEntropy {
		r.unit = " (nats)"
	} else {
		r.Notes = append(r.Notes, fmt.Sprintf("boundary and bounds are of the cross-entropy, not of the %s that training lowers", t.o.Loss))
	}
	r.lossName = t.f.loss
	r.record = t.newRecord(done)
	r.Epochs = r.record.Epochs
	steps := done.steps
	if t.o.From != nil {
		steps += t.o.From.Steps
	}
	r.Lyapunov = lyapunov{Steps: steps, Increases: nan, LargestRise: nan, TotalRise: nan, MaxKappa: nan, MedianKappa: nan,
		TwoOverEta: jsonnum.Float(2 / t.o.FirstRate()), BalanceResidual: nan, Sharpness: t.sharpness}
	if d := done.Monitor.Descent; d.Measured > 0 {
		l := &r.Lyapunov
		l.Measured, l.Function, l.Increases, l.AboveEdge = d.Measured, d.Function, jsonnum.Float(d.Increases), d.AtEdge
		l.LargestRise, l.TotalRise, l.MaxKappa = jsonnum.Float(d.Largest), jsonnum.Float(d.Total), jsonnum.Float(d.MaxKappa)
		l.MedianKappa = jsonnum.Float(medianKappa(d.Samples))
	}
	if t.o.Optimizer == train.LBFGS {
		r.Lyapunov.TwoOverEta = nan // its steps have no fixed length
	}
	if f := done.flow; f != nil {
		l := &r.Lyapunov
		l.Steps, l.Measured, l.Function, l.Increases, l.LargestRise = f.Steps, f.Steps, "objective of all examples", jsonnum.Float(f.Rises), f.MaxRise
		l.TwoOverEta, l.BalanceResidual, l.Flow = nan, f.Balance, f
		if text, err := json.Marshal(f); err == nil {
			raw := json.RawMessage(text)
			r.record.Flow = &raw
		}
	}
	b := done.Boundary
	r.Boundary = boundary{Approached: b.Approached, Norm: jsonnum.Float(b.Norm), Threshold: jsonnum.Float(b.Threshold), LossAt: nan, ScaleFree: nan,
		Zeros: zerosOf(done.Model)}
	return r
}

func medianKappa(samples []train.Sample) float64 {
	var list []float64
	for _, s := range samples {
		list = append(list, s.Kappa)
	}
	slices.Sort(list)
	return list[len(list)/2]
}

// zerosOf counts the weights that are exactly zero.
func zerosOf(g *graph.Graph) int {
	n := 0
	for _, p := range g.Weights() {
		for _, x := range p.Data.Float64s() {
			if x == 0 {
				n++
			}
		}
	}
	return n
}

// newRecord is the part of the record that training itself knows.
func (t *training) newRecord(done trained) train.Record {
	rec := train.Record{Arch: t.f.architecture.Name, Seed: t.seed, Data: t.origin, Optimizer: t.f.optimizer, Momentum: jsonnum.Float(t.o.Momentum), Batch: t.o.Batch,
		Rate: t.f.rate, Loss: t.o.Loss, Augment: t.f.augment, Penalties: []train.PenaltyRecord{}, Dropout: t.o.Dropout, Smoothing: jsonnum.Float(t.o.Smoothing), Epochs: []train.EpochRecord{}}
	rec.Planned = t.o.Epochs
	switch {
	case done.flow != nil:
		rec.Optimizer, rec.Rate = "flow", "0"
	case t.o.Optimizer == train.LBFGS:
		rec.Rate = "0"
	case t.o.Rates.IsZero():
		rec.Rate = fmt.Sprint(t.o.FirstRate())
		if t.o.Decay == train.Cosine {
			rec.Rate = "cosine:" + rec.Rate + "..0"
		}
	}
	for _, p := range t.o.Penalties {
		rec.Penalties = append(rec.Penalties, train.PenaltyRecord{Kind: p.Kind, Schedule: p.Lambda.String(), Alpha: jsonnum.Float(p.Alpha)})
	}
	for i, e := range done.Epochs {
		next := e.Lambda
		if i+1 < len(done.Epochs) {
			next = done.Epochs[i+1].Lambda
		}
		rec.Epochs = append(rec.Epochs, train.NewEpochRecord(e, next))
	}
	if done.Monitor.Descent.Measured > 0 {
		rec.Descent = train.NewDescentRecord(done.Monitor)
	}
	return rec
}

// keep measures the model, judges the run and writes what there is to write. Where the
// run was stopped nothing is measured any more.
func (t *training) keep(ctx context.Context, r *trainResult, done trained, whole bool) error {
	if whole {
		err := r.unlessShort(func() error {
			last, err := t.sharp(ctx, len(done.Epochs), done.Model)
			if err == nil {
				r.Lyapunov.Sharpness = append(r.Lyapunov.Sharpness, last)
			}
			return err
		})
		if err == nil {
			err = t.judge(ctx, r, done)
		}
		if err == nil {
			err = r.unlessShort(func() error { return t.fixed(ctx, r, done) })
		}
		if err == nil {
			err = r.measure(ctx, t.app, done.Model, t.heldOut)
		}
		if err != nil {
			return err
		}
	}
	model, err := onnx.Encode(done.Model, onnx.Options{Oldest: true})
	if err != nil {
		return err
	}
	r.Bytes = len(model)
	if err := t.checkSize("the model", len(model)); err != nil {
		return err
	}
	if t.folder == nil {
		r.Files.Model = t.out
		return t.writeFile(t.out, model)
	}
	return t.fill(r, done, model)
}

// fill puts the run's files into its folder.
func (t *training) fill(r *trainResult, done trained, model []byte) error {
	put := func(name string, file []byte, to *string) error {
		*to = t.folder.Path(name)
		_, err := t.folder.Put(name, file)
		return err
	}
	if err := put(compress.ModelFile, model, &r.Files.Model); err != nil {
		return err
	}
	r.Files.Initial, r.record.Files = t.folder.Path(train.InitialFile), train.FilesRecord{Initial: train.InitialFile, Model: compress.ModelFile}
	if !t.saved.IsZero() {
		r.Files.Checkpoint = t.folder.Path(train.CheckpointFile)
	}
	if rise := done.Monitor.Descent.Rise; rise != nil {
		file, err := rise.Encode()
		if err == nil {
			err = put(train.RiseFile, file, &r.Files.Witness)
		}
		if err != nil {
			return err
		}
		r.record.Files.Rise = train.RiseFile
	}
	record, err := r.record.Encode()
	if err == nil {
		err = put(train.RecordFile, record, &r.Files.Record)
	}
	if err != nil {
		return err
	}
	page, err := web.Training(&r.record, r.summary())
	if err != nil {
		return err
	}
	return put(compress.ReportFile, page, &r.Files.Report)
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

// summary is what the page shows beside the record.
func (r *trainResult) summary() web.TrainingSummary {
	s := web.TrainingSummary{Title: "Training " + r.Arch, MetricName: r.MetricName, Metric: float64(r.Metric), HeldOut: r.HeldOut,
		Threshold: float64(r.Boundary.Threshold), Notes: r.Notes}
	s.Boundary, s.FixedPoint = r.Boundary.sentences()
	if r.unit == "" {
		s.Loss = r.lossName
	}
	for _, p := range r.Lyapunov.Sharpness {
		s.Sharpness = append(s.Sharpness, web.Sharpness{Epoch: p.Epoch, Largest: float64(p.Largest), Bound: float64(p.Bound)})
	}
	for _, b := range r.Bounds {
		s.Bounds = append(s.Bounds, b.sentence())
	}
	if r.Diverged != "" {
		s.Notes = append(s.Notes, r.Diverged)
	}
	return s
}

// maxRows is about how many epochs are printed; --json has all of them.
const maxRows = 20

func (r *trainResult) text(w io.Writer) {
	penalised := slices.ContainsFunc(r.Epochs, func(e train.EpochRecord) bool { return e.Lambda != 0 })
	rows := [][]string{{"epoch", "training loss" + r.unit, "training accuracy", "‖θ‖"}}
	if penalised {
		rows[0] = append(rows[0], "λ", "zeros")
	}
	every := (len(r.Epochs) + maxRows - 1) / maxRows
	for i, e := range r.Epochs {
		if (i+1)%every != 0 && i+1 != len(r.Epochs) {
			continue
		}
		row := []string{strconv.Itoa(i + 1), words.Number(float64(e.Loss)), words.Percent(float64(e.Metric), 2), words.Number(float64(e.Norm))}
		if penalised {
			row = append(row, words.Number(float64(e.Lambda)), strconv.Itoa(e.Zeros))
		}
		rows = append(rows, row)
	}
	columns(w, rows)
	fmt.Fprintf(w, "\n%s with %s, ", r.Arch, words.Count(r.Params, "weight", "weights"))
	if r.HeldOut > 0 {
		fmt.Fprintf(w, "%s %s on %s\n", r.MetricName, words.Metric(r.MetricName, float64(r.Metric)), words.Count(r.HeldOut, "held-out example", "held-out examples"))
	} else {
		fmt.Fprintln(w, "stopped before it was finished")
	}
	r.descent(w)
	sentences, fixed := r.Boundary.sentences()
	for _, s := range append(sentences, fixed) {
		if s != "" {
			fmt.Fprintf(w, "boundary  %s\n", s)
		}
	}
	for _, b := range r.Bounds {
		if b.Verdict != compactify.NotApplicable {
			fmt.Fprintf(w, "bound     %s\n", b.sentence())
		}
	}
	for _, n := range r.Notes {
		fmt.Fprintf(w, "note      %s\n", n)
	}
	fmt.Fprintf(w, "\nmodel     %s  (%s)\n", r.Files.Model, words.Size(r.Bytes))
	if r.Files.Report != "" {
		fmt.Fprintf(w, "report    %s  (opens in a browser)\n", r.Files.Report)
	}
}

// edge says up to which curvature a step of gradient descent lowers the loss.
func (l lyapunov) edge() string {
	if math.IsNaN(float64(l.TwoOverEta)) {
		return ""
	}
	return "; 2/η = " + words.Number(float64(l.TwoOverEta))
}

// descent says what the monitor saw.
func (r *trainResult) descent(w io.Writer) {
	l := r.Lyapunov
	if f := l.Flow; f != nil {
		fmt.Fprintf(w, "flow      %s of time %s in %s, %d of them implicit; the penalised loss rose on %s\n", words.Number(float64(f.Reached)), words.Number(float64(f.Time)),
			words.Count(f.Steps, "step", "steps"), f.Implicit, words.Count(f.Rises, "step", "steps"))
		fmt.Fprintf(w, "          L(0) − L(T) − ∫‖g‖² = %s, %s of what was dissipated\n", words.Number(float64(f.Balance)), words.Percent(float64(f.Relative), 3))
		if f.Kinks != "" {
			fmt.Fprintf(w, "          the loss has kinks (%s), along which the flow slides: then the balance need not be zero\n", f.Kinks)
		}
	}
	if l.Measured == 0 || l.Flow != nil {
		return
	}
	fmt.Fprintf(w, "descent   %s of %d measured before and after: the %s rose on %s", words.Count(l.Measured, "step", "steps"), l.Steps, l.Function, words.Count(int(l.Increases), "step", "steps"))
	if l.Increases > 0 {
		fmt.Fprintf(w, ", by up to %s", words.Number(float64(l.LargestRise)))
	}
	fmt.Fprintf(w, "\n          largest curvature along a step κ = %s, median %s%s\n", words.Number(float64(l.MaxKappa)), words.Number(float64(l.MedianKappa)), l.edge())
	for _, s := range l.Sharpness[max(0, len(l.Sharpness)-1):] {
		fmt.Fprintf(w, "          largest eigenvalue of the Hessian %s ± %s, on %s\n", words.Number(float64(s.Largest)), words.Number(float64(s.Bound)), words.Count(s.Examples, "example", "examples"))
	}
}
