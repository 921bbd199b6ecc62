package kernel

import "math"

// Reductions add element i of a block into lane i mod laneCount, fold the lanes
// by halves, and add the blocks up in order, in float64; less than laneCount
// elements are added in order. The order depends on the length alone, so that
// results do not depend on threads or set.
const (
	laneCount = stride
	blockSize = 1 << 13
)

// Sum returns Σ x[i], 0 if x is empty. Its error is at most about
// (len/32 + 6)·eps·Σ|x| for lengths up to 8192 and no worse beyond.
func Sum[T Float](p *Pool, x []T) T { return reduce(p, blocksSum, x, nil) }

// Dot returns Σ x[i]·y[i], products rounded before they are added.
func Dot[T Float](p *Pool, x, y []T) T {
	checkLength("y", len(y), len(x))
	return reduce(p, blocksDot, x, y)
}

// Max returns the largest element; NaNs are passed over. It returns −Inf if
// there is none.
func Max[T Float](p *Pool, x []T) T { return reduce(p, blocksMax, x, nil) }

func reduce[T Float](p *Pool, op opcode, x, y []T) T {
	j := newJob[T](p, op)
	j.x, j.y = x, y
	n := ceilDiv(len(x), blockSize)
	j.partials = grow(j.partials, n)
	j.spread(n, 2)
	var sum float64
	largest := T(math.Inf(-1))
	for _, v := range j.partials {
		sum += float64(v)
		largest = max(largest, v)
	}
	j.free()
	if op == blocksMax {
		return largest
	}
	return T(sum)
}

// blocks reduces blocks [lo, hi).
func (j *job[T]) blocks(worker, lo, hi int) {
	op := opSumLanes + (j.op - blocksSum)
	for b := lo; b < hi; b++ {
		i, end := b*blockSize, min((b+1)*blockSize, len(j.x))
		j.partials[b] = j.fold(worker, op, j.x[i:end], cut(j.y, i, end))
	}
}

// fold reduces one run of elements by way of worker's lanes; a run that does not
// fill them once, in order.
func (j *job[T]) fold(worker int, op opcode, x, y []T) T {
	if len(x) < laneCount {
		return foldShort(op, x, y)
	}
	lanes := &j.lanes[worker]
	resetLanes(lanes, op)
	j.gather(lanes, op, x, y)
	return foldLanes(lanes, op)
}

func foldShort[T Float](op opcode, x, y []T) T {
	var sum T
	switch op {
	case opSumLanes:
		for _, v := range x {
			sum += v
		}
	case opDotLanes:
		for i, v := range x {
			sum += T(v * y[i])
		}
	default:
		sum = T(math.Inf(-1))
		for _, v := range x {
			if v > sum {
				sum = v
			}
		}
	}
	return sum
}

func resetLanes[T Float](lanes *[laneCount]T, op opcode) {
	if op != opMaxLanes {
		clear(lanes[:])
		return
	}
	for i := range lanes {
		lanes[i] = T(math.Inf(-1))
	}
}

// gather adds a run that starts at lane 0.
func (j *job[T]) gather(lanes *[laneCount]T, op opcode, x, y []T) {
	n := bulk(j.pool.set, op, lanes[:], x, y, nil, &j.factors)
	x, y = x[n:], cut(y, n, len(y))
	for len(x) > 0 {
		w := min(len(x), laneCount)
		switch op {
		case opSumLanes:
			for i, v := range x[:w] {
				lanes[i] += v
			}
		case opDotLanes:
			for i, v := range x[:w] {
				lanes[i] += T(v * y[i])
			}
			y = y[w:]
		default:
			for i, v := range x[:w] {
				if v > lanes[i] {
					lanes[i] = v
				}
			}
		}
		x = x[w:]
	}
}

func foldLanes[T Float](lanes *[laneCount]T, op opcode) T {
	for half := laneCount / 2; half > 0; half /= 2 {
		low, high := lanes[:half], lanes[half:2*half]
		if op == opMaxLanes {
			for i, v := range high {
				if v > low[i] {
					low[i] = v
				}
			}
			continue
		}
		for i, v := range high {
			low[i] += v
		}
	}
	return lanes[0]
}
