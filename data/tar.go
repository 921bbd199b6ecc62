package data

import (
	"archive/tar"
	"bufio"
	"fmt"
	"io"
	"path"
	"strings"
)

// openTar reads the images of an archive as those of a folder.
func openTar(name string, o Options, unlabeled bool) (Source, error) {
	in, err := openInput(name, o.maxBytes())
	if err != nil {
		return Source{}, err
	}
	defer in.Close()
	files, err := readTar(in)
	if err != nil {
		return Source{}, fmt.Errorf("read tar %q: %w", name, err)
	}
	return imageSource(name, files, o, unlabeled)
}

// readTar collects the image files. Nothing is written anywhere, but a name that
// climbs out of the archive is refused all the same: it is not an honest one.
func readTar(r io.Reader) ([]imageFile, error) {
	tr := tar.NewReader(bufio.NewReader(r))
	var files []imageFile
	seen := map[string]bool{}
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return files, nil
		}
		if err != nil {
			return nil, noEOF(err)
		}
		name := path.Clean(h.Name)
		if path.IsAbs(name) || name == ".." || strings.HasPrefix(name, "../") || strings.ContainsRune(name, '\\') {
			return nil, fmt.Errorf("entry %q: path leaves the archive", h.Name)
		}
		if h.Typeflag != tar.TypeReg || !isImageName(name) {
			continue
		}
		if seen[name] {
			return nil, fmt.Errorf("entry %q: appears twice", h.Name)
		}
		seen[name] = true
		data, err := readAll(tr, h.Size)
		if err != nil {
			return nil, fmt.Errorf("entry %q: %w", h.Name, noEOF(err))
		}
		files = append(files, imageFile{name: name, data: data})
	}
}
