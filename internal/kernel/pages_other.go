//go:build !linux

package kernel

// hugePages is n zeros; only on Linux are large pages asked for.
func hugePages(n int) []float32 { return make([]float32, n) }
