package onnx

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

func TestSyntheticRoundTrip(t *testing.T) {
	for name, g := range synthetic() {
		t.Run(name, func(t *testing.T) { checkRoundTrip(t, g) })
	}
}

// header reads the IR version and the opset of the default domain.
func header(t *testing.T, data []byte) (ir, opset int) {
	t.Helper()
	m, err := parseModel(data)
	if err != nil {
		t.Fatal(err)
	}
	return m.meta.IR, m.opsets[""]
}

// Opset and IR are those of the table in ONNX's document on versioning, by the
// youngest number type.
func TestVersions(t *testing.T) {
	tests := []struct {
		name      string
		g         *graph.Graph
		oldest    bool
		ir, opset int
	}{
		{"kept", sparseSum(tensor.Float32), false, 7, 14},
		{"int8", dequantized(tensor.Int8), true, 5, 10},
		{"float8", dequantized(tensor.Float8E4M3FN), true, 9, 19},
		{"int4", dequantized(tensor.Int4), true, 10, 21},
		{"float4", dequantized(tensor.Float4E2M1), true, 11, 23},
		{"int2", dequantized(tensor.Int2), true, 13, 25},
		{"newest unless asked", dequantized(tensor.Int8), false, 13, 26},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			data, err := Encode(tt.g, Options{Oldest: tt.oldest})
			if err != nil {
				t.Fatal(err)
			}
			if ir, opset := header(t, data); ir != tt.ir || opset != tt.opset {
				t.Errorf("got IR %d, opset %d, want %d, %d", ir, opset, tt.ir, tt.opset)
			}
		})
	}
}

// A graph of an old opset with a young number type is converted, not relabelled,
// and the caller's graph stays as it was.
func TestOpsetRises(t *testing.T) {
	g := dequantized(tensor.Int4)
	g.Opset[""] = 13
	data, err := Encode(g, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if ir, opset := header(t, data); ir != 10 || opset != 21 {
		t.Errorf("got IR %d, opset %d, want 10, 21", ir, opset)
	}
	if g.Opset[""] != 13 {
		t.Errorf("the graph's opset: got %d, want 13 as before", g.Opset[""])
	}
}

func TestEncodeRefuses(t *testing.T) {
	tests := []struct {
		name, want string
		change     func(*graph.Graph)
	}{
		{"an internal operator", "lower it before writing", func(g *graph.Graph) { g.Nodes[1].Domain = graph.DomainInternal }},
		{"a reference", "cannot be written", func(g *graph.Graph) {
			g.Nodes[1].Attrs = graph.Attributes{{Name: "a", Kind: graph.AttrReference}}
		}},
		{"an invalid graph", "not defined before it is read", func(g *graph.Graph) { g.Nodes = g.Nodes[1:] }},
		{"no opset", "no opset of the default domain", func(g *graph.Graph) { g.Opset = nil }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := dequantized(tensor.Int8)
			tt.change(g)
			if _, err := Encode(g, Options{}); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error: got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestProps(t *testing.T) {
	g := scalars()
	g.Meta = graph.Meta{
		IR: 9, Producer: "p", ProducerVersion: "1", Domain: "d", ModelVersion: 3, Doc: "doc", GraphDoc: "graph doc",
		Props: []graph.Prop{{Key: "a", Value: "1"}, {Key: "b", Value: "2"}},
	}
	checkRoundTrip(t, g)
	data, err := Encode(g, Options{Props: []graph.Prop{{Key: "a", Value: "3"}}})
	if err != nil {
		t.Fatal(err)
	}
	back, err := Decode(data, "")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(back.Meta.Props), "[{b 2} {a 3}]"; got != want || back.Meta.IR != 9 {
		t.Errorf("got %s, IR %d, want %s, 9", got, back.Meta.IR, want)
	}
}

// Attributes of kinds that the graph has no field for are kept as they are.
func TestVerboseAttributes(t *testing.T) {
	var typ, list message
	typ.child(4, &message{})
	list.child(attrTypes, &typ)
	list.child(attrTypes, &message{})
	g, err := Decode(modelMessage(func(g *message) {
		addNode(g, "Optional -> y",
			attrMessage("type", graph.AttrType, func(m *message) { m.child(attrTypeProto, &typ) }),
			attrMessage("types", graph.AttrTypes, func(m *message) { m.append(encoded(&list)) }),
			attrMessage("sparse", graph.AttrSparse, func(m *message) { m.child(attrSparse, (&encoder{}).sparse(sparseSum(tensor.Int8).Params[0])) }),
			attrMessage("ints", graph.AttrInts, func(m *message) { m.ints(attrInts, []int64{1, -1, 3}, false) }),
			attrMessage("floats", graph.AttrFloats, func(m *message) { m.float(attrFloats, 1); m.float(attrFloats, 2) }),
			attrMessage("strings", graph.AttrStrings, func(m *message) { m.element(attrStrings, "") }),
			attrMessage("none", graph.AttrInts, func(m *message) {}),
			attrMessage("tensors", graph.AttrTensors, func(m *message) {
				m.child(attrTensors, (&encoder{}).tensor("", "", tensor.Ints(1, 2), false))
			}),
		)
		addValue(g, graphOutput, "y")
	}), "")
	if err != nil {
		t.Fatal(err)
	}
	if as := g.Nodes[0].Attrs; !bytes.Equal(as[1].Verbose, encoded(&list)) || len(as[3].Ints) != 3 || len(as[7].Tensors) != 1 {
		t.Errorf("attributes: got %v", as)
	}
	checkRoundTrip(t, g)
}

func TestSparseErrors(t *testing.T) {
	sparse := func(values tensor.Tensor, indices tensor.Tensor, dims ...int64) []byte {
		return modelMessage(func(g *message) {
			var s message
			s.child(sparseValues, (&encoder{}).tensor("w", "", values, false))
			s.child(sparseIndices, (&encoder{}).tensor("", "", indices, false))
			s.ints(sparseDims, dims, false)
			g.child(graphSparse, &s)
			addValue(g, graphOutput, "w")
		})
	}
	two := tensor.Of([]int8{5, 6}, 2)
	tests := []struct {
		name, want string
		data       []byte
	}{
		{"linear", "", sparse(two, tensor.Ints(1, 5), 2, 3)},
		{"coordinates", "", sparse(two, tensor.Of([]int64{0, 1, 1, 2}, 2, 2), 2, 3)},
		{"none", "", sparse(tensor.New(tensor.Int8, 0), tensor.New(tensor.Int64, 0), 2, 3)},
		{"index too large", "got [6], want ascending and below 6", sparse(two, tensor.Ints(1, 6), 2, 3)},
		{"negative index", "got [-1], want ascending", sparse(two, tensor.Ints(-1, 6), 2, 3)},
		{"descending", "entry 1: got [1], want ascending", sparse(two, tensor.Ints(2, 1), 2, 3)},
		{"twice", "entry 1: got [2], want ascending", sparse(two, tensor.Ints(2, 2), 2, 3)},
		{"coordinate too large", "got [0 3], want inside [2 3]", sparse(two, tensor.Of([]int64{0, 3, 1, 2}, 2, 2), 2, 3)},
		{"too few indices", "want int64[2] or int64[2,2]", sparse(two, tensor.Ints(1), 2, 3)},
		{"another type", "want int64", sparse(two, tensor.Of([]int32{1, 2}, 2), 2, 3)},
		{"values of rank 2", "want a vector of numbers", sparse(tensor.New(tensor.Int8, 1, 2), tensor.Ints(1, 2), 2, 3)},
		{"negative size", "axis 0: got -2", sparse(two, tensor.Ints(1, 2), -2, 3)},
		{"overflow", "too large", sparse(two, tensor.Ints(1, 2), 1<<40, 1<<40)},
		{"a terabyte of zeros", "want at least 1/256", sparse(two, tensor.Ints(1, 2), 1<<20, 1<<20)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g, err := Decode(tt.data, "")
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), `initialiser "w"`) {
					t.Errorf("error: got %v, want %q and the name", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if tt.name != "none" {
				if got := g.Params[0].Data.Raw(); !bytes.Equal(got, []byte{0, 5, 0, 0, 0, 6}) {
					t.Errorf("got %v, want 0 5 0 0 0 6", got)
				}
			}
			checkRoundTrip(t, g)
		})
	}
}

// Minus zero is not zero: a sparse tensor keeps every bit. Types narrower than a
// byte are sparse too.
func TestSparseKeepsBits(t *testing.T) {
	negZero := tensor.New(tensor.Float32, 4)
	negZero.Raw()[7] = 0x80
	for _, w := range []tensor.Tensor{negZero, pattern(tensor.Int4, 3, 3), pattern(tensor.Uint2, 7), tensor.New(tensor.Int8, 0), tensor.New(tensor.Float64)} {
		p := param("w", w)
		p.Sparse = true
		g := &graph.Graph{Name: "g", Params: []*graph.Param{p}, Outputs: []*graph.Value{p.Value}, Opset: map[string]int{"": 25}}
		checkRoundTrip(t, g)
	}
}

// The size of a dense layer's compact file, by hand: every field that remains.
func TestCompactSize(t *testing.T) {
	data, err := Encode(dequantized(tensor.Int8), Options{Compact: true, Oldest: true})
	if err != nil {
		t.Fatal(err)
	}
	const (
		model  = 2 + 4                               // ir_version; opset_import{version}
		name   = 3                                   // "g"
		nodeDQ = 2 + 3*3 + 2 + 16                    // a, b → c, "DequantizeLinear"
		nodeMM = 2 + 3*3 + 2 + 6                     // x, c → y, "MatMul"
		weight = 2 + 4 + 2 + 3 + 32                  // dims, type, name, raw_data of 30
		scale  = 2 + 2 + 3 + 5                       // type, name, float_data of one
		values = 2 * (2 + 3 + 2 + 2 + 2 + 2 + 5 + 4) // field, name, type, tensor type, element type, shape, "N", size
	)
	graphSize := name + nodeDQ + nodeMM + weight + scale + values
	if want := model + 1 + protowire.SizeBytes(graphSize); len(data) != want {
		t.Errorf("got %d bytes, want %d", len(data), want)
	}
}

func TestShortNames(t *testing.T) {
	for i, want := range map[int]string{0: "a", 26: "A", 52: "_", 53: "aa", 53 + 62: "a9", 53 + 63: "ba", 53 + 53*63: "aaa"} {
		if got := shortName(i); got != want {
			t.Errorf("name %d: got %q, want %q", i, got, want)
		}
	}
	seen := make(map[string]bool)
	for i := range 10000 {
		if seen[shortName(i)] {
			t.Fatalf("name %d: %q is taken", i, shortName(i))
		}
		seen[shortName(i)] = true
	}
}
