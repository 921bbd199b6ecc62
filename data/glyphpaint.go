package data

import (
	"image"
	"math"
	"math/rand/v2"

	"golang.org/x/image/vector"
)

// Distortion of the glyphs, in pixels of the 28×28 image unless another unit is
// given. The figures were chosen so that linear models stay below 90 % and a
// LeNet-5 exceeds 98 %, both with room.
const (
	glyphMinHeight = 15.0
	glyphMaxHeight = 21.0
	glyphAspect    = 0.10 // standard deviation of log(width/height)
	glyphRotation  = 0.15 // standard deviation, radians; at most twice that
	glyphShear     = 0.15 // standard deviation, x per y; at most twice that
	glyphShift     = 2.5  // largest, along each axis
	glyphElastic   = 0.8  // standard deviation of a control point
	glyphStroke    = 0.25 // standard deviation of half the change in stroke width
	glyphMaxBlur   = 0.8  // standard deviation of the widest blur
	glyphMaxNoise  = 0.08 // standard deviation of the strongest noise, of full scale
	glyphStrokes   = 2    // most clutter strokes
)

// elasticGrid is control points per side of the displacement field.
const elasticGrid = 4

// glyphPainter holds the buffers of one worker.
type glyphPainter struct {
	raster  *vector.Rasterizer
	cover   *image.Alpha
	poly    []point
	ink     []float64 // the picture, 0 to 1
	scratch []float64
}

func newGlyphPainter() *glyphPainter {
	return &glyphPainter{
		raster:  vector.NewRasterizer(glyphSide, glyphSide),
		cover:   image.NewAlpha(image.Rect(0, 0, glyphSide, glyphSide)),
		ink:     make([]float64, glyphSide*glyphSide),
		scratch: make([]float64, glyphSide*glyphSide),
	}
}

// paint draws one distorted digit into dst, bright on dark.
func (p *glyphPainter) paint(dst []byte, digit outline, r *rand.Rand) {
	background := 0.2 * r.Float64()
	for i := range p.ink {
		p.ink[i] = background
	}
	for range r.IntN(glyphStrokes + 1) {
		p.drawClutter(r)
	}
	p.drawDigit(digit, r)
	p.blur(glyphMaxBlur * r.Float64())
	noise := glyphMaxNoise * r.Float64()
	for i, v := range p.ink {
		v += noise * r.NormFloat64()
		dst[i] = byte(255*min(max(v, 0), 1) + 0.5)
	}
}

// drawDigit bends the outline and fills it.
func (p *glyphPainter) drawDigit(digit outline, r *rand.Rand) {
	place := randomAffine(r)
	bend := randomElastic(r)
	offset := glyphStroke * normal(r)
	brightness := 0.6 + 0.4*r.Float64()
	p.raster.Reset(glyphSide, glyphSide)
	for _, contour := range digit {
		p.poly = p.poly[:0]
		for _, q := range contour {
			q = place(q)
			p.poly = append(p.poly, q.add(bend.at(q)))
		}
		p.addPolygon(p.poly, offset)
	}
	p.composite(brightness)
}

// drawClutter draws a thin straight stroke somewhere.
func (p *glyphPainter) drawClutter(r *rand.Rand) {
	centre := point{glyphSide * r.Float64(), glyphSide * r.Float64()}
	angle := 2 * math.Pi * r.Float64()
	along := point{math.Cos(angle), math.Sin(angle)}.times(2 + 5*r.Float64())
	across := point{-along.y, along.x}.times((0.3 + 0.6*r.Float64()) / math.Hypot(along.x, along.y))
	p.raster.Reset(glyphSide, glyphSide)
	p.addPolygon([]point{
		centre.sub(along).sub(across), centre.add(along).sub(across),
		centre.add(along).add(across), centre.sub(along).add(across),
	}, 0)
	p.composite(0.3 + 0.4*r.Float64())
}

// addPolygon adds a closed polygon whose edges are moved outwards by offset.
func (p *glyphPainter) addPolygon(poly []point, offset float64) {
	n := len(poly)
	if n > 1 && poly[0] == poly[n-1] {
		n--
	}
	for i := range n {
		q := poly[i]
		if offset != 0 {
			edge := poly[(i+1)%n].sub(poly[(i+n-1)%n])
			if l := math.Hypot(edge.x, edge.y); l > 0 {
				q = q.add(point{edge.y, -edge.x}.times(offset / l))
			}
		}
		if i == 0 {
			p.raster.MoveTo(float32(q.x), float32(q.y))
		} else {
			p.raster.LineTo(float32(q.x), float32(q.y))
		}
	}
	p.raster.ClosePath()
}

// composite lays the filled shape over the picture.
func (p *glyphPainter) composite(brightness float64) {
	clear(p.cover.Pix)
	p.raster.Draw(p.cover, p.cover.Bounds(), image.Opaque, image.Point{})
	for i, a := range p.cover.Pix {
		if a != 0 {
			t := float64(a) / 255
			p.ink[i] = (1-t)*p.ink[i] + t*brightness
		}
	}
}

// blur convolves the picture with a Gaussian of the given standard deviation,
// cut at three pixels; borders repeat.
func (p *glyphPainter) blur(sigma float64) {
	if sigma < 0.2 { // the kernel is a point
		return
	}
	const radius = 3
	var k [2*radius + 1]float64
	sum := 0.0
	for d := -radius; d <= radius; d++ {
		k[d+radius] = math.Exp(-float64(d*d) / (2 * sigma * sigma))
		sum += k[d+radius]
	}
	for i := range k {
		k[i] /= sum
	}
	convolveRows(p.scratch, p.ink, &k)
	convolveRows(p.ink, p.scratch, &k)
}

// convolveRows convolves every row and writes the result transposed, so that
// two calls treat both axes.
func convolveRows(dst, src []float64, k *[7]float64) {
	const radius = 3
	var line [glyphSide + 2*radius]float64
	for y := range glyphSide {
		row := src[y*glyphSide : (y+1)*glyphSide]
		copy(line[radius:], row)
		for d := range radius {
			line[d], line[radius+glyphSide+d] = row[0], row[glyphSide-1]
		}
		for x := range glyphSide {
			w := line[x : x+7]
			dst[x*glyphSide+y] = k[0]*(w[0]+w[6]) + k[1]*(w[1]+w[5]) + k[2]*(w[2]+w[4]) + k[3]*w[3]
		}
	}
}

// randomAffine places a unit-high outline in the picture.
func randomAffine(r *rand.Rand) func(point) point {
	height := glyphMinHeight + (glyphMaxHeight-glyphMinHeight)*r.Float64()
	width := height * math.Exp(glyphAspect*normal(r))
	sin, cos := math.Sincos(glyphRotation * normal(r))
	shear := glyphShear * normal(r)
	centre := point{
		glyphSide/2 + glyphShift*(2*r.Float64()-1),
		glyphSide/2 + glyphShift*(2*r.Float64()-1),
	}
	return func(q point) point {
		x, y := width*(q.x+shear*q.y), height*q.y
		return centre.add(point{cos*x - sin*y, sin*x + cos*y})
	}
}

// elastic is a smooth random displacement field: a cubic B-spline over a grid of
// control points that covers the picture.
type elastic [elasticGrid + 3][elasticGrid + 3]point

func randomElastic(r *rand.Rand) *elastic {
	var e elastic
	for i := range e {
		for j := range e[i] {
			e[i][j] = point{r.NormFloat64(), r.NormFloat64()}.times(glyphElastic)
		}
	}
	return &e
}

// at is the displacement at q.
func (e *elastic) at(q point) point {
	i, wy := spline(q.y)
	j, wx := spline(q.x)
	var d point
	for a := range 4 {
		for b := range 4 {
			d = d.add(e[i+a][j+b].times(wy[a] * wx[b]))
		}
	}
	return d
}

// spline is the first of the four control points around x and their weights.
func spline(x float64) (int, [4]float64) {
	u := min(max(x/glyphSide, 0), 1) * elasticGrid
	i := min(int(u), elasticGrid-1)
	t := u - float64(i)
	s := 1 - t
	return i, [4]float64{
		s * s * s / 6,
		(3*t*t*t - 6*t*t + 4) / 6,
		(3*s*s*s - 6*s*s + 4) / 6,
		t * t * t / 6,
	}
}

// normal is a standard normal draw limited to two standard deviations, so that
// no digit is distorted beyond recognition.
func normal(r *rand.Rand) float64 {
	return min(max(r.NormFloat64(), -2), 2)
}
