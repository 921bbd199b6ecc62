//go:build !amd64

package kernel

// Assembly of compact forms, by set; only Portable is ever used.
var (
	lowBitKernels = [...]lowBitSet{Portable: {}}
	sparseKernels = [...]sparseSet{Portable: {blockRows: 4}}
	signKernels   = [...]signSet{Portable: {rows: 1}}
)
