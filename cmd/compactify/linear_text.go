package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/internal/words"
)

// linearRows is how many points of a path the table shows.
const linearRows = 16

// text writes a table of the path and what it says.
func (r *linearResult) text(w io.Writer) {
	fmt.Fprintf(w, "%s of %s: %s, %s", r.Kind, r.Data, words.Count(r.Examples, "example", "examples"), words.Count(r.Features, "column", "columns"))
	if r.Groups > 0 {
		fmt.Fprintf(w, " in %s", words.Count(r.Groups, "group", "groups"))
	}
	fmt.Fprintln(w)
	if r.Mapping != "" {
		said(w, "labels", "%s", r.Mapping)
	}
	fmt.Fprintln(w)
	shown := r.shown()
	r.table(w, shown)
	if len(shown) < len(r.Points) {
		fmt.Fprintf(w, "(%d of %s)\n", len(shown), words.Count(len(r.Points), "point", "points"))
	}
	fmt.Fprintln(w)
	r.boundaryText(w)
	r.certificateText(w)
	r.breakpointsText(w)
	r.separableText(w)
	r.limitText(w)
	r.validationText(w)
	r.predictionsText(w)
	for _, note := range r.Notes {
		said(w, "note", "%s", note)
	}
	said(w, "time", "%s to read, %s to fit; the matrix is %s, the program held %s at most", shortTime(r.Timing.Read), shortTime(r.Timing.Fit),
		words.Size(r.Memory.Design), words.Size(r.Memory.Peak))
	for _, file := range [][2]string{{"coef", r.Files.Coef}, {"answers", r.Files.Predictions}, {"report", r.Files.Report}} {
		if file[1] != "" {
			fmt.Fprintf(w, "%-9s %s\n", file[0], file[1])
		}
	}
}

// lineWidth is that of the narrowest terminal that people use.
const lineWidth = 79

// said writes a sentence behind its heading, in lines that fit a terminal.
func said(w io.Writer, head, format string, args ...any) {
	const indent = 10
	line := fmt.Sprintf("%-*s", indent, head)
	const joined = "\u00a0×\u00a0" // a power of ten stays on one line
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), " × ", joined)
	for i, word := range strings.Split(text, " ") {
		word = strings.ReplaceAll(word, joined, " × ")
		if i > 0 && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > lineWidth {
			fmt.Fprintln(w, line)
			line = strings.Repeat(" ", indent) + word
			continue
		}
		if i > 0 {
			line += " "
		}
		line += word
	}
	fmt.Fprintln(w, line)
}

// shown are the points of the table: some at equal distances, and those that
// cross-validation chose.
func (r *linearResult) shown() []int {
	n := len(r.Points)
	most := min(n, linearRows)
	var list []int
	for k := range most {
		list = append(list, k*(n-1)/max(1, most-1))
	}
	if r.CV != nil {
		list = append(list, r.CV.Best, r.CV.Simplest)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func (r *linearResult) table(w io.Writer, shown []int) {
	exact := len(r.Points) > 0 && r.Points[0].SupportBelow != nil // the points are the breakpoints
	head := []string{"λ", "nonzero", "explained", "gap"}
	if exact {
		head = []string{"λ", "exactly", "nonzero", "explained", "change below"}
	}
	if r.CV != nil {
		head = append(head, "held out", "± error", "")
	}
	rows := [][]string{head}
	for _, i := range shown {
		p := r.Points[i]
		row := []string{words.Number(float64(p.Lambda)), words.Grouped(len(p.Support)), words.Percent(float64(p.Explained), 2), gapText(float64(p.Gap))}
		if exact {
			b := (*r.Breakpoints)[i]
			row = []string{row[0], shortened(b.Exact), row[1], row[2], changeText(b)}
		}
		if r.CV != nil {
			c := r.CV.Points[i]
			mark := ""
			if i == r.CV.Best {
				mark = "min"
			}
			if i == r.CV.Simplest {
				mark = strings.TrimPrefix(mark+"=1se", "=")
			}
			row = append(row, words.Number(float64(c.Loss)), words.Significant(float64(c.Error), 2), mark)
		}
		if !p.Converged {
			row = append(row, "gap not reached")
		}
		rows = append(rows, row)
	}
	columns(w, rows)
}

// shortTime writes seconds, short ones in thousandths.
func shortTime(seconds float64) string {
	if seconds < 1 {
		return words.Milliseconds(1000 * seconds)
	}
	return words.Duration(seconds)
}

func gapText(gap float64) string {
	if gap == 0 {
		return "0"
	}
	return words.Significant(gap, 2)
}

// shortened cuts a fraction that would fill the line.
func shortened(fraction string) string {
	const most = 24
	if len(fraction) <= most {
		return fraction
	}
	return fmt.Sprintf("(%d digits)", len(fraction))
}

// changeText says which columns enter and leave.
func changeText(b linearBreak) string {
	s := ""
	for _, j := range b.Entered {
		s += " +" + strconv.Itoa(j)
	}
	for _, j := range b.Left {
		s += " −" + strconv.Itoa(j)
	}
	if s == "" {
		return "none"
	}
	return s[1:]
}

func (r *linearResult) boundaryText(w io.Writer) {
	zero := "θ = 0"
	if r.Unpenalised > 0 {
		zero = "penalised θ = 0"
	}
	switch lambda := float64(r.LambdaMax); {
	case r.Unpenalised == r.Features:
		said(w, "boundary", "none: no column is penalised")
	case math.IsInf(lambda, 1):
		said(w, "boundary", "%s is the limit for λ → ∞; it is not reached", zero)
	case r.Unpenalised > 0:
		said(w, "boundary", "all penalised coefficients are 0 from λ_max = %s on", words.Significant(lambda, 10))
	default:
		said(w, "boundary", "θ = 0 from λ_max = %s on", words.Significant(lambda, 10))
	}
}

// certificateText says what was proved of the points.
func (r *linearResult) certificateText(w io.Writer) {
	switch {
	case r.Exact && r.Standardize:
		said(w, "gap", "0 at every point: the path is exact for columns divided by their standard deviations as float64 rounds them; for those as they are with --no-standardize")
	case r.Exact:
		said(w, "gap", "0 at every point: the path is exact")
	case r.Converged && r.Worst.Gap == 0:
		said(w, "gap", "0 at every point")
	case r.Converged:
		said(w, "gap", "at most %s of the objective, at λ = %s; allowed %s", gapText(float64(r.Worst.Gap)), words.Number(float64(r.Worst.Lambda)), words.Number(float64(r.GapAllowed)))
	default:
		missed := 0
		for _, p := range r.Points {
			if !p.Converged {
				missed++
			}
		}
		said(w, "warning", "%s of %d did not reach the gap of %s that was asked for: the worst is %s, at λ = %s", words.Count(missed, "point", "points"), len(r.Points),
			words.Number(float64(r.GapAllowed)), gapText(float64(r.Worst.Gap)), words.Number(float64(r.Worst.Lambda)))
	}
	c := r.Checks
	switch {
	case len(r.Points) < 2 && !r.Exact:
	case c.Monotone && c.Concave && len(c.Violations) == 0:
		said(w, "checks", "the penalty falls with λ, the least objective is concave in it, no point beats another")
	default:
		said(w, "warning", "checks: penalty monotone %v, objective concave %v, %s", c.Monotone, c.Concave, words.Count(len(c.Violations), "point is beaten by another", "points are beaten by others"))
		for _, v := range c.Violations {
			said(w, "", "at λ = %s by that of λ = %s, by %s", words.Number(float64(v.Lambda)), words.Number(float64(v.By)), words.Number(float64(v.Gap)))
		}
	}
}

func (r *linearResult) breakpointsText(w io.Writer) {
	if r.Breakpoints == nil {
		return
	}
	s := words.Count(len(*r.Breakpoints), "breakpoint", "breakpoints")
	if r.Verdict != "" {
		s += ": " + string(r.Verdict)
	}
	if r.Reason != "" {
		s += "; " + r.Reason
	}
	said(w, "breaks", "%s", s)
}

func (r *linearResult) separableText(w io.Writer) {
	s := r.Separable
	if s.Kind == "" {
		return
	}
	switch {
	case s.Verdict == compactify.Verified:
		said(w, "separable", "yes: no finite minimiser exists without a penalty; the loss tends to 0 along the direction")
	case s.Kind == "quasi-separable":
		said(w, "separable", "partly: no finite minimiser exists without a penalty; along the direction the loss of %s tends to 0, %s on the hyperplane",
			words.Count(s.Separated, "example", "examples"), words.Count(s.Tied, "example stays", "examples stay"))
	case s.Minimiser != nil && *s.Minimiser:
		said(w, "separable", "no: the loss has a finite minimiser")
	default:
		said(w, "separable", "%s: %s", s.Verdict, s.Note)
	}
	if len(s.Direction) > 0 {
		said(w, "", "direction %s", r.directionText())
	}
	if len(s.Margin) == 2 {
		said(w, "", "margin %s, the largest there is; it rests on %s", words.Number(float64(s.Margin[0])), words.Count(len(s.Support), "example", "examples"))
	}
}

// directionText lists the largest entries of the direction.
func (r *linearResult) directionText() string {
	const show = 5
	d := r.Separable.Direction
	order := make([]int, 0, len(d))
	for j, v := range d {
		if v != 0 {
			order = append(order, j)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch x, y := math.Abs(float64(d[a])), math.Abs(float64(d[b])); {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	s := ""
	for i, at := range order[:min(show, len(order))] {
		if i > 0 {
			s += ", "
		}
		s += r.name(at % r.Features)
		if len(r.Classes) > 2 {
			s += " of " + r.Classes[at/r.Features]
		}
		s += ": " + words.Significant(float64(d[at]), 3)
	}
	if len(order) > show {
		s += fmt.Sprintf(", … (%s not 0; all with --json)", words.Grouped(len(order)))
	}
	return s
}

func (r *linearResult) validationText(w io.Writer) {
	c := r.CV
	if c == nil {
		return
	}
	best, simple := c.Points[c.Best], c.Points[c.Simplest]
	said(w, "folds", "%d: least held-out loss %s at λ = %s (%s), within one standard error up to λ = %s (%s)", c.Folds,
		words.Number(float64(best.Loss)), words.Number(float64(best.Lambda)), words.Count(len(r.Points[c.Best].Support), "column", "columns"),
		words.Number(float64(simple.Lambda)), words.Count(len(r.Points[c.Simplest].Support), "column", "columns"))
	said(w, "", "%s there %s and %s", c.MetricName, words.Metric(c.MetricName, float64(best.Metric)), words.Metric(c.MetricName, float64(simple.Metric)))
}

func (r *linearResult) predictionsText(w io.Writer) {
	n := len(r.Predictions)
	if n == 0 {
		return
	}
	p := r.Predictions[0]
	s := words.Count(p.Examples, "example", "examples") + " at "
	if n == 1 {
		s += "λ = " + words.Number(float64(p.Lambda))
	} else {
		s += words.Grouped(n) + " λ"
	}
	if best := r.bestPrediction(); !math.IsNaN(float64(best.Loss)) {
		s += fmt.Sprintf(": loss %s, %s %s", words.Number(float64(best.Loss)), best.MetricName, words.Metric(best.MetricName, float64(best.Metric)))
		if n > 1 {
			s += " at best, λ = " + words.Number(float64(best.Lambda))
		}
	}
	said(w, "predicted", "%s", s)
}

func (r *linearResult) bestPrediction() linearScore {
	return slices.MinFunc(r.Predictions, func(a, b linearScore) int {
		if a.Loss < b.Loss {
			return -1
		}
		return 1
	})
}
