package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
	"github.com/compactify/compactify/train"
)

// secondOrder measures how many gradients of the mean cross-entropy of a LeNet-5
// on one batch a Hessian-vector product costs: the ratio of the median times of
// both, run in turn.
func secondOrder(work string, batch int, pool *kernel.Pool, least time.Duration) (float64, error) {
	g, loss, weights, err := lossOf(strings.TrimPrefix(work, "hvp-"))
	if err != nil {
		return 0, err
	}
	gradient, err := engine.Gradient(g, loss, weights)
	if err != nil {
		return 0, err
	}
	product, err := engine.HessianVector(g, loss, weights)
	if err != nil {
		return 0, err
	}
	var runs [2]func() error
	for i, d := range []*graph.Graph{gradient, product} {
		if runs[i], err = runner(d, batch, pool); err != nil {
			return 0, err
		}
	}
	var times [2][]time.Duration
	warm := time.Now().Add(least / 4)
	for start := time.Now(); time.Since(start) < least+least/4; {
		for i, run := range runs {
			began := time.Now()
			if err := run(); err != nil {
				return 0, err
			}
			if began.After(warm) {
				times[i] = append(times[i], time.Since(began))
			}
		}
	}
	return median(times[1]).Seconds() / median(times[0]).Seconds(), nil
}

func median(list []time.Duration) time.Duration {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return list[len(list)/2]
}

// lossOf is a network with the mean cross-entropy of its logits as its output.
func lossOf(arch string) (g *graph.Graph, loss *graph.Value, weights []*graph.Value, err error) {
	n, ok := networks[arch]
	if !ok {
		return nil, nil, nil, fmt.Errorf("architecture %q: unknown", arch)
	}
	if g, err = train.NewModel(n.arch, n.image, 10, 1); err != nil {
		return nil, nil, nil, err
	}
	b := graph.NewBuilder(g, "loss_")
	logits := g.Outputs[0]
	loss = b.Op("compactify.SoftmaxCrossEntropy", logits, b.Input("target", logits.Type))
	g.Outputs = []*graph.Value{loss}
	for _, p := range g.Params {
		if p.Type.DType.IsFloat() {
			weights = append(weights, p.Value)
		}
	}
	return g, loss, weights, b.Err()
}

// runner compiles a graph and runs it on inputs of its own.
func runner(g *graph.Graph, batch int, pool *kernel.Pool) (func() error, error) {
	p, err := engine.Compile(g, engine.Options{Dims: map[string]int{g.Inputs[0].Type.Shape[0].Name: batch}, Pool: pool, Mutable: g.Params})
	if err != nil {
		return nil, err
	}
	in := make([]tensor.Tensor, len(p.Inputs()))
	for i, t := range p.Inputs() {
		sizes, ok := t.Static()
		if !ok {
			return nil, fmt.Errorf("input %d: got %v, want known sizes", i, t)
		}
		in[i] = tensor.New(t.DType, sizes...)
		for k := range in[i].Len() {
			in[i].Set(k, float64(k%29)/29)
		}
	}
	out := make([]tensor.Tensor, len(p.Outputs()))
	return func() error { return p.Run(context.Background(), in, out) }, nil
}
