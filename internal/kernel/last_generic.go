//go:build !amd64

package kernel

var sLastTiles = [...]lastTiles{Portable: portableLast}
