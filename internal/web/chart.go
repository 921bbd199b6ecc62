package web

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strings"
	"unicode/utf8"
)

// chart is a drawing of points over two axes. Colours come from the style sheet
// by class, so that one drawing serves light, dark and print.
type chart struct {
	id          string // unique on the page
	title, desc string // for readers who do not see the drawing
	x, y        axis
	line        bool // connect the points
	points      []dot
	traces      []trace
	rules       []rule
	marks       []dot
	bridges     [][2]dot // dotted connections
}

// dot is a symbol at a value. A dot beyond the axis is drawn as an arrow at that end
// of it.
type dot struct {
	x, y  float64
	to    float64 // end of a whisker; equal to y for none
	class string
	shape string // circle, diamond, ring
	title string
}

// trace is one of several lines of a chart.
type trace struct {
	class  string
	points []dot
	dots   bool // draw the points, too
}

// rule is a line across the plot. A horizontal one may have a text above it, at its
// left end, or at its right if the first points would be in the way.
type rule struct {
	at       float64
	vertical bool
	class    string
	text     string
	right    bool
}

// The drawing's measures, in its own units; one unit is one pixel at the width
// of a column.
const (
	chartWidth   = 440.0
	chartHeight  = 270.0
	marginTop    = 30.0
	marginBottom = 46.0
	marginRight  = 14.0
	letter       = 6.6 // mean width of a letter of the tick labels
	boldLetter   = 8.4 // of those that name a line across the plot
)

// beside and above are the least distances, as shares of an axis, at which two
// labels along it do not touch.
func beside(a, b string) float64 {
	letters := utf8.RuneCountInString(a) + utf8.RuneCountInString(b)
	return (letter*float64(letters)/2 + 4) / (chartWidth - 75)
}

func above(_, _ string) float64 { return 14 / (chartHeight - marginTop - marginBottom) }

// frame is the plot's rectangle.
type frame struct{ left, top, right, bottom float64 }

func (c *chart) frame() frame {
	longest := 3
	for _, t := range c.y.ticks {
		longest = max(longest, utf8.RuneCountInString(t.label))
	}
	return frame{14 + letter*float64(longest), marginTop, chartWidth - marginRight, chartHeight - marginBottom}
}

// render draws the chart.
func (c *chart) render() template.HTML {
	f := c.frame()
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="chart" viewBox="0 0 %g %g" role="img" aria-labelledby="%s-t %s-d">`, chartWidth, chartHeight, c.id, c.id)
	fmt.Fprintf(&b, `<title id="%s-t">%s</title><desc id="%s-d">%s</desc>`, c.id, html.EscapeString(c.title), c.id, html.EscapeString(c.desc))
	fmt.Fprintf(&b, `<clipPath id="%s-c"><rect x="%s" y="%s" width="%s" height="%s"/></clipPath>`, c.id,
		coordinate(f.left-6), coordinate(f.top-6), coordinate(f.right-f.left+12), coordinate(f.bottom-f.top+12))
	c.grid(&b, f)
	c.lines(&b, f)
	c.texts(&b, f)
	for _, p := range c.points {
		c.dot(&b, f, p)
	}
	for _, t := range c.traces {
		if t.dots {
			for _, p := range t.points {
				c.dot(&b, f, p)
			}
		}
	}
	for _, p := range c.marks {
		c.dot(&b, f, p)
	}
	b.WriteString("</svg>")
	return template.HTML(b.String())
}

func (f frame) at(c *chart, x, y float64) (px, py float64) {
	return f.left + (f.right-f.left)*c.x.position(x), f.bottom - (f.bottom-f.top)*c.y.position(y)
}

// grid draws ticks, labels and the lines they stand on.
func (c *chart) grid(b *strings.Builder, f frame) {
	for _, t := range c.y.ticks {
		y := f.bottom - (f.bottom-f.top)*c.y.position(t.at)
		if t.mark == "" {
			segment(b, "grid", f.left, y, f.right, y)
		}
		label(b, "tick "+t.mark, "end", f.left-7, y+4, t.label)
	}
	for _, t := range c.x.ticks {
		x := f.left + (f.right-f.left)*c.x.position(t.at)
		segment(b, "axis", x, f.bottom, x, f.bottom+4)
		anchor := "middle"
		wide := letter
		if t.mark != "" {
			wide = boldLetter
		}
		if x+wide*float64(utf8.RuneCountInString(t.label))/2 > chartWidth {
			anchor = "end"
			x = chartWidth - 1
		}
		label(b, "tick "+t.mark, anchor, x, f.bottom+18, t.label)
	}
	segment(b, "axis", f.left, f.bottom, f.right, f.bottom)
	label(b, "axis-label", "start", 1, 13, c.y.label)
	label(b, "axis-label", "end", f.right, chartHeight-8, c.x.label)
}

// lines draws the rules and what connects the points.
func (c *chart) lines(b *strings.Builder, f frame) {
	fmt.Fprintf(b, `<g clip-path="url(#%s-c)">`, c.id)
	for _, r := range c.rules {
		if r.vertical {
			x, _ := f.at(c, r.at, c.y.lo)
			segment(b, r.class, x, f.top, x, f.bottom)
			continue
		}
		_, y := f.at(c, c.x.lo, r.at)
		segment(b, r.class, f.left, y, f.right, y)
	}
	for _, s := range c.bridges {
		x1, y1 := f.at(c, s[0].x, s[0].y)
		x2, y2 := f.at(c, s[1].x, s[1].y)
		segment(b, "bridge", x1, y1, x2, y2)
	}
	if c.line {
		c.polyline(b, f, "curve", c.points)
	}
	for _, t := range c.traces {
		c.polyline(b, f, "curve "+t.class, t.points)
	}
	b.WriteString("</g>")
}

// texts names the horizontal rules that have a name.
func (c *chart) texts(b *strings.Builder, f frame) {
	for _, r := range c.rules {
		if r.text == "" || r.vertical {
			continue
		}
		_, y := f.at(c, c.x.lo, r.at)
		if r.right {
			label(b, "tick "+r.class, "end", f.right, y-4, r.text)
		} else {
			label(b, "tick "+r.class, "start", f.left+4, y-4, r.text)
		}
	}
}

// polyline connects neighbours; a point that was not measured leaves a gap.
func (c *chart) polyline(b *strings.Builder, f frame, class string, points []dot) {
	pen := "M"
	var d strings.Builder
	for _, p := range points {
		x, y := f.at(c, p.x, p.y)
		if !finite(x) || !finite(y) {
			pen = "M"
			continue
		}
		// Far beyond the frame the clip hides the line: keep the numbers short.
		fmt.Fprintf(&d, "%s%s %s", pen, coordinate(x), coordinate(max(-1e5, min(1e5, y))))
		pen = "L"
	}
	if d.Len() > 0 {
		if c.x.stops != nil {
			class += " stepped" // there are no models between the points
		}
		fmt.Fprintf(b, `<path class="%s" d="%s"/>`, class, d.String())
	}
}

// dot draws one symbol, unless a coordinate is not a number.
func (c *chart) dot(b *strings.Builder, f frame, p dot) {
	x, y := f.at(c, p.x, p.y)
	if !finite(x) || !finite(y) || x < f.left-1 || x > f.right+1 {
		return
	}
	if y < f.top-1 {
		title := html.EscapeString(p.title + " (beyond the axis)")
		fmt.Fprintf(b, `<path class="%s beyond" d="M%s %sl4.5 7h-9z"><title>%s</title></path>`, p.class, coordinate(x), coordinate(f.top-4), title)
		return
	}
	if y > f.bottom+1 {
		title := html.EscapeString(p.title + " (below the axis)")
		fmt.Fprintf(b, `<path class="%s beyond" d="M%s %sl4.5 -7h-9z"><title>%s</title></path>`, p.class, coordinate(x), coordinate(f.bottom+4), title)
		return
	}
	if p.to != p.y && finite(p.to) {
		_, end := f.at(c, p.x, p.to)
		end = max(f.top-4, min(f.bottom, end))
		segment(b, "whisker", x, y, x, end)
		segment(b, "whisker", x-3, end, x+3, end)
	}
	fmt.Fprintf(b, `<%s><title>%s</title></%s>`, shape(p, x, y), html.EscapeString(p.title), element(p))
}

func element(p dot) string {
	if p.shape == "diamond" || p.shape == "diamond-small" {
		return "path"
	}
	return "circle"
}

// shape is the opening tag of a dot's symbol, without its brackets.
func shape(p dot, x, y float64) string {
	switch p.shape {
	case "diamond":
		return fmt.Sprintf(`path class="%s" d="M%s %sl6.5 6.5l-6.5 6.5l-6.5 -6.5z"`, p.class, coordinate(x), coordinate(y-6.5))
	case "diamond-small":
		return fmt.Sprintf(`path class="%s" d="M%s %sl4 4l-4 4l-4 -4z"`, p.class, coordinate(x), coordinate(y-4))
	case "ring":
		return fmt.Sprintf(`circle class="%s" cx="%s" cy="%s" r="7"`, p.class, coordinate(x), coordinate(y))
	case "small":
		return fmt.Sprintf(`circle class="%s" cx="%s" cy="%s" r="1.8"`, p.class, coordinate(x), coordinate(y))
	case "open":
		return fmt.Sprintf(`circle class="%s" cx="%s" cy="%s" r="4"`, p.class, coordinate(x), coordinate(y))
	}
	return fmt.Sprintf(`circle class="%s" cx="%s" cy="%s" r="3"`, p.class, coordinate(x), coordinate(y))
}

func segment(b *strings.Builder, class string, x1, y1, x2, y2 float64) {
	for _, v := range []float64{x1, y1, x2, y2} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return
		}
	}
	fmt.Fprintf(b, `<line class="%s" x1="%s" y1="%s" x2="%s" y2="%s"/>`, class, coordinate(x1), coordinate(y1), coordinate(x2), coordinate(y2))
}

func label(b *strings.Builder, class, anchor string, x, y float64, text string) {
	if !finite(x) || !finite(y) {
		return
	}
	fmt.Fprintf(b, `<text class="%s" text-anchor="%s" x="%s" y="%s">%s</text>`, strings.TrimSpace(class), anchor, coordinate(x), coordinate(y), html.EscapeString(text))
}
