package train

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/compactify/compactify/format/safetensors"
)

// A sealed file is a safetensors file whose metadata hold, under sealKey, the SHA-256
// of all its bytes, taken with zeros in place of the sum's own digits: no byte can
// change unnoticed, neither of the tensors nor of what describes them.

const (
	sealKey  = "sha256"
	sealMark = `"` + sealKey + `":"` // in the header nothing else looks so: quotes within strings are escaped
	sealSize = 2 * sha256.Size
)

// seal writes the file with its sum.
func seal(to io.Writer, f *safetensors.File) error {
	sum := sha256.New()
	f.Metadata[sealKey] = string(zeroSum())
	if err := safetensors.EncodeTo(sum, f); err != nil {
		return err
	}
	f.Metadata[sealKey] = hex.EncodeToString(sum.Sum(nil))
	return safetensors.EncodeTo(to, f)
}

// unseal decodes a file if its sum is right.
func unseal(file []byte) (*safetensors.File, error) {
	digits, sum, err := sealOf(file)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(digits, sum) {
		return nil, fmt.Errorf("SHA-256: got %.12s…, want %.12s…: the file was altered", sum, digits)
	}
	return safetensors.Decode(file)
}

// sealOf finds the digits of a file's sum and computes what they should be.
func sealOf(file []byte) (digits, sum []byte, err error) {
	at := bytes.Index(file, []byte(sealMark)) + len(sealMark)
	if at < len(sealMark) || len(file)-at < sealSize {
		return nil, nil, errors.New("SHA-256: got none")
	}
	h := sha256.New()
	h.Write(file[:at])
	h.Write(zeroSum())
	h.Write(file[at+sealSize:])
	return file[at : at+sealSize], hex.AppendEncode(nil, h.Sum(nil)), nil
}

func zeroSum() []byte { return bytes.Repeat([]byte{'0'}, sealSize) }
