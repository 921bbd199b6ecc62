//go:build !amd64

package kernel

// maxPoolRows is called with [AVX2] and above only.
func maxPoolRows(*PoolShape, int, int, []float32, []float32, *byte, int, int) {
	panic("max pool: no assembly on this machine")
}
