package compactify

import (
	"context"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// curve is a path whose model at t holds the number Model(t), and nothing else.
type curve struct {
	Model func(t float64) (float64, error)
}

func (c curve) At(_ context.Context, t float64) (*graph.Graph, error) {
	x, err := c.Model(t)
	v := &graph.Value{Name: "x"}
	return &graph.Graph{Params: []*graph.Param{{Value: v, Data: tensor.Scalar(x)}}}, err
}

// bounded, stepped and natural add what a path may know of itself.
type bounded struct{ curve }

func (bounded) Boundary() Boundary { return Boundary{Stratum, "the end"} }

type stepped struct {
	curve
	steps []float64
}

func (s stepped) Steps() []float64 { return s.steps }

type natural struct{ curve }

func (natural) Param(t float64) float64 { return 10 * t }

// meter measures the loss Loss(x) of the model that holds x.
type meter struct {
	Loss func(x float64) (float64, error)
}

func (m meter) Evaluate(_ context.Context, g *graph.Graph) (Measure, error) {
	loss, err := m.Loss(g.Params[0].Data.At(0))
	return Measure{Loss: loss}, err
}

// along is the path whose model at t is t itself, and the meter of a loss of t.
func along(loss func(t float64) float64) (curve, meter) {
	return curve{func(t float64) (float64, error) { return t, nil }},
		meter{func(x float64) (float64, error) { return loss(x), nil }}
}

// stepAt is 0 below edge and 1 from there on.
func stepAt(edge float64) func(float64) float64 {
	return func(t float64) float64 {
		if t < edge {
			return 0
		}
		return 1
	}
}

func times(p Profile) []float64 {
	var list []float64
	for _, q := range p.Points {
		list = append(list, q.T)
	}
	return list
}

func TestWalkSchedule(t *testing.T) {
	path, eval := along(stepAt(2))
	for _, c := range []struct {
		about string
		path  Path
		steps Steps
		want  []float64
	}{
		{"grid and approach", path, Steps{Grid: 4, Approach: 2}, []float64{0, 0.25, 0.5, 0.75, 0.875, 0.9375, 1}},
		{"no approach", path, Steps{Grid: 2, Approach: -1}, []float64{0, 0.5, 1}},
		{"steps of its own", stepped{path, []float64{0, 0.3, 1}}, Steps{Grid: 4}, []float64{0, 0.3, 1}},
	} {
		var observed []float64
		c.steps.Budget = Budget{LossRise, 0.5}
		c.steps.Observe = func(q Point) { observed = append(observed, q.T) }
		p, err := Walk(context.Background(), "test", c.path, eval, c.steps)
		if err != nil || !reflect.DeepEqual(times(p), c.want) || !reflect.DeepEqual(observed, c.want) {
			t.Errorf("%s: got %v, observed %v, error %v, want %v", c.about, times(p), observed, err, c.want)
		}
	}
	p, err := Walk(context.Background(), "test", path, eval, Steps{Budget: Budget{LossRise, 0.5}})
	if n := 16 + 4 + 1; err != nil || len(p.Points) != n {
		t.Errorf("zero steps: got %d points, error %v, want %d", len(p.Points), err, n)
	}
}

// graded is a path whose steps are equal in the square of t; its places are
// multiples of 1/1024.
type graded struct{ curve }

func (graded) Grid(n int) []float64 {
	var list []float64
	for i := range n + 1 {
		list = append(list, math.Floor(1024*math.Sqrt(float64(i)/float64(n)))/1024)
	}
	return list
}

func (graded) Between(a, b float64) float64 {
	return max(a, math.Floor(1024*math.Sqrt((a*a+b*b)/2))/1024)
}

// TestWalkGraded: grid, approach and refinement are by the path's own measure, and
// stop where it has nothing in between.
func TestWalkGraded(t *testing.T) {
	const edge = 0.6180339887
	path, eval := along(stepAt(edge))
	b := Budget{LossRise, 0.5}
	p, err := Walk(context.Background(), "test", graded{path}, eval, Steps{Grid: 4, Approach: 20, Refine: 20, Budget: b})
	if err != nil {
		t.Fatal(err)
	}
	got := times(p)
	for _, want := range []float64{0, 0.5, 724.0 / 1024, 886.0 / 1024, 957.0 / 1024, 1023.0 / 1024, 1} { // ½, √½, √¾, √⅞
		if !slices.Contains(got, want) {
			t.Errorf("points: got %v, want %v among them", got, want)
		}
	}
	if at, bracket, ok := p.Furthest(b); !ok || at != 632.0/1024 || bracket[1] != 633.0/1024 { // edge·1024 = 632.9
		t.Errorf("furthest: got %v in %v, want 632/1024 and the next place", at, bracket)
	}
	if slices.ContainsFunc(got, func(x float64) bool { return x != math.Floor(1024*x)/1024 }) || !slices.IsSorted(got) {
		t.Errorf("points: got %v, want ascending multiples of 1/1024", got)
	}
}

// TestWalkRefines: six bisections of a bracket of width 1/4 leave 1/256, and the
// bracket holds the edge.
func TestWalkRefines(t *testing.T) {
	const edge = 0.6180339887
	path, eval := along(stepAt(edge))
	b := Budget{LossRise, 0.5}
	p, err := Walk(context.Background(), "test", path, eval, Steps{Grid: 4, Budget: b})
	if err != nil {
		t.Fatal(err)
	}
	at, bracket, ok := p.Furthest(b)
	if !ok || at != bracket[0] || bracket[1]-bracket[0] != 1.0/256 || !(bracket[0] < edge && edge <= bracket[1]) {
		t.Errorf("furthest: got %v in %v, %v, want the edge %v in a bracket of 1/256", at, bracket, ok, edge)
	}
	if !slices.IsSorted(times(p)) {
		t.Errorf("points: got %v, want ascending", times(p))
	}
	p, _ = Walk(context.Background(), "test", path, eval, Steps{Grid: 4, Refine: -1, Budget: b})
	if _, bracket, _ = p.Furthest(b); bracket != [2]float64{0.5, 0.75} {
		t.Errorf("bracket without refinement: got %v, want [0.5, 0.75]", bracket)
	}
	p, _ = Walk(context.Background(), "test", stepped{path, []float64{0, 0.5, 1}}, eval, Steps{Budget: b})
	if len(p.Points) != 3 {
		t.Errorf("a path of three steps: got %d points, want 3", len(p.Points))
	}
}

// TestWalkDefaultBudget: one percentage point of the metric.
func TestWalkDefaultBudget(t *testing.T) {
	path, _ := along(nil)
	eval := evaluatorFunc(func(g *graph.Graph) Measure { return Measure{Metric: 1 - 0.05*g.Params[0].Data.At(0)} })
	p, err := Walk(context.Background(), "test", path, eval, Steps{Grid: 10, Refine: 20})
	at, bracket, ok := p.Furthest(DefaultBudget)
	if err != nil || !ok || math.Abs(at-0.2) > 1e-6 || bracket[1]-bracket[0] > 1e-6 {
		t.Errorf("furthest: got %v in %v, %v, %v, want 0.2: a metric of 1 − t/20 has fallen by 0.01 there", at, bracket, ok, err)
	}
}

type evaluatorFunc func(*graph.Graph) Measure

func (f evaluatorFunc) Evaluate(_ context.Context, g *graph.Graph) (Measure, error) { return f(g), nil }

func TestWalkJudgesTheLimit(t *testing.T) {
	linear := func(t float64) float64 { return t }
	jump := stepAt(1)
	undefined := func(t float64) float64 { return math.Log(1 - t - 0.5) } // NaN from t = 1/2 on
	for _, c := range []struct {
		about   string
		loss    func(float64) float64
		steps   []float64 // of the path's own
		left    float64   // t of the left limit
		verdict Verdict
	}{
		{"slow change", func(t float64) float64 { return t / 1e4 }, nil, 1 - 1.0/64, Supported},
		{"a slope the approach does not resolve", linear, nil, 1 - 1.0/64, Inconclusive},
		{"a jump a curve may have anywhere", jump, nil, 1 - 1.0/64, Inconclusive},
		{"a jump between two steps", jump, []float64{0, 0.5, 1}, 0.5, Refuted},
		{"no jump between two steps", stepAt(0.5), []float64{0, 0.5, 1}, 0.5, Supported},
		{"not a number", undefined, nil, 1 - 1.0/64, Inconclusive},
		{"not a number at steps", undefined, []float64{0, 0.75, 1}, 0.75, Inconclusive},
	} {
		path, eval := along(c.loss)
		var p Path = bounded{path}
		if c.steps != nil {
			p = stepped{path, c.steps}
		}
		got, err := Walk(context.Background(), "test", p, eval, Steps{Grid: 4, Refine: -1})
		if err != nil {
			t.Fatal(err)
		}
		l := got.Limit
		if l.LeftT != c.left || l.Verdict != c.verdict || !same(l.Left, c.loss(c.left)) || !same(l.At, c.loss(1)) {
			t.Errorf("%s: got %+v, want the left limit at %v and %q", c.about, l, c.left, c.verdict)
		}
		if want := (Boundary{Stratum, "the end"}); c.steps == nil && l.Boundary != want {
			t.Errorf("%s: boundary: got %v, want %v", c.about, l.Boundary, want)
		}
	}
}

func TestWalkParamAndDigest(t *testing.T) {
	path, eval := along(stepAt(2))
	p, err := Walk(context.Background(), "test", natural{path}, eval, Steps{Grid: 2, Approach: -1, Refine: -1})
	if err != nil || p.Points[1].Param != 5 || p.Points[0].Digest == p.Points[1].Digest {
		t.Errorf("points: got %+v, error %v, want the parameter 5 in the middle and models that differ", p.Points, err)
	}
	p, _ = Walk(context.Background(), "test", path, eval, Steps{Grid: 2})
	if !math.IsNaN(p.Points[1].Param) {
		t.Errorf("parameter of a path without one: got %v, want NaN", p.Points[1].Param)
	}
}

// TestWalkStopsEarly: what was measured comes back, and nothing is said of t=1.
func TestWalkStopsEarly(t *testing.T) {
	broken := errors.New("broken")
	path, eval := along(stepAt(2))
	for _, c := range []struct {
		about string
		walk  func(ctx context.Context, cancel func(), s Steps) (Profile, error)
		is    error
		says  string
	}{
		{"context", func(ctx context.Context, cancel func(), s Steps) (Profile, error) {
			s.Observe = func(q Point) {
				if q.T == 0.25 {
					cancel()
				}
			}
			return Walk(ctx, "test", path, eval, s)
		}, context.Canceled, ""},
		{"path", func(ctx context.Context, _ func(), s Steps) (Profile, error) {
			return Walk(ctx, "test", curve{func(t float64) (float64, error) {
				if t > 0.25 {
					return 0, broken
				}
				return t, nil
			}}, eval, s)
		}, broken, "path test at t=0.5: "},
		{"evaluator", func(ctx context.Context, _ func(), s Steps) (Profile, error) {
			return Walk(ctx, "test", path, meter{func(x float64) (float64, error) {
				if x > 0.25 {
					return 0, broken
				}
				return 0, nil
			}}, s)
		}, broken, "path test at t=0.5: evaluate: "},
		{"enough", func(ctx context.Context, _ func(), s Steps) (Profile, error) {
			s.Enough = func(p Profile) bool { return len(p.Points) == 2 }
			return Walk(ctx, "test", path, eval, s)
		}, nil, ""},
	} {
		ctx, cancel := context.WithCancel(context.Background())
		p, err := c.walk(ctx, cancel, Steps{Grid: 4})
		cancel()
		if !errors.Is(err, c.is) || err != nil && !strings.HasPrefix(err.Error(), c.says) {
			t.Errorf("%s: error: got %v, want %v after %q", c.about, err, c.is, c.says)
		}
		if want := []float64{0, 0.25}; !reflect.DeepEqual(times(p), want) {
			t.Errorf("%s: points: got %v, want %v", c.about, times(p), want)
		}
		if p.Limit.Verdict != Inconclusive || !math.IsNaN(p.Limit.At) || p.Kind != "test" {
			t.Errorf("%s: limit: got %+v of %q, want inconclusive and no value", c.about, p.Limit, p.Kind)
		}
	}
}
