package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
)

// number is a floating-point type with the instructions that work on it.
type number struct {
	prefix string // of function names, as in BLAS
	name   string // in Go
	bytes  int
	shift  uint8 // log2 of bytes

	load      func(ops ...operand.Op) // unaligned, either way
	broadcast func(ops ...operand.Op)
	add       func(ops ...operand.Op)
	mul       func(ops ...operand.Op)
	fma231    func(ops ...operand.Op) // third += second · first, in Go's operand order
}

var float32s = number{
	prefix: "s", name: "float32", bytes: 4, shift: 2,
	load: VMOVUPS, broadcast: VBROADCASTSS, add: VADDPS, mul: VMULPS, fma231: VFMADD231PS,
}

var float64s = number{
	prefix: "d", name: "float64", bytes: 8, shift: 3,
	load: VMOVUPD, broadcast: VBROADCASTSD, add: VADDPD, mul: VMULPD, fma231: VFMADD231PD,
}
