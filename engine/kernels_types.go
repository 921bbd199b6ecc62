package engine

import (
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// float is a number type that kernels compute with directly. The narrow ones,
// float16 to float4, are widened: see [widening].
type float interface{ float32 | float64 }

// integer is an integer type with a Go counterpart.
type integer interface {
	~int8 | ~int16 | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64
}

// number is any real number type with a Go counterpart.
type number interface{ float | integer }

// variants lists a kernel's instances by the number type they compute in.
type variants map[tensor.DType]prepare

// by chooses the instance of input i's number type; narrow floats take that of
// float32 and packed integers that of 8 bits, with a conversion around it.
func (v variants) by(i int) prepare {
	return func(s *site) (func() error, error) {
		d := s.inDType(i)
		if k, ok := v[d]; ok {
			return k(s)
		}
		if k, ok := v[wideType(d)]; ok {
			return widened(k)(s)
		}
		return nil, s.unsupported("number type", d)
	}
}

// wideType is the type in which a narrow one is computed; d itself if it is not
// narrow.
func wideType(d tensor.DType) tensor.DType {
	switch {
	case d.IsFloat() && d.Bits() < 32:
		return tensor.Float32
	case d.IsInteger() && d.Bits() < 8 && d.IsSigned():
		return tensor.Int8
	case d.IsInteger() && d.Bits() < 8:
		return tensor.Uint8
	}
	return d
}

// widening is a kernel that runs on widened copies of its node's tensors: slow,
// but each operator needs no code of its own for types without arithmetic.
// Outputs are rounded once, to nearest even, as if computed in the wide type.
type widening struct {
	outer, inner *site
	in, out      []*widenedTensor // nil where the tensor is passed as it is
	run          func() error
}

// widened wraps a kernel for wide types into one for narrow types.
func widened(k prepare) prepare {
	return func(s *site) (func() error, error) {
		w := &widening{outer: s, inner: widerSite(s)}
		for i, v := range w.inner.node.In {
			w.in = append(w.in, w.buffer(v, s.node.In[i]))
		}
		for i, v := range w.inner.node.Out {
			w.out = append(w.out, w.buffer(v, s.node.Out[i]))
		}
		run, err := k(w.inner)
		if err != nil {
			return nil, err
		}
		s.buffers = append(s.buffers, w.inner.buffers...)
		w.run = run
		return w.do, nil
	}
}

// widerSite is the same node with wide types. Values whose types stay are
// shared, so that their constants are found.
func widerSite(s *site) *site {
	n := *s.node
	facts := graph.NewFacts(&graph.Graph{})
	wider := func(v *graph.Value) *graph.Value {
		if v == nil {
			return nil
		}
		t, known := s.facts.Data(v)
		if wide := wideType(v.Type.DType); wide != v.Type.DType {
			v = &graph.Value{Name: v.Name, Type: v.Type.With(wide)}
			t, _ = t.Convert(wide)
		}
		if known {
			facts.SetData(v, t)
		}
		return v
	}
	n.In, n.Out = nil, nil
	for _, v := range s.node.In {
		n.In = append(n.In, wider(v))
	}
	for _, v := range s.node.Out {
		n.Out = append(n.Out, wider(v))
	}
	return newSite(&n, s.pool, facts, make(map[*graph.Value]*tensor.Tensor))
}

// buffer asks for the memory of a widened value; nil if it is not widened or
// its shape depends on data.
func (w *widening) buffer(wide, narrow *graph.Value) *widenedTensor {
	if wide == nil || wide == narrow {
		return nil
	}
	if _, ok := wide.Type.Static(); !ok {
		return nil
	}
	return &widenedTensor{memory: w.outer.scratch(typeBytes(wide.Type))}
}

// widenedTensor is a wide copy in scratch memory.
type widenedTensor struct {
	memory *scratch
	t      tensor.Tensor
}

// fill makes the tensor when the step runs first: scratch memory is not there
// before.
func (w *widenedTensor) fill(t tensor.Type) {
	if w.t.IsZero() {
		sizes, _ := t.Static()
		w.t, _ = tensor.FromRaw(t.DType, sizes, w.memory.raw)
	}
}

func (w *widening) do() error {
	for i, t := range w.outer.in {
		switch b := w.in[i]; {
		case t == nil:
		case b == nil:
			*w.inner.in[i] = *t
		default:
			b.fill(w.inner.node.In[i].Type)
			for k, n := 0, t.Len(); k < n; k++ {
				b.t.Set(k, t.At(k))
			}
			*w.inner.in[i] = b.t
		}
	}
	for i, t := range w.outer.out {
		switch b := w.out[i]; {
		case t == nil:
		case b == nil:
			*w.inner.out[i] = *t
		default:
			b.fill(w.inner.node.Out[i].Type)
			*w.inner.out[i] = b.t
		}
	}
	if err := w.run(); err != nil {
		return err
	}
	return w.narrow()
}

// narrow rounds the outputs back.
func (w *widening) narrow() error {
	for i, t := range w.outer.out {
		if t == nil {
			continue
		}
		wide := *w.inner.out[i]
		if w.inner.node.Out[i] == w.outer.node.Out[i] {
			*t = wide
			continue
		}
		if w.out[i] == nil {
			*t = tensor.New(w.outer.node.Out[i].Type.DType, wide.Shape()...)
		}
		for k, n := 0, t.Len(); k < n; k++ {
			t.Set(k, wide.At(k))
		}
	}
	return nil
}

// movement is a kernel that only moves elements; those of less than a byte are
// widened first.
func movement(k prepare) prepare {
	return func(s *site) (func() error, error) {
		for _, list := range [][]*graph.Value{s.node.In, s.node.Out} {
			for _, v := range list {
				if v != nil && v.Type.DType.Bits() > 0 && v.Type.DType.Bits() < 8 {
					return widened(k)(s)
				}
			}
		}
		return k(s)
	}
}
