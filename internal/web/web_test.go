package web

import (
	"bytes"
	"flag"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/compress"
	"github.com/compactify/compactify/internal/jsonnum"
	"golang.org/x/net/html"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs from what is rendered now; run go test -update and read the diff", path)
	}
}

func page(t *testing.T, r *compress.Result) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Report(&b, r, "Compactify report: lenet5.onnx"); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestReportGolden(t *testing.T) { golden(t, "report.html", page(t, lenet())) }

func TestWalkReportGolden(t *testing.T) {
	b := compactify.Budget{Kind: compactify.LossRise, Limit: 0.01}
	var out bytes.Buffer
	if err := WalkReport(&out, compress.NewCurve(pruneProfile(), b), b, "top-1 accuracy", "Path prune of lenet5.onnx"); err != nil {
		t.Fatal(err)
	}
	golden(t, "walk.html", out.Bytes())
	wellFormed(t, out.Bytes())
}

// TestWalkReportOfAPenalty: the page of a path of λ is over log λ with places for 0 and ∞,
// has the norm of the weights, and does not say that nothing was trained.
func TestWalkReportOfAPenalty(t *testing.T) {
	b := compactify.Budget{Kind: compactify.LossRise, Limit: 0.1}
	var out bytes.Buffer
	if err := WalkReport(&out, compress.NewCurve(ridgeProfile(), b), b, "top-1 accuracy", "Path l2 of lenet5.onnx", "no point is a minimiser & more"); err != nil {
		t.Fatal(err)
	}
	wellFormed(t, out.Bytes())
	golden(t, "walk-l2.html", out.Bytes())
	page := out.String()
	for _, want := range []string{"λ (logarithmic)", ">10⁻⁶<", ">∞<", "λ = 0.001: ", `<th scope="col" class="n">‖θ‖</th>`, "No point is a minimiser &amp; more.", "Norm of the weights along the path l2", "The budget was measured to hold"} {
		if !strings.Contains(page, want) {
			t.Errorf("page: want %q in it", want)
		}
	}
	if strings.Contains(page, "Without fine-tuning") || strings.Contains(page, "NaN") {
		t.Error("page: got a model that was not trained, or a place that is no number")
	}
}

// wellFormed checks what every page promises: it is closed properly, refers to
// nothing outside itself, runs nothing, and describes its drawings and tables.
func wellFormed(t *testing.T, page []byte) {
	t.Helper()
	balanced(t, page)
	doc, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	var wanted []string
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		if slices.Contains([]string{"script", "link", "img", "iframe", "object", "embed", "base", "image", "use"}, n.Data) {
			t.Errorf("element <%s>", n.Data)
		}
		for _, a := range n.Attr {
			switch {
			case a.Key == "id":
				if ids[a.Val] {
					t.Errorf("id %q twice", a.Val)
				}
				ids[a.Val] = true
			case a.Key == "aria-labelledby":
				wanted = append(wanted, strings.Fields(a.Val)...)
			case slices.Contains([]string{"src", "href", "srcset", "action", "data"}, a.Key), strings.HasPrefix(a.Key, "on"):
				t.Errorf("attribute %s=%q of <%s>", a.Key, a.Val, n.Data)
			case strings.Contains(a.Val, "url(") && !strings.Contains(a.Val, "url(#"), strings.Contains(a.Val, "ZgotmplZ"):
				t.Errorf("attribute %s=%q of <%s>", a.Key, a.Val, n.Data)
			}
		}
		if n.Data == "table" && find(n, "caption") == nil {
			t.Error("a table without a caption")
		}
		if n.Data == "svg" && !hidden(n) && (find(n, "title") == nil || find(n, "desc") == nil) {
			t.Error("a drawing without title or description")
		}
		if n.Data == "style" && (strings.Contains(n.FirstChild.Data, "@import") || strings.Contains(n.FirstChild.Data, "url(")) {
			t.Error("the style sheet refers to something outside")
		}
	}
	for _, id := range wanted {
		if !ids[id] {
			t.Errorf("aria-labelledby names %q, which is not there", id)
		}
	}
	for _, bad := range []string{"NaN", "Inf", "%!", "http:", "https:"} {
		if i := bytes.Index(page, []byte(bad)); i >= 0 {
			t.Errorf("the page says %q: …%s…", bad, page[max(0, i-80):min(len(page), i+40)])
		}
	}
}

func hidden(n *html.Node) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == "aria-hidden" && a.Val == "true" })
}

func find(n *html.Node, tag string) *html.Node {
	for c := range n.Descendants() {
		if c.Data == tag {
			return c
		}
	}
	return nil
}

// balanced checks that every element is closed where it should be: the parser
// itself would quietly repair it.
func balanced(t *testing.T, page []byte) {
	t.Helper()
	void := []string{"meta", "br", "hr"}
	var open []string
	z := html.NewTokenizer(bytes.NewReader(page))
	for {
		switch z.Next() {
		case html.ErrorToken:
			if len(open) > 0 {
				t.Errorf("left open: %v", open)
			}
			return
		case html.StartTagToken:
			if name, _ := z.TagName(); !slices.Contains(void, string(name)) {
				open = append(open, string(name))
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			if len(open) == 0 || open[len(open)-1] != string(name) {
				t.Fatalf("</%s> closes %v", name, open)
			}
			open = open[:len(open)-1]
		}
	}
}

func TestReportIsSelfContained(t *testing.T) { wellFormed(t, page(t, lenet())) }

// Names come from foreign files: none may become markup.
func TestReportEscapes(t *testing.T) {
	const attack = `"><script>alert(1)</script><img src=x onerror=alert(2)>'`
	r := lenet()
	everyString(reflect.ValueOf(r).Elem(), attack)
	r.Budget.Kind = "pp"
	p := page(t, r)
	wellFormed(t, p)
	if !bytes.Contains(p, []byte("&lt;script&gt;")) {
		t.Error("the hostile name is not on the page at all")
	}
}

// everyString overwrites all strings of a structure.
func everyString(v reflect.Value, s string) { everyLeaf(v, func(v reflect.Value) { setString(v, s) }) }

func setString(v reflect.Value, s string) {
	if v.Kind() == reflect.String {
		v.SetString(s)
	}
}

func everyLeaf(v reflect.Value, visit func(reflect.Value)) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			everyLeaf(v.Field(i), visit)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			everyLeaf(v.Index(i), visit)
		}
	default:
		visit(v)
	}
}

func TestReportOfOddFigures(t *testing.T) {
	for _, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, -1, 1e300, -1e300, 1e-300, math.MaxFloat64} {
		r := lenet()
		everyLeaf(reflect.ValueOf(r).Elem(), func(v reflect.Value) {
			if v.Type() == reflect.TypeFor[jsonnum.Float]() {
				v.SetFloat(x)
			}
		})
		wellFormed(t, page(t, r))
	}
	for _, n := range []int{0, 1, -1, math.MaxInt, math.MinInt} {
		r := lenet()
		everyLeaf(reflect.ValueOf(r).Elem(), func(v reflect.Value) {
			if v.Kind() == reflect.Int {
				v.SetInt(int64(n))
			}
		})
		wellFormed(t, page(t, r))
	}
}

// One figure at a time is broken: combinations that the all-at-once test hides.
func TestReportOfOneOddFigure(t *testing.T) {
	leaves := 0
	everyLeaf(reflect.ValueOf(lenet()).Elem(), func(v reflect.Value) { leaves++ })
	for k := 0; k < leaves; k++ {
		r := lenet()
		i, isFloat := 0, false
		everyLeaf(reflect.ValueOf(r).Elem(), func(v reflect.Value) {
			if i == k && v.Kind() == reflect.Float64 {
				v.SetFloat(math.NaN())
				isFloat = true
			}
			i++
		})
		if isFloat {
			wellFormed(t, page(t, r))
		}
	}
}

func TestReportOfNothing(t *testing.T) {
	wellFormed(t, page(t, &compress.Result{}))
	wellFormed(t, page(t, &compress.Result{Profiles: make([]compress.Curve, 2), Trials: make([]compress.Trial, 1), Layers: make([]compress.Layer, 1)}))
	none := lenet()
	none.Compact, none.Paths, none.Layers, none.Verify = compress.Compact{}, nil, nil, compress.Verify{}
	none.WouldFit = "1.4pp"
	p := page(t, none)
	wellFormed(t, p)
	if !bytes.Contains(p, []byte("needs a budget of 1.4pp")) {
		t.Error("the budget that would fit is not on the page")
	}
}

func TestBudgetKinds(t *testing.T) {
	for _, b := range []compactify.Budget{{Kind: "pp", Limit: 1}, {Kind: "nats", Limit: 0.05}, {Kind: "kl", Limit: 0.01}, {Kind: "snr", Limit: 30}, {Kind: "pp"}} {
		r := lenet()
		r.Budget.Kind, r.Budget.Limit = string(b.Kind), num(b.Limit)
		r.Profiles = []compress.Curve{compress.NewCurve(pruneProfile(), b), compress.NewCurve(quantizeProfile(), b)}
		wellFormed(t, page(t, r))
	}
}

// TestSignalReport: signals have no metric and no nats, and a ratio is not spent.
func TestSignalReport(t *testing.T) {
	b := compactify.Budget{Kind: compactify.MinSNR, Limit: 15}
	r := lenet()
	r.Baseline.MetricName, r.Baseline.Metric, r.Compact.Metric, r.Baseline.Loss = "none", num(math.NaN()), num(math.NaN()), 0
	r.Budget.Kind, r.Budget.Limit, r.Budget.Measured, r.Budget.CI95 = string(b.Kind), num(b.Limit), 20, [2]jsonnum.Float{19, 21}
	r.Repairs = []compress.Repair{{Name: "w", From: "2 bits", To: "4 bits", Spent: 19.2}}
	r.Profiles = []compress.Curve{compress.NewCurve(pruneProfile(), b)}
	p := page(t, r)
	wellFormed(t, p)
	body := p[bytes.Index(p, []byte("<body>")):]
	for _, bad := range []string{" spent", ">spent", "nats", "none ", "uses up", "used up", "further down"} {
		if i := bytes.Index(body, []byte(bad)); i >= 0 {
			t.Errorf("the page says %q: …%s…", bad, body[max(0, i-80):min(len(body), i+40)])
		}
	}
	for _, want := range []string{"the reference", "noise/power 1 %", "4 bits instead of 2 bits, then 19.2 dB reached", "mean squared error", "further up is better"} {
		if !bytes.Contains(body, []byte(want)) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

// Tick labels are read as numbers: they must be apart and name their place.
func TestAxisTicks(t *testing.T) {
	for _, values := range [][]float64{{0, 1}, {0.04, 2.3}, {-3, 90}, {1e-9, 2e-9}, {5, 5}, {0}, {}, {1e6, 1.0000001e6}, {-1e12, 1e12}} {
		a := newAxis("x", values)
		if len(a.ticks) < 2 || len(a.ticks) > 12 {
			t.Errorf("axis of %v: %d ticks", values, len(a.ticks))
		}
		seen := map[string]bool{}
		for _, k := range a.ticks {
			if p := a.position(k.at); p < -1e-9 || p > 1+1e-9 {
				t.Errorf("axis of %v: tick %s at %v", values, k.label, p)
			}
			if seen[k.label] {
				t.Errorf("axis of %v: label %s twice", values, k.label)
			}
			seen[k.label] = true
		}
		for _, v := range values {
			if p := a.position(v); !(p >= -1e-9 && p <= 1+1e-9) {
				t.Errorf("axis of %v: value %v at %v", values, v, p)
			}
		}
	}
}
