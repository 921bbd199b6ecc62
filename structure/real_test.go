package structure

import (
	"math/rand/v2"
	"testing"

	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/format/onnx"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/testkit"
)

// dims are sizes for the symbols of the models' inputs.
var dims = map[string]int{"N": 2, "unk__214": 2, "batch_size": 2, "sequence_length": 3, "seq_length": 3, "batch": 2, "length": 4, "sequence": 512}

func readModel(t *testing.T, name string) *graph.Graph {
	t.Helper()
	g, err := onnx.Read(testkit.Shared(t, "models/"+name))
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := engine.Simplify(g)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// realModels are trained networks with the numbers of their groups, blocks among
// them, and of refused weights. The numbers are by hand, from the layers: for
// resnet20, three streams and the inner channels of nine blocks, and the blocks.
var realModels = []struct {
	file                    string
	groups, blocks, refused int
}{
	{"resnet-cifar10/resnet20.onnx", 21, 9, 1},
	{"mlperf-tiny/image_classification/resnet8.onnx", 7, 1, 1},
	{"mlperf-tiny/keyword_spotting/dscnn.onnx", 5, 0, 1},
	{"mlperf-tiny/anomaly_detection/ad01.onnx", 9, 0, 1},
	{"burn-mnist/mnist.onnx", 4, 0, 1},
	{"mnist-cntk/mnist.onnx", 2, 0, 1},
	{"mnist-pytorch/cnn_mnist_pytorch.onnx", 3, 0, 1},
	{"magika/standard_v3_3/model.onnx", 3, 0, 1},
	{"ultraface/version-RFB-320.onnx", 25, 0, 8},
	{"dnsmos/sig_bak_ovr.onnx", 9, 0, 3},
	{"gonnx/mlp.onnx", 1, 0, 1},
	{"gonnx/gru.onnx", 0, 0, 1},
	{"gonnx/ndm.onnx", 3, 0, 1},
	{"dtln/model_1.onnx", 0, 0, 3},
	{"dtln/model_2.onnx", 0, 0, 7},
	{"silero-vad/silero_vad_16k_op15.onnx", 4, 0, 3},
	{"tract/byte_sb_bidi_lstm.onnx", 3, 0, 1},
	{"qonnx/bsd300x3-espcn/subpixel/float_model.onnx", 3, 0, 1},
	{"qonnx/bsd300x3-espcn/nn_resize/float_model.onnx", 3, 0, 1},
}

// TestRealModels: the groups are those of the networks, and removing channels at
// random gives what zeroing them does.
func TestRealModels(t *testing.T) {
	for _, m := range realModels {
		t.Run(m.file, func(t *testing.T) {
			a, err := Analyze(readModel(t, m.file))
			if err != nil {
				t.Fatal(err)
			}
			blocks := 0
			for _, g := range a.Groups {
				if g.Kind == Block {
					blocks++
				}
			}
			if len(a.Groups) != m.groups || blocks != m.blocks || len(a.Refused) != m.refused {
				t.Errorf("got %d groups with %d blocks and %d refused, want %d with %d and %d:\n%v\n%v", len(a.Groups), blocks, len(a.Refused),
					m.groups, m.blocks, m.refused, describe(a), a.Refused)
			}
			r := rand.New(rand.NewPCG(1, 2))
			if m.file == "dnsmos/sig_bak_ovr.onnx" || m.groups > 24 { // large inputs: the shapes alone
				if _, err := a.Remove(draw(a, r, 0.5)); err != nil {
					t.Error(err)
				}
				return
			}
			for _, share := range []float64{0.1, 0.7} {
				checkRemoval(t, a, draw(a, r, share), dims)
			}
		})
	}
}
