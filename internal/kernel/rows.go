package kernel

import "math"

// AddRow computes dst[i, j] ← x[i, j] + bias[j] for dense row-major matrices
// [rows, len(bias)]. dst may be x.
func AddRow[T Float](p *Pool, dst, x, bias []T, rows int) {
	rowLoop(p, rowsAdd, dst, x, bias, rows, len(bias))
}

// AddColumn computes dst[i, j] ← x[i, j] + bias[i mod len(bias)] for dense
// row-major matrices [rows, cols] whose rows are a multiple of len(bias): a bias
// per channel, channels first. dst may be x.
func AddColumn[T Float](p *Pool, dst, x, bias []T, cols int) {
	columnLoop(p, rowsAddColumn, dst, x, bias, cols)
}

// SubColumn computes dst[i, j] ← x[i, j] − y[i mod len(y)]; see [AddColumn].
func SubColumn[T Float](p *Pool, dst, x, y []T, cols int) {
	columnLoop(p, rowsSubColumn, dst, x, y, cols)
}

// MulColumn computes dst[i, j] ← x[i, j]·y[i mod len(y)]; see [AddColumn].
func MulColumn[T Float](p *Pool, dst, x, y []T, cols int) {
	columnLoop(p, rowsMulColumn, dst, x, y, cols)
}

func columnLoop[T Float](p *Pool, op opcode, dst, x, y []T, cols int) {
	rows := 0
	if len(x) > 0 {
		rows = len(x) / cols
		checkLength("rows past a multiple of len(y)", rows%len(y), 0)
	}
	rowLoop(p, op, dst, x, y, rows, cols)
}

// SumRows computes dst[i] ← Σ_j x[i, j], in the lane order of [Sum], for x
// [len(dst), cols].
func SumRows[T Float](p *Pool, dst, x []T, cols int) {
	checkSize("x", len(x), len(dst), cols)
	j := newJob[T](p, rowsSum)
	j.dst, j.x, j.rows, j.cols = dst, x, len(dst), cols
	j.run(len(dst), 1+(1<<14)/max(1, cols))
}

// SumColumns computes dst[j] ← Σ_i x[i, j], adding rows in order, for x
// [rows, len(dst)]: the gradient of the bias in [AddRow].
func SumColumns[T Float](p *Pool, dst, x []T, rows int) {
	checkSize("x", len(x), rows, len(dst))
	j := newJob[T](p, rowsSumColumns)
	j.dst, j.x, j.rows, j.cols = dst, x, rows, len(dst)
	j.run(len(dst), stride+(1<<14)/max(1, rows))
}

// Softmax computes dst[i, j] ← exp(x[i, j] − max_j x[i, j]) / Σ_j exp(…) for
// matrices [rows, cols]. dst may be x. A row of −Inf gives NaN.
func Softmax[T Float](p *Pool, dst, x []T, rows, cols int) {
	rowLoop(p, rowsSoftmax, dst, x, nil, rows, cols)
}

// LogSoftmax computes dst[i, j] ← x[i, j] − max_j x[i, j] − log Σ_j exp(x[i, j] −
// max_j x[i, j]) for matrices [rows, cols]. dst may be x.
func LogSoftmax[T Float](p *Pool, dst, x []T, rows, cols int) {
	rowLoop(p, rowsLogSoftmax, dst, x, nil, rows, cols)
}

func rowLoop[T Float](p *Pool, op opcode, dst, x, bias []T, rows, cols int) {
	checkSize("dst", len(dst), rows, cols)
	checkSize("x", len(x), rows, cols)
	if len(dst) == 0 {
		return
	}
	j := newJob[T](p, op)
	j.dst, j.x, j.y, j.rows, j.cols = dst, x, bias, rows, cols
	grain := 1 << 14
	if op >= rowsSoftmax {
		grain = 1 << 12
	}
	j.run(rows, 1+grain/cols)
}

// matrix runs a row loop on rows [lo, hi); sums of columns, on columns [lo, hi).
func (j *job[T]) matrix(worker, lo, hi int) {
	if j.op == rowsSumColumns {
		sum := j.dst[lo:hi]
		clear(sum)
		for i := range j.rows {
			elements(j.pool.set, opAdd, sum, sum, j.x[i*j.cols:][lo:hi], nil, &j.factors)
		}
		return
	}
	switch j.op {
	case rowsSoftmax:
		j.softmax(worker, lo, hi)
		return
	case rowsFakeQuantize:
		j.gridRows(worker, lo, hi)
		return
	case rowsFakeQuantizeGrad:
		j.gridGrad(worker, lo, hi)
		return
	}
	for i := lo; i < hi; i++ {
		x := j.x[i*j.cols:][:j.cols]
		switch j.op {
		case rowsAdd:
			elements(j.pool.set, opAdd, j.dst[i*j.cols:][:j.cols], x, j.y, nil, &j.factors)
		case rowsAddColumn:
			elements(j.pool.set, opAddScalar, j.dst[i*j.cols:][:j.cols], x, nil, nil, j.scalar(worker, j.y[i%len(j.y)]))
		case rowsSubColumn:
			elements(j.pool.set, opAddScalar, j.dst[i*j.cols:][:j.cols], x, nil, nil, j.scalar(worker, -j.y[i%len(j.y)]))
		case rowsMulColumn:
			elements(j.pool.set, opMulScalar, j.dst[i*j.cols:][:j.cols], x, nil, nil, j.scalar(worker, j.y[i%len(j.y)]))
		case rowsSum:
			j.dst[i] = j.fold(worker, opSumLanes, x, nil)
		case rowsLogSoftmax:
			j.logSoftmax(worker, j.dst[i*j.cols:][:j.cols], x)
		}
	}
}

// scalar puts s where worker's kernels read it.
func (j *job[T]) scalar(worker int, s T) *factors[T] {
	j.scalars[worker][0] = s
	return &j.scalars[worker]
}

// rowChunk is how much of a matrix softmax works on at a time: it stays in the
// first-level cache, and short rows share one run of the exponential.
const rowChunk = 2048

// rowGroup is how many rows softmax works on at a time: where it can, so many that
// they fill the assembly's stride.
func rowGroup(cols int) int {
	whole := 1
	for whole*cols%stride != 0 {
		whole *= 2
	}
	if whole*cols <= 4*rowChunk {
		return max(whole, rowChunk/cols/whole*whole)
	}
	return max(1, rowChunk/cols)
}

// softmax works on groups of rows.
func (j *job[T]) softmax(worker, lo, hi int) {
	group, set := rowGroup(j.cols), j.pool.set
	largest := Extremes[T]{op: opMax}
	var top [1]T
	var sum [1]float64
	for ; lo < hi; lo += group {
		end := min(lo+group, hi)
		all := j.dst[lo*j.cols : end*j.cols]
		for i := lo; i < end; i++ {
			x := j.x[i*j.cols:][:j.cols]
			largest.Rows(set, top[:], x, j.cols)
			elements(set, opAddScalar, j.dst[i*j.cols:][:j.cols], x, nil, nil, j.scalar(worker, -top[0]))
		}
		elements(set, opExp, all, all, nil, nil, &j.factors)
		for ; len(all) > 0; all = all[j.cols:] {
			row := all[:j.cols]
			RowSums(set, sum[:], row, j.cols)
			elements(set, opMulScalar, row, row, nil, nil, j.scalar(worker, T(1/sum[0])))
		}
	}
}

// center computes dst ← x − max x.
func (j *job[T]) center(worker int, dst, x []T) {
	top := j.fold(worker, opMaxLanes, x, nil)
	elements(j.pool.set, opAddScalar, dst, x, nil, nil, j.scalar(worker, -top))
}

func (j *job[T]) logSoftmax(worker int, dst, x []T) {
	j.center(worker, dst, x)
	exps := j.row[worker*rowChunk:][:rowChunk]
	lanes := &j.lanes[worker]
	resetLanes(lanes, opSumLanes)
	for i := 0; i < len(dst); i += rowChunk {
		part := exps[:min(rowChunk, len(dst)-i)]
		elements(j.pool.set, opExp, part, dst[i:][:len(part)], nil, nil, &j.factors)
		j.gather(lanes, opSumLanes, part, nil)
	}
	log := T(math.Log(float64(foldLanes(lanes, opSumLanes))))
	elements(j.pool.set, opAddScalar, dst, dst, nil, nil, j.scalar(worker, -log))
}
