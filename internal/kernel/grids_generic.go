//go:build !amd64

package kernel

func minMaxBulk(Set, []float32, *[3][fitLanes]float32) {}

func gridErrorBulk(Set, []float32, *[3][fitLanes]float32, *[5]float32) {}
