// Package onnx reads and writes ONNX models.
//
// A model file is one protobuf message. The reader walks it with protowire, the
// wire format alone and no generated code, so that weights stay where the file
// was read: a parameter's tensor is a view of the file's bytes. The messages and
// their field numbers are those of onnx.proto (IR version 13).
//
// What the file says is kept: opsets, unknown operators and their attributes,
// names, documentation, metadata. Four things change form on the way in:
//
//   - Initialisers that IR 3 also lists as inputs become parameters only.
//   - Sparse initialisers become dense tensors with [graph.Param] Sparse set.
//   - Calls of model-local functions are replaced by the functions' bodies.
//   - Nodes are brought into topological order, and inner names that shadow an
//     outer value are made unique.
//
// Values that are not tensors (sequences, maps, optionals) are refused as
// inputs or outputs of a graph, see [ErrNotTensor]. Not kept are quantisation
// annotations, training information, device configurations, dimension
// denotations, and the metadata of single nodes, values and tensors.
//
// A foreign file cannot make the reader allocate much more than its own size.
// The three places where a few bytes stand for many are limited: a sparse
// tensor to [maxSparseRatio], a function's expansion to [maxInlined], and
// subgraphs to [maxDepth] levels.
package onnx

import (
	"errors"
	"fmt"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// MinOpset is the oldest version of the default operator set that is read.
const MinOpset = 7

// ErrNotTensor marks a model, well formed as it may be, whose inputs or outputs
// are sequences, maps, optionals or sparse tensors.
var ErrNotTensor = errors.New("not a tensor")

// Read reads a model file, and the external data beside it. The weights are
// views of memory that the graph keeps alive; nothing refers to the file after
// Read returns.
func Read(path string) (*graph.Graph, error) {
	g, _, err := ReadSized(path)
	return g, err
}

// Decode reads a model from memory. The weights are views of data, which must
// not change afterwards. External data is looked for in the folder dir; an
// empty dir forbids it. The error wraps a [*FormatError] if data is no model.
func Decode(data []byte, dir string) (*graph.Graph, error) {
	g, err := decodeModel(data, dir)
	if err != nil {
		return nil, fmt.Errorf("decode onnx: %w", err)
	}
	return g, nil
}

// DecodeTensor reads a serialised TensorProto, the form of the inputs and
// outputs beside ONNX's test models. The elements are a view of data where the
// encoding allows it. A SequenceProto or OptionalProto is an error.
func DecodeTensor(data []byte) (t tensor.Tensor, name string, err error) {
	p, err := parseTensor(data)
	if err == nil {
		t, err = p.tensor(nil)
	}
	if err != nil {
		return tensor.Tensor{}, "", fmt.Errorf("decode tensor %q: %w", p.name, err)
	}
	return t, p.name, nil
}
