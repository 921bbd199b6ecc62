package linear

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"
)

func columnsOf(t testing.TB, rows [][]float64) *Matrix {
	t.Helper()
	var x []float64
	for j := range rows[0] {
		for i := range rows {
			x = append(x, rows[i][j])
		}
	}
	m, err := NewDense(len(rows), len(rows[0]), x)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func homotopy(t testing.TB, p Problem, o HomotopyOptions) *Breakpoints {
	t.Helper()
	b, err := Homotopy(context.Background(), p, Penalty{Alpha: 1}, o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// oracle3 is THEORY oracle 3; its objective is a sum over the three examples, ours the
// mean.
func oracle3(t testing.TB) Problem {
	return Problem{X: columnsOf(t, [][]float64{{3, 0, 3}, {0, -3, -1}, {1, 0, 0}}), Y: []float64{3, 3, -1}}
}

func TestHomotopyOracle3(t *testing.T) {
	want := []struct {
		lambda                 string // a third of 9, 8, 54/13, 3, 3/7
		entered, left, support []int
	}{
		{"3", []int{1}, nil, []int{1}},
		{"8/3", []int{0}, nil, []int{0, 1}},
		{"18/13", []int{2}, nil, []int{0, 1, 2}},
		{"1", nil, []int{0}, []int{1, 2}},
		{"1/7", []int{0}, nil, []int{0, 1, 2}},
		{"0", nil, nil, []int{0, 1, 2}},
	}
	for _, exact := range []bool{true, false} {
		b := homotopy(t, oracle3(t), HomotopyOptions{Exact: exact})
		if len(b.Points) != len(want) {
			t.Fatalf("exact %v: got %d breakpoints, want %d: %v", exact, len(b.Points), len(want), b.Points)
		}
		for i, w := range want {
			p := b.Points[i]
			if exact && p.String() != w.lambda {
				t.Errorf("breakpoint %d: got λ = %v, want %v", i, p.String(), w.lambda)
			}
			var num, den float64 = 0, 1
			fmt.Sscanf(w.lambda, "%g/%g", &num, &den)
			if math.Abs(p.Lambda-num/den) > 1e-15 {
				t.Errorf("exact %v: breakpoint %d: got λ = %v, want %v", exact, i, p.Lambda, w.lambda)
			}
			if !slices.Equal(p.Entered, w.entered) || !slices.Equal(p.Left, w.left) || !slices.Equal(p.Support, w.support) {
				t.Errorf("exact %v: breakpoint %v: got %v in, %v out, support %v", exact, w.lambda, p.Entered, p.Left, p.Support)
			}
			if exact && p.Gap != 0 || p.Gap > 1e-15 {
				t.Errorf("exact %v: breakpoint %v: gap %v", exact, w.lambda, p.Gap)
			}
		}
		if !b.Checks.Monotone || !b.Checks.Concave {
			t.Errorf("exact %v: got %+v", exact, b.Checks)
		}
		p, err := b.At(2) // 6 as a sum
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range []float64{0.2, -1.0 / 3} {
			if p.Index[i] != i || math.Abs(p.Value[i]-v) > 1e-16 {
				t.Errorf("exact %v: θ at 6: got %v at %v", exact, p.Value, p.Index)
			}
		}
	}
}
