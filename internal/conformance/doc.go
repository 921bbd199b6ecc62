// Package conformance holds tests that need the engine and the file formats at
// once: real models against reference outputs, and the ONNX backend node tests.
// It has no code of its own.
package conformance
