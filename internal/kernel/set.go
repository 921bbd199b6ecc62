package kernel

import (
	"fmt"

	"golang.org/x/sys/cpu"
)

// Set names a group of instructions that kernels are written in. Later sets
// contain earlier ones.
type Set uint8

// Instruction sets, slowest first.
const (
	Portable Set = iota // Go, on any machine
	AVX2                // amd64 with AVX2 and FMA
	AVX512              // amd64 with AVX-512 F, DQ, BW and VL, and all of AVX2
)

var setNames = [...]string{Portable: "portable", AVX2: "avx2", AVX512: "avx512"}

// String returns the name that [ParseSet] reads.
func (s Set) String() string {
	if int(s) < len(setNames) {
		return setNames[s]
	}
	return fmt.Sprintf("Set(%d)", uint8(s))
}

// Best returns the fastest set that this machine and its operating system run.
func Best() Set {
	x := &cpu.X86
	switch {
	case !x.HasAVX2 || !x.HasFMA:
		return Portable
	case x.HasAVX512F && x.HasAVX512DQ && x.HasAVX512BW && x.HasAVX512VL:
		return AVX512
	default:
		return AVX2
	}
}

// ParseSet reads a set's name; "auto" is [Best]. It fails on an unknown name and
// on a set that this machine lacks.
func ParseSet(name string) (Set, error) {
	best := Best()
	if name == "auto" {
		return best, nil
	}
	for i, s := range setNames {
		if s != name {
			continue
		}
		if set := Set(i); set <= best {
			return set, nil
		}
		return Portable, fmt.Errorf("kernel set %q: this machine lacks it, want at most %q", name, best)
	}
	return Portable, fmt.Errorf("kernel set %q: unknown, want auto, avx512, avx2 or portable", name)
}
