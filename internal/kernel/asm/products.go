package main

import (
	"fmt"
	"strings"
	"sync"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// productLanes is the number of lanes of an inner product in float64, the same in
// all sets: element i belongs to lane i mod productLanes.
const productLanes = 16

// products emits the loops over columns of float64: inner products and multiples
// added up. Products are rounded before they are added.
func products() {
	for _, v := range []isa{avx2, avx512} {
		innerProducts(v, 1, 1)
		if v.bytes == 64 {
			innerProducts(v, 4, 1)
			innerProducts(v, 4, 2)
			innerProducts(v, 2, 4)
		} else {
			innerProducts(v, 2, 1) // what its registers hold
		}
		weightedDot(v)
		weightedMoments(v)
		addMultiples(v, 1)
		addMultiples(v, 4)
		addWeighted(v)
		weightedCentre(v)
		rotation(v)
	}
}

// columnLoop emits a walk over n elements in steps of [productLanes], the last of
// them masked.
type columnLoop struct {
	isa
	off  reg.GPVirtual
	mask []reg.OpmaskVirtual // of the parts of a step
	lane reg.GPVirtual       // where the masks of the parts lie
	tail bool
	part int
}

// pointers loads parameters.
func pointers(names ...string) []reg.GPVirtual {
	out := make([]reg.GPVirtual, len(names))
	for i, name := range names {
		out[i] = GP64()
		Load(Param(name), out[i])
	}
	return out
}

// run calls body for each part of a step: once for whole steps, once for the rest.
func (l *columnLoop) run(body func(part int)) {
	n := GP64()
	Load(Param("n"), n)
	l.off = GP64()
	XORQ(l.off, l.off)
	step := func() {
		for l.part = 0; l.part < 8*productLanes/l.bytes; l.part++ {
			body(l.part)
		}
	}
	SUBQ(operand.U8(productLanes), n)
	JLT(operand.LabelRef("rest"))
	Label("loop")
	step()
	ADDQ(operand.U32(8*productLanes), l.off)
	SUBQ(operand.U8(productLanes), n)
	JGE(operand.LabelRef("loop"))
	Label("rest")
	ADDQ(operand.U8(productLanes), n)
	JZ(operand.LabelRef("done"))
	l.masks(n)
	l.tail = true
	step()
	l.tail = false
	Label("done")
}

// productTail is a step's lanes with all bits set, then as many with none.
var productTail = sync.OnceValue(func() operand.Mem {
	table := GLOBL("productTail", 8|16) // RODATA | NOPTR
	for i := range 2 * productLanes {
		bits := operand.U64(0)
		if i < productLanes {
			bits = ^bits
		}
		DATA(8*i, bits)
	}
	return table
})

// masks prepares those of the n < productLanes last elements.
func (l *columnLoop) masks(n reg.GPVirtual) {
	if l.bytes == 32 {
		l.lane = GP64()
		LEAQ(productTail(), l.lane)
		NEGQ(n)
		LEAQ(operand.Mem{Base: l.lane, Index: n, Scale: 8, Disp: 8 * productLanes}, l.lane)
		return
	}
	bits := GP64()
	MOVQ(operand.U32(1), bits)
	MOVQ(n, reg.RCX)
	SHLQ(reg.CL, bits)
	DECQ(bits)
	l.mask = []reg.OpmaskVirtual{K(), K()}
	KMOVW(bits.As32(), l.mask[0])
	SHRQ(operand.U8(8), bits)
	KMOVW(bits.As32(), l.mask[1])
}

func (l *columnLoop) at(p reg.GPVirtual) operand.Mem {
	return operand.Mem{Base: p, Index: l.off, Scale: 1, Disp: l.part * l.bytes}
}

// load reads the current part, zeros past the end.
func (l *columnLoop) load(p reg.GPVirtual) reg.VecVirtual {
	x := l.register()
	switch {
	case !l.tail:
		VMOVUPD(l.at(p), x)
	case l.bytes == 64:
		VMOVUPD_Z(l.at(p), l.mask[l.part], x)
	default:
		VMASKMOVPD(l.at(p), l.laneMask(), x)
	}
	return x
}

func (l *columnLoop) laneMask() reg.VecVirtual {
	m := l.register()
	VMOVUPD(operand.Mem{Base: l.lane, Disp: l.part * l.bytes}, m)
	return m
}

func (l *columnLoop) store(x reg.VecVirtual, p reg.GPVirtual) {
	switch {
	case !l.tail:
		VMOVUPD(x, l.at(p))
	case l.bytes == 64:
		VMOVUPD(x, l.mask[l.part], l.at(p))
	default:
		VMASKMOVPD(x, l.laneMask(), l.at(p))
	}
}

// sums are accumulators of so many inner products, part after part.
func (l *columnLoop) sums(count int) [][]reg.VecVirtual {
	out := make([][]reg.VecVirtual, count)
	for i := range out {
		for range 8 * productLanes / l.bytes {
			r := l.register()
			VXORPD(r, r, r)
			out[i] = append(out[i], r)
		}
	}
	return out
}

// fold adds up lanes by halves and stores the sums one after the other at out.
func (l *columnLoop) fold(sums [][]reg.VecVirtual, out reg.GPVirtual) {
	quarter := make([]reg.VecVirtual, len(sums))
	for i, parts := range sums {
		for half := len(parts) / 2; half > 0; half /= 2 {
			for p := range half {
				VADDPD(parts[p+half], parts[p], parts[p])
			}
		}
		quarter[i] = parts[0].AsY().(reg.VecVirtual)
		if l.bytes == 64 {
			high := YMM()
			VEXTRACTF64X4(operand.U8(1), parts[0], high)
			VADDPD(high, quarter[i], quarter[i])
		}
	}
	for ; len(quarter) >= 4; quarter = quarter[4:] {
		foldFour(quarter, out)
		ADDQ(operand.U8(32), out)
	}
	for i, q := range quarter {
		high, low := XMM(), q.AsX()
		VEXTRACTF128(operand.U8(1), q, high)
		VADDPD(high, low, low)
		VUNPCKHPD(low, low, high)
		VADDSD(high, low, low)
		VMOVSD(low, operand.Mem{Base: out, Disp: 8 * i})
	}
}

// foldFour adds up the lanes of four registers at once.
func foldFour(r []reg.VecVirtual, out reg.GPVirtual) {
	pair := func(a, b reg.VecVirtual) {
		low := YMM()
		VPERM2F128(operand.U8(0x20), b, a, low)
		VPERM2F128(operand.U8(0x31), b, a, a)
		VADDPD(a, low, a)
	}
	pair(r[0], r[2])
	pair(r[1], r[3])
	VHADDPD(r[1], r[0], r[0])
	VMOVUPD(r[0], operand.Mem{Base: out})
}

// innerProducts emits those of some columns with some vectors.
func innerProducts(v isa, columns, vectors int) {
	name := fmt.Sprintf("dots%dx%d%s", columns, vectors, v.name)
	var names []string
	for i := range columns {
		names = append(names, fmt.Sprintf("x%d", i))
	}
	for i := range vectors {
		names = append(names, fmt.Sprintf("v%d", i))
	}
	next := ""
	if columns > 1 {
		next = fmt.Sprintf(", next *[%d]*float64", columns)
	}
	TEXT(name, NOSPLIT, fmt.Sprintf("func(n int, %s *float64%s, out *float64)", strings.Join(names, ", "), next))
	Pragma("noescape")
	doc := fmt.Sprintf("%s sets out[c·%d+k] to Σ_i xc[i]·vk[i] for i < n", name, vectors)
	if columns > 1 {
		doc += " and fetches what next points to meanwhile"
	}
	Doc(doc + ".")
	p := pointers(names...)
	l := &columnLoop{isa: v}
	var ahead []reg.GPVirtual
	if columns > 1 {
		list := pointers("next")[0]
		for c := range columns {
			ahead = append(ahead, GP64())
			MOVQ(operand.Mem{Base: list, Disp: 8 * c}, ahead[c])
		}
	}
	sums := l.sums(columns * vectors)
	l.run(func(part int) {
		var w []reg.VecVirtual
		for k := range vectors {
			w = append(w, l.load(p[columns+k]))
		}
		for c := range columns {
			x := l.load(p[c])
			if ahead != nil && !l.tail && part*l.bytes%64 == 0 {
				PREFETCHT0(l.at(ahead[c]))
			}
			for k := range vectors {
				sum, product := sums[c*vectors+k][part], l.register()
				VMULPD(w[k], x, product)
				VADDPD(product, sum, sum)
			}
		}
	})
	out := pointers("out")[0]
	l.fold(sums, out)
	VZEROUPPER()
	RET()
}

// weightedDot emits Σ (w·x)·v.
func weightedDot(v isa) {
	name := "weightedDot" + v.name
	TEXT(name, NOSPLIT, "func(n int, w, x, v, out *float64)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s sets out[0] to Σ_i w[i]·x[i]·v[i] for i < n.", name))
	p := pointers("w", "x", "v", "out")
	l := &columnLoop{isa: v}
	sums := l.sums(1)
	l.run(func(part int) {
		product, sum := l.load(p[0]), sums[0][part]
		VMULPD(l.load(p[1]), product, product)
		VMULPD(l.load(p[2]), product, product)
		VADDPD(product, sum, sum)
	})
	l.fold(sums, p[3])
	VZEROUPPER()
	RET()
}

// weightedMoments emits Σ w·(x−c) and Σ (w·(x−c))·(x−c).
func weightedMoments(v isa) {
	name := "weightedMoments" + v.name
	TEXT(name, NOSPLIT, "func(n int, w, x *float64, c float64, out *float64)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s sets out[k] to Σ_i w[i]·(x[i]−c)ᵏ⁺¹ for k < 2, i < n.", name))
	p := pointers("w", "x", "out")
	l := &columnLoop{isa: v}
	center := l.register()
	VBROADCASTSD(paramMem("c"), center)
	sums := l.sums(2)
	l.run(func(part int) {
		x, product := l.load(p[1]), l.load(p[0])
		VSUBPD(center, x, x)
		VMULPD(x, product, product)
		VADDPD(product, sums[0][part], sums[0][part])
		VMULPD(x, product, product)
		VADDPD(product, sums[1][part], sums[1][part])
	})
	l.fold(sums, p[2])
	VZEROUPPER()
	RET()
}

// addMultiples emits dst ← dst + Σ_c a[c]·xc, one column after the other.
func addMultiples(v isa, columns int) {
	name := fmt.Sprintf("axpy%d%s", columns, v.name)
	names := []string{"dst", "a"}
	for c := range columns {
		names = append(names, fmt.Sprintf("x%d", c))
	}
	TEXT(name, NOSPLIT, fmt.Sprintf("func(n int, %s *float64)", strings.Join(names, ", ")))
	Pragma("noescape")
	Doc(fmt.Sprintf("%s adds Σ_c a[c]·xc[i] to dst[i] for c < %d, i < n.", name, columns))
	p := pointers(names...)
	factors := make([]reg.VecVirtual, columns)
	for c := range factors {
		factors[c] = v.register()
		VBROADCASTSD(operand.Mem{Base: p[1], Disp: 8 * c}, factors[c])
	}
	l := &columnLoop{isa: v}
	l.run(func(int) {
		sum := l.load(p[0])
		for c, factor := range factors {
			x := l.load(p[2+c])
			VMULPD(factor, x, x)
			VADDPD(x, sum, sum)
		}
		l.store(sum, p[0])
	})
	VZEROUPPER()
	RET()
}

// addWeighted emits dst ← dst + (a·x)·w.
func addWeighted(v isa) {
	name := "weightedAxpy" + v.name
	TEXT(name, NOSPLIT, "func(n int, dst *float64, a float64, w, x *float64)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s adds a·x[i]·w[i] to dst[i] for i < n.", name))
	p := pointers("dst", "w", "x")
	factor := v.register()
	VBROADCASTSD(paramMem("a"), factor)
	l := &columnLoop{isa: v}
	l.run(func(int) {
		x, sum := l.load(p[2]), l.load(p[0])
		VMULPD(factor, x, x)
		VMULPD(l.load(p[1]), x, x)
		VADDPD(x, sum, sum)
		l.store(sum, p[0])
	})
	VZEROUPPER()
	RET()
}

// weightedCentre emits dst ← ((x − c)·a)·w.
func weightedCentre(v isa) {
	name := "weightedCentre" + v.name
	TEXT(name, NOSPLIT, "func(n int, dst, x *float64, c, a float64, w *float64)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s sets dst[i] to (x[i]−c)·a·w[i] for i < n.", name))
	p := pointers("dst", "x", "w")
	center, factor := v.register(), v.register()
	VBROADCASTSD(paramMem("c"), center)
	VBROADCASTSD(paramMem("a"), factor)
	l := &columnLoop{isa: v}
	l.run(func(int) {
		x := l.load(p[1])
		VSUBPD(center, x, x)
		VMULPD(factor, x, x)
		VMULPD(l.load(p[2]), x, x)
		l.store(x, p[0])
	})
	VZEROUPPER()
	RET()
}

// rotation emits a, b ← cos·a − sin·b, cos·b + sin·a.
func rotation(v isa) {
	name := "rotate" + v.name
	TEXT(name, NOSPLIT, "func(n int, a, b *float64, cos, sin float64)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s sets a[i] and b[i] to cos·a[i] − sin·b[i] and cos·b[i] + sin·a[i] for i < n.", name))
	p := pointers("a", "b")
	cos, sin := v.register(), v.register()
	VBROADCASTSD(paramMem("cos"), cos)
	VBROADCASTSD(paramMem("sin"), sin)
	l := &columnLoop{isa: v}
	l.run(func(int) {
		a, b := l.load(p[0]), l.load(p[1])
		newA, newB := v.register(), v.register()
		VMULPD(cos, a, newA)
		VMULPD(cos, b, newB)
		VMULPD(sin, a, a)
		VMULPD(sin, b, b)
		VSUBPD(b, newA, newA)
		VADDPD(a, newB, newB)
		l.store(newA, p[0])
		l.store(newB, p[1])
	})
	VZEROUPPER()
	RET()
}
