// Command ours measures this program's side of bench/compare.sh: one kind of
// work per call, one number on standard output.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/format/onnx"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/train"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "linear" {
		if err := linearPath(os.Args[2:]); err != nil {
			fail(err)
		}
		return
	}
	work := flag.String("work", "sgemm", "sgemm (GFLOP/s); mlp, lenet5, lenet5-caffe, resnet20 (training, images/s); hvp-lenet5,\nhvp-lenet5-caffe (gradients per Hessian-vector product); infer (runs/s);\nint8, int8-mse, int4-block, prune (all weights of a layer [size, size]; millions of weights/s);\ncalibrate (ResNet-20 on size examples; MB resident at most);\nmonitor-NET, dropout-NET for lenet-300-100 and lenet5 (training on --data without and with it, in turn:\nmedian seconds of both, ratio);\nprofile (a table of --model's steps);\nbandwidth (GB/s); cost (multiply-adds and bytes of weights of --model or a training step of --arch)")
	arch := flag.String("arch", "", "cost: the architecture whose training step is meant")
	size := flag.Int("size", 1024, "rows of the matrices, or images per batch")
	threads := flag.Int("threads", 1, "threads")
	model := flag.String("model", "", "infer: the model's file; its inputs have fixed shapes")
	seconds := flag.Float64("seconds", 2, "least time measured, after a warm-up of a quarter of it")
	path := flag.String("data", "glyphs", "monitor-NET, dropout-NET: the examples")
	repeats := flag.Int("repeats", 7, "monitor-NET, dropout-NET: how often each is measured")
	flag.Parse()
	if *work == "cost" {
		if err := cost(*model, *arch, *size); err != nil {
			fail(err)
		}
		return
	}
	pool := kernel.NewPool(*threads, kernel.Best())
	defer pool.Close()
	if *work == "profile" {
		if err := profile(*model, pool); err != nil {
			fail(err)
		}
		return
	}
	if c, ok := trainingWorks[*work]; ok {
		if err := compareTrainings(c, *path, *size, max(1, *repeats), pool); err != nil {
			fail(err)
		}
		return
	}
	rate, err := measure(*work, *model, *size, pool, time.Duration(*seconds*float64(time.Second)))
	if err != nil {
		fail(err)
	}
	fmt.Printf("%.5g\n", rate)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "ours:", err)
	os.Exit(1)
}

func measure(work, model string, size int, pool *kernel.Pool, least time.Duration) (float64, error) {
	switch work {
	case "sgemm":
		return sgemm(size, pool, least), nil
	case "bandwidth":
		return bandwidth(pool, least), nil
	case "mlp", "lenet5", "lenet5-caffe", "resnet20":
		return training(work, size, pool, least)
	case "infer":
		return infer(model, pool, least)
	case "hvp-lenet5", "hvp-lenet5-caffe":
		return secondOrder(work, size, pool, least)
	case "calibrate":
		return calibration(size, pool)
	}
	if weightWorks[work] != nil {
		return weights(work, size, pool, least)
	}
	return 0, fmt.Errorf("work %q: unknown, see --help", work)
}

// sgemm multiplies square matrices and returns GFLOP/s.
func sgemm(n int, pool *kernel.Pool, least time.Duration) float64 {
	a, b, c := make([]float32, n*n), make([]float32, n*n), make([]float32, n*n)
	for i := range a {
		a[i], b[i] = float32(i%17)/17, float32(i%13)/13
	}
	multiply := func() { kernel.SGEMM(pool, false, false, n, n, n, 1, a, n, b, n, 0, c, n) }
	for start := time.Now(); time.Since(start) < least/4; {
		multiply()
	}
	runs := 0
	start := time.Now()
	for time.Since(start) < least {
		multiply()
		runs++
	}
	return 2 * float64(n) * float64(n) * float64(n) * float64(runs) / time.Since(start).Seconds() / 1e9
}

// networks are the architectures that are trained, and the images they take.
var networks = map[string]struct {
	arch  string
	image []int
}{
	"mlp":          {"mlp:784-300-100-10", []int{1, 28, 28}},
	"lenet5":       {"lenet5", []int{1, 28, 28}},
	"lenet5-caffe": {"lenet5-caffe", []int{1, 28, 28}},
	"resnet20":     {"resnet20", []int{3, 32, 32}},
}

// training trains by SGD with momentum on the built-in digits, or on images of
// noise where those have the wrong shape, and returns images per second,
// everything but the first part of the run included: drawing batches, forward,
// backward and the optimiser.
func training(work string, batch int, pool *kernel.Pool, least time.Duration) (float64, error) {
	n := networks[work]
	set, err := imagesOf(n.image)
	if err != nil {
		return 0, err
	}
	g, err := train.NewModel(n.arch, n.image, 10, 1)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var began time.Time
	steps, warm := 0, time.Now()
	o := train.Options{Epochs: 1 << 20, Batch: batch, Optimizer: train.SGD, Rate: 0.01, Momentum: 0.9, Pool: pool}
	o.Step = func(float64) {
		switch {
		case time.Since(warm) < least/4:
		case began.IsZero():
			began = time.Now()
		default:
			steps++
			if time.Since(began) >= least {
				cancel()
			}
		}
	}
	_, _, err = train.Run(ctx, g, set, o)
	if err != nil && ctx.Err() == nil {
		return 0, err
	}
	return float64(steps*batch) / time.Since(began).Seconds(), nil
}

// compiled makes a program of a model file.
func compiled(path string, pool *kernel.Pool) (*engine.Program, error) {
	g, err := onnx.Read(path)
	if err != nil {
		return nil, err
	}
	if g, _, err = engine.Simplify(g); err != nil {
		return nil, err
	}
	return engine.Compile(g, engine.Options{Pool: pool})
}

// infer returns how often a model runs per second.
func infer(path string, pool *kernel.Pool, least time.Duration) (float64, error) {
	p, err := compiled(path, pool)
	if err != nil {
		return 0, err
	}
	l, err := engine.MeasureLatency(context.Background(), p, least)
	return 1 / l.Median.Seconds(), err
}
