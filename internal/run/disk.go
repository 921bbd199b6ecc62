package run

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"syscall"
)

// disk is what the package needs of a file system. Tests put faults in between.
type disk interface {
	MakeDir(dir string) error                       // fs.ErrExist if there is one, fs.ErrNotExist without a parent
	List(dir string) ([]fs.DirEntry, error)         // sorted by name
	Create(name string) (file, error)               // for writing; fs.ErrExist if there is one
	Open(name string) (io.ReadCloser, int64, error) // a regular file and its size
	Rename(from, to string) error                   // replaces to
	Remove(name string) error                       // a file or an empty folder
	SyncDir(dir string) error                       // makes renames lasting
}

type file interface {
	io.WriteCloser
	Sync() error
}

// osDisk is the file system of the operating system.
type osDisk struct{}

func (osDisk) MakeDir(dir string) error               { return os.Mkdir(dir, 0o777) }
func (osDisk) List(dir string) ([]fs.DirEntry, error) { return os.ReadDir(dir) }
func (osDisk) Rename(from, to string) error           { return os.Rename(from, to) }
func (osDisk) Remove(name string) error               { return os.Remove(name) }

func (osDisk) Create(name string) (file, error) {
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
}

// Open looks before it opens: to open a named pipe would wait for a writer.
func (osDisk) Open(name string) (io.ReadCloser, int64, error) {
	info, err := os.Lstat(name)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("open %q: type: got %v, want a regular file", name, info.Mode().Type())
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// SyncDir does nothing where the system or the file system cannot sync folders.
func (osDisk) SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	err = f.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}
