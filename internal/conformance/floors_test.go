package conformance

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/compactify/compactify"

// root is the module's folder.
const root = "../.."

// readFloors reads the table of ARCHITECTURE.md.
func readFloors(t *testing.T) map[string]int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	floors := make(map[string]int)
	for _, m := range regexp.MustCompile("(?m)^\\| ([0-9]) \\| `([^`]+)` \\|").FindAllStringSubmatch(string(text), -1) {
		floor, _ := strconv.Atoi(m[1])
		floors[m[2]] = floor
	}
	if len(floors) < 10 {
		t.Fatalf("floors in ARCHITECTURE.md: got %d rows, want the whole table", len(floors))
	}
	return floors
}

// TestFloors fails on an import that does not run downward in the table of
// ARCHITECTURE.md. Test files may look anywhere.
func TestFloors(t *testing.T) {
	floors := readFloors(t)
	seen := make(map[string]bool)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && len(d.Name()) > 2 || d.Name() == "testdata" || d.Name() == "bench" || d.Name() == "testkit") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		pkg := packageOf(path)
		seen[pkg] = true
		floor, known := floors[pkg]
		if !known {
			t.Errorf("%s: package %s is not in the table of ARCHITECTURE.md", path, pkg)
			return nil
		}
		if strings.HasSuffix(path, "_test.go") {
			return nil
		}
		for _, imported := range importsOf(t, path) {
			if below, ok := floors[imported]; !ok || below >= floor {
				t.Errorf("%s: floor %d imports %s, floor %d: want a lower floor", path, floor, imported, below)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range floors {
		if !seen[pkg] {
			t.Errorf("ARCHITECTURE.md lists %s, which has no Go files", pkg)
		}
	}
}

// packageOf names the package of a file as the table does.
func packageOf(path string) string {
	dir, _ := filepath.Rel(root, filepath.Dir(path))
	if dir == "." {
		return "compactify"
	}
	return filepath.ToSlash(dir)
}

// importsOf lists the module's own packages that a file imports.
func importsOf(t *testing.T, path string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, spec := range f.Imports {
		name, _ := strconv.Unquote(spec.Path.Value)
		switch {
		case name == module:
			list = append(list, "compactify")
		case strings.HasPrefix(name, module+"/"):
			list = append(list, strings.TrimPrefix(name, module+"/"))
		}
	}
	return list
}
