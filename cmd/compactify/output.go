package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/compactify/compactify/internal/atomicfile"
	store "github.com/compactify/compactify/internal/run"
)

// freshStem is the name of the folders made without --out: compactify-out-1,
// compactify-out-2 and so on, in the current folder.
const freshStem = "compactify-out"

// folder makes the folder that --out names, or a fresh numbered one. A folder
// that holds something is an error without --force.
func (a *app) folder() (f *store.Folder, err error) {
	if a.out == "" {
		f, err = store.Fresh(".", freshStem)
	} else if info, statErr := os.Stat(a.out); statErr == nil && !info.IsDir() {
		return nil, fmt.Errorf("--out %q: is a file, want a folder", a.out)
	} else {
		f, err = store.Create(a.out, a.force)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.made = f
	return f, err
}

// abandon removes what a command that will not end by itself has written.
func (a *app) abandon() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.made == nil {
		return nil
	}
	return a.made.Discard()
}

// seal finishes the folder: from here on it is not abandoned.
func (a *app) seal(f *store.Folder) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.made = nil
	return f.Finish()
}

// checkFile refuses a file that exists, unless --force is given.
func (a *app) checkFile(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("write %q: %w", path, err)
	case info.IsDir():
		return fmt.Errorf("write %q: is a folder, want a file", path)
	case info.Size() > 0 && !a.force:
		return fmt.Errorf("write %q: the %w", path, fs.ErrExist)
	}
	return nil
}

// writeFile writes a file that appears whole or not at all, with the folders it
// needs.
func (a *app) writeFile(path string, data []byte) error {
	if err := a.checkFile(path); err != nil {
		return err
	}
	if err := a.checkSize(path, len(data)); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	f, err := atomicfile.Create(path)
	if err != nil {
		return err
	}
	defer f.Discard()
	if _, err := f.Write(data); err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	return f.Commit()
}

// checkSize holds a result against --max-bytes.
func (a *app) checkSize(what string, n int) error {
	if a.maxBytes > 0 && n > int(a.maxBytes) {
		return &tooLargeError{what: what, got: n, want: int(a.maxBytes)}
	}
	return nil
}

// sealed ends a run folder: finished after success, removed after an error.
func (a *app) sealed(f *store.Folder, err error) error {
	if err == nil {
		return a.seal(f)
	}
	return errors.Join(err, f.Discard())
}

// columns prints rows with their cells aligned, without blanks at their ends.
func columns(w io.Writer, rows [][]string) {
	var aligned bytes.Buffer
	t := tabwriter.NewWriter(&aligned, 0, 0, 3, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(t, "\t")
			}
			fmt.Fprint(t, cell)
		}
		fmt.Fprintln(t)
	}
	t.Flush()
	for line := range strings.Lines(aligned.String()) {
		fmt.Fprintln(w, strings.TrimRight(line, " \n"))
	}
}

// diskBytes is a file's size.
func diskBytes(path string) (int, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return int(info.Size()), nil
}
