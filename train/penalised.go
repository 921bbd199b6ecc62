package train

import (
	"context"
	"fmt"
	"math"

	"github.com/compactify/compactify/tensor"
)

// penalised is L + λ‖θ‖², an objective that has derivatives wherever L has them.
type penalised struct {
	*Objective
	lambda float64
}

func (r *penalised) Gradient(ctx context.Context, x, g []float64) (float64, error) {
	loss, err := r.Objective.Gradient(ctx, x, g)
	for i, v := range x {
		g[i] += 2 * r.lambda * v
	}
	return loss + r.lambda*dot(x, x), err
}

func (r *penalised) HessianVector(ctx context.Context, x, v, hv []float64) error {
	err := r.Objective.HessianVector(ctx, x, v, hv)
	for i, e := range v {
		hv[i] += 2 * r.lambda * e
	}
	return err
}

// smoothStrengths are the λ's of the epochs, of penalties that are all λ‖θ‖². It says why if
// others are among them: what, a method, wants a gradient of all that it minimises.
func smoothStrengths(what string, penalties []Penalty, epochs int) ([]float64, error) {
	for _, p := range penalties {
		if err := p.check(); err != nil {
			return nil, err
		}
		switch p.Kind {
		case L2:
		case MaxNorm:
			return nil, fmt.Errorf("%s with the penalty %s: it is a constraint, whose edge has no gradient: want %s", what, p.Kind, L2)
		default:
			return nil, fmt.Errorf("%s with the penalty %s: it has no gradient where weights are zero: want %s", what, p.Kind, L2)
		}
	}
	list := make([]float64, epochs)
	for e := range list {
		list[e] = strengthsAt(penalties, e, epochs).l2
	}
	return list, nil
}

// score is the mean loss at x and the share of right answers, NaN without classes.
func (f *Objective) score(ctx context.Context, x []float64) (loss, metric float64, err error) {
	hits, at := 0, 0
	err = f.each(ctx, "loss", x, nil, func(out []tensor.Tensor, size int) {
		loss += out[0].At(0) * float64(size)
		answers := out[1].Float64s()
		k := len(answers) / size
		for i := range size {
			if f.set.Classes() > 0 && topOf(answers[i*k:(i+1)*k]) == f.set.Label(at+i) {
				hits++
			}
		}
		at += size
	})
	n := float64(f.set.Len())
	if metric = float64(hits) / n; f.set.Classes() == 0 {
		metric = math.NaN()
	}
	return loss / n, metric, err
}

// topOf is [TopClass] for float64.
func topOf(row []float64) int {
	best := 0
	for k, v := range row {
		if v > row[best] {
			best = k
		}
	}
	return best
}

// zerosIn counts the elements that are exactly zero.
func zerosIn(x []float64) int {
	n := 0
	for _, v := range x {
		if v == 0 {
			n++
		}
	}
	return n
}

// precision is the relative rounding error of the objective's values.
func (f *Objective) precision() float64 {
	if f.o.Double {
		return 1e-14
	}
	return 1e-7
}

// turn is the angle between two vectors, NaN if one is 0; exact where it is small.
func turn(a, b []float64) float64 {
	na, nb, sum := length(a), length(b), 0.0
	if na == 0 || nb == 0 {
		return math.NaN()
	}
	for i, x := range a {
		d := x/na - b[i]/nb
		sum += d * d
	}
	return 2 * math.Asin(min(1, math.Sqrt(sum)/2))
}
