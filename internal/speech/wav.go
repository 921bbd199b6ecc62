// Package speech makes examples for models of speech from a recording: frames and
// windows of samples, spectra, and the states that recurrent models carry from one
// frame to the next, which the models themselves compute.
//
// The examples are tensors [examples, ...], one per input of the model and named
// like it.
package speech

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
)

// ReadWAV reads a recording of one channel of 16-bit samples as numbers in [−1, 1),
// and its sampling rate in Hz.
//
// Source: IBM and Microsoft, "Multimedia Programming Interface and Data
// Specifications 1.0" (1991), chapter "Waveform Audio File Format".
func ReadWAV(path string) (samples []float32, rate int, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, 0, fmt.Errorf("read wav: %w", err)
	}
	if samples, rate, err = decodeWAV(b); err != nil {
		return nil, 0, fmt.Errorf("read wav %q: %w", path, err)
	}
	return samples, rate, nil
}

func decodeWAV(b []byte) (samples []float32, rate int, err error) {
	if len(b) < 12 || string(b[:4]) != "RIFF" || string(b[8:12]) != "WAVE" {
		return nil, 0, errors.New("header: want RIFF and WAVE")
	}
	le := binary.LittleEndian
	for b = b[12:]; len(b) >= 8; {
		name, size := string(b[:4]), uint64(le.Uint32(b[4:]))
		b = b[8:]
		if size > uint64(len(b)) {
			return nil, 0, fmt.Errorf("chunk %q: got %d bytes, want %d", name, len(b), size)
		}
		chunk := b[:size]
		switch {
		case name == "fmt " && len(chunk) >= 16:
			if format, channels, bits := le.Uint16(chunk), le.Uint16(chunk[2:]), le.Uint16(chunk[14:]); format != 1 || channels != 1 || bits != 16 {
				return nil, 0, fmt.Errorf("format %d of %d channels and %d bits: want 1, PCM, of 1 channel and 16 bits", format, channels, bits)
			}
			rate = int(le.Uint32(chunk[4:]))
		case name == "data" && rate == 0:
			return nil, 0, errors.New("data: no format in front of it")
		case name == "data":
			samples = make([]float32, len(chunk)/2)
			for i := range samples {
				samples[i] = float32(int16(le.Uint16(chunk[2*i:]))) / (1 << 15)
			}
			return samples, rate, nil
		}
		b = b[min(size+size%2, uint64(len(b))):]
	}
	return nil, 0, errors.New("chunks: no data")
}
