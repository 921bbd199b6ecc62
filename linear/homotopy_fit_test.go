package linear

import (
	"context"
	"encoding/csv"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// wdbc is the Wisconsin diagnostic breast cancer data, classes as numbers: [569, 30].
func wdbc(t *testing.T) Problem { return tabular(t, "wdbc/wdbc.csv") }

// tabular is a table of numbers without a header, the last column being the target.
func tabular(t *testing.T, name string) Problem {
	t.Helper()
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Skip("no module root above the package")
		}
	}
	f, err := os.Open(filepath.Join(dir, "../shared/data/tabular", name))
	if err != nil {
		t.Skipf("no data: %v", err)
	}
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	p := Problem{}
	rows := make([][]float64, len(lines))
	for i, line := range lines {
		for _, s := range line {
			v, err := strconv.ParseFloat(s, 64)
			if err != nil {
				t.Fatal(err)
			}
			rows[i] = append(rows[i], v)
		}
		last := len(line) - 1
		p.Y, rows[i] = append(p.Y, rows[i][last]), rows[i][:last]
	}
	p.X = columnsOf(t, rows)
	return p
}

// TestHomotopyAgainstFit: the solver of grids and the exact path have the same
// objectives, up to the gap that the solver states, and that gap is proved in rational
// numbers.
func TestHomotopyAgainstFit(t *testing.T) {
	problems := map[string]func(t *testing.T) Problem{
		"wdbc": wdbc,
		"wide": func(*testing.T) Problem { return random(19, 20, 40, true) },
		"tall": func(*testing.T) Problem { return random(20, 60, 12, true) },
	}
	for name, problem := range problems {
		t.Run(name, func(t *testing.T) {
			p := problem(t)
			for _, o := range []Options{DefaultOptions(), {Standardize: true}} {
				o.Count = 25
				path, err := Fit(context.Background(), p, Penalty{Alpha: 1}, o)
				if err != nil {
					t.Fatal(err)
				}
				b := homotopy(t, p, HomotopyOptions{Options: o, Exact: true})
				if math.Abs(path.LambdaMax-b.LambdaMax) > 1e-13*b.LambdaMax {
					t.Errorf("λ_max: got %v, exactly %v", path.LambdaMax, b.LambdaMax)
				}
				for _, x := range path.Points {
					want, err := b.At(x.Lambda)
					if err != nil {
						t.Fatal(err)
					}
					const sums = 1e-13 // of the last digits of losses
					if above := (x.Objective - want.Objective) / want.Objective; above > x.Gap+sums || above < -sums {
						t.Errorf("λ = %v: objective %v above the exact one, gap %v", x.Lambda, above, x.Gap)
					}
					if v := verifyGap(t, p, Penalty{Alpha: 1}, o, x); v.Relative > 1.01*x.Gap+1e-12 {
						t.Errorf("λ = %v: gap %v, proved only %v", x.Lambda, x.Gap, v.Relative)
					}
				}
			}
		})
	}
}
