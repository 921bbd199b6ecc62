package published

import (
	"context"
	"testing"

	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/paths"
	"github.com/compactify/compactify/tensor"
	"github.com/compactify/compactify/train"
)

// TestOneBitIsExact: what deterministic BinaryConnect trains is already at the end of
// the path of fewer bits, α·sign θ with α = mean|θ|: rounding to one bit changes no
// weight.
func TestOneBitIsExact(t *testing.T) {
	src := small(t)
	_, o := tiny().Rows[1].Recipe(Quick)
	pool := kernel.NewPool(1, kernel.Best())
	o.Pool = pool
	g, err := train.Architecture{Name: "lenet5", BatchNorm: true}.Model(src.Train.Shape(), src.Train.Classes(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if g, _, err = train.Run(context.Background(), g, src.Train, o); err != nil {
		t.Fatal(err)
	}
	g = train.Finish(g)
	p, err := paths.NewQuantize(g, paths.Options{Pool: pool})
	if err != nil {
		t.Fatal(err)
	}
	one, err := p.At(context.Background(), 1)
	if err != nil {
		t.Fatal(err)
	}
	layers := g.Layers()
	for _, l := range layers {
		stored, ok := paths.StoredWeight(one, l, paths.Scheme{Bits: 1})
		if !ok {
			t.Fatalf("%s: not stored in integers", l.Name())
		}
		for i, want := range tensor.Data[float32](l.Param.Data) {
			if got := float32(stored.At(i)); got != want {
				t.Fatalf("%s: weight %d: got %v, want %v", l.Name(), i, got, want)
			}
		}
	}
	if len(layers) != 5 {
		t.Errorf("got %d layers, want 5", len(layers))
	}
}
