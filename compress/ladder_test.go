package compress

import (
	"context"
	"slices"
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/paths"
	"github.com/compactify/compactify/structure"
	"github.com/compactify/compactify/tensor"
)

// measured is a work whose dials are measured on the small job.
func measured(t *testing.T, change func(*Job)) (*work, []*dial) {
	t.Helper()
	w := &work{Job: smallJob(t), result: &Result{}}
	if change != nil {
		change(&w.Job)
	}
	if err := w.prepare(context.Background()); err != nil {
		t.Fatal(err)
	}
	dials, err := w.dials(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return w, dials
}

// TestLadderFallsToTheSmallest: every rung turns one dial on, is smaller than the
// one before, and is expected to be about as large as its file is.
func TestLadderFallsToTheSmallest(t *testing.T) {
	w, dials := measured(t, nil)
	l := newLadder(w.graph, w.groups(), dials)
	if len(l.rungs) < 5 {
		t.Fatalf("got %d rungs, want some of each path", len(l.rungs))
	}
	base, err := FileSize(w.graph)
	if err != nil {
		t.Fatal(err)
	}
	rest := base - l.rung(make([]int, len(dials))).bytes
	for i, r := range l.rungs {
		if i > 0 {
			changed := 0
			for k := range r.at {
				if r.at[k] != l.rungs[i-1].at[k] {
					changed++
				}
			}
			if r.bytes >= l.rungs[i-1].bytes || changed != 1 {
				t.Errorf("rung %d: %d bytes after %d, %d dials turned", i, r.bytes, l.rungs[i-1].bytes, changed)
			}
		}
		g, err := w.modelOf(l.plan(r))
		if err != nil {
			t.Fatal(err)
		}
		size, err := FileSize(g)
		if err != nil {
			t.Fatal(err)
		}
		if off := size - rest - r.bytes; off > 100 || off < -100 {
			t.Errorf("rung %d: expected %d bytes, the file's weights take %d", i, r.bytes, size-rest)
		}
	}
}

// TestDialsObeyTheJob: widths, opset and paths limit what is turned.
func TestDialsObeyTheJob(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Job)
		bits   []int
		groups bool
	}{
		{"all", func(*Job) {}, []int{8, 4, 2}, true},
		{"two widths", func(j *Job) { j.Bits = []int{4, 8} }, []int{8, 4}, true},
		{"opset 21", func(j *Job) { j.Opset = 21 }, []int{8, 4}, true},
		{"opset 13", func(j *Job) { j.Opset = 13 }, []int{8}, true},
		{"quantize alone", func(j *Job) { j.Paths = []string{"quantize"} }, []int{8, 4, 2}, false},
		{"channels alone", func(j *Job) { j.Paths = []string{removeChannels} }, nil, true},
	} {
		_, dials := measured(t, c.change)
		var bits []int
		groups := false
		for _, d := range dials {
			groups = groups || d.group
			for _, s := range d.settings[1:] {
				if !d.group && s.zeros == 0 && !slices.Contains(bits, s.scheme.Bits) {
					bits = append(bits, s.scheme.Bits)
				}
			}
		}
		if !slices.Equal(bits, c.bits) || groups != c.groups {
			t.Errorf("%s: got widths %v, groups %v, want %v, %v", c.name, bits, groups, c.bits, c.groups)
		}
	}
}

// TestOpsetTooOld: a model that needs a newer opset than allowed is refused by name.
func TestOpsetTooOld(t *testing.T) {
	w := &work{Job: Job{Opset: 13}}
	w.graph = &graph.Graph{Opset: map[string]int{graph.DomainONNX: graph.LatestOpset}}
	b := graph.NewBuilder(w.graph, "")
	x := b.Input("x", tensor.Type{DType: tensor.Float32, Shape: []tensor.Dim{tensor.Fixed(1), tensor.Fixed(4)}})
	w.graph.Outputs = []*graph.Value{b.Op("Gelu", x)} // Gelu is of opset 20
	if err := w.checkOpset(); err == nil || err.Error() != "opset 13: the model needs 20" {
		t.Errorf("got %v, want a refusal that names opset 20", err)
	}
}

// TestWidenedPutsBack: narrowing, then widening, leaves every weight where it was.
func TestWidenedPutsBack(t *testing.T) {
	w, dials := measured(t, nil)
	l := newLadder(w.graph, w.groups(), dials)
	p := l.plan(l.rungs[len(l.rungs)-1])
	if p.channels() == 0 {
		t.Fatal("the last plan removes no channels")
	}
	narrow, err := w.channels.narrowed(w.graph, p)
	if err != nil {
		t.Fatal(err)
	}
	changed, _ := narrow.Clone()
	for _, q := range changed.Params {
		q.Data = q.Data.Clone()
		for i, x := range tensor.Data[float32](q.Data) {
			tensor.Data[float32](q.Data)[i] = x + 1
		}
	}
	wide := w.channels.widened(w.graph, changed, p)
	back, err := w.channels.narrowed(wide, p)
	if err != nil {
		t.Fatal(err)
	}
	if back.Digest() != changed.Digest() {
		t.Error("narrowing the widened weights: got others than were put in")
	}
	if same := w.channels.widened(w.graph, narrow, p); same.Digest() != w.graph.Digest() {
		t.Error("widening weights that nothing changed: got another model than the original")
	}
}

// TestByImportance: a channel whose weights are zero goes first.
func TestByImportance(t *testing.T) {
	row := tensor.Of([]float32{3, 4, 0, 0, 1, 1}, 3, 2)
	column := tensor.Of([]float32{1, 0, 2, 1, 0, 2}, 2, 3)
	g := &structure.Group{ID: "w", Channels: 3, Ties: []structure.Tie{
		{Param: &graph.Param{Value: &graph.Value{Name: "w"}, Data: row}, Axis: 0, Index: [][]int{{0}, {1}, {2}}},
		{Param: &graph.Param{Value: &graph.Value{Name: "v"}, Data: column}, Axis: 1, Index: [][]int{{0}, {1}, {2}}},
	}}
	// Of row: 25, 0 and 2, mean 9; of column: 2, 0 and 8, mean 10/3; in units of the means 3.38, 0, 2.62.
	if got := byImportance(g, nil); !slices.Equal(got, []int{1, 2, 0}) {
		t.Errorf("got %v, want 1, 2, 0", got)
	}
}

// TestPlanKey: equal plans share a key, and others do not.
func TestPlanKey(t *testing.T) {
	a := Plan{Schemes: map[string]paths.Scheme{"w": {Bits: 4}}, Removed: map[string]int{"g": 2}}
	b := a.clone()
	b.Zeros["w"] = 0
	b.Removed["h"] = 0
	if a.key() != b.key() {
		t.Errorf("got %q and %q, want them equal: nothing that counts differs", a.key(), b.key())
	}
	for _, change := range []func(*Plan){
		func(p *Plan) { p.Schemes["w"] = paths.Scheme{Bits: 2} },
		func(p *Plan) { p.Schemes["v"] = paths.Scheme{Bits: 4} },
		func(p *Plan) { p.Zeros["w"] = 0.5 },
		func(p *Plan) { p.Removed["g"] = 3 },
	} {
		c := a.clone()
		change(&c)
		if c.key() == a.key() {
			t.Errorf("got %q for another plan too", c.key())
		}
		if !a.holds(c) || c.holds(a) && c.key() != a.key() && len(c.Schemes) == len(a.Schemes) {
			t.Errorf("%q: holds %q: got %v, and the other way %v", a.key(), c.key(), a.holds(c), c.holds(a))
		}
	}
}
