package paths

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/structure"
	"github.com/compactify/compactify/tensor"
	"github.com/compactify/compactify/train"
)

// TestConformance puts every kind of path through the contract of
// [compactify.Path] and its optional interfaces, over a model with every kind of
// layer, a convolutional and a dense one.
func TestConformance(t *testing.T) {
	for _, k := range Kinds {
		for name, model := range conformanceModels(t, k.Name) {
			t.Run(k.Name+"/"+name, func(t *testing.T) {
				settings := []Options{{}, {PerLayer: true}}
				if k.Trains {
					settings = []Options{{Regular: briefly(t, model)}}
				}
				for _, o := range settings {
					p, err := New(k.Name, model, o)
					if err != nil {
						t.Fatal(err)
					}
					s := suite{path: p, model: model, before: model.Digest()}
					s.run(t)
				}
			})
		}
	}
}

func conformanceModels(t *testing.T, kind string) map[string]*graph.Graph {
	if kind == "prune-blocks" {
		return map[string]*graph.Graph{"residual": residual(t)}
	}
	lenet, err := train.NewModel("lenet5", []int{1, 12, 12}, 10, 1)
	if err != nil {
		t.Fatal(err)
	}
	mlp, err := train.NewModel("mlp:7-5-3", []int{7}, 3, 1)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*graph.Graph{"every layer": everyLayer(t), "lenet5": lenet, "mlp": mlp}
}

// briefly are settings of regularised training that take little time: a few random
// examples for the model, and three rungs.
func briefly(t *testing.T, model *graph.Graph) Regular {
	shape, err := train.ExampleShape(model)
	if err != nil {
		t.Fatal(err)
	}
	n, _ := tensor.Size(shape)
	r := rand.New(rand.NewPCG(5, 6))
	var rows [][]float64
	for i := range 12 {
		row := make([]float64, n, n+1)
		for k := range row {
			row[k] = r.NormFloat64()
		}
		rows = append(rows, append(row, float64(i%2)))
	}
	return Regular{Set: table(t, data.Classify, rows...), Rungs: 3, Epochs: 1, Batch: 6, Rate: 0.01}
}

type suite struct {
	path   compactify.Path
	model  *graph.Graph
	before string // digest of the model before the path was made
}

func (s suite) run(t *testing.T) {
	s.startsAtTheOriginal(t)
	for _, x := range s.ts() {
		s.isDeterministic(t, x)
		s.keepsTheInterface(t, x)
	}
	s.refusesOtherT(t)
	s.agreesWithItsSteps(t)
	s.hasParameters(t)
	s.hasABoundary(t)
	if s.model.Digest() != s.before {
		t.Error("the trained model was modified")
	}
}

// ts are where the checks look: the path's own steps, or a few.
func (s suite) ts() []float64 {
	if p, ok := s.path.(compactify.Stepped); ok {
		return p.Steps()
	}
	return []float64{0, 1e-9, 0.25, 0.5, 0.9, 1 - 1e-9, 1}
}

func (s suite) at(t *testing.T, x float64) *graph.Graph {
	t.Helper()
	g, err := s.path.At(context.Background(), x)
	if err != nil {
		t.Fatalf("at t=%v: %v", x, err)
	}
	return g
}

func (s suite) startsAtTheOriginal(t *testing.T) {
	g := s.at(t, 0)
	if g.Digest() != s.before || !slices.Equal(evaluate(t, g), evaluate(t, s.model)) {
		t.Error("t=0: got another model, want the original")
	}
}

func (s suite) isDeterministic(t *testing.T, x float64) {
	if a, b := s.at(t, x).Digest(), s.at(t, x).Digest(); a != b {
		t.Errorf("t=%v twice: got digests %s and %s, want equal ones", x, a, b)
	}
}

// keepsTheInterface: every model of the path is valid, runs and has the inputs
// and outputs of the original, by name and type; its answers are numbers.
func (s suite) keepsTheInterface(t *testing.T, x float64) {
	g := s.at(t, x)
	for _, v := range evaluate(t, g) {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			t.Errorf("t=%v: got the answer %v, want a finite number", x, v)
		}
	}
	for _, lists := range [][2][]*graph.Value{{g.Inputs, s.model.Inputs}, {g.Outputs, s.model.Outputs}} {
		equal := slices.EqualFunc(lists[0], lists[1], func(a, b *graph.Value) bool {
			return a.Name == b.Name && a.Type.String() == b.Type.String()
		})
		if !equal {
			t.Errorf("t=%v: inputs and outputs: got %v, want %v", x, lists[0], lists[1])
		}
	}
}

func (s suite) refusesOtherT(t *testing.T) {
	for _, x := range []float64{-1e-9, 1 + 1e-9, 2, math.Inf(1), math.Inf(-1), math.NaN()} {
		if g, err := s.path.At(context.Background(), x); err == nil || g != nil {
			t.Errorf("at t=%v: got a model, want an error", x)
		}
	}
}

// agreesWithItsSteps: steps ascend from 0 to 1, neighbours differ, and between
// two of them the model is that of the lower one.
func (s suite) agreesWithItsSteps(t *testing.T) {
	p, ok := s.path.(compactify.Stepped)
	if !ok {
		return
	}
	steps := p.Steps()
	if steps[0] != 0 || steps[len(steps)-1] != 1 || !slices.IsSorted(steps) {
		t.Fatalf("steps: got %v, want them ascending from 0 to 1", steps)
	}
	for i := 1; i < len(steps); i++ {
		lower := s.at(t, steps[i-1]).Digest()
		for _, share := range []float64{0.01, 0.5, 0.99} {
			x := steps[i-1] + share*(steps[i]-steps[i-1])
			if s.at(t, x).Digest() != lower {
				t.Errorf("t=%v: the model changed between the steps %v and %v", x, steps[i-1], steps[i])
			}
		}
		if s.at(t, steps[i]).Digest() == lower {
			t.Errorf("t=%v: the model is the one at %v, want a change at every step", steps[i], steps[i-1])
		}
	}
}

// hasParameters: the natural parameter is finite and monotonic.
func (s suite) hasParameters(t *testing.T) {
	p, ok := s.path.(compactify.Parametrized)
	if !ok {
		return
	}
	var values []float64
	for _, x := range s.ts() {
		values = append(values, p.Param(x))
	}
	falling := slices.Clone(values)
	slices.Reverse(falling)
	if slices.ContainsFunc(values, math.IsNaN) || !slices.IsSorted(values) && !slices.IsSorted(falling) {
		t.Errorf("parameters: got %v, want finite ones in order", values)
	}
}

// hasABoundary checks the model at t=1 against what the path says of it.
func (s suite) hasABoundary(t *testing.T) {
	p, ok := s.path.(compactify.Bounded)
	if !ok {
		t.Error("the path does not name its boundary")
		return
	}
	b := p.Boundary()
	kinds := []compactify.BoundaryKind{compactify.Ideal, compactify.Stratum, compactify.ControlEnd}
	if !slices.Contains(kinds, b.Kind) || b.Name == "" {
		t.Errorf("boundary: got %+v, want a kind and a name", b)
	}
	check := boundaries[b.Name]
	if check == nil {
		t.Fatalf("boundary %q: no check of it here", b.Name)
	}
	for _, l := range s.model.Layers() {
		check(t, l, s.at(t, 1))
	}
}

func isZero(t *testing.T, name string, end *graph.Graph) {
	for i, x := range param(t, end, name).Float64s() {
		if x != 0 {
			t.Errorf("weight %q, element %d: got %v, want 0", name, i, x)
		}
	}
}

// boundaries check one layer of the model at t=1, by the name of the boundary.
var boundaries = map[string]func(t *testing.T, l graph.Layer, end *graph.Graph){
	"all weights of convolutions and matrix products zero": func(t *testing.T, l graph.Layer, end *graph.Graph) { isZero(t, l.Name(), end) },
	zeroModel: func(t *testing.T, _ graph.Layer, end *graph.Graph) {
		for _, p := range end.Weights() {
			isZero(t, p.Name, end)
		}
	},
	constantModel: func(t *testing.T, l graph.Layer, end *graph.Graph) {
		isZero(t, l.Name(), end)
		answers := evaluate(t, end)
		width := len(answers) / 3 // of three examples
		for i, x := range answers {
			if x != answers[i%width] {
				t.Errorf("answers: got %v, want the same to every example", answers)
			}
		}
	},
	leastChannels: func(t *testing.T, l graph.Layer, end *graph.Graph) {
		a, err := structure.Analyze(end)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range a.Groups {
			for c := 0; c < g.Channels && g.Kind != structure.Block; c++ {
				if _, err := a.Remove(map[string][]int{g.ID: {c}}); err == nil {
					t.Errorf("group %q: channel %d can still be removed", g.ID, c)
				}
			}
		}
	},
	noBlocks: func(t *testing.T, l graph.Layer, end *graph.Graph) {
		a, err := structure.Analyze(end)
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(a.Groups, func(g *structure.Group) bool { return g.Kind == structure.Block }) {
			t.Errorf("a block is left: %v", a.Groups)
		}
	},
	"one bit per weight, α·sign θ per output channel": func(t *testing.T, l graph.Layer, end *graph.Graph) {
		signs, scales := param(t, end, l.Name()+"_q"), param(t, end, l.Name()+"_s")
		if got := signs.DType(); got != tensor.Int2 {
			t.Errorf("weight %q: stored as %v, want the narrowest type", l.Name(), got)
		}
		channel, stored := groupsOf(l, Scheme{Bits: 1}).scaleOf(), storedIndex(l, Scheme{Bits: 1})
		sums, counts := make([]float64, l.Channels()), make([]float64, l.Channels())
		for i := range signs.Len() {
			w := l.Param.Data.At(i)
			if want := math.Copysign(1, w); signs.At(stored(i)) != want {
				t.Errorf("weight %q, element %d: got %v, want the sign of %v", l.Name(), i, signs.At(stored(i)), w)
			}
			sums[channel(i)] += math.Abs(w)
			counts[channel(i)]++
		}
		for c, sum := range sums {
			if want := sum / counts[c]; math.Abs(scales.At(c)-want) > 1e-6*want {
				t.Errorf("weight %q, channel %d: α: got %v, want mean|θ| = %v", l.Name(), c, scales.At(c), want)
			}
		}
	},
}

func TestNewRefuses(t *testing.T) {
	if _, err := New("melt", vector(t, 1), Options{}); err == nil || !strings.Contains(err.Error(), "want prune or prune-channels or prune-blocks or quantize or l2 or l1 or elastic or group or maxnorm or dropout") {
		t.Errorf("unknown kind: got error %v, want one that lists the kinds", err)
	}
	bare := &graph.Graph{Name: "bare"}
	double := product(t, tensor.Of([]float64{1, 2}, 2, 1))
	for _, k := range Kinds {
		if _, err := New(k.Name, bare, Options{}); err == nil || !strings.Contains(err.Error(), `graph "bare": no floating-point weights`) {
			t.Errorf("%s of a graph without layers: got error %v, want one that says so", k.Name, err)
		}
		if _, err := New(k.Name, double, Options{}); err == nil || !strings.Contains(err.Error(), `weight "w1": got float64[2,1], want float32`) {
			t.Errorf("%s of float64 weights: got error %v, want one that names the weight", k.Name, err)
		}
	}
}

// TestTuneSeesTheModelInside: a path with a Tune hands over every model strictly
// between its ends, and its error comes back.
func TestTuneSeesTheModelInside(t *testing.T) {
	stop := errors.New("stop")
	for _, k := range Kinds {
		if k.Trains {
			continue // it is what they do anyway
		}
		calls := 0
		tune := func(_ context.Context, g *graph.Graph, _ map[string]*train.Mask, _ train.Remask) (*graph.Graph, error) {
			calls++
			return nil, stop
		}
		model := everyLayer(t)
		if k.Name == "prune-blocks" {
			model = residual(t)
		}
		p, err := New(k.Name, model, Options{Tune: tune})
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range []float64{0, 1} {
			if _, err := p.At(context.Background(), x); err != nil || calls != 0 {
				t.Errorf("%s at t=%v: %d calls, error %v, want none: the ends are given", k.Name, x, calls, err)
			}
		}
		if _, err := p.At(context.Background(), 0.95); calls != 1 || !errors.Is(err, stop) {
			t.Errorf("%s at t=0.95: %d calls, error %v, want one and its error", k.Name, calls, err)
		}
	}
}
