//go:build !amd64

package kernel

func int8KernelsOf(Set) *int8Kernels { return &portableInt8 }
