package compress

import (
	"context"
	"fmt"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/structure"
)

// Structure is what can be cut out of a model and what cannot, with the proof
// that the shapes work out.
type Structure struct {
	Groups  []GroupRow    `json:"groups"`
	Refused []RefusedRow  `json:"refused"`
	Proof   ShapeProof    `json:"shape_proof"`
	Sizes   StructureSize `json:"sizes"`
}

// GroupRow is a set of channels that go with the same slices of parameters.
type GroupRow struct {
	Name      string   `json:"name"`
	Kind      string   `json:"kind"`     // channels, heads, units or block
	Channels  int      `json:"channels"` // how many there are
	Removable int      `json:"removable"`
	Bytes     int      `json:"bytes"` // that one of them frees by itself
	Params    []TieRow `json:"params"`
}

// TieRow is what one channel takes from a parameter.
type TieRow struct {
	Name string `json:"name"`
	Axis int    `json:"axis"` // −1: all of it
	Each int    `json:"each"` // indices of the axis
}

// RefusedRow is a weight that keeps channels, and why.
type RefusedRow struct {
	Name     string `json:"name"`
	Channels int    `json:"channels"`
	Reason   string `json:"reason"`
}

// ShapeProof counts what was removed on trial, every time with all shapes
// inferred anew, for any batch size, and compared with those expected.
type ShapeProof struct {
	OK       bool `json:"ok"`
	Removals int  `json:"removals"` // one of each group by itself, and all of the path
	Shapes   int  `json:"shapes"`   // inferred and compared, in all
}

// StructureSize is the file as it is and at the end of the path, in bytes.
type StructureSize struct {
	Bytes int `json:"bytes"`
	Least int `json:"least"`
}

// StructuredPath is a path that cuts channels or blocks out.
type StructuredPath interface {
	compactify.Path
	Analysis() *structure.Analysis
	Removed(t float64) []structure.Channel
}

// DescribeStructure lists the groups that a path works on, those of channels or
// those of blocks, and what is refused, and proves that each group can be cut. The
// path is nil if it has nothing to cut.
func DescribeStructure(ctx context.Context, g *graph.Graph, a *structure.Analysis, blocks bool, p StructuredPath) (*Structure, error) {
	removable := make(map[string]int)
	if p != nil {
		for _, c := range p.Removed(1) {
			removable[c.Group]++
		}
	}
	s := &Structure{Groups: []GroupRow{}, Refused: []RefusedRow{}, Proof: ShapeProof{OK: true}}
	for _, group := range a.Groups {
		if (group.Kind == structure.Block) != blocks {
			continue
		}
		row := GroupRow{Name: group.ID, Kind: string(group.Kind), Channels: group.Channels, Removable: removable[group.ID], Bytes: group.Bytes}
		for _, t := range group.Ties {
			each := t.Param.Data.Len()
			if t.Axis >= 0 {
				each = len(t.Index[0])
			}
			row.Params = append(row.Params, TieRow{t.Param.Name, t.Axis, each})
		}
		s.Groups = append(s.Groups, row)
		if one := a.Removable([]structure.Channel{{Group: group.ID}}); len(one) > 0 {
			smaller, err := a.Remove(structure.Selection(one))
			if err != nil {
				return nil, fmt.Errorf("shape proof: group %q: %w", group.ID, err)
			}
			s.Proof.count(smaller)
		}
	}
	for _, r := range a.Refused {
		if blocks {
			break
		}
		s.Refused = append(s.Refused, RefusedRow(r))
	}
	var err error
	if s.Sizes.Bytes, err = FileSize(g); err != nil || p == nil {
		s.Sizes.Least = s.Sizes.Bytes
		return s, err
	}
	end, err := p.At(ctx, 1)
	if err != nil {
		return nil, fmt.Errorf("shape proof: t = 1: %w", err)
	}
	s.Proof.count(end)
	s.Sizes.Least, err = FileSize(end)
	return s, err
}

// count adds the shapes of a smaller model, which [structure.Remove] inferred and
// compared.
func (p *ShapeProof) count(g *graph.Graph) {
	p.Removals++
	for _, n := range g.Nodes {
		p.Shapes += len(n.Out)
	}
}
