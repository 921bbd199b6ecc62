package run

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// FuzzManifest: what is accepted names plain files only and survives a round
// trip; and no manifest makes Open panic or read outside its folder.
func FuzzManifest(f *testing.F) {
	const sum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" // of no bytes
	f.Add([]byte(`{"format":"compactify-run","version":1,"finished":false,"artefacts":[]}`))
	f.Add([]byte(`{"format":"compactify-run","version":1,"finished":true,"artefacts":[{"name":"empty","size":0,"sha256":"` + sum + `"}]}`))
	f.Add([]byte(`{"format":"compactify-run","version":1,"artefacts":[],"pending":[{"name":"empty","size":0,"sha256":"` + sum + `"}]}`))
	f.Add([]byte(`{"format":"compactify-run","version":1,"artefacts":[{"name":"../x","size":-1,"sha256":"00"}]}`))
	f.Add([]byte(`{"format":"compactify-run","version":2}`))
	parent := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseManifest(data)
		if err != nil {
			return
		}
		for _, a := range append(m.Artefacts, m.Pending...) {
			if filepath.Base(a.Name) != a.Name || a.Name == manifestName || a.Size < 0 {
				t.Fatalf("accepted %+v", a)
			}
		}
		again, err := m.encode()
		must(t, err)
		back, err := parseManifest(again)
		must(t, err)
		if len(m.Artefacts)+len(m.Pending) > 0 && !reflect.DeepEqual(m, back) {
			t.Fatalf("round trip: got %+v, want %+v", back, m)
		}
		dir, err := os.MkdirTemp(parent, "")
		must(t, err)
		defer os.RemoveAll(dir)
		must(t, os.WriteFile(filepath.Join(dir, "empty"), nil, 0o666))
		must(t, os.WriteFile(filepath.Join(dir, manifestName), data, 0o666))
		if r, err := Open(dir); err == nil {
			for _, a := range r.Artefacts {
				if a.Size != 0 || a.SHA256 != sum {
					t.Fatalf("called good: %+v, want only the empty file", a)
				}
			}
		}
	})
}

// FuzzPoints: lines and the torn rest add up to the input, and every line is JSON.
func FuzzPoints(f *testing.F) {
	f.Add([]byte(`{"t":0,"loss":1}` + "\n" + `{"t":1,`))
	f.Add([]byte("1\n2"))
	f.Add([]byte("\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		points, torn, err := parsePoints(data)
		if err != nil {
			return
		}
		var again []byte
		for _, p := range points {
			if !json.Valid(p) {
				t.Fatalf("not JSON: %q", p)
			}
			again = append(append(again, p...), '\n')
		}
		if !bytes.Equal(again, data[:len(data)-torn]) || bytes.ContainsRune(data[len(data)-torn:], '\n') {
			t.Fatalf("got %q and %d bytes torn of %q", points, torn, data)
		}
	})
}
