package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/format/onnx"
	"github.com/compactify/compactify/graph"
)

// readModel reads an ONNX file and says how many bytes it takes on disk. A file
// larger than --max-memory is refused before it is read.
func (a *app) readModel(path string) (*graph.Graph, int, error) {
	if info, err := os.Stat(path); err == nil && a.maxMemory > 0 && info.Size() > int64(a.maxMemory) {
		short := &engine.MemoryError{Need: int(info.Size()), Limit: int(a.maxMemory)}
		return nil, 0, fmt.Errorf("read model %q: %w", filepath.Base(path), short)
	}
	return onnx.ReadSized(path)
}
