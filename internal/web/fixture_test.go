package web

import (
	"fmt"
	"math"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/compress"
	"github.com/compactify/compactify/internal/jsonnum"
)

func num(x float64) jsonnum.Float { return jsonnum.Float(x) }

// lenet is a result as a run on a LeNet-5 leaves it; figures are made up, but
// their sizes and relations are those of real runs.
func lenet() *compress.Result {
	r := &compress.Result{
		Baseline: compress.Baseline{Metric: 0.9874, MetricName: "top-1 accuracy", Loss: 0.0412, Bytes: 247894, Params: 61706, Latency: compress.Latency{LatencyMS: 0.184, LatencyLow: 0.181, LatencyHigh: 0.19}},
		Compact:  compress.Compact{Metric: 0.9851, Loss: 0.0466, Bytes: 17031, ParamsNonzero: 27210, Latency: compress.Latency{LatencyMS: 0.171, LatencyLow: 0.168, LatencyHigh: 0.18}, KL: 0.0087},
		Budget: compress.Contract{Kind: "pp", Limit: 1, Measured: 0.23, CI95: [2]jsonnum.Float{-0.04, 0.51}, Verdict: compress.Met,
			Examples: 10000},
		Paths:  []compress.Leg{{Kind: "prune", T: 0.5, Param: 0.5}, {Kind: "quantize", T: num(29.4 / 31), Param: 2.6}},
		Verify: compress.Verify{MaxAbsErr: 2.4e-6, Tolerance: 2.1e-3, OK: true, Examples: 64, Nodes: 14, Fast: 2.4e-6, FastLimit: 2.1e-3},
		Files:  compress.Files{Model: "compactify-out-1/model.onnx", Report: "compactify-out-1/report.html", Certificate: "compactify-out-1/certificate.json"},
		Seed:   1, SHA256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
		Data: compress.DataUsed{Source: "../data/mnist", Training: 48000, Calibration: 512, Selection: 10000, HeldOut: 10000, HeldOutFrom: "the source's own test examples"},
		Head: "logits", Seconds: 211.4, Version: "0.1.0", Kernel: "avx2",
		Notes: []string{"27,120 weights are zero but stored like the others: no speed-up"},
	}
	b := compactify.Budget{Kind: compactify.MetricDrop, Limit: 1}
	r.Profiles = []compress.Curve{compress.NewCurve(pruneProfile(), b), compress.NewCurve(quantizeProfile(), b)}
	r.Trials = []compress.Trial{
		{Bytes: 33120, MeanBits: 4, Tuned: 2, Spent: -0.02, Worst: 0.15, KL: 0.002, Fits: true},
		{Bytes: 24410, MeanBits: 3.1, Tuned: 3, Spent: 0.08, Worst: 0.29, KL: 0.004, Fits: true},
		{Bytes: 19204, MeanBits: 2.4, Tuned: 3, Spent: 0.31, Worst: 0.62, KL: 0.008, Fits: true},
		{Bytes: 17031, MeanBits: 2.6, Sparsity: 0.5, Tuned: 4, Spent: 0.27, Worst: 0.58, KL: 0.0087, Fits: true, Chosen: true},
		{Bytes: 15900, MeanBits: 2, Tuned: 4, Spent: 0.88, Worst: 1.31, KL: 0.031},
		{Bytes: 9800, MeanBits: 1, Tuned: 4, Spent: 7.9, Worst: 8.6, KL: 0.4},
	}
	r.Evaluations, r.CacheHits, r.Tunings = 34, 5, 6
	r.Tensors = []compress.Fate{
		{Name: "fc1.weight", BytesBefore: 192000, BytesAfter: 12480, How: "2 bits per weight, a scale per channel"},
		{Name: "bn.mean", BytesBefore: 24, How: "folded into the weights before the batch normalisation"},
		{Name: "(graph)", BytesBefore: 1210, BytesAfter: 900, How: "nodes, names, shapes and headers"},
	}
	r.Layers = []compress.Layer{
		{Name: "conv1.weight", Kind: "Conv", Shape: []int{6, 1, 5, 5}, Bits: 8, Zeros: 12, Params: 150, BytesBefore: 600, BytesAfter: 174, SNR: 42.7},
		{Name: "conv2.weight", Kind: "Conv", Shape: []int{16, 6, 5, 5}, ShapeAfter: []int{12, 6, 5, 5}, Bits: 4, Zeros: 700, Params: 2400, BytesBefore: 9600, BytesAfter: 1264, SNR: 17.1},
		{Name: "fc1.weight", Kind: "Gemm", Shape: []int{120, 400}, Bits: 2, Zeros: 25100, Params: 48000, BytesBefore: 192000, BytesAfter: 12480, SNR: 7.9},
		{Name: "fc2.weight", Kind: "Gemm", Shape: []int{84, 120}, Bits: 2, Zeros: 1202, Params: 10080, BytesBefore: 40320, BytesAfter: 2856, SNR: 8.8},
		{Name: "fc3.weight", Kind: "Gemm", Shape: []int{10, 84}, Bits: 32, Zeros: 0, Params: 840, BytesBefore: 3360, BytesAfter: 3360, SNR: num(math.Inf(1))},
	}
	for _, l := range r.Layers {
		r.Before.Tensors = append(r.Before.Tensors, compress.LedgerEntry{Name: l.Name, Type: "float32", Role: "weight", Encoding: "dense", Bytes: l.BytesBefore})
		r.Before.Payload += l.BytesBefore
		scales := 4 * l.Shape[0]
		kind := map[int]string{2: "int2", 4: "int4", 8: "int8"}[l.Bits]
		if l.Bits == 32 {
			kind, scales = "float32", 0
		} else {
			r.After.Tensors = append(r.After.Tensors, compress.LedgerEntry{Name: l.Name + "_s", Type: "float32", Role: "scale", Encoding: "dense", Bytes: scales})
		}
		r.After.Tensors = append(r.After.Tensors, compress.LedgerEntry{Name: l.Name + "_q", Type: kind, Role: "weight", Encoding: "dense", Bytes: l.BytesAfter - scales})
		r.After.Payload += l.BytesAfter - scales
		r.After.Scales += scales
	}
	r.Before.Total, r.After.Total = r.Baseline.Bytes, r.Compact.Bytes+3900
	r.Compact.Bytes = r.After.Total
	r.Before.Metadata, r.After.Metadata = r.Before.Total-r.Before.Payload, r.After.Total-r.After.Payload-r.After.Scales
	for _, a := range []struct {
		name string
		n    int
	}{{"conv1.bias", 6}, {"conv2.bias", 16}, {"fc1.bias", 120}, {"fc2.bias", 84}, {"fc3.bias", 10}} {
		r.Alone = append(r.Alone, compress.Alone{Name: a.name, Type: fmt.Sprintf("float32[%d]", a.n), Bytes: 4 * a.n, Reason: "a bias or a vector: few bytes, and answers are sensitive to it"})
	}
	return r
}

// pruneProfile rises slowly, has a dent, and ends at a model that knows nothing.
func pruneProfile() compactify.Profile {
	p := compactify.Profile{Kind: "prune"}
	for _, t := range []float64{0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.65, 0.675, 0.6875, 0.7, 0.8, 0.9, 0.95, 0.975, 1} {
		loss := 0.0412 + 0.25*math.Pow(t, 6) + 2.1*math.Pow(t, 22)
		drop := 0.3*math.Pow(t, 3) + 3.2*math.Pow(t, 6) + 85*math.Pow(t, 30)
		p.Points = append(p.Points, point(t, t, loss, 0.9874-drop/100))
	}
	p.Limit = compactify.Limit{Left: p.Points[14].Loss, LeftT: 0.975, At: p.Points[15].Loss, Verdict: compactify.Inconclusive,
		Boundary: compactify.Boundary{Kind: compactify.Stratum, Name: "all weights of convolutions and matrix products zero"}}
	return p
}

func quantizeProfile() compactify.Profile {
	p := compactify.Profile{Kind: "quantize"}
	for i, bits := range []float64{32, 8, 7, 6, 5, 4, 3, 2, 1} {
		loss := []float64{0.0412, 0.0412, 0.0413, 0.0414, 0.0419, 0.0447, 0.0623, 0.4115, 2.934}[i]
		drop := []float64{0, 0, -0.01, 0.01, 0.02, 0.11, 0.74, 11.8, 72.2}[i]
		p.Points = append(p.Points, point((32-bits)/31, bits, loss, 0.9874-drop/100))
	}
	p.Limit = compactify.Limit{Left: 0.4115, LeftT: 30.0 / 31, At: 2.934, Verdict: compactify.Refuted,
		Boundary: compactify.Boundary{Kind: compactify.ControlEnd, Name: "one bit per weight, α·sign θ per output channel"}}
	return p
}

// ridgeProfile goes from λ = 0 over powers of ten to ∞.
func ridgeProfile() compactify.Profile {
	p := compactify.Profile{Kind: "l2", Points: []compactify.Point{point(0, 0, 0.04, 0.98)}}
	for e := -8.0; e <= 6; e++ {
		lambda := math.Pow(10, e)
		t := lambda / (1 + lambda)
		p.Points = append(p.Points, point(t, lambda, 0.04+2.26*t, 0.98-0.88*t))
	}
	p.Points = append(p.Points, point(1, math.Inf(1), 2.3, 0.1))
	p.Limit = compactify.Limit{Left: 2.3, LeftT: p.Points[15].T, At: 2.3, Verdict: compactify.Supported,
		Boundary: compactify.Boundary{Kind: compactify.ControlEnd, Name: "all trained weights zero, biases included"}}
	return p
}

func point(t, param, loss, metric float64) compactify.Point {
	return compactify.Point{T: t, Param: param, Digest: fmt.Sprint(t), Measure: compactify.Measure{Loss: loss, Metric: metric, KL: loss - 0.0412,
		SNR: 60 - 58*t, Examples: 10000, Bytes: 247894 - int(200000*t), Norm: 31 * (1 - t)}}
}
