package speech

import (
	"context"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/compactify/compactify/format/onnx"
	"github.com/compactify/compactify/internal/testkit"
	"github.com/compactify/compactify/tensor"
)

// wav is a file of one format chunk and samples.
func wav(format, channels, bits uint16, samples ...int16) []byte {
	le := binary.LittleEndian
	b := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00")
	b = le.AppendUint16(b, format)
	b = le.AppendUint16(b, channels)
	b = le.AppendUint32(b, 16000)
	b = le.AppendUint32(b, 32000)
	b = le.AppendUint16(b, 2)
	b = le.AppendUint16(b, bits)
	b = append(b, "LIST\x03\x00\x00\x00abc\x00data"...) // a chunk of odd length, padded
	b = le.AppendUint32(b, uint32(2*len(samples)))
	for _, s := range samples {
		b = le.AppendUint16(b, uint16(s))
	}
	return b
}

func TestDecodeWAV(t *testing.T) {
	samples, rate, err := decodeWAV(wav(1, 1, 16, 0, 16384, -32768))
	if err != nil || rate != 16000 || !slices.Equal(samples, []float32{0, 0.5, -1}) {
		t.Errorf("got %v at %d Hz, %v", samples, rate, err)
	}
	for _, c := range []struct {
		file []byte
		want string
	}{
		{nil, "header: want RIFF and WAVE"},
		{wav(1, 2, 16), "want 1, PCM, of 1 channel and 16 bits"},
		{wav(3, 1, 32), "want 1, PCM, of 1 channel and 16 bits"},
		{wav(1, 1, 16, 1, 2)[:58], `chunk "data": got 2 bytes, want 4`},
		{wav(1, 1, 16)[:36], "no data"},
	} {
		if _, _, err := decodeWAV(c.file); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

func FuzzWAV(f *testing.F) {
	f.Add(wav(1, 1, 16, 1, 2, 3))
	f.Add([]byte("RIFF\x00\x00\x00\x00WAVEdata\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if samples, _, err := decodeWAV(b); err == nil && 2*len(samples) > len(b) {
			t.Errorf("got %d samples of %d bytes", len(samples), len(b))
		}
	})
}

// TestSpectrum: a cosine of 3 turns is 256 in bin 3 alone, and what is transformed
// there and back stays.
func TestSpectrum(t *testing.T) {
	x := make([]float32, dtlnFrame)
	for i := range x {
		x[i] = float32(math.Cos(2 * math.Pi * 3 * float64(i) / dtlnFrame))
	}
	for k, m := range magnitudes(spectrum(x)) {
		want := 0.0
		if k == 3 {
			want = dtlnFrame / 2
		}
		if math.Abs(float64(m)-want) > 1e-4 {
			t.Errorf("bin %d: got %v, want %v", k, m, want)
		}
	}
	x[7], x[500] = 5, -3 // all frequencies, the highest too
	for i, y := range signal(spectrum(x)) {
		if math.Abs(float64(y-x[i])) > 1e-5 {
			t.Errorf("sample %d: got %v, want %v", i, y, x[i])
		}
	}
}

// TestVoice: examples for the real detector. The state of the first is zero, that
// of the next is what the model made of the first, and examples are evenly spaced.
func TestVoice(t *testing.T) {
	g, err := onnx.Read(testkit.Shared(t, "models/silero-vad/silero_vad_16k_op15.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	samples, _, err := ReadWAV(testkit.Shared(t, "models/silero-vad/eval/test.wav"))
	if err != nil {
		t.Fatal(err)
	}
	r := Recorder{Samples: samples[:64+512*10], Most: 10}
	all, err := r.Voice(context.Background(), g)
	if err != nil {
		t.Fatal(err)
	}
	r.Most = 5
	few, err := r.Voice(context.Background(), g)
	if err != nil {
		t.Fatal(err)
	}
	input, _ := all.Tensor("input")
	state, _ := all.Tensor("state")
	rate, _ := all.Tensor("sr")
	if !slices.Equal(input.Shape(), []int{10, 1, 576}) || !slices.Equal(state.Shape(), []int{10, 2, 1, 128}) || rate.At(0) != 16000 {
		t.Errorf("got %v, %v, %v", input, state, rate)
	}
	s := tensor.Data[float32](state)
	if zero := slices.ContainsFunc(s[:256], func(x float32) bool { return x != 0 }); zero {
		t.Error("the state of the first frame is not zero")
	}
	if same := slices.Equal(s[256:512], s[512:768]); same {
		t.Error("the state does not move")
	}
	half, _ := few.Tensor("state")
	if !slices.Equal(tensor.Data[float32](half)[:256], s[256:512]) {
		t.Error("the first of five examples is not the second of ten")
	}
}
