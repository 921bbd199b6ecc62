// Command asm generates the assembly of package kernel with avo.
//
// It writes amd64 code for two sets of instructions from one description each:
// a kernel is a Go function here that emits its loop for a given [isa] and
// number type. Run it with go generate in internal/kernel; -family selects the
// kernels that go into one file.
package main

import (
	"flag"
	"log"
	"maps"
	"slices"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// families are the kernels that go into one file each.
var families = map[string]func(){
	"vector":    matricesAndVectors,
	"conv":      windows,      // convolution and pooling
	"last":      channelsLast, // both, with channels last
	"depthwise": depthwise,
	"winograd":  winograd,
	"forms":     compactForms, // matrices in compact forms
	"int8":      integers,     // 8-bit integers
	"functions": functions,    // of real numbers
	"grids":     grids,        // of levels for weights
	"products":  products,     // of columns in float64

	"functions64": functions64, // of real numbers, in float64
	"rows":        rowKernels,  // extremes and normalisation
}

func main() {
	family := flag.String("family", "vector", "kernels to generate, see families")
	flag.Parse()
	emit, ok := families[*family]
	if !ok {
		log.Fatalf("family %q: unknown, want one of %q", *family, slices.Sorted(maps.Keys(families)))
	}
	ConstraintExpr("amd64")
	emit()
	Generate()
}

// matricesAndVectors emits the kernels of everything but convolution and pooling.
func matricesAndVectors() {
	for _, v := range []isa{avx2, avx512} {
		for _, t := range []number{float32s, float64s} {
			gemmTile(v, t)
			gemmWide(v, t)
			dotTile(v, t)
			copyPanel(v.tileRows * t.bytes)
		}
		copyPanel(tileVectors * v.bytes)
		vectorKernels(v)
		quantize(v)
		dequantize(v)
		sumWide(v)
		addWide(v)
	}
	transposePanel(float32s)
	transposePanel(float64s)
}

// isa is an instruction set: its vectors, and the micro-kernel that fills them.
type isa struct {
	name     string
	bytes    int // of a vector
	tileRows int // rows of a micro-kernel, two vectors wide
	vector   func(i int) reg.VecPhysical
	register func() reg.VecVirtual // any free one
}

var (
	avx2   = isa{"AVX2", 32, 6, func(i int) reg.VecPhysical { return ymm[i] }, YMM}
	avx512 = isa{"AVX512", 64, 14, func(i int) reg.VecPhysical { return zmm[i] }, ZMM}
)

// paramMem is where a parameter lies on the stack.
func paramMem(name string) operand.Mem {
	p, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return p.Addr
}

var (
	ymm = [...]reg.VecPhysical{
		reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7,
		reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15,
	}
	zmm = [...]reg.VecPhysical{
		reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7,
		reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
		reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23,
		reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31,
	}
)
