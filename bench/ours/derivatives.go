package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
	"github.com/compactify/compactify/train"
)

// derivative measures gradients or Hessian-vector products of the mean
// cross-entropy of a network on one batch of 28×28 images, per second. Which
// one and of what network the work says: gradient, hvp, gradient-caffe and
// hvp-caffe, of the two LeNet-5s.
func derivative(work string, batch int, pool *kernel.Pool, least time.Duration) (float64, error) {
	arch := "lenet5"
	if strings.HasSuffix(work, "-caffe") {
		arch = "lenet5-caffe"
	}
	g, err := train.NewModel(arch, []int{1, 28, 28}, 10, 1)
	if err != nil {
		return 0, err
	}
	b := graph.NewBuilder(g, "loss_")
	logits := g.Outputs[0]
	loss := b.Op("compactify.SoftmaxCrossEntropy", logits, b.Input("target", logits.Type))
	g.Outputs = []*graph.Value{loss}
	if err := b.Err(); err != nil {
		return 0, err
	}
	var weights []*graph.Value
	for _, p := range g.Params {
		if p.Type.DType.IsFloat() {
			weights = append(weights, p.Value)
		}
	}
	extend := engine.Gradient
	if strings.HasPrefix(work, "hvp") {
		extend = engine.HessianVector
	}
	d, err := extend(g, loss, weights)
	if err != nil {
		return 0, err
	}
	p, err := engine.Compile(d, engine.Options{Dims: map[string]int{g.Inputs[0].Type.Shape[0].Name: batch}, Pool: pool, Mutable: d.Params})
	if err != nil {
		return 0, err
	}
	in := make([]tensor.Tensor, len(p.Inputs()))
	for i, t := range p.Inputs() {
		sizes, ok := t.Static()
		if !ok {
			return 0, fmt.Errorf("input %d: got %v, want known sizes", i, t)
		}
		in[i] = tensor.New(t.DType, sizes...)
		for k := range in[i].Len() {
			in[i].Set(k, float64(k%29)/29)
		}
	}
	out := make([]tensor.Tensor, len(p.Outputs()))
	return perSecond(least, func() error { return p.Run(context.Background(), in, out) })
}

// perSecond runs f for a quarter of the time to warm up, then counts.
func perSecond(least time.Duration, f func() error) (float64, error) {
	for start := time.Now(); time.Since(start) < least/4; {
		if err := f(); err != nil {
			return 0, err
		}
	}
	runs := 0
	start := time.Now()
	for time.Since(start) < least {
		if err := f(); err != nil {
			return 0, err
		}
		runs++
	}
	return float64(runs) / time.Since(start).Seconds(), nil
}
