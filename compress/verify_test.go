package compress

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/paths"
	"github.com/compactify/compactify/tensor"
)

// verifying is a job that is ready to verify, and its prepared model at 8 bits.
func verifying(t *testing.T) (*work, *graph.Graph) {
	t.Helper()
	w := &work{Job: smallJob(t)}
	g, _, err := Prepare(w.Model)
	if err != nil {
		t.Fatal(err)
	}
	w.graph = g
	w.probe, w.ranging, w.Ranges = w.Train, w.Train, "minmax"
	if w.choosing, err = w.newBench(context.Background(), w.probe, nil); err != nil {
		t.Fatal(err)
	}
	q, err := paths.QuantizeWeights(w.Pool, g, paths.Uniform(g, paths.Scheme{Bits: 8}))
	if err != nil {
		t.Fatal(err)
	}
	return w, q
}

func written(t *testing.T, g *graph.Graph) *graph.Graph {
	t.Helper()
	file, err := Encode(g)
	if err != nil {
		t.Fatal(err)
	}
	back, err := reload(file)
	if err != nil {
		t.Fatal(err)
	}
	return back
}

// TestVerifyComparesEveryNode: what was written agrees to the bit with what is in
// memory, at every node; and one changed bias is found where it is.
func TestVerifyComparesEveryNode(t *testing.T) {
	w, q := verifying(t)
	rounded, err := w.roundActivations(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range []*graph.Graph{q, rounded} {
		v, err := w.verify(context.Background(), written(t, g), g)
		if err != nil {
			t.Fatal(err)
		}
		if !v.OK || v.MaxAbsErr != 0 || v.NodesMaxErr != 0 || v.Nodes < len(g.Nodes)/2 || v.RoundsValues != (g == rounded) {
			t.Errorf("got %+v, want equal values at every node", v)
		}
	}
	file := written(t, q)
	changed := false
	for _, p := range file.Params {
		if p.Data.Rank() == 1 && p.Data.Len() == 16 && !changed && p.Data.DType() == tensor.Float32 {
			p.Data = p.Data.Clone()
			p.Data.Set(3, p.Data.At(3)+0.5)
			changed = true
		}
	}
	if !changed {
		t.Fatal("no bias to change")
	}
	v, err := w.verify(context.Background(), file, q)
	if err != nil {
		t.Fatal(err)
	}
	if v.OK || v.NodesMaxErr == 0 || v.WorstNode == "" || !strings.Contains(v.problem(), "differs") {
		t.Errorf("of a file with another bias: got %+v, want one that differs", v)
	}
}

// TestVerifyOtherGraphs: where the nodes do not match, answers alone are compared,
// and the result says so.
func TestVerifyOtherGraphs(t *testing.T) {
	w, q := verifying(t)
	v, err := w.verify(context.Background(), q, w.Model)
	if err != nil {
		t.Fatal(err)
	}
	if v.Nodes != 0 || !math.IsNaN(float64(v.NodesMaxErr)) || v.OK {
		t.Errorf("of a quantised model against the original: got %+v, want no nodes compared and answers that differ", v)
	}
}

func TestFarthest(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, c := range []struct {
		a, b []float32
		want float64
	}{
		{[]float32{1, 2}, []float32{1, 2.5}, 0.5},
		{[]float32{nan, inf}, []float32{nan, inf}, 0},
		{[]float32{inf}, []float32{1}, math.Inf(1)},
		{[]float32{nan}, []float32{1}, math.NaN()},
		{[]float32{1}, []float32{1, 1}, math.Inf(1)},
	} {
		got := farthest([][]float32{c.a}, [][]float32{c.b})
		if got != c.want && !(math.IsNaN(got) && math.IsNaN(c.want)) {
			t.Errorf("%v and %v: got %v, want %v", c.a, c.b, got, c.want)
		}
	}
}
