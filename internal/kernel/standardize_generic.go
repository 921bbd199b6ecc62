//go:build !amd64

package kernel

func standardizeBulk[T Float](_ Set, _, _, _, _ []T, _ T, _ bool) bool { return false }
