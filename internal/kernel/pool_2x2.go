package kernel

// Max-pooling of windows of 2×2 that lie side by side, as most networks have it,
// remembers a byte per window, and its gradient writes every element once.

// MaxPool2x2 computes the maximum of each window of planes [h, w], of which an odd
// last row or column is left out, and which of its four elements it was, counted
// along rows. Ties and NaNs are as in [MaxPool].
//
//	x [planes, h, w],  y, pick [planes, h/2, w/2]
func MaxPool2x2[T Float](p *Pool, planes, h, w int, x, y []T, pick []byte) {
	r := newQuarters(p, "max pool 2×2", planes, h, w, x, y, pick)
	r.run(r.pickBody)
}

// MaxPool2x2Grad computes the gradient of [MaxPool2x2]'s x from that of its y. dx
// is overwritten.
func MaxPool2x2Grad[T Float](p *Pool, planes, h, w int, dy []T, pick []byte, dx []T) {
	r := newQuarters(p, "gradient of max pool 2×2", planes, h, w, dx, dy, pick)
	r.run(r.spreadBody)
}

// quarters is one such pooling in progress.
type quarters[T Float] struct {
	pool         *Pool
	planes, h, w int
	x, y         []T
	pick         []byte

	pickBody, spreadBody func(worker, lo, hi int)
}

var (
	quarters32 freeList[quarters[float32]]
	quarters64 freeList[quarters[float64]]
)

func quartersOf[T Float]() *freeList[quarters[T]] {
	if l, ok := any(&quarters32).(*freeList[quarters[T]]); ok {
		return l
	}
	return any(&quarters64).(*freeList[quarters[T]])
}

func newQuarters[T Float](p *Pool, op string, planes, h, w int, x, y []T, pick []byte) *quarters[T] {
	out := planes * (h / 2) * (w / 2)
	checkLen(op, "x", len(x), planes*h*w)
	checkLen(op, "y", len(y), out)
	checkLen(op, "pick", len(pick), out)
	r := quartersOf[T]().get()
	if r.pickBody == nil {
		r.pickBody, r.spreadBody = r.pickPlanes, r.spreadPlanes
	}
	r.pool, r.planes, r.h, r.w, r.x, r.y, r.pick = p, planes, h, w, x, y, pick
	return r
}

// run spreads the planes and gives r back.
func (r *quarters[T]) run(body func(worker, lo, hi int)) {
	err := r.pool.For(r.planes, 1+minPacked/max(1, r.h*r.w), body)
	r.pool, r.x, r.y, r.pick = nil, nil, nil, nil
	quartersOf[T]().put(r)
	if err != nil {
		panic(err)
	}
}

// plane is plane i of x, y and pick.
func (r *quarters[T]) plane(i int) (x, y []T, pick []byte) {
	in, out := r.h*r.w, (r.h/2)*(r.w/2)
	return r.x[i*in:][:in], r.y[i*out:][:out], r.pick[i*out:][:out]
}

func (r *quarters[T]) pickPlanes(_, lo, hi int) {
	for i := lo; i < hi; i++ {
		x, y, pick := r.plane(i)
		if xs, ok := any(x).([]float32); ok && pickBulk(r.pool.set, r.h/2, r.w, xs, any(y).([]float32), pick) {
			continue
		}
		n := r.w / 2
		for a := range r.h / 2 {
			pickRow(y[a*n:][:n], pick[a*n:][:n], x[2*a*r.w:][:r.w], x[(2*a+1)*r.w:][:r.w])
		}
	}
}

// pickRow pools two rows into one.
func pickRow[T Float](y []T, pick []byte, upper, lower []T) {
	for j := range y {
		best, at := upper[2*j], byte(0)
		if v := upper[2*j+1]; v > best || v != v {
			best, at = v, 1
		}
		if v := lower[2*j]; v > best || v != v {
			best, at = v, 2
		}
		if v := lower[2*j+1]; v > best || v != v {
			best, at = v, 3
		}
		y[j], pick[j] = best, at
	}
}

func (r *quarters[T]) spreadPlanes(_, lo, hi int) {
	for i := lo; i < hi; i++ {
		dx, dy, pick := r.plane(i)
		if r.w%2 == 1 {
			for at := r.w - 1; at < len(dx); at += r.w {
				dx[at] = 0
			}
		}
		if r.h%2 == 1 {
			clear(dx[(r.h-1)*r.w:])
		}
		if xs, ok := any(dx).([]float32); ok && spreadBulk(r.pool.set, r.h/2, r.w, any(dy).([]float32), pick, xs) {
			continue
		}
		n := r.w / 2
		for a := range r.h / 2 {
			spreadRow(dy[a*n:][:n], pick[a*n:][:n], dx[2*a*r.w:][:r.w], dx[(2*a+1)*r.w:][:r.w])
		}
	}
}

// spreadRow is the adjoint of pickRow.
func spreadRow[T Float](dy []T, pick []byte, upper, lower []T) {
	for j, d := range dy {
		window := [4]T{}
		window[pick[j]&3] = d
		upper[2*j], upper[2*j+1], lower[2*j], lower[2*j+1] = window[0], window[1], window[2], window[3]
	}
}
