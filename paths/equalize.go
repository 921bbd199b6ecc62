package paths

import (
	"math"
	"slices"

	"github.com/compactify/compactify/graph"
)

// maxSweeps is how often all seams are equalised at most: the factors of one
// change what its neighbours see.
const maxSweeps = 20

// Equalize brings the largest weights of every channel to the same size on both
// sides of each seam, so that one grid suits more of them: channel i of a seam is
// divided by √(r₁ᵢ/r₂ᵢ), where rᵢ is the largest magnitude among the weights that
// make it and that read it, to the nearest power of two. The model computes the
// same to the last bit. It returns how many seams were changed. Channels without a
// weight on one side are left alone.
//
// Source: M. Nagel et al., "Data-free quantization through weight equalization and
// bias correction", ICCV 2019, section 4.1, equation 11.
func Equalize(g *graph.Graph) (*graph.Graph, int) {
	c, _ := g.Clone()
	seams := Seams(c)
	touched := make(map[*Seam]bool)
	for range maxSweeps {
		moved := false
		for _, s := range seams {
			made, read := s.largest(s.divided[:s.weights]), s.largest(s.read)
			factors := make([]float64, s.Channels)
			for i := range factors {
				factors[i] = math.Sqrt(made[i] / read[i])
			}
			if s.move(factors) {
				moved, touched[s] = true, true
			}
		}
		if !moved {
			break
		}
	}
	return c, len(touched)
}

// Smooth moves the difficulty of activations with a few large channels into the
// weights that read them: channel i of a seam is divided by xᵢ^α/wᵢ^(1−α), where xᵢ
// is its largest magnitude in calibration and wᵢ that of the weights that read it,
// to the nearest power of two. α is in [0, 1]; a half is usual. seen holds what was
// seen of the inputs of layers, see [LayerInputs]. The model computes the same to
// the last bit. It returns how many seams were changed.
//
// Source: G. Xiao et al., "SmoothQuant: accurate and efficient post-training
// quantization for large language models", ICML 2023, section 4, equation 4.
func Smooth(g *graph.Graph, seen map[string]Moments, alpha float64) (*graph.Graph, int) {
	c, _ := g.Clone()
	count := 0
	for _, s := range Seams(c) {
		x := seen[s.value].Peak
		if len(x) != s.Channels*s.inner {
			continue
		}
		w := s.largest(s.read)
		factors := make([]float64, s.Channels)
		for i := range factors {
			factors[i] = math.Pow(slices.Max(x[i*s.inner:(i+1)*s.inner]), alpha) / math.Pow(w[i], 1-alpha)
		}
		if s.move(factors) {
			count++
		}
	}
	return c, count
}
