package calculus

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/compactify/compactify/internal/stream"
)

// ErrNotFinite is wrapped when a function or a matrix gives a NaN or an infinity
// where a number is needed.
var ErrNotFinite = errors.New("not finite")

// Product writes A·v to av for a symmetric matrix A of order n; v and av have
// length n and do not overlap.
type Product func(ctx context.Context, v, av []float64) error

// HessianAt is the Hessian of f at x as a [Product]. It keeps x.
func HessianAt(f Curved, x []float64) Product {
	return func(ctx context.Context, v, av []float64) error { return f.HessianVector(ctx, x, v, av) }
}

// LanczosOptions are the settings of [Lanczos]. The zero value asks for nothing.
type LanczosOptions struct {
	Largest, Smallest int // how many eigenvalues of each end of the spectrum

	// Tolerance is the residual at which an eigenvalue counts as found, in units of
	// the largest |eigenvalue| seen; 0 means 1e-6.
	Tolerance float64

	// Products bounds the products with A; 0 means 500. Those that measure the
	// residuals in the end, one per eigenvalue, come on top.
	Products int

	// Basis bounds the vectors of length n kept at once; 0 means
	// max(32, 2·(Largest+Smallest)+16), and less than Largest+Smallest+4 counts
	// as that.
	Basis int

	Seed    uint64 // names the random start vectors
	Vectors bool   // return eigenvectors
}

// Eigenpair is an eigenvalue with its error.
type Eigenpair struct {
	Value float64

	// Bound is ‖A·v − Value·v‖ for the unit vector v found: A has an eigenvalue
	// within Bound of Value. It is measured with a product of its own, and so holds
	// whether the search converged or not.
	Bound float64

	Vector []float64 // unit length, nil unless asked for
}

// Spectrum is what [Lanczos] found.
type Spectrum struct {
	Largest  []Eigenpair // descending
	Smallest []Eigenpair // ascending
	Products int         // products with A, those for residuals included

	// Converged tells that the search ended because every eigenvalue asked for met
	// the tolerance, not because the products ran out. Eigenvalues of a search that
	// did not converge may not be the outermost; their bounds hold all the same.
	Converged bool
}

// Lanczos finds eigenvalues at the ends of the spectrum of a symmetric matrix of
// order n that is given by its products with vectors. No more than n eigenvalues
// of an end are returned.
//
// The start is random, from the stream (Seed, "calculus/lanczos"): the same
// input gives the same bits. Multiple eigenvalues are returned as often as they
// occur, as far as they were asked for: one sequence of Krylov spaces holds one
// vector of each eigenspace only, so where several values of an end are wanted
// the search is repeated in the orthogonal complement of what was found until
// that gives nothing further out.
//
// The error wraps [ErrNotFinite] if a product is not finite, the context's error
// if it was cancelled, and any error of the product.
//
// Source: thick restarts, K. Wu and H. Simon, "Thick-restart Lanczos method for
// large symmetric eigenvalue problems", SIAM J. Matrix Anal. Appl. 22 (2000),
// 602–616, with full reorthogonalisation; the residual bound, B. Parlett, "The
// symmetric eigenvalue problem", theorem 4.5.1.
func Lanczos(ctx context.Context, n int, a Product, o LanczosOptions) (*Spectrum, error) {
	if n < 1 || o.Largest < 0 || o.Smallest < 0 || !(o.Tolerance >= 0) {
		return nil, fmt.Errorf("lanczos on a matrix of order %d: got %d largest, %d smallest, tolerance %v: want an order of at least 1 and nothing negative",
			n, o.Largest, o.Smallest, o.Tolerance)
	}
	l := newLanczos(ctx, n, a, o)
	s, err := l.run()
	if err != nil {
		return nil, fmt.Errorf("lanczos on a matrix of order %d: product %d: %w", n, l.products, err)
	}
	return s, nil
}

// lanczos is one search.
type lanczos struct {
	ctx      context.Context
	a        Product
	n        int
	o        LanczosOptions
	products int
	random   *rand.Rand
	scale    float64 // the largest |Ritz value| seen

	locked []Eigenpair // found by earlier passes, with vectors; the basis is orthogonal to them
	free   [][]float64 // vectors to use again

	basis [][]float64 // orthonormal
	h     *symmetric  // basisᵀ·A·basis
	next  []float64   // what A·basis adds to the span: unit length unless beta is 0
	beta  float64
}

func newLanczos(ctx context.Context, n int, a Product, o LanczosOptions) *lanczos {
	if o.Tolerance == 0 {
		o.Tolerance = 1e-6
	}
	if o.Products <= 0 {
		o.Products = 500
	}
	o.Largest, o.Smallest = min(o.Largest, n), min(o.Smallest, n)
	if o.Basis <= 0 {
		o.Basis = max(32, 2*(o.Largest+o.Smallest)+16)
	}
	o.Basis = min(n, max(o.Basis, o.Largest+o.Smallest+4))
	return &lanczos{ctx: ctx, a: a, n: n, o: o, h: newSymmetric(o.Basis), random: stream.New(o.Seed, "calculus/lanczos", 0)}
}

func (l *lanczos) run() (*Spectrum, error) {
	s := &Spectrum{}
	if l.o.Largest+l.o.Smallest == 0 {
		s.Converged = true
		return s, nil
	}
	largest, smallest := l.o.Largest, l.o.Smallest
	for {
		found, converged, err := l.pass(largest, smallest)
		if err != nil {
			return nil, err
		}
		outer := l.lock(found)
		s.Converged = converged
		// One value of an end cannot hide behind another, and where nothing came
		// further out there is nothing more to find.
		largest, smallest = 0, 0
		if l.o.Largest > 1 && outer.largest {
			largest = 1
		}
		if l.o.Smallest > 1 && outer.smallest {
			smallest = 1
		}
		if !converged || largest+smallest == 0 || len(l.locked) == l.n {
			break
		}
	}
	s.Largest, s.Smallest = l.ends()
	s.Products = l.products
	return s, nil
}

// ends reads the result off the locked pairs, which stand in ascending order.
func (l *lanczos) ends() (largest, smallest []Eigenpair) {
	pairs := slices.Clone(l.locked)
	if !l.o.Vectors {
		for i := range pairs {
			pairs[i].Vector = nil
		}
	}
	smallest = slices.Clone(pairs[:min(l.o.Smallest, len(pairs))])
	slices.Reverse(pairs)
	return pairs[:min(l.o.Largest, len(pairs))], smallest
}

// outward tells at which ends a pass found something that belongs to the result.
type outward struct{ largest, smallest bool }

// lock adds what a pass found and drops what thereby is no longer wanted.
func (l *lanczos) lock(found []Eigenpair) outward {
	var out outward
	slack := l.o.Tolerance * l.scale
	if k := l.o.Largest; k > 0 {
		out.largest = len(l.locked) < k || slices.ContainsFunc(found, func(p Eigenpair) bool { return p.Value > l.locked[len(l.locked)-k].Value+slack })
	}
	if k := l.o.Smallest; k > 0 {
		out.smallest = len(l.locked) < k || slices.ContainsFunc(found, func(p Eigenpair) bool { return p.Value < l.locked[k-1].Value-slack })
	}
	l.locked = append(l.locked, found...)
	slices.SortStableFunc(l.locked, func(p, q Eigenpair) int {
		switch {
		case p.Value < q.Value:
			return -1
		case p.Value > q.Value:
			return 1
		}
		return 0
	})
	if lo, hi := l.o.Smallest, len(l.locked)-l.o.Largest; lo < hi {
		l.locked = slices.Delete(l.locked, lo, hi)
	}
	return out
}

// pass searches the orthogonal complement of what is locked, and measures the
// residuals of what it found.
func (l *lanczos) pass(largest, smallest int) (found []Eigenpair, converged bool, err error) {
	room := l.n - len(l.locked)
	l.recycle(l.basis)
	l.basis = nil
	if l.beta, err = 0, l.fresh(); err != nil {
		return nil, false, err
	}
	var (
		values    []float64
		vectors   [][]float64
		wanted    []int
		exhausted bool
	)
	for !converged && !exhausted && l.products < l.o.Products {
		if err := l.extend(room); err != nil {
			return nil, false, err
		}
		m := len(l.basis)
		exhausted = m == room
		full := m == min(l.o.Basis, room)
		if !full && m%4 != 0 && l.products < l.o.Products && l.beta > 0 {
			continue
		}
		values, vectors = l.h.leading(m).eigen()
		l.scale = max(l.scale, math.Abs(values[0]), math.Abs(values[m-1]))
		wanted = ends(m, largest, smallest)
		converged = m >= min(room, largest+smallest) && l.settled(vectors, wanted) || exhausted
		if full && !converged {
			l.restart(values, vectors, largest, smallest)
			vectors = nil
		}
	}
	if vectors == nil {
		_, vectors = l.h.leading(len(l.basis)).eigen()
		wanted = ends(len(l.basis), largest, smallest)
	}
	found, err = l.measure(vectors, wanted)
	return found, converged, err
}

// ends are the indices of the wanted ones among m values in ascending order.
func ends(m, largest, smallest int) []int {
	var at []int
	for i := range m {
		if i < smallest || i >= m-largest {
			at = append(at, i)
		}
	}
	return at
}

// settled tells whether the residuals of the wanted Ritz pairs meet the
// tolerance: A·y − θ·y = beta·s_m·next, with s_m the last entry of the Ritz
// vector in the basis. A beta of 0 settles them all: what grew from a random
// vector and is invariant holds a vector of every eigenspace.
func (l *lanczos) settled(vectors [][]float64, wanted []int) bool {
	for _, i := range wanted {
		s := vectors[i]
		if l.beta*math.Abs(s[len(s)-1]) > l.o.Tolerance*l.scale {
			return false
		}
	}
	return true
}

// extend adds one vector to the basis and its row to the projection.
func (l *lanczos) extend(room int) error {
	v := l.next
	l.next = nil
	l.basis = append(l.basis, v)
	w := l.vector()
	l.next = w
	if err := l.multiply(v, w); err != nil {
		return err
	}
	size := norm(w)
	m := len(l.basis)
	c := l.orthogonalise(w)
	for i := range m {
		l.h.set(i, m-1, c[i])
	}
	l.beta = norm(w)
	// What is left of an invariant subspace is rounding.
	if l.beta <= 1e-14*max(size, l.scale) {
		l.beta = 0
		if m < room {
			return l.fresh()
		}
		return nil
	}
	scale(w, 1/l.beta)
	return nil
}

func (l *lanczos) multiply(v, w []float64) error {
	if err := l.ctx.Err(); err != nil {
		return err
	}
	l.products++
	if err := l.a(l.ctx, v, w); err != nil {
		return err
	}
	if !finite(norm(w)) {
		return ErrNotFinite
	}
	return nil
}

// orthogonalise takes from w its parts along the locked vectors and the basis,
// and returns the latter: Gram and Schmidt twice, which is enough (Parlett,
// section 6.9, after W. Kahan).
func (l *lanczos) orthogonalise(w []float64) []float64 {
	c := make([]float64, len(l.basis))
	for range 2 {
		for _, p := range l.locked {
			addScaled(w, -dot(p.Vector, w), p.Vector)
		}
		for i, v := range l.basis {
			d := dot(v, w)
			addScaled(w, -d, v)
			c[i] += d
		}
	}
	return c
}

// fresh makes next a random unit vector orthogonal to all there is.
func (l *lanczos) fresh() error {
	if l.next == nil {
		l.next = l.vector()
	}
	w := l.next
	for range 10 {
		for i := range w {
			w[i] = l.random.NormFloat64()
		}
		size := norm(w)
		l.orthogonalise(w)
		if left := norm(w); left > 1e-8*size {
			scale(w, 1/left)
			l.orthogonalise(w)
			scale(w, 1/norm(w))
			return nil
		}
	}
	return errors.New("no random vector stands orthogonal to the basis")
}

// restart shrinks the basis to the Ritz vectors nearest to the wanted ends. The
// next vector stays: what A adds to the new basis lies along it, so its products
// with the new basis are found when it is multiplied.
func (l *lanczos) restart(values []float64, vectors [][]float64, largest, smallest int) {
	m := len(l.basis)
	spare := max(0, (m-largest-smallest)/2)
	extra := func(k int) int {
		if k == 0 {
			return 0
		}
		return k + spare*k/(largest+smallest)
	}
	kept := ends(m, extra(largest), extra(smallest))
	l.combine(vectors, kept)
	for i, at := range kept {
		for j := range i {
			l.h.set(i, j, 0)
		}
		l.h.set(i, i, values[at])
	}
}

// combine replaces the basis by its combinations, a stretch of coordinates at a
// time so that no second basis is needed.
func (l *lanczos) combine(vectors [][]float64, kept []int) {
	const stretch = 1024
	out := make([]float64, len(kept)*stretch)
	for at := 0; at < l.n; at += stretch {
		size := min(stretch, l.n-at)
		clear(out)
		for j, v := range l.basis {
			for i, k := range kept {
				addScaled(out[i*stretch:i*stretch+size], vectors[k][j], v[at:at+size])
			}
		}
		for i := range kept {
			copy(l.basis[i][at:at+size], out[i*stretch:i*stretch+size])
		}
	}
	l.recycle(l.basis[len(kept):])
	l.basis = l.basis[:len(kept)]
}

// measure makes the wanted Ritz vectors and takes their Rayleigh quotients and
// residuals by a product each.
func (l *lanczos) measure(vectors [][]float64, wanted []int) ([]Eigenpair, error) {
	var found []Eigenpair
	w := l.vector()
	for _, at := range wanted {
		y := l.vector()
		clear(y)
		for j, v := range l.basis {
			addScaled(y, vectors[at][j], v)
		}
		scale(y, 1/norm(y))
		if err := l.multiply(y, w); err != nil {
			return nil, err
		}
		value := dot(y, w)
		addScaled(w, -value, y)
		found = append(found, Eigenpair{Value: value, Bound: norm(w), Vector: y})
	}
	l.recycle([][]float64{w})
	return found, nil
}

func (l *lanczos) vector() []float64 {
	if k := len(l.free); k > 0 {
		v := l.free[k-1]
		l.free = l.free[:k-1]
		return v
	}
	return make([]float64, l.n)
}

func (l *lanczos) recycle(v [][]float64) { l.free = append(l.free, v...) }
