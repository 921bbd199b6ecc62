package onnx

import (
	"testing"

	"github.com/compactify/compactify/graph"
)

// FuzzDecode: foreign bytes give a graph or an error. A graph that was read can
// be written, and read again it is the same.
func FuzzDecode(f *testing.F) {
	for _, g := range synthetic() {
		for _, o := range []Options{{}, {Compact: true}} {
			data, err := Encode(g, o)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Add(modelMessage(func(g *message) {
		addValue(g, graphInput, "x")
		addNode(g, "f.F x -> a", floatAttr("k", 1))
		addNode(g, "If a -> y", subgraph("then_branch", func(g *message) {
			addParam(g, "w", 1, 2)
			addNode(g, "Add a w -> y")
			addValue(g, graphOutput, "y")
		}))
		addValue(g, graphOutput, "y")
	}, function("F", "i", "o", 18, func(m *message) {
		addNodeField(m, functionNode, "Elu i -> t", reference("alpha", "k"))
		addNodeField(m, functionNode, "Abs t -> o")
	})))
	f.Add(externalModel("location", "w.bin", "offset", "1"))
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := Decode(data, "")
		if err != nil {
			return
		}
		for _, o := range []Options{{}, {Compact: true}} {
			encoded, err := Encode(g, o)
			if err != nil {
				if o.Compact {
					t.Fatalf("compact, but not plain: %v", err)
				}
				return // a conversion to a younger opset may ask for more than the file has
			}
			back, err := Decode(encoded, "")
			if err != nil {
				t.Fatalf("%+v: %v", o, err)
			}
			if g.Opset[""] != back.Opset[""] || g.Name == "" {
				continue
			}
			same := graph.Equal
			if o.Compact {
				same = graph.Isomorphic
			}
			if err := same(g, back); err != nil {
				t.Fatalf("%+v: %v", o, err)
			}
		}
	})
}

func FuzzDecodeTensor(f *testing.F) {
	for _, g := range synthetic() {
		for _, p := range g.Params {
			f.Add(encoded((&encoder{}).tensor(p.Name, "", p.Data, false)))
			f.Add(encoded((&encoder{compact: true}).tensor(p.Name, "", p.Data, false)))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, name, err := DecodeTensor(data)
		if err != nil {
			return
		}
		for _, compact := range []bool{false, true} {
			back, again, err := DecodeTensor(encoded((&encoder{compact: compact}).tensor(name, "", v, false)))
			if err != nil {
				t.Fatal(err)
			}
			if again != name || !v.Equal(back) {
				t.Fatalf("got %q %v, want %q %v", again, back, name, v)
			}
		}
	})
}
