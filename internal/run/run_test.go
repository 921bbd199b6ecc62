package run

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// asked and point stand for what a real run writes.
type asked struct {
	Command string
	Seed    int
}

type point struct{ T, Loss float64 }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("got no error, want one with %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error: got %q, want %q in it", err, part)
		}
	}
}

// files lists the names in a folder and those below.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if name, _ := filepath.Rel(dir, path); name != "." {
			list = append(list, filepath.ToSlash(name))
		}
		return err
	}))
	return list
}

func wantFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	if got := files(t, dir); !slices.Equal(got, want) {
		t.Errorf("files: got %q, want %q", got, want)
	}
}

func TestRunReadsBackAsWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "missing", "parents", "run")
	f, err := Create(dir, false)
	must(t, err)
	must(t, f.Asked(asked{"walk", 7}))
	for i := range 3 {
		must(t, f.Point(point{float64(i) / 2, 0.25}))
	}
	sum, err := f.Put("model.onnx", []byte("weights"))
	must(t, err)
	// printf weights | sha256sum
	if want := "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c"; sum != want {
		t.Errorf("sum: got %s, want %s", sum, want)
	}
	_, err = f.PutFunc("big.bin", func(w io.Writer) error {
		for range 1000 {
			if _, err := w.Write(make([]byte, 1000)); err != nil {
				return err
			}
		}
		return nil
	})
	must(t, err)
	must(t, f.Finish())
	must(t, f.Finish())
	wantFiles(t, dir, "asked.json", "big.bin", "manifest.json", "model.onnx", "points.jsonl")

	r, err := Open(dir)
	must(t, err)
	if !r.Finished || r.Torn != 0 || len(r.Lost) != 0 {
		t.Errorf("record: got %+v, want a finished run without losses", r)
	}
	var compact bytes.Buffer
	for _, p := range r.Points {
		compact.Write(append(p, ' '))
	}
	if got, want := compact.String(), `{"T":0,"Loss":0.25} {"T":0.5,"Loss":0.25} {"T":1,"Loss":0.25} `; got != want {
		t.Errorf("points: got %s, want %s", got, want)
	}
	if got, want := strings.Join(strings.Fields(string(r.Asked)), ""), `{"Command":"walk","Seed":7}`; got != want {
		t.Errorf("asked: got %s, want %s", got, want)
	}
	want := []Artefact{{"big.bin", 1e6, hexSum(string(make([]byte, 1e6)))}, {"model.onnx", 7, hexSum("weights")}}
	if !slices.Equal(r.Artefacts, want) {
		t.Errorf("artefacts: got %v, want %v", r.Artefacts, want)
	}
	data, err := r.Read("model.onnx", 7)
	if string(data) != "weights" || err != nil {
		t.Errorf("read: got %q, %v", data, err)
	}
	_, err = r.Read("model.onnx", 6)
	wantError(t, err, "model.onnx", "got 7", "at most 6")
	_, err = r.Read("asked.json", 100)
	wantError(t, err, "asked.json", `want one of ["big.bin" "model.onnx"]`)
}

func hexSum(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func TestCreateRefusesWhatIsThere(t *testing.T) {
	parent := t.TempDir()
	must(t, os.WriteFile(filepath.Join(parent, "file"), nil, 0o666))
	must(t, os.Mkdir(filepath.Join(parent, "full"), 0o777))
	must(t, os.WriteFile(filepath.Join(parent, "full", "thesis.tex"), nil, 0o666))

	_, err := Create(filepath.Join(parent, "full"), false)
	wantError(t, err, "full", "not empty", "thesis.tex")
	if !errors.Is(err, ErrExists) {
		t.Errorf("error: got %v, want ErrExists in it", err)
	}
	_, err = Create(filepath.Join(parent, "file"), true)
	wantError(t, err, "create run folder", "file", "not a directory")
	_, err = Create(filepath.Join(parent, "file", "below"), false)
	wantError(t, err, "create run folder", "not a directory")
	_, err = Create("", false)
	wantError(t, err, `create run folder ""`)
	wantFiles(t, parent, "file", "full", "full/thesis.tex")
}

func TestCreateInUnwritablePlace(t *testing.T) {
	parent := t.TempDir()
	must(t, os.Chmod(parent, 0o555))
	if os.Mkdir(filepath.Join(parent, "probe"), 0o777) == nil {
		t.Skip("this user may write anywhere")
	}
	_, err := Create(filepath.Join(parent, "a", "b"), false)
	wantError(t, err, "create run folder", "mkdir", "permission denied")
}

func TestForceRemovesOnlyTheEarlierRun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	f, err := Create(dir, false)
	must(t, err)
	must(t, f.Asked(asked{}))
	for _, name := range []string{"model.onnx", "report.html"} {
		_, err = f.Put(name, []byte("old"))
		must(t, err)
	}
	must(t, f.Finish())
	for _, name := range []string{"thesis.tex", ".report.html.compactify-partial"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o666))
	}
	_, err = Create(dir, false)
	wantError(t, err, "not empty")

	f, err = Create(dir, true)
	must(t, err)
	wantFiles(t, dir, "manifest.json", "points.jsonl", "thesis.tex")
	r, err := Open(dir)
	must(t, err)
	if r.Finished || r.Asked != nil || len(r.Points)+len(r.Artefacts) > 0 {
		t.Errorf("record of a new run: got %+v, want nothing in it", r)
	}
	must(t, f.Discard())
	wantFiles(t, dir, "thesis.tex")
}

// TestForceDistrustsTheManifest: a manifest is foreign input; what it says must
// not remove a file elsewhere.
func TestForceDistrustsTheManifest(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "run")
	must(t, os.Mkdir(dir, 0o777))
	must(t, os.WriteFile(filepath.Join(parent, "precious"), nil, 0o666))
	must(t, os.WriteFile(filepath.Join(dir, "manifest.json"), []byte(fmt.Sprintf(
		`{"format":"compactify-run","version":1,"finished":true,"artefacts":[{"name":"../precious","size":0,"sha256":%q}]}`, hexSum(""))), 0o666))
	_, err := Open(dir)
	wantError(t, err, "manifest.json", "../precious", "plain file name")
	f, err := Create(dir, true)
	must(t, err)
	must(t, f.Discard())
	wantFiles(t, parent, "precious", "run")
}

func TestFreshNumbersFolders(t *testing.T) {
	parent := filepath.Join(t.TempDir(), "runs")
	for _, name := range []string{"walk-7", "walk-x", "walk-", "other-9"} {
		must(t, os.MkdirAll(filepath.Join(parent, name), 0o777))
	}
	const runs = 8
	var wg sync.WaitGroup
	dirs := make([]string, runs)
	for i := range runs {
		wg.Go(func() {
			f, err := Fresh(parent, "walk")
			if err != nil {
				t.Error(err)
				return
			}
			dirs[i] = filepath.Base(f.Dir())
		})
	}
	wg.Wait()
	slices.Sort(dirs)
	want := []string{"walk-10", "walk-11", "walk-12", "walk-13", "walk-14", "walk-15", "walk-8", "walk-9"}
	if !slices.Equal(dirs, want) {
		t.Errorf("folders: got %q, want %q", dirs, want)
	}
	f, err := Fresh(filepath.Join(parent, "new"), "train")
	must(t, err)
	if got := filepath.Base(f.Dir()); got != "train-1" {
		t.Errorf("folder: got %q, want train-1", got)
	}
	must(t, f.Discard())
	if slices.Contains(files(t, parent), "new") {
		t.Error("Discard left the parent that was made for the run")
	}
	_, err = Fresh(parent, "a/b")
	wantError(t, err, "a/b", "plain file name")
}

func TestOneOfManyClaimsAFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	var wg sync.WaitGroup
	got := make([]*Folder, 8)
	for i := range got {
		wg.Go(func() { got[i], _ = Create(dir, false) })
	}
	wg.Wait()
	if n := len(slices.DeleteFunc(got, func(f *Folder) bool { return f == nil })); n != 1 {
		t.Errorf("runs in one folder: got %d, want 1", n)
	}
}

func TestWritesRefuse(t *testing.T) {
	f, err := Create(filepath.Join(t.TempDir(), "run"), false)
	must(t, err)
	for _, name := range []string{"", ".", "..", "a/b", `a\b`, "/a", ".hidden", "c:x", "a\x00b", "a\nb", "\xff",
		strings.Repeat("n", 201), "manifest.json", "points.jsonl", "asked.json"} {
		if _, err := f.Put(name, nil); err == nil {
			t.Errorf("Put(%q): got no error", name)
		}
	}
	wantError(t, f.Point(math.NaN()), "points.jsonl", "NaN")
	wantError(t, f.Point(strings.Repeat("x", maxPoint)), "points.jsonl", "1048579", "1048576")
	wantError(t, f.Asked(strings.Repeat("x", maxAsked)), "asked.json", "16777218", "16777216")
	cause := errors.New("the cause")
	_, err = f.PutFunc("a", func(w io.Writer) error { w.Write([]byte("half")); return cause })
	if wantError(t, err, `write "a"`); !errors.Is(err, cause) {
		t.Errorf("error: got %v, want the cause in it", err)
	}
	func() {
		defer func() { recover() }()
		f.PutFunc("a", func(io.Writer) error { panic("in the writer") })
	}()
	wantFiles(t, f.Dir(), "manifest.json", "points.jsonl")
	must(t, f.Finish())
	wantError(t, f.Point(1), "finished")
	wantError(t, f.Asked(1), "finished")
	_, err = f.Put("late", nil)
	wantError(t, err, "late", "finished")
}

// TestOpenFindsEveryChange alters each file of a finished run.
func TestOpenFindsEveryChange(t *testing.T) {
	build := func() string {
		f, err := Create(filepath.Join(t.TempDir(), "run"), false)
		must(t, err)
		must(t, f.Asked(asked{}))
		must(t, f.Point(point{0.5, 1}))
		_, err = f.Put("model.onnx", []byte("weights"))
		must(t, err)
		must(t, f.Finish())
		return f.Dir()
	}
	for _, name := range []string{"asked.json", "points.jsonl", "model.onnx"} {
		alter := map[string]func(path string, old []byte) error{
			"sha256: got":  func(p string, old []byte) error { old[0] ^= 1; return os.WriteFile(p, old, 0o666) },
			"size: got":    func(p string, old []byte) error { return os.WriteFile(p, append(old, '\n'), 0o666) },
			"no such file": func(p string, _ []byte) error { return os.Remove(p) },
			"type: got d":  func(p string, _ []byte) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o777)) },
		}
		for want, change := range alter {
			dir := build()
			path := filepath.Join(dir, name)
			old, err := os.ReadFile(path)
			must(t, err)
			must(t, change(path, old))
			_, err = Open(dir)
			if wantError(t, err, name, want); errors.Is(err, ErrNoRun) {
				t.Errorf("error: got %v, want it to be of a run", err)
			}
		}
	}
	_, err := Open(t.TempDir())
	if !errors.Is(err, ErrNoRun) {
		t.Errorf("open of an empty folder: got %v, want ErrNoRun in it", err)
	}
}

// TestOpenOfInterruptedRun: a torn last line is dropped, even if what is there
// of it is JSON; a broken line before it is an error.
func TestOpenOfInterruptedRun(t *testing.T) {
	for _, c := range []struct {
		tail   string
		points int
		torn   int
		bad    string
	}{
		{tail: "", points: 2},
		{tail: `{"T":`, points: 2, torn: 5},
		{tail: `12`, points: 2, torn: 2},
		{tail: "12\n", points: 3},
		{tail: "{\n12\n", bad: "line 3"},
		{tail: "\n", bad: "line 3"},
		{tail: "1 2\n", bad: "line 3"},
	} {
		f, err := Create(filepath.Join(t.TempDir(), "run"), false)
		must(t, err)
		must(t, f.Point(1))
		must(t, f.Point(2))
		_, err = f.log.out.Write([]byte(c.tail))
		must(t, err)
		r, err := Open(f.Dir())
		if c.bad != "" {
			wantError(t, err, "points.jsonl", c.bad)
			continue
		}
		must(t, err)
		if len(r.Points) != c.points || r.Torn != c.torn || r.Finished {
			t.Errorf("tail %q: got %d points and %d bytes torn, want %d and %d", c.tail, len(r.Points), r.Torn, c.points, c.torn)
		}
	}
}

func TestConcurrentWrites(t *testing.T) {
	f, err := Create(filepath.Join(t.TempDir(), "run"), false)
	must(t, err)
	const workers = 8
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			for k := range 5 {
				if err := f.Point([]int{i, k}); err != nil {
					t.Error(err)
				}
			}
			if _, err := f.Put(fmt.Sprint("artefact-", i), []byte{byte(i)}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	must(t, f.Finish())
	r, err := Open(f.Dir())
	must(t, err)
	if len(r.Points) != 5*workers || len(r.Artefacts) != workers {
		t.Errorf("got %d points and %d artefacts, want %d and %d", len(r.Points), len(r.Artefacts), 5*workers, workers)
	}
}

// TestCreateUnfinished: a folder of a run under way is told from one that is done or
// that holds something else, from the first file that is there on.
func TestCreateUnfinished(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	f, err := Create(dir, false)
	must(t, err)
	inUse := func(when string, want bool) {
		t.Helper()
		_, err := Create(dir, false)
		if !errors.Is(err, ErrExists) || errors.Is(err, ErrUnfinished) != want {
			t.Errorf("%s: got error %v, want it to say that the run is under way: %v", when, err, want)
		}
	}
	inUse("at first", true)
	_, err = f.Put("model.onnx", []byte("x"))
	must(t, err)
	inUse("after an artefact", true)
	must(t, os.Rename(f.Path(manifestName), f.partial(manifestName)))
	inUse("while its manifest is written", true)
	must(t, os.Rename(f.partial(manifestName), f.Path(manifestName)))
	must(t, f.Finish())
	inUse("finished", false)
	must(t, os.Remove(f.Path(pointsName)))
	inUse("without points", false)
}
