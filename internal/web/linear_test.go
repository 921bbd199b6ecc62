package web

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/compactify/compactify/linear"
	"golang.org/x/net/html"
)

// fittedPath is a path on made-up data whose columns count for less and less.
func fittedPath(t *testing.T, f linear.Family, alpha float64, o linear.Options) (linear.Problem, *linear.Validation) {
	t.Helper()
	const n, p = 40, 12
	x, y := make([]float64, n*p), make([]float64, n)
	for i := range n {
		eta := 0.0
		for j := range p {
			x[j*n+i] = math.Sin(float64(1 + i*(j+3) + j*j))
			eta += x[j*n+i] / float64(j+1)
		}
		switch f {
		case linear.Gaussian:
			y[i] = eta
		case linear.Binomial:
			y[i] = float64((i*7 + i/3) % 2)
		case linear.Poisson:
			y[i] = math.Round(math.Exp(eta))
		}
	}
	m, err := linear.NewDense(n, p, x)
	if err != nil {
		t.Fatal(err)
	}
	problem := linear.Problem{X: m, Y: y, Family: f}
	v, err := linear.CrossValidate(context.Background(), problem, linear.Penalty{Alpha: alpha}, o, linear.Folds{Count: 4, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	return problem, v
}

func linearHTML(t *testing.T, p *linear.Path, s LinearSummary) string {
	t.Helper()
	s.Feature = func(j int) string { return fmt.Sprintf("<column %d>", j+1) }
	var b bytes.Buffer
	if err := Linear(&b, p, s); err != nil {
		t.Fatal(err)
	}
	if _, err := html.Parse(bytes.NewReader(b.Bytes())); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	if strings.Contains(page, "<column") || !strings.Contains(page, "&lt;column 1&gt;") {
		t.Error("names of columns are not escaped")
	}
	for _, bad := range []string{`"NaN`, `"-Inf`, `"Inf`, "%!"} {
		if strings.Contains(page, bad) {
			t.Errorf("page holds %q", bad)
		}
	}
	return page
}

func TestLinearPage(t *testing.T) {
	for _, c := range []struct {
		family linear.Family
		alpha  float64
	}{{linear.Gaussian, 1}, {linear.Gaussian, 0}, {linear.Gaussian, 0.5}, {linear.Binomial, 1}, {linear.Poisson, 1}} {
		t.Run(fmt.Sprint(c.family, c.alpha), func(t *testing.T) {
			problem, v := fittedPath(t, c.family, c.alpha, linear.DefaultOptions())
			separable, err := linear.Separate(context.Background(), problem, linear.DefaultOptions())
			if err != nil {
				t.Fatal(err)
			}
			page := linearHTML(t, v.Path, LinearSummary{Title: "path", Kind: "kind", Examples: 40, Alpha: c.alpha, Gap: 1e-10, Standardize: true, Validation: v, Separability: separable})
			for _, want := range []string{`id="coefficients-t"`, `id="gaps-t"`, `id="held-out-t"`, `class="curve c1"`, `class="curve rest"`} {
				if !strings.Contains(page, want) {
					t.Errorf("page lacks %q", want)
				}
			}
			// The boundary is marked where there is one: in the drawing, beside the legend.
			if got := strings.Contains(page, "the boundary: θ = 0 from λ = "); got != (c.alpha > 0) {
				t.Errorf("boundary marked: got %v, want %v", got, c.alpha > 0)
			}
			if strings.Contains(page, `class="warning"`) {
				t.Error("a warning, and every point converged")
			}
		})
	}
}

// Where columns are not penalised θ = 0 is claimed of the others only.
func TestLinearPageUnpenalised(t *testing.T) {
	_, v := fittedPath(t, linear.Gaussian, 1, linear.DefaultOptions())
	for _, c := range []struct {
		free int
		want string
	}{{0, "from here on θ = 0<"}, {1, "from here on θ = 0 where penalised<"}, {12, "no column is penalised<"}} {
		page := linearHTML(t, v.Path, LinearSummary{Title: "path", Kind: "lasso", Alpha: 1, Gap: 1e-10, Unpenalised: c.free})
		if !strings.Contains(page, c.want) {
			t.Errorf("%d columns without a penalty: page lacks %q", c.free, c.want)
		}
		if got := strings.Contains(page, `class="boundary" d="`); got != (c.free < 12) {
			t.Errorf("%d columns without a penalty: boundary marked: got %v", c.free, got)
		}
	}
}

// Of lines on one place one has a name.
func TestLinearPageNamesLinesApart(t *testing.T) {
	_, v := fittedPath(t, linear.Gaussian, 1, linear.DefaultOptions())
	for _, c := range []struct {
		lambda float64
		want   bool
	}{{v.Path.LambdaMax, false}, {v.Path.LambdaMax / 50, true}} {
		v.Lambda1SE = c.lambda
		page := linearHTML(t, v.Path, LinearSummary{Title: "path", Kind: "lasso", Alpha: 1, Gap: 1e-10, Validation: v})
		if got := strings.Contains(page, ">1se</text>"); got != c.want {
			t.Errorf("λ_1se = %v of λ_max = %v is named: got %v, want %v", c.lambda, v.Path.LambdaMax, got, c.want)
		}
	}
}

// A point that missed its gap is said to, and beaten points are counted.
func TestLinearPageWarns(t *testing.T) {
	_, v := fittedPath(t, linear.Gaussian, 1, linear.DefaultOptions())
	v.Path.Points[3].Converged, v.Path.Points[3].Gap = false, 1e-3
	v.Path.Checks.Monotone = false
	page := linearHTML(t, v.Path, LinearSummary{Title: "path", Kind: "lasso", Gap: 1e-10, Alpha: 1})
	for _, want := range []string{"1 point did not reach the gap", "monotone in λ: false", "0.001"} {
		if !strings.Contains(page, want) {
			t.Errorf("page lacks %q", want)
		}
	}
}

// The exact path lists its breakpoints and has no gaps to draw.
func TestLinearPageExact(t *testing.T) {
	m, err := linear.NewDense(3, 3, []float64{3, 0, 1, 0, -3, 0, 3, -1, 0})
	if err != nil {
		t.Fatal(err)
	}
	problem := linear.Problem{X: m, Y: []float64{3, 3, -1}}
	b, err := linear.Homotopy(context.Background(), problem, linear.Penalty{Alpha: 1}, linear.HomotopyOptions{Exact: true})
	if err != nil {
		t.Fatal(err)
	}
	p := &linear.Path{Features: 3, Responses: 1, LambdaMax: b.LambdaMax, Checks: b.Checks}
	for _, x := range b.Points {
		p.Points = append(p.Points, x.Point)
	}
	page := linearHTML(t, p, LinearSummary{Title: "path", Kind: "lasso", Alpha: 1, Gap: 1e-10, Exact: true, Breakpoints: b})
	for _, want := range []string{"18/13", "6 breakpoints: verified", `class="boundary" d="`} {
		if !strings.Contains(page, want) {
			t.Errorf("page lacks %q", want)
		}
	}
	if strings.Contains(page, `id="gaps-t"`) {
		t.Error("an exact path has no gaps to draw")
	}
	// The label of the right edge ends there.
	if !strings.Contains(page, `text-anchor="end" x="439" y="242">λmax</text>`) {
		t.Error("the label of λ_max is not kept within the drawing")
	}
	// Five segments: the number of columns has two ends for each, all on one height.
	d := curveOf(t, page, "support")
	if got := strings.Count(d, "M") + strings.Count(d, "L"); got != 2*5 {
		t.Errorf("points of the steps: got %d, want 10", got)
	}
	steps := strings.FieldsFunc(d, func(r rune) bool { return r == 'M' || r == 'L' })
	for i := 0; i+1 < len(steps); i += 2 {
		if _, a, _ := strings.Cut(steps[i], " "); !strings.HasSuffix(steps[i+1], " "+a) {
			t.Errorf("step %d: got %q to %q, want one height", i/2, steps[i], steps[i+1])
		}
	}
	if got := strings.Count(curveOf(t, page, "explained"), "L"); got != 5*12 {
		t.Errorf("pieces of what is explained: got %d, want 60", got)
	}
}

// curveOf is what the curve of a chart runs through.
func curveOf(t *testing.T, page, id string) string {
	t.Helper()
	_, after, found := strings.Cut(page, `id="`+id+`-t"`)
	_, after, drawn := strings.Cut(after, `<path class="curve c1" d="`)
	d, _, _ := strings.Cut(after, `"`)
	if !found || !drawn {
		t.Fatalf("chart %q has no curve", id)
	}
	return d
}

// Between breakpoints the deviance explained is the one of the model there.
func TestParabola(t *testing.T) {
	m, err := linear.NewDense(4, 2, []float64{3, 0, 1, 2, 0, -3, 0, 5})
	if err != nil {
		t.Fatal(err)
	}
	problem := linear.Problem{X: m, Y: []float64{3, 3, -1, 2}}
	b, err := linear.Homotopy(context.Background(), problem, linear.Penalty{Alpha: 1}, linear.HomotopyOptions{Options: linear.DefaultOptions()})
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i < len(b.Points); i++ {
		for _, d := range parabola(b.Points[i-1].Point, b.Points[i].Point) {
			p, err := b.At(d.x)
			if err != nil {
				t.Fatal(err)
			}
			if math.Abs(d.y-100*p.Explained) > 1e-9 {
				t.Errorf("λ = %v: explained: got %v, want %v", d.x, d.y, 100*p.Explained)
			}
		}
	}
}

// A path of one point, where no column explains anything.
func TestLinearPageOfNothing(t *testing.T) {
	m, err := linear.NewDense(2, 1, []float64{1, 2})
	if err != nil {
		t.Fatal(err)
	}
	p, err := linear.Fit(context.Background(), linear.Problem{X: m, Y: []float64{3, 3}}, linear.Penalty{Alpha: 1}, linear.DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := Linear(&b, p, LinearSummary{Title: "none", Kind: "lasso", Feature: func(int) string { return "x" }}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "NaN") {
		t.Error("page holds NaN")
	}
}
