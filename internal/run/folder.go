// Package run keeps what a run did in a folder of plain files, so that it can
// be checked later by a program that trusts only the files.
//
//	asked.json     what was asked: command, settings, seed
//	points.jsonl   every measured point, one JSON value per line, in order
//	manifest.json  every other file with its size and SHA-256
//	...            the artefacts: models, reports, certificates
//
// The folder is of use at any moment of the run, also when the process was
// killed. A file appears under its name only when it is whole: it is written
// beside it, synced and renamed. The manifest is replaced before and after each
// rename, and names the coming content before, so a reader always knows which
// bytes are good. A point is appended by one write; a kill leaves at most one
// torn last line, which [Open] drops and reports. Points are synced by
// [Folder.Finish] only: a power failure, other than a kill, may lose the last
// of them.
package run

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"path/filepath"
	"sync"
)

// Folder is the folder of a run under way. Its methods may be called from
// several goroutines.
type Folder struct {
	dir  string
	disk disk
	made []string // the folders that were made for this run, outermost first

	mu       sync.Mutex
	manifest manifest
	log      *pointLog
}

// Dir is the folder's path, as it was given.
func (f *Folder) Dir() string { return f.dir }

// Path is the path of a file in the folder.
func (f *Folder) Path(name string) string { return filepath.Join(f.dir, name) }

// Asked writes asked.json: v as indented JSON, at most 16 MiB.
func (f *Folder) Asked(v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err == nil && len(data) > maxAsked {
		err = fmt.Errorf("size: got %d bytes, want at most %d", len(data), maxAsked)
	}
	if err == nil {
		_, err = f.put(askedName, func(w io.Writer) error {
			_, err := w.Write(append(data, '\n'))
			return err
		})
	}
	return f.wrap(askedName, err)
}

// Point appends v to points.jsonl as one line of JSON, at most 1 MiB; a run
// holds at most 256 MiB of them. After an append that failed in the middle of a
// line, this and all later ones report that failure.
func (f *Folder) Point(v any) error {
	line, err := json.Marshal(v)
	if err == nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		err = f.log.append(line)
	}
	return f.wrap(pointsName, err)
}

// Put writes an artefact and returns its SHA-256 in hexadecimal. It replaces an
// earlier one of the same name; after an error the earlier one is still there.
// The name is a plain file name that does not begin with a dot.
func (f *Folder) Put(name string, data []byte) (sum string, err error) {
	return f.PutFunc(name, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// PutFunc is [Folder.Put] of what a function writes.
func (f *Folder) PutFunc(name string, write func(io.Writer) error) (sum string, err error) {
	if err = checkArtefact(name); err == nil {
		sum, err = f.put(name, write)
	}
	return sum, f.wrap(name, err)
}

func (f *Folder) wrap(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("write %q in run folder %q: %w", name, f.dir, err)
}

// put writes the content beside its name, announces its hash in the manifest,
// renames it and confirms it. Whatever step is the last one, the file's bytes
// match a hash that the manifest holds.
func (f *Folder) put(name string, write func(io.Writer) error) (string, error) {
	if f.isFinished() {
		return "", errFinished
	}
	a, err := f.stage(name, write)
	if err != nil {
		return "", err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.manifest.Pending = insert(f.manifest.Pending, a)
	err = f.save()
	if err == nil {
		err = f.disk.Rename(f.partial(name), f.Path(name))
	}
	f.manifest.Pending = without(f.manifest.Pending, name)
	if err != nil {
		return "", errors.Join(err, f.disk.Remove(f.partial(name)))
	}
	f.manifest.Artefacts = insert(f.manifest.Artefacts, a)
	return a.SHA256, f.save()
}

func (f *Folder) isFinished() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.manifest.Finished
}

// stage writes and syncs the file beside its name. Nothing stays after an error.
func (f *Folder) stage(name string, write func(io.Writer) error) (a Artefact, err error) {
	out, err := f.disk.Create(f.partial(name))
	if err != nil {
		return a, err
	}
	done := false // stays false when write panics, too
	defer func() {
		if !done {
			err = errors.Join(err, f.disk.Remove(f.partial(name)))
		}
	}()
	w := &hashingWriter{to: out, hash: sha256.New()}
	err = write(w)
	if err == nil {
		err = out.Sync()
	}
	if closing := out.Close(); err == nil {
		err = closing
	}
	done = err == nil
	return Artefact{Name: name, Size: w.size, SHA256: hex.EncodeToString(w.hash.Sum(nil))}, err
}

func (f *Folder) partial(name string) string { return f.Path(partialName(name)) }

// save replaces the manifest. The folder is synced with it, which makes renames
// that went before lasting as well.
func (f *Folder) save() error {
	data, err := f.manifest.encode()
	if err != nil {
		return err
	}
	_, err = f.stage(manifestName, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
	if err != nil {
		return err
	}
	if err := f.disk.Rename(f.partial(manifestName), f.Path(manifestName)); err != nil {
		return errors.Join(err, f.disk.Remove(f.partial(manifestName)))
	}
	return f.disk.SyncDir(f.dir)
}

var errFinished = errors.New("the run is finished")

// Finish seals the run: points are synced, and the manifest lists every file
// with its size and SHA-256. Nothing can be written afterwards.
func (f *Folder) Finish() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.manifest.Finished {
		return nil
	}
	err := f.log.close()
	if err == nil {
		sealed := f.manifest
		f.manifest.Artefacts = insert(f.manifest.Artefacts, f.log.artefact())
		f.manifest.Finished = true
		if err = f.save(); err != nil {
			f.manifest = sealed
		}
	}
	if err != nil {
		return fmt.Errorf("finish run folder %q: %w", f.dir, err)
	}
	return nil
}

// Discard removes every file that this run wrote, and the folders that were
// made for it unless something else is in them. It goes on after an error and
// returns all of them; after an error it may be called again.
func (f *Folder) Discard() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	if err := f.log.abandon(); err != nil {
		errs = append(errs, err)
	}
	entries, err := f.disk.List(f.dir)
	if err != nil {
		errs = append(errs, err)
	}
	names := []string{pointsName}
	for _, e := range entries {
		if isPartial(e.Name()) {
			names = append(names, e.Name())
		}
	}
	for _, a := range f.manifest.Artefacts {
		names = append(names, a.Name)
	}
	// The manifest goes last: until then the rest is known to a later force.
	for _, name := range append(names, manifestName) {
		if err := f.disk.Remove(f.Path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("discard run folder %q: %w", f.dir, errors.Join(errs...))
	}
	return f.removeMade()
}

// hashingWriter counts and hashes what passes through it.
type hashingWriter struct {
	to   io.Writer
	hash hash.Hash
	size int64
}

func (w *hashingWriter) Write(p []byte) (int, error) {
	n, err := w.to.Write(p)
	w.hash.Write(p[:n])
	w.size += int64(n)
	return n, err
}
