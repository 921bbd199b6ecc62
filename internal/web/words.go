package web

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/compactify/compactify"
)

// unmeasured stands for a NaN: figures that do not exist are never shown as 0.
const unmeasured = "not measured"

// number writes x with four significant digits, NaN and infinities in words,
// large and small numbers as powers of ten.
func number(x float64) string { return significant(x, 4) }

func significant(x float64, digits int) string {
	switch {
	case math.IsNaN(x):
		return unmeasured
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

func superscript(e int) string { return superscripts.Replace(strconv.Itoa(e)) }

// fixed writes x with the given number of decimals.
func fixed(x float64, decimals int) string {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return number(x)
	}
	s := strconv.FormatFloat(x, 'f', decimals, 64)
	if strings.Trim(s, "-0.") == "" {
		s = strings.TrimPrefix(s, "-")
	}
	return minus(s)
}

// percent writes a share of one.
func percent(x float64, decimals int) string {
	if math.IsNaN(x) {
		return unmeasured
	}
	return fixed(100*x, decimals) + " %"
}

var byteUnits = []string{"bytes", "kB", "MB", "GB", "TB"}

// byteUnit is the unit in which a size, rounded to three digits, is shortest.
func byteUnit(n float64) (name string, factor float64) {
	i, factor := 0, 1.0
	for ; math.Abs(n) >= 999.5*factor && i < len(byteUnits)-1; i++ {
		factor *= 1000
	}
	return byteUnits[i], factor
}

// size writes a number of bytes with three significant digits, in decimal
// units.
func size(n int) string {
	unit, factor := byteUnit(float64(n))
	if factor == 1 {
		return strconv.Itoa(n) + " " + unit
	}
	return significant(float64(n)/factor, 3) + " " + unit
}

// grouped writes an integer with a comma between thousands.
func grouped(n int) string {
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

// count writes a number with its noun, in the singular for 1.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(n) + " " + many
}

// smaller says by how much a size shrank.
func smaller(before, after int) string {
	switch {
	case before <= 0 || after <= 0:
		return ""
	case after < before:
		return significant(float64(before)/float64(after), 3) + "× smaller"
	case after == before:
		return "not smaller"
	}
	return significant(float64(after)/float64(before), 3) + "× larger"
}

// metricText writes a value of the metric with its unit.
func metricText(name string, x float64) string {
	if isShare(name) {
		return percent(x, 2)
	}
	return number(x)
}

// isShare reports whether a metric counts answers, and so reads as a percentage.
func isShare(name string) bool {
	return strings.Contains(name, "accuracy") || strings.Contains(name, "agreement")
}

// amount writes a quantity of the budget with its unit.
func amount(kind compactify.BudgetKind, x float64) string {
	if math.IsNaN(x) {
		return unmeasured
	}
	unit := map[compactify.BudgetKind]string{compactify.MetricDrop: "pp", compactify.LossRise: "nats",
		compactify.KLFrom: "nats", compactify.MinSNR: "dB"}[kind]
	return strings.TrimSpace(significant(x, 3) + " " + unit)
}

// limitText says in a sentence's object what a budget allows.
func limitText(b compactify.Budget, metric string) string {
	switch b.Kind {
	case compactify.MetricDrop:
		noun := "percentage points"
		if b.Limit == 1 {
			noun = "percentage point"
		}
		return fmt.Sprintf("%s may fall by at most %s %s", metric, number(b.Limit), noun)
	case compactify.LossRise:
		return fmt.Sprintf("the mean loss may rise by at most %s nats per example", number(b.Limit))
	case compactify.KLFrom:
		return fmt.Sprintf("the answers may differ from the original's by at most %s nats per example (Kullback–Leibler divergence)", number(b.Limit))
	case compactify.MinSNR:
		return fmt.Sprintf("the outputs must stay within %s dB of the original's (signal-to-noise ratio)", number(b.Limit))
	}
	return "unknown budget " + string(b.Kind)
}

// spentLabel names the axis on which a budget is used up.
func spentLabel(kind compactify.BudgetKind) string {
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
