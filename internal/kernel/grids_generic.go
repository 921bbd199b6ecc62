//go:build !amd64

package kernel

func minMaxBulk(Set, []float32, *[3][fitLanes]float32) {}

func gridErrorBulk(Set, []float32, *[3][fitLanes]float32, *[5]float32) {}

func rangeMasksBulk(Set, []float32, []uint32, uint32, uint32) int { return 0 }

func maskSmallBulk(Set, []float32, []float32, uint32) {}
