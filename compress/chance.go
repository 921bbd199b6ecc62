package compress

import (
	"fmt"
	"math"

	"github.com/compactify/compactify/internal/words"
)

// checkSetup warns if the original model answers examples hardly better than chance: a
// budget says what may be lost of what a model can do, and means nothing if model,
// labels and the scale of the inputs do not belong together. Of two warnings the
// first is enough.
func (w *work) checkSetup(part string, e *Evaluator, original Outcome) {
	if len(w.result.Warnings) > 0 {
		return
	}
	if text := e.hardlyBetterThanChance(part, original); text != "" {
		w.result.Warnings = append(w.result.Warnings, text)
		if w.Warn != nil {
			w.Warn(text)
		}
	}
}

// hardly is the share of the way from chance to no mistake that a model must surely
// have gone to know something of its task: one for handwritten digits that is shown
// clothes still answers 15 % of them right, where chance is 10 %.
const hardly = 0.1

// hardlyBetterThanChance says that a classifier's accuracy on labelled examples is not
// surely above that of always answering their most frequent class, by more than
// [hardly], and what to look at; "" if it is, or if the labels are not classes.
func (e *Evaluator) hardlyBetterThanChance(part string, original Outcome) string {
	if original.Task != Classification {
		return ""
	}
	n := len(original.Score)
	accuracy, share := mean(original.Score), e.largestClass()
	if lo, _ := wilson(accuracy, n); lo > share+hardly*(1-share) {
		return ""
	}
	return fmt.Sprintf("the original model answers %s of the %s right, always answering their most frequent class %s: hardly better than chance, so what compression costs says little; check --normalize or --raw (how inputs are scaled), --label, the labels themselves and --eval",
		words.Percent(accuracy, 1), words.Count(n, part+" example", part+" examples"), words.Percent(share, 1))
}

// largestClass is the share of the most frequent class among the labels.
func (e *Evaluator) largestClass() float64 {
	count := make([]int, e.set.Classes())
	top := 0
	for i := range e.set.Len() {
		k := e.set.Label(i)
		count[k]++
		top = max(top, count[k])
	}
	return float64(top) / float64(e.set.Len())
}

// wilson is the 95 % interval of a share that was seen in n trials.
//
// Source: E. B. Wilson, "Probable inference, the law of succession, and statistical
// inference", Journal of the American Statistical Association 22 (1927), 209–212.
func wilson(share float64, n int) (lo, hi float64) {
	const z2 = normal95 * normal95
	m := float64(n)
	centre := (share + z2/(2*m)) / (1 + z2/m)
	half := normal95 / (1 + z2/m) * math.Sqrt(share*(1-share)/m+z2/(4*m*m))
	return centre - half, centre + half
}
