package kernel

// Micro-kernels by set.
var (
	sTiles = [...]tiles[float32]{Portable: portableTiles32, AVX2: portableTiles32, AVX512: portableTiles32}
	dTiles = [...]tiles[float64]{Portable: portableTiles64, AVX2: portableTiles64, AVX512: portableTiles64}
)
