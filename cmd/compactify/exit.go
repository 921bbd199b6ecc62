package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/certify"
	"github.com/compactify/compactify/compress"
	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/format/onnx"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/rational"
	store "github.com/compactify/compactify/internal/run"
	"github.com/compactify/compactify/linear"
	"github.com/compactify/compactify/paths"
	"github.com/compactify/compactify/train"
)

// usageError is a call that cannot be right, whatever the files hold.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// usage marks an error as one of usage.
func usage(err error) error {
	if err == nil {
		return nil
	}
	return &usageError{err}
}

// tooLargeError is a result beyond --max-bytes.
type tooLargeError struct {
	what      string
	got, want int
}

func (e *tooLargeError) Error() string {
	return fmt.Sprintf("%s: size: got %d bytes, want at most %d", e.what, e.got, e.want)
}

// stoppedError is a command that was stopped before it had anything to keep.
type stoppedError struct {
	why string
	err error
}

func (e *stoppedError) Error() string { return "stopped " + e.why }
func (e *stoppedError) Unwrap() error { return e.err }

// otherShapeError is a model that the built-in examples, which nobody asked for, do
// not fit.
type otherShapeError struct{ err error }

func (e *otherShapeError) Error() string { return e.err.Error() }
func (e *otherShapeError) Unwrap() error { return e.err }

// refutedError is a claim that a witness contradicts, under --strict.
type refutedError struct{ claim string }

func (e *refutedError) Error() string { return "refuted: " + e.claim }

// exitStatus maps an error to the program's exit status: the only place that
// does.
func exitStatus(err error) int {
	var (
		wrong   *usageError
		noFit   *compress.NoFitError
		large   *tooLargeError
		refuted *refutedError
	)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, context.Canceled):
		return 130
	case errors.As(err, &wrong):
		return 2
	case errors.As(err, &noFit), errors.As(err, &large):
		return 3
	case errors.As(err, &refuted):
		return 4
	}
	return 1
}

// hintFor says what may help against an error, "" if nothing is known to.
func hintFor(err error, command string) string {
	var (
		wrong *usageError
		noFit *compress.NoFitError
		large *tooLargeError
		short *engine.MemoryError
		over  *overMemoryError
		typed *paths.NumberTypeError
		other *otherShapeError
		vague *compress.UndefinedBudgetError
		alien *onnx.FormatError
		shape *untimedError
	)
	switch {
	case errors.Is(err, context.Canceled):
		return ""
	case errors.As(err, &over):
		return fmt.Sprintf("--max-memory %d may do", max(over.used+over.used/4, compress.ProgramBytes))
	case errors.As(err, &short):
		return fmt.Sprintf("--max-memory %d may do, and so may a smaller --batch where the command has it", max(short.Used+short.Need, compress.ProgramBytes))
	case errors.As(err, &typed):
		return "export the model again with float32 weights, the form it was trained in: rounding starts from those"
	case errors.As(err, &other):
		return "--data names examples like those the model was trained on; without it the built-in glyphs are taken"
	case errors.As(err, &alien):
		return formatHints[alien.Looks]
	case errors.As(err, &shape):
		return "export the model with the sizes of its inputs fixed, or measure it by run, on examples of its own"
	case errors.As(err, &vague):
		return "--budget snr:30 holds the outputs to 30 dB against the original's"
	case errors.As(err, &noFit) && noFit.Kept != "":
		return hintKept(noFit)
	case errors.As(err, &noFit) && noFit.WouldFitBytes > 0:
		return fmt.Sprintf("--max-bytes %d would do", noFit.WouldFitBytes)
	case errors.As(err, &noFit) && noFit.WouldFit != (compactify.Budget{}):
		return fmt.Sprintf("--budget %v would fit", noFit.WouldFit)
	case errors.As(err, &large):
		return fmt.Sprintf("--max-bytes %d would do", large.got)
	case errors.Is(err, store.ErrUnfinished):
		return "another --out, or none, leaves it alone; --force takes the folder over: only if no other compactify is at work in it"
	case errors.Is(err, store.ErrExists), errors.Is(err, fs.ErrExist):
		return "--force writes there all the same; another --out, or none, leaves it alone"
	case errors.Is(err, certify.ErrNoData):
		return "--data names the examples"
	case errors.Is(err, linear.ErrClasses) && command == "linear":
		return "multinomial takes two classes or more; the others take numbers"
	case errors.Is(err, rational.ErrTooLarge):
		return "--breakpoints instead of --exact finds the breakpoints in floating point and checks them in rational numbers"
	case errors.Is(err, linear.ErrDegenerate):
		return "--exact decides ties in rational numbers"
	case errors.Is(err, train.ErrDiverged):
		return "a smaller --rate may help"
	case errors.Is(err, onnx.ErrOpset):
		return fmt.Sprintf("export the model again at an opset from %d to %d", onnx.MinOpset, graph.LatestOpset)
	case errors.Is(err, onnx.ErrNotTensor):
		return "export the model again with tensors as inputs and outputs only (for scikit-learn converters: without ZipMap)"
	case errors.As(err, &wrong) && command == "":
		return "compactify --help lists the commands"
	case errors.As(err, &wrong):
		return fmt.Sprintf("compactify %s --help explains the command", command)
	}
	return ""
}

// hintKept says what a model that failed on the held-out examples needs. A budget as
// large as that is no advice: with it a run looks for another, smaller model.
func hintKept(e *compress.NoFitError) string {
	const more = "more examples (--data, --eval) make the choice surer"
	if e.WouldFit == (compactify.Budget{}) {
		return fmt.Sprintf("the model is kept as %s; %s", e.Kept, more)
	}
	needs := e.WouldFit.String()
	if e.WouldFitBytes > 0 {
		needs += fmt.Sprintf(" and %d bytes", e.WouldFitBytes)
	}
	return fmt.Sprintf("the model, kept as %s, needs %s; a run with that budget would choose another, smaller one; %s", e.Kept, needs, more)
}

// formatHints say how to get from other formats to ONNX.
var formatHints = map[onnx.Format]string{
	onnx.Unknown:      "a download or a copy may be incomplete: get or export the model again",
	onnx.TFLite:       "tf2onnx makes ONNX of it: python -m tf2onnx.convert --tflite MODEL.tflite --output MODEL.onnx",
	onnx.ORT:          "take the .onnx file that it was made from",
	onnx.GGUF:         "it holds the weights of a language model for llama.cpp: export the model it was made from as ONNX",
	onnx.Zip:          "torch.onnx.export makes ONNX of a PyTorch model, model.export(FILE, format=\"onnx\") of a Keras model; unpack other archives first",
	onnx.Pickle:       "torch.onnx.export makes ONNX of a PyTorch model",
	onnx.HDF5:         "load it with Keras and write it with model.export(FILE, format=\"onnx\"), or use tf2onnx",
	onnx.Safetensors:  "it holds weights but no network: compactify convert WEIGHTS.safetensors MODEL.onnx --graph NETWORK.onnx",
	onnx.Gzip:         "unpack it first",
	onnx.LargePointer: "git lfs pull fetches the file itself",
	onnx.Text:         "MODEL is the path of an .onnx file",
}
