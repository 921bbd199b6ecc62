package data

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
)

// input is a file, decompressed if it starts like a gzip file, that fails
// after limit bytes instead of filling memory.
type input struct {
	io.Reader
	file *os.File
}

func (in *input) Close() error { return in.file.Close() }

// openInput opens path and bounds its decompressed size.
func openInput(path string, limit int64) (*input, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open data: %w", err)
	}
	r, err := decompress(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("read %q: %w", path, err)
	}
	return &input{Reader: &limited{r: r, left: limit, limit: limit}, file: f}, nil
}

// decompress reads through gzip if r starts with its magic number.
func decompress(r io.Reader) (io.Reader, error) {
	const buffer = 256 << 10
	br := bufio.NewReaderSize(r, buffer)
	if magic, _ := br.Peek(2); !bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		return br, nil
	}
	zr, err := gzip.NewReader(br)
	if err != nil {
		return nil, fmt.Errorf("gzip: %w", noEOF(err))
	}
	return gzipReader{zr}, nil
}

// gzipReader says that an error comes from the compression.
type gzipReader struct{ r io.Reader }

func (g gzipReader) Read(p []byte) (int, error) {
	n, err := g.r.Read(p)
	if err == io.ErrUnexpectedEOF {
		err = errors.New("gzip: compressed data ends early")
	} else if err != nil && err != io.EOF {
		err = fmt.Errorf("gzip: %w", err)
	}
	return n, err
}

// limited fails once more than limit bytes were read.
type limited struct {
	r           io.Reader
	left, limit int64
}

func (l *limited) Read(p []byte) (int, error) {
	if int64(len(p)) > l.left+1 {
		p = p[:l.left+1]
	}
	n, err := l.r.Read(p)
	l.left -= int64(n)
	if l.left < 0 {
		return 0, tooLarge(l.limit)
	}
	return n, err
}

func tooLarge(limit int64) error {
	return fmt.Errorf("data is larger than the limit of %d bytes", limit)
}

// readAll reads exactly n bytes. Memory grows with the bytes that arrive, not
// with n, so a false count in a header costs little: at most eight times as much.
func readAll(r io.Reader, n int64) ([]byte, error) { return readKnown(r, n, 1<<20) }

// readKnown is readAll where so many bytes are known to be there, and can be asked for
// at once.
func readKnown(r io.Reader, n, trusted int64) ([]byte, error) {
	const growth = 8
	buf, have := make([]byte, min(n, trusted)), int64(0)
	for {
		got, err := io.ReadFull(r, buf[have:])
		have += int64(got)
		if err != nil || have == n {
			return buf[:have], short(err, have, n)
		}
		longer := make([]byte, min(n, growth*have))
		copy(longer, buf)
		buf = longer
	}
}

// short explains why fewer bytes came than wanted.
func short(err error, got, want int64) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("data ends early: got %d bytes, want %d", got, want)
	}
	return err
}

// noEOF turns the end of the input into an error a user understands.
func noEOF(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errors.New("data ends early")
	}
	return err
}
