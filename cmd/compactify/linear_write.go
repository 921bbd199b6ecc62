package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/internal/atomicfile"
	"github.com/compactify/compactify/internal/jsonnum"
	"github.com/compactify/compactify/internal/web"
	"github.com/compactify/compactify/linear"
)

// The files of --out.
const (
	coefName   = "coefficients.csv"
	reportName = "report.html"
)

// writeLinear writes what was asked for.
func (a *app) writeLinear(w *linearWork, r *linearResult) error {
	f := w.flags
	if a.out != "" {
		return a.writeLinearFolder(w, r)
	}
	if f.coef != "" {
		write := w.coefCSV
		if filepath.Ext(f.coef) == ".npz" {
			write = w.coefNPZ
		}
		if err := a.writeStream(f.coef, write); err != nil {
			return err
		}
		r.Files.Coef = f.coef
	}
	if f.page != "" {
		r.Files.Report = f.page
		if err := a.writeStream(f.page, func(out io.Writer) error { return w.page(out, r) }); err != nil {
			return err
		}
	}
	return nil
}

// writeLinearFolder writes the folder of --out.
func (a *app) writeLinearFolder(w *linearWork, r *linearResult) error {
	folder, err := a.folder()
	if err != nil {
		return err
	}
	r.Files.Coef, r.Files.Report = folder.Path(coefName), folder.Path(reportName)
	if err = folder.Asked(a.asked()); err == nil {
		_, err = folder.PutFunc(coefName, w.coefCSV)
	}
	if err == nil {
		_, err = folder.PutFunc(reportName, func(out io.Writer) error { return w.page(out, r) })
	}
	return a.sealed(folder, err)
}

// writeStream writes a file that appears whole or not at all, with the folders it needs.
func (a *app) writeStream(path string, write func(io.Writer) error) error {
	if err := a.checkFile(path); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	f, err := atomicfile.Create(path)
	if err != nil {
		return err
	}
	defer f.Discard()
	counted := &counter{to: f}
	if err := write(counted); err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	if err := a.checkSize(path, counted.n); err != nil {
		return err
	}
	return f.Commit()
}

// counter counts what passes through.
type counter struct {
	to io.Writer
	n  int
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.to.Write(b)
	c.n += n
	return n, err
}

// page draws the path.
func (w *linearWork) page(out io.Writer, r *linearResult) error {
	s := web.LinearSummary{Title: "linear " + r.Kind + " " + filepath.Base(r.Data), Kind: r.Kind, Data: filepath.Base(r.Data), Examples: r.Examples, Alpha: r.Alpha, Gap: float64(r.GapAllowed),
		Exact: r.Exact, Feature: w.table.FeatureName, Classes: w.table.Classes, Validation: w.cv, Separability: w.separable, Breakpoints: w.breakpoints, Notes: r.Notes,
		Intercept: r.Intercept, Standardize: r.Standardize, Unpenalised: r.Unpenalised, Seconds: r.Seconds}
	return web.Linear(out, w.path, s)
}

// dense is the coefficients of a point, class after class.
func (w *linearWork) dense(p *linear.Point) []float64 {
	row := make([]float64, w.path.Features*w.path.Responses)
	for i, at := range p.Index {
		row[at] = p.Value[i]
	}
	return row
}

// coefCSV writes a row per λ, or per λ and class with the class in the last column.
func (w *linearWork) coefCSV(out io.Writer) error {
	c := csv.NewWriter(out)
	head := []string{"lambda", "intercept"}
	for j := range w.path.Features {
		head = append(head, w.table.FeatureName(j))
	}
	several := w.path.Family == linear.Multinomial
	if several {
		head = append(head, "class")
	}
	if err := c.Write(head); err != nil {
		return err
	}
	for i := range w.path.Points {
		p := &w.path.Points[i]
		all := w.dense(p)
		for k := range w.path.Responses {
			row := append(make([]string, 0, len(head)), decimal(p.Lambda), decimal(p.Intercept[k]))
			for _, v := range all[k*w.path.Features : (k+1)*w.path.Features] {
				row = append(row, decimal(v))
			}
			if several {
				row = append(row, w.table.Classes[k])
			}
			if err := c.Write(row); err != nil {
				return err
			}
		}
	}
	c.Flush()
	return c.Error()
}

// decimal is the shortest decimal that reads as the same double.
func decimal(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// coefNPZ writes lambda [λ], intercept [λ] and coef [λ, column]; with classes of a
// multinomial model intercept [λ, class] and coef [λ, class, column].
func (w *linearWork) coefNPZ(out io.Writer) error {
	n := len(w.path.Points)
	var lambda, intercept []float64
	for _, p := range w.path.Points {
		lambda, intercept = append(lambda, p.Lambda), append(intercept, p.Intercept...)
	}
	var row []float64
	point := 0
	next := func() float64 {
		if len(row) == 0 {
			row = w.dense(&w.path.Points[point])
			point++
		}
		v := row[0]
		row = row[1:]
		return v
	}
	shape := []int{n}
	if w.path.Family == linear.Multinomial {
		shape = append(shape, w.path.Responses)
	}
	return data.WriteNPZ(out, []data.Array{
		{Name: "lambda", Shape: []int{n}, Next: data.Values(lambda)},
		{Name: "intercept", Shape: shape, Next: data.Values(intercept)},
		{Name: "coef", Shape: append(slices.Clone(shape), w.path.Features), Next: next},
	})
}

// predictLinear writes what the models say of other examples, and judges them if those
// have labels.
func (a *app) predictLinear(ctx context.Context, w *linearWork, r *linearResult) error {
	f := w.flags
	if f.predict == "" {
		return nil
	}
	t, offset := w.predicted, w.offset
	path, points, err := w.pointsAt(ctx)
	if err != nil {
		return err
	}
	if err := a.writeStream(f.predictions, func(out io.Writer) error { return w.answers(out, path, points, t, offset) }); err != nil {
		return err
	}
	r.Files.Predictions = f.predictions
	problem := w.problem
	problem.X, problem.Y, problem.Weights, problem.Offset = t.X, t.Y, nil, offset
	for _, i := range points {
		s := linear.Score{Loss: math.NaN(), Metric: math.NaN()}
		if t.Y != nil {
			if s, err = path.Evaluate(i, problem); err != nil {
				return fmt.Errorf("--predict %q: %w", f.predict, err)
			}
		}
		r.Predictions = append(r.Predictions, linearScore{jsonnum.Float(path.Points[i].Lambda), t.X.Rows(), jsonnum.Float(s.Loss), jsonnum.Float(s.Metric), path.Family.MetricName()})
	}
	return nil
}

// answers writes a row per λ and example.
func (w *linearWork) answers(out io.Writer, path *linear.Path, points []int, t *linear.Table, offset []float64) error {
	c := csv.NewWriter(out)
	head := []string{"lambda", "example"}
	switch path.Family {
	case linear.Gaussian:
		head = append(head, "prediction")
	case linear.Poisson:
		head = append(head, "link", "mean")
	case linear.Binomial:
		head = append(head, "link", "probability", "class")
	case linear.Multinomial:
		head = append(head, "class")
		for _, name := range w.table.Classes {
			head = append(head, "probability_"+name)
		}
	}
	if err := c.Write(head); err != nil {
		return err
	}
	n := t.X.Rows()
	for _, i := range points {
		eta, err := path.Predict(i, t.X, offset)
		if err != nil {
			return err
		}
		mean, class := path.Mean(eta), path.Classify(eta)
		for e := range n {
			row := []string{decimal(path.Points[i].Lambda), strconv.Itoa(e + 1)}
			switch path.Family {
			case linear.Gaussian:
				row = append(row, decimal(eta[e]))
			case linear.Poisson:
				row = append(row, decimal(eta[e]), decimal(mean[e]))
			case linear.Binomial:
				row = append(row, decimal(eta[e]), decimal(mean[e]), w.table.Classes[class[e]])
			case linear.Multinomial:
				row = append(row, w.table.Classes[class[e]])
				for k := range path.Responses {
					row = append(row, decimal(mean[k*n+e]))
				}
			}
			if err := c.Write(row); err != nil {
				return err
			}
		}
	}
	c.Flush()
	return c.Error()
}
