package engine

import (
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/compactify/compactify/tensor"
)

// A few bytes of a model file can declare tensors of any size, so memory is
// asked for before it is taken: Go cannot recover from an allocation that the
// system refuses.

// freely is how many bytes are taken without asking.
const freely = 16 << 20

// MemoryError says that tensors need more memory than the program may use.
type MemoryError struct {
	Need  int // bytes
	Used  int // bytes that the program holds already
	Limit int // bytes: that of [LimitMemory] or of the Go runtime, or less where the machine grants less
}

func (e *MemoryError) Error() string {
	return fmt.Sprintf("memory: got a need of %d bytes, want at most %d (limit %d, in use %d)", e.Need, max(0, e.Limit-e.Used), e.Limit, e.Used)
}

// reserve fails with a [*MemoryError] if taking so many bytes would exceed the
// memory limit.
func reserve(bytes int) error {
	if bytes <= freely {
		return nil
	}
	limit := memoryLimit()
	if bytes <= limit-usedBytes() {
		return nil
	}
	runtime.GC()
	if used := usedBytes(); bytes > limit-used {
		return &MemoryError{Need: bytes, Used: used, Limit: limit}
	}
	return nil
}

// NewTensor is [tensor.New] for a shape that a foreign file gives. The error
// wraps a [*MemoryError] if there is not enough memory.
func NewTensor(d tensor.DType, shape ...int) (tensor.Tensor, error) {
	if err := reserveTensor(d, shape); err != nil {
		return tensor.Tensor{}, err
	}
	return tensor.New(d, shape...), nil
}

// cloneTensor is [tensor.Tensor.Clone] if there is memory for it.
func cloneTensor(t tensor.Tensor) (tensor.Tensor, error) {
	if err := reserve(len(t.Raw())); err != nil {
		return tensor.Tensor{}, err
	}
	return t.Clone(), nil
}

// reserveTensor is [reserve] for a tensor.
func reserveTensor(d tensor.DType, shape []int) error {
	bytes, err := tensorBytes(d, shape)
	if err != nil {
		return err
	}
	return reserve(bytes)
}

// tensorBytes is the memory of a tensor, or what tables as long as its axes take
// if it has no elements. It fails if the tensor is larger than any may be.
func tensorBytes(d tensor.DType, shape []int) (int, error) {
	n, ok := tensor.Size(shape)
	bytes, fits := d.ByteSize(n)
	if d == tensor.String {
		const header = 16
		bytes, fits = n*header, n <= math.MaxInt/header
	}
	if !ok || !fits || n > maxElements {
		return 0, fmt.Errorf("shape %v is too large: want at most %d elements", shape, maxElements)
	}
	if n == 0 && len(shape) > 0 {
		const entry = 8
		bytes = min(slices.Max(shape), math.MaxInt/entry) * entry
	}
	return bytes, nil
}

// heapBytes is what the program's objects occupy, dead ones not yet collected
// included.
func heapBytes() int {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return int(sample[0].Value.Uint64())
}

// usedBytes is what the program holds: its objects, and if memory is limited its
// code and what the collector needs beside the objects.
func usedBytes() int {
	if n := foreign.Load(); n > 0 {
		return heapBytes() + int(n) + collectorBytes
	}
	return heapBytes()
}

// collectorBytes is what small objects that come and go take beside those in use,
// with the collector's tables.
const collectorBytes = 10 << 20

// foreign is what of the limit of [LimitMemory] is not the Go runtime's to manage.
var foreign atomic.Int64

// codeToCome is kept for code that was not run yet, and for the system's own
// tables.
const codeToCome = 6 << 20

// LimitMemory has the program keep its resident memory below so many bytes: the
// collector works harder near the limit, and what cannot fit is refused with a
// [*MemoryError]. Neither is certain; see [Resident].
func LimitMemory(limit int) {
	beside := residentCode() + codeToCome + limit/16 // the collector is not exact
	foreign.Store(int64(beside))
	debug.SetMemoryLimit(int64(max(1<<20, limit-beside)))
}

// Resident is how much of the machine's memory the process occupies, in bytes, its
// code included; 0 where the system does not tell.
func Resident() int { return residentMemory() }

// PeakResident is the most that [Resident] was; 0 where the system does not tell.
func PeakResident() int { return peakMemory() }

// memoryLimit is the limit of [LimitMemory], or the Go runtime's (GOMEMLIMIT) if
// one is set, and never more than the machine grants.
func memoryLimit() int {
	limit := debug.SetMemoryLimit(-1)
	if limit < math.MaxInt64-foreign.Load() {
		limit += foreign.Load()
	}
	return int(min(limit, grantedMemory()))
}

// grantedMemory is three quarters of what the system lets the program have; the
// rest is for its code, its stacks and others.
var grantedMemory = sync.OnceValue(func() int64 { return systemMemory() / 4 * 3 })

// CheckMemory fails with a [*MemoryError] if there is no room for so many more
// bytes.
func CheckMemory(bytes int) error { return reserve(bytes) }
