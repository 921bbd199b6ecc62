package graph

import (
	"fmt"

	"github.com/compactify/compactify/tensor"
)

// Window is the sliding window of a convolution or a pooling with every
// default and auto_pad resolved. All slices but Pads have one entry per spatial
// axis.
type Window struct {
	Kernel    []int
	Strides   []int
	Dilations []int
	Pads      []int // begin of each axis, then end of each axis, as ONNX orders them
	Out       []int // spatial sizes of the output
	Group     int   // convolutions only, else 1

	ceil     bool
	mode     string // auto_pad
	resizing []int  // ConvTranspose: output_padding
	outShape []int  // ConvTranspose: output_shape
}

// ConvGeometry resolves the window of Conv (and of ConvInteger, QLinearConv and
// the convolution gradients, which share its attributes).
//
//	x [N, C, spatial...], w [M, C/group, kernel...]
//
// The error names what does not fit.
func ConvGeometry(n *Node, x, w []int) (Window, error) {
	if len(x) < 3 || len(x) != len(w) {
		return Window{}, fmt.Errorf("shapes: got x %v and w %v, want equal ranks of 3 or more", x, w)
	}
	win, err := newWindow(n, len(x)-2, w[2:])
	if err != nil {
		return Window{}, err
	}
	return win, win.slide(fixed(x[2:]))
}

// PoolGeometry resolves the window of MaxPool, AveragePool and LpPool over
// x [N, C, spatial...].
func PoolGeometry(n *Node, x []int) (Window, error) {
	if len(x) < 3 {
		return Window{}, fmt.Errorf("shape: got x %v, want rank 3 or more", x)
	}
	win, err := newWindow(n, len(x)-2, nil)
	if err != nil {
		return Window{}, err
	}
	return win, win.slide(fixed(x[2:]))
}

// ConvTransposeGeometry resolves the window of ConvTranspose.
//
//	x [N, C, spatial...], w [C, M/group, kernel...]
//
// Where output_shape asks for more than the window covers, the rest of the
// output is bias alone.
func ConvTransposeGeometry(n *Node, x, w []int) (Window, error) {
	if len(x) < 3 || len(x) != len(w) {
		return Window{}, fmt.Errorf("shapes: got x %v and w %v, want equal ranks of 3 or more", x, w)
	}
	win, err := newWindow(n, len(x)-2, w[2:])
	if err != nil {
		return Window{}, err
	}
	return win, win.spread(fixed(x[2:]))
}

// UnpoolGeometry resolves the window of MaxUnpool over x [N, C, spatial...].
func UnpoolGeometry(n *Node, x []int) (Window, error) {
	if len(x) < 3 {
		return Window{}, fmt.Errorf("shape: got x %v, want rank 3 or more", x)
	}
	win, err := newWindow(n, len(x)-2, nil)
	if err != nil {
		return Window{}, err
	}
	return win, win.spread(fixed(x[2:]))
}

// maxWindow bounds the elements of a kernel and every number of a window, so
// that no product of two of them and no product with an axis overflows.
const maxWindow = 1 << 24

func fixed(sizes []int) []tensor.Dim {
	dims := make([]tensor.Dim, len(sizes))
	for i, n := range sizes {
		dims[i] = tensor.Fixed(n)
	}
	return dims
}

// newWindow reads the attributes; the kernel comes from kernel_shape or, for
// convolutions, from the weights.
func newWindow(n *Node, axes int, kernel []int) (Window, error) {
	w := Window{
		Kernel:    n.Attrs.Ints("kernel_shape"),
		Strides:   n.Attrs.Ints("strides"),
		Dilations: n.Attrs.Ints("dilations"),
		Pads:      n.Attrs.Ints("pads"),
		Group:     n.Attrs.Int("group", 1),
		Out:       make([]int, axes),
		ceil:      n.Attrs.Int("ceil_mode", 0) != 0,
		mode:      n.Attrs.Text("auto_pad", "NOTSET"),
		resizing:  n.Attrs.Ints("output_padding"),
		outShape:  n.Attrs.Ints("output_shape"),
	}
	if w.Kernel == nil {
		w.Kernel = kernel
	}
	switch w.mode {
	case "", "NOTSET":
		w.mode = "NOTSET"
	case "SAME_UPPER", "SAME_LOWER", "VALID":
		w.Pads = nil
	default:
		return w, fmt.Errorf("attribute auto_pad: got %q, want NOTSET, SAME_UPPER, SAME_LOWER or VALID", w.mode)
	}
	for _, f := range []struct {
		name  string
		list  *[]int
		count int
		fill  int
		least int
	}{
		{"kernel_shape", &w.Kernel, axes, -1, 1}, {"strides", &w.Strides, axes, 1, 1}, {"dilations", &w.Dilations, axes, 1, 1},
		{"pads", &w.Pads, 2 * axes, 0, 0}, {"output_padding", &w.resizing, axes, 0, 0},
	} {
		if *f.list == nil && f.fill >= 0 {
			*f.list = repeat(f.fill, f.count)
		}
		if len(*f.list) != f.count {
			return w, fmt.Errorf("attribute %s: got %v, want %d entries", f.name, *f.list, f.count)
		}
		for _, v := range *f.list {
			if v < f.least || v > maxWindow {
				return w, fmt.Errorf("attribute %s: got %v, want entries of %d to %d", f.name, *f.list, f.least, maxWindow)
			}
		}
	}
	if n, ok := tensor.Size(w.Kernel); !ok || n > maxWindow {
		return w, fmt.Errorf("attribute kernel_shape: got %v, want a product of at most %d", w.Kernel, maxWindow)
	}
	for i, k := range kernel {
		if k >= 0 && w.Kernel[i] != k {
			return w, fmt.Errorf("attribute kernel_shape: got %v, want %v as the weights have", w.Kernel, kernel)
		}
	}
	if w.outShape != nil && len(w.outShape) != axes {
		return w, fmt.Errorf("attribute output_shape: got %v, want %d entries", w.outShape, axes)
	}
	return w, nil
}

func repeat(v, n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = v
	}
	return list
}

// reach is the extent of the dilated kernel along an axis.
func (w *Window) reach(i int) int { return (w.Kernel[i]-1)*w.Dilations[i] + 1 }

// slide computes Pads and Out of a window that slides over in; unknown sizes
// leave Out at -1.
func (w *Window) slide(in []tensor.Dim) error {
	for i, d := range in {
		if !d.Known() {
			w.Out[i] = -1
			continue
		}
		if err := w.slideAxis(i, d.Size); err != nil {
			return err
		}
	}
	return nil
}

func (w *Window) slideAxis(i, in int) error {
	stride, reach, axes := w.Strides[i], w.reach(i), len(w.Out)
	if w.mode == "SAME_UPPER" || w.mode == "SAME_LOWER" {
		w.Out[i] = (in + stride - 1) / stride
		w.splitPad(i, max(0, (w.Out[i]-1)*stride+reach-in), w.mode == "SAME_LOWER")
		return nil
	}
	padded := in + w.Pads[i] + w.Pads[axes+i]
	if padded < reach {
		return fmt.Errorf("spatial axis %d: window of %d does not fit into %d with padding %d and %d",
			i, reach, in, w.Pads[i], w.Pads[axes+i])
	}
	w.Out[i] = (padded-reach)/stride + 1
	if w.ceil {
		w.Out[i] = (padded-reach+stride-1)/stride + 1
		// Since opset 22: a window that starts in the right padding is dropped.
		if (w.Out[i]-1)*stride >= in+w.Pads[i] {
			w.Out[i]--
		}
	}
	return nil
}

// splitPad divides padding between the ends of an axis; the odd one goes to the
// end, or to the beginning.
func (w *Window) splitPad(i, total int, oddFirst bool) {
	begin := total / 2
	if oddFirst {
		begin = total - begin
	}
	w.Pads[i], w.Pads[len(w.Out)+i] = begin, total-begin
}

// spread computes Pads and Out of a transposed convolution.
func (w *Window) spread(in []tensor.Dim) error {
	axes := len(w.Out)
	for i, d := range in {
		if !d.Known() {
			w.Out[i] = -1
			if w.outShape != nil {
				w.Out[i] = w.outShape[i]
			}
			continue
		}
		if d.Size == 0 {
			return fmt.Errorf("spatial axis %d: size 0", i)
		}
		full := w.Strides[i]*(d.Size-1) + w.resizing[i] + w.reach(i)
		switch {
		case w.outShape != nil:
			w.Out[i] = w.outShape[i]
			w.splitPad(i, max(0, full-w.Out[i]), w.mode != "SAME_UPPER")
		case w.mode == "SAME_UPPER" || w.mode == "SAME_LOWER":
			w.Out[i] = d.Size * w.Strides[i]
			w.splitPad(i, max(0, full-w.Out[i]), w.mode == "SAME_LOWER")
		default:
			w.Out[i] = full - w.Pads[i] - w.Pads[axes+i]
		}
		if w.Out[i] <= 0 {
			return fmt.Errorf("spatial axis %d: output size %d, want 1 or more", i, w.Out[i])
		}
	}
	return nil
}

// outDims is batch and channels followed by the spatial sizes of the output. A
// spatial axis whose size is a symbol keeps it where the window cannot change
// it.
func (w *Window) outDims(batch, channels tensor.Dim, in []tensor.Dim) []tensor.Dim {
	dims := []tensor.Dim{batch, channels}
	axes := len(w.Out)
	for i, n := range w.Out {
		d := dimOf(n)
		same := w.mode == "SAME_UPPER" || w.mode == "SAME_LOWER"
		if n < 0 && w.Strides[i] == 1 && (same || w.Pads[i]+w.Pads[axes+i] == w.reach(i)-1) {
			d = in[i]
		}
		dims = append(dims, d)
	}
	return dims
}
