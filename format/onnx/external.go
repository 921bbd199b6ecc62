package onnx

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// externalRef says where a tensor's data is outside the model file.
type externalRef struct {
	location       string
	offset, length int64
	hasLength      bool
}

// parse reads one StringStringEntryProto of external_data. Keys that are not
// needed, such as a checksum, are ignored.
func (r *externalRef) parse(msg []byte) error {
	key, value, err := parseEntry(msg)
	if err != nil {
		return err
	}
	switch key {
	case "location":
		r.location = value
	case "offset":
		r.offset, err = strconv.ParseInt(value, 10, 64)
	case "length":
		r.length, err = strconv.ParseInt(value, 10, 64)
		r.hasLength = true
	}
	if err != nil {
		return fmt.Errorf("external data: %s: got %q, want a number", key, value)
	}
	return nil
}

// folder is where external data may be. Each file is read once, whatever the
// number of tensors in it, so that memory is bounded by the files' sizes.
type folder struct {
	path  string
	files map[string][]byte
}

// openFolder returns nil, which holds no file, for an empty path.
func openFolder(path string) *folder {
	if path == "" {
		return nil
	}
	return &folder{path: path, files: make(map[string][]byte)}
}

// load returns the bytes that a reference names: all of the file from the
// offset on, if it gives no length.
func (d *folder) load(r externalRef) ([]byte, error) {
	if d == nil {
		return nil, fmt.Errorf("external data %q: not allowed here: the model's folder is unknown", r.location)
	}
	name := path.Clean(r.location)
	if err := checkLocation(r.location); err != nil {
		return nil, fmt.Errorf("external data %q: %w", r.location, err)
	}
	data, ok := d.files[name]
	if !ok {
		var err error
		if data, err = readPlain(d.path, name); err != nil {
			return nil, fmt.Errorf("external data %q: %w", r.location, err)
		}
		d.files[name] = data
	}
	size := int64(len(data))
	if !r.hasLength {
		r.length = size - r.offset
	}
	if r.offset < 0 || r.length < 0 || r.offset > size || r.length > size-r.offset {
		return nil, fmt.Errorf("external data %q: offset %d, length %d: the file has %d bytes", r.location, r.offset, r.length, size)
	}
	end := r.offset + r.length
	return data[r.offset:end:end], nil
}

func checkLocation(location string) error {
	switch {
	case location == "":
		return errors.New("no location")
	case path.IsAbs(location) || !filepath.IsLocal(filepath.FromSlash(location)):
		return errors.New("want a relative path inside the model's folder")
	case strings.Contains("/"+location+"/", "/../"):
		return errors.New(`want a path without ".."`)
	}
	return nil
}

// readPlain reads a regular file below a folder. A symbolic link anywhere on
// the way is refused; [os.Root] keeps the path inside even if one appears
// between the check and the opening.
func readPlain(dir, name string) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	for i := range len(name) + 1 {
		if i < len(name) && name[i] != '/' {
			continue
		}
		info, err := root.Lstat(filepath.FromSlash(name[:i]))
		switch {
		case err != nil:
			return nil, err
		case info.Mode()&os.ModeSymlink != 0:
			return nil, fmt.Errorf("%q is a symbolic link", name[:i])
		case i == len(name) && !info.Mode().IsRegular():
			return nil, errors.New("not a regular file")
		}
	}
	f, err := root.Open(filepath.FromSlash(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, err
	}
	return data, nil
}
