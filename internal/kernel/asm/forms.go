package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// compactForms emits the kernels of matrices in compact forms. Each takes the
// address of a struct of package kernel that holds its operands; the offsets
// below are those of its fields, eight bytes each.
func compactForms() {
	for _, v := range []isa{avx2, avx512} {
		for _, bits := range []int{4, 2, 1} {
			lowBit(v, bits)
			lowBitExpand(v, bits)
		}
		sparseBlocks(v)
		twoOfFour(v)
		sparseRows(v)
	}
	signsAVX2()
	signsAVX512()
	packSigns()
}

// field is operand i of a struct of operands.
func field(args reg.Register, i int) operand.Mem { return operand.Mem{Base: args, Disp: 8 * i} }

// beginForm opens a kernel and loads the address of its operands.
func beginForm(name, doc string) reg.GPVirtual {
	TEXT(name, NOSPLIT, "func(args *int)")
	Pragma("noescape")
	Doc(name + " " + doc)
	args := GP64()
	Load(Param("args"), args)
	return args
}

// loadField loads an operand into a register of its own.
func loadField(args reg.Register, i int) reg.GPVirtual {
	r := GP64()
	MOVQ(field(args, i), r)
	return r
}

// decoder turns integers of a few bits into float32. A unit is a vector of
// double words whose lowest bits are the levels of eight successive inner
// indices.
type decoder struct {
	isa
	bits  int
	table reg.VecVirtual // AVX-512: the values, by the four lowest bits of an index
	sign  reg.VecVirtual // AVX2, one bit: the sign bit of every lane
	one   reg.VecVirtual // and 1
}

// newDecoder loads the constants.
func newDecoder(v isa, bits int) *decoder {
	d := &decoder{isa: v, bits: bits}
	switch {
	case v.bytes == 64:
		d.table = v.register()
		VMOVUPS(levels(bits), d.table)
	case bits == 1:
		d.sign, d.one = v.register(), v.register()
		VBROADCASTSS(bitConstant("signBit", 0x80000000), d.sign)
		VBROADCASTSS(bitConstant("floatOne", 0x3f800000), d.one)
	}
	return d
}

func bitConstant(name string, bits uint32) operand.Mem {
	if made[name] {
		return operand.NewDataAddr(operand.Symbol{Name: name, Static: true}, 0)
	}
	made[name] = true
	m := GLOBL(name, 8|16) // RODATA | NOPTR
	DATA(0, operand.U32(bits))
	return m
}

// made are the constants that the file has already.
var made = map[string]bool{}

// levels is the table of values by the low bits of an index; what the bits above
// them are does not matter, so that an index need not be masked.
func levels(bits int) operand.Mem {
	name := fmt.Sprintf("levels%d", bits)
	if made[name] {
		return operand.NewDataAddr(operand.Symbol{Name: name, Static: true}, 0)
	}
	made[name] = true
	m := GLOBL(name, 8|16)
	for i := range 16 {
		v := i & (1<<bits - 1)
		switch {
		case bits == 1:
			v = 1 - 2*v
		case v >= 1<<(bits-1):
			v -= 1 << bits
		}
		DATA(4*i, operand.U32(math.Float32bits(float32(v))))
	}
	return m
}

// unit loads vector i of the units at data.
func (d *decoder) unit(data reg.Register, i int) reg.VecVirtual {
	u := d.register()
	m := operand.Mem{Base: data, Disp: i * d.bytes / 4 * d.bits}
	switch d.bits {
	case 4:
		loadIntegers(d.bytes, m, u)
	case 2:
		VPMOVZXWD(m, u)
	case 1:
		VPMOVZXBD(m, u)
	}
	return u
}

// loadIntegers loads a vector of integers.
func loadIntegers(bytes int, m operand.Mem, r reg.VecVirtual) {
	if bytes == 64 {
		VMOVDQU32(m, r)
		return
	}
	VMOVDQU(m, r)
}

// value decodes level j of a unit.
func (d *decoder) value(u reg.VecVirtual, j int) reg.VecVirtual {
	x := d.register()
	at := uint8(j * d.bits)
	if d.bytes == 64 {
		index := u
		if at > 0 {
			VPSRLD(operand.U8(at), u, x)
			index = x
		}
		VPERMPS(d.table, index, x)
		return x
	}
	up := uint8(32-d.bits) - at
	from := u
	if up > 0 {
		VPSLLD(operand.U8(up), u, x)
		from = x
	}
	if d.bits == 1 {
		VPAND(d.sign, from, x)
		VPOR(d.one, x, x)
		return x
	}
	VPSRAD(operand.U8(uint8(32-d.bits)), from, x)
	VCVTDQ2PS(x, x)
	return x
}

// The operands of lowBit, see lowBitArgs of package kernel.
const (
	lowRows = iota
	lowWide
	lowGroups
	lowPerBlock
	lowData
	lowStep
	lowScale
	lowShift
	lowScaleStep
	lowX
	lowXStep
	lowSums
	lowY
	lowYStep
)

// lowBit emits the product of up to four rows with a panel of low-bit weights.
func lowBit(v isa, bits int) {
	name := fmt.Sprintf("lowBit%d%s", bits, v.name)
	args := beginForm(name, fmt.Sprintf("multiplies rows by weights of %d bits; see lowBitArgs.", bits))
	d := newDecoder(v, bits)
	for r := 4; r >= 1; r-- {
		next := fmt.Sprintf("not%d", r)
		CMPQ(field(args, lowRows), operand.U8(uint8(r)))
		JNE(operand.LabelRef(next))
		narrow, wide := lowBitVectors(v, r, false), lowBitVectors(v, r, true)
		if narrow != wide {
			CMPQ(field(args, lowWide), operand.U8(1))
			JE(operand.LabelRef(fmt.Sprintf("wide%d", r)))
			lowBitRows(d, args, r, narrow)
			Label(fmt.Sprintf("wide%d", r))
		}
		lowBitRows(d, args, r, wide)
		Label(next)
	}
	VZEROUPPER()
	RET()
}

// lowBitVectors is how many vectors a wide or narrow kernel of r rows covers.
func lowBitVectors(v isa, r int, wide bool) int {
	switch {
	case v.bytes == 64 && wide:
		return 4
	case v.bytes == 64:
		return 1
	case wide && r == 1:
		return 4
	}
	return 2
}

// lowBitRows emits the loop for r rows and so many vectors of outputs. A lone row
// has two chains of sums, for even and odd inner indices.
func lowBitRows(d *decoder, args reg.Register, r, vectors int) {
	label := func(s string) string { return fmt.Sprintf("%s%dx%d", s, r, vectors) }
	chains := 1
	if r == 1 {
		chains = 2
	}
	groups, data, step := loadField(args, lowGroups), loadField(args, lowData), loadField(args, lowStep)
	scale, shift, sums := loadField(args, lowScale), loadField(args, lowShift), loadField(args, lowSums)
	x, xs := loadField(args, lowX), loadField(args, lowXStep)
	xs3, count := GP64(), GP64()
	LEAQ(operand.Mem{Base: xs, Index: xs, Scale: 2}, xs3)
	rows := [4]operand.Mem{{Base: x}, {Base: x, Index: xs, Scale: 1}, {Base: x, Index: xs, Scale: 2}, {Base: x, Index: xs3, Scale: 1}}
	acc := make([]reg.VecVirtual, r*vectors*chains)
	for i := range acc {
		acc[i] = d.register()
	}
	at := func(row, vec, chain int) reg.VecVirtual { return acc[(row*vectors+vec)*chains+chain] }

	block, loop := label("block"), label("loop")
	Label(block)
	MOVQ(field(args, lowPerBlock), count)
	CMPQ(groups, count)
	CMOVQLT(groups, count)
	SUBQ(count, groups)
	for _, a := range acc {
		VXORPS(a, a, a)
	}
	Label(loop)
	units := make([]reg.VecVirtual, vectors)
	for i := range units {
		units[i] = d.unit(data, i)
	}
	for j := range 8 {
		if r == 1 {
			m := rows[0]
			m.Disp = 4 * j
			xj := d.register()
			VBROADCASTSS(m, xj)
			for i, u := range units {
				VFMADD231PS(d.value(u, j), xj, at(0, i, j%2))
			}
			continue
		}
		values := make([]reg.VecVirtual, vectors)
		for i, u := range units {
			values[i] = d.value(u, j)
		}
		for k, m := range rows[:r] {
			m.Disp = 4 * j
			xj := d.register()
			VBROADCASTSS(m, xj)
			for i := range values {
				VFMADD231PS(values[i], xj, at(k, i, 0))
			}
		}
	}
	ADDQ(operand.U8(32), x)
	ADDQ(step, data)
	DECQ(count)
	JNZ(operand.LabelRef(loop))
	lowBitStore(d, args, label, r, vectors, at, scale, shift, sums)
	ADDQ(field(args, lowScaleStep), scale)
	ADDQ(operand.U8(16), sums)
	TESTQ(groups, groups)
	JNZ(operand.LabelRef(block))
	VZEROUPPER()
	RET()
}

// lowBitStore emits y += scale·sum + shift·Σx for one block, and steps shift.
func lowBitStore(d *decoder, args reg.Register, label func(string) string, r, vectors int, at func(row, vec, chain int) reg.VecVirtual, scale, shift, sums reg.Register) {
	y := loadField(args, lowY)
	for k := range r {
		for i := range vectors {
			sum := at(k, i, 0)
			if r == 1 {
				VADDPS(at(k, i, 1), sum, sum)
			}
			m := operand.Mem{Base: y, Disp: i * d.bytes}
			old := d.register()
			VMOVUPS(m, old)
			VFMADD231PS(operand.Mem{Base: scale, Disp: i * d.bytes}, sum, old)
			VMOVUPS(old, m)
		}
		if k < r-1 {
			ADDQ(field(args, lowYStep), y)
		}
	}
	plain := label("plain")
	TESTQ(shift, shift)
	JZ(operand.LabelRef(plain))
	MOVQ(field(args, lowY), y)
	for k := range r {
		total := d.register()
		VBROADCASTSS(operand.Mem{Base: sums, Disp: 4 * k}, total)
		for i := range vectors {
			m := operand.Mem{Base: y, Disp: i * d.bytes}
			old := d.register()
			VMOVUPS(m, old)
			VFMADD231PS(operand.Mem{Base: shift, Disp: i * d.bytes}, total, old)
			VMOVUPS(old, m)
		}
		if k < r-1 {
			ADDQ(field(args, lowYStep), y)
		}
	}
	ADDQ(field(args, lowScaleStep), shift)
	Label(plain)
}

// The operands of lowBitExpand, see expandArgs of package kernel.
const (
	expandGroups = iota
	expandData
	expandStep
	expandScale
	expandShift
	expandDst
	expandDstStep
	expandWide
)

// lowBitExpand emits dst ← scale·level + shift, one row of outputs for each inner
// index.
func lowBitExpand(v isa, bits int) {
	name := fmt.Sprintf("lowBitExpand%d%s", bits, v.name)
	args := beginForm(name, fmt.Sprintf("turns weights of %d bits into float32; see expandArgs.", bits))
	d := newDecoder(v, bits)
	vectors := []int{2}
	if v.bytes == 64 {
		vectors = []int{2, 1}
	}
	for _, n := range vectors {
		next := fmt.Sprintf("not%d", n)
		if len(vectors) > 1 {
			CMPQ(field(args, expandWide), operand.U8(uint8(n-1)))
			JNE(operand.LabelRef(next))
		}
		groups, data, step := loadField(args, expandGroups), loadField(args, expandData), loadField(args, expandStep)
		scale, shift := loadField(args, expandScale), loadField(args, expandShift)
		dst, dstStep := loadField(args, expandDst), loadField(args, expandDstStep)
		scales, shifts := make([]reg.VecVirtual, n), make([]reg.VecVirtual, n)
		for i := range n {
			scales[i], shifts[i] = v.register(), v.register()
			VMOVUPS(operand.Mem{Base: scale, Disp: i * v.bytes}, scales[i])
			VMOVUPS(operand.Mem{Base: shift, Disp: i * v.bytes}, shifts[i])
		}
		loop := fmt.Sprintf("loop%d", n)
		Label(loop)
		units := make([]reg.VecVirtual, n)
		for i := range units {
			units[i] = d.unit(data, i)
		}
		for j := range 8 {
			for i, u := range units {
				x := d.value(u, j)
				VFMADD213PS(shifts[i], scales[i], x)
				VMOVUPS(x, operand.Mem{Base: dst, Disp: i * v.bytes})
			}
			ADDQ(dstStep, dst)
		}
		ADDQ(step, data)
		DECQ(groups)
		JNZ(operand.LabelRef(loop))
		VZEROUPPER()
		RET()
		Label(next)
	}
	VZEROUPPER()
	RET()
}
