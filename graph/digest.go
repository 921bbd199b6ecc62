package graph

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"slices"
	"strings"
)

// Digest is a hash of the parameters, those of subgraphs included: their names,
// types, shapes and bytes. Their order and the nodes do not count. Graphs that
// one path made have equal digests when their models are equal.
func (g *Graph) Digest() string {
	h := sha256.New()
	var params []*Param
	g.eachParam(func(p *Param) { params = append(params, p) })
	slices.SortStableFunc(params, func(a, b *Param) int { return strings.Compare(a.Name, b.Name) })
	for _, p := range params {
		p.hashInto(h)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (p *Param) hashInto(h hash.Hash) {
	var word [8]byte
	number := func(n int) {
		binary.LittleEndian.PutUint64(word[:], uint64(n))
		h.Write(word[:])
	}
	number(len(p.Name))
	h.Write([]byte(p.Name))
	number(int(p.Data.DType()))
	number(p.Data.Rank())
	for _, n := range p.Data.Shape() {
		number(n)
	}
	h.Write(p.Data.Raw())
	for _, s := range p.Data.Strings() {
		number(len(s))
		h.Write([]byte(s))
	}
}
