package engine

import (
	"bytes"
	"math"
	"os"
	"strconv"
	"syscall"
)

// systemMemory is the least of the machine's memory, the limit of the control
// group and the limit of the address space, in bytes.
func systemMemory() int64 {
	least := int64(math.MaxInt64)
	var info syscall.Sysinfo_t
	if syscall.Sysinfo(&info) == nil {
		least = min(least, int64(info.Totalram)*int64(info.Unit))
	}
	var space syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_AS, &space) == nil && space.Cur < math.MaxInt64 {
		least = min(least, int64(space.Cur))
	}
	for _, name := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if text, err := os.ReadFile(name); err == nil {
			if n, err := strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64); err == nil {
				least = min(least, n)
			}
		}
	}
	return least
}

// residentMemory is the resident set size.
func residentMemory() int { return statm(1) }

// residentCode is the part of the resident set that files back: the program's
// code and tables.
func residentCode() int { return statm(2) }

// statm reads a field of /proc/self/statm, counted in pages there; 0 if it cannot.
func statm(field int) int {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(text)
	if field >= len(fields) {
		return 0
	}
	pages, _ := strconv.Atoi(string(fields[field]))
	return pages * os.Getpagesize()
}

// peakMemory is the high-water mark of the resident set.
func peakMemory() int {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, after, _ := bytes.Cut(text, []byte("VmHWM:"))
	if fields := bytes.Fields(after); len(fields) > 0 {
		kilobytes, _ := strconv.Atoi(string(fields[0]))
		return kilobytes << 10
	}
	return 0
}
