package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// anyBytes draws from the whole range of an 8-bit type.
func anyBytes(r *rand.Rand, d tensor.DType, shape ...int) tensor.Tensor {
	x := tensor.New(d, shape...)
	for i := range x.Raw() {
		x.Raw()[i] = uint8(r.IntN(256))
	}
	return x
}

// MatMulInteger is its definition, for all types, zero points and batches, with
// weights that are constant or not.
func TestMatMulInteger(t *testing.T) {
	const batch, m, k, n = 2, 5, 37, 19
	types := []tensor.DType{tensor.Uint8, tensor.Int8}
	for i, a := range types {
		for j, b := range types {
			for _, c := range []struct {
				name   string
				zeroA  []int // shapes; nil: omitted
				zeroB  []int
				w      []int
				inputs int
			}{
				{"no zero points", nil, nil, []int{k, n}, 1},
				{"one each", []int{}, []int{}, []int{k, n}, 1},
				{"one each for rows and columns", []int{m}, []int{n}, []int{k, n}, 1},
				{"weights of the run", []int{}, []int{n}, []int{k, n}, 4},
				{"a batch of weights", []int{1}, []int{}, []int{batch, k, n}, 4},
			} {
				t.Run(fmt.Sprintf("%v·%v/%s", a, b, c.name), func(t *testing.T) {
					r := rand.New(rand.NewPCG(uint64(i), uint64(j)))
					in := []tensor.Tensor{anyBytes(r, a, batch, m, k), anyBytes(r, b, c.w...), {}, {}}
					if c.zeroA != nil {
						in[2] = anyBytes(r, a, c.zeroA...)
					}
					if c.zeroB != nil {
						in[3] = anyBytes(r, b, c.zeroB...)
					}
					got := run(t, Options{}, "MatMulInteger", nil, 1, c.inputs, in...)[0]
					zero := func(z tensor.Tensor, at int) int {
						if z.IsZero() {
							return 0
						}
						return int(z.At(at % z.Len()))
					}
					want := make([]int32, batch*m*n)
					for at := range want {
						row, col := at/n, at%n
						base := 0
						if len(c.w) == 3 {
							base = at / (m * n) * k * n
						}
						for p := range k {
							x := int(in[0].At(row*k+p)) - zero(in[2], row%m)
							w := int(in[1].At(base+p*n+col)) - zero(in[3], col)
							want[at] += int32(x * w)
						}
					}
					if !slices.Equal(tensor.Data[int32](got), want) {
						t.Error("sums differ from the definition")
					}
				})
			}
		}
	}
}

// ConvInteger is the lowering to reals, which float64 holds exactly.
func TestConvInteger(t *testing.T) {
	at := graph.Attributes{graph.Ints("pads", 1, 1, 0, 1), graph.Ints("strides", 2, 1)}
	for i, d := range []tensor.DType{tensor.Uint8, tensor.Int8} {
		for fixed := 1; fixed <= 4; fixed += 3 {
			r := rand.New(rand.NewPCG(uint64(i), 5))
			x, w := anyBytes(r, d, 2, 3, 8, 7), anyBytes(r, tensor.Uint8, 5, 3, 3, 3)
			zx, zw := anyBytes(r, d), anyBytes(r, tensor.Uint8, 5)
			got := run(t, Options{}, "ConvInteger", at, 1, fixed, x, w, zx, zw)[0]
			real := func(t, zero tensor.Tensor, per int) tensor.Tensor {
				y := tensor.New(tensor.Float64, t.Shape()...)
				for i := range t.Len() {
					y.Set(i, t.At(i)-zero.At(i/per%zero.Len()))
				}
				return y
			}
			want := run(t, Options{}, "Conv", at, 1, 2, real(x, zx, 1), real(w, zw, 27))[0]
			if !slices.Equal(got.Float64s(), want.Float64s()) {
				t.Errorf("%v, %d inputs that are not constant: sums differ from those of reals", d, fixed)
			}
		}
	}
}
