package paths

import (
	"fmt"

	"github.com/compactify/compactify/graph"
)

// Scheme is how a weight is stored on a grid. Scheme{Bits: n} is the plain one:
// symmetric, a scale per output channel, of least squared error.
type Scheme struct {
	Bits       int  // 1 to 8; 32 leaves the weight in floating point
	Ternary    bool // the levels −1, 0 and +1; Bits is 2
	Asymmetric bool // unsigned integers with a zero point; Bits is 2 to 8
	Block      int  // PerChannel, PerTensor, or how many successive inputs of a channel share a scale
	Fit        Fit  // how the range is chosen
}

// What shares a scale: see [Scheme].
const (
	PerChannel = 0
	PerTensor  = -1
)

// Fit is how the range of a grid is chosen.
type Fit int

// The ways to choose a range.
const (
	FitMSE Fit = iota // least squared error
)

// floatBits is the width of weights that are not quantised.
const floatBits = 32

// IsFloat reports whether the scheme leaves a weight in floating point.
func (s Scheme) IsFloat() bool { return s.Bits == floatBits }

// Uniform gives every layer of g the same scheme.
func Uniform(g *graph.Graph, s Scheme) map[string]Scheme {
	all := make(map[string]Scheme)
	for _, l := range g.Layers() {
		all[l.Name()] = s
	}
	return all
}

// check says what is wrong with a scheme; lo is the least width allowed.
func (s Scheme) check(lo int) error {
	if s.Bits < lo || s.Bits > 8 {
		return fmt.Errorf("bits: got %d, want %d to 8 or %d", s.Bits, lo, floatBits)
	}
	if s.Ternary || s.Asymmetric || s.Block != PerChannel || s.Fit != FitMSE {
		return fmt.Errorf("scheme %+v: not among symmetric grids per channel", s)
	}
	return nil
}
