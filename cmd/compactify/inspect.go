package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/compactify/compactify/compress"
	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/jsonnum"
	"github.com/compactify/compactify/internal/words"
	"github.com/spf13/cobra"
)

func (a *app) inspectCommand() *cobra.Command {
	var latency, forms bool
	c := &cobra.Command{
		Use:   "inspect MODEL",
		Short: "Say what is in a model file",
		Long: `Say what is in a model file: its size, weights, operators and layers.

"sparsity" is the share of weights that are exactly zero, "norm" the length of
all weights as one vector. Layers are the weights of convolutions and matrix
products, which is where compression works.

--latency runs the model on made-up inputs and gives the median with its 95 %
confidence interval. Batches are 1; other dimensions that the model leaves open are
the least of 1, 64, 128, 256, 512, 1024, 4096 and 16384 at which it runs. --forms does so with the weights in
every form that there are kernels for: fewer bits, and patterns of zeros. Those
weights are rounded or set to zero without looking at an example: the table says
what a form would take on this CPU, and nothing of accuracy.`,
		Example: "  compactify inspect model.onnx\n  compactify inspect model.onnx --latency --json\n  compactify inspect model.onnx --forms --threads 1",
		Args:    want("MODEL"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.inspect(c.Context(), args[0], latency || forms, forms)
		},
	}
	c.Flags().BoolVar(&latency, "latency", false, "also run the model and say how long one example takes")
	c.Flags().BoolVar(&forms, "forms", false, "also say what the weights would take in other forms, in bytes and time (implies --latency)")
	return c
}

// inspection is the JSON object of inspect.
type inspection struct {
	Model    string         `json:"model"`
	Bytes    int            `json:"bytes"` // on disk, with external data
	Params   int            `json:"params"`
	Norm     jsonnum.Float  `json:"norm"`
	Sparsity jsonnum.Float  `json:"sparsity"`
	IR       int            `json:"ir"`
	Opset    map[string]int `json:"opset"` // by domain; ONNX's own is ai.onnx
	Producer string         `json:"producer,omitempty"`
	Inputs   []port         `json:"inputs"`
	Outputs  []port         `json:"outputs"`
	Ops      map[string]int `json:"ops"`                   // nodes by operator, those in subgraphs included
	Unknown  []string       `json:"unknown_ops,omitempty"` // operators that are kept as they are, meaning unknown
	Layers   []layerInfo    `json:"layers"`
	Ledger   ledgerInfo     `json:"ledger"`
	Latency  *latencyInfo   `json:"latency,omitempty"`
	Forms    []formInfo     `json:"forms,omitempty"`
	Problem  string         `json:"problem,omitempty"` // why the model cannot be run
}

type port struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

type layerInfo struct {
	Name     string        `json:"name"`
	Kind     string        `json:"kind"` // the operator that reads it
	Type     string        `json:"type"`
	Shape    []int         `json:"shape"`
	Params   int           `json:"params"`
	Bytes    int           `json:"bytes"`
	Sparsity jsonnum.Float `json:"sparsity"`
}

type ledgerInfo struct {
	Payload  int `json:"payload"`
	Scales   int `json:"scales"`
	Metadata int `json:"metadata"`
}

// formInfo is what the weights would take in another form.
type formInfo struct {
	Name    string       `json:"name"`
	Bytes   int          `json:"bytes,omitempty"`   // of weights and scales
	Latency *latencyInfo `json:"latency,omitempty"` // nil if there is none
	Compact int          `json:"compact_products"`  // that run on few-bit integers or a sparse form
	Problem string       `json:"problem,omitempty"` // why there is none
}

func (a *app) inspect(ctx context.Context, path string, withLatency, withForms bool) error {
	g, bytes, err := a.readModel(path)
	if err != nil {
		return err
	}
	r := &inspection{Model: path, Bytes: bytes, Params: g.NumParams(), Norm: jsonnum.Float(g.Norm()), IR: g.Meta.IR,
		Producer: strings.TrimSpace(g.Meta.Producer + " " + g.Meta.ProducerVersion), Opset: make(map[string]int), Ops: make(map[string]int), Layers: []layerInfo{}}
	for domain, version := range g.Opset {
		if domain == graph.DomainONNX {
			domain = "ai.onnx"
		}
		r.Opset[domain] = version
	}
	r.Inputs, r.Outputs = ports(g.Inputs), ports(g.Outputs)
	countOps(r.Ops, g)
	r.Unknown = unknownOps(g)
	r.Sparsity = jsonnum.Float(sparsity(g.EffectiveWeights()))
	r.Problem = problemOf(g)
	for _, l := range layers(g) {
		r.Layers = append(r.Layers, layerInfo{Name: l.Name(), Kind: l.Nodes[0].Kind(), Type: l.Param.Data.DType().String(), Shape: l.Param.Data.Shape(),
			Params: l.Param.Data.Len(), Bytes: l.Param.StoredBytes(), Sparsity: jsonnum.Float(sparsity([]graph.EffectiveWeight{{Param: l.Param, At: l.Param.Data.At}}))})
	}
	r.Layers = append(r.Layers, quantizedLayers(g)...)
	ledger := g.Ledger(bytes)
	r.Ledger = ledgerInfo{ledger.Payload, ledger.Scales, ledger.Metadata}
	if withLatency {
		if err = a.timeModel(ctx, g, r, withForms); err != nil {
			return err
		}
	}
	if a.out != "" {
		file, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		if err := a.writeFile(a.out, append(file, '\n')); err != nil {
			return err
		}
	}
	return a.print(r, func(w io.Writer) { r.text(w) })
}

// layers lists the layers of the model in its newest form, where their axes are
// known, the weights in bodies of control flow among them; of a model that has none, those of the file as it is.
func layers(g *graph.Graph) []graph.Layer {
	c, _ := g.Clone()
	if c.Upgrade(graph.LatestOpset) != nil || c.Infer() != nil {
		return g.Layers()
	}
	c.HoistWeights()
	return c.Layers()
}

// quantizedLayers lists the matrices that are stored as integers.
func quantizedLayers(g *graph.Graph) []layerInfo {
	var list []layerInfo
	readers := g.Consumers()
	for _, w := range g.EffectiveWeights() {
		data := w.Param.Data
		if w.Reader == nil || data.Rank() < 2 {
			continue
		}
		reader := w.Reader
		for slices.Contains([]string{"DequantizeLinear", "Transpose", "Reshape"}, reader.Kind()) && len(readers[reader.Out[0]]) > 0 {
			reader = readers[reader.Out[0]][0]
		}
		list = append(list, layerInfo{Name: w.Param.Name, Kind: reader.Kind(), Type: data.DType().String(), Shape: data.Shape(),
			Params: data.Len(), Bytes: w.Param.StoredBytes(), Sparsity: jsonnum.Float(sparsity([]graph.EffectiveWeight{w}))})
	}
	return list
}

// problemOf says why a model cannot be run; "" if nothing shows without running
// it.
func problemOf(g *graph.Graph) string {
	for _, n := range g.Nodes {
		if n.Rule() == nil {
			return fmt.Sprintf("%s: unknown operator", n)
		}
	}
	c, _ := g.Clone()
	err := c.Upgrade(graph.LatestOpset)
	if err == nil {
		err = c.Infer()
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func ports(values []*graph.Value) []port {
	list := []port{}
	for _, v := range values {
		list = append(list, port{v.Name, v.Type.String()})
	}
	return list
}

func countOps(ops map[string]int, g *graph.Graph) {
	for _, n := range g.Nodes {
		ops[n.Kind()]++
		for _, attr := range n.Attrs {
			for _, sub := range attr.Subgraphs() {
				countOps(ops, sub)
			}
		}
	}
}

// unknownOps lists the operators, in subgraphs too, that the program keeps as
// they are without knowing what they mean.
func unknownOps(g *graph.Graph) []string {
	found := make(map[string]bool)
	var visit func(*graph.Graph)
	visit = func(g *graph.Graph) {
		for _, n := range g.Nodes {
			if n.Rule() == nil {
				found[n.Kind()] = true
			}
			for _, attr := range n.Attrs {
				for _, sub := range attr.Subgraphs() {
					visit(sub)
				}
			}
		}
	}
	visit(g)
	return slices.Sorted(maps.Keys(found))
}

// sparsity is the share of exact zeros; 0 without weights.
func sparsity(weights []graph.EffectiveWeight) float64 {
	zeros, all := 0, 0
	for _, w := range weights {
		n := w.Param.Data.Len()
		all += n
		for i := range n {
			if w.At(i) == 0 {
				zeros++
			}
		}
	}
	return float64(zeros) / float64(max(1, all))
}

// timeModel runs the model on made-up inputs, and if asked in every form.
func (a *app) timeModel(ctx context.Context, g *graph.Graph, r *inspection, withForms bool) error {
	g, _, err := engine.Simplify(g)
	if err != nil {
		return err
	}
	a.report.progress("running", 0)
	l, o, err := a.timeOne(ctx, g)
	if err != nil {
		return err
	}
	r.Latency = l
	if !withForms {
		return nil
	}
	forms, err := compress.MeasureForms(ctx, g, o, formTime, func(done float64) { a.report.progress("forms", done) })
	for _, f := range forms {
		info := formInfo{Name: f.Name, Bytes: f.Bytes, Compact: f.Compact, Problem: f.Problem}
		if f.Problem == "" {
			info.Latency = a.latencyInfo(f.Latency)
		}
		r.Forms = append(r.Forms, info)
	}
	return err
}

func (r *inspection) text(w io.Writer) {
	fmt.Fprintf(w, "%s\n\n", r.Model)
	var opsets []string
	for _, domain := range slices.Sorted(maps.Keys(r.Opset)) {
		opsets = append(opsets, fmt.Sprintf("%s %d", domain, r.Opset[domain]))
	}
	rows := [][]string{
		{"size on disk", fmt.Sprintf("%s bytes: weights %s, scales %s, rest %s", words.Grouped(r.Bytes),
			words.Grouped(r.Ledger.Payload), words.Grouped(r.Ledger.Scales), words.Grouped(r.Ledger.Metadata))},
		{"weights", fmt.Sprintf("%s, %s of them zero, norm %s", words.Grouped(r.Params), words.Percent(float64(r.Sparsity), 1), words.Number(float64(r.Norm)))},
		{"format", fmt.Sprintf("ONNX IR %d, operators %s%s", r.IR, strings.Join(opsets, ", "), prefixed(", by ", r.Producer))},
		{"inputs", portText(r.Inputs)},
		{"outputs", portText(r.Outputs)},
		{"operators", opsText(r.Ops)},
	}
	if r.Problem != "" {
		rows = append(rows, []string{"cannot be run", r.Problem})
	}
	if len(r.Unknown) > 0 {
		rows = append(rows, []string{"unknown", strings.Join(r.Unknown, ", ") + ": kept as they are"})
	}
	if r.Latency != nil {
		l := r.Latency
		rows = append(rows, []string{"time", fmt.Sprintf("%s for one example on %s (%s, %d runs)", words.Milliseconds(float64(l.MedianMS)),
			words.Count(l.Threads, "thread", "threads"), l.interval(), l.Runs)})
		if shapes := l.shapesText(r.Inputs); shapes != "" {
			rows = append(rows, []string{"", "at inputs of " + shapes})
		}
	}
	columns(w, rows)
	r.formsText(w)
	if len(r.Layers) == 0 {
		fmt.Fprintln(w, "\nno layers: no weights of convolutions or matrix products of their own")
		return
	}
	fmt.Fprintln(w)
	rows = [][]string{{"layer", "kind", "type", "shape", "weights", "size", "zero"}}
	for _, l := range r.Layers {
		var dims []string
		for _, n := range l.Shape {
			dims = append(dims, strconv.Itoa(n))
		}
		rows = append(rows, []string{l.Name, l.Kind, l.Type, strings.Join(dims, "×"), words.Grouped(l.Params), words.Size(l.Bytes), words.Percent(float64(l.Sparsity), 1)})
	}
	columns(w, rows)
}

// interval is where the median lies.
func (l *latencyInfo) interval() string {
	return fmt.Sprintf("%s to %s", words.Milliseconds(float64(l.LowMS)), words.Milliseconds(float64(l.HighMS)))
}

// formsText is the table of forms, and below it why some are not there.
func (r *inspection) formsText(w io.Writer) {
	if len(r.Forms) == 0 {
		return
	}
	fmt.Fprint(w, "\nthe same weights in other forms, rounded or set to zero for this table alone:\nbytes and time on this CPU, nothing of accuracy\n\n")
	rows := [][]string{{"form", "size", "time", "95 % interval", "speed", "compact"}}
	problems := []string{}
	first := r.Forms[0]
	for _, f := range r.Forms {
		if f.Latency == nil {
			problems = append(problems, fmt.Sprintf("%s: %s", f.Name, f.Problem))
			continue
		}
		speed := "–"
		if first.Latency != nil && f.Latency.MedianMS > 0 {
			speed = words.Fixed(float64(first.Latency.MedianMS/f.Latency.MedianMS), 2) + "×"
		}
		rows = append(rows, []string{f.Name, words.Size(f.Bytes), words.Milliseconds(float64(f.Latency.MedianMS)), f.Latency.interval(), speed, strconv.Itoa(f.Compact)})
	}
	columns(w, rows)
	fmt.Fprint(w, "\n\"compact\" counts the products that run on few-bit integers or on a sparse form;\nothers expand their weights to float32 first.\n")
	for _, p := range problems {
		fmt.Fprintln(w, p)
	}
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

func portText(list []port) string {
	var parts []string
	for _, p := range list {
		parts = append(parts, p.Name+" "+p.Type)
	}
	return strings.Join(parts, ", ")
}

// opsText lists operators, the most frequent first.
func opsText(ops map[string]int) string {
	names := slices.SortedFunc(maps.Keys(ops), func(a, b string) int {
		if ops[a] != ops[b] {
			return ops[b] - ops[a]
		}
		return strings.Compare(a, b)
	})
	for i, n := range names {
		names[i] = fmt.Sprintf("%s %d", n, ops[n])
	}
	return strings.Join(names, ", ")
}
