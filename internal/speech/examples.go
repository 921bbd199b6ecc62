package speech

import (
	"context"
	"fmt"
	"math"
	"math/cmplx"

	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/format/safetensors"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// Recorder makes examples for models from a recording at 16 kHz.
type Recorder struct {
	Samples []float32
	Most    int // examples; evenly spaced over the recording where it has more
	Pool    *kernel.Pool
}

// Voice makes examples for the voice activity detector of Silero: frames of 512
// samples behind the last 64 of the frame before, the sampling rate, and the state
// [2, 1, 128] that the model had there.
//
// Source: https://github.com/snakers4/silero-vad, utils_vad.py, class OnnxWrapper.
func (r Recorder) Voice(ctx context.Context, g *graph.Graph) (*safetensors.File, error) {
	const past, hop = 64, 512
	input, state, rate := "input", "state", "sr"
	m, err := newStepper(g, r.Pool, map[string][]int{input: {1, past + hop}, state: {2, 1, 128}, rate: {}})
	if err != nil {
		return nil, err
	}
	m.in[rate] = tensor.Scalar(int64(16000))
	frames := (len(r.Samples) - past) / hop
	return m.carry(ctx, frames, r.Most, state, func(k int) map[string][]float32 {
		return map[string][]float32{input: r.Samples[k*hop:][:past+hop]}
	}, nil)
}

// The frames of DTLN: N. L. Westhausen and B. T. Meyer, "Dual-signal transformation
// LSTM network for real-time noise suppression", Interspeech 2020, section 2.2;
// https://github.com/breizhn/DTLN, real_time_processing_onnx.py.
const (
	dtlnFrame = 512
	dtlnHop   = 128
)

// Magnitudes makes examples for the first model of DTLN: magnitudes [1, 257] of the
// spectra of 512 samples, a new one every 128, and the state [1, 2, 128, 2].
func (r Recorder) Magnitudes(ctx context.Context, g *graph.Graph) (*safetensors.File, error) {
	frame, state, err := frameAndState(g)
	if err != nil {
		return nil, err
	}
	m, err := newStepper(g, r.Pool, map[string][]int{frame: {1, 1, dtlnFrame/2 + 1}, state: {1, 2, 128, 2}})
	if err != nil {
		return nil, err
	}
	return m.carry(ctx, r.dtlnFrames(), r.Most, state, func(k int) map[string][]float32 {
		return map[string][]float32{frame: magnitudes(spectrum(r.Samples[k*dtlnHop:][:dtlnFrame]))}
	}, nil)
}

// Frames makes examples for the second model of DTLN: the frames [1, 512] that the
// mask of the first leaves of the recording, and the state [1, 2, 128, 2].
func (r Recorder) Frames(ctx context.Context, first, second *graph.Graph) (*safetensors.File, error) {
	frame, state, err := frameAndState(first)
	if err != nil {
		return nil, err
	}
	m, err := newStepper(first, r.Pool, map[string][]int{frame: {1, 1, dtlnFrame/2 + 1}, state: {1, 2, 128, 2}})
	if err != nil {
		return nil, err
	}
	masked := make([][]float32, r.dtlnFrames())
	_, err = m.carry(ctx, len(masked), 1, state, func(k int) map[string][]float32 {
		return map[string][]float32{frame: magnitudes(spectrum(r.Samples[k*dtlnHop:][:dtlnFrame]))}
	}, func(k int, mask []float32) {
		s := spectrum(r.Samples[k*dtlnHop:][:dtlnFrame])
		for i := range s {
			s[i] *= complex(float64(mask[i]), 0)
		}
		masked[k] = signal(s)
	})
	if err != nil {
		return nil, err
	}
	if frame, state, err = frameAndState(second); err != nil {
		return nil, err
	}
	if m, err = newStepper(second, r.Pool, map[string][]int{frame: {1, 1, dtlnFrame}, state: {1, 2, 128, 2}}); err != nil {
		return nil, err
	}
	return m.carry(ctx, len(masked), r.Most, state, func(k int) map[string][]float32 {
		return map[string][]float32{frame: masked[k]}
	}, nil)
}

func (r Recorder) dtlnFrames() int { return (len(r.Samples) - dtlnFrame + dtlnHop) / dtlnHop }

// frameAndState names the inputs of a model of frames with a state behind.
func frameAndState(g *graph.Graph) (frame, state string, err error) {
	if len(g.Inputs) != 2 || len(g.Outputs) != 2 {
		return "", "", fmt.Errorf("graph %q: got %d inputs and %d outputs, want 2 of each: a frame and a state", g.Name, len(g.Inputs), len(g.Outputs))
	}
	return g.Inputs[0].Name, g.Inputs[1].Name, nil
}

// Windows makes examples for DNSMOS: windows of 9.01 s, evenly spaced over the
// recording, which starts again at its end.
//
// Source: https://github.com/microsoft/DNS-Challenge, DNSMOS/dnsmos_local.py.
func (r Recorder) Windows(g *graph.Graph) (*safetensors.File, error) {
	const window = 144160
	if len(g.Inputs) != 1 || len(r.Samples) == 0 {
		return nil, fmt.Errorf("graph %q: got %d inputs and %d samples, want 1 and more than 0", g.Name, len(g.Inputs), len(r.Samples))
	}
	x := make([]float32, r.Most*window)
	for k := range r.Most {
		from := k * len(r.Samples) / r.Most
		for i := range window {
			x[k*window+i] = r.Samples[(from+i)%len(r.Samples)]
		}
	}
	return &safetensors.File{Tensors: []safetensors.Named{{Name: g.Inputs[0].Name, Tensor: tensor.Of(x, r.Most, window)}}}, nil
}

// stepper runs a recurrent model frame by frame.
type stepper struct {
	program *engine.Program
	names   []string                 // of the inputs
	shapes  map[string][]int         // of the inputs, for one frame
	in      map[string]tensor.Tensor // the present frame
	out     []tensor.Tensor
}

func newStepper(g *graph.Graph, pool *kernel.Pool, shapes map[string][]int) (*stepper, error) {
	p, err := engine.Compile(g, engine.Options{Pool: pool, Shapes: shapes})
	if err != nil {
		return nil, err
	}
	m := &stepper{program: p, shapes: shapes, in: make(map[string]tensor.Tensor), out: make([]tensor.Tensor, len(g.Outputs))}
	for _, v := range g.Inputs {
		shape, ok := shapes[v.Name]
		if !ok || len(m.out) < 2 {
			return nil, fmt.Errorf("graph %q: input %q of %d outputs: unknown, want a model of frames with a state", g.Name, v.Name, len(m.out))
		}
		m.names = append(m.names, v.Name)
		m.in[v.Name] = tensor.New(v.Type.DType, shape...)
	}
	return m, nil
}

// carry goes through frames in order: frame k gives inputs, the model answers with
// its first output, which seen is told of unless it is nil, and the second is the
// state of the next frame. It returns up to most of the inputs, evenly spaced.
func (m *stepper) carry(ctx context.Context, frames, most int, state string, frame func(k int) map[string][]float32, seen func(k int, answer []float32)) (*safetensors.File, error) {
	if frames < 1 {
		return nil, fmt.Errorf("recording: got %d frames, want at least 1", frames)
	}
	most = min(most, frames)
	kept := make(map[string][]byte)
	in := make([]tensor.Tensor, len(m.names))
	for k := range frames {
		for name, x := range frame(k) {
			m.in[name] = tensor.Of(x, m.shapes[name]...)
		}
		keep := (k+1)*most/frames > k*most/frames
		for i, name := range m.names {
			in[i] = m.in[name]
			if varies := len(m.shapes[name]) > 0; varies && keep {
				kept[name] = append(kept[name], in[i].Raw()...)
			}
		}
		if err := m.program.Run(ctx, in, m.out); err != nil {
			return nil, err
		}
		if seen != nil {
			seen(k, m.out[0].Float32s())
		}
		next, err := m.out[1].Clone().Reshape(m.shapes[state]...)
		if err != nil {
			return nil, err
		}
		m.in[state] = next
	}
	f := new(safetensors.File)
	for _, name := range m.names {
		t := m.in[name]
		if raw, ok := kept[name]; ok {
			var err error
			if t, err = tensor.FromRaw(t.DType(), append([]int{most}, m.shapes[name]...), raw); err != nil {
				return nil, err
			}
		}
		f.Tensors = append(f.Tensors, safetensors.Named{Name: name, Tensor: t})
	}
	return f, nil
}

// turns are e^(−2πik/512).
var turns = func() (w [dtlnFrame]complex128) {
	for k := range w {
		w[k] = cmplx.Rect(1, -2*math.Pi*float64(k)/dtlnFrame)
	}
	return w
}()

// spectrum is the first half of the discrete Fourier transform of a frame.
func spectrum(x []float32) []complex128 {
	s := make([]complex128, dtlnFrame/2+1)
	for k := range s {
		for i, v := range x {
			s[k] += complex(float64(v), 0) * turns[k*i%dtlnFrame]
		}
	}
	return s
}

func magnitudes(s []complex128) []float32 {
	m := make([]float32, len(s))
	for i, c := range s {
		m[i] = float32(cmplx.Abs(c))
	}
	return m
}

// signal is the frame of which s is the first half of the transform.
func signal(s []complex128) []float32 {
	x := make([]float32, dtlnFrame)
	for i := range x {
		sum := real(s[0]) + real(s[dtlnFrame/2])*float64(1-2*(i%2))
		for k := 1; k < dtlnFrame/2; k++ {
			sum += 2 * real(s[k]*cmplx.Conj(turns[k*i%dtlnFrame]))
		}
		x[i] = float32(sum / dtlnFrame)
	}
	return x
}
