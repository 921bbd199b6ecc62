package certify

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/format/onnx"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/run"
	"github.com/compactify/compactify/train"
)

// flowers writes 24 examples of two classes into a file and opens it.
func flowers(t testing.TB) (file string, set *data.Set) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "flowers.csv")
	var text strings.Builder
	for i := range 24 {
		x := math.Sin(float64(i) * 2.3)
		b, _ := json.Marshal([]float64{x + float64(i%2), 1 - x, float64(i % 2)})
		text.WriteString(strings.Trim(string(b), "[]") + "\n")
	}
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	src, err := data.Open(file, data.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return file, src.Train
}

func mustEncode(t testing.TB, g *graph.Graph) []byte {
	t.Helper()
	file, err := onnx.Encode(g, onnx.Options{Oldest: true})
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// trainingFolder trains by gradient descent on all examples and writes a folder as the
// command does.
func trainingFolder(t testing.TB, rate float64, spoil func(*train.Record)) string {
	t.Helper()
	source, set := flowers(t)
	g, err := train.NewModel("mlp:2-4-2", []int{2}, 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	lambda := train.Always(0.01)
	o := train.Options{Epochs: 6, Batch: set.Len(), Optimizer: train.SGD, Rate: rate, Seed: 1,
		Penalties: []train.Penalty{{Kind: train.L2, Lambda: lambda}}, Monitor: &train.Monitor{Every: 1}}
	model, epochs, err := train.Run(context.Background(), g, set, o)
	if err != nil {
		t.Fatal(err)
	}
	nan := train.PlaceRecord{Loss: num(math.NaN()), Norm: num(math.NaN())}
	r := &train.Record{Arch: "mlp:2-4-2", Seed: 1, Data: data.Origin{Source: source}.Describe(set),
		Optimizer: "sgd", Batch: set.Len(), Planned: 6, Rate: "0.1", Penalties: []train.PenaltyRecord{{Kind: train.L2, Schedule: lambda.String()}},
		Initial: nan, Final: nan, Zero: nan, Descent: train.NewDescentRecord(*o.Monitor), Files: train.FilesRecord{Initial: train.InitialFile, Model: modelFile}}
	r.Final.Norm = num(model.Norm())
	for _, e := range epochs {
		r.Epochs = append(r.Epochs, train.NewEpochRecord(e, e.Lambda))
	}
	rise := o.Monitor.Descent.Rise
	if rise != nil {
		r.Files.Rise = train.RiseFile
	}
	if spoil != nil {
		spoil(r)
	}
	f, err := run.Create(filepath.Join(t.TempDir(), "run"), false)
	if err != nil {
		t.Fatal(err)
	}
	put := func(name string, file []byte, err error) {
		t.Helper()
		if err == nil {
			_, err = f.Put(name, file)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Asked(map[string]any{"command": "train", "seed": 1}); err != nil {
		t.Fatal(err)
	}
	record, err := r.Encode()
	put(train.RecordFile, record, err)
	put(modelFile, mustEncode(t, train.Finish(model)), nil)
	put(train.InitialFile, mustEncode(t, train.Finish(g)), nil)
	if rise != nil {
		file, err := rise.Encode()
		put(train.RiseFile, file, err)
	}
	if err := f.Point(map[string]float64{"loss": 1}); err != nil {
		t.Fatal(err)
	}
	if err := f.Finish(); err != nil {
		t.Fatal(err)
	}
	return f.Dir()
}

func mustOpen(t testing.TB, dir string) *Subject {
	t.Helper()
	s, err := Open(dir, Source{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestTrainingFolder: a sound descent.
func TestTrainingFolder(t *testing.T) {
	s := mustOpen(t, trainingFolder(t, 0.1, nil))
	claims := judged(t, s)
	check(t, claims["row2"], compactify.Verified, near, map[string]float64{"steps_checked": 6, "epochs": 6, "lambda": 0.01, "norm_initial": s.Initial.Norm(), "norm": s.Model.Norm()})
	check(t, claims["row4"], compactify.Verified, near, nil)
	check(t, claims["row8"], compactify.Supported, near, map[string]float64{"increases": 0, "contradictions": 0, "measured": 6, "rate": 0.1})
	if !(claims["row8"].Numbers.Get("max_kappa") < 2/0.1) {
		t.Errorf("row8: max κ: got %v, want less than 2/η", claims["row8"].Numbers)
	}
}

// TestRisingFolder: steps that are too long raise the loss; the folder's own witness
// refutes the descent, and comes out again.
func TestRisingFolder(t *testing.T) {
	dir := trainingFolder(t, 30, nil)
	s := mustOpen(t, dir)
	c := judged(t, s)["row8"]
	check(t, c, compactify.Refuted, 0, map[string]float64{"contradictions": 0})
	if c.Witness == nil || *c.Witness != train.RiseFile {
		t.Fatalf("witness: got %v, want %s (%v)", c.Witness, train.RiseFile, c.Notes)
	}
	file, err := os.ReadFile(filepath.Join(dir, train.RiseFile))
	if err != nil {
		t.Fatal(err)
	}
	r, err := Replay(t.Context(), s, file, Options{})
	if err != nil || !r.Confirmed || r.Claim != "row8" {
		t.Fatalf("replay: got %+v, %v, want it confirmed", r, err)
	}
	rise, err := train.DecodeRise(file)
	if err != nil {
		t.Fatal(err)
	}
	rise.LossAfter *= 2
	if file, err = rise.Encode(); err != nil {
		t.Fatal(err)
	}
	if r, err = Replay(t.Context(), s, file, Options{}); err != nil || r.Confirmed {
		t.Errorf("replay of another figure: got %+v, %v, want it not confirmed", r, err)
	}
}

// TestFalseRecords: figures that were made up are found, and the record named.
func TestFalseRecords(t *testing.T) {
	for _, c := range []struct {
		name, row string
		spoil     func(*train.Record)
	}{
		{"the loss of the model", "row2", func(r *train.Record) { r.Final.Loss = 0.001 }},
		{"the norm of the model", "row2", func(r *train.Record) { r.Final.Norm *= 2 }},
		{"the loss at 0", "row2", func(r *train.Record) { r.Zero.Loss = 0.5 }},
		{"the norm of a step", "row2", func(r *train.Record) { r.Descent.Samples[2].Norm = 1000 }},
		{"a rise without the curvature", "row8", func(r *train.Record) { r.Descent.Samples[2].ObjectiveAfter += 1 }},
		{"a penalty", "row8", func(r *train.Record) { r.Descent.Samples[2].LossAfter = 0 }},
	} {
		claim := judged(t, mustOpen(t, trainingFolder(t, 0.1, c.spoil)))[c.row]
		if claim.Verdict != compactify.Refuted || claim.Witness == nil || *claim.Witness != train.RecordFile {
			t.Errorf("%s: %s: got %s, witness %v, want it refuted by %s", c.name, c.row, claim.Verdict, claim.Witness, train.RecordFile)
		}
	}
}

// TestAltered: one byte that is not what it was, in whatever file, a file cut short, and
// one that is missing are errors that name the file.
func TestAltered(t *testing.T) {
	dir := trainingFolder(t, 30, nil)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 7 {
		t.Fatalf("files: got %d, want asked, points, manifest, training, two models and a witness", len(entries))
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name string
			file []byte
		}{{"first byte", flipped(whole, 0)}, {"middle byte", flipped(whole, len(whole)/2)}, {"last byte", flipped(whole, len(whole)-1)}, {"cut short", whole[:len(whole)-1]}, {"missing", nil}} {
			if c.file == nil {
				err = os.Remove(path)
			} else {
				err = os.WriteFile(path, c.file, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			_, err := Open(dir, Source{})
			if e.Name() == "manifest.json" && c.name == "missing" {
				if !errors.Is(err, run.ErrNoRun) {
					t.Errorf("%s %s: got %v, want ErrNoRun", e.Name(), c.name, err)
				}
			} else if e.Name() == "manifest.json" && (c.name == "last byte" || c.name == "cut short") {
				// The line end behind the object: nothing that is said changes.
				continue
			} else if err == nil || !strings.Contains(err.Error(), e.Name()) && e.Name() != "manifest.json" {
				t.Errorf("%s, %s: got error %v, want one that names it", e.Name(), c.name, err)
			}
		}
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mustOpen(t, dir)
}

// flipped is a file with one bit of a byte changed.
func flipped(file []byte, at int) []byte {
	other := append([]byte(nil), file...)
	other[at] ^= 1
	return other
}

// TestOtherData: the examples must be those that were recorded.
func TestOtherData(t *testing.T) {
	dir := trainingFolder(t, 0.1, nil)
	other := filepath.Join(t.TempDir(), "other.csv")
	if err := os.WriteFile(other, []byte("1,2,0\n3,4,1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Source{Data: other}); err == nil || !strings.Contains(err.Error(), "SHA-256 of the examples") {
		t.Errorf("other examples: got error %v, want their hashes in it", err)
	}
	gone := trainingFolder(t, 0.1, func(r *train.Record) { r.Data.Source = "gone.csv" })
	if _, err := Open(gone, Source{}); err == nil || !strings.Contains(err.Error(), "gone.csv") {
		t.Errorf("a source that is gone: got error %v, want its name", err)
	}
}

// TestBadRecords: a folder whose manifest is right and whose record is not.
func TestBadRecords(t *testing.T) {
	for _, c := range []struct {
		name, want string
		spoil      func(*train.Record)
	}{
		{"penalty", "kind", func(r *train.Record) { r.Penalties[0].Kind = "l7" }},
		{"schedule", "schedule", func(r *train.Record) { r.Penalties[0].Schedule = "up" }},
		{"alpha", "alpha", func(r *train.Record) { r.Penalties[0].Alpha = 3 }},
		{"witness", "manifest does not list", func(r *train.Record) { r.Files.Rise = "none.safetensors" }},
		{"model", "../model.onnx", func(r *train.Record) { r.Files.Model = "../model.onnx" }},
	} {
		if _, err := Open(trainingFolder(t, 0.1, c.spoil), Source{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want one about %q", c.name, err, c.want)
		}
	}
}

// walkFolder writes the folder of a walk with three models along oracle 1's path.
func walkFolder(t testing.TB, spoil func(*walkResult, map[string][]byte)) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ridge.csv")
	if err := os.WriteFile(file, []byte("1,0,0.75\n1,0,1.25\n0,2,1.75\n0,2,2.25\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	src, err := data.Open(file, data.Options{})
	if err != nil {
		t.Fatal(err)
	}
	origin := data.Origin{Source: file}.Describe(src.Train)
	r := walkResult{Kind: "l2", Data: &origin}
	measured := make(map[string]float64) // ‖θ‖²
	files := make(map[string][]byte)
	for name, lambda := range map[string]float64{"t-0.5.onnx": 1, "t-0.75.onnx": 3, "t-0.9.onnx": 9} {
		a, b := 1/(1+2*lambda), 4/(4+2*lambda) // y = (1, 2) ± ¼
		r.Minimisers = append(r.Minimisers, ClaimedMinimiser{T: num(lambda / (1 + lambda)), Lambda: num(lambda), File: name,
			Loss: num(((1-a)*(1-a)+(2-2*b)*(2-2*b))/2 + 0.0625), Penalty: num(a*a + b*b)})
		files[name], measured[name] = mustEncode(t, linear(t, 1, float32(a), float32(b))), a*a+b*b
	}
	if spoil != nil {
		spoil(&r, files)
	}
	f, err := run.Create(filepath.Join(t.TempDir(), "walk"), false)
	if err != nil {
		t.Fatal(err)
	}
	result, err := json.Marshal(r)
	if err == nil {
		err = f.Asked(asked{Command: "walk", Args: []string{"walk", "l2", "m.onnx", "--data=" + file}, Seed: 1})
	}
	if err == nil {
		_, err = f.Put(resultFile, result)
	}
	for name, model := range files {
		if err == nil {
			_, err = f.Put(name, model)
		}
	}
	if err == nil {
		for _, m := range r.Minimisers {
			err = errors.Join(err, f.Point(WalkPoint{T: m.T, Param: m.Lambda, Norm: num(math.Sqrt(measured[m.File]))}))
		}
		err = errors.Join(err, f.Finish())
	}
	if err != nil {
		t.Fatal(err)
	}
	return f.Dir()
}

// TestWalkFolder: points and models of a walk, found again and judged.
func TestWalkFolder(t *testing.T) {
	s := mustOpen(t, walkFolder(t, nil))
	if len(s.Models) != 3 || s.Models[0].T != 0.5 || s.File != "t-0.5.onnx" || s.Path != "l2" {
		t.Fatalf("got %+v, want three models from t = 0.5 on", s.Models)
	}
	claims := judged(t, s)
	check(t, claims["row11"], compactify.Supported, near, map[string]float64{"points": 3, "computed_again": 3})
	check(t, claims["row2"], compactify.Verified, near, map[string]float64{"lambda": 1})
	moved := mustOpen(t, walkFolder(t, func(_ *walkResult, files map[string][]byte) { files["t-0.75.onnx"] = mustEncode(t, linear(t, 1, 1, 1)) }))
	check(t, judged(t, moved)["row11"], compactify.Refuted, 0, nil)
	// A model and what result.json says of it agree, and the measured points do not.
	other := mustOpen(t, walkFolder(t, func(r *walkResult, files map[string][]byte) {
		for i, m := range r.Minimisers {
			if m.File == "t-0.75.onnx" {
				a, b := 0.1, 0.5
				r.Minimisers[i].Loss, r.Minimisers[i].Penalty = num(((1-a)*(1-a)+(2-2*b)*(2-2*b))/2+0.0625), num(a*a+b*b)
				files[m.File] = mustEncode(t, linear(t, 1, float32(a), float32(b)))
			}
		}
	}))
	if c := judged(t, other)["row11"]; c.Verdict != compactify.Refuted || !noted(c, "the points are those of other models") {
		t.Errorf("points of other models: got %s, %v", c.Verdict, c.Notes)
	}
	if _, err := Open(walkFolder(t, func(r *walkResult, _ map[string][]byte) { r.Alpha = -1 }), Source{}); err == nil {
		t.Error("alpha -1: got no error")
	}
	if _, err := Open(walkFolder(t, func(_ *walkResult, files map[string][]byte) { clear(files) }), Source{}); err == nil {
		t.Error("no models: got no error")
	}
	if _, err := Open(walkFolder(t, func(_ *walkResult, files map[string][]byte) { files["t-2.onnx"] = files["t-0.5.onnx"] }), Source{}); err == nil {
		t.Error("t = 2: got no error")
	}
}

// TestFlow: a gradient flow's own figures, which its record must agree with.
func TestFlow(t *testing.T) {
	set := ridgeSet(t)
	g := linear(t, 1, 2, -1)
	model, _, f, err := train.Flow(t.Context(), g, set, train.FlowOptions{Time: 3, Double: true, Penalties: []train.Penalty{{Kind: train.L2, Lambda: train.Always(0.5)}}})
	if err != nil {
		t.Fatal(err)
	}
	flowing := func(spoil func(f *train.FlowRecord)) Claim {
		other := *f
		other.Points = append([]train.FlowPoint(nil), f.Points...)
		spoil(&other)
		text, err := json.Marshal(other)
		if err != nil {
			t.Fatal(err)
		}
		raw := json.RawMessage(text)
		s := penalised(t, model, set, train.L2, 0.5)
		s.Initial = g
		s.Record = &train.Record{Optimizer: "flow", Flow: &raw, Planned: 20, Penalties: []train.PenaltyRecord{{Kind: train.L2, Schedule: "0.5"}}}
		return judged(t, s)["row8"]
	}
	sound := flowing(func(*train.FlowRecord) {})
	check(t, sound, compactify.Supported, near, map[string]float64{"flow_time": 3, "flow_rises": 0})
	if r := sound.Numbers.Get("flow_relative_residual"); !(r < 1e-5) {
		t.Errorf("relative residual: got %v", r)
	}
	for name, spoil := range map[string]func(f *train.FlowRecord){
		"dissipation": func(f *train.FlowRecord) { f.Dissipated *= 1.01 },
		"start":       func(f *train.FlowRecord) { f.Points[0].Objective += 1; f.Balance += 1 },
		"a rise":      func(f *train.FlowRecord) { f.Points[3].Objective = f.Points[2].Objective + 1 },
	} {
		if c := flowing(spoil); c.Verdict != compactify.Refuted {
			t.Errorf("%s: got %s, want it refuted", name, c.Verdict)
		}
	}
}

// TestCompactFolder: the model of a compression is the one its certificate is about.
func TestCompactFolder(t *testing.T) {
	source, _ := flowers(t)
	model := mustEncode(t, linear(t, 2, 1, 2, 3, 4))
	sum := sha256.Sum256(model)
	for _, c := range []struct {
		name, certificate, want string
	}{
		{"sound", fmt.Sprintf(`{"sha256":"%x","compact":{"bytes":%d}}`, sum, len(model)), ""},
		{"another model", `{"sha256":"00"}`, "certificate.json: sha256 of model.onnx"},
		{"another size", fmt.Sprintf(`{"sha256":"%x","compact":{"bytes":7}}`, sum), "certificate.json: bytes of model.onnx: got 7"},
		{"no JSON", `{`, "certificate.json"},
	} {
		f, err := run.Create(filepath.Join(t.TempDir(), "run"), false)
		if err == nil {
			err = f.Asked(asked{Command: "run", Args: []string{"run", "--data", source}, Seed: 1})
		}
		if err == nil {
			_, err = f.Put(modelFile, model)
		}
		if err == nil {
			_, err = f.Put(certificateFile, []byte(c.certificate))
		}
		if err = errors.Join(err, f.Finish()); err != nil {
			t.Fatal(err)
		}
		s, err := Open(f.Dir(), Source{})
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: got error %v, want %q in it", c.name, err, c.want)
			}
			continue
		}
		if err != nil || s.Kind != Compact || s.Set.Len() != 24 {
			t.Errorf("%s: got %+v, %v", c.name, s, err)
		}
	}
}
