package main

import (
	"context"
	"fmt"
	"syscall"

	"github.com/compactify/compactify/compress"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/train"
)

// calibration counts the activations of ResNet-20 on a number of examples and
// returns the largest resident size of the process in MB. The examples repeat 2,048
// that are in memory, so that nothing but the calibration can grow with their number.
func calibration(examples int, pool *kernel.Pool) (float64, error) {
	n := networks["resnet20"]
	set, err := imagesOf(n.image)
	if err != nil {
		return 0, fmt.Errorf("calibrate: %w", err)
	}
	g, err := train.NewModel(n.arch, n.image, 10, 1)
	if err != nil {
		return 0, fmt.Errorf("calibrate: %w", err)
	}
	at := make([]int, examples)
	for i := range at {
		at[i] = i % set.Len()
	}
	if _, err := compress.Calibrate(context.Background(), g, set.Subset(at), pool); err != nil {
		return 0, err
	}
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0, fmt.Errorf("calibrate: resident size: %w", err)
	}
	return float64(used.Maxrss) * 1024 / 1e6, nil
}
