package graph

import (
	"math/bits"

	"github.com/compactify/compactify/tensor"
)

// Role says what the bytes of a stored tensor are for.
type Role string

// The roles of stored tensors.
const (
	RoleWeight    Role = "weight"
	RoleScale     Role = "scale"
	RoleZeroPoint Role = "zero point"
	RoleConstant  Role = "constant" // shapes, axes and other integers of the graph itself
)

// Entry is one stored tensor in a [Ledger].
type Entry struct {
	Name   string
	DType  tensor.DType
	Shape  []int
	Role   Role
	Sparse bool
	Bytes  int // payload, without names and headers
}

// Ledger says where the bytes of a model file are.
type Ledger struct {
	Tensors  []Entry
	Payload  int // bytes of weights and constants
	Scales   int // bytes of scales and zero points
	Metadata int // everything else in the file: nodes, names, headers
	Total    int
}

// Ledger accounts for a file of the given size that holds the graph. Its entries
// are the parameters in their order, then those of subgraphs.
func (g *Graph) Ledger(fileBytes int) Ledger {
	roles := make(map[*Value]Role)
	g.eachNode(func(n *Node) {
		if n.Op != "QuantizeLinear" && n.Op != "DequantizeLinear" {
			return
		}
		roles[n.Input(1)] = RoleScale
		roles[n.Input(2)] = RoleZeroPoint
		if n.Op == "DequantizeLinear" {
			roles[n.Input(0)] = RoleWeight
		}
	})
	l := Ledger{Total: fileBytes}
	g.eachParam(func(p *Param) {
		e := Entry{Name: p.Name, DType: p.Data.DType(), Shape: p.Data.Shape(), Role: roles[p.Value], Sparse: p.Sparse, Bytes: p.StoredBytes()}
		if e.Role == "" {
			e.Role = RoleWeight
			if !e.DType.IsFloat() {
				e.Role = RoleConstant
			}
		}
		if e.Role == RoleScale || e.Role == RoleZeroPoint {
			l.Scales += e.Bytes
		} else {
			l.Payload += e.Bytes
		}
		l.Tensors = append(l.Tensors, e)
	})
	l.Metadata = l.Total - l.Payload - l.Scales
	return l
}

// StoredBytes is the payload the parameter takes in a file: its packed
// elements or, when sparse, the values that are not zero with their indices as
// protobuf varints.
func (p *Param) StoredBytes() int {
	if !p.Sparse {
		n, _ := p.Data.DType().ByteSize(p.Data.Len())
		return n
	}
	nonzero, indices := 0, 0
	for i, n := 0, p.Data.Len(); i < n; i++ {
		if p.Data.At(i) != 0 {
			nonzero++
			indices += (bits.Len(uint(i)|1) + 6) / 7
		}
	}
	n, _ := p.Data.DType().ByteSize(nonzero)
	return n + indices
}
