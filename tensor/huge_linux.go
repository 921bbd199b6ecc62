package tensor

import (
	"syscall"
	"unsafe"
)

// hugeFrom is the size from which huge pages are asked for: they make the first
// touch of memory about four times as fast, and round it up to 2 MiB.
const hugeFrom = 64 << 20

// adviseHuge asks for huge pages where the system leaves that to programs. Not
// getting them is no error.
func adviseHuge(b []byte) {
	const page = 4096
	if len(b) < hugeFrom {
		return
	}
	skip := -int(uintptr(unsafe.Pointer(&b[0]))) & (page - 1)
	_ = syscall.Madvise(b[skip:skip+(len(b)-skip)&^(page-1)], syscall.MADV_HUGEPAGE)
}
