package web

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"strings"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/compress"
	"github.com/compactify/compactify/internal/words"
)

// report is what the page of a run shows, in the order in which it shows it.
type report struct {
	Title, Headline, Verdict, VerdictClass, Lead string
	Tiles                                        []tile
	Done                                         []string
	Contract                                     []term
	Profiles                                     []profile
	Trials                                       *trials
	Ledger                                       *ledger
	Layers                                       []layerRow
	Alone                                        []compress.Alone
	AloneBytes                                   string
	Tensors                                      [][4]string
	Searched                                     string
	Verify                                       string
	VerifyOK, Verified                           bool
	Warnings, Notes, Caveats                     []string
	SNR                                          bool // the budget is a ratio that is reached, not an amount that is spent
	Record                                       []term
	Command                                      string
}

// tile is one figure before and after.
type tile struct{ Name, Before, After, Remark string }

// term is a row of a table of facts: its name, the fact, and what it means.
type term struct{ Name, Value, Meaning string }

func newReport(r *compress.Result, title string) report {
	b := budgetOf(r)
	p := report{Title: title, Headline: headline(r), Verdict: string(r.Budget.Verdict), VerdictClass: verdictClass(r.Budget.Verdict)}
	p.Lead, p.SNR = lead(r, b), b.Kind == compactify.MinSNR
	p.Tiles = tiles(r)
	p.Done = done(r)
	p.Contract = contract(r, b)
	for i, c := range r.Profiles {
		p.Profiles = append(p.Profiles, newProfile(fmt.Sprintf("profile-%d", i+1), c, b, r.Baseline.MetricName, legOf(r, c.Kind)))
	}
	p.Trials = newTrials(r, b)
	p.Ledger = newLedger(r)
	p.Layers = layerRows(r.Layers)
	p.Alone = r.Alone
	p.Tensors = fates(r.Tensors)
	p.Searched = fmt.Sprintf("%s measured, of which %s fine-tuned; %s measured before.", words.Count(r.Evaluations, "model was", "models were"), words.Count(r.Tunings, "was", "were"), words.Count(r.CacheHits, "more had been", "more had been"))
	p.AloneBytes = aloneBytes(r.Alone)
	p.Verify, p.VerifyOK, p.Verified = verify(r), r.Verify.OK, r.Verify.Examples > 0
	p.Warnings, p.Notes, p.Caveats = r.Warnings, r.Notes[min(len(r.Warnings), len(r.Notes)):], caveats(r)
	p.Record = record(r)
	p.Command = command(r, b)
	return p
}

func budgetOf(r *compress.Result) compactify.Budget {
	return compactify.Budget{Kind: compactify.BudgetKind(r.Budget.Kind), Limit: float64(r.Budget.Limit)}
}

func verdictClass(k compress.Keeping) string {
	switch k {
	case compress.Met:
		return "good"
	case compress.MetWithin:
		return "fair"
	}
	return "bad"
}

func legOf(r *compress.Result, kind string) *compress.Leg {
	for i := range r.Paths {
		if r.Paths[i].Kind == kind {
			return &r.Paths[i]
		}
	}
	return nil
}

// metricShort is the metric's name in a headline.
func metricShort(name string) string {
	switch {
	case name == "" || name == "none":
		return "metric"
	case strings.Contains(name, "accuracy"):
		return "accuracy"
	case strings.Contains(name, "agreement"):
		return "agreement"
	}
	return name
}

// headline is the result in one line.
func headline(r *compress.Result) string {
	if r.Compact.Bytes == 0 {
		return "No model was written: nothing fits the budget"
	}
	s := fmt.Sprintf("%s → %s", words.Size(r.Baseline.Bytes), words.Size(r.Compact.Bytes))
	if by := words.Smaller(r.Baseline.Bytes, r.Compact.Bytes); by != "" {
		s += " (" + by + ")"
	}
	name, from, to := r.Baseline.MetricName, float64(r.Baseline.Metric), float64(r.Compact.Metric)
	if math.IsNaN(from) || math.IsNaN(to) {
		return s
	}
	return s + fmt.Sprintf(", %s %s → %s", metricShort(name), words.Metric(name, from), words.Metric(name, to))
}

// lead says in a sentence what the verdict means.
func lead(r *compress.Result, b compactify.Budget) string {
	c := r.Budget
	switch {
	case r.Compact.Bytes == 0 && r.WouldFit != "":
		return fmt.Sprintf("The best that was tried needs a budget of %s.", r.WouldFit)
	case r.Compact.Bytes == 0:
		return "What was tried is shown below."
	case c.Verdict == compress.Met:
		return fmt.Sprintf("On %s never used before, the compact model stays inside the budget even at the worse end of the 95 %% confidence interval.", words.Count(c.Examples, "example", "examples"))
	case c.Verdict == compress.MetWithin:
		return fmt.Sprintf("On %s never used before, the estimate is inside the budget, but the 95 %% confidence interval reaches beyond it. More held-out examples could settle it.", words.Count(c.Examples, "example", "examples"))
	}
	s := fmt.Sprintf("On %s never used before, the compact model is outside the budget. The file is kept only as rejected.", words.Count(c.Examples, "example", "examples"))
	if r.WouldFit != "" {
		s += " It needs a budget of " + r.WouldFit + "; a run with that would look for another, smaller model. More examples make the choice surer."
	}
	return s
}

func tiles(r *compress.Result) []tile {
	before, after := r.Baseline, r.Compact
	if after.Bytes == 0 {
		return nil
	}
	list := []tile{{"size on disk", words.Size(before.Bytes), words.Size(after.Bytes), words.Smaller(before.Bytes, after.Bytes)}}
	if name := before.MetricName; !math.IsNaN(float64(before.Metric)) {
		list = append(list, tile{orElse(name, "metric"), words.Metric(name, float64(before.Metric)), words.Metric(name, float64(after.Metric)), ""})
	}
	list = append(list, tile{"weights that are not zero", words.Grouped(before.Params), words.Grouped(after.ParamsNonzero), "before: all weights"})
	return append(list, tile{"time for one example", words.Milliseconds(float64(before.LatencyMS)), words.Milliseconds(float64(after.LatencyMS)), strings.TrimPrefix(words.Speed(float64(before.LatencyMS), float64(after.LatencyMS))+intervals(before.Latency, after.Latency), "; ")})
}

// intervals are the 95 % intervals of two latencies.
func intervals(before, after compress.Latency) string {
	if !finite(float64(before.LatencyLow)) || after.LatencyHigh == 0 {
		return ""
	}
	return fmt.Sprintf("; 95 %% intervals %s to %s and %s to %s", words.Milliseconds(float64(before.LatencyLow)), words.Milliseconds(float64(before.LatencyHigh)),
		words.Milliseconds(float64(after.LatencyLow)), words.Milliseconds(float64(after.LatencyHigh)))
}

// done says in words what was done to the model.
func done(r *compress.Result) []string {
	var list []string
	for _, leg := range r.Paths {
		t := words.Significant(float64(leg.T), 3)
		switch leg.Kind {
		case "prune":
			list = append(list, fmt.Sprintf("%s of the weights were removed: set to zero and held there (t = %s of 1).", words.Percent(float64(leg.Param), 1), t))
		case "prune-channels":
			list = append(list, fmt.Sprintf("%s of the channels were removed: the layers are narrower, and need no masks (t = %s of 1).", words.Percent(float64(leg.Param), 1), t))
		case "quantize":
			list = append(list, fmt.Sprintf("The weights are stored with %s bits on average instead of 32 (t = %s of 1).", words.Significant(float64(leg.Param), 3), t))
		default:
			list = append(list, fmt.Sprintf("Path %s was followed to t = %s of 1 (parameter %s).", leg.Kind, t, words.Number(float64(leg.Param))))
		}
	}
	for _, x := range r.Repairs {
		list = append(list, fmt.Sprintf("A plan that did not fit was repaired: %s has %s instead of %s, then %s.", x.Name, x.To, x.From, words.Used(compactify.BudgetKind(r.Budget.Kind), float64(x.Spent))))
	}
	for _, trial := range r.Trials {
		if trial.Chosen && trial.Tuned > 0 {
			list = append(list, fmt.Sprintf("The compact model was then fine-tuned for %s to win back what that cost.", words.Count(trial.Tuned, "epoch", "epochs")))
		}
	}
	return list
}

func contract(r *compress.Result, b compactify.Budget) []term {
	c, d, name := r.Budget, r.Data, r.Baseline.MetricName
	if r.Compact.Bytes == 0 || c.Examples == 0 {
		return []term{{"Budget", words.Limit(b, orElse(name, "the metric")), "No model was judged on the held-out examples."}}
	}
	lo, hi := words.Amount(b.Kind, float64(c.CI95[0])), words.Amount(b.Kind, float64(c.CI95[1]))
	measured := map[compactify.BudgetKind]string{compactify.MetricDrop: "Measured drop", compactify.LossRise: "Measured rise",
		compactify.KLFrom: "Measured divergence", compactify.MinSNR: "Measured ratio"}[b.Kind]
	list := []term{
		{"Original", answersOf(name, float64(r.Baseline.Metric), float64(r.Baseline.Loss)), "The model as it was given, on the same examples."},
		{"Compact", answersOf(name, float64(r.Compact.Metric), float64(r.Compact.Loss)), "The written file, read back from disk."},
		{"Budget", words.Limit(b, orElse(name, "the metric")), "What was asked for."},
		{orElse(measured, "Measured"), words.Amount(b.Kind, float64(c.Measured)), negativeMeans(b, float64(c.Measured))},
		{"95 % interval", lo + " to " + hi, "Paired: both models answered the same examples. Drawn again and again, 95 of 100 such intervals hold the true value."},
		{"Verdict", string(c.Verdict), verdictMeans(c.Verdict)},
		{"Held-out examples", words.Count(c.Examples, "example", "examples"), strings.TrimSpace(fmt.Sprintf("From %s: %s. They were looked at once, by the finished file; all choices were made on other examples.", orElse(cmp.Or(d.Eval, d.Source), "the data"), orElse(d.HeldOutFrom, "held out")))},
		{"Other examples", fmt.Sprintf("%s to train and calibrate, %s to choose", words.Grouped(d.Training), words.Grouped(d.Selection)), fmt.Sprintf("Disjoint from the held-out ones and from each other; %s of the former measured how sensitive each layer is.", words.Grouped(d.Calibration))},
	}
	if !words.HasMetric(name) {
		list[0].Value, list[0].Meaning = "the reference", "The model as it was given: its outputs on the same examples are what others are compared with."
	}
	if d.Mapping != "" {
		list = append(list, term{"Labels", d.Mapping, "How the labels of the file became classes."})
	}
	return list
}

// answersOf says how good a model's answers are.
func answersOf(name string, metric, loss float64) string {
	if !words.HasMetric(name) {
		return words.LossName(name) + " " + words.Number(loss)
	}
	return fmt.Sprintf("%s %s, loss %s", orElse(name, "metric"), words.Metric(name, metric), words.Number(loss))
}

func negativeMeans(b compactify.Budget, measured float64) string {
	if measured < 0 && (b.Kind == compactify.MetricDrop || b.Kind == compactify.LossRise) {
		return "Negative: the compact model did better than the original."
	}
	if b.Kind == compactify.MinSNR {
		return "How much stronger the outputs are than their difference from the original's, " + words.NoiseShare(measured) + "; more is better."
	}
	return "Compact against original, on the held-out examples."
}

func verdictMeans(k compress.Keeping) string {
	switch k {
	case compress.Met:
		return "The worse end of the interval is inside the limit."
	case compress.MetWithin:
		return "The estimate is inside the limit, the worse end of the interval is not."
	}
	return "The estimate is outside the limit."
}

func aloneBytes(list []compress.Alone) string {
	n := 0
	for _, a := range list {
		n += a.Bytes
	}
	return fmt.Sprintf("%s, %s", words.Count(len(list), "tensor", "tensors"), words.Size(n))
}

// fates are the rows of the table of all tensors, with their sum.
func fates(list []compress.Fate) [][4]string {
	var rows [][4]string
	before, after := 0, 0
	for _, f := range list {
		before += f.BytesBefore
		after += f.BytesAfter
		rows = append(rows, [4]string{f.Name, words.Grouped(f.BytesBefore), words.Grouped(f.BytesAfter), f.How})
	}
	if len(rows) > 0 {
		rows = append(rows, [4]string{"in all", words.Grouped(before), words.Grouped(after), "the bytes of the two files"})
	}
	return rows
}

func verify(r *compress.Result) string {
	v := r.Verify
	if v.Examples == 0 {
		return "No file was verified."
	}
	verb := "agrees"
	if !v.OK {
		verb = "does NOT agree"
	}
	text := fmt.Sprintf("The file was read back from disk and run by a second, plain implementation. On %s its outputs differ from those of the model in memory by at most %s, with %s allowed: it %s.",
		words.Count(v.Examples, "example", "examples"), words.Number(float64(v.MaxAbsErr)), words.Number(float64(v.Tolerance)), verb)
	if v.Nodes > 0 {
		text += fmt.Sprintf(" All %s between its nodes were compared as well; the largest difference of one is %s of its largest element.",
			words.Count(v.Nodes, "value", "values"), words.Number(float64(v.NodesMaxErr)))
	}
	text += fmt.Sprintf(" From the fast kernels, on which the model was measured, it differs by at most %s, with %s allowed", words.Number(float64(v.Fast)), words.Number(float64(v.FastLimit)))
	if v.RoundsValues {
		text += ": activations are rounded, and a sum near the edge of two steps may fall on either side"
	}
	return text + "."
}

// caveats lists what the figures do not show.
func caveats(r *compress.Result) []string {
	if r.Compact.Bytes == 0 {
		return []string{"That nothing fits was measured for the combinations tried, not proved for all."}
	}
	list := []string{
		fmt.Sprintf("The contract speaks of examples like the %s held-out ones. Other data may show another cost.", words.Grouped(r.Budget.Examples)),
		"The interval is an approximation for large samples, and misses the truth once in about twenty times.",
		"A smaller model inside the budget may exist: the search measured what the charts show, and no more.",
	}
	if r.Compact.LatencyMS > 0 {
		list = append(list, "Times are medians of single runs in this program on this machine. Other runtimes and processors differ.")
	}
	if r.Verify.Examples > 0 {
		list = append(list, "The file was compared with the model in memory by this program; no other runtime was involved.")
	}
	for _, c := range r.Profiles {
		if c.Limit.Verdict == compactify.Inconclusive {
			list = append(list, fmt.Sprintf("Path %s: whether the loss is continuous at t = 1 is open.", c.Kind))
		}
	}
	return list
}

func record(r *compress.Result) []term {
	kernel := r.Kernel
	list := []term{
		{"Model file", orElse(r.Files.Model, "none"), ""},
		{"SHA-256", orElse(r.SHA256, "none"), "of the model file"},
		{"Certificate", orElse(r.Files.Certificate, "none"), "the claims with their numbers, for machines"},
		{"Seed", fmt.Sprint(r.Seed), "names every random stream"},
		{"Version", orElse(r.Version, "unknown"), ""},
		{"Kernels", orElse(kernel, "unknown"), "sums of other sets of instructions may differ in the last digit"},
		{"Head", orElse(r.Head, "unknown"), "what the model's output was found to hold"},
	}
	if finite(r.Seconds) && r.Seconds > 0 {
		list = append(list, term{"Time", words.Duration(r.Seconds), ""})
	}
	return list
}

// command is what to type for the same model again.
func command(r *compress.Result, b compactify.Budget) string {
	if len(r.Command) > 0 {
		typed := []string{"compactify"}
		for _, word := range r.Command {
			typed = append(typed, quote(word))
		}
		return strings.Join(typed, " ")
	}
	s := fmt.Sprintf("compactify run MODEL --data %s --seed %d", quote(orElse(r.Data.Source, "DATA")), r.Seed)
	if finite(b.Limit) {
		s += " --budget " + quote(b.String())
	}
	if r.Kernel != "" {
		s += " --kernel " + quote(r.Kernel)
	}
	return s
}

// quote protects an argument from the shell.
func quote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:,") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// trials is the section on the combinations that were measured.
type trials struct {
	Chart  template.HTML
	Legend []legendEntry
	Rows   [][]string
	Marked []bool // the row chosen
}

func newTrials(r *compress.Result, b compactify.Budget) *trials {
	if len(r.Trials) == 0 {
		return nil
	}
	t := &trials{Legend: []legendEntry{{"fits", "inside the budget"}, {"fails", "outside"}, {"whisker", "to the worse end of the 95 % interval"}, {"limit", "the budget's limit"}}}
	var sizes, spent []float64
	for _, x := range r.Trials {
		sizes = append(sizes, float64(x.Bytes))
		spent = append(spent, float64(x.Spent), float64(x.Worst))
		mark, fits := "", "no"
		if x.Chosen {
			mark = "chosen"
		}
		if x.Fits {
			fits = "yes"
		}
		t.Rows = append(t.Rows, []string{words.Grouped(x.Bytes), words.Significant(float64(x.MeanBits), 3), words.Percent(float64(x.Sparsity), 1), fmt.Sprint(x.Channels), fmt.Sprint(x.Tuned),
			words.Amount(b.Kind, float64(x.Spent)), words.Amount(b.Kind, float64(x.Worst)), fits, mark})
		t.Marked = append(t.Marked, x.Chosen)
	}
	t.Chart = trialsChart(r, b, sizes, spent)
	for _, x := range r.Trials {
		if x.Chosen {
			t.Legend = append([]legendEntry{{"boundary", "the one chosen"}}, t.Legend...)
		}
	}
	return t
}

// trialsChart sets size against what was spent.
func trialsChart(r *compress.Result, b compactify.Budget, sizes, spent []float64) template.HTML {
	_, top := span(sizes)
	unit, factor := words.ByteUnit(top)
	for i := range sizes {
		sizes[i] /= factor
	}
	shown := append([]float64{b.Limit}, spent...)
	if b.Kind != compactify.MinSNR && b.Limit > 0 {
		shown, _ = within(spent, 4*b.Limit)
		shown = append(shown, 0, 1.5*b.Limit)
	}
	c := &chart{id: "trials", x: newAxis("size of the file ("+unit+")", append([]float64{0}, sizes...)), y: newAxis(words.SpentLabel(b.Kind), shown)}
	c.rules = append(c.rules, rule{at: b.Limit, class: "limit"})
	c.y.note(b.Limit, words.Significant(b.Limit, 3), "limit", above)
	c.title = "Size against cost of the combinations that were measured"
	better := "down"
	if b.Kind == compactify.MinSNR {
		c.title, better = "Size against signal-to-noise ratio of the combinations that were measured", "up"
	}
	c.desc = fmt.Sprintf("Scatter chart of %d models. Further left is smaller, further %s is better; the limit is %s.", len(r.Trials), better, words.Amount(b.Kind, b.Limit))
	for i, x := range r.Trials {
		p := dot{x: sizes[i], y: float64(x.Spent), to: float64(x.Worst), class: "fails", shape: "open", title: fmt.Sprintf("%s, %s", words.Size(x.Bytes), words.Amount(b.Kind, float64(x.Spent)))}
		if x.Fits {
			p.class = "fits"
		}
		if x.Chosen {
			p.class, p.shape = "boundary", "diamond"
			p.title += ": chosen"
			c.marks = append(c.marks, p)
			continue
		}
		c.points = append(c.points, p)
	}
	return c.render()
}
