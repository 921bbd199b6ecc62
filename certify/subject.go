package certify

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/format/onnx"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/run"
	"github.com/compactify/compactify/train"
)

// Kind says where a subject comes from.
type Kind string

// The kinds of subjects.
const (
	Trained  Kind = "train" // the folder of a training run
	Walked   Kind = "walk"  // the folder of a walk along a path
	Compact  Kind = "run"   // the folder of a compression
	SoleFile Kind = "model" // one model file
)

// Subject is what claims are about.
type Subject struct {
	Kind  Kind
	Path  string // of a walk: its kind
	Name  string // of the folder or file
	Files int    // artefacts whose size and SHA-256 were verified

	Model   *graph.Graph  // the model that is judged
	File    string        // its name in the folder
	Initial *graph.Graph  // where training began; nil if the folder does not say
	Models  []Place       // all models of a walk, in the order of its t
	Record  *train.Record // of a training run
	Walk    *WalkRecord   // of a walk
	Set     *data.Set     // the examples of which L is the mean
	Output  string        // of the model; "" means the first

	Penalties []train.Penalty // λ as it was in the end
	Limits    []string        // why L is not the very function that was minimised
	Witness   string          // the file of a rise that the run itself found,
	Rise      *train.Rise     // and what it holds
	Notes     []string
}

// Place is a model on a path.
type Place struct {
	T     float64 // NaN of one beside the path
	File  string
	Model *graph.Graph
}

// Source says which examples to take.
type Source struct {
	Data     string // instead of the source that the folder records; "" keeps that
	MaxBytes int64  // see [data.Options]
}

// Files that several commands write.
const (
	modelFile       = "model.onnx"
	rejectedFile    = "model.rejected.onnx"
	resultFile      = "result.json"
	certificateFile = "certificate.json"
	pointsFile      = "points.jsonl"
)

// The largest files that are read.
const (
	maxModel  = 2 << 30 // what ONNX allows
	maxRecord = 256 << 20
)

// ErrNoData says that there are no examples: the folder does not name any, or they are
// not where it says, and none were given.
var ErrNoData = errors.New("no examples")

// Open reads the folder of a run. Every file that its manifest lists is verified
// first: one that is missing, cut short or altered is an error that names it. The
// examples are opened from the recorded source, or from another one, and must be
// those that were recorded.
func Open(dir string, from Source) (*Subject, error) {
	r, err := run.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("certify: %w", err)
	}
	s, err := open(r, from)
	if err != nil {
		return nil, fmt.Errorf("certify run folder %q: %w", dir, err)
	}
	return s, nil
}

func open(r *run.Record, from Source) (*Subject, error) {
	f := &folder{Record: r}
	s := &Subject{Name: r.Dir, Files: len(r.Artefacts)}
	if r.Asked != nil {
		s.Files++
	}
	if r.Finished {
		s.Files++ // points.jsonl
	} else {
		s.Notes = append(s.Notes, "the run was not finished: what it had kept is judged")
	}
	for _, name := range r.Lost {
		s.Notes = append(s.Notes, fmt.Sprintf("%s was being written when the run ended: it is not looked at", name))
	}
	if r.Asked != nil {
		if err := json.Unmarshal(r.Asked, &f.asked); err != nil {
			return nil, fmt.Errorf("asked.json: %w", err)
		}
	}
	switch {
	case f.has(train.RecordFile):
		s.Kind = Trained
		return s, f.trained(s, from)
	case f.asked.Command == "walk":
		s.Kind = Walked
		return s, f.walked(s, from)
	case f.has(certificateFile):
		s.Kind = Compact
		return s, f.compact(s, from)
	case f.has(modelFile):
		s.Kind = SoleFile
		return s, f.sole(s, from)
	}
	return nil, fmt.Errorf("got the files %q, want those of train, walk or run", f.names())
}

// OfModel is the subject of one model and examples.
func OfModel(g *graph.Graph, name string, set *data.Set, output string) *Subject {
	return &Subject{Kind: SoleFile, Name: name, File: name, Model: g, Set: set, Output: output}
}

// folder reads the artefacts of a run, each verified as it is read.
type folder struct {
	*run.Record
	asked asked
}

func (f *folder) has(name string) bool {
	return slices.ContainsFunc(f.Artefacts, func(a run.Artefact) bool { return a.Name == name })
}

func (f *folder) names() []string {
	var list []string
	for _, a := range f.Artefacts {
		list = append(list, a.Name)
	}
	return list
}

// model reads an ONNX model whose tensors are all inside its file.
func (f *folder) model(name string) (*graph.Graph, error) {
	file, err := f.Read(name, maxModel)
	if err != nil {
		return nil, err
	}
	g, err := onnx.Decode(file, "")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return g, nil
}

// readJSON reads an artefact into v.
func (f *folder) readJSON(name string, v any) error {
	file, err := f.Read(name, maxRecord)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(file, v); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// trained reads the folder of a training run.
func (f *folder) trained(s *Subject, from Source) (err error) {
	file, err := f.Read(train.RecordFile, maxRecord)
	if err != nil {
		return err
	}
	if s.Record, err = train.DecodeRecord(file); err != nil {
		return fmt.Errorf("%s: %w", train.RecordFile, err)
	}
	r := s.Record
	s.File = r.Files.Model
	if s.Model, err = f.model(s.File); err != nil {
		return err
	}
	if r.Files.Initial != "" {
		if s.Initial, err = f.model(r.Files.Initial); err != nil {
			return err
		}
	}
	if r.Files.Rise != "" {
		if !f.has(r.Files.Rise) {
			return fmt.Errorf("%s: names the witness %q: the manifest does not list it", train.RecordFile, r.Files.Rise)
		}
		rise, err := f.Read(r.Files.Rise, maxModel)
		if err != nil {
			return err
		}
		if s.Rise, err = train.DecodeRise(rise); err != nil {
			return fmt.Errorf("%s: %w", r.Files.Rise, err)
		}
		s.Witness = r.Files.Rise
	}
	if s.Penalties, err = lastPenalties(r); err != nil {
		return fmt.Errorf("%s: %w", train.RecordFile, err)
	}
	if s.Set, err = openData(r.Data, from); err != nil {
		return err
	}
	s.limits()
	return nil
}

// usualLoss is L.
func (s *Subject) usualLoss() train.Loss {
	if s.Set.Classes() == 0 {
		return train.SquaredError
	}
	return train.CrossEntropy
}

// words is a loss in words.
func words(l train.Loss) string { return strings.ReplaceAll(string(l), "-", " ") }

// limits says in what the loss that was minimised differs from the mean loss over
// the examples.
func (s *Subject) limits() {
	r := s.Record
	d := r.Dropout
	if d.Input > 0 || d.Hidden > 0 || d.Weights > 0 {
		s.Limits = append(s.Limits, "dropout: the loss minimised is the mean over masks")
	}
	if usual := s.usualLoss(); r.Loss != "" && r.Loss != usual {
		s.Limits = append(s.Limits, fmt.Sprintf("the loss minimised is the %s, L the %s", words(r.Loss), words(usual)))
	}
	if r.Augment != "" {
		s.Limits = append(s.Limits, "examples were changed at random: the loss minimised is the mean over such changes")
	}
	if _, normalises := following(s.Model); normalises {
		s.Limits = append(s.Limits, "normalisations followed the batch in training, in L they have the model's statistics")
	}
	if r.Smoothing > 0 {
		s.Limits = append(s.Limits, fmt.Sprintf("label smoothing by %g: the loss minimised has other targets", float64(r.Smoothing)))
	}
	if r.Batch > 0 && r.Batch < r.Data.Examples && r.Optimizer != "lbfgs" && r.Optimizer != "flow" {
		s.Limits = append(s.Limits, fmt.Sprintf("steps are on batches of %d of %d examples", r.Batch, r.Data.Examples))
	}
}

// lastPenalties are the penalties with λ as it was in the last epoch that was done.
func lastPenalties(r *train.Record) ([]train.Penalty, error) {
	for i, p := range r.Penalties {
		if alpha := float64(p.Alpha); !(alpha >= 0 && alpha <= 1) {
			return nil, fmt.Errorf("penalty %d: alpha: got %v, want a number in [0, 1]", i+1, alpha)
		}
		if !slices.Contains(train.PenaltyKinds, p.Kind) {
			return nil, fmt.Errorf("penalty %d: kind: got %q, want one of %v", i+1, p.Kind, train.PenaltyKinds)
		}
		if _, err := train.ParseSchedule(p.Schedule); err != nil {
			return nil, fmt.Errorf("penalty %d: %w", i+1, err)
		}
	}
	return penaltiesAt(r, len(r.Epochs)), nil
}

// penaltiesAt are the penalties in an epoch, counted from 1; 0 counts as 1.
func penaltiesAt(r *train.Record, epoch int) []train.Penalty {
	planned := max(r.Planned, len(r.Epochs), 1)
	var list []train.Penalty
	for _, p := range r.Penalties {
		schedule, err := train.ParseSchedule(p.Schedule)
		if err != nil {
			continue // lastPenalties has refused it
		}
		x := schedule.At(min(max(epoch, 1), planned)-1, planned)
		list = append(list, train.Penalty{Kind: p.Kind, Lambda: train.Always(x), Alpha: float64(p.Alpha)})
	}
	return list
}

// lambdasAt are the λ's of an epoch, counted from 1.
func lambdasAt(r *train.Record, epoch int) lambdas { return lambdasOf(penaltiesAt(r, epoch)) }

// openData opens examples and holds them against what is recorded.
func openData(o data.Origin, from Source) (*data.Set, error) {
	if o.Source == "" && from.Data == "" {
		return nil, fmt.Errorf("%w: it does not say which there are", ErrNoData)
	}
	set, err := o.Open(from.Data, from.MaxBytes)
	if err != nil && from.Data == "" {
		if _, missing := os.Stat(o.Source); missing != nil && o.Source != "glyphs" {
			return nil, fmt.Errorf("%w: the recorded source of examples %q is not here: %w", ErrNoData, o.Source, err)
		}
	}
	return set, err
}

// sole reads a folder with nothing but a model.
func (f *folder) sole(s *Subject, from Source) (err error) {
	s.File = modelFile
	if s.Model, err = f.model(s.File); err != nil {
		return err
	}
	return f.unhashed(s, from)
}

// lambdas are the λ's of the elementary penalties; radius is +Inf without one.
type lambdas struct{ l1, l2, group, radius float64 }

// lambdasOf adds up penalties.
func lambdasOf(list []train.Penalty) lambdas {
	l := lambdas{radius: math.Inf(1)}
	for _, p := range list {
		x, alpha := p.Lambda.At(0, 1), p.Alpha
		if alpha == 0 {
			alpha = 0.5
		}
		switch p.Kind {
		case train.L1:
			l.l1 += x
		case train.L2:
			l.l2 += x
		case train.ElasticNet:
			l.l1 += x * alpha
			l.l2 += x * (1 - alpha)
		case train.GroupLasso:
			l.group += x
		case train.MaxNorm:
			l.radius = min(l.radius, x)
		}
	}
	return l
}

// only reports whether λ‖θ‖² is the only penalty, with λ > 0.
func (l lambdas) only() bool {
	return l.l2 > 0 && l.l1 == 0 && l.group == 0 && math.IsInf(l.radius, 1)
}

// none reports whether there is no penalty.
func (l lambdas) none() bool { return l == lambdas{radius: math.Inf(1)} }
