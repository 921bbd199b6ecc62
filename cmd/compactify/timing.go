package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/jsonnum"
)

// Time for the runs of the model, and for those of each form of it.
const (
	latencyTime = 300 * time.Millisecond
	formTime    = 120 * time.Millisecond
)

// unknownSizes are what unknown dimensions behind the batch are tried at: models of
// signals and images refuse too small ones.
var unknownSizes = []int{1, 64, 128, 256, 512, 1024, 4096, 16384}

// untimedError is a model that ran at none of the sizes.
type untimedError struct{ err error }

func (e *untimedError) Error() string {
	return fmt.Sprintf("no run on made-up inputs, with unknown dimensions of %d to %d: %v", unknownSizes[0], unknownSizes[len(unknownSizes)-1], e.err)
}

func (e *untimedError) Unwrap() error { return e.err }

// timeOne runs a model on a made-up example: batches are 1, and all other unknown
// dimensions the least of [unknownSizes] at which the model runs. The options are
// those that it was compiled with.
func (a *app) timeOne(ctx context.Context, g *graph.Graph) (*latencyInfo, engine.Options, error) {
	var first error
	for _, size := range unknownSizes {
		o, open, err := a.oneExample(g, size)
		if err != nil {
			return nil, o, err
		}
		l, err := measureAt(ctx, g, o)
		var short *engine.MemoryError
		switch {
		case err == nil:
			info := a.latencyInfo(l)
			if open {
				info.Shapes = o.Shapes
			}
			return info, o, nil
		case ctx.Err() != nil, errors.As(err, &short), !open:
			return nil, o, err
		case first == nil:
			first = err
		}
	}
	return nil, engine.Options{}, &untimedError{first}
}

func measureAt(ctx context.Context, g *graph.Graph, o engine.Options) (engine.Latency, error) {
	p, err := engine.Compile(g, o)
	if err != nil {
		return engine.Latency{}, err
	}
	return engine.MeasureLatency(ctx, p, latencyTime)
}

// oneExample says how to compile a model for one example, unknown dimensions having
// the given size; open reports whether there are any beside the batch.
func (a *app) oneExample(g *graph.Graph, size int) (o engine.Options, open bool, err error) {
	o = engine.Options{Shapes: make(map[string][]int), Pool: a.pool}
	batch := make(map[string]bool)
	for _, v := range g.Inputs {
		if v.Type.Rank() > 0 {
			batch[v.Type.Shape[0].Name] = true
		}
	}
	for _, v := range g.Inputs {
		if !v.Type.Ranked() {
			return o, open, fmt.Errorf("input %q: got %v, want a number of dimensions", v.Name, v.Type)
		}
		shape := make([]int, v.Type.Rank())
		for i, d := range v.Type.Shape {
			switch {
			case d.Known():
				shape[i] = d.Size
			case i == 0, d.Name != "" && batch[d.Name]:
				shape[i] = 1
			default:
				shape[i], open = size, true
			}
		}
		o.Shapes[v.Name] = shape
	}
	return o, open, nil
}

// latencyInfo is the median of single runs; low and high bound it with a
// confidence of 95 %.
type latencyInfo struct {
	MedianMS jsonnum.Float    `json:"median_ms"`
	LowMS    jsonnum.Float    `json:"low_ms"`
	HighMS   jsonnum.Float    `json:"high_ms"`
	Runs     int              `json:"runs"`
	WarmUps  int              `json:"warmups"`
	Threads  int              `json:"threads"`
	Shapes   map[string][]int `json:"shapes,omitempty"` // of the inputs, where the model leaves more open than the batch
}

func (a *app) latencyInfo(l engine.Latency) *latencyInfo {
	ms := func(d time.Duration) jsonnum.Float { return jsonnum.Float(float64(d.Nanoseconds()) / 1e6) }
	return &latencyInfo{MedianMS: ms(l.Median), LowMS: ms(l.Low), HighMS: ms(l.High), Runs: l.Runs, WarmUps: l.WarmUps, Threads: a.pool.Threads()}
}

// shapesText lists the shapes of the inputs that were chosen, "" if none were.
func (l *latencyInfo) shapesText(inputs []port) string {
	var parts []string
	for _, p := range inputs {
		if shape, ok := l.Shapes[p.Name]; ok && len(shape) > 0 {
			parts = append(parts, p.Name+" "+strings.Trim(strings.Join(strings.Fields(fmt.Sprint(shape)), "×"), "[]"))
		}
	}
	return strings.Join(parts, ", ")
}
