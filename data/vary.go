package data

import (
	"github.com/compactify/compactify/internal/stream"
)

// varying changes every example a little, always in the same way for the same
// seed and position.
type varying struct {
	seed    uint64
	purpose string
	mix     float64 // largest share of another example
	part    float64 // of the examples that are changed; the others stay as they are
}

// shiftShare is the largest shift of an image, as a share of its side.
const shiftShare = 0.125

// Vary is a view of s whose examples are changed at random, each from the stream
// (seed, purpose, position): images are shifted by up to an eighth of their side,
// the border repeated, and every example is blended with a share of up to mix of
// another one. Labels stay. It stands for inputs that a model has not seen, where
// only examples that it was trained on are at hand.
func (s *Set) Vary(seed uint64, purpose string, mix float64) *Set {
	return s.VarySome(seed, purpose, mix, 1)
}

// VarySome is [Set.Vary] of a part of the examples, drawn at random; the others stay
// as they are.
func (s *Set) VarySome(seed uint64, purpose string, mix, part float64) *Set {
	t := *s
	t.vary = &varying{seed, purpose, mix, part}
	return &t
}

// Varied reports whether example i is changed by [Set.Vary] or [Set.VarySome].
func (s *Set) Varied(i int) bool {
	v := s.vary
	return v != nil && (v.part >= 1 || stream.New(v.seed, v.purpose+"/which", uint64(i)).Float64() < v.part)
}

// fill writes example i, changed.
func (v *varying) fill(s *Set, dst []float32, i int) {
	r := stream.New(v.seed, v.purpose, uint64(i))
	plain := *s
	plain.vary = nil
	plain.Fill(dst, i)
	if !s.Varied(i) {
		return
	}
	other := r.IntN(s.Len())
	share := float32(v.mix * r.Float64())
	if share > 0 {
		second := make([]float32, s.Size())
		plain.Fill(second, other)
		for k, x := range second {
			dst[k] += share * (x - dst[k])
		}
	}
	if h, w, strideY, strideX, planes, plane, ok := s.imageLayout(); ok {
		dy := r.IntN(2*int(shiftShare*float64(h))+1) - int(shiftShare*float64(h))
		dx := r.IntN(2*int(shiftShare*float64(w))+1) - int(shiftShare*float64(w))
		shift(dst, h, w, strideY, strideX, planes, plane, dy, dx)
	}
}

// imageLayout finds the axes of an image presented as [C, H, W] or [H, W, C].
func (s *Set) imageLayout() (h, w, strideY, strideX, planes, plane int, ok bool) {
	if len(s.shape) != 3 || len(s.storedShape) < 2 {
		return 0, 0, 0, 0, 0, 0, false
	}
	if channelsLast(s.shape) {
		h, w, c := s.shape[0], s.shape[1], s.shape[2]
		return h, w, w * c, c, c, 1, true
	}
	c, h, w := s.shape[0], s.shape[1], s.shape[2]
	return h, w, w, 1, c, h * w, true
}

// shift moves an image by (dy, dx) and repeats its border.
func shift(dst []float32, h, w, strideY, strideX, planes, plane, dy, dx int) {
	if dy == 0 && dx == 0 {
		return
	}
	from := make([]float32, len(dst))
	copy(from, dst)
	for p := range planes {
		for y := range h {
			sy := min(max(y-dy, 0), h-1)
			for x := range w {
				sx := min(max(x-dx, 0), w-1)
				dst[p*plane+y*strideY+x*strideX] = from[p*plane+sy*strideY+sx*strideX]
			}
		}
	}
}
