//go:build !linux

package tensor

// adviseHuge does nothing where huge pages are not asked for.
func adviseHuge([]byte) {}
