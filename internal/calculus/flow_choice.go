package calculus

// choice is the state of the automatic choice between the methods.
//
// Stiffness is seen as Hairer and Wanner do (section IV.2): the step stays at the
// border of stability, h·ρ ≥ 3.25, for fifteen steps with fewer than six others in
// a row among them. Then the implicit method is tried; whether it pays is measured,
// not guessed, in evaluations per unit of time.
type choice struct {
	stiff, mild int // accepted explicit steps at the border of stability, and others since
	patience    int // how many steps at the border it takes to try the implicit method

	rate  float64 // evaluations that the explicit method took per unit of time
	step  float64 // the step that the method not in use would take up again
	steps int     // accepted steps since the implicit method took over
	until int     // after so many the explicit method is measured again

	spent int // evaluations and time at the start of the measurement
	since float64
}

const (
	stabilityBorder = 3.25
	stiffSteps      = 15
	mildSteps       = 6
	warmUp          = 10 // implicit steps: the first ones grow from explicit ones
	trial           = 10 // implicit steps per measurement
	firstStretch    = 50 // implicit steps before the explicit method is measured again
)

// use takes up a method.
func (w *flow) use(implicit bool) {
	n := len(w.now.x)
	if implicit {
		if w.implicit == nil {
			w.implicit = newSDIRK(n)
		}
		w.implicit.guess = nil
		w.method = w.implicit
		return
	}
	if w.explicit == nil {
		w.explicit = newDormandPrince(n)
	}
	w.method = w.explicit
}

// choose looks at the step just accepted.
func (w *flow) choose() {
	if w.o.Method != FlowAutomatic || w.curved == nil || w.o.Rescaled {
		return
	}
	c := &w.choice
	if c.patience == 0 {
		c.patience, c.until = stiffSteps, firstStretch
	}
	if w.method == stepper(w.implicit) {
		w.judgeImplicit()
		return
	}
	if w.explicit.stretch < stabilityBorder {
		if c.mild++; c.mild >= mildSteps {
			c.stiff = 0
		}
		return
	}
	c.mild = 0
	if c.stiff++; c.stiff == 1 {
		w.mark()
		return
	}
	if c.stiff > c.patience {
		c.rate = w.rate()
		w.change(true)
	}
}

// judgeImplicit returns to the explicit method if that was cheaper, or to measure
// it again: curvature changes along a flow.
func (w *flow) judgeImplicit() {
	c := &w.choice
	c.steps++
	switch {
	case c.steps < warmUp:
	case c.steps == warmUp:
		w.mark()
	case (c.steps-warmUp)%trial == 0:
		if w.rate() > c.rate {
			c.patience *= 4
			w.change(false)
			return
		}
		if c.steps >= c.until {
			c.until *= 2
			w.change(false)
			return
		}
		w.mark()
	}
}

// mark starts a measurement.
func (w *flow) mark() { w.choice.spent, w.choice.since = w.cost(), w.now.s }

// rate is the cost per unit of time since the mark.
func (w *flow) rate() float64 {
	return float64(w.cost()-w.choice.spent) / (w.now.s - w.choice.since)
}

// cost counts in gradients: a product with the Hessian takes about two.
func (w *flow) cost() int { return w.r.Gradients + 2*w.r.Products }

func (w *flow) change(implicit bool) {
	c := &w.choice
	w.r.Switches++
	w.use(implicit)
	if c.step == 0 {
		c.step = w.h
	}
	w.h, c.step = c.step, w.h
	w.before = 1e-4
	c.stiff, c.mild, c.steps = 0, 0, 0
}
