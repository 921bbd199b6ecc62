package compactify

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// BudgetKind says what a budget limits.
type BudgetKind string

// The kinds of budgets.
const (
	MetricDrop BudgetKind = "pp"   // drop of the metric, percentage points
	LossRise   BudgetKind = "nats" // rise of the mean loss, nats per example
	KLFrom     BudgetKind = "kl"   // mean KL from the original model, nats per example
	MinSNR     BudgetKind = "snr"  // least signal-to-noise ratio of the outputs, dB
)

// Budget is how far a compact model may be from the original.
type Budget struct {
	Kind  BudgetKind
	Limit float64 // in the kind's unit; ≥ 0, for MinSNR any finite number
}

// DefaultBudget is a drop of one percentage point.
var DefaultBudget = Budget{MetricDrop, 1}

// ParseBudget reads "1pp", "0.05nats", "kl:0.01" or "snr:30". A number without
// a unit is an error: a budget must say what it limits.
func ParseBudget(s string) (Budget, error) {
	var b Budget
	number := s
	switch {
	case strings.HasPrefix(s, "kl:"):
		b.Kind, number = KLFrom, s[3:]
	case strings.HasPrefix(s, "snr:"):
		b.Kind, number = MinSNR, s[4:]
	case strings.HasSuffix(s, "pp"):
		b.Kind, number = MetricDrop, strings.TrimSuffix(s, "pp")
	case strings.HasSuffix(s, "nats"):
		b.Kind, number = LossRise, strings.TrimSuffix(s, "nats")
	default:
		return Budget{}, fmt.Errorf("parse budget %q: no unit: want 1pp, 0.05nats, kl:0.01 or snr:30", s)
	}
	want := "a finite number ≥ 0"
	if b.Kind == MinSNR {
		want = "a finite number"
	}
	x, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || math.IsNaN(x) || math.IsInf(x, 0) || (x < 0 && b.Kind != MinSNR) {
		return Budget{}, fmt.Errorf("parse budget %q: number: got %q, want %s", s, number, want)
	}
	b.Limit = x
	return b, nil
}

// String writes the budget as [ParseBudget] reads it.
func (b Budget) String() string {
	x := strconv.FormatFloat(b.Limit, 'g', -1, 64)
	switch b.Kind {
	case KLFrom, MinSNR:
		return string(b.Kind) + ":" + x
	}
	return x + string(b.Kind)
}

// perPoint is how finely a drop in percentage points is told. Accuracies are
// shares of examples whose difference in floating point is not exact: 0.9907 −
// 0.9807 would exceed a limit of one point.
const perPoint = 1e9

// Spent is how much of the budget m uses against the original's measure, in the
// budget's unit. It may be negative: a compact model may be better. For MinSNR
// it is the ratio itself, and more is better.
func (b Budget) Spent(original, m Measure) float64 {
	switch b.Kind {
	case MetricDrop:
		return math.Round(100*(original.Metric-m.Metric)*perPoint) / perPoint
	case LossRise:
		return m.Loss - original.Loss
	case KLFrom:
		return m.KL
	}
	return m.SNR
}

// Holds reports whether m is inside the budget. A NaN never is.
func (b Budget) Holds(original, m Measure) bool { return b.Within(b.Spent(original, m)) }

// Within reports whether a spent amount is inside the budget.
func (b Budget) Within(spent float64) bool {
	if b.Kind == MinSNR {
		return spent >= b.Limit
	}
	return spent <= b.Limit
}
