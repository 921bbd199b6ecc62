package linear

import (
	"math"
	"strings"
	"testing"
)

// matrices are the same design [3, 2], dense and compressed.
func matrices(t *testing.T) map[string]*Matrix {
	t.Helper()
	dense, err := NewDense(3, 2, []float64{1, 0, 2, 0, -1, 0})
	if err != nil {
		t.Fatal(err)
	}
	sparse, err := NewSparse(3, 2, []int{0, 2, 3}, []int32{0, 2, 1}, []float64{1, 2, -1})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*Matrix{"dense": dense, "sparse": sparse}
}

func near(got, want []float64, tolerance float64) bool {
	if len(got) != len(want) {
		return false
	}
	for i := range got {
		if !(math.Abs(got[i]-want[i]) <= tolerance) {
			return false
		}
	}
	return true
}

// TestPredict: every family on three examples, worked out by hand.
func TestPredict(t *testing.T) {
	sigmoid := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	one := Path{Features: 2, Responses: 1, Points: []Point{{Intercept: []float64{0.5}, Index: []int{0, 1}, Value: []float64{2, 3}}}}
	eta := []float64{2.5, -2.5, 4.5} // 0.5 + 2·(1, 0, 2) + 3·(0, −1, 0)
	three := Path{Family: Multinomial, Features: 2, Responses: 3,
		Points: []Point{{Intercept: []float64{0, 1, 0}, Index: []int{0, 5}, Value: []float64{1, 1}}}}
	etas := []float64{1, 0, 2, 1, 1, 1, 0, -1, 0}
	part := func(a, b, c float64) float64 { return math.Exp(a) / (math.Exp(a) + math.Exp(b) + math.Exp(c)) }
	for _, c := range []struct {
		family Family
		path   Path
		y      []float64
		eta    []float64
		mean   []float64
		class  []int
		loss   float64
		metric float64
	}{
		{Gaussian, one, []float64{2.5, -1.5, 3.5}, eta, eta, nil,
			1.0 / 3,      // (0 + 1 + 1)/2 over 3 examples
			1 - 2/(14.0), // deviations from the mean 1.5: 1, −3, 2
		},
		{Binomial, one, []float64{1, 0, 0}, eta, []float64{sigmoid(2.5), sigmoid(-2.5), sigmoid(4.5)}, []int{1, 0, 1},
			(2*math.Log(1+math.Exp(-2.5)) + math.Log(1+math.Exp(4.5))) / 3, 2.0 / 3},
		{Poisson, one, []float64{12, 0, 90}, eta, []float64{math.Exp(2.5), math.Exp(-2.5), math.Exp(4.5)}, nil,
			(math.Exp(2.5) + math.Exp(-2.5) + math.Exp(4.5) - 12*2.5 - 90*4.5) / 3,
			1 - (12*(math.Log(12)-2.5)-12+math.Exp(2.5)+math.Exp(-2.5)+90*(math.Log(90)-4.5)-90+math.Exp(4.5))/
				(12*math.Log(12.0/34)+90*math.Log(90.0/34)),
		},
		{Multinomial, three, []float64{1, 1, 2}, etas, []float64{
			part(1, 1, 0), part(0, 1, -1), part(2, 1, 0),
			part(1, 1, 0), part(1, 0, -1), part(1, 2, 0),
			part(0, 1, 1), part(-1, 0, 1), part(0, 1, 2)}, []int{0, 1, 0},
			-(math.Log(part(1, 1, 0)) + math.Log(part(1, 0, -1)) + math.Log(part(0, 1, 2))) / 3, 1.0 / 3},
	} {
		for name, x := range matrices(t) {
			p := c.path
			p.Family = c.family
			got, err := p.Predict(0, x, nil)
			if err != nil || !near(got, c.eta, 1e-15) {
				t.Errorf("%v, %s: η: got %v, %v, want %v", c.family, name, got, err, c.eta)
			}
			if m := p.Mean(got); !near(m, c.mean, 1e-12*math.Exp(4.5)) {
				t.Errorf("%v: mean: got %v, want %v", c.family, m, c.mean)
			}
			for i, k := range p.Classify(got) {
				if k != c.class[i] {
					t.Errorf("%v: class of %d: got %d, want %d", c.family, i, k, c.class[i])
				}
			}
			s, err := p.Evaluate(0, Problem{X: x, Y: c.y})
			if err != nil || !near([]float64{s.Loss, s.Metric}, []float64{c.loss, c.metric}, 1e-13) {
				t.Errorf("%v: score: got %+v, %v, want %v, %v", c.family, s, err, c.loss, c.metric)
			}
			offset := make([]float64, len(got))
			for i := range offset {
				offset[i] = -got[i]
			}
			if zero, err := p.Predict(0, x, offset); err != nil || !near(zero, make([]float64, len(got)), 0) {
				t.Errorf("%v: with the offset −η: got %v, %v, want zeros", c.family, zero, err)
			}
		}
	}
}

// TestLossIsStable: far out the losses are the distance, not infinite and not 0/0.
func TestLossIsStable(t *testing.T) {
	for _, c := range []struct {
		family Family
		y      float64
		eta    []float64
		want   float64
	}{
		{Binomial, 0, []float64{1e4}, 1e4},
		{Binomial, 1, []float64{1e4}, 0},
		{Multinomial, 0, []float64{-1e4, 1e4, 0}, 2e4},
	} {
		if got := c.family.loss(c.y, c.eta, 0, 1); got != c.want {
			t.Errorf("%v, y = %v, η = %v: got %v, want %v", c.family, c.y, c.eta, got, c.want)
		}
	}
}

// TestPredictRefuses names what does not fit.
func TestPredictRefuses(t *testing.T) {
	x := matrices(t)["dense"]
	p := Path{Family: Binomial, Features: 2, Responses: 1, Points: []Point{{Intercept: []float64{0}}}}
	wide := p
	wide.Features = 3
	for _, c := range []struct {
		path    Path
		point   int
		problem Problem
		want    string
	}{
		{p, 1, Problem{X: x, Y: []float64{0, 1, 1}}, "point: got 1, want 0 to 0"},
		{wide, 0, Problem{X: x, Y: []float64{0, 1, 1}}, "columns: got 2, want 3"},
		{p, 0, Problem{X: x, Y: []float64{0, 1, 1}, Offset: []float64{1}}, "offsets: got 1, want 3"},
		{p, 0, Problem{X: x, Y: []float64{0, 1}}, "targets: got 2, want 3"},
		{p, 0, Problem{X: x, Y: []float64{0, 1, 2}}, "target of example 3: got 2, want a class from 0 to 1"},
		{p, 0, Problem{X: x, Y: []float64{0, 1, math.NaN()}}, "target of example 3: got NaN"},
		{p, 0, Problem{Y: []float64{0, 1, 2}}, "no design matrix"},
	} {
		if _, err := c.path.Evaluate(c.point, c.problem); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}
