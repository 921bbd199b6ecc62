package certify

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/jsonnum"
	"github.com/compactify/compactify/tensor"
	"github.com/compactify/compactify/train"
)

// table is a data set of numbers, the last column of each row its label.
func table(t testing.TB, task data.Task, rows ...[]float64) *data.Set {
	t.Helper()
	var text strings.Builder
	for _, row := range rows {
		text.WriteString(strings.Trim(strings.Join(strings.Fields(fmt.Sprint(row)), ","), "[]") + "\n")
	}
	file := filepath.Join(t.TempDir(), "table.csv")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	src, err := data.Open(file, data.Options{Task: task})
	if err != nil {
		t.Fatal(err)
	}
	return src.Train
}

// build makes a model of one flat input.
func build(t testing.TB, in int, body func(b *graph.Builder, x *graph.Value) *graph.Value) *graph.Graph {
	t.Helper()
	g := &graph.Graph{Name: "built", Opset: map[string]int{"": graph.LatestOpset}}
	b := graph.NewBuilder(g, "v")
	g.Outputs = []*graph.Value{body(b, b.Input("x", tensor.Type{DType: tensor.Float32, Shape: []tensor.Dim{tensor.Symbol("N"), tensor.Fixed(in)}}))}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	return g
}

// linear is y = x·w.
func linear(t testing.TB, out int, w ...float32) *graph.Graph {
	return build(t, len(w)/out, func(b *graph.Builder, x *graph.Value) *graph.Value {
		return b.Op("MatMul", x, b.Param("w", tensor.Of(w, len(w)/out, out)))
	})
}

// ridgeSet is X = diag(1, 2), y = (1, 1): the mean over two examples of (y − Xθ)² is
// RSS/2, so that L + λ‖θ‖² is the ridge problem of oracle 1 and H = diag(1, 4).
func ridgeSet(t testing.TB) *data.Set {
	return table(t, data.Regress, []float64{1, 0, 1}, []float64{0, 2, 1})
}

// ridgeAt is the minimiser of oracle 1: σ_i(u_iᵀy)/(σ_i² + 2λ).
func ridgeAt(lambda float64) (a, b float64) { return 1 / (1 + 2*lambda), 2 / (4 + 2*lambda) }

// product is x·u·v, on one example that makes L = ½(uv − 1)² (oracle 5).
func product(t testing.TB, u, v float32) (*graph.Graph, *data.Set) {
	g := build(t, 1, func(b *graph.Builder, x *graph.Value) *graph.Value {
		h := b.Op("MatMul", x, b.Param("u", tensor.Of([]float32{u}, 1, 1)))
		return b.Op("MatMul", h, b.Param("v", tensor.Of([]float32{v}, 1, 1)))
	})
	return g, table(t, data.Regress, []float64{math.Sqrt(0.5), math.Sqrt(0.5)})
}

// squared is x·θ·θ, on one example that makes L = (θ² − 1)² (oracle 6).
func squared(t testing.TB, theta float32) (*graph.Graph, *data.Set) {
	g := build(t, 1, func(b *graph.Builder, x *graph.Value) *graph.Value {
		w := b.Param("theta", tensor.Of([]float32{theta}, 1, 1))
		return b.Op("MatMul", b.Op("MatMul", x, w), w)
	})
	return g, table(t, data.Regress, []float64{1, 1})
}

// penalised is the subject of a model under one penalty.
func penalised(t testing.TB, g *graph.Graph, set *data.Set, kind train.PenaltyKind, lambda float64) *Subject {
	t.Helper()
	s := OfModel(g, "model.onnx", set, "")
	if lambda > 0 {
		s.Penalties = []train.Penalty{{Kind: kind, Lambda: train.Always(lambda)}}
	}
	return s
}

// judged certifies and indexes the claims by id.
func judged(t testing.TB, s *Subject) map[string]Claim {
	t.Helper()
	claims, err := Certify(context.Background(), s, Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	if len(claims) != len(ids) {
		t.Fatalf("claims: got %d, want %d", len(claims), len(ids))
	}
	byID := make(map[string]Claim)
	for _, c := range claims {
		byID[c.ID] = c
	}
	return byID
}

// check compares verdict and figures of a claim.
func check(t testing.TB, c Claim, verdict any, tolerance float64, want map[string]float64) {
	t.Helper()
	if fmt.Sprint(c.Verdict) != fmt.Sprint(verdict) {
		t.Errorf("%s: got %s (%v, %v), want %v", c.ID, c.Verdict, c.Hypotheses, c.Notes, verdict)
	}
	for name, x := range want {
		got := c.Numbers.Get(name)
		if !(math.Abs(got-x) <= tolerance*(1+math.Abs(x))) && got != x {
			t.Errorf("%s: %s: got %v, want %v (%v)", c.ID, name, got, x, c.Numbers)
		}
	}
}

func holds(t testing.TB, c Claim, part string) bool {
	t.Helper()
	for _, h := range c.Hypotheses {
		if strings.Contains(h.Text, part) {
			return h.Holds
		}
	}
	t.Errorf("%s: got no hypothesis about %q in %v", c.ID, part, c.Hypotheses)
	return false
}

func noted(c Claim, part string) bool {
	return strings.Contains(strings.Join(c.Notes, "\n"), part)
}

func num(x float64) jsonnum.Float { return jsonnum.Float(x) }
