package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/graph"
	"github.com/spf13/cobra"
)

// dataFlags say which examples to use.
type dataFlags struct {
	data, eval, normalize, label string
	raw                          bool
	command                      *cobra.Command // whose flags these are
}

func (d *dataFlags) add(c *cobra.Command) {
	d.command = c
	f := c.Flags()
	f.StringVar(&d.data, "data", "glyphs", "examples: glyphs (built in), a folder of IDX files or images, .npz, .safetensors, .csv,\nLIBSVM, CIFAR-10, .tar of images; unlabeled:PATH compares with the original model only")
	f.StringVar(&d.eval, "eval", "", "held-out examples, in the same forms (default: the data's own test part,\nor 20 % set aside)")
	f.StringVar(&d.normalize, "normalize", "", "mean,std of image inputs, or m:m:m,s:s:s per channel: (x/255−mean)/std")
	f.BoolVar(&d.raw, "raw", false, "keep image inputs at 0 to 255 instead of dividing by 255")
	f.StringVar(&d.label, "label", "", "label column of a .csv: a name, or a number from 1 (default: the last)")
}

// examples are the opened sources.
type examples struct {
	train   *data.Set
	heldOut *data.Set // nil if the source has no test part
	source  string
	mapping string
}

// inputsOf is what a model reads.
func inputsOf(g *graph.Graph) []data.Input {
	var list []data.Input
	for _, v := range g.Inputs {
		list = append(list, data.Input{Name: v.Name, Type: v.Type})
	}
	return list
}

// open reads the sources, for a model of any input.
func (d *dataFlags) open(a *app) (examples, error) { return d.openFor(a, nil) }

// openFor reads the sources for a model that reads the inputs.
func (d *dataFlags) openFor(a *app, inputs []data.Input) (examples, error) {
	if d.raw && d.normalize != "" {
		return examples{}, usage(errors.New("--raw and --normalize exclude each other"))
	}
	if d.normalize != "" {
		if _, err := data.ParseNormalization(d.normalize); err != nil {
			return examples{}, usage(fmt.Errorf("--normalize: %w", err))
		}
	}
	o := data.Options{Label: d.label, Normalize: d.normalize, Raw: d.raw, Inputs: inputs, Seed: a.seed, MaxBytes: int64(a.maxMemory)}
	src, err := data.Open(d.data, o)
	if err != nil {
		return examples{}, d.explain(err)
	}
	if src.Mapping != "" {
		a.note("labels of %s: %s", d.data, src.Mapping)
	}
	if src.Note != "" {
		a.note("%s: %s", d.data, src.Note)
	}
	e := examples{train: src.Train, heldOut: src.Test, source: d.data, mapping: src.Mapping}
	table := src.Table
	if d.eval != "" {
		o.ClassNames = src.Train.ClassNames()
		held, err := data.Open(d.eval, o)
		if err != nil {
			return examples{}, fmt.Errorf("--eval: %w", err)
		}
		e.heldOut, table = held.Eval(), table || held.Table
	}
	if d.label != "" && !table {
		return examples{}, usage(fmt.Errorf("--label: of no meaning to %s: want a .csv", d.data))
	}
	return e, nil
}

// defaulted says that a model is judged by the built-in examples because no others
// were named; "" if some were.
func (d *dataFlags) defaulted(model string) string {
	if d.command.Flags().Changed("data") {
		return ""
	}
	return fmt.Sprintf("no --data: %s is judged by the built-in glyphs; name examples like those it was trained on", model)
}

// origin says how the source's training examples were opened.
func (d *dataFlags) origin(seed uint64) data.Origin {
	return data.Origin{Source: d.data, Normalize: d.normalize, Label: d.label, Raw: d.raw, Seed: seed}
}

// warnDefault says so on standard error.
func (d *dataFlags) warnDefault(a *app, model string) {
	if note := d.defaulted(model); note != "" {
		a.note("%s", note)
	}
}

// meant marks the error of a model that examples do not fit if they are the built-in
// ones for want of others.
func (d *dataFlags) meant(err error) error {
	if errors.Is(err, data.ErrShape) && !d.command.Flags().Changed("data") {
		return &otherShapeError{err}
	}
	return err
}

// explain tells a misspelt name from a broken file: neither exists, but the
// former was never meant to be a path.
func (d *dataFlags) explain(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		if _, statErr := os.Stat(d.data); statErr != nil {
			return fmt.Errorf("--data %q: not found: want glyphs, or the path of a file or folder: %w", d.data, err)
		}
	}
	return fmt.Errorf("--data: %w", err)
}

// firstOf are the first n examples of a set.
func firstOf(s *data.Set, n int) *data.Set {
	list := make([]int, min(n, s.Len()))
	for i := range list {
		list[i] = i
	}
	return s.Subset(list)
}
