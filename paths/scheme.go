package paths

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/compactify/compactify/graph"
)

// Scheme is how a weight is stored on a grid. Scheme{Bits: n} is the plain one:
// symmetric, a scale per output channel, of least squared error.
type Scheme struct {
	Bits       int  // 1 to 8; 32 leaves the weight in floating point
	Ternary    bool // the levels −1, 0 and +1; Bits is 2
	Asymmetric bool // unsigned integers with a zero point; Bits is 2 to 8
	Block      int  // PerChannel, PerTensor, or how many successive inputs of an output channel share a scale
	Fit        Fit  // how the range is chosen; of no use to one bit, whose scale is mean|θ|
}

// What shares a scale, beside blocks; see [Scheme].
const (
	PerChannel = 0
	PerTensor  = -1
)

// floatBits is the width of weights that are not quantised.
const floatBits = 32

// Uniform gives every layer of g the same scheme.
func Uniform(g *graph.Graph, s Scheme) map[string]Scheme {
	all := make(map[string]Scheme)
	for _, l := range g.Layers() {
		all[l.Name()] = s
	}
	return all
}

// IsFloat reports whether the scheme leaves a weight in floating point.
func (s Scheme) IsFloat() bool { return s.Bits == floatBits }

// String is what reports call the scheme: "4 bits per channel, mse".
func (s Scheme) String() string {
	if s.IsFloat() {
		return "float32"
	}
	var b strings.Builder
	switch {
	case s.Ternary:
		b.WriteString("ternary")
	case s.Bits == 1:
		b.WriteString("1 bit")
	default:
		fmt.Fprintf(&b, "%d bits", s.Bits)
	}
	if s.Asymmetric {
		b.WriteString(" with zero points")
	}
	b.WriteString(" per " + s.granularity())
	if s.Bits > 1 {
		b.WriteString(", " + s.Fit.String())
	}
	return b.String()
}

func (s Scheme) granularity() string {
	switch s.Block {
	case PerChannel:
		return "output channel"
	case PerTensor:
		return "tensor"
	}
	return fmt.Sprintf("block of %d", s.Block)
}

// check says what is wrong with a scheme; least is the least width allowed.
func (s Scheme) check(least int) error {
	switch {
	case s.Bits < least || s.Bits > 8:
		return fmt.Errorf("bits: got %d, want %d to 8 or %d", s.Bits, least, floatBits)
	case s.Ternary && s.Bits != 2:
		return fmt.Errorf("ternary: got %d bits, want 2", s.Bits)
	case s.Asymmetric && (s.Ternary || s.Bits == 1):
		return fmt.Errorf("a grid of %d levels has no zero point: want a symmetric one", 1+s.Bits)
	case s.Block < PerTensor || s.Block == 1:
		return fmt.Errorf("block: got %d, want at least 2, %d for output channels or %d for the tensor", s.Block, PerChannel, PerTensor)
	case s.Fit < 0 || int(s.Fit) >= len(fitNames):
		return fmt.Errorf("fit: got %d, want a known one", s.Fit)
	case s.Fit == FitFixedPoint && (s.Bits == 1 || s.Asymmetric):
		return fmt.Errorf("fit fixed-point: got %v, want a symmetric grid of 2 bits or more: no grid {−B..B}/2^k is {−1, +1}", s)
	}
	return nil
}

// On is the scheme that a layer is stored by, with the reason where it is
// another than s: blocks need an axis of inputs as long as one block.
func (s Scheme) On(l graph.Layer) (as Scheme, reason string) {
	if s.Block > 1 {
		if n := l.Param.Data.Shape()[inputAxis(l)]; n < s.Block {
			s.Block, reason = PerChannel, fmt.Sprintf("a scale per output channel instead of blocks of %d: the layer has %d inputs per channel along axis %d", s.Block, n, inputAxis(l))
		}
	}
	return s, reason
}

// maxBlock is more inputs than any layer has for one output.
const maxBlock = 1 << 20

// ParseGranularity reads "channel", "tensor" or "block:N".
func ParseGranularity(text string) (block int, err error) {
	switch text {
	case "channel":
		return PerChannel, nil
	case "tensor":
		return PerTensor, nil
	}
	if number, ok := strings.CutPrefix(text, "block:"); ok {
		if n, err := strconv.Atoi(number); err == nil && n >= 2 && n <= maxBlock {
			return n, nil
		}
	}
	return 0, fmt.Errorf("granularity %q: want tensor, channel or block:N with N of 2 to %d", text, maxBlock)
}

// Fit is how the range of a grid is chosen.
type Fit int

// The ways to choose a range.
const (
	FitMSE        Fit = iota // least squared error
	FitMinMax                // no weight is clipped
	FitPercentile            // all but a thousandth of the weights
	FitEntropy               // least divergence of the rounded distribution from the weights'
	FitFixedPoint            // the grid {−B..B}/2^k of least squared error
)

var fitNames = [...]string{FitMSE: "mse", FitMinMax: "minmax", FitPercentile: "percentile", FitEntropy: "entropy", FitFixedPoint: "fixed-point"}

func (f Fit) String() string { return fitNames[f] }

// ParseFit reads the name of a fit.
func ParseFit(name string) (Fit, error) {
	i := slices.Index(fitNames[:], name)
	if i < 0 {
		return 0, fmt.Errorf("fit %q: want %s", name, strings.Join(fitNames[:], ", "))
	}
	return Fit(i), nil
}
