package data

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Options says how to read a source. The zero value reads it as [Open] documents.
type Options struct {
	// Label is the label column of a CSV file: a name from the header or a number
	// from 1. Empty means the last column.
	Label string
	// Normalize is "mean,std" or, per channel, "m:m:m,s:s:s"; see [ParseNormalization].
	Normalize string
	// Raw keeps image bytes at 0 to 255 instead of dividing by 255.
	Raw bool
	// Task overrides what the labels of a table or NumPy array look like.
	Task Task
	// ClassNames fixes the order of the classes, so that an evaluation file gets
	// the numbers its training file had. A label outside is an error. Empty takes
	// the classes from the file.
	ClassNames []string
	// Inputs are what the model reads that the examples are for. Arrays of .npz and
	// .safetensors files are matched with them by name; empty means x alone.
	Inputs []Input
	// Seed names the random streams of glyphs.
	Seed uint64
	// MaxBytes bounds what one file, or all images of a source, may occupy once
	// decompressed, in bytes. Beyond it Open fails instead of filling memory.
	// 0 means 4 GiB.
	MaxBytes int64

	byColumns bool // the reader is OpenColumns
}

const defaultMaxBytes = 4 << 30

func (o Options) maxBytes() int64 {
	if o.MaxBytes > 0 {
		return o.MaxBytes
	}
	return defaultMaxBytes
}

// Source is what a specification names.
type Source struct {
	// Train is never nil after a successful Open. A source with one set has it here.
	Train *Set
	// Test is nil if the source brings no test set; see [Split] to set one aside.
	Test *Set
	// Mapping says how labels in the file became class indices, as "-1 → 0, 1 → 1".
	// It is empty when they are the indices.
	Mapping string
	// Table says that the source is a table, of whose columns one is the label.
	Table bool
	// Note is one more thing a user should know, or empty.
	Note string

	label int // the label column of a table, counted from 1; 0 if there is none
}

// Eval is the set to measure on when the whole source serves evaluation: the
// test set, or the only set there is.
func (s Source) Eval() *Set {
	if s.Test != nil {
		return s.Test
	}
	return s.Train
}

const unlabeledPrefix = "unlabeled:"

// Open reads the source that spec names; see the package documentation. Every
// set it returns has at least one example.
func Open(spec string, o Options) (Source, error) {
	spec, unlabeled := strings.CutPrefix(spec, unlabeledPrefix)
	src, err := openKind(spec, o, unlabeled)
	if err != nil {
		return Source{}, err
	}
	if unlabeled {
		src.Train = src.Train.Unlabeled()
		if src.Test != nil {
			src.Test = src.Test.Unlabeled()
		}
		return src, nil
	}
	src.Mapping = src.Train.labels.mapping
	if src.Note == "" {
		src.Note = src.Train.labels.note
	}
	return src, nil
}

// openKind chooses the reader: by name where the name decides, by a look at the
// first line for other text.
func openKind(spec string, o Options, unlabeled bool) (Source, error) {
	if spec == "glyphs" {
		return openGlyphs(o)
	}
	info, err := os.Stat(spec)
	if err != nil {
		return Source{}, fmt.Errorf("open data: %w", err)
	}
	if info.IsDir() {
		return openFolder(spec, o, unlabeled)
	}
	base := strings.TrimSuffix(strings.ToLower(filepath.Base(spec)), ".gz")
	switch ext := filepath.Ext(base); {
	case ext == ".npz":
		return openNPZ(spec, o, unlabeled)
	case ext == ".safetensors":
		return openSafetensors(spec, o, unlabeled)
	case ext == ".tar", ext == ".tgz":
		return openTar(spec, o, unlabeled)
	case ext == ".bin":
		return openCIFAR(spec, o)
	case ext == ".csv":
		return openCSV(spec, o, unlabeled)
	case ext == ".txt":
		return Source{}, fmt.Errorf("open data %q: plain text feeds language models only; LIBSVM text needs a name that does not end in .txt", spec)
	}
	return openText(spec, o, unlabeled)
}

// openText reads CSV or LIBSVM text, told apart by a comma in the first line.
func openText(spec string, o Options, unlabeled bool) (Source, error) {
	in, err := openInput(spec, o.maxBytes())
	if err != nil {
		return Source{}, err
	}
	defer in.Close()
	const sniff = 64 << 10
	head, err := bufio.NewReaderSize(in, sniff).Peek(sniff)
	if len(head) == 0 && err != nil {
		return Source{}, fmt.Errorf("read %q: %w", spec, noEOF(err))
	}
	line, _, _ := bytes.Cut(head, []byte("\n"))
	if bytes.IndexByte(line, 0) >= 0 {
		return Source{}, fmt.Errorf("open data %q: unknown format: neither text nor a known extension", spec)
	}
	if bytes.IndexByte(line, ',') >= 0 {
		return openCSV(spec, o, unlabeled)
	}
	return openLIBSVM(spec, o, unlabeled)
}

// openFolder tells the kinds of folder apart by the names in them.
func openFolder(dir string, o Options, unlabeled bool) (Source, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return Source{}, fmt.Errorf("open data: %w", err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if files, err := findIDX(names); err != nil {
		return Source{}, fmt.Errorf("open data %q: %w", dir, err)
	} else if len(files) > 0 {
		return openIDX(dir, files, o, unlabeled)
	}
	if train, test := findCIFAR(names); len(train)+len(test) > 0 {
		return openCIFARFolder(dir, train, test, o)
	}
	return openImageFolder(dir, o, unlabeled)
}

// newSet finishes a set whose rows have the given shape.
func newSet(name string, rows store, shape []int, image bool, l labels, o Options) (*Set, error) {
	s := &Set{name: name, rows: rows, shape: shape, storedShape: shape, labels: l}
	if err := s.setScaling(image, o); err != nil {
		return nil, err
	}
	return s, nil
}
