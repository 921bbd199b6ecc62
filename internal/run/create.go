package run

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// ErrExists is wrapped by the error of [Create] for a folder that is not empty.
var ErrExists = errors.New("the folder exists and is not empty")

// ErrUnfinished is wrapped, beside [ErrExists], by the error of [Create] for the folder
// of a run that has not finished.
var ErrUnfinished = errors.New("another compactify is writing there, or was killed while it did")

// Create makes the folder of a new run, with its parents. Of two runs that
// create the same folder at the same time, one gets an error.
//
// The error wraps [ErrExists] if the folder is not empty, unless force is set.
// With force, the files that the manifest of an earlier run lists are removed,
// and what a killed run left half-written; all other files stay, until an
// artefact of the same name replaces one. After an error the new folders are
// gone again.
func Create(dir string, force bool) (*Folder, error) { return create(osDisk{}, dir, force) }

// Fresh makes the folder stem-N in parent for a new run, N being one more than
// the largest number in use. Runs that start at the same time get different
// folders.
func Fresh(parent, stem string) (*Folder, error) { return fresh(osDisk{}, parent, stem) }

func create(d disk, dir string, force bool) (*Folder, error) {
	made, err := makeAll(d, dir)
	f := &Folder{dir: dir, disk: d, made: made}
	if err == nil {
		err = f.claim(force)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("create run folder %q: %w", dir, err), f.removeMade())
	}
	return f, nil
}

func fresh(d disk, parent, stem string) (*Folder, error) {
	made, err := makeAll(d, parent)
	f := &Folder{disk: d, made: made}
	if err == nil {
		err = f.number(parent, stem)
	}
	if err == nil {
		err = f.claim(false)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("create run folder %q in %q: %w", stem+"-N", parent, err), f.removeMade())
	}
	return f, nil
}

// number makes the first free folder above the largest number in use. Mkdir
// decides between processes.
func (f *Folder) number(parent, stem string) error {
	if err := checkName(stem); err != nil {
		return err
	}
	entries, err := f.disk.List(parent)
	if err != nil {
		return err
	}
	last := 0
	for _, e := range entries {
		digits, ok := strings.CutPrefix(e.Name(), stem+"-")
		if n, err := strconv.Atoi(digits); ok && err == nil && n < 1<<30 {
			last = max(last, n)
		}
	}
	for {
		last++
		f.dir = filepath.Join(parent, fmt.Sprintf("%s-%d", stem, last))
		err := f.disk.MakeDir(f.dir)
		if err == nil {
			f.made = append(f.made, f.dir)
		}
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
}

// makeAll makes a folder and its parents and returns those that were missing,
// also when it fails.
func makeAll(d disk, dir string) ([]string, error) {
	err := d.MakeDir(dir)
	switch parent := filepath.Dir(dir); {
	case err == nil:
		return []string{dir}, nil
	case errors.Is(err, fs.ErrExist):
		return nil, nil
	case !errors.Is(err, fs.ErrNotExist) || parent == dir:
		return nil, err
	default:
		made, err := makeAll(d, parent)
		if err != nil {
			return made, err
		}
		if err = d.MakeDir(dir); err == nil {
			made = append(made, dir)
		} else if errors.Is(err, fs.ErrExist) {
			err = nil
		}
		return made, err
	}
}

// claim takes possession of the folder: points.jsonl is made by an operation
// that fails if it exists.
func (f *Folder) claim(force bool) error {
	entries, err := f.disk.List(f.dir)
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		if !force && f.unfinished(entries) {
			return fmt.Errorf("%w: %w", ErrExists, ErrUnfinished)
		}
		if !force {
			return fmt.Errorf("%w: it holds %q", ErrExists, entries[0].Name())
		}
		if err := f.clear(entries); err != nil {
			return fmt.Errorf("remove the earlier run: %w", err)
		}
	}
	points, err := f.disk.Create(f.Path(pointsName))
	if err != nil {
		return err
	}
	f.log = newPointLog(points)
	if err := f.save(); err != nil {
		return errors.Join(err, f.Discard())
	}
	return nil
}

// unfinished reports whether a folder is that of a run under way, or of one that was
// killed: it has points but no manifest that says it is finished.
func (f *Folder) unfinished(entries []fs.DirEntry) bool {
	holds := func(name string) bool {
		return slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == name })
	}
	if !holds(pointsName) {
		return false
	}
	if !holds(manifestName) {
		return holds(partialName(manifestName))
	}
	data, err := readBounded(f.disk, f.Path(manifestName), maxManifest)
	if err != nil {
		return false
	}
	m, err := parseManifest(data)
	return err == nil && !m.Finished
}

// clear removes the files of an earlier run. Its manifest goes last, so that
// after a failure the next attempt still knows the rest.
func (f *Folder) clear(entries []fs.DirEntry) error {
	known := map[string]bool{askedName: true, pointsName: true}
	data, err := readBounded(f.disk, f.Path(manifestName), maxManifest)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// A malformed manifest names nothing: what it may have listed is left
	// alone like any other file.
	if m, err := parseManifest(data); err == nil {
		for _, a := range slices.Concat(m.Artefacts, m.Pending) {
			known[a.Name] = true
		}
	}
	manifest := false
	for _, e := range entries {
		name := e.Name()
		manifest = manifest || name == manifestName
		if e.Type().IsRegular() && (known[name] || isPartial(name)) {
			if err := f.disk.Remove(f.Path(name)); err != nil {
				return err
			}
		}
	}
	if manifest {
		return f.disk.Remove(f.Path(manifestName))
	}
	return nil
}

// removeMade removes the folders that were made for this run, innermost first,
// up to the first that holds something.
func (f *Folder) removeMade() error {
	for len(f.made) > 0 {
		dir := f.made[len(f.made)-1]
		if entries, err := f.disk.List(dir); err != nil || len(entries) > 0 {
			return err
		}
		if err := f.disk.Remove(dir); err != nil {
			return fmt.Errorf("remove folder %q: %w", dir, err)
		}
		f.made = f.made[:len(f.made)-1]
	}
	return nil
}
