// Package compress does the main job: it takes a trained model to the furthest
// point of its paths that stays inside a budget, writes that model, and says
// what was measured.
//
// The examples fall into disjoint parts. Training examples calibrate and
// fine-tune, selection examples decide, and held-out examples are shown once to
// the file that was written. [Run] returns a [Result] whose [Contract] is MET
// only if the worse end of a paired 95 % interval is inside the limit.
package compress

import (
	"math"

	"github.com/compactify/compactify/internal/jsonnum"
)

var nan = jsonnum.Float(math.NaN())
