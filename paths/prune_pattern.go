package paths

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/compactify/compactify/graph"
)

// Pattern says which weights are removed together. The zero value is none: each
// weight is removed by itself.
//
// Blocks are Rows successive output channels by Columns successive inputs of a
// weight, and go as a whole. With Most above 0, instead, of every Of successive
// inputs of a channel at most Most weights stay: the pattern N:M. Inputs are
// counted along the input channels, at each place of a convolution's kernel by
// itself, as A. Mishra et al., "Accelerating sparse deep neural networks"
// (arXiv:2104.08378, section 4) do; groups and blocks at the edge are smaller.
type Pattern struct {
	Most, Of      int // N and M of N:M, 0 < N < M
	Rows, Columns int // of a block, at least 1
}

// The patterns that kernels of this program are made for.
var (
	TwoOfFour = Pattern{Most: 2, Of: 4}
	Sixteen   = Pattern{Rows: 16, Columns: 1}
)

// maxPattern bounds groups and blocks: nothing computes on larger ones.
const maxPattern = 4096

// ParsePattern reads "none" (or ""), "2:4", or "16x1".
func ParsePattern(s string) (Pattern, error) {
	if s == "" || s == "none" {
		return Pattern{}, nil
	}
	if a, b, ok := twoNumbers(s, ":"); ok && a > 0 && a < b && b <= maxPattern {
		return Pattern{Most: a, Of: b}, nil
	}
	if a, b, ok := twoNumbers(s, "x"); ok && a > 0 && b > 0 && a*b <= maxPattern {
		return Pattern{Rows: a, Columns: b}, nil
	}
	return Pattern{}, fmt.Errorf("pattern %q: want none, N:M with 0 < N < M such as 2:4, or ROWSxCOLUMNS such as 16x1; groups of at most %d", s, maxPattern)
}

func twoNumbers(s, between string) (a, b int, ok bool) {
	left, right, ok := strings.Cut(s, between)
	a, errA := strconv.Atoi(left)
	b, errB := strconv.Atoi(right)
	return a, b, ok && errA == nil && errB == nil && a <= maxPattern && b <= maxPattern
}

// String writes the pattern as [ParsePattern] reads it.
func (p Pattern) String() string {
	switch {
	case p.Of > 0:
		return fmt.Sprintf("%d:%d", p.Most, p.Of)
	case p.single():
		return "none"
	}
	return fmt.Sprintf("%dx%d", p.Rows, p.Columns)
}

// single reports whether every weight goes by itself.
func (p Pattern) single() bool { return p.Of == 0 && p.Rows*p.Columns <= 1 }

// T is where the pattern N:M is reached on its path, 1 − N/M; 1 for others.
func (p Pattern) T() float64 {
	if p.Of == 0 {
		return 1
	}
	return float64(p.Of-p.Most) / float64(p.Of)
}

// eachBlock visits the indices of every block of rows × columns of a layer's
// weight, in an order that depends on shapes alone. The slice is reused.
func eachBlock(l graph.Layer, rows, columns int, visit func(members []int)) {
	shape := l.Param.Data.Shape()
	stride := func(axis int) int {
		n := 1
		for _, d := range shape[axis+1:] {
			n *= d
		}
		return n
	}
	in := inputAxis(l)
	if in == l.Axis { // of a grouped ConvTranspose, whose channels are its inputs
		in++
	}
	outputs, inputs := shape[l.Axis], shape[in]
	perOutput, perInput := stride(l.Axis), stride(in)
	var members []int
	for base := range l.Param.Data.Len() {
		if base/perOutput%outputs != 0 || base/perInput%inputs != 0 {
			continue // not the first of its slice
		}
		for i := 0; i < outputs; i += rows {
			for j := 0; j < inputs; j += columns {
				members = members[:0]
				for r := i; r < min(i+rows, outputs); r++ {
					for c := j; c < min(j+columns, inputs); c++ {
						members = append(members, base+r*perOutput+c*perInput)
					}
				}
				visit(members)
			}
		}
	}
}

// blockScores are the scores of a layer's blocks: the root mean square of their
// weights' own.
func (p Pattern) blockScores(l graph.Layer, scores []float32) []float32 {
	if p.single() {
		return scores
	}
	var blocks []float32
	eachBlock(l, p.Rows, p.Columns, func(members []int) {
		sum := 0.0
		for _, i := range members {
			sum += float64(scores[i]) * float64(scores[i])
		}
		blocks = append(blocks, float32(math.Sqrt(sum/float64(len(members)))))
	})
	return blocks
}

// spread turns what is kept of blocks into what is kept of weights.
func (p Pattern) spread(l graph.Layer, blocks []bool) []bool {
	if p.single() {
		return blocks
	}
	keep := make([]bool, l.Param.Data.Len())
	next := 0
	eachBlock(l, p.Rows, p.Columns, func(members []int) {
		for _, i := range members {
			keep[i] = blocks[next]
		}
		next++
	})
	return keep
}

// keepMost keeps the n weights of largest score in every group of successive
// inputs of a channel; of equal ones the earlier go first. Of a smaller group at
// the edge as many stay, n at most.
func (p Pattern) keepMost(l graph.Layer, scores []float32, n int) []bool {
	keep := make([]bool, l.Param.Data.Len())
	eachBlock(l, 1, p.Of, func(members []int) {
		slices.SortStableFunc(members, func(i, j int) int { return cmp.Compare(keyOf(scores[i]), keyOf(scores[j])) })
		for _, i := range members[max(0, len(members)-n):] {
			keep[i] = true
		}
	})
	return keep
}
