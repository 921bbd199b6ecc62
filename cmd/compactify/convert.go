package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/compactify/compactify/format/onnx"
	"github.com/compactify/compactify/format/safetensors"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/words"
	"github.com/spf13/cobra"
)

// convertFlags are the settings of convert.
type convertFlags struct {
	graph             string
	compact, external bool
}

func (a *app) convertCommand() *cobra.Command {
	var f convertFlags
	c := &cobra.Command{
		Use:   "convert IN OUT",
		Short: "Convert between formats, by file name",
		Long: `Convert a model between formats; the file names' endings decide.

    .onnx         → .onnx         written anew; --compact drops names and comments
    .onnx         → .safetensors  the weights alone, by name
    .safetensors  → .onnx         weights into the network of --graph, by name
    .safetensors  → .safetensors  written anew

Weights are copied as they are; nothing is lost. What was written is read back.`,
		Example: "  compactify convert model.onnx weights.safetensors\n  compactify convert weights.safetensors tuned.onnx --graph model.onnx\n  compactify convert model.onnx small.onnx --compact",
		Args:    want("IN", "[OUT]"),
		RunE:    func(c *cobra.Command, args []string) error { return a.convert(f, args) },
	}
	flags := c.Flags()
	flags.StringVar(&f.graph, "graph", "", "ONNX model that gives the network for .safetensors → .onnx")
	flags.BoolVar(&f.compact, "compact", false, "ONNX: leave out what does not change results, such as inner names")
	flags.BoolVar(&f.external, "external", false, "ONNX: put the weights into a second file, OUT.data")
	return c
}

// conversion is the JSON object of convert.
type conversion struct {
	In       string `json:"in"`
	Out      string `json:"out"`
	BytesIn  int    `json:"bytes_in"`
	BytesOut int    `json:"bytes_out"`
	Tensors  int    `json:"tensors"`
}

func (a *app) convert(f convertFlags, args []string) error {
	in, out := args[0], a.out
	if len(args) > 1 {
		if out != "" {
			return usage(errors.New("convert: got both OUT and --out, want one of them"))
		}
		out = args[1]
	}
	if out == "" {
		return usage(errors.New("convert: OUT is missing"))
	}
	from, to := filepath.Ext(in), filepath.Ext(out)
	if err := f.check(from, to); err != nil {
		return usage(err)
	}
	if err := a.checkFile(out); err != nil {
		return err
	}
	r := &conversion{In: in, Out: out}
	var err error
	switch {
	case from == ".onnx" && to == ".onnx":
		var g *graph.Graph
		if g, r.BytesIn, err = a.readModel(in); err == nil {
			err = a.writeONNX(f, r, g)
		}
	case from == ".onnx":
		var g *graph.Graph
		if g, r.BytesIn, err = a.readModel(in); err == nil {
			err = a.writeTensors(r, weightsOf(g))
		}
	default:
		err = a.convertTensors(f, r, to)
	}
	if err != nil {
		return err
	}
	return a.print(r, func(w io.Writer) {
		fmt.Fprintf(w, "%s  %s (%s)\n", r.Out, words.Size(r.BytesOut), words.Count(r.Tensors, "tensor", "tensors"))
		fmt.Fprintf(w, "from %s  %s\n", r.In, words.Size(r.BytesIn))
	})
}

// check refuses combinations that have no meaning.
func (f *convertFlags) check(from, to string) error {
	for _, ext := range []string{from, to} {
		if ext != ".onnx" && ext != ".safetensors" {
			return fmt.Errorf("convert: format %q: unknown, want .onnx or .safetensors", ext)
		}
	}
	merges := from == ".safetensors" && to == ".onnx"
	switch {
	case merges && f.graph == "":
		return errors.New("convert: .safetensors to .onnx: --graph is missing: a .safetensors file holds weights but no network")
	case !merges && f.graph != "":
		return fmt.Errorf("convert: --graph: has no meaning for %s to %s", from, to)
	case to != ".onnx" && (f.compact || f.external):
		return fmt.Errorf("convert: --compact and --external: have no meaning for %s", to)
	}
	return nil
}

func (a *app) convertTensors(f convertFlags, r *conversion, to string) error {
	file, err := safetensors.Read(r.In)
	if err != nil {
		return err
	}
	if r.BytesIn, err = diskBytes(r.In); err != nil {
		return err
	}
	if to == ".safetensors" {
		return a.writeTensors(r, file)
	}
	g, _, err := a.readModel(f.graph)
	if err != nil {
		return err
	}
	if err := replaceWeights(g, file); err != nil {
		return fmt.Errorf("convert %q into the network of %q: %w", filepath.Base(r.In), filepath.Base(f.graph), err)
	}
	return a.writeONNX(f, r, g)
}

// writeONNX writes a model and reads it back.
func (a *app) writeONNX(f convertFlags, r *conversion, g *graph.Graph) error {
	o := onnx.Options{Compact: f.compact, External: f.external}
	if f.external {
		// Only the parts that are certain can be held against the limit before
		// two files are written.
		ledger := g.Ledger(0)
		if err := a.checkSize(r.Out, ledger.Payload+ledger.Scales); err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(r.Out), 0o777); err != nil {
			return err
		}
		if err := onnx.Write(r.Out, g, o); err != nil {
			return err
		}
	} else {
		file, err := onnx.Encode(g, o)
		if err != nil {
			return err
		}
		if err := a.writeFile(r.Out, file); err != nil {
			return err
		}
	}
	back, n, err := a.readModel(r.Out)
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	r.BytesOut, r.Tensors = n, len(back.Params)
	if unknown := unknownOps(back); len(unknown) > 0 {
		a.note("unknown operators, kept as they are: %s", strings.Join(unknown, ", "))
	}
	return nil
}

// writeTensors writes tensors and reads them back.
func (a *app) writeTensors(r *conversion, file *safetensors.File) error {
	b, err := safetensors.Encode(file)
	if err != nil {
		return err
	}
	if err := a.writeFile(r.Out, b); err != nil {
		return err
	}
	back, err := safetensors.Read(r.Out)
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	r.BytesOut, r.Tensors = len(b), len(back.Tensors)
	return nil
}

// weightsOf lists a model's stored tensors.
func weightsOf(g *graph.Graph) *safetensors.File {
	f := &safetensors.File{}
	for _, p := range g.Params {
		f.Tensors = append(f.Tensors, safetensors.Named{Name: p.Name, Tensor: p.Data})
	}
	return f
}

// replaceWeights puts tensors in the place of parameters of the same name. Each
// must find its place, with the same shape and number type; parameters that no
// tensor names stay as they are.
func replaceWeights(g *graph.Graph, f *safetensors.File) error {
	byName := make(map[string]*graph.Param, len(g.Params))
	for _, p := range g.Params {
		byName[p.Name] = p
	}
	var missing []string
	for _, t := range f.Tensors {
		p := byName[t.Name]
		if p == nil {
			missing = append(missing, t.Name)
			continue
		}
		if got, want := t.Tensor.String(), p.Data.String(); got != want {
			return fmt.Errorf("tensor %q: got %s, want %s", t.Name, got, want)
		}
		p.Data = t.Tensor
	}
	if len(missing) > 0 {
		shown := missing[:min(3, len(missing))]
		return fmt.Errorf("%s not in the network, the first: %s", words.Count(len(missing), "tensor is", "tensors are"), strings.Join(shown, ", "))
	}
	return nil
}
