package words

import (
	"math"
	"testing"

	"github.com/compactify/compactify"
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

func TestUsed(t *testing.T) {
	for got, want := range map[string]string{
		Used(compactify.MetricDrop, 0.35):                                     "0.35 pp spent",
		Used(compactify.MinSNR, 19.2):                                         "19.2 dB reached",
		UsedOf(compactify.Budget{Kind: compactify.KLFrom, Limit: 0.01}, 0.02): "0.02 nats of kl:0.01 spent",
		UsedOf(compactify.Budget{Kind: compactify.MinSNR, Limit: 30}, 19.2):   "19.2 dB reached, 30 dB wanted",
		NoiseShare(20):              "noise/power 1 %",
		NoiseShare(math.NaN()):      Unmeasured,
		NoiseShare(math.Inf(1)):     "noise/power 0 %",
		Loss("top-1 accuracy", 0.5): "0.5 nats",
		Loss("none", 0.5):           "0.5",
		LossAxis("R²"):              "mean squared error",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestLossName(t *testing.T) {
	for metric, want := range map[string]string{
		"top-1 accuracy": "loss (nats)",
		"agreement with the original's top class": "loss (nats)",
		"R²":   "mean squared error",
		"none": "mean squared error",
	} {
		if got := LossName(metric); got != want {
			t.Errorf("LossName(%q) = %q, want %q", metric, got, want)
		}
	}
}
