//go:build !amd64

package kernel

// Micro-kernels by set; only Portable is ever used.
var sConvTiles = [...]convTile[float32]{Portable: portableConvTile[float32]()}
