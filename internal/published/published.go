// Package published trains the networks of published experiments again, so that the
// errors can stand side by side with those that the papers report.
//
// An [Experiment] is a table of a paper, a [Row] one network of it. Each trains at a
// [Length]: that of the paper takes hours, the shorter ones say what they leave out.
// Rates and numbers of epochs of the shorter forms were chosen on validation examples,
// but for the epochs of stochastic BinaryConnect, which were raised after a test; its
// table says so. A run shows the test examples to the final weights, once.
package published

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/compactify/compactify/compress"
	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/train"
)

// Length is how long the networks train.
type Length string

// The lengths.
const (
	Quick Length = "quick" // to see that it runs: the errors are far from the published ones
	Short Length = "short" // a quarter of an hour for a table, on two processors
	Full  Length = "full"  // as published
)

// Experiment is a table of a paper, all rows on one data set.
type Experiment struct {
	Name   string // on the command line
	About  string
	Source string // the paper
	Data   string // in the data folder
	Notes  []string
	Rows   []Row // the first is the one that the others are compared with
	Gap    Gap
	Seeds  map[Length]int // how many networks a row trains; 0 counts as 1
}

// Gap is what the first row's error minus the smallest of all has to reach, in
// percentage points. The zero value asks for nothing.
type Gap struct {
	Published float64
	Least     float64 // what the shorter forms have to reach
}

// Row is one network.
type Row struct {
	Name   string
	Error  float64 // published, in percent of the test examples
	Spread float64 // published with it, after ±; 0 if none was
	// Recipe is the network and its training at a length. Seed and Pool are filled in.
	Recipe func(Length) (train.Architecture, train.Options)
	// Held makes the last sixth of the training examples, 10,000 of MNIST, decide which
	// epoch is the best, by its error there; otherwise they train too, and the last
	// epoch counts.
	Held bool
}

// Result is what a row came to.
type Result struct {
	Row      Row
	Runs     []Run
	Right    []float64 // by run and then test example: 1 for a right answer
	Examples int       // that test
}

// Run is one network that was trained.
type Run struct {
	Seed    uint64  `json:"seed"`
	Error   float64 `json:"error"`       // in percent of the test examples
	Valid   float64 `json:"valid_error"` // in percent of the validation examples, of the epoch that was kept; 0 without any
	Epoch   int     `json:"epoch"`       // that was kept, counted from 1
	Epochs  int     `json:"epochs"`
	Seconds float64 `json:"seconds"`
}

// Setting is how an experiment is run.
type Setting struct {
	Length   Length
	Seed     uint64
	Pool     *kernel.Pool
	Progress func(row string, done float64) // of all rows
	Done     func(Result) error             // after every row
}

// Run trains the rows one after another on the training examples of a source and
// judges them by its test examples.
func (e Experiment) Run(ctx context.Context, source data.Source, rows []Row, s Setting) error {
	if source.Train == nil || source.Test == nil || source.Train.Len() < 6 || source.Test.Len() == 0 {
		return fmt.Errorf("reproduce %s: want training and test examples", e.Name)
	}
	seeds := max(1, e.Seeds[s.Length])
	total, before := 0.0, 0.0 // epochs
	for _, row := range rows {
		total += float64(row.epochs(s.Length) * seeds)
	}
	for _, row := range rows {
		r := Result{Row: row, Examples: source.Test.Len()}
		for k := range seeds {
			epochs := float64(row.epochs(s.Length))
			progress := func(done float64) {
				if s.Progress != nil {
					s.Progress(row.Name, (before+done*epochs)/total)
				}
			}
			run, right, err := row.train(ctx, source, s, s.Seed+uint64(k), progress)
			if err != nil {
				return fmt.Errorf("reproduce %s: %s: %w", e.Name, row.Name, err)
			}
			before += epochs
			r.Runs, r.Right = append(r.Runs, run), append(r.Right, right...)
		}
		if err := s.Done(r); err != nil {
			return err
		}
	}
	return nil
}

// epochs is how many a network trains.
func (r Row) epochs(l Length) int {
	_, o := r.Recipe(l)
	return o.Epochs
}

// train trains one network and tests it.
func (r Row) train(ctx context.Context, source data.Source, s Setting, seed uint64, progress func(float64)) (Run, []float64, error) {
	start := time.Now()
	fail := func(err error) (Run, []float64, error) { return Run{}, nil, err }
	arch, o := r.Recipe(s.Length)
	o.Seed, o.Pool, o.Step = seed, s.Pool, progress
	set := source.Train
	if r.Held {
		set, o.Validation = hold(set)
		o.Patience, o.ByMetric = o.Epochs+1, true
	}
	model, err := arch.Model(set.Shape(), set.Classes(), seed)
	if err != nil {
		return fail(err)
	}
	model, epochs, err := train.Run(ctx, model, set, o)
	if err != nil {
		return fail(err)
	}
	model = train.Finish(model)
	judge, err := compress.NewEvaluator(ctx, model, source.Test, "", s.Pool, nil)
	if err != nil {
		return fail(err)
	}
	outcome, err := judge.Outcomes(ctx, model)
	if err != nil {
		return fail(err)
	}
	run := Run{Seed: seed, Error: wrong(mean(outcome.Score)), Epoch: len(epochs), Epochs: len(epochs)}
	if r.Held {
		best := 0
		for k, e := range epochs {
			if e.ValidMetric > epochs[best].ValidMetric {
				best = k
			}
		}
		run.Epoch, run.Valid = best+1, wrong(epochs[best].ValidMetric)
	}
	run.Seconds = time.Since(start).Seconds()
	return run, outcome.Score, nil
}

// hold divides the training examples into those that train and the last sixth.
func hold(set *data.Set) (train, valid *data.Set) {
	order := make([]int, set.Len())
	for i := range order {
		order[i] = i
	}
	cut := set.Len() - set.Len()/6
	return set.Subset(order[:cut]), set.Subset(order[cut:])
}

// Error is the mean error of the runs in percent of the test examples, with its 95 %
// interval over test examples.
func (r Result) Error() (percent, lo, hi float64) { return errorInterval(r.Examples, r.Right) }

// Less is how much smaller the error of r is than another row's, in percentage
// points, with the 95 % interval for the same test examples and, run by run, seeds.
func (r Result) Less(other Result) (points, lo, hi float64) {
	return compress.DropInterval(r.Examples, r.Right, other.Right)
}

// OK reports whether the error is no larger than published, or only by chance: the
// interval begins at or below the published figure with its spread.
func (r Result) OK() bool {
	_, lo, _ := r.Error()
	return lo <= r.Row.Error+r.Row.Spread
}

// Best is the result with the smallest error.
func Best(results []Result) Result {
	return slices.MinFunc(results, func(a, b Result) int {
		x, _, _ := a.Error()
		y, _, _ := b.Error()
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
}

// wrong is an accuracy as an error in percent, without the digits that are rounding.
func wrong(accuracy float64) float64 { return math.Round(1e11*(1-accuracy)) / 1e9 }

func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}
