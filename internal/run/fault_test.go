package run

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"testing"
)

var errFault = errors.New("injected fault")

// faultyDisk fails its at-th operation, counted from 0; a write that fails has
// written half. With kill, every later operation fails as well, as if the
// process were gone.
type faultyDisk struct {
	*memDisk
	at, count int
	kill      bool
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
	return d.memDisk.MakeDir(dir)
}

func (d *faultyDisk) List(dir string) ([]fs.DirEntry, error) {
	if err := d.fault(); err != nil {
		return nil, err
	}
	return d.memDisk.List(dir)
}

func (d *faultyDisk) Create(name string) (file, error) {
	if err := d.fault(); err != nil {
		return nil, err
	}
	f, err := d.memDisk.Create(name)
	return &faultyFile{f, d}, err
}

func (d *faultyDisk) Open(name string) (io.ReadCloser, int64, error) {
	if err := d.fault(); err != nil {
		return nil, 0, err
	}
	return d.memDisk.Open(name)
}

func (d *faultyDisk) Rename(from, to string) error {
	if err := d.fault(); err != nil {
		return err
	}
	return d.memDisk.Rename(from, to)
}

func (d *faultyDisk) Remove(name string) error {
	if err := d.fault(); err != nil {
		return err
	}
	return d.memDisk.Remove(name)
}

func (d *faultyDisk) SyncDir(dir string) error {
	if err := d.fault(); err != nil {
		return err
	}
	return d.memDisk.SyncDir(dir)
}

type faultyFile struct {
	file
	disk *faultyDisk
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
	return f.file.Write(p)
}

func (f *faultyFile) Sync() error {
	if err := f.disk.fault(); err != nil {
		return err
	}
	return f.file.Sync()
}

func (f *faultyFile) Close() error { return f.disk.fault() }

// contents are what wholeRun puts under each name, in order.
var contents = map[string][]string{
	"model.onnx":      {"first weights", "second weights, replacing the first"},
	"report.html":     {"<html>"},
	"checkpoint.onnx": {"weights"},
}

const (
	runDir  = "made/run"
	foreign = runDir + "/thesis.tex"
)

// wholeRun does everything a run does, and discards it after the first error.
func wholeRun(d disk, force bool) (err error) {
	f, err := create(d, runDir, force)
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
	for i := range 3 {
		if err = f.Point(point{float64(i), 1}); err != nil {
			return err
		}
	}
	for _, name := range []string{"report.html", "model.onnx", "checkpoint.onnx"} {
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

// wholeFolder is what a run leaves behind.
var wholeFolder = []string{"made", runDir, runDir + "/asked.json", runDir + "/checkpoint.onnx", runDir + "/manifest.json",
	runDir + "/model.onnx", runDir + "/points.jsonl", runDir + "/report.html"}

// eachFault calls try for every operation of a whole run: of the first in a
// folder, and of one that takes the folder of another, which has a foreign file
// in it, by force.
func eachFault(t *testing.T, kill bool, try func(t *testing.T, d *faultyDisk, force bool)) {
	for _, force := range []bool{false, true} {
		for n := 0; ; n++ {
			d := &faultyDisk{newMemDisk(), n, 0, kill}
			if force {
				must(t, wholeRun(d.memDisk, false))
				d.entries[foreign] = &memFile{[]byte("foreign"), []byte("foreign")}
				must(t, d.memDisk.SyncDir(runDir))
			}
			t.Run(fmt.Sprintf("force=%v/%d", force, n), func(t *testing.T) { try(t, d, force) })
			if t.Failed() {
				return
			}
			if d.count <= n { // the fault was beyond the run's end
				if n < 50 {
					t.Fatalf("operations of a run: got %d, want all of them counted", n)
				}
				break
			}
		}
	}
}

// TestErrorLeavesNothing: whatever operation fails, the run reports it, and
// after Discard there is nothing but foreign files.
func TestErrorLeavesNothing(t *testing.T) {
	eachFault(t, false, func(t *testing.T, d *faultyDisk, force bool) {
		err := wholeRun(d, force)
		if d.count <= d.at {
			must(t, err)
			return
		}
		if !errors.Is(err, errFault) {
			t.Fatalf("got error %v, want the fault reported", err)
		}
		if left := d.names(); !force && len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
		if force {
			checkForced(t, d.memDisk)
		}
	})
}

// checkForced: after a failure with force, the foreign file is there, and what
// remains of the earlier run (if the fault came while it was being removed) is
// known to the next force.
func checkForced(t *testing.T, d *memDisk) {
	t.Helper()
	must(t, wholeRun(d, true))
	if got, want := d.names(), append(wholeFolder[:len(wholeFolder):len(wholeFolder)], foreign); !slices.Equal(got, want) {
		t.Errorf("files: got %q, want %q", got, want)
	}
	if f := d.entries[foreign]; f == nil || string(f.data) != "foreign" {
		t.Errorf("foreign file: got %v, want it as it was", f)
	}
}

// TestKillLeavesAReadableRun: whenever the process or the machine dies, what Open
// then returns as good is whole, and a run with force takes the folder over.
func TestKillLeavesAReadableRun(t *testing.T) {
	opened := 0
	eachFault(t, true, func(t *testing.T, d *faultyDisk, force bool) {
		err := wholeRun(d, force)
		for _, found := range []*memDisk{d.afterPowerFailure(), d.memDisk} {
			r, openErr := open(found, runDir)
			switch {
			case openErr == nil:
				opened++
				checkGood(t, r)
				if err == nil && !r.Finished {
					t.Error("the run has finished, but not what is found of it")
				}
			case force && errors.Is(openErr, fs.ErrNotExist):
				// The earlier run was half removed: that is an error, not a run.
			case !errors.Is(openErr, ErrNoRun):
				t.Errorf("open: got %v, want a record or no manifest", openErr)
			}
			must(t, wholeRun(found, true))
			r, openErr = open(found, runDir)
			must(t, openErr)
			if checkGood(t, r); !r.Finished || len(found.partials()) > 0 {
				t.Errorf("the run after the kill: finished: %v, left behind: %q", r.Finished, found.partials())
			}
		}
	})
	if opened < 300 {
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
	if r.Finished && (len(r.Artefacts) != len(contents) || len(r.Points) != 3 || r.Asked == nil) {
		t.Errorf("finished run: got %d artefacts and %d points", len(r.Artefacts), len(r.Points))
	}
}

// TestReadersSurviveFaults fails every operation of Open.
func TestReadersSurviveFaults(t *testing.T) {
	whole := newMemDisk()
	must(t, wholeRun(whole, false))
	for n := 0; ; n++ {
		d := &faultyDisk{whole, n, 0, false}
		_, err := open(d, runDir)
		if d.count <= n {
			must(t, err)
			return
		}
		if !errors.Is(err, errFault) {
			t.Fatalf("fault %d: got error %v, want the fault reported", n, err)
		}
	}
}
