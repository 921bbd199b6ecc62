package kernel

// vectors32 holds the vector kernels in assembly, by set.
var vectors32 = [AVX512 + 1][opRows]vectorFunc[float32]{}
