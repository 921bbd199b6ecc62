package run

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// memDisk is a file system in memory that knows what would survive a power
// failure: of a file what was last synced, of a folder's entries those of its
// last sync. Folders themselves survive at once.
type memDisk struct {
	dirs    map[string]bool
	entries map[string]*memFile // by path
	lasting map[string]*memFile // by path
}

type memFile struct{ data, synced []byte }

func newMemDisk() *memDisk {
	return &memDisk{dirs: map[string]bool{".": true}, entries: make(map[string]*memFile), lasting: make(map[string]*memFile)}
}

// afterPowerFailure is what is found when the machine is on again.
func (d *memDisk) afterPowerFailure() *memDisk {
	next := newMemDisk()
	next.dirs = maps.Clone(d.dirs)
	for name, f := range d.lasting {
		next.entries[name] = &memFile{f.synced, f.synced}
	}
	next.lasting = maps.Clone(next.entries)
	return next
}

// names lists the files and folders.
func (d *memDisk) names() []string {
	list := slices.Collect(maps.Keys(d.entries))
	for dir := range d.dirs {
		if dir != "." {
			list = append(list, dir)
		}
	}
	slices.Sort(list)
	return list
}

func failed(op, name string, err error) error { return &fs.PathError{Op: op, Path: name, Err: err} }

func (d *memDisk) MakeDir(dir string) error {
	switch {
	case d.dirs[dir] || d.entries[dir] != nil:
		return failed("mkdir", dir, fs.ErrExist)
	case !d.dirs[filepath.Dir(dir)]:
		return failed("mkdir", dir, fs.ErrNotExist)
	}
	d.dirs[dir] = true
	return nil
}

func (d *memDisk) List(dir string) ([]fs.DirEntry, error) {
	if !d.dirs[dir] {
		return nil, failed("list", dir, fs.ErrNotExist)
	}
	var list []fs.DirEntry
	for _, name := range d.names() {
		if filepath.Dir(name) == dir {
			list = append(list, memEntry{filepath.Base(name), d.dirs[name]})
		}
	}
	return list, nil
}

func (d *memDisk) Create(name string) (file, error) {
	if d.entries[name] != nil {
		return nil, failed("create", name, fs.ErrExist)
	}
	d.entries[name] = &memFile{}
	return d.entries[name], nil
}

func (d *memDisk) Open(name string) (io.ReadCloser, int64, error) {
	f := d.entries[name]
	if f == nil {
		return nil, 0, failed("open", name, fs.ErrNotExist)
	}
	return io.NopCloser(bytes.NewReader(f.data)), int64(len(f.data)), nil
}

func (d *memDisk) Rename(from, to string) error {
	f := d.entries[from]
	if f == nil {
		return failed("rename", from, fs.ErrNotExist)
	}
	delete(d.entries, from)
	d.entries[to] = f
	return nil
}

func (d *memDisk) Remove(name string) error {
	switch {
	case d.entries[name] != nil:
		delete(d.entries, name)
	case d.dirs[name]:
		if list, _ := d.List(name); len(list) > 0 {
			return failed("remove", name, fmt.Errorf("%d entries", len(list)))
		}
		delete(d.dirs, name)
	default:
		return failed("remove", name, fs.ErrNotExist)
	}
	return nil
}

func (d *memDisk) SyncDir(dir string) error {
	inside := func(name string, _ *memFile) bool { return filepath.Dir(name) == dir }
	maps.DeleteFunc(d.lasting, inside)
	for name, f := range d.entries {
		if inside(name, f) {
			d.lasting[name] = f
		}
	}
	return nil
}

func (f *memFile) Write(p []byte) (int, error) { f.data = append(f.data, p...); return len(p), nil }
func (f *memFile) Sync() error                 { f.synced = slices.Clone(f.data); return nil }
func (f *memFile) Close() error                { return nil }

// memEntry is a line of a listing.
type memEntry struct {
	name string
	dir  bool
}

func (e memEntry) Name() string               { return e.name }
func (e memEntry) IsDir() bool                { return e.dir }
func (e memEntry) Info() (fs.FileInfo, error) { return e, nil }
func (e memEntry) Type() fs.FileMode          { return e.Mode().Type() }
func (e memEntry) Size() int64                { return 0 }
func (e memEntry) ModTime() time.Time         { return time.Time{} }
func (e memEntry) Sys() any                   { return nil }

func (e memEntry) Mode() fs.FileMode {
	if e.dir {
		return fs.ModeDir
	}
	return 0
}

// partials lists what runs left half-written.
func (d *memDisk) partials() []string {
	return slices.DeleteFunc(d.names(), func(name string) bool { return !strings.HasSuffix(name, partialSuffix) })
}
