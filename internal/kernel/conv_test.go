package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// conv2d is a shape with its outputs' sizes filled in.
func conv2d(s ConvShape) ConvShape {
	s.OH = outSize(s.H, s.KH, s.SH, s.DH, s.PT+s.PB)
	s.OW = outSize(s.W, s.KW, s.SW, s.DW, s.PL+s.PR)
	return s
}

// simple is a convolution with equal strides and pads and no dilation.
func simple(n, c, size, m, k, stride, pad int) ConvShape {
	return conv2d(ConvShape{N: n, C: c, H: size, W: size, M: m, KH: k, KW: k, SH: stride, SW: stride,
		DH: 1, DW: 1, PT: pad, PL: pad, PB: pad, PR: pad, Groups: 1})
}

// eachProduct visits the terms of the definition of [Conv]: y[at] += w[of]·x[from].
func eachProduct(s ConvShape, visit func(at, of, from int)) {
	in, out := s.C/s.Groups, s.M/s.Groups
	at := 0
	for n := range s.N {
		for m := range s.M {
			for i := range s.OH {
				for j := range s.OW {
					of := m * in * s.KH * s.KW
					for c := range in {
						plane := (n*s.C + m/out*in + c) * s.H
						for kh := range s.KH {
							h := i*s.SH + kh*s.DH - s.PT
							for kw := range s.KW {
								w := j*s.SW + kw*s.DW - s.PL
								if h >= 0 && h < s.H && w >= 0 && w < s.W {
									visit(at, of, (plane+h)*s.W+w)
								}
								of++
							}
						}
					}
					at++
				}
			}
		}
	}
}

// convCase is a convolution with its operands and, from the definition in
// float64, its results and the sums of their terms' magnitudes.
type convCase[T Float] struct {
	s                     ConvShape
	x, w, bias, dy        []T
	y, dx, dw, db         []float64
	yMag, dxMag, dwMag    []float64
	gotY, gotX, gotW, got []T
	ws                    []T
}

func newConvCase[T Float](r *rand.Rand, s ConvShape) *convCase[T] {
	nx, nw, ny := s.N*s.C*s.H*s.W, s.M*s.taps(), s.N*s.M*s.OH*s.OW
	c := &convCase[T]{s: s, x: random[T](r, nx), w: random[T](r, nw), bias: random[T](r, s.M), dy: random[T](r, ny)}
	c.y, c.yMag = make([]float64, ny), make([]float64, ny)
	c.dx, c.dxMag = make([]float64, nx), make([]float64, nx)
	c.dw, c.dwMag = make([]float64, nw), make([]float64, nw)
	c.db = make([]float64, s.M)
	eachProduct(s, func(at, of, from int) {
		x, w, dy := float64(c.x[from]), float64(c.w[of]), float64(c.dy[at])
		c.y[at] += w * x
		c.dx[from] += w * dy
		c.dw[of] += x * dy
		c.yMag[at] += math.Abs(w * x)
		c.dxMag[from] += math.Abs(w * dy)
		c.dwMag[of] += math.Abs(x * dy)
	})
	for i, v := range c.dy {
		c.db[i/(s.OH*s.OW)%s.M] += float64(v)
	}
	return c
}

// guard is put behind every result, and must stay.
const guard = 12345

func guarded[T Float](n int) []T {
	s := make([]T, n+16)
	for i := range s {
		s[i] = guard
	}
	return s
}

// run computes everything on a pool, without bias and activation.
func (c *convCase[T]) run(p *Pool) {
	s := c.s
	size := ConvWorkspace(s, p.Threads())
	c.ws = guarded[T](size)
	nan := T(math.NaN())
	for i := range size {
		c.ws[i] = nan
	}
	c.gotY, c.gotX, c.gotW, c.got = guarded[T](len(c.y)), guarded[T](len(c.dx)), guarded[T](len(c.dw)), guarded[T](s.M)
	for i := range c.y {
		c.gotY[i] = nan
	}
	Conv(p, s, c.x, c.w, nil, c.gotY[:len(c.y)], ActNone, c.ws[:size])
	ConvGradX(p, s, c.w, c.dy, c.gotX[:len(c.dx)], c.ws[:size])
	ConvGradW(p, s, c.x, c.dy, c.gotW[:len(c.dw)], c.ws[:size])
	ConvGradBias(p, s, c.dy, c.got[:s.M])
}

// compare checks the results against the definition. Sums of n terms in any
// order err by less than n·eps times the sum of the terms' magnitudes: N. Higham,
// "Accuracy and Stability of Numerical Algorithms", 2002, eq. (4.4).
func (c *convCase[T]) compare() error {
	s := c.s
	for _, q := range []struct {
		name      string
		got       []T
		want, mag []float64
		terms     int
	}{
		{"y", c.gotY, c.y, c.yMag, s.taps()},
		{"dx", c.gotX, c.dx, c.dxMag, s.M / s.Groups * s.KH * s.KW},
		{"dw", c.gotW, c.dw, c.dwMag, s.N * s.OH * s.OW},
	} {
		for i, want := range q.want {
			if tol := float64(q.terms+8) * epsilon[T]() * q.mag[i]; !(math.Abs(float64(q.got[i])-want) <= tol) {
				return fmt.Errorf("%s[%d]: got %v, want %v ± %g", q.name, i, q.got[i], want, tol)
			}
		}
		for i, v := range q.got[len(q.want):] {
			if v != guard {
				return fmt.Errorf("%s: element %d behind the end was written: %v", q.name, i, v)
			}
		}
	}
	for i, want := range c.db {
		if tol := 1e3 * epsilon[T]() * float64(s.N+1); math.Abs(float64(c.got[i])-want) > tol {
			return fmt.Errorf("db[%d]: got %v, want %v ± %g", i, c.got[i], want, tol)
		}
	}
	for i, v := range c.ws[len(c.ws)-16:] {
		if v != guard {
			return fmt.Errorf("workspace: element %d behind the end was written: %v", i, v)
		}
	}
	return nil
}

func epsilon[T Float]() float64 {
	if _, ok := any(T(0)).(float32); ok {
		return 0x1p-24
	}
	return 0x1p-52 // the oracle errs as much
}

// convShapes are shapes that reach each branch: segments within and across rows,
// lone ones, copies and none, phases, crops, turned and scattered gradients.
func convShapes() []ConvShape {
	shapes := []ConvShape{
		simple(3, 1, 28, 20, 5, 1, 0),  // LeNet, first
		simple(3, 20, 12, 50, 5, 1, 0), // LeNet, second
		simple(2, 6, 14, 16, 5, 1, 0),
		simple(2, 3, 32, 16, 3, 1, 1), // ResNet-20
		simple(1, 16, 32, 32, 3, 2, 1),
		simple(2, 16, 16, 32, 1, 2, 0),
		simple(3, 8, 8, 9, 3, 1, 1),
		simple(2, 5, 9, 7, 1, 1, 0),
		simple(12, 3, 64, 1, 3, 1, 1), // several batches
		simple(7, 4, 5, 15, 5, 1, 0),  // a matrix product
		simple(3, 4, 3, 5, 5, 1, 1),   // one output a plane
		simple(3, 2, 2, 3, 2, 1, 1),
		simple(2, 3, 7, 2, 3, 3, 0), // pixels under no tap
		simple(2, 2, 11, 3, 2, 5, 1),
		simple(0, 2, 5, 3, 3, 1, 1),
	}
	wide := simple(2, 4, 10, 8, 3, 1, 2) // crops dy
	wide.PT, wide.PL, wide.PB, wide.PR = 5, 0, 1, 4
	line := simple(2, 3, 40, 5, 7, 2, 3)
	line.H, line.KH, line.SH, line.PT, line.PB = 1, 1, 1, 0, 0
	dilated := simple(1, 3, 20, 4, 3, 2, 2)
	dilated.DH, dilated.DW = 2, 3
	deep := simple(2, 12, 10, 12, 3, 1, 1)
	deep.Groups = 12
	deeper := deep
	deeper.M = 24
	grouped := simple(2, 6, 13, 9, 3, 2, 1)
	grouped.Groups = 3
	scattered := simple(2, 8, 10, 24, 5, 1, 0)
	scattered.Groups, scattered.SW = 2, 2
	for _, s := range []ConvShape{wide, line, dilated, deep, deeper, grouped, scattered} {
		shapes = append(shapes, conv2d(s))
	}
	r := rand.New(rand.NewPCG(1, 2))
	for len(shapes) < 80 {
		g := 1 + r.IntN(3)
		s := conv2d(ConvShape{N: 1 + r.IntN(4), C: g * (1 + r.IntN(5)), H: 1 + r.IntN(20), W: 1 + r.IntN(40), M: g * (1 + r.IntN(18)),
			KH: 1 + r.IntN(4), KW: 1 + r.IntN(5), SH: 1 + r.IntN(3), SW: 1 + r.IntN(3), DH: 1 + r.IntN(3), DW: 1 + r.IntN(3),
			PT: r.IntN(4), PL: r.IntN(4), PB: r.IntN(4), PR: r.IntN(4), Groups: g})
		if s.Validate() == nil {
			shapes = append(shapes, s)
		}
	}
	return shapes
}

func TestConv(t *testing.T) {
	t.Run("float32", func(t *testing.T) { testConv[float32](t, sets()) })
	t.Run("float64", func(t *testing.T) { testConv[float64](t, []Set{Portable}) }) // the same in every set
}

func testConv[T Float](t *testing.T, sets []Set) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, s := range convShapes() {
		if err := s.Validate(); err != nil {
			t.Fatal(err)
		}
		c := newConvCase[T](r, s)
		for _, set := range sets {
			var one *convCase[T]
			for _, threads := range []int{1, 2, 3} {
				p := newPool(t, threads, set)
				got := *c
				got.run(p)
				p.Close()
				if err := got.compare(); err != nil {
					t.Fatalf("%v, %d threads, %+v: %v", set, threads, s, err)
				}
				if threads == 1 {
					one = &got
				} else if !slices.Equal(got.gotY, one.gotY) || !slices.Equal(got.gotX, one.gotX) || !slices.Equal(got.gotW, one.gotW) {
					t.Fatalf("%v, %+v: %d threads give other bits than one", set, s, threads)
				}
			}
		}
	}
}

// The three kernels are one trilinear form: ⟨w ∗ x, dy⟩ = ⟨x, dx⟩ = ⟨w, dw⟩.
func TestConvAdjoints(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, s := range convShapes()[:50] {
		c := newConvCase[float64](r, s)
		c.run(newPool(t, 1, Portable))
		form, size := 0.0, 0.0
		for i, v := range c.dy {
			form += v * c.gotY[i]
			size += math.Abs(v) * c.yMag[i]
		}
		byX, byW := 0.0, 0.0
		for i, v := range c.x {
			byX += v * c.gotX[i]
		}
		for i, v := range c.w {
			byW += v * c.gotW[i]
		}
		if tol := 1e-13 * size; math.Abs(form-byX) > tol || math.Abs(form-byW) > tol {
			t.Fatalf("%+v: got forms %v, %v and %v, want them equal within %g", s, form, byX, byW, tol)
		}
	}
}

func TestConvBiasAndActivation(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, s := range []ConvShape{simple(2, 3, 9, 17, 3, 1, 1), simple(2, 3, 16, 17, 3, 2, 1), simple(2, 3, 4, 2, 2, 1, 0), simple(2, 3, 4, 2, 4, 1, 0)} {
		c := newConvCase[float32](r, s)
		c.x[0] = float32(math.NaN())
		for _, set := range sets() {
			p := newPool(t, 1, set)
			ws := make([]float32, ConvWorkspace(s, 1))
			plain, y := make([]float32, len(c.y)), make([]float32, len(c.y))
			Conv(p, s, c.x, c.w, nil, plain, ActNone, ws)
			Conv(p, s, c.x, c.w, c.bias, y, ActRelu, ws)
			for i, v := range plain {
				v += c.bias[i/(s.OH*s.OW)%s.M]
				if v < 0 {
					v = 0
				}
				if math.Float32bits(v) != math.Float32bits(y[i]) && v == v || (v == v) != (y[i] == y[i]) {
					t.Fatalf("%v, %+v: y[%d]: got %v, want %v", set, s, i, y[i], v)
				}
			}
			if y[0] == y[0] {
				t.Errorf("%v: the NaN in x did not reach y", set)
			}
		}
	}
}

func TestConvDoesNotAllocate(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for _, s := range []ConvShape{simple(4, 3, 9, 8, 3, 2, 1), simple(4, 20, 12, 50, 5, 1, 0)} {
		c := newConvCase[float32](r, s)
		p := newPool(t, 2, Best())
		ws := make([]float32, ConvWorkspace(s, 2))
		dx, dw, y := make([]float32, len(c.dx)), make([]float32, len(c.dw)), make([]float32, len(c.y))
		got := testing.AllocsPerRun(5, func() {
			Conv(p, s, c.x, c.w, c.bias, y, ActRelu, ws)
			ConvGradX(p, s, c.w, c.dy, dx, ws)
			ConvGradW(p, s, c.x, c.dy, dw, ws)
			ConvGradBias(p, s, c.dy, c.bias)
		})
		if got != 0 {
			t.Errorf("%+v: got %v allocations, want 0", s, got)
		}
	}
}

func TestConvRejectsShortSlices(t *testing.T) {
	s := simple(1, 2, 5, 3, 3, 1, 1)
	p := newPool(t, 1, Best())
	x, w, y := make([]float32, 2*25), make([]float32, 3*2*9), make([]float32, 3*25)
	ws := make([]float32, ConvWorkspace(s, 1))
	for name, call := range map[string]func(){
		"x":         func() { Conv(p, s, x[1:], w, nil, y, ActNone, ws) },
		"w":         func() { ConvGradX(p, s, w[1:], y, x, ws) },
		"y":         func() { ConvGradW(p, s, x, y[1:], w, ws) },
		"bias":      func() { Conv(p, s, x, w, w[:2], y, ActNone, ws) },
		"workspace": func() { Conv(p, s, x, w, nil, y, ActNone, nil) },
		"db":        func() { ConvGradBias(p, s, y, w[:2]) },
	} {
		func() {
			defer func() {
				if r := recover(); r == nil || !strings.Contains(fmt.Sprint(r), name) {
					t.Errorf("%s too short: got panic %v, want one that names it", name, r)
				}
			}()
			call()
		}()
	}
}

func TestConvShapeValidate(t *testing.T) {
	good := simple(1, 4, 8, 6, 3, 1, 1)
	for _, q := range []struct {
		want string
		edit func(*ConvShape)
	}{
		{"batch", func(s *ConvShape) { s.N = -1 }},
		{"groups", func(s *ConvShape) { s.Groups = 3 }},
		{"groups", func(s *ConvShape) { s.Groups = 0 }},
		{"output channels", func(s *ConvShape) { s.M = 0 }},
		{"output height: got 8, want 6", func(s *ConvShape) { s.PT, s.PB = 0, 0 }},
		{"output width: got 9, want 8", func(s *ConvShape) { s.OW++ }},
		{"left pad", func(s *ConvShape) { s.PL = -1 }},
		{"horizontal stride", func(s *ConvShape) { s.SW = 0 }},
		{"more elements", func(s *ConvShape) { s.H, s.W, s.C = 1<<30, 1<<30, 1<<30 }},
		{"more elements", func(s *ConvShape) { s.DH, s.KH = 1<<40, 1<<40 }},
		{"more elements", func(s *ConvShape) { s.N = 1 << 50 }},
		{"more elements", func(s *ConvShape) { s.M = 1 << 54 }},
		{"output height", func(s *ConvShape) { s.KH = 20 }},
		{"padded plane", func(s *ConvShape) { s.PT, s.PB, s.DH = 1<<30, 1<<30, 1<<30 }},
	} {
		s := good
		q.edit(&s)
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), q.want) {
			t.Errorf("%+v: got error %v, want one about %q", s, err, q.want)
		}
	}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
}

// Workers store every output once, which the race detector sees. Rows of 18 are
// five segments of which the last overlaps the fourth, and a part begins with the
// last of one.
func TestConvPartsAreDisjoint(t *testing.T) {
	p := NewPool(3, Portable)
	defer p.Close()
	s := ConvShape{N: 1, C: 39, H: 14, W: 18, M: 93, KH: 3, KW: 3, SH: 1, SW: 1, DH: 1, DW: 1, PT: 1, PL: 1, PB: 1, PR: 1, Groups: 1, OH: 14, OW: 18}
	x, y := make([]float64, s.C*s.H*s.W), make([]float64, s.M*s.H*s.W)
	Conv(p, s, x, make([]float64, s.M*s.taps()), nil, y, ActNone, make([]float64, ConvWorkspace(s, p.threads)))
}
