package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/compactify/compactify/format/onnx"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/train"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){"compactify": main}) }

// TestScript runs the scripts in testdata/script. Each finds a tiny network in
// tiny.onnx, the same with an operator nobody knows in odd.onnx, and 240 labelled examples for it in flowers.csv.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			if err := writeTiny(filepath.Join(e.WorkDir, "tiny.onnx")); err != nil {
				return err
			}
			if err := writeOdd(filepath.Join(e.WorkDir, "odd.onnx")); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(e.WorkDir, "flowers.csv"), flowers(240), 0o666)
		},
		Condition: func(name string) (bool, error) {
			if name != "race" {
				return false, fmt.Errorf("condition %q: want race", name)
			}
			return raceDetector, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "json": jsonKeys, "bad": badFiles, "cut": cutFile, "flip": flipBit},
	})
}

// writeTiny writes an untrained network of 4 inputs, 8 hidden units and 3
// classes: 4·8+8+8·3+3 = 67 weights.
func writeTiny(path string) error {
	g, err := train.NewModel("mlp:4-8-3", []int{4}, 3, 1)
	if err != nil {
		return err
	}
	g.Meta = graph.Meta{Producer: "test"}
	return onnx.Write(path, g, onnx.Options{Oldest: true})
}

// writeOdd writes the tiny network with its Relu replaced by an operator of an
// unknown domain.
func writeOdd(path string) error {
	g, err := train.NewModel("mlp:4-8-3", []int{4}, 3, 1)
	if err != nil {
		return err
	}
	for _, n := range g.Nodes {
		if n.Kind() == "Relu" {
			n.Domain, n.Op = "com.example", "Swoosh"
		}
	}
	g.Opset["com.example"] = 1
	return onnx.Write(path, g, onnx.Options{})
}

// flowers makes examples of three classes around centres 3 standard deviations
// apart, with one decimal each: a network learns nearly all of them.
func flowers(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	centres := [3][4]float64{{0, 0, 0, 0}, {3, 0, 3, 0}, {0, 3, 0, 3}}
	var b bytes.Buffer
	b.WriteString("a,b,c,d,kind\n")
	for i := range n {
		for _, c := range centres[i%3] {
			fmt.Fprintf(&b, "%.1f,", c+r.NormFloat64())
		}
		fmt.Fprintf(&b, "%s\n", []string{"iris", "lily", "rose"}[i%3])
	}
	return b.Bytes()
}

// bad models writes the models of [writeBad] into the script's folder, and an
// empty folder models.
func badFiles(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 || args[0] != "models" {
		ts.Fatalf("usage: bad models")
	}
	ts.Check(os.MkdirAll(ts.MkAbs("models"), 0o777))
	ts.Check(writeBad(ts.MkAbs(".")))
}

// cut FROM TO N writes the first N bytes of a file.
func cutFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: cut FROM TO N")
	}
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(ts.ReadFile(args[0]))[:n], 0o666))
}

// flipBit changes one bit of a file: flip FILE BYTE. Twice, it is as before.
func flipBit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: flip FILE BYTE")
	}
	at, err := strconv.Atoi(args[1])
	ts.Check(err)
	file, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	if at < 0 || at >= len(file) {
		ts.Fatalf("%s: got %d bytes, want more than %d", args[0], len(file), at)
	}
	file[at] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), file, 0o666))
}

// exits N PROGRAM ARGS… runs a program and wants exit status N.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits N PROGRAM ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status: got %d, want %d", got, want)
	}
}

// json FILE KEYS… wants the file to hold exactly one JSON object with at least
// the keys; FILE may be stdout.
func jsonKeys(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: json FILE KEYS...")
	}
	d := json.NewDecoder(bytes.NewReader([]byte(ts.ReadFile(args[0]))))
	var object map[string]json.RawMessage
	ts.Check(d.Decode(&object))
	if _, err := d.Token(); err != io.EOF {
		ts.Fatalf("%s: more follows after the first JSON object", args[0])
	}
	var have []string
	for k := range object {
		have = append(have, k)
	}
	for _, k := range args[1:] {
		if !slices.Contains(have, k) {
			ts.Fatalf("%s: key %q is missing; got %v", args[0], k, have)
		}
	}
}
