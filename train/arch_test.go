package train

import (
	"math"
	"strings"
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// trainable counts the scalars that train: running statistics do not.
func trainable(g *graph.Graph) int {
	n := 0
	for _, p := range g.Weights() {
		n += p.Data.Len()
	}
	return n
}

func TestArchitectures(t *testing.T) {
	images := glyphs(t, 8)
	for _, c := range []struct {
		arch  string
		shape []int
		want  int // parameters
	}{
		{"lenet5", []int{1, 28, 28}, 61706}, // 156 + 2,416 + 48,120 + 10,164 + 850
		{"lenet5-caffe", []int{1, 28, 28}, 431080},
		{"lenet-300-100", []int{1, 28, 28}, 266610},
		{"mlp:784-10", []int{1, 28, 28}, 7850},
		{"mlp:784-32-16-10", []int{1, 28, 28}, 784*32 + 32 + 32*16 + 16 + 16*10 + 10},
		// He et al., table 6, give 0.27M for 20 layers; the two widening shortcuts
		// add 16·32 + 32·64 weights and 2·(32 + 64) of their normalisations.
		{"resnet20", []int{3, 32, 32}, 269722 + 16*32 + 32*64 + 2*(32+64)},
		{"resnet20", []int{1, 28, 28}, 269722 + 16*32 + 32*64 + 2*(32+64) - 2*9*16},
		{"resnet8", []int{3, 32, 32}, 432 + 2*16 + // stem
			2*(9*16*16+2*16) +
			9*16*32 + 9*32*32 + 16*32 + 3*2*32 +
			9*32*64 + 9*64*64 + 32*64 + 3*2*64 +
			64*10 + 10},
	} {
		g, err := NewModel(c.arch, c.shape, 10, 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Validate(); err != nil {
			t.Fatal(err)
		}
		if got := trainable(g); got != c.want {
			t.Errorf("%s for %v: parameters: got %d, want %d", c.arch, c.shape, got, c.want)
		}
		if y := forward(t, Finish(g), 2); y.String() != "float32[2,10]" || g.Outputs[0].Name != "logits" {
			t.Errorf("%s: output %q: got %v, want logits of float32[2,10]", c.arch, g.Outputs[0].Name, y)
		}
		if c.shape[0] == 3 {
			continue
		}
		before := g.Digest()
		m, epochs := mustRun(t, g, images, Options{Batch: 4})
		if again, _ := NewModel(c.arch, c.shape, 10, 1); g.Digest() != before || again.Digest() != before || m.Digest() == before {
			t.Errorf("%s: want the same weights for the same seed, and others after training", c.arch)
		}
		if other, _ := NewModel(c.arch, c.shape, 10, 2); other.Digest() == before {
			t.Errorf("%s: another seed gave the same weights", c.arch)
		}
		if e := epochs[0]; !(e.Loss > 0 && e.Loss < 20) || !(e.Metric >= 0 && e.Metric <= 1) {
			t.Errorf("%s: first epoch: got %+v", c.arch, e)
		}
	}
}

// TestInitialWeights: He et al. 2015, equation 10, a variance of 2/fan-in; drawn
// uniformly, so none beyond √(6/fan-in); biases zero.
func TestInitialWeights(t *testing.T) {
	g, err := NewModel("mlp:400-300-2", []int{400}, 2, 5)
	if err != nil {
		t.Fatal(err)
	}
	w := param(t, g, "fc1.weight")
	sum, squares, top := 0.0, 0.0, 0.0
	for _, x := range w {
		sum, squares, top = sum+x, squares+x*x, max(top, math.Abs(x))
	}
	n := float64(len(w)) // 120,000: relative standard error of the variance 0.3 %
	if got, want := squares/n, 2.0/400; math.Abs(got/want-1) > 0.015 || math.Abs(sum/n) > 1e-3 {
		t.Errorf("mean %v, variance %v, want 0 and %v", sum/n, got, want)
	}
	if bound := math.Sqrt(6.0 / 400); top > bound || top < 0.99*bound {
		t.Errorf("largest: got %v, want just below %v", top, bound)
	}
	for _, b := range param(t, g, "fc1.bias") {
		if b != 0 {
			t.Fatalf("bias: got %v, want 0", b)
		}
	}
}

func TestNewModelRefuses(t *testing.T) {
	for _, c := range []struct {
		arch  string
		shape []int
		says  string
	}{
		{"vgg", []int{1, 28, 28}, "unknown architecture: want lenet5"},
		{"lenet5", []int{784}, "want images [channels, height, width]"},
		{"lenet5", []int{1, 4, 4}, `new model "lenet5" for examples of shape [1 4 4]`},
		{"lenet5-caffe", []int{1, 3, 3}, `new model "lenet5-caffe"`},
		{"mlp:10-2", []int{3}, "want 3 inputs first and 2 classes last"},
		{"mlp:3-5", []int{3}, "want 3 inputs first and 2 classes last"},
		{"mlp:3", []int{3}, "want 3 inputs first"},
		{"mlp:", []int{3}, `layer width "": want a number of at least 1`},
		{"mlp:3-0-2", []int{3}, `layer width "0"`},
		{"mlp:3-x-2", []int{3}, `layer width "x"`},
		{"mlp:3-1000000-1000000-2", []int{3}, "weights, want at most"},
		{"mlp:3-9223372036854775807-2", []int{3}, "weights, want at most"},
		{"lenet-300-100", []int{1 << 30}, "weights, want at most"},
		{"mlp:0-2", []int{0}, "at least one value"},
		{"mlp:1-2", []int{-1, -1}, "at least one value"},
	} {
		if g, err := NewModel(c.arch, c.shape, 2, 1); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s for %v: got %v, error %v, want one that says %q", c.arch, c.shape, g != nil, err, c.says)
		}
	}
}

func TestFindHead(t *testing.T) {
	for _, c := range []struct {
		ops  []string // appended to the logits
		want HeadKind
		made string
	}{
		{nil, Logits, ""}, {[]string{"Relu"}, Logits, "Relu"}, {[]string{"Identity"}, Logits, ""}, {[]string{"Sigmoid", "Flatten", "Transpose"}, Logits, "Sigmoid"},
		{[]string{"Softmax"}, Probabilities, ""}, {[]string{"Softmax", "Identity", "Flatten"}, Probabilities, ""},
		{[]string{"LogSoftmax"}, LogProbabilities, ""}, {[]string{"Softmax", "Relu"}, Logits, "Relu"}, {[]string{"Sigmoid", "Neg"}, Logits, ""},
	} {
		g := linear(t, 2, 1, 2, 3, 4)
		logits := g.Outputs[0]
		b := graph.NewBuilder(g, "head")
		for _, op := range c.ops {
			g.Outputs[0] = b.Op(op, g.Outputs[0])
		}
		h, err := FindHead(g, "")
		if err != nil || h.Kind != c.want || h.Output != g.Outputs[0] || h.Activation != c.made {
			t.Errorf("%v: got %+v, error %v, want %s", c.ops, h, err, c.want)
		}
		if want := g.Outputs[0]; c.want == Logits && h.Logits != want || c.want != Logits && h.Logits != logits {
			t.Errorf("%v: logits: got %q", c.ops, h.Logits.Name)
		}
	}
	if _, err := FindHead(&graph.Graph{Name: "bare"}, ""); err == nil || !strings.Contains(err.Error(), "no output") {
		t.Errorf("a graph without outputs: got error %v", err)
	}
}

// TestLogProbabilities: three heads of one answer agree, far logits included.
func TestLogProbabilities(t *testing.T) {
	want := []float64{math.Log(0.7), math.Log(0.2), math.Log(0.1)}
	for _, shift := range []float64{0, 1e4, -1e4} {
		row := []float64{want[0] + shift, want[1] + shift, want[2] + shift}
		Logits.LogProbabilities(row)
		for k := range row {
			if math.Abs(row[k]-want[k]) > 1e-11 {
				t.Errorf("logits shifted by %v: got %v, want %v", shift, row, want)
				break
			}
		}
	}
	row := []float64{0.7, 0.2, 0.1}
	Probabilities.LogProbabilities(row)
	for k := range row {
		if math.Abs(row[k]-want[k]) > 1e-15 {
			t.Errorf("probabilities: got %v, want %v", row, want)
		}
	}
	row = []float64{0, 1}
	if Probabilities.LogProbabilities(row); row[0] != math.Log(0x1p-126) || row[1] != 0 {
		t.Errorf("probability 0: got %v, want the log of the smallest normal number", row)
	}
	row = []float64{-1, -2}
	if LogProbabilities.LogProbabilities(row); row[0] != -1 || row[1] != -2 {
		t.Errorf("log-probabilities: got %v, want them as they are", row)
	}
}

// TestFinishKeepsTheRest: only normalisations that follow batches change.
func TestFinishKeepsTheRest(t *testing.T) {
	g, err := NewModel("resnet8", []int{3, 8, 8}, 4, 1)
	if err != nil {
		t.Fatal(err)
	}
	done := Finish(g)
	if len(done.Nodes) != len(g.Nodes) || done.Digest() != g.Digest() {
		t.Error("Finish changed nodes or parameters")
	}
	norms := 0
	for _, n := range done.Nodes {
		if n.Op == "BatchNormalization" {
			norms++
		}
		if followsBatches(n) || len(n.Out) != 1 {
			t.Errorf("%s still follows batches", n)
		}
	}
	if norms != 9 { // stem, two per block, one per widening shortcut
		t.Errorf("batch normalisations: got %d, want 9", norms)
	}
	for _, v := range done.Inputs {
		if v.Type.DType != tensor.Float32 {
			t.Errorf("input %v", v.Type)
		}
	}
}

// TestArchitectureOptions: what is asked for is in the graph, and it trains.
func TestArchitectureOptions(t *testing.T) {
	images := glyphs(t, 8)
	for _, c := range []struct {
		a     Architecture
		want  int            // parameters that train
		nodes map[string]int // of each operator
	}{
		{Architecture{Name: "mlp:784-32-16-10", NoBias: true}, 784*32 + 32*16 + 16*10, map[string]int{"Gemm": 3, "Relu": 2}},
		{Architecture{Name: "mlp:784-32-10", Activation: Logistic, Init: GlorotUniform}, 784*32 + 32 + 32*10 + 10, map[string]int{"Sigmoid": 1, "Relu": 0}},
		{Architecture{Name: "lenet-300-100", Activation: Tanh}, 266610, map[string]int{"Tanh": 2}},
		// A normalisation has a scale and a shift for each channel, its layer no bias.
		{Architecture{Name: "mlp:784-32-10", BatchNorm: true}, 784*32 + 2*32 + 32*10 + 10, map[string]int{"BatchNormalization": 1}},
		{Architecture{Name: "mlp:784-32-10", BatchNorm: true, NormOutput: true}, 784*32 + 2*32 + 32*10 + 2*10, map[string]int{"BatchNormalization": 2}},
		{Architecture{Name: "lenet5", BatchNorm: true}, 61706 + 6 + 16 + 120 + 84, map[string]int{"BatchNormalization": 4, "Relu": 4}},
		{Architecture{Name: "lenet5", NoBias: true, Activation: Tanh}, 61706 - 6 - 16 - 120 - 84 - 10, map[string]int{"Tanh": 4}},
		{Architecture{Name: "resnet8", NoBias: true, Activation: Tanh}, 0, map[string]int{"BatchNormalization": 9, "Tanh": 7, "Gemm": 1}},
	} {
		g, err := c.a.Model([]int{1, 28, 28}, 10, 1)
		if err != nil {
			t.Fatal(err)
		}
		if got := trainable(g); c.want > 0 && got != c.want {
			t.Errorf("%+v: parameters: got %d, want %d", c.a, got, c.want)
		}
		for op, want := range c.nodes {
			got := 0
			for _, n := range g.Nodes {
				if n.Op == op {
					got++
				}
			}
			if got != want {
				t.Errorf("%+v: %s: got %d, want %d", c.a, op, got, want)
			}
		}
		m, epochs := mustRun(t, g, images, Options{Batch: 4})
		if e := epochs[0]; !(e.Loss > 0 && e.Loss < 20) {
			t.Errorf("%+v: first epoch: got %+v", c.a, e)
		}
		forward(t, Finish(m), 2)
	}
}

// TestNoBiasAtZero: without biases the network of zeros answers with zeros, so that
// its loss is that of knowing nothing.
func TestNoBiasAtZero(t *testing.T) {
	g, err := Architecture{Name: "lenet5", NoBias: true}.Model([]int{1, 28, 28}, 10, 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range g.Weights() {
		clear(tensor.Data[float32](p.Data))
	}
	for _, z := range forward(t, g, 2, 1, -2, 3).Float64s() {
		if z != 0 {
			t.Fatalf("got answer %v, want 0", z)
		}
	}
}

// TestGlorotInit: X. Glorot and Y. Bengio 2010, equation 16, in ±√(6/(n_i+n_o)), and
// four times that for the logistic function.
func TestGlorotInit(t *testing.T) {
	for init, factor := range map[Init]float64{GlorotUniform: 1, GlorotLogistic: 4} {
		g, err := Architecture{Name: "lenet5", Init: init}.Model([]int{1, 28, 28}, 10, 3)
		if err != nil {
			t.Fatal(err)
		}
		for name, fans := range map[string]int{"fc1.weight": 400 + 120, "conv2.weight": 25 * (6 + 16)} {
			top := 0.0
			for _, x := range param(t, g, name) {
				top = max(top, math.Abs(x))
			}
			if bound := factor * math.Sqrt(6/float64(fans)); top > bound || top < 0.99*bound {
				t.Errorf("%s, %s: largest: got %v, want just below %v", init, name, top, bound)
			}
		}
	}
}

// TestNormEpsilon: the operator has the ε that was asked for, or that of ONNX.
func TestNormEpsilon(t *testing.T) {
	for _, epsilon := range []float64{0, 1e-4} {
		g, err := Architecture{Name: "mlp:4-3", BatchNorm: true, NormOutput: true, NormEpsilon: epsilon}.Model([]int{4}, 3, 3)
		if err != nil {
			t.Fatal(err)
		}
		want := epsilon
		if want == 0 {
			want = 1e-5
		}
		for _, n := range g.Nodes {
			if n.Op == "BatchNormalization" {
				if got := float64(n.Attrs.Float("epsilon", 1e-5)); math.Abs(got/want-1) > 1e-6 {
					t.Errorf("epsilon: got %v, want %v", got, want)
				}
			}
		}
	}
}

func TestArchitectureRefuses(t *testing.T) {
	for _, c := range []struct {
		a    Architecture
		says string
	}{
		{Architecture{Name: "lenet5", Activation: "gelu"}, `activation "gelu": want relu, logistic or tanh`},
		{Architecture{Name: "lenet5", Init: "zero"}, `initial weights "zero": want he-uniform`},
		{Architecture{Name: "lenet5", NormEpsilon: -1}, "epsilon of batch normalisation: got -1"},
		{Architecture{Name: "lenet5", NormEpsilon: math.NaN()}, "epsilon of batch normalisation: got NaN"},
	} {
		if _, err := c.a.Model([]int{1, 28, 28}, 10, 1); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: got error %v, want one that says %q", c.a, err, c.says)
		}
	}
}
