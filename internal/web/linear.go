package web

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/compactify/compactify/internal/words"
	"github.com/compactify/compactify/linear"
)

// LinearSummary is what the page of a linear model's path shows beside the path.
// Pointers may be nil.
type LinearSummary struct {
	Title, Kind, Data      string
	Examples               int
	Alpha, Gap             float64 // Gap is the one allowed
	Exact                  bool    // the points are the breakpoints, or computed from them
	Intercept, Standardize bool
	Unpenalised            int // columns whose penalty factor is 0
	Seconds                float64
	Feature                func(j int) string // the name of a column, counted from 0
	Classes                []string
	Validation             *linear.Validation
	Separability           *linear.Separability
	Breakpoints            *linear.Breakpoints
	Notes                  []string // sentences
}

// Linear writes the path of a linear model as one self-contained HTML page.
func Linear(w io.Writer, p *linear.Path, s LinearSummary) error {
	v := linearView{p, s}
	page := linearPage{Title: s.Title, Headline: v.headline(), Lead: v.lead(), Warning: v.warning(), Tiles: v.tiles(), Walk: v.walk(), Proof: v.proof(), Held: v.held(),
		Separable: v.separable(), Notes: sentences(s.Notes)}
	for _, c := range v.largest(namedCurves) {
		page.Largest = append(page.Largest, v.curveRow(c))
	}
	page.Scaled = v.scaled()
	page.Columns, page.Rows, page.Shown = v.table()
	page.Breaks, page.BreaksShown = v.breaks()
	return render(w, "linear.html", page)
}

type linearPage struct {
	Title, Headline, Lead, Warning string
	Tiles                          []tile
	Walk, Proof                    figure
	Held                           *figure
	Separable, Notes               []string
	Largest                        [][]string
	Scaled                         bool // Largest have one more figure, per standard deviation
	Columns                        []string
	Rows                           [][]string
	Shown                          string
	Breaks                         [][]string
	BreaksShown                    string
}

// linearView is a path on its way to a page.
type linearView struct {
	*linear.Path
	s LinearSummary
}

const (
	drawnCurves = 60  // so many coefficients are drawn
	namedCurves = 8   // so many of them have a colour and a name
	pathRows    = 100 // so many points and breakpoints are listed
)

// curve is a coefficient along the path, per standard deviation of its column if
// columns were standardised.
type coefficientCurve struct {
	index   int // k·p + j
	values  []float64
	largest float64
	from    float64 // the largest λ at which it is not 0
}

// scaled reports whether coefficients are drawn per standard deviation.
func (v linearView) scaled() bool { return v.s.Standardize && v.Scale != nil }

// scale is what a coefficient is multiplied by to be drawn.
func (v linearView) scale(index int) float64 {
	if !v.scaled() {
		return 1
	}
	return v.Scale[index%v.Features]
}

// largest are the curves that go furthest from 0.
func (v linearView) largest(most int) []coefficientCurve {
	top := make(map[int]float64)
	for _, p := range v.course() {
		for i, at := range p.Index {
			top[at] = max(top[at], math.Abs(p.Value[i]*v.scale(at)))
		}
	}
	order := make([]int, 0, len(top))
	for at := range top {
		order = append(order, at)
	}
	slices.SortFunc(order, func(a, b int) int {
		if top[a] != top[b] {
			if top[a] > top[b] {
				return -1
			}
			return 1
		}
		return a - b
	})
	list := make([]coefficientCurve, min(most, len(order)))
	place := make(map[int]int)
	for k := range list {
		list[k] = coefficientCurve{index: order[k], values: make([]float64, len(v.course())), largest: top[order[k]]}
		place[order[k]] = k
	}
	for i, p := range v.course() {
		for e, at := range p.Index {
			if k, ok := place[at]; ok {
				list[k].values[i] = p.Value[e] * v.scale(at)
				list[k].from = max(list[k].from, v.entered(i))
			}
		}
	}
	return list
}

// exactly reports whether the curves between the points are known: straight lines for
// coefficients from one breakpoint to the next.
func (v linearView) exactly() bool { return v.s.Exact && v.s.Breakpoints != nil }

// null says what the model is from the boundary on.
func (v linearView) null() string {
	if v.s.Unpenalised > 0 {
		return "θ = 0 where penalised"
	}
	return "θ = 0"
}

// course are the points that curves run through: all breakpoints of an exact path, of
// which other points are asked for with --lambda.
func (v linearView) course() []linear.Point {
	if !v.exactly() {
		return v.Points
	}
	list := make([]linear.Point, len(v.s.Breakpoints.Points))
	for i := range list {
		list[i] = v.s.Breakpoints.Points[i].Point
	}
	return list
}

// entered is the λ from which on a coefficient moves that is not 0 at point i of the
// course: of breakpoints the one before.
func (v linearView) entered(i int) float64 {
	if v.exactly() {
		return v.s.Breakpoints.Points[max(0, i-1)].Lambda
	}
	return v.Points[i].Lambda
}

// name is that of a coefficient.
func (v linearView) name(index int) string {
	name := v.s.Feature(index % v.Features)
	if v.Responses > 1 {
		name += " for " + v.s.Classes[index/v.Features]
	}
	return name
}

func (v linearView) curveRow(c coefficientCurve) []string {
	end := c.values[len(c.values)-1] / v.scale(c.index)
	row := []string{v.name(c.index), words.Number(c.from), words.Number(end), words.Number(c.largest / v.scale(c.index))}
	if v.scaled() {
		row = append(row, words.Number(c.largest))
	}
	return row
}

func (v linearView) headline() string {
	last := v.Points[len(v.Points)-1]
	s := fmt.Sprintf("%s: %s along the path", v.s.Kind, words.Count(len(v.Points), "model", "models"))
	if v.s.Exact {
		s = fmt.Sprintf("%s, exactly: %s", v.s.Kind, words.Count(len(v.Points), "model", "models"))
	}
	if n := len(last.Support(v.Features)); n > 0 {
		s += fmt.Sprintf(", up to %s of %s", words.Percent(last.Explained, 1), explainedOf(v.Family))
	}
	return s
}

func explainedOf(f linear.Family) string {
	if f == linear.Gaussian {
		return "the variance explained"
	}
	return "the deviance explained"
}

func (v linearView) lead() string {
	s := fmt.Sprintf("A %s model of %s with %s", familyName(v.Family), words.Count(v.s.Examples, "example", "examples"), words.Count(v.Features, "column", "columns"))
	s += " of " + v.s.Data
	if v.s.Alpha == 1 {
		s += ", under the penalty λ‖θ‖₁"
	} else if v.s.Alpha == 0 {
		s += ", under the penalty ½λ‖θ‖²"
	} else {
		s += fmt.Sprintf(", under the penalty λ(α‖θ‖₁ + (1 − α)/2·‖θ‖²) with α = %s", words.Number(v.s.Alpha))
	}
	if v.s.Kind == "group" {
		s += ", where ‖θ‖₁ adds up √|g|·‖θ_g‖ over groups"
	}
	if v.s.Standardize {
		s += " on coefficients of standardised columns"
	}
	return s + ". The problem is convex: at every λ a dual point proves how near the minimum is."
}

func familyName(f linear.Family) string {
	return map[linear.Family]string{linear.Gaussian: "least-squares", linear.Binomial: "logistic", linear.Multinomial: "multinomial logistic", linear.Poisson: "Poisson"}[f]
}

// warning says that not all points are what was asked for.
func (v linearView) warning() string {
	missed := 0
	for _, p := range v.Points {
		if !p.Converged {
			missed++
		}
	}
	if missed == 0 {
		return ""
	}
	return fmt.Sprintf("%s did not reach the gap of %s that was asked for.", words.Count(missed, "point", "points"), words.Number(v.s.Gap))
}

// worst is the point with the largest gap.
func (v linearView) worst() linear.Point {
	worst := v.Points[0]
	for _, p := range v.Points {
		if p.Gap > worst.Gap {
			worst = p
		}
	}
	return worst
}

func (v linearView) tiles() []tile {
	last, worst := v.Points[len(v.Points)-1], v.worst()
	list := []tile{{Name: "λ_max", After: words.Number(v.LambdaMax), Remark: "from here on " + v.null()}}
	switch {
	case v.s.Unpenalised == v.Features:
		list[0].Remark = "no column is penalised"
	case math.IsInf(v.LambdaMax, 1):
		list[0] = tile{Name: "λ_max", After: "∞", Remark: v.null() + " is the limit, not reached"}
	}
	gap := tile{Name: "largest gap", After: gapWords(worst.Gap), Remark: "of the objective, at λ = " + words.Number(worst.Lambda)}
	if v.s.Exact {
		gap = tile{Name: "gap", After: "0", Remark: "the path is exact"}
		if v.scaled() {
			gap.Remark = "the path is exact but for rounded standard deviations"
		}
	}
	list = append(list, gap, tile{Name: "columns at the end", After: words.Grouped(len(last.Support(v.Features))), Remark: "of " + words.Grouped(v.Features) + ", at λ = " + words.Number(last.Lambda)})
	if c := v.s.Validation; c != nil {
		list = append(list, tile{Name: "λ within one error", After: words.Number(c.Lambda1SE), Remark: fmt.Sprintf("%s; least loss at %s", words.Count(len(v.Points[c.Simplest].Support(v.Features)), "column", "columns"), words.Number(c.LambdaMin))})
	}
	if s := v.s.Separability; s != nil {
		list = append(list, tile{Name: "classes", After: s.Kind, Remark: minimiserText(s)})
	}
	return append(list, tile{Name: "time to fit", After: fitTime(v.s.Seconds)})
}

func fitTime(seconds float64) string {
	if seconds < 1 {
		return words.Milliseconds(1000 * seconds)
	}
	return words.Duration(seconds)
}

func minimiserText(s *linear.Separability) string {
	switch {
	case s.FiniteMinimiser:
		return "the loss has a finite minimiser"
	case s.Kind == "undecided":
		return ""
	}
	return "no finite minimiser exists"
}

func gapWords(gap float64) string {
	if gap == 0 {
		return "0"
	}
	return words.Significant(gap, 2)
}

// separable says what was proved of the classes.
func (v linearView) separable() []string {
	s := v.s.Separability
	if s == nil {
		return nil
	}
	list := []string{sentence(fmt.Sprintf("that %s is %s", s.Statement, s.Verdict))}
	if s.Note != "" {
		list = append(list, sentence(s.Note))
	}
	if s.Margin != nil {
		list = append(list, fmt.Sprintf("The largest margin is %s; it rests on %s.", words.Number(s.Margin[0]), words.Count(len(s.SupportVectors), "example", "examples")))
	}
	if s.Direction == nil {
		return list
	}
	order := make([]int, len(s.Direction))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		if x, y := math.Abs(s.Direction[a]), math.Abs(s.Direction[b]); x != y {
			if x > y {
				return -1
			}
			return 1
		}
		return 0
	})
	var parts []string
	for _, at := range order[:min(namedCurves, len(order))] {
		if s.Direction[at] != 0 {
			parts = append(parts, v.name(at)+" "+words.Significant(s.Direction[at], 3))
		}
	}
	return append(list, "Along the direction (largest entries: "+strings.Join(parts, ", ")+") no example's loss rises.")
}

// table lists points of the path.
func (v linearView) table() (columns []string, rows [][]string, shown string) {
	columns = []string{"λ", "columns", "objective", "loss", "penalty", "explained", "‖θ‖₁", "‖θ‖₂", "gap", "KKT"}
	for _, i := range thinned(len(v.Points), pathRows) {
		p := v.Points[i]
		norm1, norm2 := p.Norms()
		rows = append(rows, []string{words.Number(p.Lambda), words.Grouped(len(p.Support(v.Features))), words.Significant(p.Objective, 6), words.Significant(p.Loss, 6), words.Number(p.Penalty),
			words.Percent(p.Explained, 2), words.Number(norm1), words.Number(norm2), gapWords(p.Gap), gapWords(p.KKT)})
	}
	shown = words.Count(len(v.Points), "point", "points")
	if len(rows) < len(v.Points) {
		shown = fmt.Sprintf("%d of %s", len(rows), shown)
	}
	return columns, rows, shown
}

// breaks lists breakpoints.
func (v linearView) breaks() (rows [][]string, shown string) {
	b := v.s.Breakpoints
	if b == nil {
		return nil, ""
	}
	names := func(list []int) string {
		var parts []string
		for _, j := range list {
			parts = append(parts, v.s.Feature(j))
		}
		return strings.Join(parts, ", ")
	}
	const longest = 40
	for _, i := range thinned(len(b.Points), pathRows) {
		p := &b.Points[i]
		exact := ""
		if b.Exact {
			if exact = p.String(); len(exact) > longest {
				exact = fmt.Sprintf("(%d digits)", len(exact))
			}
		}
		rows = append(rows, []string{words.Significant(p.Lambda, 6), exact, names(p.Entered), names(p.Left), words.Grouped(len(p.Support)), string(p.Verdict)})
	}
	shown = words.Count(len(b.Points), "breakpoint", "breakpoints")
	if len(rows) < len(b.Points) {
		shown = fmt.Sprintf("%d of %s", len(rows), shown)
	}
	return rows, shown
}
