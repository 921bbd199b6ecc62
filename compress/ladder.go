package compress

import (
	"math"
	"slices"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/paths"
	"github.com/compactify/compactify/structure"
	"github.com/compactify/compactify/tensor"
)

// ladder is a list of plans from the largest that is smaller than the original to
// the smallest, with what it was made of; the original alone if none is smaller.
type ladder struct {
	dials []*dial
	sizes []paramSize
	moved [][]int // by dial: the parameters whose size it changes
	rungs []rung
	tried map[string]rung // by the key of the plan
}

// rung is a setting of all dials.
type rung struct {
	at    []int   // setting of each dial
	bytes int     // expected of the parameters
	harm  float64 // expected: the sum of the dials'
}

// newLadder climbs down from the original: each step turns the one dial for
// which the harm per saved byte is least. Steps that save nothing are left out.
func newLadder(g *graph.Graph, groups []*structure.Group, dials []*dial) *ladder {
	l := &ladder{dials: dials, tried: make(map[string]rung)}
	l.measure(g, groups)
	now := l.rung(make([]int, len(dials)))
	for {
		dial, setting := l.nextTurn(now, nil, 1, math.MaxInt)
		if dial < 0 && len(l.rungs) == 0 {
			l.rungs = []rung{now} // nothing can be smaller
		}
		if dial < 0 {
			return l
		}
		now = l.turned(now, dial, setting)
		l.rungs = append(l.rungs, now)
	}
}

// nextTurn is the turn of one dial that does least harm per saved byte, of those
// that save so many bytes, one or more; dial is −1 if there is none. Refused is by dial
// the first setting not to be thought of.
func (l *ladder) nextTurn(from rung, refused map[int]int, least, most int) (dial, setting int) {
	dial, rate := -1, math.Inf(1)
	for i, d := range l.dials {
		end, ok := refused[i]
		if !ok {
			end = len(d.settings)
		}
		for s := from.at[i] + 1; s < end; s++ {
			saved := l.saved(from, i, s)
			r := max(0, d.harm[s]-d.harm[from.at[i]]) / float64(saved)
			if saved >= max(1, least) && saved <= most && r < rate {
				dial, setting, rate = i, s, r
			}
		}
	}
	return dial, setting
}

// between is the rung between two whose size is nearest to the geometric mean of
// theirs; lo may be −1, before the first.
func (l *ladder) between(lo, hi int) int {
	if lo < 0 {
		return (lo + hi) / 2
	}
	middle := math.Sqrt(float64(l.rungs[lo].bytes) * float64(l.rungs[hi].bytes))
	best := lo + 1
	for i := lo + 1; i < hi; i++ {
		if math.Abs(float64(l.rungs[i].bytes)-middle) < math.Abs(float64(l.rungs[best].bytes)-middle) {
			best = i
		}
	}
	return best
}

// saved is what turning one dial is expected to save.
func (l *ladder) saved(from rung, dial, setting int) int {
	at := slices.Clone(from.at)
	at[dial] = setting
	bytes := 0
	for _, i := range l.moved[dial] {
		bytes += l.sizes[i].bytes(l.dials, from.at) - l.sizes[i].bytes(l.dials, at)
	}
	return bytes
}

// turned is a rung with one dial at another setting.
func (l *ladder) turned(from rung, dial, setting int) rung {
	at := slices.Clone(from.at)
	at[dial] = setting
	return l.rung(at)
}

func (l *ladder) rung(at []int) rung {
	r := rung{at: at}
	for i, d := range l.dials {
		r.harm += d.harm[at[i]]
	}
	for _, p := range l.sizes {
		r.bytes += p.bytes(l.dials, at)
	}
	return r
}

// plan is what a rung says of the model.
func (l *ladder) plan(r rung) Plan {
	p := Plan{}.clone()
	for i, d := range l.dials {
		d.put(&p, r.at[i])
	}
	return p
}

// paramSize is what the size of a parameter in the file depends on.
type paramSize struct {
	shape []int
	axis  int // that has scales
	layer int // the dial of its form; −1 if it is no layer
	ties  []tie
}

// tie is what a group takes from an axis of a parameter.
type tie struct {
	dial    int
	axis    int // −1: the whole parameter
	indices int // per channel
}

// measure lists the sizes of the parameters, and which dials change them.
func (l *ladder) measure(g *graph.Graph, groups []*structure.Group) {
	find := func(name string, group bool) int {
		return slices.IndexFunc(l.dials, func(d *dial) bool { return d.name == name && d.group == group })
	}
	index := make(map[string]int)
	for _, p := range g.Params {
		if p.Data.DType() == tensor.Float32 {
			index[p.Name] = len(l.sizes)
			l.sizes = append(l.sizes, paramSize{shape: p.Data.Shape(), layer: -1})
		}
	}
	l.moved = make([][]int, len(l.dials))
	for _, layer := range g.Layers() {
		i, ok := index[layer.Name()]
		if dial := find(layer.Name(), false); ok && dial >= 0 {
			l.sizes[i].axis, l.sizes[i].layer = layer.Axis, dial
			l.moved[dial] = append(l.moved[dial], i)
		}
	}
	for _, group := range groups {
		dial := find(group.ID, true)
		for _, t := range group.Ties {
			i, ok := index[t.Param.Name]
			if dial < 0 || !ok {
				continue
			}
			cut := tie{dial: dial, axis: t.Axis}
			if t.Axis >= 0 {
				cut.indices = len(t.Index[0])
			}
			l.sizes[i].ties = append(l.sizes[i].ties, cut)
			if !slices.Contains(l.moved[dial], i) {
				l.moved[dial] = append(l.moved[dial], i)
			}
		}
	}
}

// What a quantised layer costs in the file beyond its integers and scales, about:
// two more tensors' names, types and shapes, and the node that reads them.
const quantizedBytes = 80

// bytes is what a parameter is expected to take in the file. The search compares
// plans by it; what counts is the size of the file itself.
func (n paramSize) bytes(dials []*dial, at []int) int {
	shape := slices.Clone(n.shape)
	for _, t := range n.ties {
		removed := dials[t.dial].settings[at[t.dial]].removed
		switch {
		case removed > 0 && t.axis < 0:
			return 0
		case t.axis >= 0:
			shape[t.axis] = max(0, shape[t.axis]-removed*t.indices)
		}
	}
	weights, _ := tensor.Size(shape)
	s := setting{scheme: paths.Scheme{Bits: 32}}
	if n.layer >= 0 {
		s = dials[n.layer].settings[at[n.layer]]
	}
	stored := paths.StoredBits(s.scheme.Bits)
	size := (weights*stored + 7) / 8
	if stored >= 8 {
		left := weights - int(s.zeros*float64(weights))
		size = min(size, left*(stored/8+indexBytes(weights)))
	}
	if !s.scheme.IsFloat() {
		size += quantizedBytes + 4*scales(shape, n.axis, s.scheme)
	}
	return size
}

// scales is how many scales a weight has.
func scales(shape []int, axis int, s paths.Scheme) int {
	switch {
	case s.Block == paths.PerTensor:
		return 1
	case s.Block > 0:
		weights, _ := tensor.Size(shape)
		return (weights + s.Block - 1) / s.Block
	}
	return shape[axis]
}

// indexBytes is what the index of a weight among n takes on average, as a varint.
func indexBytes(n int) int {
	size := 1
	for n >= 1<<7 {
		n >>= 7
		size++
	}
	return size
}
