package compactify

import (
	"math"
	"strings"
	"testing"
)

func TestParseBudget(t *testing.T) {
	for _, c := range []struct {
		text string
		want Budget
		err  string // part of the message; "" means none
	}{
		{text: "1pp", want: Budget{MetricDrop, 1}},
		{text: "0.5 pp", want: Budget{MetricDrop, 0.5}},
		{text: "0pp", want: Budget{MetricDrop, 0}},
		{text: "0.05nats", want: Budget{LossRise, 0.05}},
		{text: "1e-3nats", want: Budget{LossRise, 1e-3}},
		{text: "kl:0.01", want: Budget{KLFrom, 0.01}},
		{text: "snr:30", want: Budget{MinSNR, 30}},
		{text: "snr:-3", want: Budget{MinSNR, -3}}, // more noise than signal is a ratio too
		{text: "", err: "no unit"},
		{text: "1", err: "no unit"},
		{text: "1%", err: "no unit"},
		{text: "kl", err: "no unit"},
		{text: "1PP", err: "no unit"},
		{text: "pp", err: `got "", want a finite number ≥ 0`},
		{text: "-1pp", err: `got "-1", want a finite number ≥ 0`},
		{text: "-0.1nats", err: "want a finite number ≥ 0"},
		{text: "NaNpp", err: "want a finite number ≥ 0"},
		{text: "kl:inf", err: "want a finite number ≥ 0"},
		{text: "kl:1e999", err: "want a finite number ≥ 0"},
		{text: "kl:0,01", err: "want a finite number ≥ 0"},
		{text: "snr:", err: `got "", want a finite number`},
		{text: "snr:NaN", err: "want a finite number"},
	} {
		got, err := ParseBudget(c.text)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("ParseBudget(%q): got %v, error %v, want one that says %q", c.text, got, err, c.err)
			}
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("ParseBudget(%q): got %v, error %v, want %v", c.text, got, err, c.want)
		}
		if back, err := ParseBudget(got.String()); err != nil || back != got {
			t.Errorf("ParseBudget(%q): got %v, error %v, want %v: String must read back", got.String(), back, err, got)
		}
	}
}

func TestBudgetSpentAndHolds(t *testing.T) {
	original := Measure{Loss: 0.5, Metric: 0.75, SNR: math.Inf(1)}
	m := Measure{Loss: 0.625, Metric: 0.5, KL: 0.125, SNR: 20}
	nan := Measure{Loss: math.NaN(), Metric: math.NaN(), KL: math.NaN(), SNR: math.NaN()}
	for _, c := range []struct {
		kind         BudgetKind
		spent        float64
		enough, less float64 // the tightest limit that holds, and one that does not
	}{
		{MetricDrop, 25, 25, 24.9}, // 100·(0.75 − 0.5)
		{LossRise, 0.125, 0.125, 0.12},
		{KLFrom, 0.125, 0.125, 0.12},
		{MinSNR, 20, 20, 20.1},
	} {
		enough, less := Budget{c.kind, c.enough}, Budget{c.kind, c.less}
		if got := enough.Spent(original, m); got != c.spent {
			t.Errorf("%v: spent: got %v, want %v", c.kind, got, c.spent)
		}
		if !enough.Holds(original, m) || less.Holds(original, m) {
			t.Errorf("%v holds: got %v at limit %v and %v at %v, want true and false",
				c.kind, enough.Holds(original, m), c.enough, less.Holds(original, m), c.less)
		}
		if !enough.Holds(original, original) {
			t.Errorf("%v: does not hold for the original itself", enough)
		}
		if enough.Holds(original, nan) || (Budget{c.kind, 1e300}).Within(math.NaN()) {
			t.Errorf("%v: holds for NaN", c.kind)
		}
	}
	// A hundred of ten thousand answers are exactly one point, although
	// 100·(0.9907 − 0.9807) in floating point is more.
	if got := (Budget{MetricDrop, 1}).Spent(Measure{Metric: 0.9907}, Measure{Metric: 0.9807}); got != 1 {
		t.Errorf("spent by a hundred answers of ten thousand: got %v, want 1", got)
	}
	better := Measure{Loss: 0.25, Metric: 1}
	if got := (Budget{MetricDrop, 0}).Spent(original, better); got != -25 {
		t.Errorf("spent by a better model: got %v, want -25", got)
	}
}
