package train

import (
	"math"
	"strings"
	"testing"
)

// TestSchedules: every form of the command line, over five epochs, ends inclusive.
func TestSchedules(t *testing.T) {
	half := math.Sqrt(0.5)
	for _, c := range []struct {
		text string
		want [5]float64
	}{
		{"1e-4", [5]float64{1e-4, 1e-4, 1e-4, 1e-4, 1e-4}},
		{"0", [5]float64{}},
		{"-0", [5]float64{}},
		{"linear:1..3", [5]float64{1, 1.5, 2, 2.5, 3}},
		{"linear:3..0", [5]float64{3, 2.25, 1.5, 0.75, 0}},
		{"geom:1e-8..1", [5]float64{1e-8, 1e-6, 1e-4, 1e-2, 1}},
		{"geom:16..1", [5]float64{16, 8, 4, 2, 1}},
		// B/A is beyond float64.
		{"geom:1e-200..1e200", [5]float64{1e-200, 1e-100, 1, 1e100, 1e200}},
		{"cosine:2..0", [5]float64{2, 1 + half, 1, 1 - half, 0}}, // 1 + cos πs
		{"cosine:0..2", [5]float64{0, 1 - half, 1, 1 + half, 2}},
		{"step:5@2,7@4", [5]float64{0, 5, 5, 7, 7}}, // epochs count from 1
		{"step:1@1,0@3", [5]float64{1, 1, 0, 0, 0}},
		{"step:1@9", [5]float64{}},
	} {
		s, err := ParseSchedule(c.text)
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		for e, want := range c.want {
			if got := s.At(e, 5); math.Abs(got-want) > 1e-12*want {
				t.Errorf("%q, epoch %d of 5: got %v, want %v", c.text, e+1, got, want)
			}
		}
		first, last := s.Ends(5)
		if first != c.want[0] || last != c.want[4] {
			t.Errorf("%q: ends: got %v and %v, want %v and %v to the last bit", c.text, first, last, c.want[0], c.want[4])
		}
		if _, alone := s.Ends(1); !strings.HasPrefix(c.text, "step") && alone != c.want[4] {
			t.Errorf("%q of one epoch: got %v, want the last value %v", c.text, alone, c.want[4])
		}
		if got := s.IsZero(); got != (c.text == "0" || c.text == "-0") {
			t.Errorf("%q: is zero: got %v", c.text, got)
		}
		rising := true
		for e := 1; e < 5; e++ {
			rising = rising && c.want[e] >= c.want[e-1]
		}
		if got := s.Rising(5); got != rising {
			t.Errorf("%q: rising: got %v, want %v", c.text, got, rising)
		}
		checkReadsBack(t, s)
	}
	if s := Always(0.25); s.String() != "0.25" || s.At(3, 9) != 0.25 {
		t.Errorf("constant: got %v and %v in the fourth epoch, want 0.25", s, s.At(3, 9))
	}
	var zero Schedule
	if !zero.IsZero() || zero.At(0, 1) != 0 || zero.String() != "0" {
		t.Errorf("zero value: got %v, want 0", zero)
	}
}

// TestScheduleEndsAreExact: the ends are the numbers given for any number of epochs,
// and what lies between never leaves them.
func TestScheduleEndsAreExact(t *testing.T) {
	for _, text := range []string{"linear:0.1..0.7", "geom:1e-8..1e2", "geom:0.3..0.7", "cosine:0.1..0.7", "geom:5e-324..1.7e308"} {
		s, err := ParseSchedule(text)
		if err != nil {
			t.Fatal(err)
		}
		for epochs := 1; epochs < 60; epochs++ {
			if got, want := s.At(epochs-1, epochs), s.b; got != want {
				t.Errorf("%s: last of %d: got %v, want %v", text, epochs, got, want)
			}
			if got := s.At(0, epochs); epochs > 1 && got != s.a {
				t.Errorf("%s: first of %d: got %v, want %v", text, epochs, got, s.a)
			}
			if !s.Rising(epochs) {
				t.Errorf("%s: falls somewhere in %d epochs", text, epochs)
			}
		}
	}
}

func TestParseScheduleRefuses(t *testing.T) {
	for _, text := range []string{"", " ", "x", "-1", "-1e-9", "nan", "NaN", "inf", "+Inf", "1e400", " 1", "1 ", ":", ":1", "1:", "linear", "linear:", "linear:1", "linear:1..", "linear:..1",
		"linear:1..-1", "linear:-1..1", "linear:1..2..3", "linear:nan..1", "linear:1..inf", "Linear:1..2", "geom:0..1", "geom:1..0", "geom:1e-400..1", "cosine:1",
		"step:", "step:1", "step:1@", "step:@1", "step:1@-1", "step:1@1.5", "step:1@1,", "step:1@2,2@2", "step:1@3,2@2", "step:-1@1", "step:nan@1", "step:1@99999999999999999999", "exp:1..2"} {
		if s, err := ParseSchedule(text); err == nil || !strings.Contains(err.Error(), "parse schedule") {
			t.Errorf("%q: got %v and error %v, want a refusal", text, s, err)
		}
	}
}

// TestScheduleChecks: schedules that no text makes are refused by the options.
func TestScheduleChecks(t *testing.T) {
	for _, x := range []float64{-1, math.NaN(), math.Inf(1)} {
		for _, o := range []Options{{Rates: Always(x)}, {Penalties: ridge(x)}, {Penalties: []Penalty{{Kind: MaxNorm, Lambda: Always(x)}}}} {
			if err := o.check(); err == nil || !strings.Contains(err.Error(), "finite numbers ≥ 0") {
				t.Errorf("%v: got error %v, want one that asks for finite numbers", x, err)
			}
		}
	}
}

// checkReadsBack: what String writes is read as the same schedule.
func checkReadsBack(t *testing.T, s Schedule) {
	t.Helper()
	again, err := ParseSchedule(s.String())
	if err != nil {
		t.Fatalf("what String wrote: %v", err)
	}
	if again.String() != s.String() {
		t.Errorf("read back: got %v, want %v", again, s)
	}
	for _, epochs := range []int{1, 2, 7} {
		for e := range epochs {
			if got, want := again.At(e, epochs), s.At(e, epochs); got != want {
				t.Errorf("%v read back: epoch %d of %d: got %v, want %v", s, e, epochs, got, want)
			}
		}
	}
}

func FuzzParseSchedule(f *testing.F) {
	for _, text := range []string{"1e-4", "linear:1..3", "geom:1e-8..1e2", "cosine:0..2", "step:5@2,7@4", "0x1p-3", "step:0@0", "geom:5e-324..1.7e308", "linear:-0..1e308"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSchedule(text)
		if err != nil {
			return
		}
		if err := s.check(); err != nil {
			t.Fatalf("%q was read: %v", text, err)
		}
		checkReadsBack(t, s)
		top := max(s.a, s.b)
		for _, step := range s.steps {
			top = max(top, step.value)
		}
		for e := range 9 {
			if x := s.At(e, 9); !(x >= 0 && x <= top*(1+1e-12)) {
				t.Fatalf("%v, epoch %d: got %v, want a number in [0, %v]", s, e, x, top)
			}
		}
	})
}
