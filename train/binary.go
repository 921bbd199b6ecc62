package train

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/stream"
	"github.com/compactify/compactify/tensor"
)

// Binary trains a network whose layers compute with two values each. In every step
// the weights w of a convolution or matrix product are replaced by ±H,
//
//	H = √(1.5/(n_i + n_o)),   n_i and n_o the fans of the layer,
//
// the loss and its gradient are taken there, the gradient moves the real weights,
// and those are clipped to [−H, H]. Biases and normalisations stay real. What
// [Run] returns is the form for use: of Deterministic the binary weights, which take
// one bit each, of Stochastic the real ones. The statistics of batch normalisations
// are measured anew for that form, as means over batches.
//
// Source: M. Courbariaux, Y. Bengio and J.-P. David, "BinaryConnect: training deep
// neural networks with binary weights during propagations", NIPS 2015, equations 1–4,
// algorithm 1 and section 2.6; the values ±H are those of its first published code.
type Binary struct {
	Mode       BinaryMode // "" trains real weights
	Statistics int        // training examples that the statistics of the form for use are measured on, the first ones; 0 means all
}

// BinaryMode is how a real weight w becomes a binary one.
type BinaryMode string

// The modes.
const (
	Deterministic BinaryMode = "deterministic" // +H if w ≥ 0, else −H
	Stochastic    BinaryMode = "stochastic"    // +H with probability clip((w/H + 1)/2, 0, 1), drawn in every step
)

func (o Options) checkBinary() error {
	switch o.Binary.Mode {
	case "":
		return nil
	case Deterministic, Stochastic:
	default:
		return fmt.Errorf("binary weights %q: want deterministic or stochastic", o.Binary.Mode)
	}
	if o.Monitor != nil {
		return errors.New("binary weights: the loss does not change with the real weights, so that there is no descent to monitor")
	}
	if len(o.Masks) > 0 || o.Remask != nil {
		return errors.New("binary weights: none can be zero, want no masks")
	}
	return nil
}

// binarizer turns the real weights into binary ones and back.
type binarizer struct {
	t      *trainer
	layers []*binaryLayer
	use    *engine.Program // gives out the statistics of a batch; nil without normalisations
	stats  []tensor.Tensor
	kept   snapshot // real weights and running statistics while the form for use is in place

	of               *binaryLayer // at work
	key              uint64
	sign, draw, hold func(worker, lo, hi int)
}

// binaryLayer is a weight with two values.
type binaryLayer struct {
	w    *weight
	h    float32
	real []float32 // while the binary ones are in place
	name string    // of its stream
}

// newBinarizer is nil if weights stay real.
func newBinarizer(t *trainer) (*binarizer, error) {
	if t.o.Binary.Mode == "" {
		return nil, nil
	}
	b := &binarizer{t: t, kept: newSnapshot(t)}
	b.sign, b.draw, b.hold = b.signRange, b.drawRange, b.holdRange
	trains := make(map[string]*weight)
	for _, w := range t.weights {
		trains[w.param.Name] = w
	}
	for _, l := range t.model.Layers() {
		fans := binaryFans(l)
		if w := trains[l.Name()]; w != nil && fans > 0 {
			b.layers = append(b.layers, &binaryLayer{w: w, h: float32(math.Sqrt(1.5 / float64(fans))),
				real: make([]float32, len(w.data)), name: fmt.Sprintf("train/binary/%d", len(b.layers))})
		}
	}
	if len(b.layers) == 0 {
		return nil, errors.New("binary weights: no convolution or matrix product with weights that train")
	}
	if len(t.running) == 0 {
		return b, nil
	}
	return b, b.compile()
}

// binaryFans is n_i + n_o of a layer, kernel sizes included, and 0 for layers that
// stay real.
func binaryFans(l graph.Layer) int {
	shape := l.Param.Data.Shape()
	for _, n := range l.Nodes {
		switch k := n.Kind(); {
		case k == "Conv" || k == "ConvTranspose":
		case (k == "Gemm" || k == "MatMul") && len(shape) == 2:
		default:
			return 0
		}
	}
	return l.Param.Data.Len()/shape[0] + l.Param.Data.Len()/shape[1]
}

// compile makes the program of the statistics of one batch.
func (b *binarizer) compile() error {
	g, _ := b.t.model.Clone()
	g.Outputs = nil
	builder := graph.NewBuilder(g, "statistics_")
	for _, n := range g.Nodes {
		if !followsBatches(n) {
			continue
		}
		// Momentum 0 forgets all earlier batches.
		n.Attrs = append(n.Attrs.Without("momentum"), graph.Float("momentum", 0))
		n.Out = n.Out[:1:1]
		for _, in := range n.In[3:5] {
			v := builder.Value(in.Type)
			n.Out = append(n.Out, v)
			g.Outputs = append(g.Outputs, v)
		}
	}
	g.RemoveDead()
	o := engine.Options{Pool: b.t.o.Pool, Dims: b.t.dims}
	for _, p := range g.Params {
		if b.t.changes(p.Name) {
			o.Mutable = append(o.Mutable, p)
		}
	}
	var err error
	b.use, err = engine.Compile(g, o)
	b.stats = make([]tensor.Tensor, len(g.Outputs))
	return err
}

// put puts binary weights in the place of the real ones, which restore brings back.
func (b *binarizer) put() error {
	if b == nil {
		return nil
	}
	for _, l := range b.layers {
		copy(l.real, l.w.data)
	}
	for _, l := range b.layers {
		if err := b.binarize(l, b.t.o.Binary.Mode); err != nil {
			b.restore()
			return err
		}
	}
	return nil
}

// restore brings the real weights back.
func (b *binarizer) restore() {
	if b == nil {
		return
	}
	for _, l := range b.layers {
		copy(l.w.data, l.real)
	}
}

// clip holds the real weights within ±H: beyond, they would move without any change.
func (b *binarizer) clip() error {
	if b == nil {
		return nil
	}
	for _, b.of = range b.layers {
		if err := b.t.o.Pool.For(len(b.of.w.data), 1<<13, b.hold); err != nil {
			return err
		}
	}
	return nil
}

func (b *binarizer) holdRange(_, lo, hi int) {
	h, data := b.of.h, b.of.w.data[lo:hi]
	for i, w := range data {
		data[i] = max(-h, min(h, w))
	}
}

// binarize overwrites a layer's weights by binary ones.
func (b *binarizer) binarize(l *binaryLayer, mode BinaryMode) error {
	b.of = l
	if mode == Stochastic {
		b.key = stream.New(b.t.o.Seed, l.name, uint64(b.t.done)).Uint64()
		return b.t.o.Pool.For((len(l.w.data)+1)/2, 1<<12, b.draw)
	}
	return b.t.o.Pool.For(len(l.w.data), 1<<13, b.sign)
}

// signBit is that of a float32. Signs are as good as random: a branch on them would be
// mispredicted half of the time.
const signBit = 1 << 31

func (b *binarizer) signRange(_, lo, hi int) {
	h, data := math.Float32bits(b.of.h), b.of.w.data[lo:hi]
	for i, w := range data {
		data[i] = math.Float32frombits(h | math.Float32bits(w+0)&signBit) // −0 + 0 is +0
	}
}

// drawRange draws weights 2·lo to 2·hi, two from each word of 64 bits. With u of 24
// bits, u < 2²⁴·(w/H + 1)/2 has the probability asked for, 0 and 1 at the ends included.
func (b *binarizer) drawRange(_, lo, hi int) {
	l := b.of
	h, data, scale := math.Float32bits(l.h), l.w.data[2*lo:min(2*hi, len(l.w.data))], (1<<23)/l.h
	for i := 0; i < len(data); i += 2 {
		z := splitMix(b.key, uint64(lo+i/2))
		for k := i; k < min(i+2, len(data)); k++ {
			u, below := float32(uint32(z)>>8), float32(data[k]*scale)+(1<<23)
			data[k] = math.Float32frombits(h | ^math.Float32bits(u-below)&signBit)
			z >>= 32
		}
	}
}

// useForm puts the form for use in place: its weights, and the statistics that go
// with them.
func (b *binarizer) useForm(ctx context.Context) error {
	if b == nil {
		return nil
	}
	b.kept.take(b.t)
	if b.t.o.Binary.Mode == Deterministic {
		for _, l := range b.layers {
			if err := b.binarize(l, Deterministic); err != nil {
				return err
			}
		}
	}
	return b.measure(ctx)
}

// trainingForm undoes useForm.
func (b *binarizer) trainingForm() {
	if b != nil {
		b.kept.put(b.t)
	}
}

// measure makes the statistics of normalisations the means of those of batches, the
// first examples in order.
func (b *binarizer) measure(ctx context.Context) error {
	if b.use == nil {
		return nil
	}
	n := b.t.set.Len()
	if b.t.o.Binary.Statistics > 0 {
		n = min(n, b.t.o.Binary.Statistics)
	}
	batches, batch := max(1, n/b.t.o.Batch), make([]int, b.t.o.Batch)
	sums := make([][]float64, len(b.stats))
	for k := range batches {
		for i := range batch {
			batch[i] = k*len(batch) + i
		}
		if err := b.t.fill(ctx, b.t.set, batch); err != nil {
			return err
		}
		if err := b.use.Run(ctx, b.t.in[:1], b.stats); err != nil {
			return fmt.Errorf("statistics: %w", err)
		}
		for s, t := range b.stats {
			if k == 0 {
				sums[s] = make([]float64, t.Len())
			}
			for i, x := range tensor.Data[float32](t) {
				sums[s][i] += float64(x)
			}
		}
	}
	for s, r := range b.t.running {
		data := tensor.Data[float32](r.param.Data)
		for i, sum := range sums[s] {
			data[i] = float32(sum / float64(batches))
		}
	}
	return nil
}
