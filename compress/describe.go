package compress

import (
	"fmt"
	"math"
	"slices"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/jsonnum"
	"github.com/compactify/compactify/internal/words"
	"github.com/compactify/compactify/paths"
	"github.com/compactify/compactify/tensor"
)

// describe fills in what the chosen model is made of.
func (w *work) describe(best *trial, file *graph.Graph, bytes int) error {
	r := w.result
	r.Before = sumLedger(w.Model.Ledger(w.ModelBytes))
	r.After = sumLedger(file.Ledger(bytes))
	layers := w.graph.Layers()
	stored, _ := best.model.Clone()
	chooseEncodings(stored)
	narrow, err := w.channels.narrowed(w.graph, best.plan)
	if err != nil {
		return err
	}
	left := narrow.Layers()
	for _, l := range layers {
		r.Layers = append(r.Layers, describeLayer(l, left, stored, best.plan.Schemes[l.Name()]))
	}
	if f := jsonnum.Float(best.plan.sparsity(best.narrow)); f > 0 {
		r.Paths = append(r.Paths, Leg{"prune", f, f})
	}
	if f := jsonnum.Float(w.channels.share(best.plan)); f > 0 {
		r.Paths = append(r.Paths, Leg{removeChannels, f, f})
	}
	if b := best.plan.meanBits(best.narrow); b < 32 {
		r.Paths = append(r.Paths, Leg{"quantize", jsonnum.Float((32 - b) / 31), jsonnum.Float(b)})
	}
	r.Compact.ParamsNonzero = nonzero(file)
	r.Alone = leftAlone(stored, layers)
	r.Tensors = w.fates(best, stored, bytes)
	r.Notes = append(append(r.Notes, r.Warnings...), w.notes...)
	if bytes >= w.ModelBytes {
		note := fmt.Sprintf("not smaller: the file has %s bytes, the original %s", words.Grouped(bytes), words.Grouped(w.ModelBytes))
		if w.Activation {
			note += "; the nodes and scales that round activations, as was asked for, take some of them"
		}
		r.Notes = append(r.Notes, note)
	}
	if r.Corrections != nil && r.Corrections.String() != "" {
		r.Notes = append(r.Notes, r.Corrections.String())
	}
	w.describeRounded(best.model)
	twoBits := slices.ContainsFunc(r.Layers, func(l Layer) bool { return l.Bits == 2 })
	if twoBits {
		r.Notes = append(r.Notes, fmt.Sprintf("2-bit weights need opset %d: ONNX Runtime 1.24 or newer", file.MinOpset()))
	}
	if storesIntegers(file) && !w.Activation && !roundsActivations(file) {
		r.Notes = append(r.Notes, "ONNX Runtime unpacks integer weights to floats at every run: expect a smaller model there, not a faster one; for speed there, --activations int8")
	}
	if roundsInputs(file) {
		r.Notes = append(r.Notes, "ONNX Runtime by default also rounds what is multiplied by these weights to 8 bits; with its session option session.qdq_matmulnbits_accuracy_level set to 0 it computes what is measured here")
	}
	if w.Activation && twoBits {
		r.Notes = append(r.Notes, "activations in front of 2-bit weights stay float32: runtimes have no integer kernel for them")
	}
	if zeros := zerosOf(r.Layers); zeros > 0 && len(best.plan.Zeros) == 0 && len(best.plan.Schemes) > 0 {
		r.Notes = append(r.Notes, words.Count(zeros, "weight is", "weights are")+" zero but stored like the others: no speed-up")
	} else if zeros > 0 {
		r.Notes = append(r.Notes, words.Count(zeros, "weight is", "weights are")+" exactly zero; where that is smaller they are left out of the file, but runtimes fill them in again: expect no speed-up from them")
	}
	return nil
}

func zerosOf(layers []Layer) int {
	n := 0
	for _, l := range layers {
		n += l.Zeros
	}
	return n
}

// describeLayer compares a layer with what became of it: narrow is the original
// without the channels that were removed, after the model that is written.
func describeLayer(l graph.Layer, narrow []graph.Layer, after *graph.Graph, scheme paths.Scheme) Layer {
	d := Layer{Name: l.Name(), Kind: l.Nodes[0].Kind(), Shape: l.Param.Data.Shape(), ShapeAfter: []int{}, Bits: 32, Params: l.Param.Data.Len(),
		BytesBefore: l.Param.StoredBytes(), SNR: jsonnum.Float(math.Inf(1))}
	i := slices.IndexFunc(narrow, func(n graph.Layer) bool { return n.Name() == l.Name() })
	if i < 0 {
		d.SNR = nan
		return d
	}
	left := narrow[i]
	d.ShapeAfter, d.BytesAfter = left.Param.Data.Shape(), left.Param.StoredBytes()
	for _, p := range after.Params {
		if p.Name == l.Name() {
			describePruned(&d, left.Param, p)
			return d
		}
	}
	w, ok := paths.StoredWeight(after, left, scheme)
	if !ok {
		return d
	}
	d.Bits, d.BytesAfter = paths.StoredBits(scheme.Bits), w.Bytes()
	var power, noise float64
	for i := range left.Param.Data.Len() {
		x, y := left.Param.Data.At(i), w.At(i)
		if y == 0 {
			d.Zeros++
		}
		power += x * x
		noise += (x - y) * (x - y)
	}
	d.SNR = jsonnum.Float(decibels(power, noise))
	return d
}

// describePruned compares a weight with what it became in float32.
func describePruned(d *Layer, before, after *graph.Param) {
	d.BytesAfter = after.StoredBytes()
	var power, noise float64
	for i := range after.Data.Len() {
		x, y := before.Data.At(i), after.Data.At(i)
		if y == 0 {
			d.Zeros++
		}
		power += x * x
		noise += (x - y) * (x - y)
	}
	d.SNR = jsonnum.Float(decibels(power, noise))
}

// nonzero counts the stored weights that are not zero: integers of the layers
// and floating-point weights, not scales.
func nonzero(g *graph.Graph) int {
	ledger := g.Ledger(0)
	n := 0
	for i, p := range g.AllParams() {
		if ledger.Tensors[i].Role != graph.RoleWeight {
			continue
		}
		for k, size := 0, p.Data.Len(); k < size; k++ {
			if p.Data.At(k) != 0 {
				n++
			}
		}
	}
	return n
}

// leftAlone lists every stored tensor, of the graph and of bodies in it, that is neither an integer weight, nor its
// scale, nor sparse, with the reason.
func leftAlone(after *graph.Graph, layers []graph.Layer) []Alone {
	ledger := after.Ledger(0)
	var list []Alone
	for i, p := range after.AllParams() {
		e := ledger.Tensors[i]
		integers := e.Role == graph.RoleWeight && !e.DType.IsFloat()
		if integers || e.Sparse || e.Role == graph.RoleScale || e.Role == graph.RoleZeroPoint {
			continue
		}
		list = append(list, Alone{Name: p.Name, Type: p.Type.String(), Bytes: e.Bytes, Reason: whyAlone(p, e.Role, layers)})
	}
	return list
}

func whyAlone(p *graph.Param, role graph.Role, layers []graph.Layer) string {
	isLayer := slices.ContainsFunc(layers, func(l graph.Layer) bool { return l.Name() == p.Name })
	switch {
	case role == graph.RoleConstant:
		return "a constant of the graph, not a weight"
	case isLayer:
		return "the budget left no room for fewer bits, or for enough zeros, here"
	case p.Data.DType() != tensor.Float32:
		return fmt.Sprintf("stored as %v", p.Data.DType())
	case p.Data.Rank() <= 1 || p.Data.Len() == slices.Max(p.Data.Shape()):
		return "a bias or a vector: few bytes, and answers are sensitive to it"
	}
	return "not the weight of a convolution, matrix product, recurrent layer or table, or shared in a way that forbids it"
}
