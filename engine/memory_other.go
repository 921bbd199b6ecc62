//go:build !linux

package engine

// systemMemory stands for the memory of a machine that does not tell, in bytes.
func systemMemory() int64 { return 16 << 30 }
