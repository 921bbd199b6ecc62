package engine

import (
	"math"
	"math/cmplx"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// bindDFT transforms each line along the axis, cut or padded with zeros to the
// length; the last axis holds real and imaginary parts, or real ones alone.
func bindDFT[T float](s *site) (func() error, error) {
	in, out := s.inShape(0), s.outShape(0)
	g, err := graph.NewDFTGeometry(s.node, s.facts, in)
	if err != nil {
		return nil, s.errorf("%w", err)
	}
	rank := len(in)
	from, to := linesOf(in[:rank-1], g.Axis), linesOf(out[:rank-1], g.Axis)
	inParts, outParts := in[rank-1], out[rank-1]
	const complexBytes = 16
	if err := reserve(8 * complexBytes * g.Length); err != nil {
		return nil, s.errorf("transform of length %d: %w", g.Length, err)
	}
	f := newFourier(g.Length)
	each := f.n + f.scratch()
	memory := s.scratch(complexBytes * each * s.pool.Threads())
	half := g.OneSided && g.Inverse
	return s.parallel(to.count(), 1+elementGrain/(16*max(1, g.Length)), func(worker, lo, hi int) {
		x, y := tensor.Data[T](*s.in[0]), tensor.Data[T](*s.out[0])
		line := scratchOf[complex128](memory)[worker*each:][:each]
		line, rest := line[:f.n], line[f.n:]
		for i := lo; i < hi; i++ {
			readLine(line, x[from.first(i)*inParts:], from, inParts)
			if half {
				completeHalf(line, from.n)
			}
			transformLine(f, line, rest, g.Inverse)
			writeLine(y[to.first(i)*outParts:], line, to, outParts)
		}
	}), nil
}

// readLine reads a line of x, with zeros behind its end.
func readLine[T float](line []complex128, x []T, l lines, parts int) {
	clear(line)
	for k := range min(len(line), l.n) {
		at := k * l.inner * parts
		re, im := float64(x[at]), 0.0
		if parts == 2 {
			im = float64(x[at+1])
		}
		line[k] = complex(re, im)
	}
}

func writeLine[T float](y []T, line []complex128, l lines, parts int) {
	for k := range l.n {
		at := k * l.inner * parts
		y[at] = T(real(line[k]))
		if parts == 2 {
			y[at+1] = T(imag(line[k]))
		}
	}
}

// completeHalf fills in what a one-sided spectrum leaves out: the conjugates. The
// first entry, and for an even length the middle one, count as real.
func completeHalf(line []complex128, given int) {
	n := len(line)
	line[0] = complex(real(line[0]), 0)
	if n%2 == 0 {
		line[n/2] = complex(real(line[n/2]), 0)
	}
	for k := n/2 + 1; k < n; k++ {
		line[k] = cmplx.Conj(line[n-k])
	}
}

// transformLine is the transform, or its inverse by conjugates: x = conj(F(conj
// y))/n.
func transformLine(f *fourier, line, scratch []complex128, inverse bool) {
	if !inverse {
		f.transform(line, scratch)
		return
	}
	for k, v := range line {
		line[k] = cmplx.Conj(v)
	}
	f.transform(line, scratch)
	scale := 1 / float64(f.n)
	for k, v := range line {
		line[k] = complex(real(v)*scale, -imag(v)*scale)
	}
}

// prepareMelWeights follows the operator's definition: triangles between centres
// equally spaced on the mel scale, rounded down to bins of the spectrum.
func prepareMelWeights(s *site) (func() error, error) {
	out := s.outShape(0)
	bins, bands := out[0], out[1]
	return func() error {
		length, rate := s.in[1].At(0), s.in[2].At(0)
		if !(rate > 0) {
			return s.errorf("input 2: got sample rate %v, want a number above 0", rate)
		}
		mel := func(f float64) float64 { return 2595 * math.Log10(1+f/700) }
		low, high := mel(s.in[3].At(0)), mel(s.in[4].At(0))
		edges := make([]int, bands+2)
		for i := range edges {
			hertz := 700 * (math.Pow(10, (low+float64(i)*(high-low)/float64(bands+2))/2595) - 1)
			at := math.Floor((length + 1) * hertz / rate)
			if !(at >= 0 && at < float64(bins)) {
				return s.errorf("inputs 3 and 4: band edge %d at %g Hz lies in bin %g, want 0 to %d", i, hertz, at, bins-1)
			}
			edges[i] = int(at)
		}
		y := *s.out[0]
		clear(y.Raw())
		for b := range bands {
			left, centre, right := edges[b], edges[b+1], edges[b+2]
			if left == centre {
				y.Set(centre*bands+b, 1)
			}
			for j := left; j <= centre && left < centre; j++ {
				y.Set(j*bands+b, float64(j-left)/float64(centre-left))
			}
			for j := centre; j < right; j++ {
				y.Set(j*bands+b, float64(right-j)/float64(right-centre))
			}
		}
		return nil
	}, nil
}
