package tensor

import (
	"math"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

func TestFromRaw(t *testing.T) {
	for _, tc := range []struct {
		name  string
		d     DType
		shape []int
		bytes int
		want  string // part of the error; "" if it is to work
	}{
		{"float32", Float32, []int{2, 3}, 24, ""},
		{"scalar", Int64, nil, 8, ""},
		{"empty", Float32, []int{0, 7}, 0, ""},
		{"int4 rounds up", Int4, []int{3}, 2, ""},
		{"uint2 rounds up", Uint2, []int{5}, 2, ""},
		{"short", Float32, []int{2, 3}, 23, "got 23 bytes, want 24"},
		{"long", Int4, []int{4}, 3, "got 3 bytes, want 2"},
		{"negative", Float32, []int{-1}, 0, "negative or too large"},
		{"overflow", Float32, []int{1 << 40, 1 << 40}, 0, "negative or too large"},
		{"overflow in bytes", Float64, []int{math.MaxInt / 4}, 0, "negative or too large"},
		{"string", String, []int{1}, 0, "no raw layout"},
		{"undefined", Undefined, nil, 0, "no raw layout"},
		{"unknown", DType(99), nil, 0, "no raw layout"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			x, err := FromRaw(tc.d, tc.shape, make([]byte, tc.bytes))
			switch {
			case tc.want == "" && err != nil:
				t.Fatal(err)
			case tc.want == "":
				if x.DType() != tc.d || !slices.Equal(x.Shape(), tc.shape) || len(x.Raw()) != tc.bytes {
					t.Errorf("got %v of %d bytes", x, len(x.Raw()))
				}
			case err == nil || !strings.Contains(err.Error(), tc.want):
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
		})
	}
}

func TestReshape(t *testing.T) {
	x := Of([]float32{1, 2, 3, 4, 5, 6}, 2, 3)
	y, err := x.Reshape(3, 2)
	if err != nil || !slices.Equal(y.Shape(), []int{3, 2}) {
		t.Fatalf("got %v, %v", y, err)
	}
	if &Data[float32](x)[0] != &Data[float32](y)[0] {
		t.Error("the elements were copied")
	}
	for _, shape := range [][]int{{4}, {-2, -3}, {}, {math.MaxInt, 2}} {
		if _, err := x.Reshape(shape...); err == nil || !strings.Contains(err.Error(), "want a shape of 6 elements") {
			t.Errorf("to %v: got error %v", shape, err)
		}
	}
	if _, err := New(Float32, 0, 3).Reshape(7, 0); err != nil {
		t.Errorf("empty to empty: %v", err)
	}
}

func TestOfPanicsOnAWrongShape(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	Of([]float32{1, 2, 3}, 2, 2)
}

func TestFromStrings(t *testing.T) {
	if x, err := FromStrings([]int{2}, []string{"a", "b"}); err != nil || x.Len() != 2 || x.Strings()[1] != "b" {
		t.Errorf("got %v, %v", x, err)
	}
	if _, err := FromStrings([]int{3}, []string{"a", "b"}); err == nil {
		t.Error("2 strings for a shape of 3: no error")
	}
}

// Views are aligned for every element type, and share memory.
func TestDataViews(t *testing.T) {
	x := New(Float64, 5)
	if p := uintptr(unsafe.Pointer(&Data[float64](x)[0])); p%8 != 0 {
		t.Errorf("address %#x: not a multiple of 8", p)
	}
	Data[float64](x)[3] = 2.5
	if x.At(3) != 2.5 {
		t.Error("the view is a copy")
	}
	if Data[float32](New(Float32, 0)) != nil {
		t.Error("view of no elements: want nil")
	}
	if got := Data[uint16](New(Float16, 4)); len(got) != 4 {
		t.Errorf("float16 by width: got %d elements", len(got))
	}
	defer func() {
		if recover() == nil {
			t.Error("view by a wrong width: no panic")
		}
	}()
	Data[float32](x)
}

func TestCloneAndEqual(t *testing.T) {
	x := Of([]int32{1, 2, 3}, 3)
	y := x.Clone()
	if !x.Equal(y) {
		t.Error("a clone differs")
	}
	y.Set(1, 7)
	if x.Equal(y) || x.At(1) != 2 {
		t.Error("a clone shares elements")
	}
	if x.Equal(Of([]uint32{1, 2, 3}, 3)) || x.Equal(Of([]int32{1, 2, 3}, 1, 3)) {
		t.Error("tensors of other types or shapes are equal")
	}
}

func TestSize(t *testing.T) {
	for _, tc := range []struct {
		shape []int
		want  int
		ok    bool
	}{
		{nil, 1, true}, {[]int{2, 3}, 6, true}, {[]int{math.MaxInt, 0}, 0, true}, {[]int{-1}, 0, false}, {[]int{math.MaxInt, 2}, 0, false},
	} {
		if got, ok := Size(tc.shape); got != tc.want || ok != tc.ok {
			t.Errorf("size of %v: got %d, %v, want %d, %v", tc.shape, got, ok, tc.want, tc.ok)
		}
	}
}
