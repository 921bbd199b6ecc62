// Package atomicfile writes files that appear whole or not at all.
//
// The bytes go to a temporary file in the same folder, which takes the wanted
// name once they are all on the disk.
package atomicfile

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// File is a file under construction. Exactly one of [File.Commit] and
// [File.Discard] takes effect; Discard after Commit does nothing, so that it can
// be deferred.
type File struct {
	path string
	f    *os.File
	w    *bufio.Writer
	done bool
}

// Create begins a file of the given path. An existing file of that name stays
// as it is until Commit.
func Create(path string) (*File, error) {
	dir, base := filepath.Split(path)
	for {
		temp := filepath.Join(dir, fmt.Sprintf(".%s.%08x.tmp", base, rand.Uint32()))
		f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return &File{path: path, f: f, w: bufio.NewWriter(f)}, nil
	}
}

// Write appends to the file.
func (f *File) Write(b []byte) (int, error) { return f.w.Write(b) }

// Finish brings the bytes to the disk, so that nothing but the renaming is left
// to Commit.
func (f *File) Finish() error {
	if err := f.w.Flush(); err != nil {
		return err
	}
	return f.f.Sync()
}

// Commit finishes the file and gives it its name. If that fails, the temporary
// file is removed.
func (f *File) Commit() error {
	defer f.Discard()
	if err := f.Finish(); err != nil {
		return err
	}
	if err := f.f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.f.Name(), f.path); err != nil {
		return err
	}
	f.done = true
	return nil
}

// Discard removes the temporary file, unless the file was committed.
func (f *File) Discard() {
	if f.done {
		return
	}
	f.done = true
	f.f.Close() // the file is thrown away: whether it was closed before does not matter
	os.Remove(f.f.Name())
}
