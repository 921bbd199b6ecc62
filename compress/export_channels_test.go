package compress

import (
	"context"
	"fmt"
	"testing"

	"github.com/compactify/compactify/format/onnx"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/testkit"
	"github.com/compactify/compactify/paths"
	"github.com/compactify/compactify/tensor"
)

// TestExportCheckChannels writes real models with channels, units and blocks cut
// out, a third of them and as many as can go.
func TestExportCheckChannels(t *testing.T) {
	e := testkit.NewExports(t, "compress-channels")
	for _, m := range realModels {
		t.Run(m.name, func(t *testing.T) {
			g, _, examples := m.open(t)
			inputs := inputsOf(t, g, examples)
			kinds := []string{"prune-channels"}
			if m.name == "resnet20" { // resnet8 has one block
				kinds = append(kinds, "prune-blocks")
			}
			for _, kind := range kinds {
				addCut(t, e, m.name, kind, g, inputs...)
			}
		})
	}
	for name, x := range map[string]tensor.Tensor{
		"tract/byte_sb_bidi_lstm":            tensor.Of([]uint8{72, 105, 32, 33, 10, 200, 7}, 1, 7),
		"magika/standard_v3_3/model":         tensor.New(tensor.Int32, 1, 2048),
		"mlperf-tiny/anomaly_detection/ad01": tensor.New(tensor.Float32, 1, 640),
	} {
		t.Run(name, func(t *testing.T) {
			g, err := onnx.Read(testkit.Shared(t, "models/"+name+".onnx"))
			if err != nil {
				t.Fatal(err)
			}
			for i := range x.Len() {
				x.Set(i, float64(i*i%97))
			}
			addCut(t, e, g.Name, "prune-channels", g, x)
		})
	}
}

// addCut lists two models of a path.
func addCut(t *testing.T, e *testkit.Exports, name, kind string, g *graph.Graph, inputs ...tensor.Tensor) {
	t.Helper()
	prepared, _, err := Prepare(g)
	if err != nil {
		t.Fatal(err)
	}
	p, err := paths.New(kind, prepared, paths.Options{})
	if err != nil {
		t.Fatal(err)
	}
	before, err := FileSize(prepared)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []float64{0.34, 1} {
		cut, err := p.At(context.Background(), x)
		if err != nil {
			t.Fatal(err)
		}
		file, err := Encode(cut)
		if err != nil {
			t.Fatal(err)
		}
		if len(file) >= before {
			t.Errorf("%s of %s at t=%v: got %d bytes, want fewer than %d", kind, name, x, len(file), before)
		}
		addExport(t, e, fmt.Sprintf("%s-%s-%v", name, kind, x), file, roundingTolerance, inputs...)
	}
}
