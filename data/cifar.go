package data

import (
	"fmt"
	"io"
	"path/filepath"
	"regexp"
)

// A CIFAR-10 record is a label byte and the red, green and blue planes of a
// 32×32 image.
//
// Source: A. Krizhevsky, "Learning multiple layers of features from tiny
// images", technical report, 2009; the layout is on the data set's page,
// section "Binary version".
const (
	cifarPixels = 3 * 32 * 32
	cifarRecord = 1 + cifarPixels
)

var cifarNames = []string{"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"}

// openCIFAR reads one file of records.
func openCIFAR(path string, o Options) (Source, error) {
	set, err := readCIFAR(path, []string{path}, o)
	return Source{Train: set}, err
}

var cifarFile = regexp.MustCompile(`^(data|test)_batch.*\.bin(\.gz)?$`)

// findCIFAR finds the training and test batches among the names of a folder.
func findCIFAR(names []string) (train, test []string) {
	for _, name := range names {
		switch m := cifarFile.FindStringSubmatch(name); {
		case m == nil:
		case m[1] == "data":
			train = append(train, name)
		default:
			test = append(test, name)
		}
	}
	return train, test
}

// openCIFARFolder reads the training batches as one set, and the test batches.
func openCIFARFolder(dir string, train, test []string, o Options) (Source, error) {
	var sets [2]*Set
	for k, names := range [][]string{train, test} {
		if len(names) == 0 {
			continue
		}
		var paths []string
		for _, name := range names {
			paths = append(paths, filepath.Join(dir, name))
		}
		var err error
		if sets[k], err = readCIFAR(dir+[]string{" train", " test"}[k], paths, o); err != nil {
			return Source{}, err
		}
	}
	return pairSource(sets[0], sets[1])
}

// readCIFAR joins the records of several files.
func readCIFAR(name string, paths []string, o Options) (*Set, error) {
	var pixels []byte
	l := labels{names: cifarNames}
	for _, path := range paths {
		if err := appendCIFAR(path, o, &pixels, &l); err != nil {
			return nil, fmt.Errorf("read cifar %q: %w", path, err)
		}
	}
	if err := l.checkNames(o); err != nil {
		return nil, fmt.Errorf("read cifar %q: %w", name, err)
	}
	return newSet(name, dense[uint8]{pixels, cifarPixels}, []int{3, 32, 32}, true, l, o)
}

func appendCIFAR(path string, o Options, pixels *[]byte, l *labels) error {
	in, err := openInput(path, o.maxBytes())
	if err != nil {
		return err
	}
	defer in.Close()
	var record [cifarRecord]byte
	for n := 0; ; n++ {
		switch got, err := io.ReadFull(in, record[:]); {
		case err == io.EOF && n == 0:
			return fmt.Errorf("got no records, want at least 1")
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("record %d: %w", n+1, short(err, int64(got), cifarRecord))
		}
		label := record[0]
		if int(label) >= len(cifarNames) {
			return fmt.Errorf("label of record %d: out of range: got %d, want 0 to %d", n+1, label, len(cifarNames)-1)
		}
		l.class = append(l.class, int32(label))
		l.target = append(l.target, float64(label))
		*pixels = append(*pixels, record[1:]...)
	}
}
