package paths

import (
	"errors"
	"fmt"
	"math"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// rounded is a weight on a grid.
type rounded struct {
	scheme Scheme
	groups groups
	codes  []byte // an integer for each weight, in the weight's order: see [grid.integer]
	scales []float32
	zeros  []byte // nil if the grid is symmetric
}

// errEmpty is why a weight without elements is left alone.
var errEmpty = errors.New("holds no weights")

// roundLayer fits a grid to a layer's weights and rounds them to it, many groups
// at a time. The error is that of checkWeight, or one that names the first weight
// that is not a number.
func roundLayer(p *kernel.Pool, l graph.Layer, s Scheme) (*rounded, error) {
	if err := checkWeight(l); err != nil {
		return nil, err
	}
	s, _ = s.On(l)
	r := newRounded(l, s, groupsOf(l, s))
	w := tensor.Data[float32](l.Param.Data)
	r.each(p, func(set kernel.Set) func(i int, at strip, row []float32, codes []byte) {
		f := newFitter(s, set)
		return func(i int, at strip, row []float32, codes []byte) {
			if _, _, finite := kernel.MinMax(set, row); !finite {
				r.scales[i] = float32(math.NaN())
				return
			}
			level := f.level(row)
			r.set(i, level)
			f.round(set, codes, row, level)
		}
	}, w)
	for i, s := range r.scales {
		if s != s {
			return nil, notFinite(l, w, r.groups.strip(i))
		}
	}
	return r, nil
}

// roundTo rounds a layer's weights to a grid of given levels.
func roundTo(p *kernel.Pool, l graph.Layer, s Scheme, g groups, scales, zeros []float32) (*rounded, error) {
	if err := checkWeight(l); err != nil {
		return nil, err
	}
	r, q := newRounded(l, s, g), s.grid()
	if len(scales) != len(r.scales) || zeros != nil && len(zeros) != len(scales) {
		return nil, fmt.Errorf("weight %q: scales: got %d and %d zero points, want %d for %v", l.Name(), len(scales), len(zeros), len(r.scales), s)
	}
	for i, scale := range scales {
		at := level{scale: scale}
		if zeros != nil {
			at.zero = int(zeros[i])
		}
		r.set(i, at)
	}
	r.each(p, func(set kernel.Set) func(int, strip, []float32, []byte) {
		return func(i int, _ strip, row []float32, codes []byte) { q.round(set, codes, row, r.level(i)) }
	}, tensor.Data[float32](l.Param.Data))
	return r, nil
}

func newRounded(l graph.Layer, s Scheme, g groups) *rounded {
	r := &rounded{scheme: s, groups: g, codes: tensor.Bytes(l.Param.Data.Len())}
	r.scales = make([]float32, r.groups.count)
	if s.Asymmetric {
		r.zeros = make([]byte, r.groups.count)
	}
	return r
}

func (r *rounded) set(i int, at level) {
	r.scales[i] = at.scale
	if r.zeros != nil {
		r.zeros[i] = byte(at.zero)
	}
}

func (r *rounded) level(i int) level {
	if r.zeros == nil {
		return level{scale: r.scales[i]}
	}
	return level{r.scales[i], int(r.zeros[i])}
}

// groupGrain is how many weights a thread takes at least.
const groupGrain = 1 << 14

// each calls what begin makes, once for each thread, with every group's number,
// place, weights and the codes to fill. A nil pool is one thread.
func (r *rounded) each(p *kernel.Pool, begin func(kernel.Set) func(i int, at strip, row []float32, codes []byte), w []float32) {
	p = orSerial(p)
	err := p.For(r.groups.count, 1+groupGrain*r.groups.count/len(w), func(_, lo, hi int) {
		do := begin(p.Set())
		var rows []float32
		var codes []byte
		for i := lo; i < hi; {
			at, n := r.groups.strip(i), min(hi-i, r.groups.neighbours(i))
			if at.rows == 1 {
				do(i, at, w[at.start:][:at.run], r.codes[at.start:][:at.run])
				i++
				continue
			}
			size := at.len()
			if len(rows) < n*size {
				rows, codes = make([]float32, n*size), make([]byte, n*size)
			}
			gather(at, n, rows, w)
			for k := range n {
				do(i+k, r.groups.strip(i+k), rows[k*size:][:size], codes[k*size:][:size])
			}
			scatter(at, n, r.codes, codes)
			i += n
		}
	})
	if err != nil {
		panic(err) // a mistake in this package: nothing foreign can cause it
	}
}

// orSerial is the pool, or one of a single thread.
func orSerial(p *kernel.Pool) *kernel.Pool {
	if p == nil {
		return kernel.NewPool(1, kernel.Best())
	}
	return p
}

// checkWeight refuses what no grid is fitted to. The error is errEmpty for a
// weight without elements.
func checkWeight(l graph.Layer) error {
	if err := checkFloat32(l); err != nil {
		return err
	}
	if l.Param.Data.Len() == 0 {
		return errEmpty
	}
	return nil
}

// notFinite names the first element of a strip that is no finite number.
func notFinite(l graph.Layer, w []float32, at strip) error {
	for r := range at.rows {
		for k := range at.run {
			i := at.start + r*at.stride + k
			if v := float64(w[i]); math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("weight %q: element %d: got %v, want a finite number", l.Name(), i, v)
			}
		}
	}
	return nil
}
