package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// pool2d is a shape with its outputs' sizes filled in.
func pool2d(s PoolShape, ceil bool) PoolShape {
	s.OH = PoolSize(s.H, s.KH, s.SH, s.DH, s.PT, s.PT+s.PB, ceil)
	s.OW = PoolSize(s.W, s.KW, s.SW, s.DW, s.PL, s.PL+s.PR, ceil)
	return s
}

// Values of ONNX Runtime 1.32.0 (CPU, opset 22) for x = 1 … 25 [1, 1, 5, 5].
func TestPoolOracle(t *testing.T) {
	for _, q := range []struct {
		name                   string
		s                      PoolShape
		average, averagePadded []float32
		index                  []int64
	}{
		{"rounded up, pad counted",
			PoolShape{KH: 3, KW: 3, SH: 2, SW: 2, PB: 1, PR: 1, DH: 1, DW: 1},
			[]float32{7, 9, 10, 17, 19, 20, 22, 24, 25},
			[]float32{7, 9, 5, 17, 19, 10, 11, 12, 6.25},
			[]int64{12, 14, 14, 22, 24, 24, 22, 24, 24}},
		{"reaches beyond the pads",
			PoolShape{KH: 4, KW: 2, SH: 3, SW: 3, PT: 1, PL: 1, PR: 1, DH: 1, DW: 1},
			[]float32{6, 8.5, 16, 18.5},
			[]float32{2.25, 6.375, 8, 18.5},
			[]int64{10, 13, 20, 23}},
		{"does not start in the end's pad",
			PoolShape{KH: 2, KW: 2, SH: 3, SW: 3, PT: 1, PL: 1, PB: 1, PR: 1, DH: 1, DW: 1},
			[]float32{1, 3.5, 13.5, 16},
			[]float32{0.25, 1.75, 6.75, 16},
			[]int64{0, 3, 15, 18}},
		{"dilated",
			PoolShape{KH: 2, KW: 3, SH: 2, SW: 2, PL: 1, PB: 1, DH: 2, DW: 1},
			[]float32{6.5, 8, 9.5, 16.5, 18, 19.5, 21.5, 23, 24.5},
			[]float32{13. / 3, 8, 9.5, 11, 18, 19.5, 43. / 3, 23, 24.5},
			[]int64{11, 13, 14, 21, 23, 24, 21, 23, 24}},
	} {
		s := q.s
		s.N, s.C, s.H, s.W = 1, 1, 5, 5
		s = pool2d(s, true)
		if err := s.Validate(); err != nil || s.OH*s.OW != len(q.index) {
			t.Errorf("%s: output %d×%d, error %v, want %d elements", q.name, s.OH, s.OW, err, len(q.index))
			continue
		}
		x, y := make([]float32, 25), make([]float32, s.OH*s.OW)
		for i := range x {
			x[i] = float32(i + 1)
		}
		near := func(a, b float32) bool { return math.Abs(float64(a-b)) <= 4e-6*float64(b) } // a few roundings
		for _, set := range sets() {
			p, index := newPool(t, 1, set), make([]int64, len(y))
			if AveragePool(p, s, x, y, false); !slices.EqualFunc(y, q.average, near) {
				t.Errorf("%s: average: got %v, want %v", q.name, y, q.average)
			}
			if AveragePool(p, s, x, y, true); !slices.EqualFunc(y, q.averagePadded, near) {
				t.Errorf("%s: average with pads: got %v, want %v", q.name, y, q.averagePadded)
			}
			if MaxPool(p, s, x, y, index); !slices.Equal(index, q.index) {
				t.Errorf("%s, %v: indices of maxima: got %v, want %v", q.name, set, index, q.index)
			}
		}
	}
}

// poolShapes are shapes with and without whole windows, odd ends and pads.
func poolShapes() []PoolShape {
	shapes := []PoolShape{
		pool2d(PoolShape{N: 2, C: 3, H: 24, W: 24, KH: 2, KW: 2, SH: 2, SW: 2, DH: 1, DW: 1}, false),
		pool2d(PoolShape{N: 2, C: 3, H: 8, W: 8, KH: 2, KW: 2, SH: 2, SW: 2, DH: 1, DW: 1}, false),
		pool2d(PoolShape{N: 1, C: 2, H: 1, W: 50, KH: 1, KW: 3, SH: 1, SW: 1, DH: 1, DW: 2, PL: 1}, false),
	}
	r := rand.New(rand.NewPCG(11, 12))
	for len(shapes) < 120 {
		s := pool2d(PoolShape{N: r.IntN(3), C: 1 + r.IntN(3), H: 1 + r.IntN(20), W: 1 + r.IntN(45), KH: 1 + r.IntN(3), KW: 1 + r.IntN(3),
			SH: 1 + r.IntN(3), SW: 1 + r.IntN(3), DH: 1 + r.IntN(2), DW: 1 + r.IntN(2),
			PT: r.IntN(3), PL: r.IntN(3), PB: r.IntN(3), PR: r.IntN(3)}, r.IntN(2) == 0)
		if s.Validate() == nil {
			shapes = append(shapes, s)
		}
	}
	return shapes
}

// eachTap visits the elements of x under each window.
func (s PoolShape) eachTap(visit func(plane, out, at int)) {
	for plane := range s.N * s.C {
		for out := range s.OH * s.OW {
			for tap := range s.KH * s.KW {
				h, w := out/s.OW*s.SH+tap/s.KW*s.DH-s.PT, out%s.OW*s.SW+tap%s.KW*s.DW-s.PL
				if h >= 0 && h < s.H && w >= 0 && w < s.W {
					visit(plane, plane*s.OH*s.OW+out, plane*s.H*s.W+h*s.W+w)
				}
			}
		}
	}
}

func TestMaxPool(t *testing.T) {
	t.Run("float32 int32", testMaxPool[float32, int32])
	t.Run("float32 int64", testMaxPool[float32, int64])
	t.Run("float64 int64", testMaxPool[float64, int64])
}

func testMaxPool[T Float, I Index](t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	for _, s := range poolShapes() {
		nx, ny := s.N*s.C*s.H*s.W, s.N*s.C*s.OH*s.OW
		x, dy := make([]T, nx), random[T](r, ny)
		for i := range x { // few values, for ties, and a NaN here and there
			x[i] = []T{T(r.IntN(5)), T(r.IntN(5)), T(math.NaN()), T(math.Inf(-1))}[max(0, r.IntN(20)-16)]
		}
		want, wantAt, wantX := make([]T, ny), make([]I, ny), make([]T, nx)
		for i := range want {
			want[i], wantAt[i] = T(math.Inf(-1)), -1
		}
		s.eachTap(func(_, out, at int) {
			if v := x[at]; wantAt[out] < 0 || v > want[out] || v != v {
				want[out], wantAt[out] = v, I(at)
			}
		})
		for out, at := range wantAt {
			if at >= 0 {
				wantX[at] += dy[out]
			}
		}
		for _, set := range sets() {
			for _, threads := range []int{1, 3} {
				p := newPool(t, threads, set)
				y, at, dx := guarded[T](ny), make([]I, ny+16), guarded[T](nx)
				MaxPool[T, I](p, s, x, y[:ny], nil)
				if !slices.EqualFunc(y[:ny], want, same) {
					t.Fatalf("%v, %+v: without indices: got %v, want %v", set, s, y[:ny], want)
				}
				MaxPool(p, s, x, y[:ny], at[:ny])
				MaxPoolGrad(p, s, dy, at[:ny], dx[:nx])
				p.Close()
				if !slices.EqualFunc(y[:ny], want, same) || !slices.Equal(at[:ny], wantAt) || !slices.Equal(dx[:nx], wantX) {
					t.Fatalf("%v, %+v:\ngot  %v at %v\nwant %v at %v", set, s, y[:ny], at[:ny], want, wantAt)
				}
				if slices.Max(at[ny:]) != 0 || slices.Min(at[ny:]) != 0 || slices.Max(y[ny:]) != guard || slices.Max(dx[nx:]) != guard {
					t.Fatalf("%v, %+v: wrote behind the end", set, s)
				}
			}
		}
	}
}

func same[T Float](a, b T) bool { return a == b || a != a && b != b }

func TestAveragePool(t *testing.T) {
	t.Run("float32", testAveragePool[float32])
	t.Run("float64", testAveragePool[float64])
}

// testAveragePool checks the means, with pads counted by their definition, and
// that the gradient is the adjoint: ⟨pool(x), dy⟩ = ⟨x, dx⟩.
func testAveragePool[T Float](t *testing.T) {
	r := rand.New(rand.NewPCG(15, 16))
	for _, s := range poolShapes() {
		nx, ny := s.N*s.C*s.H*s.W, s.N*s.C*s.OH*s.OW
		x, dy := random[T](r, nx), random[T](r, ny)
		for _, pads := range []bool{false, true} {
			sums, count := make([]float64, ny), make([]float64, ny)
			s.eachTap(func(_, out, at int) {
				sums[out] += float64(x[at])
				count[out]++
			})
			if pads { // as if x had its pads
				q := s
				q.H, q.W, q.PT, q.PL = s.H+s.PT+s.PB, s.W+s.PL+s.PR, 0, 0
				clear(count)
				q.eachTap(func(_, out, _ int) { count[out]++ })
			}
			p := newPool(t, 2, Best())
			y, dx := make([]T, ny), make([]T, nx)
			AveragePool(p, s, x, y, pads)
			AveragePoolGrad(p, s, dy, dx, pads)
			p.Close()
			tol := 32 * epsilon[T]() // at most nine terms below 1
			form, adjoint := 0.0, 0.0
			for i, v := range y {
				if want := sums[i] / max(1, count[i]); math.Abs(float64(v)-want) > tol {
					t.Fatalf("%+v, pads %v: y[%d]: got %v, want %v", s, pads, i, v, want)
				}
				form += float64(v) * float64(dy[i])
			}
			for i, v := range dx {
				adjoint += float64(v) * float64(x[i])
			}
			if math.Abs(form-adjoint) > tol*float64(nx+ny) {
				t.Fatalf("%+v, pads %v: ⟨y, dy⟩ = %v, ⟨x, dx⟩ = %v", s, pads, form, adjoint)
			}
		}
	}
}

func TestGlobalAveragePool(t *testing.T) {
	p := newPool(t, 2, Best())
	x, y := make([]float32, 3*49), make([]float32, 3)
	for i := range x {
		x[i] = float32(i)
	}
	if GlobalAveragePool(p, 3, 49, x, y); !slices.EqualFunc(y, []float32{24, 73, 122}, func(a, b float32) bool { return math.Abs(float64(a-b)) < 1e-4 }) {
		t.Errorf("got %v, want means of 0 … 48, 49 … 97 and 98 … 146", y)
	}
}

func TestPoolDoesNotAllocate(t *testing.T) {
	s := poolShapes()[0]
	p := newPool(t, 2, Best())
	x, y, at := make([]float32, s.N*s.C*s.H*s.W), make([]float32, s.N*s.C*s.OH*s.OW), make([]int64, s.N*s.C*s.OH*s.OW)
	if got := testing.AllocsPerRun(5, func() {
		MaxPool(p, s, x, y, at)
		MaxPoolGrad(p, s, y, at, x)
		AveragePool(p, s, x, y, true)
		AveragePoolGrad(p, s, y, x, true)
		GlobalAveragePool(p, s.N*s.C, s.H*s.W, x, y)
	}); got != 0 {
		t.Errorf("got %v allocations, want 0", got)
	}
}

func TestMaxPoolGradRejectsForeignIndex(t *testing.T) {
	s := poolShapes()[0]
	at := make([]int32, s.N*s.C*s.OH*s.OW)
	at[len(at)-1] = 1 // in the first plane
	defer func() {
		if recover() == nil {
			t.Error("got no panic, want one at an index outside its plane")
		}
	}()
	MaxPoolGrad(newPool(t, 1, Best()), s, make([]float32, len(at)), at, make([]float32, s.N*s.C*s.H*s.W))
}

func TestPoolShapeValidate(t *testing.T) {
	good := poolShapes()[0]
	for _, q := range []struct {
		want string
		edit func(*PoolShape)
	}{
		{"channels", func(s *PoolShape) { s.C = 0 }},
		{"kernel height", func(s *PoolShape) { s.KH = 0 }},
		{"output height: got 13, want 12", func(s *PoolShape) { s.OH++ }},
		{"output width: got 11, want 12", func(s *PoolShape) { s.OW-- }},
		{"more elements", func(s *PoolShape) { s.H, s.W = 1<<40, 1<<40 }},
	} {
		s := good
		q.edit(&s)
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), q.want) {
			t.Errorf("%+v: got error %v, want one about %q", s, err, q.want)
		}
	}
}

func BenchmarkMaxPool(b *testing.B) {
	for _, size := range []int{24, 8} {
		s := pool2d(PoolShape{N: 128, C: 20, H: size, W: size, KH: 2, KW: 2, SH: 2, SW: 2, DH: 1, DW: 1}, false)
		x, y := random[float32](rand.New(rand.NewPCG(1, 1)), s.N*s.C*s.H*s.W), make([]float32, s.N*s.C*s.OH*s.OW)
		at := make([]int64, len(y))
		for _, set := range sets() {
			p := newPool(b, 1, set)
			b.Run(fmt.Sprintf("%d/%v", size, set), func(b *testing.B) {
				for b.Loop() {
					MaxPool(p, s, x, y, at)
				}
			})
			b.Run(fmt.Sprintf("%d/%v/gradient", size, set), func(b *testing.B) {
				for b.Loop() {
					MaxPoolGrad(p, s, y, at, x)
				}
			})
		}
	}
}
