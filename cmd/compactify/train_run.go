package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/compactify/compactify/compress"
	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/format/onnx"
	"github.com/compactify/compactify/graph"
	store "github.com/compactify/compactify/internal/run"
	"github.com/compactify/compactify/internal/words"
	"github.com/compactify/compactify/train"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// training is one run of the command.
type training struct {
	*app
	f        trainFlags
	start    time.Time
	o        train.Options
	set      *data.Set // that trains
	heldOut  *data.Set
	origin   data.Origin   // of set
	folder   *store.Folder // nil if only a model file is written
	settings string        // what a checkpoint must agree with
	saved    time.Time     // when the last checkpoint was written
	twice    *recomputed

	sharpness []sharpness // on the way
}

// train runs the command. After Ctrl-C the model as far as it got is kept, after a
// divergence the last that was finite.
func (a *app) train(ctx context.Context, f *trainFlags) error {
	from, err := a.checkpoint(f)
	if err != nil {
		return err
	}
	t := &training{app: a, f: *f, start: time.Now()}
	t.f.timed = f.command.Flags().Changed("epochs")
	if t.o, err = t.f.options(a); err != nil {
		return err
	}
	if err := t.open(); err != nil {
		return err
	}
	if err := t.agree(from); err != nil {
		return err
	}
	if err := a.checkOut(); err != nil {
		return err
	}
	r, err := t.run(ctx)
	if r == nil {
		if t.folder != nil {
			return a.sealed(t.folder, err)
		}
		return err
	}
	if t.folder != nil {
		err = errors.Join(err, a.seal(t.folder))
	}
	return errors.Join(a.print(r, func(w io.Writer) { r.text(w) }), err)
}

// open reads the examples and divides them: some may be set aside as held out, some
// for validation.
func (t *training) open() error {
	e, err := t.f.open(t.app)
	if err != nil {
		return err
	}
	t.set, t.heldOut = e.train, e.heldOut
	t.origin = t.f.origin(t.seed)
	if t.heldOut == nil {
		t.set, t.heldOut = compress.HoldOut(t.set, t.seed)
		t.origin.Cuts = append(t.origin.Cuts, compress.HoldOutCut(t.seed))
	}
	if t.f.patience > 0 {
		cut := data.Cut{Fractions: []float64{1 - validationShare, validationShare}, Seed: t.seed, Purpose: "validation"}
		parts := data.Split(t.set, cut.Fractions, cut.Seed, cut.Purpose)
		t.set, t.o.Validation = parts[0], parts[1]
		t.origin.Cuts = append(t.origin.Cuts, cut)
	}
	t.origin = t.origin.Describe(t.set)
	t.o.Epochs, t.o.Batch = schedule(t.o.Epochs, t.o.Batch, t.set.Len())
	return nil
}

// run trains and keeps what came of it. The result is nil if nothing is worth keeping.
func (t *training) run(ctx context.Context) (*trainResult, error) {
	t.observe(ctx)
	done, err := t.f.train(ctx, t.set, t.seed, t.o, t.begin)
	stopped := errors.Is(err, context.Canceled) && done.steps > 0
	diverged := errors.Is(err, train.ErrDiverged)
	if err != nil && !stopped && !diverged || done.Model == nil {
		return nil, err
	}
	// The tensors of training are garbage: what follows takes their place instead of
	// more memory.
	runtime.GC()
	r := newTrainResult(t, done)
	if diverged {
		r.Diverged = err.Error()
	}
	r.Seconds = time.Since(t.start).Seconds()
	if keepErr := t.keep(context.WithoutCancel(ctx), r, done, !stopped); keepErr != nil {
		return nil, errors.Join(err, keepErr)
	}
	return r, err
}

// observe connects the run with the progress bar and the folder.
func (t *training) observe(ctx context.Context) {
	stage, last := "training "+t.f.architecture.Name, ""
	t.o.Step = func(done float64) { t.report.progress(stage+last, done) }
	t.o.Epoch = func(e train.Epoch) {
		last = fmt.Sprintf(", loss %s", words.Number(e.Loss))
		if e.Metric == e.Metric {
			last += fmt.Sprintf(", accuracy %s", words.Percent(e.Metric, 1))
		}
		last += fmt.Sprintf(", ‖θ‖ %s", words.Number(e.Norm))
		if len(t.o.Penalties) > 0 {
			last += fmt.Sprintf(", λ %s", words.Number(e.Lambda))
		}
	}
	t.o.Recomputed = func(r engine.Recomputation) {
		t.twice = &recomputed{r.Steps, r.Saved}
		t.note("%s", words.Recomputed("training", r.Steps, r.Saved))
	}
	t.o.Save = t.save
	t.o.Look = t.look(ctx)
}

// look measures the curvature every so many epochs; at the end it is measured anyway.
func (t *training) look(ctx context.Context) func(train.Epoch, *graph.Graph) error {
	epoch := 0
	if t.o.From != nil {
		epoch = len(t.o.From.Epochs)
	}
	return func(_ train.Epoch, g *graph.Graph) error {
		if epoch++; t.f.sharp == 0 || epoch%t.f.sharp != 0 {
			return nil
		}
		s, err := t.sharp(ctx, epoch, g)
		t.sharpness = append(t.sharpness, s)
		return err
	}
}

// begin makes the folder, with the model that training starts from.
func (t *training) begin(initial *graph.Graph) error {
	if strings.HasSuffix(t.out, ".onnx") {
		return nil
	}
	folder, err := t.app.folder()
	if err != nil {
		return err
	}
	t.folder = folder
	if err := folder.Asked(t.asked()); err != nil {
		return err
	}
	file, err := onnx.Encode(initial, onnx.Options{Oldest: true})
	if err == nil {
		_, err = folder.Put(train.InitialFile, file)
	}
	return err
}

// checkpointEvery is the least time between two checkpoints; the last epoch has one in
// any case.
const checkpointEvery = 2 * time.Second

// save writes a checkpoint.
func (t *training) save(s *train.State) error {
	if t.folder == nil || len(s.Epochs) < t.o.Epochs && time.Since(t.saved) < checkpointEvery {
		return nil
	}
	t.saved = time.Now()
	s.Settings = t.settings
	_, err := t.folder.PutFunc(train.CheckpointFile, s.EncodeTo)
	return err
}

// unsettled are flags that do not change what is trained.
var unsettled = map[string]bool{"resume": true, "threshold": true, "sharpness": true, "eval": true, "help": true}

// settled calls visit with every flag that a checkpoint settles, of those of all
// commands the seed.
func settled(c *cobra.Command, visit func(*pflag.Flag)) {
	c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if !unsettled[f.Name] {
			visit(f)
		}
	})
	visit(c.Flags().Lookup("seed"))
}

// checkpoint reads what --resume names, if it is given, and takes the settings from it
// that the command line leaves open.
func (a *app) checkpoint(f *trainFlags) (*train.State, error) {
	if f.resume == "" {
		return nil, nil
	}
	path := f.resume
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, train.CheckpointFile)
	}
	file, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("--resume %q: no checkpoint: want the folder of a training run that has ended an epoch, or its %s: %w", f.resume, train.CheckpointFile, err)
	}
	var s *train.State
	if err == nil {
		s, err = train.DecodeState(file)
	}
	if err != nil {
		return nil, fmt.Errorf("--resume %q: %w", f.resume, err)
	}
	known := make(map[string]string)
	if err := json.Unmarshal([]byte(s.Settings), &known); err != nil {
		return nil, fmt.Errorf("--resume %q: settings: %w", f.resume, err)
	}
	settled(f.command, func(flag *pflag.Flag) {
		if value, ok := known[flag.Name]; ok && !flag.Changed && err == nil {
			err = flag.Value.Set(value)
			flag.Changed = err == nil && value != flag.DefValue
		}
	})
	if err != nil {
		return nil, fmt.Errorf("--resume %q: settings: %w", f.resume, err)
	}
	return s, nil
}

// agree notes the settings of this run and compares them with those of the checkpoint
// that it goes on from, if there is one.
func (t *training) agree(from *train.State) error {
	now := map[string]string{"examples": t.origin.Hash, "kernel set": t.pool.Set().String()}
	settled(t.f.command, func(flag *pflag.Flag) { now[flag.Name] = flag.Value.String() })
	text, err := json.Marshal(now)
	if err != nil {
		return err
	}
	t.settings = string(text)
	if from == nil {
		return nil
	}
	known := make(map[string]string)
	if err := json.Unmarshal([]byte(from.Settings), &known); err != nil {
		return fmt.Errorf("--resume %q: settings: %w", t.f.resume, err)
	}
	var wrong []string
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if known[name] != now[name] {
			wrong = append(wrong, fmt.Sprintf("%s: got %.40s, want %.40s", name, now[name], known[name]))
		}
	}
	if len(wrong) > 0 {
		return usage(fmt.Errorf("--resume %q: the settings are not those of the checkpoint: %s", t.f.resume, strings.Join(wrong, "; ")))
	}
	t.o.From = from
	return nil
}
