package kernel

// Micro-kernels by set.
var (
	sTiles = [...]tiles[float32]{Portable: portableTiles32, AVX2: {6, 16, sMicroAVX2}, AVX512: {14, 32, sMicroAVX512}}
	dTiles = [...]tiles[float64]{Portable: portableTiles64, AVX2: {6, 8, dMicroAVX2}, AVX512: {14, 16, dMicroAVX512}}
)

// The assembly trusts its arguments; these check what it will touch.

func sMicroAVX2(rows, k int, a []float32, rsa, csa int, b []float32, rsb int, c []float32, ldc int, alpha, beta float32) {
	_, _, _ = a[(rows-1)*rsa+(k-1)*csa], b[(k-1)*rsb+15], c[(rows-1)*ldc+15]
	sgemmAVX2(rows, k, &a[0], rsa, csa, &b[0], rsb, &c[0], ldc, alpha, beta)
}

func sMicroAVX512(rows, k int, a []float32, rsa, csa int, b []float32, rsb int, c []float32, ldc int, alpha, beta float32) {
	_, _, _ = a[(rows-1)*rsa+(k-1)*csa], b[(k-1)*rsb+31], c[(rows-1)*ldc+31]
	sgemmAVX512(rows, k, &a[0], rsa, csa, &b[0], rsb, &c[0], ldc, alpha, beta)
}

func dMicroAVX2(rows, k int, a []float64, rsa, csa int, b []float64, rsb int, c []float64, ldc int, alpha, beta float64) {
	_, _, _ = a[(rows-1)*rsa+(k-1)*csa], b[(k-1)*rsb+7], c[(rows-1)*ldc+7]
	dgemmAVX2(rows, k, &a[0], rsa, csa, &b[0], rsb, &c[0], ldc, alpha, beta)
}

func dMicroAVX512(rows, k int, a []float64, rsa, csa int, b []float64, rsb int, c []float64, ldc int, alpha, beta float64) {
	_, _, _ = a[(rows-1)*rsa+(k-1)*csa], b[(k-1)*rsb+15], c[(rows-1)*ldc+15]
	dgemmAVX512(rows, k, &a[0], rsa, csa, &b[0], rsb, &c[0], ldc, alpha, beta)
}
