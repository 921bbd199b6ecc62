package run

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

const (
	maxPoint  = 1 << 20   // bytes of a line
	maxPoints = 256 << 20 // bytes of the file
)

// pointLog appends lines to points.jsonl.
type pointLog struct {
	file file // nil once closed
	out  *hashingWriter
	err  error // of a write that may have left half a line
}

func newPointLog(f file) *pointLog {
	return &pointLog{file: f, out: &hashingWriter{to: f, hash: sha256.New()}}
}

// append adds a line by one write.
func (l *pointLog) append(line []byte) error {
	switch size := int64(len(line)) + 1; {
	case l.err != nil:
		return l.err
	case l.file == nil:
		return errFinished
	case size > maxPoint:
		return fmt.Errorf("size of a point: got %d bytes, want at most %d", size, maxPoint)
	case l.out.size+size > maxPoints:
		return fmt.Errorf("size of all points: got %d bytes, want at most %d", l.out.size+size, maxPoints)
	}
	_, l.err = l.out.Write(append(line, '\n'))
	return l.err
}

// close makes the lines lasting. It fails if a line is torn.
func (l *pointLog) close() error {
	if l.file != nil && l.err == nil {
		l.err = l.file.Sync()
		l.err = errors.Join(l.err, l.abandon())
	}
	return l.err
}

// abandon closes the file as it is.
func (l *pointLog) abandon() error {
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}

func (l *pointLog) artefact() Artefact {
	return Artefact{Name: pointsName, Size: l.out.size, SHA256: hex.EncodeToString(l.out.hash.Sum(nil))}
}

// parsePoints splits points.jsonl into its lines. torn counts the bytes after
// the last newline: the beginning of a line whose writing was interrupted,
// which is dropped even if it happens to be JSON. The points share data's
// memory.
func parsePoints(data []byte) (points []json.RawMessage, torn int, err error) {
	for len(data) > 0 {
		line, rest, whole := bytes.Cut(data, []byte{'\n'})
		if !whole {
			return points, len(data), nil
		}
		if len(line) >= maxPoint || !json.Valid(line) {
			return nil, 0, fmt.Errorf("line %d: got %.40q (%d bytes), want one JSON value of less than %d bytes", len(points)+1, line, len(line), maxPoint)
		}
		points = append(points, json.RawMessage(line))
		data = rest
	}
	return points, 0, nil
}
