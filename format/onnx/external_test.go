package onnx

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

func externalModel(entries ...string) []byte {
	return modelMessage(func(g *message) {
		var w message
		w.varint(tensorDims, 4)
		w.varint(tensorDType, uint64(tensor.Uint8))
		w.text(tensorName, "w")
		for i := 0; i < len(entries); i += 2 {
			w.child(tensorExternal, entry(entries[i], entries[i+1]))
		}
		w.varint(tensorLocation, 1)
		g.child(graphParam, &w)
		addValue(g, graphOutput, "w")
	})
}

func TestExternalData(t *testing.T) {
	dir := t.TempDir()
	inside := filepath.Join(dir, "model")
	if err := os.MkdirAll(filepath.Join(inside, "sub"), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"secret", "model/w.bin", "model/sub/w.bin"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte{0, 1, 2, 3, 4, 5}, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for from, to := range map[string]string{"model/out": "..", "model/link.bin": "w.bin", "model/folder": "sub"} {
		if err := os.Symlink(to, filepath.Join(dir, from)); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name    string
		entries []string
		want    []byte
		wantErr string
	}{
		{name: "offset and length", entries: []string{"location", "w.bin", "offset", "1", "length", "4"}, want: []byte{1, 2, 3, 4}},
		{name: "to the end", entries: []string{"location", "w.bin", "offset", "2", "checksum", "x"}, want: []byte{2, 3, 4, 5}},
		{name: "a folder below", entries: []string{"location", "./sub/w.bin", "length", "4"}, want: []byte{0, 1, 2, 3}},

		{name: "other size", entries: []string{"location", "w.bin"}, wantErr: "got 6 bytes, want 4"},
		{name: "beyond the end", entries: []string{"location", "w.bin", "offset", "3", "length", "4"}, wantErr: "offset 3, length 4: the file has 6 bytes"},
		{name: "offset beyond the end", entries: []string{"location", "w.bin", "offset", "7"}, wantErr: "the file has 6 bytes"},
		{name: "sum overflows", entries: []string{"location", "w.bin", "offset", "4", "length", "9223372036854775807"}, wantErr: "the file has 6 bytes"},
		{name: "negative offset", entries: []string{"location", "w.bin", "offset", "-1", "length", "4"}, wantErr: "the file has 6 bytes"},
		{name: "negative length", entries: []string{"location", "w.bin", "length", "-4"}, wantErr: "the file has 6 bytes"},
		{name: "not a number", entries: []string{"location", "w.bin", "offset", "1e3"}, wantErr: `offset: got "1e3"`},
		{name: "no location", entries: []string{"offset", "1"}, wantErr: "no location"},
		{name: "absolute", entries: []string{"location", filepath.Join(dir, "secret")}, wantErr: "want a relative path"},
		{name: "outside", entries: []string{"location", "../secret"}, wantErr: "want a relative path"},
		{name: "out and back", entries: []string{"location", "sub/../w.bin"}, wantErr: `want a path without ".."`},
		{name: "a link to a file", entries: []string{"location", "link.bin", "length", "4"}, wantErr: `"link.bin" is a symbolic link`},
		{name: "a link to a folder inside", entries: []string{"location", "folder/w.bin", "length", "4"}, wantErr: `"folder" is a symbolic link`},
		{name: "a link to a folder outside", entries: []string{"location", "out/secret", "length", "4"}, wantErr: `"out" is a symbolic link`},
		{name: "a folder", entries: []string{"location", "sub"}, wantErr: "not a regular file"},
		{name: "missing", entries: []string{"location", "none"}, wantErr: "no such file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(inside, "m.onnx")
			if err := os.WriteFile(path, externalModel(tt.entries...), 0o666); err != nil {
				t.Fatal(err)
			}
			g, err := Read(path)
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) || !strings.Contains(err.Error(), `"w"`) {
					t.Errorf("error: got %v, want %q and the tensor's name", err, tt.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := g.Params[0].Data.Raw(); !bytes.Equal(got, tt.want) {
				t.Errorf("got % x, want % x", got, tt.want)
			}
		})
	}
}

// A model written with external data is two files, reads back equal, and keeps
// its large tensors at aligned places of the second.
func TestWriteExternal(t *testing.T) {
	g := scalars()
	for i, name := range []string{"big", "bigger"} {
		p := param(name, pattern(tensor.Uint8, 1100*(i+1)+7))
		g.Params = append(g.Params, p)
		g.Outputs = append(g.Outputs, p.Value)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "m.onnx")
	for range 2 { // the second time replaces the first
		if err := Write(path, g, Options{External: true}); err != nil {
			t.Fatal(err)
		}
	}
	back, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := graph.Equal(g, back); err != nil {
		t.Error(err)
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 2 || list[1].Name() != "m.onnx.data" {
		t.Errorf("folder: got %v, want m.onnx and m.onnx.data", list)
	}
	info, err := os.Stat(path + ".data")
	if err != nil {
		t.Fatal(err)
	}
	if want := int64(1152 + 2207); info.Size() != want { // 1107 rounded up to 64, then 2·1100+7
		t.Errorf("data: got %d bytes, want %d", info.Size(), want)
	}
	if _, err := Encode(g, Options{External: true}); err == nil {
		t.Error("encode with external data: no error")
	}
}

// A write that fails leaves nothing behind.
func TestWriteFailure(t *testing.T) {
	dir := t.TempDir()
	g := scalars()
	path := filepath.Join(dir, "m.onnx")
	if err := os.MkdirAll(filepath.Join(path, "inside"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, g, Options{}); err == nil || !strings.Contains(err.Error(), `write onnx "m.onnx"`) {
		t.Errorf("error: got %v, want one that names the file", err)
	}
	if list, _ := os.ReadDir(dir); len(list) != 1 {
		t.Errorf("folder: got %d entries, want 1", len(list))
	}
}
