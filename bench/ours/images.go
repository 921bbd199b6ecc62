package main

import (
	"os"
	"path/filepath"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/internal/stream"
)

// imagesOf is the built-in digits, or noise in CIFAR-10's format for images in
// colour: the arithmetic does not depend on what they show.
func imagesOf(shape []int) (*data.Set, error) {
	if shape[0] == 1 {
		s, err := data.Open("glyphs", data.Options{Seed: 1})
		return s.Train, err
	}
	dir, err := os.MkdirTemp("", "images")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	const records, size = 2048, 1 + 3*32*32
	noise := make([]byte, records*size)
	r := stream.New(1, "bench/noise", 0)
	for i := range noise {
		noise[i] = byte(r.IntN(256))
		if i%size == 0 {
			noise[i] %= 10 // the label
		}
	}
	file := filepath.Join(dir, "noise.bin")
	if err := os.WriteFile(file, noise, 0o600); err != nil {
		return nil, err
	}
	s, err := data.Open(file, data.Options{Seed: 1})
	return s.Train, err
}
