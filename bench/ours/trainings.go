package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/train"
)

// compared are two ways to train a network.
type compared struct {
	arch   string
	epochs int                  // that take about a second or two
	extra  func(*train.Options) // what the second has over the first
}

// trainingWorks are the comparisons, by name.
var trainingWorks = map[string]compared{
	"monitor-lenet-300-100": {"lenet-300-100", 4, func(o *train.Options) { o.Monitor = &train.Monitor{} }},
	"monitor-lenet5":        {"lenet5", 1, func(o *train.Options) { o.Monitor = &train.Monitor{} }},
	"dropout-lenet-300-100": {"lenet-300-100", 4, func(o *train.Options) { o.Dropout = train.Dropout{Hidden: 0.5} }},
	"dropout-lenet5":        {"lenet5", 1, func(o *train.Options) { o.Dropout = train.Dropout{Hidden: 0.5} }},
}

// compareTrainings trains a network over and over, without and with the extra in turn,
// and writes the medians of both in seconds and the ratio of the medians. What is timed is from the first step's end to the last one's: data, compilation and
// what a run judges at its end are not. An unmeasured run of each goes before.
func compareTrainings(c compared, path string, batch, repeats int, pool *kernel.Pool) error {
	source, err := data.Open(path, data.Options{Seed: 1})
	if err != nil {
		return err
	}
	var times [2][]float64
	for k := range 2 * (repeats + 1) {
		o := train.Options{Epochs: c.epochs, Batch: batch, Seed: 1, Pool: pool}
		if k%2 == 1 {
			c.extra(&o)
		}
		took, err := steps(c.arch, source.Train, o)
		if err != nil {
			return err
		}
		if k >= 2 {
			times[k%2] = append(times[k%2], took)
		}
	}
	for i := range times {
		slices.Sort(times[i])
	}
	without, with := times[0][repeats/2], times[1][repeats/2]
	fmt.Printf("%.4g %.4g %.4f\n", without, with, with/without)
	return nil
}

// steps trains and returns the seconds from the end of the first step to that of the
// last.
func steps(arch string, set *data.Set, o train.Options) (float64, error) {
	g, err := train.NewModel(arch, []int{1, 28, 28}, set.Classes(), 1)
	if err != nil {
		return 0, err
	}
	var first, last time.Time
	o.Step = func(float64) {
		last = time.Now()
		if first.IsZero() {
			first = last
		}
	}
	_, _, err = train.Run(context.Background(), g, set, o)
	return last.Sub(first).Seconds(), err
}
