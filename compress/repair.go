package compress

import (
	"context"
	"fmt"

	"github.com/compactify/compactify/internal/jsonnum"
)

// Repair is a step back of one layer or group, made because a plan did not keep the
// budget on the selection examples, and what the plan spent after it.
type Repair struct {
	Name  string        `json:"name"` // of the layer or group
	From  string        `json:"from"`
	To    string        `json:"to"`
	Bytes int           `json:"bytes"` // of the file after it
	Spent jsonnum.Float `json:"spent"`
	Fits  bool          `json:"fits"`
}

// The repairs of one plan: so many at most, of a plan that spends at most so many
// times the budget.
const (
	mostRepairs = 3
	freeRepairs = 8
	repairable  = 4
)

// repair takes the smallest plan that did not fit by far too much and sets the worst
// of its layers a step back, one after the other, until it fits. Which is the worst
// is measured: a step back of each by itself, by what it mends per byte. The result
// is the smaller of what came of it and best.
func (w *work) repair(ctx context.Context, l *ladder, failed []attempted, best *trial) (*trial, error) {
	var from *attempted
	for i, f := range failed {
		if f.trial.used() <= repairable && f.trial.bytes < best.bytes && (from == nil || f.trial.used() < from.trial.used()) {
			from = &failed[i]
		}
	}
	steps := mostRepairs
	if !w.tunes() {
		steps = freeRepairs
	}
	if from == nil {
		return best, nil
	}
	at, t := from.rung, from.trial
	for range steps {
		if w.tunes() && w.count.tunings >= mostTunings(w) {
			break
		}
		dial, err := w.worst(ctx, l, at, t)
		if err != nil || dial < 0 {
			return best, err
		}
		d, was := l.dials[dial], at.at[dial]
		at = l.turned(at, dial, was-1)
		if t, err = w.attemptRung(ctx, l, at); err != nil {
			return best, err
		}
		w.result.Repairs = append(w.result.Repairs, Repair{Name: d.name, From: d.text(was), To: d.text(was - 1), Bytes: t.bytes, Spent: t.contract.Measured, Fits: t.fits()})
		if t.bytes >= best.bytes {
			return best, nil
		}
		if t.fits() {
			return t, nil
		}
	}
	return best, nil
}

// worst is the dial whose step back mends most per byte; −1 if none mends anything.
func (w *work) worst(ctx context.Context, l *ladder, at rung, t *trial) (int, error) {
	measure := func(r rung) (float64, error) {
		g, err := w.modelFrom(t.float, l.plan(r))
		if err != nil {
			return 0, err
		}
		m, err := w.probing.Evaluate(ctx, g)
		return harm(w.Budget.Kind, m), err
	}
	now, err := measure(at)
	if err != nil {
		return -1, err
	}
	worst, most := -1, 0.0
	for i := range l.dials {
		if at.at[i] == 0 {
			continue
		}
		back := l.turned(at, i, at.at[i]-1)
		h, err := measure(back)
		if err != nil {
			return -1, err
		}
		if mends := (now - h) / float64(max(1, back.bytes-at.bytes)); mends > most {
			worst, most = i, mends
		}
	}
	return worst, nil
}

// text is a setting in words.
func (d *dial) text(at int) string {
	s := d.settings[at]
	switch {
	case d.group && at == 0:
		return "all channels"
	case d.group:
		return fmt.Sprintf("%d of %d channels", d.channels-s.removed, d.channels)
	case s.scheme.IsFloat():
		return "float32"
	case s.zeros > 0:
		return fmt.Sprintf("%s, %.0f %% zero", schemeText(s.scheme), 100*s.zeros)
	}
	return schemeText(s.scheme)
}
