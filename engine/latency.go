package engine

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/compactify/compactify/tensor"
)

// Latency is how long single runs of a program take.
type Latency struct {
	Median   time.Duration
	Low      time.Duration // with High, a 95 % confidence interval of the median
	High     time.Duration
	Runs     int
	WarmUps  int
	Allotted time.Duration // what the timed runs took together
}

// How many runs a [Latency] rests on, and how many come before, however long they
// take.
const (
	leastRuns    = 3
	leastWarmUps = 1
)

// MeasureLatency times runs of p on [Example] inputs: first runs that are not
// counted, for a quarter of the given time, then at least 3 and as many as fit
// in that time.
//
// The interval is that of order statistics, which assumes nothing of how times
// are distributed: the true median lies between the sorted times of ranks
// n/2 ± 0.98·√n with a probability of 95 %. Source: W. J. Conover, "Practical
// nonparametric statistics", 3rd edition 1999, section 3.2.
func MeasureLatency(ctx context.Context, p *Program, budget time.Duration) (Latency, error) {
	in, err := examples(p.Inputs())
	if err != nil {
		return Latency{}, err
	}
	out := make([]tensor.Tensor, len(p.outputs))
	var l Latency
	for start := time.Now(); l.WarmUps < leastWarmUps || time.Since(start) < budget/4; l.WarmUps++ {
		if err := p.Run(ctx, in, out); err != nil {
			return l, err
		}
	}
	times := make([]time.Duration, 0, leastRuns)
	for l.Allotted < budget || len(times) < leastRuns {
		start := time.Now()
		if err := p.Run(ctx, in, out); err != nil {
			return l, err
		}
		times = append(times, time.Since(start))
		l.Allotted += times[len(times)-1]
	}
	slices.Sort(times)
	n := len(times)
	half := 0.98 * math.Sqrt(float64(n))
	l.Runs = n
	l.Median = times[n/2]
	l.Low = times[max(0, int(math.Floor(float64(n)/2-half)))]
	l.High = times[min(n-1, int(math.Ceil(float64(n)/2+half)))]
	return l, nil
}

// examples is an [Example] of each type.
func examples(types []tensor.Type) ([]tensor.Tensor, error) {
	list := make([]tensor.Tensor, len(types))
	for i, t := range types {
		x, err := Example(t)
		if err != nil {
			return nil, err
		}
		list[i] = x
	}
	return list, nil
}

func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}

// Example fills a tensor with numbers to time or to try a program on: floats
// follow a sine wave, integers count from 0 to 15 over and over. Unknown sizes
// are 1; a type without a shape is an error.
func Example(t tensor.Type) (tensor.Tensor, error) {
	if !t.Ranked() {
		return tensor.Tensor{}, fmt.Errorf("example: got %v, want a number of dimensions", t)
	}
	shape := make([]int, t.Rank())
	for i, d := range t.Shape {
		shape[i] = 1
		if d.Known() {
			shape[i] = d.Size
		}
	}
	x, err := NewTensor(t.DType, shape...)
	if err != nil || t.DType == tensor.String {
		return x, err
	}
	for i := range x.Len() {
		if t.DType.IsFloat() {
			x.Set(i, math.Sin(0.37*float64(i)))
		} else {
			x.Set(i, float64(i%16))
		}
	}
	return x, nil
}
