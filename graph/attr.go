package graph

import (
	"fmt"

	"github.com/compactify/compactify/tensor"
)

// AttrKind says which field of an [Attr] holds its value. The numbers are those
// of ONNX's AttributeProto.AttributeType.
type AttrKind uint8

// The kinds of attributes.
const (
	AttrFloat     AttrKind = 1
	AttrInt       AttrKind = 2
	AttrString    AttrKind = 3
	AttrTensor    AttrKind = 4
	AttrGraph     AttrKind = 5
	AttrFloats    AttrKind = 6
	AttrInts      AttrKind = 7
	AttrStrings   AttrKind = 8
	AttrTensors   AttrKind = 9
	AttrGraphs    AttrKind = 10
	AttrSparse    AttrKind = 11
	AttrSparses   AttrKind = 12
	AttrType      AttrKind = 13
	AttrTypes     AttrKind = 14
	AttrReference AttrKind = 15 // names an attribute of the enclosing function
)

// Attr is a named constant of a node.
type Attr struct {
	Name    string
	Kind    AttrKind
	F       float32
	I       int64
	S       string
	T       tensor.Tensor
	G       *Graph
	Floats  []float32
	Ints    []int64
	Strings []string
	Tensors []tensor.Tensor
	Graphs  []*Graph
	Verbose []byte // kinds without a field of their own, kept as the file's bytes
	Doc     string
}

// Attributes is the attributes of one node, in file order.
type Attributes []Attr

// Float, Int, Text, Ints and the rest build attributes.
func Float(name string, v float32) Attr          { return Attr{Name: name, Kind: AttrFloat, F: v} }
func Int(name string, v int) Attr                { return Attr{Name: name, Kind: AttrInt, I: int64(v)} }
func Text(name, v string) Attr                   { return Attr{Name: name, Kind: AttrString, S: v} }
func TensorOf(name string, t tensor.Tensor) Attr { return Attr{Name: name, Kind: AttrTensor, T: t} }
func Subgraph(name string, g *Graph) Attr        { return Attr{Name: name, Kind: AttrGraph, G: g} }
func Floats(name string, v ...float32) Attr      { return Attr{Name: name, Kind: AttrFloats, Floats: v} }
func Strings(name string, v ...string) Attr      { return Attr{Name: name, Kind: AttrStrings, Strings: v} }

// Ints builds a list of integers.
func Ints(name string, v ...int) Attr {
	list := make([]int64, len(v))
	for i, x := range v {
		list[i] = int64(x)
	}
	return Attr{Name: name, Kind: AttrInts, Ints: list}
}

// Get finds an attribute by name.
func (as Attributes) Get(name string) (Attr, bool) {
	for _, a := range as {
		if a.Name == name {
			return a, true
		}
	}
	return Attr{}, false
}

// Has reports whether the attribute is present.
func (as Attributes) Has(name string) bool {
	_, ok := as.Get(name)
	return ok
}

// Int is an integer attribute, or the default.
func (as Attributes) Int(name string, def int) int {
	if a, ok := as.Get(name); ok {
		return int(a.I)
	}
	return def
}

// Float is a float attribute, or the default.
func (as Attributes) Float(name string, def float64) float64 {
	if a, ok := as.Get(name); ok {
		return float64(a.F)
	}
	return def
}

// Text is a string attribute, or the default.
func (as Attributes) Text(name, def string) string {
	if a, ok := as.Get(name); ok {
		return a.S
	}
	return def
}

// Ints is a list of integers; nil if absent.
func (as Attributes) Ints(name string) []int {
	a, ok := as.Get(name)
	if !ok {
		return nil
	}
	list := make([]int, len(a.Ints))
	for i, v := range a.Ints {
		list[i] = int(v)
	}
	return list
}

// Floats is a list of floats; nil if absent.
func (as Attributes) Floats(name string) []float32 {
	a, _ := as.Get(name)
	return a.Floats
}

// Without returns the attributes less the named ones.
func (as Attributes) Without(names ...string) Attributes {
	kept := make(Attributes, 0, len(as))
next:
	for _, a := range as {
		for _, name := range names {
			if a.Name == name {
				continue next
			}
		}
		kept = append(kept, a)
	}
	return kept
}

// With returns the attributes with a added, replacing one of the same name.
func (as Attributes) With(a Attr) Attributes {
	return append(as.Without(a.Name), a)
}

// Subgraphs lists the graphs an attribute holds.
func (a Attr) Subgraphs() []*Graph {
	if a.G != nil {
		return []*Graph{a.G}
	}
	return a.Graphs
}

func (a Attr) clone(m map[*Value]*Value) Attr {
	if a.G != nil {
		a.G = a.G.cloneInto(m)
	}
	if a.Graphs != nil {
		list := make([]*Graph, len(a.Graphs))
		for i, g := range a.Graphs {
			list[i] = g.cloneInto(m)
		}
		a.Graphs = list
	}
	return a
}

func (k AttrKind) String() string {
	names := [...]string{"undefined", "float", "int", "string", "tensor", "graph", "floats", "ints", "strings",
		"tensors", "graphs", "sparse tensor", "sparse tensors", "type", "types", "reference"}
	if int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("attribute kind %d", uint8(k))
}
