package onnx

import (
	"bytes"
	"runtime"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// A file of many small things is read in proportion to its size, or refused:
// neither memory nor time explodes. Each file is about 256 KiB.
func TestHostileFiles(t *testing.T) {
	const size = 256 << 10
	repeat := func(m *message, num protowire.Number, piece []byte) {
		var one message
		one.bytes(num, piece)
		m.append(bytes.Repeat(encoded(&one), size/one.size))
	}
	smallNode := func(fill func(*message)) []byte {
		var n message
		n.text(nodeOp, "A")
		fill(&n)
		return encoded(&n)
	}
	tests := []struct {
		name string
		data []byte
	}{
		{"nodes", modelMessage(func(g *message) { repeat(g, graphNode, smallNode(func(*message) {})) })},
		{"subgraphs", modelMessage(func(g *message) {
			repeat(g, graphNode, smallNode(func(n *message) { n.child(nodeAttr, subgraph("b", func(*message) {})) }))
		})},
		{"calls", modelMessage(func(g *message) {
			repeat(g, graphNode, smallNode(func(n *message) { n.text(nodeDomain, "f") }))
		}, function("A", "", "", 18, func(m *message) {
			for range 20 {
				addNodeField(m, functionNode, "B ->")
			}
		}))},
		{"omitted inputs", modelMessage(func(g *message) {
			g.bytes(graphNode, smallNode(func(n *message) { repeat(n, nodeIn, nil) }))
		})},
		{"attributes of one name", modelMessage(func(g *message) {
			g.bytes(graphNode, smallNode(func(n *message) {
				repeat(n, nodeAttr, encoded(attrMessage("k", 2, func(m *message) { m.varint(attrI, 1) })))
			}))
		})},
		{"integers", modelMessage(func(g *message) {
			addNode(g, "A ->", attrMessage("k", 7, func(m *message) { m.bytes(attrInts, make([]byte, size)) }))
		})},
		{"inputs of one name", modelMessage(func(g *message) {
			addParam(g, "x", 1)
			var v message
			v.text(valueName, "x")
			repeat(g, graphInput, encoded(&v))
		})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			_, err := Decode(tt.data, "")
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			got := (after.TotalAlloc - before.TotalAlloc) >> 20
			t.Logf("%d KiB: %d MiB allocated in %v, error: %.100v", len(tt.data)>>10, got, took, err)
			if got > 256 || took > 10*time.Second { // the greediest allocates 190 MiB in 0.3 s, ten times as long under the race detector
				t.Errorf("%d KiB: %d MiB allocated in %v", len(tt.data)>>10, got, took)
			}
		})
	}
}
