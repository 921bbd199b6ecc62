package onnx

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"unicode"
	"unicode/utf8"
)

// Format is a file format that is taken for ONNX by mistake.
type Format string

// The formats that are recognised by how their files begin.
const (
	Unknown      Format = "" // not ONNX, or ONNX that was cut off
	TFLite       Format = "TensorFlow Lite"
	ORT          Format = "ONNX Runtime's own format (.ort)"
	GGUF         Format = "GGUF"
	Zip          Format = "a zip archive, such as a PyTorch checkpoint (.pt, .pth) or a Keras model (.keras)"
	Pickle       Format = "a Python pickle, such as an old PyTorch checkpoint (.pt, .pth)"
	HDF5         Format = "HDF5, such as a Keras model (.h5)"
	Safetensors  Format = "safetensors"
	Gzip         Format = "a gzip archive"
	LargePointer Format = "a Git LFS pointer, which stands for a file elsewhere"
	Text         Format = "text"
)

// FormatError is a file that is no ONNX model.
type FormatError struct {
	Looks Format // what it looks like
	Bytes int
}

func (e *FormatError) Error() string {
	if e.Looks == Unknown {
		return fmt.Sprintf("not an ONNX model, or cut off (%d bytes)", e.Bytes)
	}
	return fmt.Sprintf("not an ONNX model: it looks like %s", e.Looks)
}

// looksLike recognises a format by how a file begins.
//
// Sources: the file identifiers of the FlatBuffers schemas of TensorFlow Lite (TFL3)
// and ONNX Runtime (ORTM), at byte 4; PKWARE's APPNOTE, 4.3.7; the HDF5 file format
// specification 3.0, section II.A; RFC 1952, 2.3.1; the format's own descriptions of
// GGUF and safetensors; Python's pickletools for protocols 2 to 5.
func looksLike(file []byte) Format {
	at := func(offset int, magic string) bool {
		return len(file) > offset && bytes.HasPrefix(file[offset:], []byte(magic))
	}
	switch {
	case at(4, "TFL3"):
		return TFLite
	case at(4, "ORTM"):
		return ORT
	case at(0, "GGUF"):
		return GGUF
	case at(0, "PK\x03\x04"):
		return Zip
	case at(0, "\x89HDF\r\n\x1a\n"):
		return HDF5
	case at(0, "\x1f\x8b"):
		return Gzip
	case at(0, "\x80") && len(file) > 1 && file[1] >= 2 && file[1] <= 5:
		return Pickle
	case at(8, "{") && binary.LittleEndian.Uint64(file) <= uint64(len(file)-8):
		return Safetensors
	case at(0, "version https://git-lfs"):
		return LargePointer
	case isText(file):
		return Text
	}
	return Unknown
}

// textLooked is how many bytes are looked at to tell text.
const textLooked = 512

// isText reports whether a file begins with a run of printable UTF-8, of which a last
// rune may be cut.
func isText(file []byte) bool {
	head := file[:min(len(file), textLooked)]
	if len(head) == 0 {
		return false
	}
	for len(head) > 0 {
		r, n := utf8.DecodeRune(head)
		switch {
		case r == utf8.RuneError && n == 1:
			return !utf8.FullRune(head) && len(file) > textLooked
		case !unicode.IsPrint(r) && !unicode.IsSpace(r):
			return false
		}
		head = head[n:]
	}
	return true
}
