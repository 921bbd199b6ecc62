//go:build !amd64

package kernel

// Micro-kernels by set; only Portable is ever used.
var (
	sTiles = [...]tiles[float32]{Portable: portableTiles32}
	dTiles = [...]tiles[float64]{Portable: portableTiles64}
)
