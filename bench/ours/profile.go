package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/internal/kernel"
)

// profile prints what the steps of a model take, slowest first, after the kinds
// of nodes.
func profile(path string, pool *kernel.Pool) error {
	p, err := compiled(path, pool)
	if err != nil {
		return err
	}
	const runs = 11
	steps, err := engine.Profile(context.Background(), p, runs)
	if err != nil {
		return err
	}
	return printProfile(steps)
}

func printProfile(steps []engine.StepTime) error {
	kinds := make(map[string]time.Duration)
	var total time.Duration
	for _, s := range steps {
		kinds[s.Kind] += s.Median
		total += s.Median
	}
	var names []string
	for name := range kinds {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return int(kinds[b] - kinds[a]) })
	fmt.Printf("%d steps, %v\n", len(steps), total)
	for _, name := range names {
		fmt.Printf("%10v  %s\n", kinds[name], name)
	}
	slices.SortStableFunc(steps, func(a, b engine.StepTime) int { return int(b.Median - a.Median) })
	fmt.Println()
	for _, s := range steps {
		fmt.Printf("%10v  %s\n", s.Median, s.Step)
	}
	return nil
}
