package data

import (
	"fmt"
	"math"
)

// checkFinite finds NaN and infinite values: no model is measured on them.
func checkFinite(rows store) error {
	switch d := rows.(type) {
	case dense[float32]:
		return firstNonFinite(d.data, d.size)
	case dense[float64]:
		return firstNonFinite(d.data, d.size)
	case byColumn:
		for k, v := range d.data {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("value %d of example %d: got %v, want a finite number", k/d.count+1, k%d.count+1, v)
			}
		}
	}
	return nil
}

func firstNonFinite[T float32 | float64](data []T, size int) error {
	for i, v := range data {
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Errorf("value %d of example %d: got %v, want a finite number", i%size+1, i/size+1, f)
		}
	}
	return nil
}
