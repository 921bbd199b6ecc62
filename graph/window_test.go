package graph

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// The output of a window is the number of positions it can take, counted one by
// one.
func TestConvGeometryCountsPositions(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		in, k, stride, dilation := 1+r.IntN(20), 1+r.IntN(5), 1+r.IntN(4), 1+r.IntN(3)
		begin, end := r.IntN(4), r.IntN(4)
		n := &Node{Op: "Conv", Attrs: Attributes{Ints("strides", stride), Ints("dilations", dilation), Ints("pads", begin, end)}}
		reach := (k-1)*dilation + 1
		positions := 0
		for at := -begin; at+reach <= in+end; at += stride {
			positions++
		}
		w, err := ConvGeometry(n, []int{2, 3, in}, []int{4, 3, k})
		if positions == 0 {
			if err == nil {
				t.Fatalf("in %d, %v: got %v, want an error", in, n.Attrs, w.Out)
			}
			continue
		}
		if err != nil || w.Out[0] != positions {
			t.Fatalf("in %d, kernel %d, %v: got %v, %v, want %d", in, k, n.Attrs, w.Out, err, positions)
		}
	}
}

// SAME keeps ⌈in/stride⌉ positions with the least padding, the odd one behind
// (UPPER) or in front (LOWER).
func TestConvGeometrySame(t *testing.T) {
	for in := 1; in < 20; in++ {
		for stride := 1; stride < 4; stride++ {
			for k := 1; k < 6; k++ {
				for _, mode := range []string{"SAME_UPPER", "SAME_LOWER"} {
					n := &Node{Op: "Conv", Attrs: Attributes{Text("auto_pad", mode), Ints("strides", stride)}}
					w, err := ConvGeometry(n, []int{1, 1, in}, []int{1, 1, k})
					if err != nil {
						t.Fatal(err)
					}
					total := w.Pads[0] + w.Pads[1]
					odd := w.Pads[1] - w.Pads[0]
					if mode == "SAME_LOWER" {
						odd = -odd
					}
					if w.Out[0] != (in+stride-1)/stride || odd != total%2 || total > 0 && (w.Out[0]-1)*stride+k != in+total {
						t.Fatalf("%s: in %d, kernel %d, stride %d: got %d with padding %v", mode, in, k, stride, w.Out[0], w.Pads)
					}
				}
			}
		}
	}
}

// With ceil_mode every window but dropped ones starts inside the data or the
// left padding, and the element behind the last one would not.
func TestPoolGeometryCeil(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		in, k, stride := 1+r.IntN(20), 1+r.IntN(5), 1+r.IntN(6)
		begin, end := r.IntN(k), r.IntN(k)
		n := &Node{Op: "MaxPool", Attrs: Attributes{Ints("kernel_shape", k), Ints("strides", stride), Ints("pads", begin, end), Int("ceil_mode", 1)}}
		w, err := PoolGeometry(n, []int{1, 1, in})
		if in+begin+end < k {
			if err == nil {
				t.Fatalf("in %d, %v: got %v, want an error", in, n.Attrs, w.Out)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		last := (w.Out[0]-1)*stride - begin
		if last >= in {
			t.Fatalf("in %d, %v: last of %d windows starts at %d", in, n.Attrs, w.Out[0], last)
		}
		if next := last + stride; next < in && last+k < in+end {
			t.Fatalf("in %d, %v: %d windows leave %d elements over", in, n.Attrs, w.Out[0], in-next)
		}
	}
}

// A transposed convolution undoes the shape of the convolution with the same
// window.
func TestConvTransposeGeometryInvertsConv(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 2000 {
		in, k, stride, dilation := 1+r.IntN(12), 1+r.IntN(4), 1+r.IntN(3), 1+r.IntN(3)
		begin, end, extra := r.IntN(3), r.IntN(3), r.IntN(stride)
		attrs := Attributes{Ints("strides", stride), Ints("dilations", dilation), Ints("pads", begin, end)}
		w, err := ConvTransposeGeometry(&Node{Op: "ConvTranspose", Attrs: attrs.With(Ints("output_padding", extra))}, []int{1, 1, in}, []int{1, 1, k})
		if err != nil {
			continue // everything cut away
		}
		back, err := ConvGeometry(&Node{Op: "Conv", Attrs: attrs}, []int{1, 1, w.Out[0]}, []int{1, 1, k})
		if err != nil || back.Out[0] != in {
			t.Fatalf("in %d, kernel %d, %v, extra %d: out %v, back %v, %v", in, k, attrs, extra, w.Out, back.Out, err)
		}
	}
}

// SliceRange picks what a loop over the indices picks.
func TestSliceRangeAgainstLoop(t *testing.T) {
	for size := range 6 {
		for start := -8; start <= 8; start++ {
			for end := -8; end <= 8; end++ {
				for _, step := range []int{-3, -2, -1, 1, 2, 3} {
					first, count := SliceRange(size, start, end, step)
					var got []int
					for i := range count {
						got = append(got, first+i*step)
					}
					if want := sliceByLoop(size, start, end, step); !slices.Equal(got, want) {
						t.Fatalf("%s: got %v, want %v", fmt.Sprintf("[%d:%d:%d] of %d", start, end, step, size), got, want)
					}
				}
			}
		}
	}
}

// sliceByLoop follows numpy: negative bounds count from the end, the rest is
// cut to what is there.
func sliceByLoop(size, start, end, step int) []int {
	if start < 0 {
		start += size
	}
	if end < 0 {
		end += size
	}
	var list []int
	if step > 0 {
		for i := max(start, 0); i < end && i < size; i += step {
			list = append(list, i)
		}
		return list
	}
	for i := min(start, size-1); i > end && i >= 0; i += step {
		list = append(list, i)
	}
	return list
}
