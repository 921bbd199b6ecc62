package certify

import (
	"fmt"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/internal/run"
)

// compressed is what of a compression's certificate and result must fit its model.
type compressed struct {
	SHA256  string `json:"sha256"` // of the model
	Compact struct {
		Bytes int64 `json:"bytes"`
	} `json:"compact"`
}

// compact reads the folder of a compression: the model must be the one that the
// certificate is about.
func (f *folder) compact(s *Subject, from Source) error {
	s.File = modelFile
	if !f.has(s.File) {
		s.File = rejectedFile
	}
	stored, err := f.stored(s.File)
	if err != nil {
		return err
	}
	for _, name := range []string{certificateFile, resultFile} {
		if !f.has(name) {
			continue
		}
		var r compressed
		if err := f.readJSON(name, &r); err != nil {
			return err
		}
		if r.SHA256 != stored.SHA256 {
			return fmt.Errorf("%s: sha256 of %s: got %.16s…, want %.16s…", name, s.File, r.SHA256, stored.SHA256)
		}
		if n := r.Compact.Bytes; n != 0 && n != stored.Size {
			return fmt.Errorf("%s: bytes of %s: got %d, want %d", name, s.File, n, stored.Size)
		}
	}
	if s.Model, err = f.model(s.File); err != nil {
		return err
	}
	return f.unhashed(s, from)
}

// unhashed opens the examples of a folder that records no hash of them, by the flags
// of its call.
func (f *folder) unhashed(s *Subject, from Source) error {
	o := f.asked.origin()
	if from.Data != "" {
		o.Source = from.Data
	}
	options := o.Options()
	options.MaxBytes = from.MaxBytes
	src, err := data.Open(o.Source, options)
	if err != nil {
		return fmt.Errorf("the examples %q of the folder: %w", o.Source, err)
	}
	s.Set, s.Output = src.Train, f.asked.flag("output")
	s.Notes = append(s.Notes, "the folder records no hash of its examples: those of "+o.Source+" are taken as they are now")
	return nil
}

// stored is the entry of an artefact, which the file was seen to match.
func (f *folder) stored(name string) (run.Artefact, error) {
	for _, a := range f.Artefacts {
		if a.Name == name {
			return a, nil
		}
	}
	return run.Artefact{}, fmt.Errorf("artefact %q: got none, want one of %q", name, f.names())
}
