package data

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/compactify/compactify/internal/stream"
)

// Augmentation says how images are changed at random. The zero value changes
// nothing. Parts are applied in the order of the fields, from the last to the first:
// an image is distorted, then flipped, then shifted.
type Augmentation struct {
	Shift int  // pixels by which an image moves at most, in each direction; what moves in is background, 0 before normalisation
	Flip  bool // half of the images are mirrored, left to right

	// Elastic is α of elastic distortion, in pixels: every pixel is read from where a
	// random field points. The field is uniform in [−1, 1] for each pixel and
	// direction, smoothed by a Gaussian of standard deviation Sigma and multiplied by
	// α. What the field points to outside of the image is background.
	//
	// Source: P. Simard, D. Steinkraus and J. Platt, "Best practices for convolutional
	// neural networks applied to visual document analysis", ICDAR 2003, section 2,
	// which has α = 34 and σ = 4 for digits of 29×29.
	Elastic float64
	Sigma   float64 // pixels; 0 means 4
}

// IsZero reports whether nothing is changed.
func (a Augmentation) IsZero() bool { return a.Shift == 0 && !a.Flip && a.Elastic == 0 }

// String writes the augmentation as [ParseAugmentation] reads it.
func (a Augmentation) String() string {
	var parts []string
	if a.Shift != 0 {
		parts = append(parts, fmt.Sprintf("shift:%d", a.Shift))
	}
	if a.Flip {
		parts = append(parts, "flip")
	}
	if a.Elastic != 0 {
		part := "elastic:" + strconv.FormatFloat(a.Elastic, 'g', -1, 64)
		if a.Sigma != 0 {
			part += ":" + strconv.FormatFloat(a.Sigma, 'g', -1, 64)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ",")
}

// ParseAugmentation reads parts divided by commas: shift:PIXELS, flip, elastic:ALPHA
// or elastic:ALPHA:SIGMA. Nothing is the zero value.
func ParseAugmentation(text string) (Augmentation, error) {
	var a Augmentation
	if text == "" {
		return a, nil
	}
	seen := make(map[string]bool)
	for _, part := range strings.Split(text, ",") {
		name, value, given := strings.Cut(part, ":")
		if seen[name] {
			return Augmentation{}, fmt.Errorf("augmentation %q: %s is there twice", text, name)
		}
		seen[name] = true
		if err := a.parse(name, value, given); err != nil {
			return Augmentation{}, fmt.Errorf("augmentation %q: %w", text, err)
		}
	}
	return a, a.check()
}

// parse reads one part.
func (a *Augmentation) parse(name, value string, given bool) (err error) {
	switch {
	case name == "flip" && !given:
		a.Flip = true
	case name == "shift" && given:
		if a.Shift, err = strconv.Atoi(value); err != nil || a.Shift < 1 {
			return fmt.Errorf("shift: got %q, want a number of pixels", value)
		}
	case name == "elastic" && given:
		alpha, sigma, two := strings.Cut(value, ":")
		if a.Elastic, err = strconv.ParseFloat(alpha, 64); err != nil || !(a.Elastic > 0) {
			return fmt.Errorf("elastic: alpha: got %q, want a positive number of pixels", alpha)
		}
		if !two {
			return nil
		}
		if a.Sigma, err = strconv.ParseFloat(sigma, 64); err != nil || !(a.Sigma > 0) {
			return fmt.Errorf("elastic: sigma: got %q, want a positive number of pixels", sigma)
		}
	default:
		return fmt.Errorf("got %q, want shift:PIXELS, flip or elastic:ALPHA[:SIGMA]", strings.TrimSuffix(name+":"+value, ":"))
	}
	return nil
}

// The bounds of an augmentation: beyond, an image is all background or the smoothing
// takes longer than training.
const (
	maxShift   = 1 << 12
	maxElastic = 1e4
	maxSigma   = 100
	usualSigma = 4
)

func (a Augmentation) check() error {
	switch {
	case a.Shift < 0 || a.Shift > maxShift:
		return fmt.Errorf("augmentation: shift: got %d, want 0 to %d pixels", a.Shift, maxShift)
	case !(a.Elastic >= 0 && a.Elastic <= maxElastic):
		return fmt.Errorf("augmentation: elastic: alpha: got %v, want 0 to %v pixels", a.Elastic, maxElastic)
	case !(a.Sigma >= 0 && a.Sigma <= maxSigma):
		return fmt.Errorf("augmentation: elastic: sigma: got %v, want 0 to %v pixels", a.Sigma, maxSigma)
	}
	return nil
}

// augmenting changes every example, always in the same way for the same seed and
// position.
type augmenting struct {
	seed    uint64
	purpose string
	a       Augmentation
	kernel  []float32 // of the smoothing, from the centre outwards
}

// Augment is a view of s whose images are changed at random, each from the stream
// (seed, purpose, position). Labels stay. The examples have to be images, [C, H, W],
// [H, W, C] or [H, W].
func (s *Set) Augment(seed uint64, purpose string, a Augmentation) (*Set, error) {
	if err := a.check(); err != nil {
		return nil, err
	}
	if a.IsZero() {
		return s, nil
	}
	if _, ok := s.picture(); !ok {
		return nil, fmt.Errorf("augment data set %q: got examples of shape %v, want images [channels, height, width], [height, width, channels] or [height, width]", s.name, s.shape)
	}
	t := *s
	t.augment = &augmenting{seed: seed, purpose: purpose, a: a, kernel: gaussian(a)}
	return &t, nil
}

// gaussian is half of the smoothing kernel, cut at three standard deviations, with
// sum 1 over both halves.
func gaussian(a Augmentation) []float32 {
	if a.Elastic == 0 {
		return nil
	}
	sigma := a.Sigma
	if sigma == 0 {
		sigma = usualSigma
	}
	k := make([]float64, int(math.Ceil(3*sigma))+1)
	sum := 0.0
	for i := range k {
		k[i] = math.Exp(-float64(i*i) / (2 * sigma * sigma))
		if sum += k[i]; i > 0 {
			sum += k[i]
		}
	}
	out := make([]float32, len(k))
	for i, x := range k {
		out[i] = float32(x / sum)
	}
	return out
}

// picture is how the pixels of an example lie.
type picture struct {
	h, w             int
	strideY, strideX int
	planes, plane    int // channels, and how far one is from the next
	outside          []float32
}

// picture finds the axes of an image; a flat row of a stored image lies as stored.
func (s *Set) picture() (picture, bool) {
	shape := s.shape
	if len(shape) == 1 && product(shape) == product(s.storedShape) {
		shape = s.storedShape
	}
	var p picture
	switch {
	case s.rows == nil || len(s.storedShape) < 2:
		return p, false
	case len(shape) == 2:
		p = picture{h: shape[0], w: shape[1], strideY: shape[1], strideX: 1, planes: 1}
	case len(shape) != 3:
		return p, false
	case channelsLast(shape):
		p = picture{h: shape[0], w: shape[1], strideY: shape[1] * shape[2], strideX: shape[2], planes: shape[2], plane: 1}
	default:
		p = picture{h: shape[1], w: shape[2], strideY: shape[2], strideX: 1, planes: shape[0], plane: shape[1] * shape[2]}
	}
	p.outside = make([]float32, p.planes)
	for c := range p.outside {
		p.outside[c] = float32(s.scale.apply(0, c))
	}
	return p, true
}

// fill writes example i, changed.
func (v *augmenting) fill(s *Set, dst []float32, i int) {
	plain := *s
	plain.augment = nil
	plain.Fill(dst, i)
	p, _ := s.picture()
	r := stream.New(v.seed, v.purpose, uint64(i))
	from := make([]float32, s.Size())
	if v.a.Elastic > 0 {
		copy(from, dst)
		p.warp(dst, from, v.field(r, p.h, p.w), v.field(r, p.h, p.w))
	}
	if v.a.Flip && r.IntN(2) == 1 {
		copy(from, dst)
		p.move(dst, from, 0, 0, true)
	}
	if v.a.Shift > 0 {
		dy, dx := r.IntN(2*v.a.Shift+1)-v.a.Shift, r.IntN(2*v.a.Shift+1)-v.a.Shift
		copy(from, dst)
		p.move(dst, from, dy, dx, false)
	}
}

// move shifts an image by (dy, dx), mirrored first if asked.
func (p picture) move(dst, from []float32, dy, dx int, mirror bool) {
	for c := range p.planes {
		for y := range p.h {
			for x := range p.w {
				sy, sx := y-dy, x-dx
				if mirror {
					sx = p.w - 1 - sx
				}
				dst[c*p.plane+y*p.strideY+x*p.strideX] = p.at(from, c, sy, sx)
			}
		}
	}
}

// at is a pixel, or the background.
func (p picture) at(from []float32, c, y, x int) float32 {
	if uint(y) >= uint(p.h) || uint(x) >= uint(p.w) {
		return p.outside[c]
	}
	return from[c*p.plane+y*p.strideY+x*p.strideX]
}

// warp reads every pixel from where (fy, fx) point, between four pixels in proportion
// to their closeness.
func (p picture) warp(dst, from, fy, fx []float32) {
	for y := range p.h {
		for x := range p.w {
			py, px := float64(y)+float64(fy[y*p.w+x]), float64(x)+float64(fx[y*p.w+x])
			y0, x0 := math.Floor(py), math.Floor(px)
			ay, ax := float32(py-y0), float32(px-x0)
			for c := range p.planes {
				top := mix(p.at(from, c, int(y0), int(x0)), p.at(from, c, int(y0), int(x0)+1), ax)
				low := mix(p.at(from, c, int(y0)+1, int(x0)), p.at(from, c, int(y0)+1, int(x0)+1), ax)
				dst[c*p.plane+y*p.strideY+x*p.strideX] = mix(top, low, ay)
			}
		}
	}
}

// mix is a share of the way from a to b. The conversions keep processors from fusing
// the product into the sum, which would round differently.
func mix(a, b, share float32) float32 { return a + float32(share*float32(b-a)) }

// field is a smooth random field of h×w displacements in pixels.
func (v *augmenting) field(r *rand.Rand, h, w int) []float32 {
	f := make([]float32, h*w)
	for i := range f {
		f[i] = float32(2*r.Float64() - 1)
	}
	scratch, line := make([]float32, h*w), make([]float32, max(h, w)+2*len(v.kernel))
	smooth(scratch, f, line, v.kernel, h, w, w, 1)
	smooth(f, scratch, line, v.kernel, w, h, 1, w)
	for i := range f {
		f[i] *= float32(v.a.Elastic)
	}
	return f
}

// smooth convolves along the second of two axes with lengths rows and n and the
// given strides. Outside of the image the field is 0. line is scratch.
func smooth(dst, src, line, half []float32, rows, n, strideRow, stride int) {
	margin := len(half)
	clear(line)
	for y := range rows {
		row, out := src[y*strideRow:], dst[y*strideRow:]
		for x := range n {
			line[margin+x] = row[x*stride]
		}
		for x := range n {
			around := line[x+1 : x+2*margin]
			left, right := around[:margin], around[margin-1:]
			sum := float32(half[0] * right[0])
			for k := 1; k < margin; k++ {
				sum += float32(half[k] * (left[margin-1-k] + right[k]))
			}
			out[x*stride] = sum
		}
	}
}
