package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/compactify/compactify/format/onnx"
	"github.com/compactify/compactify/format/safetensors"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/speech"
)

// recording is what examples for models of speech are made from, in the data
// folder: a minute at 16 kHz.
const recording = "models/silero-vad/eval/test.wav"

// How many examples are made: frames, and windows of nine seconds, of which a
// model computes few in a second.
const (
	spokenFrames  = 1800
	spokenWindows = 96
)

// spoken are the arguments for a model of speech, judged by examples that are
// made for it from a recording.
func spoken(model string) []string {
	return []string{"DATA/" + model, "--data", "unlabeled:MADE/" + spokenFile(model), "--budget", "snr:30"}
}

// spokenFile is the name of the examples for a model.
func spokenFile(model string) string {
	return strings.TrimSuffix(path.Base(model), path.Ext(model)) + ".safetensors"
}

// makeExamples makes the examples that a row needs, unless they are there.
func (a *app) makeExamples(ctx context.Context, j job, f reproduceFlags) error {
	if len(j.args) < 3 || !strings.Contains(j.args[2], "MADE/") {
		return nil
	}
	model := strings.TrimPrefix(j.args[0], "DATA/")
	file := filepath.Join(f.examples, spokenFile(model))
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	samples, _, err := speech.ReadWAV(filepath.Join(f.data, filepath.FromSlash(recording)))
	if err != nil {
		return err
	}
	read := func(name string) (*graph.Graph, error) {
		return onnx.Read(filepath.Join(f.data, filepath.FromSlash(name)))
	}
	g, err := read(model)
	if err != nil {
		return err
	}
	r := speech.Recorder{Samples: samples, Most: spokenFrames, Pool: a.pool}
	var made *safetensors.File
	switch path.Base(path.Dir(model)) {
	case "silero-vad":
		made, err = r.Voice(ctx, g)
	case "dnsmos":
		r.Most = spokenWindows
		made, err = r.Windows(g)
	default:
		made, err = a.dtlnExamples(ctx, r, g, model, read)
	}
	if err != nil {
		return err
	}
	if err := os.MkdirAll(f.examples, 0o777); err != nil {
		return err
	}
	return safetensors.Write(file, made)
}

// dtlnExamples makes examples for either model of DTLN; the second listens to the
// first.
func (a *app) dtlnExamples(ctx context.Context, r speech.Recorder, g *graph.Graph, model string, read func(string) (*graph.Graph, error)) (*safetensors.File, error) {
	first := strings.Replace(model, "model_2", "model_1", 1)
	if first == model {
		return r.Magnitudes(ctx, g)
	}
	ears, err := read(first)
	if err != nil {
		return nil, err
	}
	return r.Frames(ctx, ears, g)
}
