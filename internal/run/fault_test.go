package run

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var errFault = errors.New("injected fault")

// faultyDisk fails its at-th operation, counted from 0; a write that fails has
// written half. With kill, every later operation fails as well, as if the
// process were gone. It also checks that no file is renamed before it is synced.
type faultyDisk struct {
	osDisk
	at, count  int
	kill       bool
	unsynced   map[string]bool
	misordered []string
}

func newFaultyDisk(at int, kill bool) *faultyDisk {
	return &faultyDisk{at: at, kill: kill, unsynced: make(map[string]bool)}
}

func (d *faultyDisk) fault() error {
	n := d.count
	d.count++
	if n == d.at || (d.kill && n > d.at) {
		return fmt.Errorf("operation %d: %w", n, errFault)
	}
	return nil
}

func (d *faultyDisk) MakeDir(dir string) error {
	if err := d.fault(); err != nil {
		return err
	}
	return d.osDisk.MakeDir(dir)
}

func (d *faultyDisk) List(dir string) ([]fs.DirEntry, error) {
	if err := d.fault(); err != nil {
		return nil, err
	}
	return d.osDisk.List(dir)
}

func (d *faultyDisk) Create(name string) (file, error) {
	if err := d.fault(); err != nil {
		return nil, err
	}
	f, err := d.osDisk.Create(name)
	return &faultyFile{f, d, name}, err
}

func (d *faultyDisk) Open(name string) (io.ReadCloser, int64, error) {
	if err := d.fault(); err != nil {
		return nil, 0, err
	}
	return d.osDisk.Open(name)
}

func (d *faultyDisk) Rename(from, to string) error {
	if err := d.fault(); err != nil {
		return err
	}
	if d.unsynced[from] {
		d.misordered = append(d.misordered, from)
	}
	return d.osDisk.Rename(from, to)
}

func (d *faultyDisk) Remove(name string) error {
	if err := d.fault(); err != nil {
		return err
	}
	return d.osDisk.Remove(name)
}

func (d *faultyDisk) SyncDir(dir string) error {
	if err := d.fault(); err != nil {
		return err
	}
	return nil // nothing here outlives the machine
}

type faultyFile struct {
	file
	disk *faultyDisk
	name string
}

func (f *faultyFile) Write(p []byte) (int, error) {
	killed := f.disk.kill && f.disk.count > f.disk.at
	if err := f.disk.fault(); err != nil {
		if killed {
			return 0, err
		}
		n, _ := f.file.Write(p[:len(p)/2])
		return n, err
	}
	f.disk.unsynced[f.name] = true
	return f.file.Write(p)
}

func (f *faultyFile) Sync() error {
	if err := f.disk.fault(); err != nil {
		return err
	}
	delete(f.disk.unsynced, f.name)
	return nil
}

func (f *faultyFile) Close() error { // the system closes files of a killed process
	return errors.Join(f.disk.fault(), f.file.Close())
}

// contents are what wholeRun puts under each name, in order.
var contents = map[string][]string{
	"model.onnx":  {"first weights", "second weights, replacing the first"},
	"report.html": {"<html>"},
}

// wholeRun does everything a run does, and discards it after the first error.
func wholeRun(d disk, dir string, force bool) (err error) {
	f, err := create(d, dir, force)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Discard())
		}
	}()
	if err = f.Asked(asked{"run", 1}); err != nil {
		return err
	}
	if _, err = f.Put("model.onnx", []byte(contents["model.onnx"][0])); err != nil {
		return err
	}
	for i := range 2 {
		if err = f.Point(point{float64(i), 1}); err != nil {
			return err
		}
	}
	for _, name := range []string{"report.html", "model.onnx"} {
		data := contents[name][len(contents[name])-1]
		_, err = f.PutFunc(name, func(w io.Writer) error {
			_, err := io.WriteString(w, data[:2])
			if err == nil {
				_, err = io.WriteString(w, data[2:])
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return f.Finish()
}

// eachFault calls try for every operation of a whole run.
func eachFault(t *testing.T, kill, force bool, try func(d *faultyDisk, dir string)) {
	t.Helper()
	for n := 0; ; n++ {
		dir := filepath.Join(t.TempDir(), "made", "run")
		if force {
			must(t, wholeRun(newFaultyDisk(-1, false), dir, false))
			must(t, os.WriteFile(filepath.Join(dir, "thesis.tex"), []byte("foreign"), 0o666))
		}
		d := newFaultyDisk(n, kill)
		try(d, dir)
		if len(d.misordered) > 0 {
			t.Fatalf("fault %d: renamed before synced: %q", n, d.misordered)
		}
		if d.count <= n { // the fault was beyond the run's end
			if n < 40 {
				t.Fatalf("operations of a run: got %d, want all of them counted", n)
			}
			return
		}
		if t.Failed() {
			t.Fatalf("at fault %d of kill=%v force=%v", n, kill, force)
		}
	}
}

// TestErrorLeavesNothing: whatever operation fails, the run reports it, and
// after Discard there is nothing but foreign files.
func TestErrorLeavesNothing(t *testing.T) {
	for _, force := range []bool{false, true} {
		eachFault(t, false, force, func(d *faultyDisk, dir string) {
			err := wholeRun(d, dir, force)
			if d.count <= d.at {
				must(t, err)
				return
			}
			if !errors.Is(err, errFault) {
				t.Fatalf("fault %d: got error %v, want the fault reported", d.at, err)
			}
			parent := filepath.Dir(filepath.Dir(dir))
			left := files(t, parent)
			if !force && len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
			if force {
				checkForced(t, dir)
			}
		})
	}
}

// checkForced: after a failure with force, the foreign file is there, and what
// remains of the earlier run (if the fault came while it was being removed) is
// known to the next force.
func checkForced(t *testing.T, dir string) {
	t.Helper()
	if data, err := os.ReadFile(filepath.Join(dir, "thesis.tex")); string(data) != "foreign" {
		t.Errorf("foreign file: got %q, %v", data, err)
	}
	must(t, wholeRun(newFaultyDisk(-1, false), dir, true))
	wantFiles(t, dir, "asked.json", "manifest.json", "model.onnx", "points.jsonl", "report.html", "thesis.tex")
}

// TestKillLeavesAReadableRun: whenever the process dies, what Open then returns
// as good is whole, and a run with force takes the folder over.
func TestKillLeavesAReadableRun(t *testing.T) {
	opened := 0
	for _, force := range []bool{false, true} {
		eachFault(t, true, force, func(d *faultyDisk, dir string) {
			wholeRun(d, dir, force)
			r, err := Open(dir)
			switch {
			case err == nil:
				opened++
				checkGood(t, r)
			case force && strings.Contains(err.Error(), "artefact"):
				// The earlier run was half removed: that is an error, not a run.
			case !errors.Is(err, fs.ErrNotExist):
				t.Errorf("open: got %v, want a record or no manifest", err)
			}
			must(t, wholeRun(newFaultyDisk(-1, false), dir, true))
			r, err = Open(dir)
			must(t, err)
			if checkGood(t, r); !r.Finished {
				t.Error("the run after the kill is not finished")
			}
			for _, name := range files(t, dir) {
				if isPartial(name) {
					t.Errorf("left behind: %q", name)
				}
			}
		})
	}
	if opened < 50 {
		t.Errorf("readable runs after a kill: got %d, want most of them", opened)
	}
}

// checkGood compares what Open calls good with what was written.
func checkGood(t *testing.T, r *Record) {
	t.Helper()
	for _, a := range r.Artefacts {
		data, err := r.Read(a.Name, 1000)
		if !slices.Contains(contents[a.Name], string(data)) || err != nil {
			t.Errorf("artefact %q: got %q, %v, want one of %q", a.Name, data, err, contents[a.Name])
		}
	}
	for i, p := range r.Points {
		if got, want := string(p), fmt.Sprintf(`{"T":%d,"Loss":1}`, i); got != want {
			t.Errorf("point %d: got %s, want %s", i, got, want)
		}
	}
	if r.Finished && (len(r.Artefacts) != len(contents) || len(r.Points) != 2 || r.Asked == nil) {
		t.Errorf("finished run: got %d artefacts and %d points", len(r.Artefacts), len(r.Points))
	}
}

// TestReadersSurviveFaults fails every operation of Open.
func TestReadersSurviveFaults(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	must(t, wholeRun(newFaultyDisk(-1, false), dir, false))
	for n := 0; ; n++ {
		d := newFaultyDisk(n, false)
		_, err := open(d, dir)
		if d.count <= n {
			must(t, err)
			return
		}
		if !errors.Is(err, errFault) {
			t.Fatalf("fault %d: got error %v, want the fault reported", n, err)
		}
	}
}
