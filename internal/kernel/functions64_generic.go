//go:build !amd64

package kernel

func expPart(_ Set, dst, x []float64) { expPortable(dst, x) }

func softplusPart(_ Set, e, l, x []float64) { softplusPortable(e, l, x) }
