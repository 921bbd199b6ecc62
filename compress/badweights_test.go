package compress

import (
	"context"
	"testing"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/paths"
	"github.com/compactify/compactify/tensor"
)

// TestOddWeights: dead channels, a layer of equal weights and one of zeros are
// rounded with finite scales, equalised, smoothed and corrected like any other, and
// the file passes its check.
func TestOddWeights(t *testing.T) {
	for name, change := range map[string]func(layers []graph.Layer){
		"dead channels": func(layers []graph.Layer) {
			w, shape := tensor.Data[float32](layers[0].Param.Data), layers[0].Param.Data.Shape()
			for i := range w {
				if c := i % shape[1]; layers[0].Axis == 1 && c%3 == 0 || layers[0].Axis == 0 && i/shape[1]%3 == 0 {
					w[i] = 0
				}
			}
		},
		"constant": func(layers []graph.Layer) { fill(layers[1].Param, 0.25) },
		"zero":     func(layers []graph.Layer) { fill(layers[2].Param, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			job := smallJob(t)
			job.Activation, job.Finetune = true, -1
			job.Equalize, job.Smooth, job.CorrectBias = Always, 0.5, Always
			job.Budget = compactify.Budget{Kind: compactify.MetricDrop, Limit: 100}
			g, _ := job.Model.Clone()
			for _, l := range g.Layers() {
				l.Param.Data = l.Param.Data.Clone()
			}
			change(g.Layers())
			job.Model = g
			r, err := runInto(t, context.Background(), job)
			if err != nil {
				t.Fatal(err)
			}
			if !r.Verify.OK {
				t.Errorf("verification: %+v", r.Verify)
			}
			for _, f := range []paths.Fit{paths.FitMinMax, paths.FitEntropy} {
				q, err := paths.QuantizeWeights(nil, g, paths.Uniform(g, paths.Scheme{Bits: 4, Fit: f}))
				if err == nil {
					err = q.CheckFinite()
				}
				if err != nil {
					t.Errorf("%v: %v", f, err)
				}
			}
		})
	}
}

func fill(p *graph.Param, x float32) {
	w := tensor.Data[float32](p.Data)
	for i := range w {
		w[i] = x
	}
}
