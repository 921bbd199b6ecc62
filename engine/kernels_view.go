package engine

func viewKernels() map[string]prepare {
	return map[string]prepare{
		"Identity": prepareView, "Reshape": prepareView, "Flatten": prepareView,
		"Squeeze": prepareView, "Unsqueeze": prepareView,
	}
}

// prepareView passes the elements on in the output's shape.
func prepareView(s *site) (func() error, error) {
	shape := s.outShape(0)
	return func() error {
		*s.out[0] = s.in[0].As(shape)
		return nil
	}, nil
}
