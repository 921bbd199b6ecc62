package separation

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"

	"github.com/compactify/compactify/internal/rational"
)

// decision is what is known of the points so far: a direction with n_i·v > 0 for all
// rows but those in tied, for which it is 0.
type decision struct {
	lattice
	ctx     context.Context
	largest []int   // exponents of the coordinates in double precision
	budget  float64 // of products of words
	work    float64 // of it that is left

	direction []*big.Int // nil: none yet
	tied      []int
}

func newDecision(ctx context.Context, p *Points, o Options) *decision {
	largest, least := p.exponents()
	d := &decision{lattice: lattice{p, least}, ctx: ctx, largest: largest, budget: o.Work, work: o.Work, tied: make([]int, len(p.Rows))}
	for i := range d.tied {
		d.tied[i] = i
	}
	return d
}

func (d *decision) limit() rational.Limit {
	return rational.Limit{Work: d.budget, Check: d.ctx.Err}
}

// decide looks for a direction with all rows on its right side, and if there is none
// for directions that have some there and none on the wrong side, until weights prove
// that there are no more.
func (d *decision) decide() (*Result, error) {
	found, err := d.strict()
	switch {
	case errors.Is(err, ErrTooLarge):
		return d.undecided(err), nil
	case err != nil:
		return nil, err
	case found:
		return d.result(nil, nil), nil
	}
	for {
		if err := d.ctx.Err(); err != nil {
			return nil, err
		}
		if d.coordinates() {
			continue
		}
		extra, weights, v, err := d.alternative()
		if errors.Is(err, rational.ErrTooLarge) || errors.Is(err, ErrTooLarge) {
			return d.undecided(err), nil
		}
		if err != nil {
			return nil, err
		}
		if v == nil {
			return d.result(extra, weights), nil
		}
		if err := d.follow(v); err != nil {
			return d.undecided(err), nil
		}
		if len(d.tied) == 0 {
			return d.result(nil, nil), nil
		}
	}
}

// strict looks in double precision for a direction that is right on all rows: minus the
// point of the convex hull that is nearest to 0.
func (d *decision) strict() (bool, error) {
	rows := d.scaled(d.tied, d.largest)
	target := make([]float64, d.size()+1)
	target[d.size()] = 1
	l := newNonnegative(rows, d.size(), 1, target, d.ctx.Err)
	const clear = 1e-8 // of |r|, by which all points are on one side: no need to go on
	l.enough = func(products []float64) bool {
		return slices.Max(products) < -clear*length(l.rest[:d.size()])
	}
	if zero, err := l.run(); zero || err != nil {
		return false, err
	}
	u := slices.Clone(l.rest[:d.size()])
	for j := range u {
		u[j] = -u[j]
	}
	for _, digits := range []int{24, 53} {
		v := d.round(u, d.largest, digits)
		positive, _, ok := partition(d.tied, d.signs(d.tied, v))
		if ok && len(positive) == len(d.tied) {
			d.direction, d.tied = v, nil
			return true, nil
		}
	}
	return false, nil
}

// coordinates follows all axes along which no tied row is on the wrong side; it reports
// whether there are any.
func (d *decision) coordinates() bool {
	const both = 3
	seen := make([]byte, d.size())
	for _, i := range d.tied {
		d.each(i, func(j int, z float64) {
			if z > 0 {
				seen[j] |= 1
			} else {
				seen[j] |= 2
			}
		})
	}
	v, found := make([]*big.Int, d.size()), false
	for j, s := range seen {
		v[j] = new(big.Int)
		if s == 0 || s == both {
			continue
		}
		found = true
		// About 1 in the coordinates of doubles.
		v[j].Lsh(big.NewInt(1), uint(max(0, d.exp[j]-d.largest[j]-slices.Min(d.exp)+slices.Max(d.largest))))
		if s == 2 {
			v[j].Neg(v[j])
		}
	}
	return found && d.follow(primitive(v)) == nil
}

// follow adds a direction that is right on some tied rows and wrong on none.
func (d *decision) follow(v []*big.Int) error {
	free, tied, ok := partition(d.tied, d.signs(d.tied, v))
	if !ok || len(free) == 0 {
		return errors.New("a direction that was found did not stand the check")
	}
	if d.direction == nil {
		d.direction, d.tied = v, tied
		return nil
	}
	in := make([]bool, len(d.Rows))
	for _, i := range d.tied {
		in[i] = true
	}
	var before []int
	for i := range in {
		if !in[i] {
			before = append(before, i)
		}
	}
	// The direction so far counts so much more that no row gets worse.
	for shift := uint(4); shift < 1<<16; shift *= 2 {
		both := make([]*big.Int, len(v))
		for j := range both {
			both[j] = new(big.Int).Lsh(d.direction[j], shift)
			both[j].Add(both[j], v[j])
		}
		positive, _, ok := partition(before, d.signs(before, both))
		if ok && len(positive) == len(before) {
			d.direction, d.tied = primitive(both), tied
			return nil
		}
	}
	return fmt.Errorf("a sum of directions: %w", ErrTooLarge)
}

// alternative is either weights ≥ 0 of some tied rows that, added to 1 for all of them,
// make their vectors add up to 0, or a direction v that is right on some tied rows and
// wrong on none.
func (d *decision) alternative() (extra []int, weights []*big.Rat, v []*big.Int, err error) {
	sum := d.sum(d.tied)
	if allZero(sum) {
		return nil, nil, nil, nil
	}
	rows := d.scaled(d.tied, d.largest)
	l := newNonnegative(rows, d.size(), 0, d.target(sum), d.ctx.Err)
	zero, err := l.run()
	if err != nil {
		return nil, nil, nil, err
	}
	basis := make([]int, len(l.passive))
	for k, i := range l.passive {
		basis[k] = d.tied[i]
	}
	s := &simplex{decision: d, sum: sum, basis: basis}
	if !zero {
		u := slices.Clone(l.rest)
		for j := range u {
			u[j] = -u[j]
		}
		if v, err := s.direction(u); v != nil || err != nil {
			return nil, nil, v, err
		}
	}
	return s.run()
}

// target is −sum in double precision, as a vector of length 1.
func (d *decision) target(sum []*big.Int) []float64 {
	top := math.MinInt
	for j, x := range sum {
		if x.Sign() != 0 {
			top = max(top, x.BitLen()+d.exp[j]-d.largest[j])
		}
	}
	out := make([]float64, len(sum))
	for j, x := range sum {
		f := new(big.Float).SetInt(x)
		f.SetMantExp(f, d.exp[j]-d.largest[j]-top)
		out[j], _ = f.Neg(f).Float64()
	}
	whole := length(out)
	for j := range out {
		out[j] /= whole
	}
	return out
}

func allZero(v []*big.Int) bool {
	return !slices.ContainsFunc(v, func(x *big.Int) bool { return x.Sign() != 0 })
}

func (d *decision) result(extra []int, weights []*big.Rat) *Result {
	r := &Result{Kind: QuasiSeparable, Tied: d.tied, Extra: extra, Weights: weights}
	switch {
	case len(d.tied) == 0:
		r.Kind = Separable
	case d.direction == nil:
		r.Kind = Overlapping
	}
	d.describe(r)
	return r
}

func (d *decision) describe(r *Result) {
	if d.direction == nil {
		return
	}
	r.Direction = d.fractions(d.direction)
	r.Float, _ = d.doubles(d.direction)
}

func (d *decision) undecided(why error) *Result {
	r := &Result{Kind: Undecided, Tied: d.tied, Reached: why.Error()}
	d.describe(r)
	return r
}
