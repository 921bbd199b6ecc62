package run

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	askedName    = "asked.json"
	pointsName   = "points.jsonl"
	manifestName = "manifest.json"

	formatName    = "compactify-run"
	formatVersion = 1

	maxManifest = 4 << 20 // bytes, some 30 000 artefacts
	maxAsked    = 16 << 20
	maxName     = 200 // bytes; file systems allow 255, and partialName needs some
)

// Artefact is a file of a run.
type Artefact struct {
	Name   string `json:"name"`   // a plain file name
	Size   int64  `json:"size"`   // bytes
	SHA256 string `json:"sha256"` // hexadecimal, lower case
}

// manifest is the content of manifest.json. Lists are sorted by name.
type manifest struct {
	Format    string     `json:"format"`
	Version   int        `json:"version"`
	Finished  bool       `json:"finished"`
	Artefacts []Artefact `json:"artefacts"`

	// Pending are files about to be renamed to their names: the file holds
	// this content or, if it is among the artefacts too, that one.
	Pending []Artefact `json:"pending,omitempty"`
}

func (m manifest) encode() ([]byte, error) {
	m.Format, m.Version = formatName, formatVersion
	if m.Artefacts == nil {
		m.Artefacts = []Artefact{}
	}
	data, err := json.MarshalIndent(m, "", "  ")
	if err == nil && len(data) >= maxManifest {
		err = fmt.Errorf("manifest: size: got %d bytes, want less than %d", len(data), maxManifest)
	}
	return append(data, '\n'), err
}

// readManifest reads and checks the manifest of a folder.
func readManifest(d disk, dir string) (*manifest, error) {
	data, err := readBounded(d, filepath.Join(dir, manifestName), maxManifest)
	if err != nil {
		return nil, err
	}
	m, err := parseManifest(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", manifestName, err)
	}
	return m, nil
}

// parseManifest accepts only what [Folder] writes; every name in it is safe to
// join to the folder.
func parseManifest(data []byte) (*manifest, error) {
	m := new(manifest)
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(m); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("data after the JSON object")
	}
	if m.Format != formatName || m.Version != formatVersion {
		return nil, fmt.Errorf("format: got %q version %d, want %q version %d", m.Format, m.Version, formatName, formatVersion)
	}
	if m.Finished && len(m.Pending) > 0 {
		return nil, fmt.Errorf("pending: got %d files, want none in a finished run", len(m.Pending))
	}
	return m, errors.Join(checkList("artefacts", m.Artefacts), checkList("pending", m.Pending))
}

func checkList(what string, list []Artefact) error {
	for i, a := range list {
		err := checkName(a.Name)
		switch sum, bad := hex.DecodeString(a.SHA256); {
		case err != nil:
		case i > 0 && list[i-1].Name >= a.Name:
			err = fmt.Errorf("name %q: got it after %q, want sorted and different names", a.Name, list[i-1].Name)
		case a.Name == manifestName:
			err = fmt.Errorf("name %q: want another name", a.Name)
		case a.Size < 0:
			err = fmt.Errorf("%q: size: got %d, want at least 0", a.Name, a.Size)
		case bad != nil || len(sum) != 32 || strings.ToLower(a.SHA256) != a.SHA256:
			err = fmt.Errorf("%q: sha256: got %q, want 64 lower-case hexadecimal digits", a.Name, a.SHA256)
		}
		if err != nil {
			return fmt.Errorf("%s: entry %d: %w", what, i, err)
		}
	}
	return nil
}

// checkArtefact refuses names that the run store uses itself.
func checkArtefact(name string) error {
	if name == askedName || name == pointsName || name == manifestName {
		return fmt.Errorf("name %q: it is reserved", name)
	}
	return checkName(name)
}

// checkName accepts names that are plain files of the folder on every system:
// a manifest is foreign input, and files are removed by what it says.
func checkName(name string) error {
	const want = "want a plain file name without a leading dot"
	switch {
	case name == "" || len(name) > maxName:
		return fmt.Errorf("name: got %d bytes, want 1 to %d", len(name), maxName)
	case strings.HasPrefix(name, "."), strings.ContainsAny(name, `/\:`), !filepath.IsLocal(name),
		!utf8.ValidString(name), strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("name %q: %s", name, want)
	}
	return nil
}

const partialSuffix = ".compactify-partial"

// partialName is where a file is written before it gets its name.
func partialName(name string) string { return "." + name + partialSuffix }

func isPartial(name string) bool {
	return strings.HasPrefix(name, ".") && strings.HasSuffix(name, partialSuffix)
}

// insert adds an entry in order, replacing that of the same name. The list it
// is given is not modified.
func insert(list []Artefact, a Artefact) []Artefact {
	list = without(list, a.Name)
	i, _ := find(list, a.Name)
	return slices.Insert(list, i, a)
}

// without is a copy of the list lacking a name.
func without(list []Artefact, name string) []Artefact {
	return slices.DeleteFunc(slices.Clone(list), func(a Artefact) bool { return a.Name == name })
}

func find(list []Artefact, name string) (int, bool) {
	return slices.BinarySearchFunc(list, name, func(a Artefact, name string) int { return strings.Compare(a.Name, name) })
}

// readBounded reads a file of at most limit bytes.
func readBounded(d disk, name string, limit int64) ([]byte, error) {
	f, size, err := d.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > limit {
		return nil, fmt.Errorf("read %q: size: got %d bytes, want at most %d", name, size, limit)
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("read %q: size: it grew beyond %d bytes", name, limit)
	}
	return data, err
}
