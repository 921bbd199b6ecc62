package words

import (
	"math"
	"testing"
)

func TestNumber(t *testing.T) {
	for _, c := range []struct {
		x    float64
		want string
	}{{0, "0"}, {1, "1"}, {0.5, "0.5"}, {-0.25, "−0.25"}, {123456, "123456"}, {99999.6, "100000"}, {1.5e-7, "1.5 × 10⁻⁷"},
		{2e9, "2 × 10⁹"}, {math.NaN(), "not measured"}, {math.Inf(-1), "−∞"}, {0.99996, "1"}} {
		if got := Number(c.x); got != c.want {
			t.Errorf("number(%v) = %q, want %q", c.x, got, c.want)
		}
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int]string{0: "0 bytes", 999: "999 bytes", 1000: "1 kB", 247894: "248 kB", 17031: "17 kB", 1234567: "1.23 MB", 999999: "1 MB"} {
		if got := Size(n); got != want {
			t.Errorf("size(%d) = %q, want %q", n, got, want)
		}
	}
	if got := Grouped(-1234567); got != "−1,234,567" {
		t.Errorf("grouped: %q", got)
	}
}

func TestLossName(t *testing.T) {
	for metric, want := range map[string]string{
		"top-1 accuracy": "loss (nats)",
		"agreement with the original's top class": "loss (nats)",
		"R²":   "mean squared error",
		"none": "loss",
	} {
		if got := LossName(metric); got != want {
			t.Errorf("LossName(%q) = %q, want %q", metric, got, want)
		}
	}
}
