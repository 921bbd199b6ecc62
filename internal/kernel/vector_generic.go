//go:build !amd64

package kernel

// vectors32 holds no assembly.
var vectors32 [AVX512 + 1][opRows]vectorFunc[float32]

func quantizeBulk(Set, []int8, []float32, float32, float32, float32) int { return 0 }

func dequantizeBulk(Set, []float32, []int8, float32) int { return 0 }

func sumWideBulk(Set, *Lanes, []float32) int { return 0 }

func addWideBulk(Set, []float64, []float32) int { return 0 }
