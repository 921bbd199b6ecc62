package run

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
)

// Record is a run read back from its folder.
type Record struct {
	Dir       string
	Finished  bool              // false if the run was killed or is still under way
	Asked     json.RawMessage   // what was asked; nil if the run was interrupted before
	Points    []json.RawMessage // every measured point, in order
	Torn      int               // bytes of a torn last point that were dropped
	Artefacts []Artefact        // sorted by name; their hashes were verified
	Lost      []string          // artefacts whose writing was interrupted: they have no good content

	disk disk
}

// ErrNoRun is wrapped by the error of [Open] for a folder without a manifest.
var ErrNoRun = errors.New("not the folder of a run")

// Open reads the folder of a finished or interrupted run and verifies the
// SHA-256 of every artefact. The error names the file, what it is and what the
// manifest wants; it wraps [ErrNoRun] if there is no manifest. Files that the
// manifest does not list are not looked at.
func Open(dir string) (*Record, error) {
	r, err := open(osDisk{}, dir)
	if err != nil {
		return nil, fmt.Errorf("open run folder %q: %w", dir, err)
	}
	return r, nil
}

func open(d disk, dir string) (*Record, error) {
	m, err := readManifest(d, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrNoRun, err)
	}
	if err != nil {
		return nil, err
	}
	r := &Record{Dir: dir, Finished: m.Finished, disk: d}
	for _, a := range m.Artefacts {
		if err := r.verify(a, m.Pending); err != nil {
			return nil, err
		}
	}
	for _, a := range m.Pending {
		if _, listed := find(m.Artefacts, a.Name); !listed {
			if r.check(a) == nil {
				r.Artefacts = insert(r.Artefacts, a)
			} else {
				r.Lost = append(r.Lost, a.Name)
			}
		}
	}
	return r, errors.Join(r.takeAsked(), r.takePoints())
}

// verify accepts a listed file if it holds the listed content, or that which
// was about to replace it.
func (r *Record) verify(a Artefact, pending []Artefact) error {
	err := r.check(a)
	if i, ok := find(pending, a.Name); err != nil && ok && r.check(pending[i]) == nil {
		a, err = pending[i], nil
	}
	r.Artefacts = append(r.Artefacts, a)
	return err
}

// check compares a file with its entry. It reads no more than the entry's size
// and one byte.
func (r *Record) check(a Artefact) error {
	f, size, err := r.disk.Open(r.Path(a.Name))
	if err != nil {
		return err
	}
	defer f.Close()
	if size != a.Size {
		return fmt.Errorf("artefact %q: size: got %d bytes, want %d", a.Name, size, a.Size)
	}
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(f, a.Size+1))
	if err != nil {
		return fmt.Errorf("artefact %q: %w", a.Name, err)
	}
	return a.compare(n, h.Sum(nil))
}

func (a Artefact) compare(size int64, sum []byte) error {
	if size != a.Size {
		return fmt.Errorf("artefact %q: size: got %d bytes, want %d", a.Name, size, a.Size)
	}
	if got := hex.EncodeToString(sum); got != a.SHA256 {
		return fmt.Errorf("artefact %q: sha256: got %s, want %s", a.Name, got, a.SHA256)
	}
	return nil
}

// takeAsked moves asked.json from the artefacts to its field.
func (r *Record) takeAsked() error {
	if _, ok := find(r.Artefacts, askedName); !ok {
		return nil
	}
	data, err := r.read(askedName, maxAsked+1)
	if err == nil && !json.Valid(data) {
		err = fmt.Errorf("%s: got %.40q, want one JSON value", askedName, data)
	}
	r.Asked, r.Artefacts = data, without(r.Artefacts, askedName)
	return err
}

// takePoints reads points.jsonl, which is listed only in a finished run.
func (r *Record) takePoints() error {
	var data []byte
	var err error
	if _, listed := find(r.Artefacts, pointsName); listed || r.Finished {
		data, err = r.read(pointsName, maxPoints)
		r.Artefacts = without(r.Artefacts, pointsName)
	} else if data, err = readBounded(r.disk, r.Path(pointsName), maxPoints); errors.Is(err, fs.ErrNotExist) {
		err = nil // the run was interrupted while it was discarded
	}
	if err != nil {
		return err
	}
	if r.Points, r.Torn, err = parsePoints(data); err != nil {
		return fmt.Errorf("%s: %w", pointsName, err)
	}
	if r.Finished && r.Torn > 0 {
		return fmt.Errorf("%s: last line: got %d bytes without a newline, want whole lines in a finished run", pointsName, r.Torn)
	}
	return nil
}

// Path is the path of a file in the folder.
func (r *Record) Path(name string) string { return filepath.Join(r.Dir, name) }

// Read returns the bytes of an artefact of at most limit bytes, verified once
// more: they are the bytes that the manifest lists, whatever has happened to
// the folder since [Open].
func (r *Record) Read(name string, limit int64) ([]byte, error) {
	data, err := r.read(name, limit)
	if err != nil {
		return nil, fmt.Errorf("read from run folder %q: %w", r.Dir, err)
	}
	return data, nil
}

func (r *Record) read(name string, limit int64) ([]byte, error) {
	i, ok := find(r.Artefacts, name)
	if !ok {
		return nil, fmt.Errorf("artefact %q: got none, want one of %q", name, r.names())
	}
	data, err := readBounded(r.disk, r.Path(name), limit)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	return data, r.Artefacts[i].compare(int64(len(data)), sum[:])
}

func (r *Record) names() []string {
	names := make([]string, len(r.Artefacts))
	for i, a := range r.Artefacts {
		names[i] = a.Name
	}
	return slices.Clip(names)
}
