package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/certify"
	store "github.com/compactify/compactify/internal/run"
	"github.com/compactify/compactify/internal/words"
	"github.com/spf13/cobra"
)

// certifyFlags are the settings of certify.
type certifyFlags struct {
	dataFlags
	replay, output string
	strict         bool
	examples       int
}

func (a *app) certifyCommand() *cobra.Command {
	var f certifyFlags
	c := &cobra.Command{
		Use:   "certify RUN-FOLDER|MODEL",
		Short: "Check what theory claims of a model on its way to the boundary",
		Long: `Check what theory claims of a model that was trained or walked towards its boundary.

certify trusts the files only: each must have the size and the SHA-256 that the
folder's manifest lists, and the examples must be those that were recorded. Losses,
gradients, norms and curvatures are then computed anew, and what the folder recorded
is held against them.

Every claim has a verdict, the hypotheses it needs and the numbers behind it:
    verified         proved for this model
    supported        numerical evidence within a tolerance
    refuted          a witness contradicts it; --replay computes it again
    not applicable   a hypothesis fails; it is named
    inconclusive     the check ran out of budget or precision

Claims:
    row2   the sublevel set of L + λR lies in a ball
    row3   a minimiser exists
    row4   how far from 0 the model can be
    row5   from which λ on 0 is the global minimiser
    row6   what θ = 0 is to the gradient flow
    row7   whether infinity repels the flow
    row8   whether steps lower the loss, and when not
    row10  whether training came to a critical point
    row11  what holds along a path of penalties
    row12  what pruning by a threshold does

New witnesses go into the folder that --out names, or a fresh one, with the claims.
A folder's examples are opened again from where it says; --data names another place.
For a single MODEL, --data says which examples there are.`,
		Example: "  compactify certify compactify-out-1\n  compactify certify compactify-out-1 --strict --json\n  compactify certify compactify-out-1 --replay compactify-out-1/witness-rise.safetensors\n  compactify certify model.onnx --data digits/",
		Args:    want("RUN-FOLDER|MODEL"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.certify(c.Context(), f, args[0])
		},
	}
	f.add(c)
	flags := c.Flags()
	flags.StringVar(&f.replay, "replay", "", "compute this witness again instead: exit 1 if it does not come out")
	flags.StringVar(&f.output, "output", "", "the output of a single MODEL that answers (default: the first)")
	flags.BoolVar(&f.strict, "strict", false, "exit 4 if a claim is refuted")
	flags.IntVar(&f.examples, "curvature-examples", 0, "examples on which curvature is measured (default: what takes seconds)")
	return c
}

// certification is the JSON object of certify.
type certification struct {
	Subject  string          `json:"subject"`
	Kind     certify.Kind    `json:"kind"`
	Model    string          `json:"model"`
	Verified int             `json:"files_verified"` // against the manifest
	Data     certifiedData   `json:"data"`
	Claims   []certify.Claim `json:"claims"`
	Counts   verdictCounts   `json:"verdicts"`
	Limits   []string        `json:"limits"` // why L is not the very function that training minimised
	Notes    []string        `json:"notes"`
	Out      string          `json:"out,omitempty"` // the folder of new witnesses
	Seed     uint64          `json:"seed"`
}

type certifiedData struct {
	Name     string `json:"name"`
	Examples int    `json:"examples"`
	SHA256   string `json:"sha256"`
}

// verdictCounts are how many claims got each verdict.
type verdictCounts map[compactify.Verdict]int

// subject opens what is to be certified.
func (f *certifyFlags) subject(a *app, path string) (*certify.Subject, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		for _, name := range []string{"eval", "normalize", "raw", "label", "output"} {
			if f.command.Flags().Changed(name) {
				return nil, usage(fmt.Errorf("--%s: of no meaning to a run folder: it says how its examples were read", name))
			}
		}
		from := certify.Source{MaxBytes: int64(a.maxMemory)}
		if f.command.Flags().Changed("data") {
			from.Data = f.data
		}
		return certify.Open(path, from)
	}
	g, _, err := a.readModel(path)
	if err != nil {
		return nil, err
	}
	e, err := f.openFor(a, inputsOf(g))
	if err != nil {
		return nil, err
	}
	f.warnDefault(a, path)
	return certify.OfModel(g, path, e.train, f.output), nil
}

// certify runs the command.
func (a *app) certify(ctx context.Context, f certifyFlags, path string) error {
	if f.examples < 0 {
		return usage(fmt.Errorf("--curvature-examples: got %d, want 1 or more", f.examples))
	}
	s, err := f.subject(a, path)
	if err != nil {
		return err
	}
	o := certify.Options{Pool: a.pool, Seed: a.seed, Examples: f.examples}
	o.Progress = func(id string, done float64) { a.report.progress("certifying "+id, done) }
	if f.replay != "" {
		return a.replayWitness(ctx, s, f.replay, o)
	}
	claims, err := certify.Certify(ctx, s, o)
	if err != nil {
		return err
	}
	r := &certification{Subject: path, Kind: s.Kind, Model: s.File, Verified: s.Files, Claims: claims, Counts: verdictCounts{}, Limits: append([]string{}, s.Limits...),
		Notes: append([]string{}, s.Notes...), Seed: a.seed, Data: certifiedData{s.Set.Name(), s.Set.Len(), s.Set.Hash()}}
	for _, c := range claims {
		r.Counts[c.Verdict]++
	}
	if err := a.keepWitnesses(r); err != nil {
		return err
	}
	if err := a.print(r, func(w io.Writer) { r.text(w) }); err != nil {
		return err
	}
	if i := slices.IndexFunc(claims, func(c certify.Claim) bool { return c.Verdict == compactify.Refuted }); f.strict && i >= 0 {
		return &refutedError{fmt.Sprintf("%s: %s", claims[i].ID, claims[i].Statement)}
	}
	return nil
}

// claimsFile is where a folder of certify has its claims.
const claimsFile = "claims.json"

// keepWitnesses writes new witnesses and the claims, if there are any or a folder was
// named for them.
func (a *app) keepWitnesses(r *certification) error {
	found := slices.ContainsFunc(r.Claims, func(c certify.Claim) bool { return c.Evidence() != nil })
	if !found && a.out == "" {
		return nil
	}
	folder, err := a.folder()
	if err != nil {
		return err
	}
	r.Out = folder.Dir()
	return a.sealed(folder, a.putClaims(folder, r))
}

func (a *app) putClaims(folder *store.Folder, r *certification) error {
	if err := folder.Asked(a.asked()); err != nil {
		return err
	}
	for i, c := range r.Claims {
		if c.Evidence() == nil {
			continue
		}
		file, err := c.Evidence().Encode()
		if err != nil {
			return err
		}
		name := "witness-" + c.ID + ".safetensors"
		if _, err := folder.Put(name, file); err != nil {
			return err
		}
		at := folder.Path(name)
		r.Claims[i].Witness = &at
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		_, err = folder.Put(claimsFile, append(text, '\n'))
	}
	return err
}

// replayWitness computes a witness again.
func (a *app) replayWitness(ctx context.Context, s *certify.Subject, path string, o certify.Options) error {
	file, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	r, err := certify.Replay(ctx, s, file, o)
	if err != nil {
		return fmt.Errorf("witness %q: %w", path, err)
	}
	err = a.print(r, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %s\n\n", r.Claim, r.Statement)
		rows := [][]string{{"figure", "in the witness", "computed again", ""}}
		for _, f := range r.Figures {
			mark := ""
			if !f.OK {
				mark = "differs"
			}
			rows = append(rows, []string{f.Name, words.Significant(float64(f.Recorded), 8), words.Significant(float64(f.Again), 8), mark})
		}
		columns(w, rows)
		if r.Confirmed {
			fmt.Fprintln(w, "\nthe witness comes out again: the claim is refuted")
		}
	})
	if err != nil {
		return err
	}
	if !r.Confirmed {
		return fmt.Errorf("witness %q: %w", path, errNotConfirmed)
	}
	return nil
}

var errNotConfirmed = errors.New("it does not come out again")

// text writes one block per claim.
func (r *certification) text(w io.Writer) {
	fmt.Fprintf(w, "%s", r.Subject)
	if r.Verified > 0 {
		fmt.Fprintf(w, ": %s as the manifest lists them", words.Count(r.Verified, "file", "files"))
	}
	fmt.Fprintf(w, "\n%s on %s of %s\n", r.Model, words.Count(r.Data.Examples, "example", "examples"), r.Data.Name)
	for _, limit := range r.Limits {
		fmt.Fprintf(w, "note      L is not the very function that was minimised: %s\n", limit)
	}
	for _, note := range r.Notes {
		fmt.Fprintf(w, "note      %s\n", note)
	}
	for _, c := range r.Claims {
		fmt.Fprintf(w, "\n%-6s %s\n", c.ID, strings.ToUpper(string(c.Verdict)))
		fmt.Fprintf(w, "    %s\n", c.Statement)
		for _, h := range c.Hypotheses {
			mark := "holds"
			if !h.Holds {
				mark = "fails"
			}
			fmt.Fprintf(w, "    %s   %s\n", mark, h.Text)
		}
		rows := make([][]string, 0, len(c.Numbers))
		for _, n := range c.Numbers {
			rows = append(rows, []string{"    " + strings.ReplaceAll(n.Name, "_", " "), words.Significant(n.Value, 6)})
		}
		columns(w, rows)
		for _, note := range c.Notes {
			fmt.Fprintf(w, "    note    %s\n", note)
		}
		if c.Witness != nil {
			fmt.Fprintf(w, "    witness %s\n", *c.Witness)
		}
	}
	fmt.Fprintln(w)
	for _, v := range []compactify.Verdict{compactify.Verified, compactify.Supported, compactify.Refuted, compactify.NotApplicable, compactify.Inconclusive} {
		if n := r.Counts[v]; n > 0 {
			fmt.Fprintf(w, "%-15s %d\n", v, n)
		}
	}
	if r.Out != "" {
		fmt.Fprintf(w, "claims    %s\n", r.Out)
	}
}
