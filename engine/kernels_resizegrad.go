package engine

import (
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

func resizeGradKernels() map[string]prepare {
	return map[string]prepare{
		"compactify.ResizeGrad": variants{tensor.Float32: bindResizeGrad[float32], tensor.Float64: bindResizeGrad[float64]}.by(0),
	}
}

// unsample is the adjoint of one axis of a resampling: input i is the sum of
// weight[k]·dy at from[k], k in [start[i], start[i+1]).
type unsample struct {
	outer, in, out, inner int
	start, from           []int
	weight                []float64
}

func (r *resample) adjoint() *unsample {
	u := &unsample{outer: r.outer, in: r.in, out: r.out, inner: r.inner, start: make([]int, r.in+1),
		from: make([]int, len(r.index)), weight: make([]float64, len(r.index))}
	for _, i := range r.index {
		u.start[i+1]++
	}
	for i := range r.in {
		u.start[i+1] += u.start[i]
	}
	next := append([]int(nil), u.start...)
	for k, i := range r.index {
		u.from[next[i]], u.weight[next[i]] = k/r.taps, r.weights[k]
		next[i]++
	}
	return u
}

// forward is the site of the Resize that the node is the adjoint of.
func (s *site) forward() *site {
	n := &graph.Node{Op: "Resize", Name: s.node.Name, Attrs: s.node.Attrs, In: []*graph.Value{s.node.Out[0]}, Out: []*graph.Value{s.node.In[0]}}
	n.In = append(n.In, s.node.In[2:]...)
	return &site{node: n, facts: s.facts, pool: s.pool}
}

// bindResizeGrad spreads dy back axis by axis, in the order opposite to Resize.
func bindResizeGrad[T float](s *site) (func() error, error) {
	f := s.forward()
	axes, err := f.resizeAxes()
	if err != nil {
		return nil, err
	}
	shape := append([]int(nil), f.inShape(0)...)
	var passes []*unsample
	size := elements(f.outShape(0))
	for k := range axes {
		if a := &axes[k]; a.scale != 1 || a.in != a.out || a.from != 0 || a.to != 1 {
			r, err := f.newResample(a, elements(shape[:k]), elements(shape[k+1:]))
			if err != nil {
				return nil, err
			}
			passes = append(passes, r.adjoint())
			size = max(size, elements(shape))
			shape[k] = a.out
		}
	}
	memory := [2]*scratch{s.scratch(elementBytes[T]() * size), s.scratch(elementBytes[T]() * size)}
	outside := f.outsideRegion(axes)
	var src, dst []T
	var u *unsample
	body := func(_, lo, hi int) { unsampleRows(u, dst, src, lo, hi) }
	return func() error {
		src = scratchOf[T](memory[1])[:s.in[0].Len()]
		copy(src, tensor.Data[T](*s.in[0]))
		for i, is := range outside {
			if is {
				src[i] = 0
			}
		}
		for i := range passes {
			u, dst = passes[len(passes)-1-i], scratchOf[T](memory[i%2])
			if i == len(passes)-1 {
				dst = tensor.Data[T](*s.out[0])
			}
			if err := s.pool.For(u.outer*u.in, 1+elementGrain/max(1, u.inner), body); err != nil {
				return err
			}
			src = dst
		}
		if len(passes) == 0 {
			copy(tensor.Data[T](*s.out[0]), src)
		}
		return nil
	}, nil
}

// unsampleRows computes rows [lo, hi) of [outer·in, inner].
func unsampleRows[T float](u *unsample, dst, src []T, lo, hi int) {
	for r := lo; r < hi; r++ {
		o, i := r/u.in, r%u.in
		row := dst[r*u.inner:][:u.inner]
		clear(row)
		for k := u.start[i]; k < u.start[i+1]; k++ {
			w := T(u.weight[k])
			for c, v := range src[(o*u.out+u.from[k])*u.inner:][:u.inner] {
				row[c] += T(w * v)
			}
		}
	}
}
