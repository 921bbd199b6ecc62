package onnx

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/compactify/compactify/graph"
)

// ReadSized is [Read] together with the bytes that the model takes on disk: its
// file and, whole, every file of external data it names.
func ReadSized(path string) (*graph.Graph, int, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, 0, fmt.Errorf("read onnx: %w", err)
	}
	external := openFolder(filepath.Dir(path))
	g, err := decodeIn(data, external)
	if err != nil {
		return nil, 0, fmt.Errorf("read onnx %q: %w", filepath.Base(path), err)
	}
	size := len(data)
	for _, file := range external.files {
		size += len(file)
	}
	return g, size, nil
}
