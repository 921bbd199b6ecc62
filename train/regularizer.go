package train

import (
	"fmt"
	"math"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/calculus"
)

// regularizer is R(θ) of a penalty for one vector θ.
type regularizer struct {
	kind  PenaltyKind
	alpha float64
	group []int32   // of each element
	root  []float64 // √|g| of each group
}

// Regularizer is R of a penalty as a function of the objective's vector θ; not of
// [MaxNorm], which is none.
func (f *Objective) Regularizer(p Penalty) func(x []float64) float64 {
	return newRegularizer(f, p).value
}

// Proximal is the proximal step of the penalty on the objective's vector θ: it writes
// argmin ½‖y − x‖² + t·R(y) to x. There is none of [MaxNorm].
func (f *Objective) Proximal(p Penalty) func(x []float64, t float64) {
	return newRegularizer(f, p).prox
}

// newRegularizer finds the groups of an objective's weights.
func newRegularizer(f calculus.Function, p Penalty) *regularizer {
	r := &regularizer{kind: p.Kind, alpha: p.alpha()}
	if p.Kind != GroupLasso {
		return r
	}
	ob, ok := f.(*Objective)
	if !ok {
		for i := range f.Dim() {
			r.group, r.root = append(r.group, int32(i)), append(r.root, 1)
		}
		return r
	}
	r.groupsOf(ob)
	return r
}

// groupsOf numbers the groups of the objective's weights as [Penalty] defines them.
func (r *regularizer) groupsOf(f *Objective) {
	byName := make(map[string]*graph.Param)
	for _, p := range f.model.Params {
		byName[p.Name] = p
	}
	params := make([]*graph.Param, len(f.blocks))
	for i, b := range f.blocks {
		params[i] = byName[b.Name]
	}
	r.group = make([]int32, f.dim)
	for i, u := range unitsOf(f.model, params) {
		if u.member {
			continue
		}
		for k := range u.count {
			id := int32(len(r.root))
			r.root = append(r.root, math.Sqrt(float64(u.size())))
			for o := range u.outer {
				for j := range u.inner {
					r.group[f.blocks[i].At+(o*u.count+k)*u.inner+j] = id
				}
			}
			if u.bias >= 0 {
				r.group[f.blocks[u.bias].At+k] = id
			}
		}
	}
}

// lengths are the norms of the groups.
func (r *regularizer) lengths(x []float64) []float64 {
	norms := make([]float64, len(r.root))
	for i, v := range x {
		norms[r.group[i]] += v * v
	}
	for k, s := range norms {
		norms[k] = math.Sqrt(s)
	}
	return norms
}

// value is R(x).
func (r *regularizer) value(x []float64) float64 {
	sum := 0.0
	switch r.kind {
	case L2:
		return dot(x, x)
	case GroupLasso:
		for k, l := range r.lengths(x) {
			sum += r.root[k] * l
		}
		return sum
	}
	for _, v := range x {
		sum += math.Abs(v)
	}
	if r.kind == ElasticNet {
		return r.alpha*sum + (1-r.alpha)*dot(x, x)
	}
	return sum
}

// dual is sup ⟨g, θ⟩/R(θ) near θ = 0: the λ from which on 0 is stationary. Of ‖θ‖²
// there is none.
func (r *regularizer) dual(g []float64) (float64, string) {
	switch r.kind {
	case GroupLasso:
		top := 0.0
		for k, l := range r.lengths(g) {
			top = max(top, l/r.root[k])
		}
		return top, "the largest ‖g(0)_g‖/√|g|"
	case ElasticNet:
		return largest(g) / r.alpha, fmt.Sprintf("‖g(0)‖_∞/α with α = %g", r.alpha)
	}
	return largest(g), "‖g(0)‖_∞"
}

// prox writes argmin ½‖y − x‖² + t·R(y) to x.
func (r *regularizer) prox(x []float64, t float64) {
	switch r.kind {
	case L2:
		scaleTo(x, 1/(1+2*t), x)
	case GroupLasso:
		norms := r.lengths(x)
		for i := range x {
			k := r.group[i]
			x[i] *= max(0, 1-t*r.root[k]/max(norms[k], math.SmallestNonzeroFloat64))
		}
	case L1:
		soften(x, t)
	case ElasticNet:
		soften(x, t*r.alpha)
		scaleTo(x, 1/(1+2*t*(1-r.alpha)), x)
	}
}

// soften is the soft threshold.
func soften(x []float64, t float64) {
	for i, v := range x {
		x[i] = math.Copysign(max(0, math.Abs(v)-t), v)
	}
}

// chainBound is sup min(C·Π‖W_l‖_F, drop)/R(θ), with drop = L(0) − L̲. Both sides meet
// where the product is drop/C; nearer to 0 the quotient is smaller for two layers
// and more, and farther it is too.
//
//	‖θ‖²   Π‖W_l‖_F ≤ (‖θ‖²/L)^(L/2)
//	‖θ‖₁   Π‖W_l‖_F ≤ Π‖W_l‖₁ ≤ (‖θ‖₁/L)^L
//	groups Σ √|g|·‖θ_g‖ ≥ Σ √m_l·‖W_l‖_F with m_l the least |g| in layer l
func (r *regularizer) chainBound(f *Objective, b DropBound, drop float64) float64 {
	if b.C == 0 || drop <= 0 {
		return 0
	}
	layers := float64(b.Layers)
	product := math.Pow(drop/b.C, 1/layers) // its L-th root where both sides meet
	ridge := func() float64 {
		switch b.Layers {
		case 1:
			return math.Inf(1)
		case 2:
			return b.C / 2
		}
		return drop / (layers * product * product)
	}
	lasso := func(c float64) float64 {
		if b.Layers == 1 {
			return c
		}
		return drop / (layers * math.Pow(drop/c, 1/layers))
	}
	switch r.kind {
	case L2:
		return ridge()
	case ElasticNet:
		least := lasso(b.C) / r.alpha
		if r.alpha < 1 {
			least = min(least, ridge()/(1-r.alpha))
		}
		if b.Layers > 1 {
			// ‖θ‖₁ ≥ ‖θ‖₂ = √L·product where both sides meet.
			norm := math.Sqrt(layers) * product
			least = min(least, drop/(r.alpha*norm+(1-r.alpha)*norm*norm))
		}
		return least
	case GroupLasso:
		c := b.C
		for _, w := range f.Form().chain {
			c /= r.leastRoot(f, w.Name)
		}
		return lasso(c)
	}
	return lasso(b.C)
}

// leastRoot is the least √|g| of a parameter's groups.
func (r *regularizer) leastRoot(f *Objective, name string) float64 {
	least := math.Inf(1)
	for _, b := range f.blocks {
		if b.Name != name {
			continue
		}
		for _, k := range r.group[b.At : b.At+b.Len] {
			least = min(least, r.root[k])
		}
	}
	return least
}
