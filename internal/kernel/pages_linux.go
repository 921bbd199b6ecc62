package kernel

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is the size of a huge page where Go runs on Linux, as a rule.
const hugePage = 2 << 20

// hugePages is n zeros, for memory that is read from one end to the other many
// times: the system is asked to map it in large pages, which spares translations and
// lets prefetchers run on. It may decline.
func hugePages(n int) []float32 {
	x := make([]float32, n)
	if n == 0 {
		return x
	}
	begin := uintptr(unsafe.Pointer(&x[0]))
	skip := -begin % hugePage
	if size := uintptr(4 * n); size >= skip+hugePage {
		bytes := unsafe.Slice((*byte)(unsafe.Pointer(&x[0])), size)
		whole := (size - skip) / hugePage * hugePage
		// Refusal leaves the memory as it was, only slower.
		_ = unix.Madvise(bytes[skip:skip+whole], unix.MADV_HUGEPAGE)
	}
	return x
}
