package data

import (
	"fmt"
	"math"
	"sync"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/gobolditalic"
	"golang.org/x/image/font/gofont/goitalic"
	"golang.org/x/image/font/gofont/gomedium"
	"golang.org/x/image/font/gofont/gomediumitalic"
	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/gofont/gomonobold"
	"golang.org/x/image/font/gofont/gomonobolditalic"
	"golang.org/x/image/font/gofont/gomonoitalic"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/gofont/gosmallcaps"
	"golang.org/x/image/font/gofont/gosmallcapsitalic"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// point is a position, y growing downwards.
type point struct{ x, y float64 }

func (p point) add(q point) point               { return point{p.x + q.x, p.y + q.y} }
func (p point) sub(q point) point               { return point{p.x - q.x, p.y - q.y} }
func (p point) times(s float64) point           { return point{p.x * s, p.y * s} }
func (p point) toward(q point, t float64) point { return p.add(q.sub(p).times(t)) }

// outline is closed polygons with equal orientation conventions, centred on the
// origin, one unit high, with edges short enough to bend.
type outline [][]point

// digitOutlines is the digits of every face, parsed once.
var digitOutlines = sync.OnceValues(func() ([][10]outline, error) {
	faces := [][]byte{
		goregular.TTF, gobold.TTF, goitalic.TTF, gobolditalic.TTF, gomedium.TTF, gomediumitalic.TTF,
		gomono.TTF, gomonobold.TTF, gomonoitalic.TTF, gomonobolditalic.TTF, gosmallcaps.TTF, gosmallcapsitalic.TTF,
	}
	out := make([][10]outline, len(faces))
	for k, ttf := range faces {
		f, err := sfnt.Parse(ttf)
		if err != nil {
			return nil, fmt.Errorf("glyphs: face %d: %w", k, err)
		}
		for digit := range 10 {
			if out[k][digit], err = loadOutline(f, rune('0'+digit)); err != nil {
				return nil, fmt.Errorf("glyphs: face %d, digit %d: %w", k, digit, err)
			}
		}
	}
	return out, nil
})

func loadOutline(f *sfnt.Font, r rune) (outline, error) {
	var buf sfnt.Buffer
	g, err := f.GlyphIndex(&buf, r)
	if err != nil {
		return nil, err
	}
	em := fixed.I(int(f.UnitsPerEm()))
	segments, err := f.LoadGlyph(&buf, g, em, nil)
	if err != nil {
		return nil, err
	}
	bounds, _, err := f.GlyphBounds(&buf, g, em, font.HintingNone)
	if err != nil {
		return nil, err
	}
	lo := point{float64(bounds.Min.X), float64(bounds.Min.Y)}
	hi := point{float64(bounds.Max.X), float64(bounds.Max.Y)}
	centre, height := lo.toward(hi, 0.5), hi.y-lo.y
	at := func(p fixed.Point26_6) point {
		return point{float64(p.X), float64(p.Y)}.sub(centre).times(1 / height)
	}
	var o outline
	for _, s := range segments {
		if s.Op == sfnt.SegmentOpMoveTo {
			o = append(o, []point{at(s.Args[0])})
			continue
		}
		last := &o[len(o)-1]
		*last = appendCurve(*last, s, at)
	}
	return o, nil
}

// appendCurve adds a segment as short edges; the polygon's last point is its start.
func appendCurve(poly []point, s sfnt.Segment, at func(fixed.Point26_6) point) []point {
	const edge = 0.06 // of the digit's height: a pixel or so
	from := poly[len(poly)-1]
	a, b, c := at(s.Args[0]), at(s.Args[1]), at(s.Args[2])
	end, curve := a, func(t float64) point { return from.toward(a, t) }
	switch s.Op {
	case sfnt.SegmentOpQuadTo:
		end, curve = b, func(t float64) point {
			return from.toward(a, t).toward(a.toward(b, t), t)
		}
	case sfnt.SegmentOpCubeTo:
		end, curve = c, func(t float64) point {
			ab, bc := a.toward(b, t), b.toward(c, t)
			return from.toward(a, t).toward(ab, t).toward(ab.toward(bc, t), t)
		}
	}
	d := end.sub(from)
	n := max(1, int(math.Ceil(math.Hypot(d.x, d.y)/edge)))
	for k := 1; k <= n; k++ {
		poly = append(poly, curve(float64(k)/float64(n)))
	}
	return poly
}
