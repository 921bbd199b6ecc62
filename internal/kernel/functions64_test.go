package kernel

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

const oracleBits = 160

func bigFloat(x float64) *big.Float { return new(big.Float).SetPrec(oracleBits).SetFloat64(x) }

// bigExp is eˣ = (e^{x/2^16})^{2^16} by its Taylor series.
func bigExp(x *big.Float) *big.Float {
	const halvings = 16
	r := new(big.Float).SetMantExp(x, -halvings)
	sum, term := bigFloat(1), bigFloat(1)
	for n := 1; n < 40; n++ {
		term.Quo(term.Mul(term, r), bigFloat(float64(n)))
		sum.Add(sum, term)
	}
	for range halvings {
		sum.Mul(sum, sum)
	}
	return sum
}

// bigLogOnePlus is log(1 + x) by Newton's method, or for small x by its Taylor series.
func bigLogOnePlus(x float64) *big.Float {
	if x < 1e-9 {
		b := bigFloat(x)
		sum := new(big.Float).Quo(b, bigFloat(3)) // x − x²·(½ − x/3)
		sum.Sub(bigFloat(0.5), sum)
		return sum.Sub(b, sum.Mul(sum, new(big.Float).Mul(b, b)))
	}
	u := new(big.Float).Add(bigFloat(x), bigFloat(1))
	y := bigFloat(math.Log1p(x))
	for range 3 { // y += 2 (u − eʸ)/(u + eʸ)
		e := bigExp(y)
		step := new(big.Float).Quo(new(big.Float).Sub(u, e), new(big.Float).Add(u, e))
		y.Add(y, step.Add(step, step))
	}
	return y
}

// ulps64 is the distance of got from want in units of want's last place.
func ulps64(got float64, want *big.Float) float64 {
	w, _ := want.Float64()
	unit := max(math.Nextafter(math.Abs(w), math.Inf(1))-math.Abs(w), math.SmallestNonzeroFloat64)
	d, _ := new(big.Float).Sub(bigFloat(got), want).Float64()
	return math.Abs(d / unit)
}

// TestFunctions64Accuracy against 160 bits, in all sets.
func TestFunctions64Accuracy(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	x := []float64{0, math.Copysign(0, -1), 1e-300, -1e-17, 1, -1, 0.5, -math.Ln2, -0.5 * math.Ln2, 709.7, -708, -740, -745, 36.7, -36.7}
	for range 600 {
		x = append(x, r.NormFloat64(), 60*r.NormFloat64(), r.Float64()*math.Exp(-40*r.Float64()))
	}
	for set := Portable; set <= Best(); set++ {
		dst, e, l := make([]float64, len(x)), make([]float64, len(x)), make([]float64, len(x))
		Exp64(set, dst, x)
		Softplus64(set, e, l, x)
		worst := map[string]float64{}
		check := func(what string, at, got float64, want *big.Float) {
			u := ulps64(got, want)
			worst[what] = max(worst[what], u)
			if !(u <= 1.5) {
				t.Errorf("%v: %s at %v: got %v, off by %v ulp", set, what, at, got, u)
			}
		}
		for i, v := range x {
			check("exp", v, dst[i], bigExp(bigFloat(v)))
			check("exp of −|x|", v, e[i], bigExp(bigFloat(-math.Abs(v))))
			if e[i] > 0 {
				check("log(1+e)", e[i], l[i], bigLogOnePlus(e[i]))
			}
		}
		t.Logf("%v: worst errors in ulp: %v", set, worst)
	}
}

// TestLogOnePlus64 covers [0, 1], which exponentials of random numbers visit unevenly.
func TestLogOnePlus64(t *testing.T) {
	const n = 1500
	worst := 0.0
	for i := range n + 1 {
		x := float64(i) / n
		u := ulps64(logOnePlus64(x), bigLogOnePlus(x))
		if worst = max(worst, u); i > 0 && u > 1.5 {
			t.Errorf("at %v: off by %v ulp", x, u)
		}
	}
	t.Logf("worst error %.3v ulp", worst)
}

// TestFunctions64Special: limits, overflow, NaN; and the same bits in every set at any
// length, in place or not.
func TestFunctions64Special(t *testing.T) {
	for x, want := range map[float64]float64{math.Inf(1): math.Inf(1), math.Inf(-1): 0, 710: math.Inf(1), 1e300: math.Inf(1), -746: 0, -1e300: 0, 0: 1} {
		for set := Portable; set <= Best(); set++ {
			dst := []float64{x, x, x}
			Exp64(set, dst, dst)
			for _, got := range dst {
				if got != want {
					t.Errorf("%v: exp(%v): got %v, want %v", set, x, got, want)
				}
			}
		}
	}
	for n := range 70 {
		x := ramp(n+1, 1)[:n]
		for i := range x {
			x[i] *= 40
		}
		if n > 3 {
			x[2] = math.NaN()
		}
		want, wantE, wantL := make([]float64, n), make([]float64, n), make([]float64, n)
		for i, v := range x {
			want[i], wantE[i] = exp64(v), exp64(-math.Abs(v))
			wantL[i] = logOnePlus64(wantE[i])
		}
		for set := Portable; set <= Best(); set++ {
			got, e, l := make([]float64, n+1)[:n], append([]float64(nil), x...), make([]float64, n)
			Exp64(set, got, x)
			Softplus64(set, e, l, e)
			for i := range x {
				if !equalBits64(got[i], want[i]) || !equalBits64(e[i], wantE[i]) || !equalBits64(l[i], wantL[i]) {
					t.Fatalf("%v, element %d of %d: got %v, %v and %v, want %v, %v and %v", set, i, n, got[i], e[i], l[i], want[i], wantE[i], wantL[i])
				}
			}
			if n > 3 && !math.IsNaN(got[2]) {
				t.Errorf("%v: exp(NaN): got %v", set, got[2])
			}
		}
	}
}

func BenchmarkFunctions64(b *testing.B) {
	x, e, l := ramp(1000, 1), make([]float64, 1000), make([]float64, 1000)
	for set := Portable; set <= Best(); set++ {
		b.Run(fmt.Sprintf("exp/%v", set), func(b *testing.B) {
			for b.Loop() {
				Exp64(set, e, x)
			}
		})
		b.Run(fmt.Sprintf("softplus/%v", set), func(b *testing.B) {
			for b.Loop() {
				Softplus64(set, e, l, x)
			}
		})
	}
	b.Run("softplus/math", func(b *testing.B) {
		for b.Loop() {
			for i, v := range x {
				e[i] = math.Exp(-math.Abs(v))
				l[i] = math.Log1p(e[i])
			}
		}
	})
}
