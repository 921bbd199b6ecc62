// Package paths holds the curves along which models are compressed, one file
// per kind, each with its exact boundary model at t=1.
//
// [Kinds] lists them all: there is no registration, so a reader sees the whole
// list in one place, and a worker rebuilds a path from its name and numbers.
package paths

import (
	"fmt"
	"slices"
	"strings"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
	"github.com/compactify/compactify/train"
)

// Kind is a kind of path that can be walked by name.
type Kind struct {
	Name   string
	About  string // one line for users: what t is and where the path ends
	New    func(*graph.Graph, Options) (compactify.Path, error)
	Trains bool // every model on the way is trained, by [Options].Regular
}

// Options are the settings a path may be given by name. Zero values work.
type Options struct {
	PerLayer  bool                 // prune, prune-channels: the same fraction of every layer instead of the lowest scores overall
	Gradients map[string][]float32 // prune, prune-channels, prune-blocks: sizes of the loss's gradient by parameter and element, for scores |θ·g|; nil means |θ|
	Pattern   Pattern              // prune: which weights go together
	Tune      Tune                 // how to fine-tune a model before it is measured; nil means not at all
	Schedule  Schedule             // prune, with Tune: when weights go; "" means OneShot
	Rewind    Tune                 // prune, with Lottery: makes the model that rounds go back to; nil means the one given
	Pool      *kernel.Pool         // nil means one thread
	Scheme    Scheme               // quantize: how weights are rounded at every width; its Bits are of no meaning
	Regular   Regular              // l2, l1, elastic, group, maxnorm, dropout: what they train on, and how
}

// Kinds is the list of all paths.
var Kinds = []Kind{
	{Name: "prune", About: "t is the fraction of weights removed, smallest first; at t=1 all are zero",
		New: func(g *graph.Graph, o Options) (compactify.Path, error) { return NewPrune(g, o) }},
	{Name: "prune-channels", About: "t is the fraction of channels, heads and units cut out; at t=1 no layer can lose another",
		New: func(g *graph.Graph, o Options) (compactify.Path, error) { return NewPruneChannels(g, o) }},
	{Name: "prune-blocks", About: "t is the fraction of residual blocks cut out, x + f(x) → x; at t=1 all are gone",
		New: func(g *graph.Graph, o Options) (compactify.Path, error) { return NewPruneBlocks(g, o) }},
	{Name: "quantize", About: "fewer bits per weight: t=(32−bits)/31; at t=1 one bit, α·sign θ",
		New: func(g *graph.Graph, o Options) (compactify.Path, error) { return NewQuantize(g, o) }},
	penalised(train.L2, "training with λ‖θ‖², t = λ/(1+λ); at t=1 all weights are zero"),
	penalised(train.L1, "training with λ‖θ‖₁, t = λ/(1+λ): single weights become zero, all from some λ on"),
	penalised(train.ElasticNet, "training with λ(α‖θ‖₁ + (1−α)‖θ‖²), t = λ/(1+λ)"),
	penalised(train.GroupLasso, "training with λ Σ √|g|‖θ_g‖ over units and channels, t = λ/(1+λ): whole ones become zero"),
	{Name: "maxnorm", About: "training with the incoming weights of every unit in a ball of radius c, t = 1 − c/c_max; at t=1 a constant answer", Trains: true,
		New: func(g *graph.Graph, o Options) (compactify.Path, error) { return NewMaxNorm(g, o) }},
	{Name: "dropout", About: "training with inputs of layers dropped with probability t; at t=1 a constant answer", Trains: true,
		New: func(g *graph.Graph, o Options) (compactify.Path, error) { return NewDropout(g, o) }},
}

// penalised is the kind of path of a penalty.
func penalised(kind train.PenaltyKind, about string) Kind {
	return Kind{Name: string(kind), About: about, Trains: true,
		New: func(g *graph.Graph, o Options) (compactify.Path, error) { return NewPenalised(kind, g, o) }}
}

// New makes the path of the given kind over a trained model.
func New(kind string, g *graph.Graph, o Options) (compactify.Path, error) {
	i := slices.IndexFunc(Kinds, func(k Kind) bool { return k.Name == kind })
	if i < 0 {
		var names []string
		for _, k := range Kinds {
			names = append(names, k.Name)
		}
		return nil, fmt.Errorf("path %q: unknown kind: want %s", kind, strings.Join(names, " or "))
	}
	return Kinds[i].New(g, o)
}

func checkT(kind string, t float64) error {
	if !(t >= 0 && t <= 1) {
		return fmt.Errorf("path %s: t: got %v, want a number from 0 to 1", kind, t)
	}
	return nil
}

// layersOf lists what there is to compress, or says why there is nothing.
func layersOf(kind string, g *graph.Graph) ([]graph.Layer, error) {
	layers := g.Layers()
	if len(layers) == 0 {
		return nil, fmt.Errorf("path %s: graph %q: %s", kind, g.Name, NoLayers(g))
	}
	for _, l := range layers {
		if err := checkFloat32(l); err != nil {
			return nil, fmt.Errorf("path %s: %w", kind, err)
		}
	}
	return layers, nil
}

// NoLayers says why a graph without layers has none.
func NoLayers(g *graph.Graph) string {
	why := "no floating-point weights of convolutions or matrix products to work on"
	if slices.ContainsFunc(g.Nodes, func(n *graph.Node) bool { return n.Kind() == "DequantizeLinear" }) {
		why += ": the model is quantised already; start from the original"
	}
	return why
}

// NumberTypeError says that a weight is not of the number type that paths start
// from, float32.
type NumberTypeError struct {
	Weight string
	Got    string // number type and shape
}

func (e *NumberTypeError) Error() string {
	return fmt.Sprintf("weight %q: got %s, want float32", e.Weight, e.Got)
}

func checkFloat32(l graph.Layer) error {
	if l.Param.Data.DType() != tensor.Float32 {
		return &NumberTypeError{l.Name(), fmt.Sprint(l.Param.Data)}
	}
	return nil
}
