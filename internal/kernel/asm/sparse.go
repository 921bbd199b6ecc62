package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// blockLanes is the number of outputs in a block of a sparse matrix, and in a
// panel of every form.
const blockLanes = 16

// The operands of sparseBlocks, see blockArgs of package kernel.
const (
	blockRows = iota
	blockCount
	blockIndex
	blockData
	blockX
	blockXStep
	blockY
	blockYStep
	blockBias
)

// sparseBlocks emits the product of a few rows with a panel of blocks of sixteen
// outputs by one inner index. Few rows have several chains of sums.
func sparseBlocks(v isa) {
	most, parts := 12, blockLanes*4/v.bytes
	if v.bytes == 32 {
		most = 6
	}
	args := beginForm("sparseBlocks"+v.name, fmt.Sprintf("multiplies up to %d rows by blocks of %d outputs; see blockArgs.", most, blockLanes))
	for r := most; r >= 1; r-- {
		next := fmt.Sprintf("not%d", r)
		CMPQ(field(args, blockRows), operand.U8(uint8(r)))
		JNE(operand.LabelRef(next))
		sparseBlockRows(v, args, r, parts)
		Label(next)
	}
	VZEROUPPER()
	RET()
}

// blockChains is how many chains of sums r rows have: 4 for one, 2 for two.
func blockChains(r int) int {
	switch r {
	case 1:
		return 4
	case 2:
		return 2
	}
	return 1
}

func sparseBlockRows(v isa, args reg.Register, r, parts int) {
	chains := blockChains(r)
	count, index, data := loadField(args, blockCount), loadField(args, blockIndex), loadField(args, blockData)
	x := loadField(args, blockX)
	odd := make(map[int]reg.GPVirtual)
	for m := 1; m < r; m += 2 {
		odd[m] = GP64()
		if m == 1 {
			MOVQ(field(args, blockXStep), odd[1])
		} else {
			LEAQ(operand.Mem{Base: odd[m-2], Index: odd[1], Scale: 2}, odd[m])
		}
	}
	bias := loadField(args, blockBias)
	acc := make([]reg.VecVirtual, r*chains*parts)
	for i := range acc {
		acc[i] = v.register()
		if i/parts%chains == 0 {
			VMOVUPS(operand.Mem{Base: bias, Disp: i % parts * v.bytes}, acc[i])
		} else {
			VXORPS(acc[i], acc[i], acc[i])
		}
	}
	at := func(row, chain, part int) reg.VecVirtual { return acc[(row*chains+chain)*parts+part] }
	step := func(chain int) {
		from := GP64()
		MOVLQSX(operand.Mem{Base: index, Disp: 4 * chain}, from)
		LEAQ(operand.Mem{Base: x, Index: from, Scale: 4}, from)
		w := make([]reg.VecVirtual, parts)
		for p := range w {
			w[p] = v.register()
			VMOVUPS(operand.Mem{Base: data, Disp: chain*blockLanes*4 + p*v.bytes}, w[p])
		}
		for i := range r {
			m := operand.Mem{Base: from}
			if i > 0 {
				scale := i & -i
				m = operand.Mem{Base: from, Index: odd[i/scale], Scale: uint8(scale)}
			}
			xi := v.register()
			VBROADCASTSS(m, xi)
			for p := range w {
				VFMADD231PS(w[p], xi, at(i, chain, p))
			}
		}
	}
	bulk, rest, done := fmt.Sprintf("bulk%d", r), fmt.Sprintf("rest%d", r), fmt.Sprintf("done%d", r)
	if chains > 1 {
		SUBQ(operand.U8(uint8(chains)), count)
		JL(operand.LabelRef(rest + "begin"))
		Label(bulk)
		for c := range chains {
			step(c)
		}
		ADDQ(operand.U8(uint8(4*chains)), index)
		ADDQ(operand.U32(uint32(4*blockLanes*chains)), data)
		SUBQ(operand.U8(uint8(chains)), count)
		JGE(operand.LabelRef(bulk))
		Label(rest + "begin")
		ADDQ(operand.U8(uint8(chains)), count)
	}
	TESTQ(count, count)
	JZ(operand.LabelRef(done))
	Label(rest)
	step(0)
	ADDQ(operand.U8(4), index)
	ADDQ(operand.U8(64), data)
	DECQ(count)
	JNZ(operand.LabelRef(rest))
	Label(done)
	y := loadField(args, blockY)
	for i := range r {
		for p := range parts {
			for gap := chains / 2; gap > 0; gap /= 2 {
				for c := range gap {
					VADDPS(at(i, c+gap, p), at(i, c, p), at(i, c, p))
				}
			}
			VMOVUPS(at(i, 0, p), operand.Mem{Base: y, Disp: p * v.bytes})
		}
		if i < r-1 {
			ADDQ(field(args, blockYStep), y)
		}
	}
	VZEROUPPER()
	RET()
}

// The operands of twoOfFour, see fourArgs of package kernel.
const (
	fourRows = iota
	fourGroups
	fourIndex
	fourData
	fourX
	fourXStep
	fourY
	fourYStep
)

// twoOfFour emits the product of up to four rows with a panel of a 2:4 matrix:
// each lane picks two of four neighbours of x.
func twoOfFour(v isa) {
	parts := blockLanes * 4 / v.bytes
	args := beginForm("twoOfFour"+v.name, "multiplies rows by weights of which two in four are stored; see fourArgs.")
	for r := 4; r >= 1; r-- {
		next := fmt.Sprintf("not%d", r)
		CMPQ(field(args, fourRows), operand.U8(uint8(r)))
		JNE(operand.LabelRef(next))
		for p := range parts {
			twoOfFourRows(v, args, r, p)
		}
		VZEROUPPER()
		RET()
		Label(next)
	}
	VZEROUPPER()
	RET()
}

// twoOfFourRows emits the loop over a vector of outputs. The first and the second
// weight of a group have sums of their own, and a lone row those of odd groups too.
func twoOfFourRows(v isa, args reg.Register, r, part int) {
	chains := 2
	if r == 1 {
		chains = 4
	}
	groups, index, data := loadField(args, fourGroups), loadField(args, fourIndex), loadField(args, fourData)
	x, xs := loadField(args, fourX), loadField(args, fourXStep)
	xs3 := GP64()
	LEAQ(operand.Mem{Base: xs, Index: xs, Scale: 2}, xs3)
	rows := [4]operand.Mem{{Base: x}, {Base: x, Index: xs, Scale: 1}, {Base: x, Index: xs, Scale: 2}, {Base: x, Index: xs3, Scale: 1}}
	acc := make([]reg.VecVirtual, r*chains)
	for i := range acc {
		acc[i] = v.register()
		VXORPS(acc[i], acc[i], acc[i])
	}
	loop := fmt.Sprintf("loop%d_%d", r, part)
	Label(loop)
	places := v.register()
	loadIntegers(v.bytes, operand.Mem{Base: index, Disp: part * v.bytes}, places)
	for g := range 8 { // of four inner indices
		var pick [2]reg.VecVirtual
		for h := range pick {
			pick[h] = places
			if g+h > 0 {
				pick[h] = v.register()
				VPSRLD(operand.U8(uint8(4*g+2*h)), places, pick[h])
			}
		}
		for i, m := range rows[:r] {
			m.Disp = 16 * g
			four := v.register()
			if v.bytes == 64 {
				VBROADCASTF32X4(m, four)
			} else {
				VBROADCASTF128(m, four)
			}
			for h := range pick {
				chosen := v.register()
				VPERMILPS(pick[h], four, chosen)
				w := operand.Mem{Base: data, Disp: (2*g+h)*blockLanes*4 + part*v.bytes}
				VFMADD231PS(w, chosen, acc[i*chains+h+2*(g%(chains/2))])
			}
		}
	}
	ADDQ(operand.U8(4*blockLanes), index)
	ADDQ(operand.U32(16*4*blockLanes), data)
	ADDQ(operand.U32(32*4), x)
	DECQ(groups)
	JNZ(operand.LabelRef(loop))
	y := loadField(args, fourY)
	for i := range r {
		for gap := chains / 2; gap > 0; gap /= 2 {
			for c := range gap {
				VADDPS(acc[i*chains+c+gap], acc[i*chains+c], acc[i*chains+c])
			}
		}
		VMOVUPS(acc[i*chains], operand.Mem{Base: y, Disp: part * v.bytes})
		if i < r-1 {
			ADDQ(field(args, fourYStep), y)
		}
	}
}

// The operands of sparseRows, see rowArgs of package kernel.
const (
	rowWide = iota
	rowCount
	rowOffset
	rowData
	rowB
	rowC
)

// sparseRows emits one row of a sparse matrix times a tile of a dense one. Two
// chains of sums take turns.
func sparseRows(v isa) {
	args := beginForm("sparseRow"+v.name, "multiplies a sparse row by a tile; see rowArgs.")
	for _, wide := range []bool{true, false} {
		next := fmt.Sprintf("not%t", wide)
		if wide {
			CMPQ(field(args, rowWide), operand.U8(1))
			JNE(operand.LabelRef(next))
		}
		passes, vectors := 1, 4
		switch {
		case !wide:
			vectors = blockLanes * 4 / v.bytes
		case v.bytes == 32:
			passes = 2
		}
		for p := range passes {
			sparseRowPass(v, args, fmt.Sprintf("%t%d", wide, p), p*vectors, vectors)
		}
		VZEROUPPER()
		RET()
		Label(next)
	}
	VZEROUPPER()
	RET()
}

func sparseRowPass(v isa, args reg.Register, name string, first, vectors int) {
	count, offset, data := loadField(args, rowCount), loadField(args, rowOffset), loadField(args, rowData)
	b := loadField(args, rowB)
	var acc [2][]reg.VecVirtual
	for c := range acc {
		for range vectors {
			r := v.register()
			VXORPS(r, r, r)
			acc[c] = append(acc[c], r)
		}
	}
	step := func(c int) {
		from, w := GP64(), v.register()
		MOVLQSX(operand.Mem{Base: offset, Disp: 4 * c}, from)
		VBROADCASTSS(operand.Mem{Base: data, Disp: 4 * c}, w)
		for i, a := range acc[c] {
			VFMADD231PS(operand.Mem{Base: b, Index: from, Scale: 4, Disp: (first + i) * v.bytes}, w, a)
		}
	}
	SUBQ(operand.U8(2), count)
	JL(operand.LabelRef("last" + name))
	Label("loop" + name)
	step(0)
	step(1)
	ADDQ(operand.U8(8), offset)
	ADDQ(operand.U8(8), data)
	SUBQ(operand.U8(2), count)
	JGE(operand.LabelRef("loop" + name))
	Label("last" + name)
	ADDQ(operand.U8(2), count)
	JZ(operand.LabelRef("store" + name))
	step(0)
	Label("store" + name)
	c := loadField(args, rowC)
	for i := range vectors {
		VADDPS(acc[1][i], acc[0][i], acc[0][i])
		VMOVUPS(acc[0][i], operand.Mem{Base: c, Disp: (first + i) * v.bytes})
	}
}
