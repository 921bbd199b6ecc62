package compress

import (
	"context"
	"fmt"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/paths"
	"github.com/compactify/compactify/tensor"
)

// Calibration is what a model's activations were seen to be: a histogram of every
// value that 8-bit activations would round. Its size depends on the model alone.
type Calibration struct {
	Examples int
	values   []*graph.Value // in the order of the graph
	counts   map[string]*paths.Histogram
}

// watchedBytes is the most that the values of one batch may take while they are
// counted; larger ones are seen in smaller batches.
const watchedBytes = 64 << 20

// Calibrate runs examples through a model and counts its activations. They are
// seen batch by batch and not kept. The error names the node whose output is not
// finite. A nil pool is one thread.
func Calibrate(ctx context.Context, g *graph.Graph, set *data.Set, pool *kernel.Pool) (*Calibration, error) {
	watch, _ := g.Clone()
	c := &Calibration{Examples: set.Len(), values: paths.Activations(watch), counts: make(map[string]*paths.Histogram)}
	watch.Outputs = c.values
	for _, v := range c.values {
		c.counts[v.Name] = new(paths.Histogram)
	}
	if len(c.values) == 0 {
		return c, nil
	}
	r := &runner{g: watch, pool: pool, most: watchedBatch(watch)}
	bad := make([]error, len(c.values))
	err := r.eachBatch(ctx, set, func(out []tensor.Tensor, _, n, size int) error {
		err := pool.For(len(out), 1, func(_, lo, hi int) {
			for i := lo; i < hi; i++ {
				x := out[i].Float32s()
				bad[i] = c.counts[c.values[i].Name].Add(x[:len(x)/size*n])
			}
		})
		for i, v := range c.values {
			if err == nil && bad[i] != nil {
				err = fmt.Errorf("%s: %w", whereMade(watch, v), bad[i])
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("calibrate graph %q: %w", g.Name, err)
	}
	return c, nil
}

// watchedBatch is how many examples at once keep the outputs below
// [watchedBytes], and at least one.
func watchedBatch(g *graph.Graph) int {
	return max(1, watchedBytes/max(1, watchedPerExample(g)))
}

// watchedPerExample is the bytes of the outputs of one example.
func watchedPerExample(g *graph.Graph) int {
	total := 0
	for _, v := range g.Outputs {
		n := 4
		for i, d := range v.Type.Shape {
			if i > 0 && d.Known() {
				n *= d.Size
			}
		}
		total += n
	}
	return total
}

// whereMade names a value and the node that makes it.
func whereMade(g *graph.Graph, v *graph.Value) string {
	n := g.Producers()[v]
	switch {
	case n == nil:
		return fmt.Sprintf("input %q", v.Name)
	case n.Name == "":
		return fmt.Sprintf("%s that makes %q", n.Kind(), v.Name)
	}
	return fmt.Sprintf("%s %q, output %q", n.Kind(), n.Name, v.Name)
}

// Ranges are what 8 bits should span, by value.
func (c *Calibration) Ranges(f paths.Fit) map[string]paths.Range {
	ranges := make(map[string]paths.Range, len(c.counts))
	for name, h := range c.counts {
		ranges[name] = h.Range(f)
	}
	return ranges
}

// Bytes is the memory that the calibration holds.
func (c *Calibration) Bytes() int {
	n := 0
	for _, h := range c.counts {
		n += h.Bytes()
	}
	return n
}
