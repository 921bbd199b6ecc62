package data

import "image"

// planesOfYCbCr writes red, green and blue planes of a decoded JPEG.
//
// Chroma stored at half resolution is interpolated with the triangle filter
// that libjpeg calls fancy upsampling, 3/4 of the nearer and 1/4 of the further
// sample along each halved axis: training pipelines read JPEGs this way, and
// repeating samples instead costs a model accuracy that is not its fault. Other
// ratios repeat samples.
//
// Source: libjpeg 6b, jdsample.c, for the filter and its rounding; ITU-T T.871
// (JFIF), section 7, for the conversion.
func planesOfYCbCr(dst []byte, img *image.YCbCr) {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	n := w * h
	cb, cr := make([]byte, n), make([]byte, n)
	upsample(cb, img.Cb, img, w, h)
	upsample(cr, img.Cr, img, w, h)
	for y := range h {
		luma := img.Y[img.YOffset(img.Rect.Min.X, img.Rect.Min.Y+y):][:w]
		for x, l := range luma {
			i := y*w + x
			dst[i], dst[n+i], dst[2*n+i] = rgb(l, cb[i], cr[i])
		}
	}
}

// rgb is the JFIF conversion in 16-bit fixed point, rounded to nearest.
func rgb(y, cb, cr byte) (r, g, b byte) {
	const (
		half = 1 << 15
		crR  = 91881  // 1.402 · 2^16
		cbG  = 22554  // 0.344136 · 2^16
		crG  = 46802  // 0.714136 · 2^16
		cbB  = 116130 // 1.772 · 2^16
	)
	l, u, v := int(y), int(cb)-128, int(cr)-128
	return clampByte(l + (crR*v+half)>>16),
		clampByte(l + (-cbG*u-crG*v+half)>>16),
		clampByte(l + (cbB*u+half)>>16)
}

func clampByte(v int) byte { return byte(min(max(v, 0), 255)) }

// upsample brings a chroma plane to w×h.
func upsample(dst, plane []byte, img *image.YCbCr, w, h int) {
	cw, ch := (w+1)/2, (h+1)/2
	at := func(x, y int) int { return int(plane[y*img.CStride+x]) }
	switch img.SubsampleRatio {
	case image.YCbCrSubsampleRatio420:
		for y := range h {
			near := y / 2
			far := neighbour(y, ch)
			sum := func(x int) int { return 3*at(x, near) + at(x, far) }
			for x := range w {
				// libjpeg alternates the rounding: 8 for even columns, 7 for odd.
				dst[y*w+x] = byte((3*sum(x/2) + sum(neighbour(x, cw)) + 8 - x&1) >> 4)
			}
		}
	case image.YCbCrSubsampleRatio422:
		for y := range h {
			for x := range w {
				dst[y*w+x] = byte((3*at(x/2, y) + at(neighbour(x, cw), y) + 1 + x&1) >> 2)
			}
		}
	default:
		for y := range h {
			for x := range w {
				dst[y*w+x] = plane[img.COffset(img.Rect.Min.X+x, img.Rect.Min.Y+y)]
			}
		}
	}
}

// neighbour is the further of the two half-resolution samples around position
// x, of n; at the border it is the nearer one.
func neighbour(x, n int) int {
	return min(max(x/2-1+2*(x&1), 0), n-1)
}
