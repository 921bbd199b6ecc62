package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/compactify/compactify/compress"
	"github.com/spf13/cobra"
)

// root is the command line: the commands with the flags they share.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "compactify",
		Short: "Make a trained model smaller, within a budget that is measured",
		Long: `Compactify makes a trained model smaller and tells you what that cost.

You give it an ONNX model, examples, and a budget such as "accuracy may fall by
one percentage point". It looks for the smallest model inside the budget, writes
it as ONNX, reads the file back, and measures it once on examples that were never
used before. What it promises is what it measured.

Without a model of your own, try it on a small one that it trains first:

    compactify run

Exit status:
    0    done
    1    error; nothing half-written is left behind
    2    wrong usage
    3    nothing fits the budget (or --max-bytes); what would fit is said
    4    a claim was refuted (only with --strict)
    130  stopped by Ctrl-C; the best model so far is kept`,
		Example:       "  compactify run\n  compactify run model.onnx --data digits/ --budget 0.5pp\n  compactify inspect model.onnx",
		Version:       compress.Version,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetHelpCommand(helpCommand(root))
	f := root.PersistentFlags()
	f.BoolVar(&a.json, "json", a.json, "print exactly one JSON object instead of text")
	f.Uint64Var(&a.seed, "seed", 1, "names every random draw: equal seeds give equal files")
	f.IntVar(&a.threads, "threads", 0, "threads to use; 0 means all cores; does not change results")
	f.StringVar(&a.out, "out", "", "where to write (default: a fresh folder compactify-out-1, -2, …)")
	f.BoolVar(&a.force, "force", false, "write into a folder or over a file that already holds something")
	f.Var(&a.maxMemory, "max-memory", "use at most this much memory, such as 2GB: what needs more is refused before the work, or stopped")
	f.Var(&a.maxBytes, "max-bytes", "a result larger than this, such as 20kB, is none (exit 3)")
	f.StringVar(&a.kernel, "kernel", "auto", "instructions to compute with: auto, avx512, avx2 or portable")
	f.BoolVar(&a.quiet, "quiet", false, "no progress and no notes on standard error")
	root.AddCommand(a.runCommand(), a.walkCommand(), a.blameCommand(), a.trainCommand(), a.inspectCommand(), a.convertCommand(), a.certifyCommand(), a.linearCommand(), a.reproduceCommand())
	return root
}

// helpCommand explains a command; unlike cobra's own it fails on an unknown one.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Explain a command",
		Args:  want("[COMMAND]"),
		RunE: func(_ *cobra.Command, args []string) error {
			c, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return usage(fmt.Errorf("help: command %q: unknown", args[0]))
			}
			return c.Help()
		},
	}
}

// byteCount is a size given on the command line.
type byteCount int64

// units are the suffixes of sizes; longest first, so that a suffix is not taken
// for the end of another.
var units = []struct {
	suffix string
	factor float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
	{"k", 1e3}, {"K", 1e3}, {"M", 1e6}, {"G", 1e9}, {"T", 1e12}, {"B", 1}, {"", 1},
}

// Set reads "20kB", "1.5 GiB" or a number of bytes.
func (n *byteCount) Set(s string) error {
	for _, u := range units {
		number, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		x, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || !(x > 0) || x*u.factor > math.MaxInt64/2 {
			break
		}
		*n = byteCount(x * u.factor)
		return nil
	}
	return fmt.Errorf("got %q, want a positive size such as 20kB or 1.5GiB", s)
}

func (n *byteCount) String() string {
	if *n == 0 {
		return ""
	}
	return strconv.FormatInt(int64(*n), 10)
}

// Type implements pflag.Value.
func (n *byteCount) Type() string { return "SIZE" }
