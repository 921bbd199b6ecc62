// Package web renders results for people: one HTML file that opens anywhere.
//
// A page needs no network, no scripts and no fonts of its own. Drawings are
// inline SVG whose colours come from the style sheet, so that the same page
// reads in light, in dark and on paper. Every drawing has a description and the
// figures behind it in a table. Names from foreign files are escaped.
package web

import (
	"embed"
	"fmt"
	"html/template"
	"io"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/compress"
	"github.com/compactify/compactify/internal/words"
)

//go:embed page.html report.html walk.html training.html linear.html page.css
var files embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{"style": style, "formulas": formulas}).ParseFS(files, "*.html"))

// style is the style sheet. It is the program's own text.
func style() (template.CSS, error) {
	b, err := files.ReadFile("page.css")
	return template.CSS(b), err
}

// Report writes a run's result as one self-contained HTML page. Figures that
// were not measured (NaN, infinities, empty lists) are named as such or left
// out; they are never an error.
func Report(w io.Writer, r *compress.Result, title string) error {
	return render(w, "report.html", newReport(r, title))
}

// WalkReport writes one measured profile as a self-contained HTML page. The
// budget is the one the curve was judged by, metric the name of what was measured, and
// notes are sentences on what else was found.
func WalkReport(w io.Writer, c compress.Curve, b compactify.Budget, metric, title string, notes ...string) error {
	p := walkPage{Title: title, Profile: newProfile("profile", c, b, metric, nil), Notes: sentences(notes)}
	p.Lead = "How far a trained model can be moved along one path before the budget is used up. At t = 0 stands the original, at t = 1 the boundary model, where the path ends."
	p.Budget = words.Limit(b, "the metric")
	return render(w, "walk.html", p)
}

type walkPage struct {
	Title, Lead, Budget string
	Profile             profile
	Notes               []string
}

func render(w io.Writer, name string, page any) error {
	if err := templates.ExecuteTemplate(w, name, page); err != nil {
		return fmt.Errorf("render %s: %w", name, err)
	}
	return nil
}
