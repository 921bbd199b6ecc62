package compress

import (
	"fmt"
	"slices"
	"strings"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/paths"
)

// Fate is what became of one tensor of the original file.
type Fate struct {
	Name        string `json:"name"`
	BytesBefore int    `json:"bytes_before"` // 0 for what only the compact file has
	BytesAfter  int    `json:"bytes_after"`  // of all that is stored in its place, scales included; 0 if nothing is
	How         string `json:"how"`          // in words: compressed how, or left alone why
}

// graphEntry is the name under which the rest of a file is accounted for.
const graphEntry = "(graph)"

// fates accounts for every stored tensor of the original and of the compact model,
// and for the rest of both files, so that the sums are the files' bytes. stored is
// the compact model, under the original's names, with its encodings chosen.
func (w *work) fates(best *trial, stored *graph.Graph, bytes int) []Fate {
	before, after := w.Model.Ledger(w.ModelBytes), stored.Ledger(bytes)
	list := make([]Fate, 0, len(before.Tensors)+1)
	index := make(map[string]int)
	for _, e := range before.Tensors {
		if _, ok := index[e.Name]; !ok {
			index[e.Name] = len(list)
		}
		list = append(list, Fate{Name: e.Name, BytesBefore: e.Bytes})
	}
	parts := make(map[int][]graph.Entry) // of the compact file, by entry of the original
	for _, e := range after.Tensors {
		i, ok := owner(index, e.Name)
		if !ok {
			list = append(list, Fate{Name: e.Name, BytesAfter: e.Bytes, How: addedAs(e)})
			continue
		}
		parts[i] = append(parts[i], e)
		list[i].BytesAfter += e.Bytes
	}
	layers := w.graph.Layers()
	for i, e := range before.Tensors {
		list[i].How = w.how(best.plan, layers, e, parts[i])
	}
	return append(list, Fate{graphEntry, before.Metadata, after.Metadata, "nodes, names, shapes and headers; documentation and names of inner values are not needed to run the model"})
}

// owner finds the tensor of the original that one of the compact model stands for:
// that of the same name, or of its name without the ending that quantising adds.
func owner(index map[string]int, name string) (int, bool) {
	if i, ok := index[name]; ok {
		return i, true
	}
	if cut := strings.LastIndexByte(name, '_'); cut > 0 && slices.Contains([]string{"_q", "_s", "_z"}, name[cut:]) {
		i, ok := index[name[:cut]]
		return i, ok
	}
	return 0, false
}

// addedAs says what a tensor that the original has not is for.
func addedAs(e graph.Entry) string {
	switch e.Role {
	case graph.RoleScale:
		return "added: the scale of rounded activations"
	case graph.RoleZeroPoint:
		return "added: the zero point of rounded activations"
	case graph.RoleConstant:
		return "added: a constant of the graph in its new form"
	}
	return "added: computed from other tensors when the model was simplified"
}

// how says what became of a tensor, given what is stored in its place.
func (w *work) how(p Plan, layers []graph.Layer, e graph.Entry, parts []graph.Entry) string {
	if len(parts) == 0 {
		return w.whyGone(e)
	}
	var said []string
	now := parts[0]
	if s, ok := p.Schemes[e.Name]; ok && now.Name != e.Name {
		said = append(said, schemeText(s))
	} else if now.Name != e.Name {
		said = append(said, fmt.Sprintf("stored as %v with a scale", now.DType))
	}
	if now.Sparse {
		said = append(said, "only what is not zero is stored")
	}
	if lost := elements(e.Shape) - elements(now.Shape); lost > 0 && len(e.Shape) == len(now.Shape) {
		said = append(said, fmt.Sprintf("%v instead of %v: channels removed", now.Shape, e.Shape))
	}
	if len(said) == 0 {
		i := slices.IndexFunc(w.Model.AllParams(), func(p *graph.Param) bool { return p.Name == e.Name })
		return "left alone: " + whyAlone(w.Model.AllParams()[i], e.Role, layers)
	}
	return strings.Join(said, "; ")
}

func elements(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// schemeText is a scheme in words.
func schemeText(s paths.Scheme) string {
	text := fmt.Sprintf("%d bits per weight", s.Bits)
	if s.Ternary {
		text = "levels −1, 0, +1 in 2 bits per weight"
	}
	switch {
	case s.Block == paths.PerTensor:
		text += ", one scale"
	case s.Block > 0:
		text += fmt.Sprintf(", a scale per %d weights", s.Block)
	default:
		text += ", a scale per channel"
	}
	if s.Asymmetric {
		text += " and a zero point"
	}
	return text
}

// whyGone says why nothing is stored in a tensor's place.
func (w *work) whyGone(e graph.Entry) string {
	if slices.ContainsFunc(w.graph.AllParams(), func(p *graph.Param) bool { return p.Name == e.Name }) {
		return "removed with its channels or its block"
	}
	var readers []string
	for v, nodes := range w.Model.Consumers() {
		if v.Name == e.Name {
			for _, n := range nodes {
				readers = append(readers, n.Kind())
			}
		}
	}
	switch {
	case slices.Contains(readers, "BatchNormalization"):
		return "folded into the weights before the batch normalisation"
	case len(readers) == 0:
		return "not needed: nothing that is left reads it"
	}
	return "computed into other constants when the model was simplified"
}
