//go:build !linux

package engine

import "runtime/metrics"

// systemMemory stands for the memory of a machine that does not tell, in bytes.
func systemMemory() int64 { return 16 << 30 }

// residentMemory is what the Go runtime holds: the system is not asked.
func residentMemory() int {
	sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(sample)
	return int(sample[0].Value.Uint64() - sample[1].Value.Uint64())
}

func residentCode() int { return 0 }

func peakMemory() int { return 0 }
