package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// convBenchmarks are the convolutions of LeNet-5 in two sizes and of ResNet-20.
var convBenchmarks = []struct {
	name string
	s    ConvShape
}{
	{"lenet1", simple(128, 1, 28, 20, 5, 1, 0)},
	{"lenet2", simple(128, 20, 12, 50, 5, 1, 0)},
	{"small1", simple(128, 1, 28, 6, 5, 1, 2)},
	{"small2", simple(128, 6, 14, 16, 5, 1, 0)},
	{"resnet3-16", simple(16, 3, 32, 16, 3, 1, 1)},
	{"resnet16", simple(16, 16, 32, 16, 3, 1, 1)},
	{"resnet32", simple(16, 32, 16, 32, 3, 1, 1)},
	{"resnet64", simple(16, 64, 8, 64, 3, 1, 1)},
	{"resnet16-32", simple(16, 16, 32, 32, 3, 2, 1)},
	{"pointwise", simple(16, 64, 16, 128, 1, 1, 0)},
	{"depthwise", func() ConvShape { s := simple(16, 64, 16, 64, 3, 1, 1); s.Groups = 64; return s }()},
}

func BenchmarkConv(b *testing.B) {
	benchConv(b, func(p *Pool, c *convCase[float32], y, dx, dw, ws []float32) {
		Conv(p, c.s, c.x, c.w, c.bias, y, ActRelu, ws)
	})
}

func BenchmarkConvGradX(b *testing.B) {
	benchConv(b, func(p *Pool, c *convCase[float32], y, dx, dw, ws []float32) {
		ConvGradX(p, c.s, c.w, c.dy, dx, ws)
	})
}

func BenchmarkConvGradW(b *testing.B) {
	benchConv(b, func(p *Pool, c *convCase[float32], y, dx, dw, ws []float32) {
		ConvGradW(p, c.s, c.x, c.dy, dw, ws)
	})
}

func BenchmarkConvGradBias(b *testing.B) {
	benchConv(b, func(p *Pool, c *convCase[float32], y, dx, dw, ws []float32) {
		ConvGradBias(p, c.s, c.dy, c.bias)
	})
}

func benchConv(b *testing.B, run func(p *Pool, c *convCase[float32], y, dx, dw, ws []float32)) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, q := range convBenchmarks {
		s := q.s
		c := &convCase[float32]{s: s, x: random[float32](r, s.N*s.C*s.H*s.W), w: random[float32](r, s.M*s.taps()),
			bias: random[float32](r, s.M), dy: random[float32](r, s.N*s.M*s.OH*s.OW)}
		y, dx, dw := make([]float32, len(c.dy)), make([]float32, len(c.x)), make([]float32, len(c.w))
		for _, v := range []struct {
			set     Set
			threads int
		}{{AVX2, 1}, {AVX512, 1}, {Best(), 2}} {
			if v.set > Best() {
				continue
			}
			b.Run(fmt.Sprintf("%s/%v/%d", q.name, v.set, v.threads), func(b *testing.B) {
				p := newPool(b, v.threads, v.set)
				ws := make([]float32, ConvWorkspace(s, v.threads))
				for b.Loop() {
					run(p, c, y, dx, dw, ws)
				}
				flops := 2 * float64(s.N*s.M*s.OH*s.OW) * float64(s.taps())
				b.ReportMetric(flops*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}
