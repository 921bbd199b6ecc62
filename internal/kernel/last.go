package kernel

// Last is a convolution with constant weights on tensors whose channels lie side
// by side; see [LastConv] for what it computes. It runs once at a time.
type Last interface {
	Run(x, residual, y, scratch []float32) error

	// Workspace is the elements of scratch that Run needs.
	Workspace() int
}

// NewLast packs the weights for the way that a static rule gives the shape.
//
// Version 1, by BenchmarkLast on a Zen 5 core: Winograd's way takes 0.25 to 0.6 of
// the direct one's time wherever its weights, four times as many, are read from
// the cache or serve 16 tiles. At 7×7 pixels and 512 channels, one image, it
// takes 1.25.
func NewLast(p *Pool, s ConvShape, w, bias []float32, low, high float32) Last {
	if s.byWinograd() {
		return NewLastWinograd(p, s, w, bias, low, high)
	}
	return NewLastConv(p, s, w, bias, low, high)
}

func (s *ConvShape) byWinograd() bool {
	return s.FitsWinograd() && (s.winogradTiles() >= winogradWorth || 4*winogradPositions*s.C*s.M <= winogradCache)
}

// LastWeights is at least the number of elements that [NewLast] packs weights
// into.
func LastWeights(s ConvShape) int {
	if s.byWinograd() {
		return winogradPositions * s.C * s.M
	}
	const lanes = 16 // the widest vector
	return s.Groups * ceilDiv(s.groupOut(), lanes) * lanes * s.taps()
}

const (
	winogradWorth = 16      // tiles
	winogradCache = 1 << 20 // bytes of weights
)
