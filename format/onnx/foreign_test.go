package onnx

import (
	"errors"
	"strings"
	"testing"
)

// TestForeignFormats: what other formats begin with, and files that are none.
func TestForeignFormats(t *testing.T) {
	for _, c := range []struct {
		file string
		want Format
	}{
		{"\x1c\x00\x00\x00TFL3\x14\x00\x20\x00", TFLite},
		{"\x1c\x00\x00\x00ORTM\x14\x00\x20\x00", ORT},
		{"GGUF\x03\x00\x00\x00\x01\x00", GGUF},
		{"PK\x03\x04\x00\x00\x08\x08model/data.pkl", Zip},
		{"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", Pickle},
		{"\x89HDF\r\n\x1a\n\x00\x00", HDF5},
		{"\x02\x00\x00\x00\x00\x00\x00\x00{}", Safetensors},
		{"\x1f\x8b\x08\x00\x00", Gzip},
		{"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", LargePointer},
		{"# A model\n\nSee the déscription.\n", Text},
		{strings.Repeat("a", textLooked-1) + "é and more", Text},
		{"", Unknown},
		{"\x01", Unknown},
		{"\xff\xff\xff\xff\xff\xff\xff\xff{}", Unknown},
		{"\x00\x01\x02\x03\x04\x05\x06\x07\x08", Unknown},
	} {
		_, err := Decode([]byte(c.file), "")
		var other *FormatError
		if !errors.As(err, &other) || other.Looks != c.want || other.Bytes != len(c.file) {
			t.Errorf("%q: got error %v, want a FormatError of %q", c.file[:min(len(c.file), 20)], err, c.want)
		}
	}
}
