package engine

import "github.com/compactify/compactify/tensor"

func lossKernels() map[string]prepare {
	return map[string]prepare{
		"NegativeLogLikelihoodLoss": variants{tensor.Float32: bindNLLLoss[float32], tensor.Float64: bindNLLLoss[float64]}.by(0),
	}
}

// bindNLLLoss: −weight[c]·x[n, c, d] for label c of each (n, d), alone, summed,
// or divided by the sum of weights. Labels equal to ignore_index count nothing.
func bindNLLLoss[T float](s *site) (func() error, error) {
	l := linesOf(s.inShape(0), 1)
	ignore, hasIgnore := s.node.Attrs.Int("ignore_index", 0), s.node.Attrs.Has("ignore_index")
	reduction := s.node.Attrs.Text("reduction", "mean")
	return func() error {
		x, labels, y := tensor.Data[T](*s.in[0]), positionsOf(*s.in[1]), tensor.Data[T](*s.out[0])
		total, mass := 0.0, 0.0
		for i := range l.count() {
			c, loss := labels.at(i, 0), 0.0
			if !hasIgnore || c != ignore {
				if c < 0 || c >= l.n {
					return s.errorf("label %d: got %d, want 0 to %d", i, c, l.n-1)
				}
				weight := 1.0
				if s.hasIn(2) {
					weight = float64(tensor.Data[T](*s.in[2])[c])
				}
				loss = -weight * float64(x[l.first(i)+c*l.inner])
				mass += weight
			}
			total += loss
			if reduction == "none" {
				y[i] = T(loss)
			}
		}
		switch reduction {
		case "sum":
			y[0] = T(total)
		case "mean":
			y[0] = T(total / mass)
		}
		return nil
	}, nil
}
