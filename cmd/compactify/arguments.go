package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// want accepts exactly the named arguments; those in brackets may be missing.
func want(names ...string) cobra.PositionalArgs {
	least := 0
	for _, n := range names {
		if !strings.HasPrefix(n, "[") {
			least++
		}
	}
	return func(c *cobra.Command, args []string) error {
		if len(args) < least || len(args) > len(names) {
			expected := strings.Join(names, " ")
			if expected == "" {
				expected = "none"
			}
			return fmt.Errorf("%s: arguments: got %d, want %s", c.Name(), len(args), expected)
		}
		return nil
	}
}
