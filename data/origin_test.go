package data

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOriginAgain: the part that was taken is found again from JSON, and another
// set under the same name is not taken for it.
func TestOriginAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rows.csv")
	write := func(first string) {
		t.Helper()
		rows := strings.Repeat(first+"3,4,b\n5,6,a\n", 7)
		if err := os.WriteFile(file, []byte(rows), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("1,2,a\n")
	src, err := Open(file, Options{})
	if err != nil {
		t.Fatal(err)
	}
	part := Split(Split(src.Train, []float64{0.8, 0.2}, 3, "held-out")[0], []float64{0.75, 0.25}, 3, "selection")[0]
	o := Origin{Source: file, Cuts: []Cut{{[]float64{0.8, 0.2}, 3, "held-out", 0}, {[]float64{0.75, 0.25}, 3, "selection", 0}}}.Describe(part)
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	var back Origin
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	again, err := back.Open("", 0)
	if err != nil {
		t.Fatal(err)
	}
	if again.Hash() != part.Hash() || again.Len() != part.Len() {
		t.Errorf("again: got %d examples, want the same %d", again.Len(), part.Len())
	}
	write("1,9,a\n")
	if _, err := back.Open("", 0); err == nil || !strings.Contains(err.Error(), "SHA-256 of the examples") {
		t.Errorf("changed examples: got error %v, want their hashes in it", err)
	}
}

// TestOriginRefuses: what a file says is not trusted.
func TestOriginRefuses(t *testing.T) {
	for _, c := range []Cut{
		{[]float64{0.5}, 1, "x", 1}, {[]float64{0.5}, 1, "x", -1}, {nil, 1, "x", 0}, {[]float64{math.NaN()}, 1, "x", 0},
		{[]float64{-1, 1}, 1, "x", 0}, {[]float64{1, 1}, 1, "x", 0}, {make([]float64, 100), 1, "x", 0},
	} {
		if _, err := (Origin{Source: "glyphs", Cuts: []Cut{c}}).Open("", 0); err == nil || !strings.Contains(err.Error(), "cut 1") {
			t.Errorf("%v: got error %v, want the cut refused", c, err)
		}
	}
	if _, err := (Origin{Source: "nowhere.csv", Test: true}).Open("", 0); err == nil {
		t.Error("a source that is not there: got no error")
	}
}
