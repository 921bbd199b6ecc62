package certify

import (
	"fmt"

	"github.com/compactify/compactify/data"
)

// CompactRecord is what of a compression's certificate and result matters here.
type CompactRecord struct {
	SHA256  string `json:"sha256"`
	Compact struct {
		Nonzero int `json:"params_nonzero"`
		Bytes   int `json:"bytes"`
	} `json:"compact"`
}

// compact reads the folder of a compression: the model must be the one that the
// certificate is about.
func (f *folder) compact(s *Subject, from Source) error {
	certificate := new(CompactRecord)
	if err := f.readJSON(certificateFile, certificate); err != nil {
		return err
	}
	s.Run = certificate
	s.File = modelFile
	if !f.has(s.File) {
		s.File = rejectedFile
	}
	if sum := f.sum(s.File); sum != certificate.SHA256 {
		return fmt.Errorf("%s: sha256: got %.16s… for %s, want %.16s…", certificateFile, certificate.SHA256, s.File, sum)
	}
	if f.has(resultFile) {
		if err := f.readJSON(resultFile, s.Run); err != nil {
			return err
		}
		if sum := f.sum(s.File); sum != s.Run.SHA256 {
			return fmt.Errorf("%s: sha256: got %.16s… for %s, want %.16s…", resultFile, s.Run.SHA256, s.File, sum)
		}
	}
	var err error
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

// sum is the SHA-256 of an artefact, as the manifest has it and the file has too.
func (f *folder) sum(name string) string {
	for _, a := range f.Artefacts {
		if a.Name == name {
			return a.SHA256
		}
	}
	return ""
}
