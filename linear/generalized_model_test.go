package linear

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// converges fails unless every point of a path reaches its gap.
func converges(t *testing.T, name string, p Problem, o Options) *Path {
	t.Helper()
	path, err := Fit(context.Background(), p, Penalty{Alpha: 1}, o)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for _, pt := range path.Points {
		if !pt.Converged {
			t.Errorf("%s: λ = %v: gap %v, KKT %v", name, pt.Lambda, pt.Gap, pt.KKT)
		}
	}
	return path
}

// TestGeneralizedRealColumns: columns of real tables are nearly collinear, the more so
// without an intercept, which lets their means stand.
func TestGeneralizedRealColumns(t *testing.T) {
	t.Run("wdbc", func(t *testing.T) {
		p := tabular(t, "wdbc/wdbc.csv")
		p.Family = Binomial
		o := DefaultOptions()
		o.MinRatio = 1e-6 // where coefficients are so large that their rounding shows in v
		converges(t, "with an intercept", p, o)
		o.MinRatio = DefaultOptions().MinRatio
		o.Intercept = false
		converges(t, "without", p, o)
		// What glmnet 4.1 reaches there, printed with five digits.
		o.Lambdas = []float64{1.2517e-4}
		if got := converges(t, "one λ", p, o).Points[0].Objective; math.Abs(got-0.044721) > 2e-6 {
			t.Errorf("objective: got %v, by glmnet 0.044721", got)
		}
	})
	t.Run("wine", func(t *testing.T) {
		p := tabular(t, "jbrownlee/wine.csv")
		for i := range p.Y {
			p.Y[i]--
		}
		p.Family, p.Classes = Multinomial, 3
		for _, standardize := range []bool{true, false} {
			o := DefaultOptions()
			o.Intercept, o.Standardize = false, standardize
			converges(t, fmt.Sprintf("standardize %v", standardize), p, o)
		}
	})
}

// TestGeneralizedCorrelatedColumns: columns that share nearly all of their variance, and
// targets that depend on what they do not share.
func TestGeneralizedCorrelatedColumns(t *testing.T) {
	const rows, cols = 120, 10
	for _, correlation := range []float64{0.999, 0.9999} {
		own, common := math.Sqrt(1-correlation), math.Sqrt(correlation)
		for seed := range uint64(3) {
			r := rand.New(rand.NewPCG(seed, 41))
			x, eta := make([]float64, rows*cols), make([]float64, rows)
			for i := range rows {
				shared := r.NormFloat64()
				for j := range cols {
					z := r.NormFloat64()
					x[j*rows+i] = common*shared + own*z
					if j < 4 {
						eta[i] += []float64{1, -1, 0.5, -0.5}[j] * z
					}
				}
			}
			design, err := NewDense(rows, cols, x)
			if err != nil {
				t.Fatal(err)
			}
			for _, family := range generalizedFamilies {
				p := Problem{X: design, Family: family, Y: make([]float64, rows)}
				for i, e := range eta {
					noisy := e + r.NormFloat64()
					switch family {
					case Binomial:
						p.Y[i] = math.Round(1 / (1 + math.Exp(-8*noisy)))
					case Multinomial:
						p.Classes = 3
						p.Y[i] = math.Round(2 / (1 + math.Exp(-noisy)))
					default:
						p.Y[i] = math.Round(math.Exp(noisy))
					}
				}
				o := DefaultOptions()
				o.Count, o.Intercept = 40, seed%2 == 0
				converges(t, fmt.Sprintf("%v, correlation %v, seed %d", family, correlation, seed), p, o)
			}
		}
	}
}
