package compress

import (
	"context"
	"fmt"
	"math"
	"slices"
)

// search finds the smallest plan that fits. Down the ladder models get smaller
// and, on the whole, worse; the edge is found by bisection, each plan fine-tuned
// where rounding alone does not fit. Then near misses are fine-tuned for longer, single
// dials are turned further, and a plan that failed is repaired. Of all that was tried, the smallest that fits is the result; nil if nothing does.
func (w *work) search(ctx context.Context) (*trial, error) {
	if err := w.tryPlans(ctx); err != nil {
		return nil, err
	}
	return w.bestSoFar(), nil
}

func (w *work) tryPlans(ctx context.Context) error {
	if !w.goes("quantize") && len(w.groups()) == 0 {
		_, err := w.searchZeros(ctx)
		return err
	}
	dials, err := w.dials(ctx)
	if err != nil {
		return err
	}
	w.expect(mostTunings(w))
	enough, err := w.correct(ctx, dials)
	if err != nil {
		return err
	}
	l := newLadder(w.graph, w.groups(), dials)
	best, failed, err := w.edge(ctx, l, enough)
	if err != nil || best == nil {
		return err
	}
	for first := true; ; first = false {
		was := best
		if best, err = w.again(ctx, best); err != nil || best == was && !first {
			return err
		}
		if best, err = w.turnFurther(ctx, l, best); err != nil {
			return err
		}
		if !first {
			continue
		}
		if best, err = w.repair(ctx, l, failed, best); err != nil {
			return err
		}
	}
}

// attempted is a rung of the ladder with its trial.
type attempted struct {
	rung
	trial *trial
}

// tunes reports whether plans are fine-tuned.
func (w *work) tunes() bool { return w.tunable() && w.tuneEpochs() > 0 }

// mostTunings is how many models a search fine-tunes at most, by arithmetic alone
// so that every machine does the same: fewer where each is heavy.
func mostTunings(w *work) int {
	if w.Finetune > 0 || multiplyAdds(w.graph)*backwardCost*tuneBatch*tuneSteps <= tuneWork {
		return 12
	}
	return 11
}

// attempt tries a plan as it is rounded and, if that does not fit, fine-tuned. A
// plan that removes channels is fine-tuned at once: it never fits before.
func (w *work) attempt(ctx context.Context, p Plan) (*trial, error) {
	if !w.tunes() || p.channels() == 0 {
		t, err := w.try(ctx, p, 0, nil)
		if err != nil || t.fits() || !w.tunes() {
			return t, err
		}
	}
	if !w.settled {
		return w.settle(ctx, p)
	}
	return w.tuneTrial(ctx, p)
}

// tuneTrial tries a plan fine-tuned.
func (w *work) tuneTrial(ctx context.Context, p Plan) (*trial, error) {
	done := w.count.tunings
	return w.try(ctx, p, w.tuneEpochs(), func(share float64) {
		w.progress(fmt.Sprintf("fine-tuning plan %d", done+1), (float64(done)+share)/float64(max(w.expected, done+1)))
	})
}

// settle fine-tunes a plan in every way there is, and stays with the way that leaves
// it nearest to the original. A plan that is far from fitting does not tell: ways that
// save most of a ruin are not those that save the last of a near miss.
func (w *work) settle(ctx context.Context, p Plan) (best *trial, err error) {
	for _, way := range w.ways() {
		w.way = way
		t, err := w.tuneTrial(ctx, p)
		if err != nil {
			return nil, err
		}
		if best == nil && t.used() > repairable {
			return t, nil
		}
		if best == nil || t.used() < best.used() {
			best = t
		}
	}
	w.way, w.settled = best.way, true
	return best, nil
}

// correct makes the harm of dials what is left of it after fine-tuning, which wins
// back more of what some paths cost than of what others do. One plan of each path
// is tried: every layer at its narrowest, every group at half its channels, every
// large layer sparse. What is left of their expected harm is the factor of the
// path. It returns the harm that, as far as these plans tell, just fits.
func (w *work) correct(ctx context.Context, dials []*dial) (enough float64, err error) {
	enough, nearest := math.NaN(), math.Inf(1)
	if !w.tunes() {
		return enough, nil
	}
	for _, kind := range []string{"quantize", removeChannels, "prune"} {
		p, expected := w.typical(dials, kind)
		if expected == 0 {
			continue
		}
		t, err := w.attempt(ctx, p)
		if err != nil {
			return enough, err
		}
		m, err := w.probing.Evaluate(ctx, t.model)
		if err != nil {
			return enough, err
		}
		left := harm(w.Budget.Kind, m)
		if !(left >= 0 && left < math.Inf(1)) {
			continue // the plan's answers are no numbers: it tells nothing
		}
		hopeless := kind == removeChannels && t.used() > exhausted
		for _, d := range dials {
			if hopeless && d.group {
				if err := w.flatten(ctx, d); err != nil {
					return enough, err
				}
			}
			for i := range d.harm {
				if d.kind(i) == kind && !hopeless {
					d.harm[i] *= left / expected
				}
			}
		}
		if used := math.Abs(math.Log(t.used())); used < nearest {
			nearest, enough = used, left/max(t.used(), math.Pow(t.used(), overshoot))
		}
	}
	return enough, nil
}

// Of a budget, a plan that spends more than exhausted times tells nothing of small
// steps. What is spent grows slower than the distance of the answers: by the power
// 1/overshoot, as measured on the networks of docs/results.md.
const (
	exhausted = 10
	overshoot = 1.5
)

// flatten lets the harm of a group grow from its first step to its base as it was
// measured before fine-tuning, and stays so large: where half the channels leave a
// model that fine-tuning does not save, nothing says that it saves the first steps.
func (w *work) flatten(ctx context.Context, d *dial) error {
	base := d.base(1)
	if base <= 1 {
		return nil
	}
	first, err := w.harmOf(ctx, d, 1)
	if err != nil || !(first > 0 && d.harm[base] > 0) {
		return err
	}
	power := math.Log(d.harm[base]/first) / math.Log(d.odds(base)/d.odds(1))
	power = max(0.25, min(1, power))
	whole := d.harm[base]
	for i := 1; i < len(d.harm); i++ {
		d.harm[i] = whole * math.Pow(d.odds(i)/d.odds(base), power)
	}
	return nil
}

// typical is a plan that goes along one kind of path alone, with the harm that the
// dials expect of it: 0 if no dial moves along it.
func (w *work) typical(dials []*dial, kind string) (p Plan, expected float64) {
	p = Plan{}.clone()
	for _, d := range dials {
		last := -1
		for i := 1; i < len(d.settings); i++ {
			if d.kind(i) == kind && (last < 0 || kind == "quantize" || d.group && i <= d.base(i)) {
				last = i
			}
		}
		if last >= 0 {
			d.put(&p, last)
			expected += d.harm[last]
		}
	}
	return p, expected
}

// edge finds the trial of the last rung of the ladder that fits, nil if none does,
// and those that were tried and did not fit. Where it is known what harm is
// enough, the search starts there.
func (w *work) edge(ctx context.Context, l *ladder, enough float64) (best *trial, failed []attempted, err error) {
	guess := -1
	for i, r := range l.rungs {
		if r.harm <= enough {
			guess = i
		}
	}
	near := func(lo, hi int) bool {
		return float64(l.rungs[lo].bytes-l.rungs[hi].bytes) < w.nearEnough()*float64(l.rungs[lo].bytes) || w.count.tunings >= mostTunings(w)-mostTurns
	}
	best, err = lastThatFits(len(l.rungs), guess, near, l.between, func(i int) (*trial, error) {
		t, err := w.attemptRung(ctx, l, l.rungs[i])
		if err == nil && !t.fits() {
			failed = append(failed, attempted{l.rungs[i], t})
		}
		return t, err
	})
	return best, failed, err
}

// attemptRung attempts the plan of a rung and remembers where it stands.
func (w *work) attemptRung(ctx context.Context, l *ladder, r rung) (*trial, error) {
	p := l.plan(r)
	l.tried[p.key()] = r
	return w.attempt(ctx, p)
}

// expect says how many plans are going to be tuned, for the progress bar.
func (w *work) expect(plans int) { w.expected = w.count.tunings + plans }

// searchZeros is the search where weights may only be removed.
func (w *work) searchZeros(ctx context.Context) (*trial, error) {
	w.expect(2 + int(math.Ceil(math.Log2(float64(len(fractions))))))
	never := func(int, int) bool { return false }
	return lastThatFits(len(fractions), -1, never, halfway, func(i int) (*trial, error) {
		p, err := sparse(w.graph, fractions[i])
		if err != nil {
			return nil, err
		}
		return w.attempt(ctx, p)
	})
}

// fractions are how much is removed where pruning alone makes a model smaller.
// Below about a third no layer is smaller in a sparse encoding; layers that lose
// more than others are from there on.
var fractions = []float64{0, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99}

// lastThatFits looks for the last of n plans that fits, on the assumption that
// those before it fit as well; nil if none is found. It starts at a guess and
// goes on in growing steps to where the answer changes; then it takes what lies
// between. Without a guess (−1) it tries the last first, since often everything
// fits, and then cuts nearer to the small end, where the edge more often is. It ends
// early where near says that a plan that fits and one that does not are as good as
// neighbours.
func lastThatFits(n, guess int, near func(lo, hi int) bool, between func(lo, hi int) int, try func(i int) (*trial, error)) (*trial, error) {
	var best *trial
	lo, hi := -1, n // lo fits (or nothing does), hi does not (or is beyond the end)
	at := func(i int) error {
		t, err := try(i)
		switch {
		case err != nil:
			return err
		case t.fits():
			lo, best = i, t
		default:
			hi = i
		}
		return nil
	}
	next := n - 1
	if guess >= 0 {
		next = guess
	}
	for step := max(1, n/16); n > 0; step *= 2 {
		if err := at(next); err != nil {
			return nil, err
		}
		switch {
		case hi-lo <= 1, lo >= 0 && hi < n && near(lo, hi):
			return best, nil
		case guess < 0 && hi == n-1 && lo < 0:
			next = max(hi/2, hi*3/4)
		case guess >= 0 && lo < 0 && next-step > 0:
			next -= step
		case guess >= 0 && hi == n:
			next = min(n-1, next+step)
		default:
			next = between(lo, hi)
		}
	}
	return best, nil
}

// halfway is the plan in the middle.
func halfway(lo, hi int) int { return (lo + hi) / 2 }

// mostTurns is how many turns of single dials are tried beyond the edge.
const mostTurns = 5

// freeTurns is how many are tried where no model is fine-tuned.
const freeTurns = 16

// leastTurn is the share of the file that a turn must save to be worth a trial: more
// where a trial is a fine-tuning.
func (w *work) leastTurn() float64 {
	if w.tunes() {
		return 0.02
	}
	return 0.005
}

// nearEnough is the share of the file between a plan that fits and one that does not
// from which on the edge is found: single turns then bring more than further bisection.
func (w *work) nearEnough() float64 { return 2 * w.leastTurn() }

// turnFurther goes on from the best plan so far: the next turn does not fit, but one
// of another dial may. Turns are tried from the least harm per saved byte on, and
// those that fit are kept. Where each is a fine-tuning and two have failed, the next are
// at most half as large.
func (w *work) turnFurther(ctx context.Context, l *ladder, best *trial) (*trial, error) {
	at := l.tried[best.plan.key()]
	refused, failures, least, most := make(map[int]int), 0, w.leastTurn(), math.MaxInt
	turns := mostTurns
	if !w.tunes() {
		turns = freeTurns
	}
	for range turns {
		if w.count.tunings >= mostTunings(w) {
			break
		}
		dial, setting := l.nextTurn(at, refused, int(least*float64(best.bytes)), most)
		if dial < 0 {
			return best, nil
		}
		next := l.turned(at, dial, setting)
		t, err := w.attemptRung(ctx, l, next)
		if err != nil {
			return best, err
		}
		if !t.fits() || t.bytes >= best.bytes {
			refused[dial] = setting
			if failures++; failures >= 2 && w.tunes() {
				least, most = w.leastTurn()/2, l.saved(at, dial, setting)/2
			}
			continue
		}
		best, at = t, next
	}
	return best, nil
}

// nearMiss is how much of the budget a trial may use to be fine-tuned again, and
// longer is by how many times the epochs; it is done mostLonger times.
const (
	nearMiss   = 1.4
	longer     = 2
	mostLonger = 3
)

// again fine-tunes the most promising trial that nearly fits for longer, from where it
// was left, and then the next, until one fits: the smaller and the nearer, the more.
func (w *work) again(ctx context.Context, best *trial) (*trial, error) {
	for ; w.longer < mostLonger; w.longer++ {
		var near *trial
		promise := func(t *trial) float64 { return float64(t.bytes) * t.used() }
		for _, t := range w.trials {
			fresh := t.epochs == w.tuneEpochs() && t.way == w.way && w.tried(t.plan, longer*t.epochs) == nil
			if fresh && !t.fits() && t.used() <= nearMiss && float64(best.bytes-t.bytes) >= w.leastTurn()*float64(best.bytes) && (near == nil || promise(t) < promise(near)) {
				near = t
			}
		}
		if near == nil {
			return best, nil
		}
		t, err := w.try(ctx, near.plan, longer*near.epochs, func(done float64) { w.progress("fine-tuning for longer", done) })
		if err != nil {
			return best, err
		}
		if t.fits() && t.bytes < best.bytes {
			w.longer++
			return t, nil
		}
	}
	return best, nil
}

// polish fine-tunes a plan that fitted as it was rounded, and keeps the result if
// its interval ends nearer to the original.
func (w *work) polish(ctx context.Context, best *trial) (*trial, error) {
	if best.epochs > 0 || !w.tunes() {
		return best, nil
	}
	t, err := w.try(ctx, best.plan, w.tuneEpochs(), func(done float64) { w.progress("polishing", done) })
	if err == nil && t.fits() && t.bytes <= best.bytes && w.nearer(t, best) {
		return t, nil
	}
	return best, err
}

// goes reports whether a kind of path is among those of the job.
func (w *work) goes(kind string) bool { return slices.Contains(w.kinds(), kind) }
