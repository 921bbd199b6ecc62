package certify

import (
	"slices"
	"strings"

	"github.com/compactify/compactify/data"
)

// asked is a call of the program, as asked.json has it.
type asked struct {
	Command string   `json:"command"`
	Args    []string `json:"args"`
	Seed    uint64   `json:"seed"`
}

// flag is the value of a flag, "" if it was not given.
func (a asked) flag(name string) string {
	value := ""
	for i, arg := range a.Args {
		if rest, ok := strings.CutPrefix(arg, "--"+name+"="); ok {
			value = rest
		} else if arg == "--"+name && i+1 < len(a.Args) {
			value = a.Args[i+1]
		}
	}
	return value
}

// origin is where the examples come from by the flags of the call. It has no hash.
func (a asked) origin() data.Origin {
	o := data.Origin{Source: a.flag("data"), Normalize: a.flag("normalize"), Label: a.flag("label"), Seed: a.Seed,
		Raw: slices.Contains(a.Args, "--raw") || slices.Contains(a.Args, "--raw=true")}
	if o.Source == "" {
		o.Source = "glyphs"
	}
	return o
}

// kind is the kind of path that a call of walk names: its first argument that is no
// flag.
func (a asked) kind() string {
	for i, arg := range a.Args {
		if arg == a.Command && i+1 < len(a.Args) {
			return a.Args[i+1]
		}
	}
	return ""
}
