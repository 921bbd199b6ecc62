//go:build !amd64

package kernel

// maxPoolRows is called with [AVX2] and above only.
func maxPoolRows(*PoolShape, int, int, []float32, []float32, *byte, int, int) {
	panic("max pool: no assembly on this machine")
}

func pickBulk(Set, int, int, []float32, []float32, []byte) bool { return false }

func spreadBulk(Set, int, int, []float32, []byte, []float32) bool { return false }
