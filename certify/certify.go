// Package certify checks what theory claims of a model that was trained or walked
// towards its boundary, from the files of its run folder and the data alone.
//
// A [Subject] is what is judged: the folder of train, walk or run, or a single
// model. [Open] verifies every file against the manifest first. [Certify] then
// computes anew: losses, gradients, norms and curvatures come from the models and
// the examples, and what the folder recorded is only compared with them. Each
// [Claim] has a verdict with its hypotheses and the numbers behind it; a refuted one
// has a [Witness], which [Replay] computes again.
//
// The ids of claims are those of the rows of the theory's table of statements:
//
//	row2   the sublevel set of L + λR lies in a ball of a known radius
//	row3   a minimiser exists, and when it is the only one
//	row4   how far from 0 a trained model can be, and whether θ → 0 changes it at all
//	row5   from which λ on 0 is the global minimiser
//	row6   what θ = 0 is to the gradient flow
//	row7   whether the flow points inwards far out
//	row8   the descent of the loss, step by step
//	row10  whether training came to a critical point
//	row11  what holds along a path of penalties
//	row12  what pruning by a threshold does
package certify

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/internal/jsonnum"
	"github.com/compactify/compactify/internal/kernel"
)

// Claim is a statement about the subject and what may be said of it.
type Claim struct {
	ID         string             `json:"id"`
	Statement  string             `json:"statement"`
	Verdict    compactify.Verdict `json:"verdict"`
	Hypotheses []Hypothesis       `json:"hypotheses"`
	Numbers    Numbers            `json:"numbers"`
	Witness    *string            `json:"witness"` // the file that refutes it; null if none does
	Notes      []string           `json:"notes"`   // above all what could not be proved

	evidence *Witness // to be written to a file, if the folder has none
}

// Hypothesis is what a statement supposes.
type Hypothesis struct {
	Text  string `json:"text"`
	Holds bool   `json:"holds"`
}

// Number is a figure behind a verdict.
type Number struct {
	Name  string
	Value float64
}

// Numbers are figures in the order in which they are read best. In JSON they are one
// object.
type Numbers []Number

// Get is the value of a name, NaN if there is none.
func (n Numbers) Get(name string) float64 {
	for _, x := range n {
		if x.Name == name {
			return x.Value
		}
	}
	return math.NaN()
}

// MarshalJSON implements [json.Marshaler].
func (n Numbers) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, x := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(x.Name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(jsonnum.Float(x.Value))
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// UnmarshalJSON implements [json.Unmarshaler].
func (n *Numbers) UnmarshalJSON(text []byte) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return fmt.Errorf("numbers: got %.20q, want an object", text)
	}
	*n = Numbers{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return err
		}
		var value jsonnum.Float
		if err := dec.Decode(&value); err != nil {
			return err
		}
		*n = append(*n, Number{name.(string), float64(value)})
	}
	return nil
}

// Options say how to certify. The zero value works.
type Options struct {
	Pool *kernel.Pool // nil means one thread
	Seed uint64       // of random directions and start vectors

	// Examples bounds those on which curvature is measured, which takes many passes;
	// 0 means 1000. Losses and gradients are of all examples.
	Examples int

	// Progress, if set, is called before each claim with the share of them that is done.
	Progress func(id string, done float64)
}

// ids lists the claims in the order of the theory, with what establishes them.
var ids = []struct {
	id    string
	check func(*judge, context.Context) (Claim, error)
}{
	{"row2", (*judge).sublevel},
	{"row3", (*judge).existence},
	{"row4", (*judge).bounded},
	{"row5", (*judge).arrival},
	{"row6", (*judge).atZero},
	{"row7", (*judge).inwards},
	{"row8", (*judge).descent},
	{"row10", (*judge).convergence},
	{"row11", (*judge).alongPath},
	{"row12", (*judge).pruning},
}

// Certify judges every claim about the subject. The error is one of the
// surroundings: memory, the context, a file; that a claim cannot be decided is a
// verdict.
func Certify(ctx context.Context, s *Subject, o Options) ([]Claim, error) {
	j, err := newJudge(s, o)
	if err != nil {
		return nil, fmt.Errorf("certify %q: %w", s.Name, err)
	}
	claims := make([]Claim, 0, len(ids))
	for i, c := range ids {
		if o.Progress != nil {
			o.Progress(c.id, float64(i)/float64(len(ids)))
		}
		claim, err := c.check(j, ctx)
		if err != nil {
			return nil, fmt.Errorf("certify %q: %s: %w", s.Name, c.id, err)
		}
		claim.ID = c.id
		if claim.evidence != nil {
			if err := settle(ctx, s, j.o, claim.evidence); err != nil {
				return nil, fmt.Errorf("certify %q: %s: witness: %w", s.Name, c.id, err)
			}
		}
		claims = append(claims, claim.complete())
	}
	return claims, nil
}

// complete makes lists of what is nil, for JSON.
func (c Claim) complete() Claim {
	if c.Hypotheses == nil {
		c.Hypotheses = []Hypothesis{}
	}
	if c.Numbers == nil {
		c.Numbers = Numbers{}
	}
	if c.Notes == nil {
		c.Notes = []string{}
	}
	return c
}

// Evidence is the witness that a refuted claim brings, to be written to a file; nil
// if the folder holds it already, or nothing was refuted.
func (c Claim) Evidence() *Witness { return c.evidence }

// add appends a figure.
func (c *Claim) add(name string, value float64) { c.Numbers = append(c.Numbers, Number{name, value}) }

// note says one more thing.
func (c *Claim) note(format string, args ...any) {
	c.Notes = append(c.Notes, fmt.Sprintf(format, args...))
}

// suppose notes a hypothesis and returns whether it holds.
func (c *Claim) suppose(holds bool, format string, args ...any) bool {
	c.Hypotheses = append(c.Hypotheses, Hypothesis{fmt.Sprintf(format, args...), holds})
	return holds
}

// weaken lowers a verdict to another one if that says less.
func (c *Claim) weaken(to compactify.Verdict) {
	rank := map[compactify.Verdict]int{compactify.Verified: 4, compactify.Supported: 3, compactify.Inconclusive: 2, compactify.NotApplicable: 1, compactify.Refuted: 0}
	if c.Verdict == "" || rank[to] < rank[c.Verdict] {
		c.Verdict = to
	}
}
