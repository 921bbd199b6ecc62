package rational

import (
	"encoding/binary"
	"math/big"
	"math/bits"
)

// Numbers of a fixed count of 64-bit words, the least significant first, negative ones
// as their two's complement.

// twos writes x, which must fit.
func twos(dst []uint64, x *big.Int) {
	clear(dst)
	for i, w := range x.Bits() {
		at := i * bits.UintSize
		dst[at/64] |= uint64(w) << (at % 64)
	}
	if x.Sign() < 0 {
		negate(dst)
	}
}

// unsigned is v read without a sign.
func unsigned(v []uint64) *big.Int {
	bytes := make([]byte, 0, 8*len(v))
	for i := len(v) - 1; i >= 0; i-- {
		bytes = binary.BigEndian.AppendUint64(bytes, v[i])
	}
	return new(big.Int).SetBytes(bytes)
}

func negate(v []uint64) {
	carry := uint64(1)
	for i, x := range v {
		v[i], carry = bits.Add64(^x, 0, carry)
	}
}

func negative(v []uint64) bool { return v[len(v)-1]>>63 == 1 }

// sub takes x off v, of the same length.
func sub(v, x []uint64) {
	borrow := uint64(0)
	for i := range v {
		v[i], borrow = bits.Sub64(v[i], x[i], borrow)
	}
}

// add3 adds three words to v, modulo its length.
func add3(v []uint64, lo, hi, top uint64) {
	var carry uint64
	for i := range v {
		var x uint64
		switch i {
		case 0:
			x = lo
		case 1:
			x = hi
		case 2:
			x = top
		default:
			if carry == 0 {
				return
			}
		}
		v[i], carry = bits.Add64(v[i], x, carry)
	}
}

// sub3 takes three words off v, modulo its length.
func sub3(v []uint64, lo, hi, top uint64) {
	var borrow uint64
	for i := range v {
		var x uint64
		switch i {
		case 0:
			x = lo
		case 1:
			x = hi
		case 2:
			x = top
		default:
			if borrow == 0 {
				return
			}
		}
		v[i], borrow = bits.Sub64(v[i], x, borrow)
	}
}

// power2 is 2^e modulo p.
func (k field) power2(e int) uint64 {
	x, two := uint64(1), k.factor(2)
	for range e {
		x = two.mul(x)
	}
	return x
}

// signed is v modulo p; wrap is 2^(64·len(v)) modulo p.
func (k field) signed(v []uint64, wrap uint64) uint64 {
	r := uint64(0)
	for i := len(v) - 1; i >= 0; i-- {
		r = bits.Rem64(r, v[i], k.p)
	}
	if !negative(v) {
		return r
	}
	if r >= wrap {
		return r - wrap
	}
	return r + k.p - wrap
}

// divide divides v by p, which must divide it.
func (k field) divide(v []uint64) {
	minus := negative(v)
	if minus {
		negate(v)
	}
	r := uint64(0)
	for i := len(v) - 1; i >= 0; i-- {
		v[i], r = bits.Div64(r, v[i], k.p)
	}
	if minus {
		negate(v)
	}
}
