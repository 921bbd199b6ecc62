package kernel

import "unsafe"

// Micro-kernels by set.
var (
	sTiles = [...]tiles[float32]{
		Portable: portableTiles32,
		AVX2:     {6, 16, sMicroAVX2, sRowAVX2, copy24[float32], copy64[float32], sTranspose, 8, sDotAVX2, 16},
		AVX512:   {14, 32, sMicroAVX512, sRowAVX512, copy56[float32], copy128[float32], sTranspose, 8, sDotAVX512, 16},
	}
	dTiles = [...]tiles[float64]{
		Portable: portableTiles64,
		AVX2:     {6, 8, dMicroAVX2, dRowAVX2, copy48[float64], copy64[float64], dTranspose, 4, dDotAVX2, 8},
		AVX512:   {14, 16, dMicroAVX512, dRowAVX512, copy112[float64], copy128[float64], dTranspose, 4, dDotAVX512, 8},
	}
)

// The assembly trusts its arguments; these check what it will touch.

func sMicroAVX2(rows, k int, a []float32, rsa, csa int, b []float32, rsb int, c []float32, ldc int, alpha, beta float32) {
	_, _, _ = a[(rows-1)*rsa+(k-1)*csa], b[(k-1)*rsb+15], c[(rows-1)*ldc+15]
	sgemmAVX2(rows, k, &a[0], rsa, csa, &b[0], rsb, &c[0], ldc, alpha, beta)
}

func sRowAVX2(k int, a []float32, csa int, b []float32, rsb int, c []float32, alpha, beta float32) {
	_, _, _ = a[(k-1)*csa], b[(k-1)*rsb+63], c[63]
	srowAVX2(k, &a[0], csa, &b[0], rsb, &c[0], 0, alpha, beta)
}

func sRowAVX512(k int, a []float32, csa int, b []float32, rsb int, c []float32, alpha, beta float32) {
	_, _, _ = a[(k-1)*csa], b[(k-1)*rsb+127], c[127]
	srowAVX512(k, &a[0], csa, &b[0], rsb, &c[0], 0, alpha, beta)
}

func dRowAVX2(k int, a []float64, csa int, b []float64, rsb int, c []float64, alpha, beta float64) {
	_, _, _ = a[(k-1)*csa], b[(k-1)*rsb+31], c[31]
	drowAVX2(k, &a[0], csa, &b[0], rsb, &c[0], 0, alpha, beta)
}

func dRowAVX512(k int, a []float64, csa int, b []float64, rsb int, c []float64, alpha, beta float64) {
	_, _, _ = a[(k-1)*csa], b[(k-1)*rsb+63], c[63]
	drowAVX512(k, &a[0], csa, &b[0], rsb, &c[0], 0, alpha, beta)
}

func sDotAVX2(k int, a, b []float32, ldb int, out []float32) {
	_, _, _ = a[k-1], b[3*ldb+k-1], out[3]
	sdotAVX2(k, &a[0], &b[0], ldb, &out[0])
}

func sMicroAVX512(rows, k int, a []float32, rsa, csa int, b []float32, rsb int, c []float32, ldc int, alpha, beta float32) {
	_, _, _ = a[(rows-1)*rsa+(k-1)*csa], b[(k-1)*rsb+31], c[(rows-1)*ldc+31]
	sgemmAVX512(rows, k, &a[0], rsa, csa, &b[0], rsb, &c[0], ldc, alpha, beta)
}

func sDotAVX512(k int, a, b []float32, ldb int, out []float32) {
	_, _, _ = a[k-1], b[3*ldb+k-1], out[3]
	sdotAVX512(k, &a[0], &b[0], ldb, &out[0])
}

func sTranspose(k int, dst []float32, ldd int, src []float32, lds int) {
	_, _ = dst[(k-1)*ldd+7], src[7*lds+k-1]
	stransposeAVX2(k, &dst[0], ldd, &src[0], lds)
}

func dMicroAVX2(rows, k int, a []float64, rsa, csa int, b []float64, rsb int, c []float64, ldc int, alpha, beta float64) {
	_, _, _ = a[(rows-1)*rsa+(k-1)*csa], b[(k-1)*rsb+7], c[(rows-1)*ldc+7]
	dgemmAVX2(rows, k, &a[0], rsa, csa, &b[0], rsb, &c[0], ldc, alpha, beta)
}

func dDotAVX2(k int, a, b []float64, ldb int, out []float64) {
	_, _, _ = a[k-1], b[3*ldb+k-1], out[3]
	ddotAVX2(k, &a[0], &b[0], ldb, &out[0])
}

func dMicroAVX512(rows, k int, a []float64, rsa, csa int, b []float64, rsb int, c []float64, ldc int, alpha, beta float64) {
	_, _, _ = a[(rows-1)*rsa+(k-1)*csa], b[(k-1)*rsb+15], c[(rows-1)*ldc+15]
	dgemmAVX512(rows, k, &a[0], rsa, csa, &b[0], rsb, &c[0], ldc, alpha, beta)
}

func dDotAVX512(k int, a, b []float64, ldb int, out []float64) {
	_, _, _ = a[k-1], b[3*ldb+k-1], out[3]
	ddotAVX512(k, &a[0], &b[0], ldb, &out[0])
}

func dTranspose(k int, dst []float64, ldd int, src []float64, lds int) {
	_, _ = dst[(k-1)*ldd+3], src[3*lds+k-1]
	dtransposeAVX2(k, &dst[0], ldd, &src[0], lds)
}

func copy24[T Float](k int, dst, src []T, stride int) {
	copyPanel24(copyArgs(24, k, dst, src, stride))
}

func copy48[T Float](k int, dst, src []T, stride int) {
	copyPanel48(copyArgs(48, k, dst, src, stride))
}

func copy56[T Float](k int, dst, src []T, stride int) {
	copyPanel56(copyArgs(56, k, dst, src, stride))
}

func copy112[T Float](k int, dst, src []T, stride int) {
	copyPanel112(copyArgs(112, k, dst, src, stride))
}

func copy64[T Float](k int, dst, src []T, stride int) {
	copyPanel64(copyArgs(64, k, dst, src, stride))
}

func copy128[T Float](k int, dst, src []T, stride int) {
	copyPanel128(copyArgs(128, k, dst, src, stride))
}

// copyArgs checks the arguments of a copy of rows of width bytes.
func copyArgs[T Float](width, k int, dst, src []T, stride int) (rows int, to, from *byte, step int) {
	size := int(unsafe.Sizeof(dst[0]))
	_, _ = dst[k*(width/size)-1], src[(k-1)*stride+width/size-1]
	return k, (*byte)(unsafe.Pointer(&dst[0])), (*byte)(unsafe.Pointer(&src[0])), stride * size
}
