// Package words writes figures for people: sizes, shares, times and amounts of a
// budget, the same on a page and on a terminal.
package words

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/compactify/compactify"
)

// Unmeasured stands for a NaN: figures that do not exist are never shown as 0.
const Unmeasured = "not measured"

// Number writes x with four significant digits, NaN and infinities in words,
// large and small numbers as powers of ten.
func Number(x float64) string { return Significant(x, 4) }

func Significant(x float64, digits int) string {
	switch {
	case math.IsNaN(x):
		return Unmeasured
	case math.IsInf(x, 1):
		return "∞"
	case math.IsInf(x, -1):
		return "−∞"
	case x == 0:
		return "0"
	}
	s := strconv.FormatFloat(x, 'e', digits-1, 64)
	mantissa, exponent, _ := strings.Cut(s, "e")
	e, _ := strconv.Atoi(exponent)
	if e < -4 || e > 6 {
		return minus(trimZeros(mantissa)) + " × 10" + superscript(e)
	}
	return minus(trimZeros(strconv.FormatFloat(x, 'f', max(0, digits-1-e), 64)))
}

func trimZeros(s string) string {
	if !strings.Contains(s, ".") {
		return s
	}
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// minus replaces the hyphen by the sign, which is as wide as a digit.
func minus(s string) string { return strings.Replace(s, "-", "−", 1) }

var superscripts = strings.NewReplacer("-", "⁻", "0", "⁰", "1", "¹", "2", "²", "3", "³", "4", "⁴", "5", "⁵", "6", "⁶", "7", "⁷", "8", "⁸", "9", "⁹")

// PowerOfTen writes 10ᵉ.
func PowerOfTen(e int) string { return "10" + superscript(e) }

func superscript(e int) string { return superscripts.Replace(strconv.Itoa(e)) }

// Fixed writes x with the given number of decimals.
func Fixed(x float64, decimals int) string {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return Number(x)
	}
	s := strconv.FormatFloat(x, 'f', decimals, 64)
	if strings.Trim(s, "-0.") == "" {
		s = strings.TrimPrefix(s, "-")
	}
	return minus(s)
}

// Percent writes a share of one.
func Percent(x float64, decimals int) string {
	if math.IsNaN(x) {
		return Unmeasured
	}
	return Fixed(100*x, decimals) + " %"
}

var byteUnits = []string{"bytes", "kB", "MB", "GB", "TB"}

// ByteUnit is the unit in which a size, rounded to three digits, is shortest.
func ByteUnit(n float64) (name string, factor float64) {
	i, factor := 0, 1.0
	for ; math.Abs(n) >= 999.5*factor && i < len(byteUnits)-1; i++ {
		factor *= 1000
	}
	return byteUnits[i], factor
}

// Size writes a number of bytes with three significant digits, in decimal
// units.
func Size(n int) string {
	unit, factor := ByteUnit(float64(n))
	if factor == 1 {
		return strconv.Itoa(n) + " " + unit
	}
	return Significant(float64(n)/factor, 3) + " " + unit
}

// Grouped writes an integer with a comma between thousands.
func Grouped(n int) string {
	s := strconv.Itoa(n)
	sign := ""
	if n < 0 {
		sign, s = "−", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// Count writes a number with its noun, in the singular for 1.
func Count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Grouped(n) + " " + many
}

// Recomputed says that each step of some work does so many operations twice, and
// how many bytes that saves.
func Recomputed(work string, operations, saved int) string {
	return fmt.Sprintf("to fit in memory, %s computes %s of every step twice, which saves %s", work, Count(operations, "operation", "operations"), Size(saved))
}

// Smaller says by how much a size shrank.
func Smaller(before, after int) string {
	switch {
	case before <= 0 || after <= 0:
		return ""
	case after < before:
		return Significant(float64(before)/float64(after), 3) + "× smaller"
	case after == before:
		return "not smaller"
	}
	return "not smaller: " + Significant(float64(after)/float64(before), 3) + "× larger"
}

// Metric writes a value of the metric with its unit.
func Metric(name string, x float64) string {
	if isShare(name) {
		return Percent(x, 2)
	}
	return Number(x)
}

// isShare reports whether a metric counts answers, and so reads as a percentage.
func isShare(name string) bool {
	return strings.Contains(name, "accuracy") || strings.Contains(name, "agreement")
}

// LossName names the loss with its unit, which follows from the metric: answers
// that are classes are judged in nats, numbers by their squared error.
func LossName(metric string) string {
	switch {
	case isShare(metric):
		return "loss (nats)"
	case metric == "R²", metric == noMetric:
		return "mean squared error"
	}
	return "loss"
}

// noMetric is the name of the metric that signals do not have.
const noMetric = "none"

// HasMetric reports whether there is a metric of that name: signals have none.
func HasMetric(name string) bool { return name != noMetric }

// LossAxis names the axis of the loss.
func LossAxis(metric string) string {
	if isShare(metric) {
		return "loss (nats per example)"
	}
	return LossName(metric)
}

// Loss writes a loss with its unit.
func Loss(metric string, x float64) string {
	if isShare(metric) && !math.IsNaN(x) {
		return Number(x) + " nats"
	}
	return Number(x)
}

// Amount writes a quantity of the budget with its unit.
func Amount(kind compactify.BudgetKind, x float64) string {
	if math.IsNaN(x) {
		return Unmeasured
	}
	unit := map[compactify.BudgetKind]string{compactify.MetricDrop: "pp", compactify.LossRise: "nats",
		compactify.KLFrom: "nats", compactify.MinSNR: "dB"}[kind]
	return strings.TrimSpace(Significant(x, 3) + " " + unit)
}

// Used writes how much of a budget is used up. An SNR is nothing that is spent: it is
// reached.
func Used(kind compactify.BudgetKind, x float64) string {
	if kind == compactify.MinSNR {
		return Amount(kind, x) + " reached"
	}
	return Amount(kind, x) + " spent"
}

// UsedOf writes how much of a budget is used up, with its limit.
func UsedOf(b compactify.Budget, x float64) string {
	if b.Kind == compactify.MinSNR {
		return fmt.Sprintf("%s reached, %s wanted", Amount(b.Kind, x), Amount(b.Kind, b.Limit))
	}
	return fmt.Sprintf("%s of %v spent", Amount(b.Kind, x), b)
}

// UsedName heads a column of amounts of a budget.
func UsedName(kind compactify.BudgetKind) string {
	if kind == compactify.MinSNR {
		return "SNR"
	}
	return "spent"
}

// NoiseShare writes a signal-to-noise ratio in dB as the noise's share of the power.
func NoiseShare(decibels float64) string {
	if math.IsNaN(decibels) {
		return Unmeasured
	}
	return "noise/power " + Significant(100*math.Pow(10, -decibels/10), 2) + " %"
}

// Limit says in a sentence's object what a budget allows.
func Limit(b compactify.Budget, metric string) string {
	switch b.Kind {
	case compactify.MetricDrop:
		noun := "percentage points"
		if b.Limit == 1 {
			noun = "percentage point"
		}
		return fmt.Sprintf("%s may fall by at most %s %s", metric, Number(b.Limit), noun)
	case compactify.LossRise:
		return fmt.Sprintf("the mean loss may rise by at most %s nats per example", Number(b.Limit))
	case compactify.KLFrom:
		return fmt.Sprintf("the answers may differ from the original's by at most %s nats per example (Kullback–Leibler divergence)", Number(b.Limit))
	case compactify.MinSNR:
		return fmt.Sprintf("the signal-to-noise ratio of the outputs against the original's must be at least %s dB", Number(b.Limit))
	}
	return "unknown budget " + string(b.Kind)
}

// SpentLabel names the axis on which a budget is used up.
func SpentLabel(kind compactify.BudgetKind) string {
	switch kind {
	case compactify.MetricDrop:
		return "drop of the metric (percentage points)"
	case compactify.LossRise:
		return "rise of the loss (nats per example)"
	case compactify.KLFrom:
		return "divergence from the original (nats per example)"
	case compactify.MinSNR:
		return "signal-to-noise ratio of the outputs (dB)"
	}
	return "spent"
}

// Milliseconds writes a time given in milliseconds; one that is not positive was
// not measured.
func Milliseconds(x float64) string {
	if !(x > 0) {
		return Unmeasured
	}
	if x < 0.1 {
		return Significant(1000*x, 3) + " µs"
	}
	return Significant(x, 3) + " ms"
}

// Speed compares two times; within 5 % they count as equal.
func Speed(before, after float64) string {
	if !(before > 0) || !(after > 0) {
		return ""
	}
	switch ratio := before / after; {
	case ratio > 1.05:
		return Significant(ratio, 3) + "× faster here"
	case ratio < 0.95:
		return Significant(1/ratio, 3) + "× slower here"
	}
	return "no faster here"
}

// Duration writes a time given in seconds.
func Duration(seconds float64) string {
	if seconds < 120 {
		return Significant(seconds, 3) + " s"
	}
	return fmt.Sprintf("%d min %d s", int(seconds)/60, int(seconds)%60)
}
