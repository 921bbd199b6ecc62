package atomicfile

import (
	"os"
	"path/filepath"
	"testing"
)

func TestCommitAndDiscard(t *testing.T) {
	tests := []struct {
		name string
		end  func(*File) error
		want string
	}{
		{"commit replaces", (*File).Commit, "new"},
		{"discard keeps", func(f *File) error { f.Discard(); return nil }, "old"},
		{"commit then discard replaces", func(f *File) error { err := f.Commit(); f.Discard(); return err }, "new"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "x")
			if err := os.WriteFile(path, []byte("old"), 0o666); err != nil {
				t.Fatal(err)
			}
			f, err := Create(path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write([]byte("new")); err != nil {
				t.Fatal(err)
			}
			if got, _ := os.ReadFile(path); string(got) != "old" {
				t.Errorf("before the end: got %q, want %q", got, "old")
			}
			if err := tt.end(f); err != nil {
				t.Fatal(err)
			}
			if got, _ := os.ReadFile(path); string(got) != tt.want {
				t.Errorf("content: got %q, want %q", got, tt.want)
			}
			if list, _ := os.ReadDir(dir); len(list) != 1 {
				t.Errorf("folder: got %d files, want the one", len(list))
			}
		})
	}
}

func TestCommitFailureLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x")
	f, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	// A folder that is not empty cannot be replaced by a file.
	if err := os.MkdirAll(filepath.Join(path, "inside"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); err == nil {
		t.Error("commit onto a folder: got no error")
	}
	if list, _ := os.ReadDir(dir); len(list) != 1 {
		t.Errorf("folder: got %d entries, want 1", len(list))
	}
}

func TestCreateInMissingFolder(t *testing.T) {
	if _, err := Create(filepath.Join(t.TempDir(), "none", "x")); err == nil {
		t.Error("got no error")
	}
}
