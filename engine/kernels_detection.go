package engine

import (
	"cmp"
	"slices"

	"github.com/compactify/compactify/tensor"
)

func detectionKernels() map[string]prepare {
	return map[string]prepare{"NonMaxSuppression": prepareSuppression}
}

// prepareSuppression: boxes [N, B, 4], scores [N, classes, B] → the chosen
// [(image, class, box)...]: for each image and class, boxes in order of their
// scores, less those that overlap a chosen one too much.
func prepareSuppression(s *site) (func() error, error) {
	scores := s.inShape(1)
	centred := s.node.Attrs.Int("center_point_box", 0) != 0
	return func() error {
		limit, overlap, threshold := 0.0, 0.0, 0.0
		for i, v := range []*float64{&limit, &overlap, &threshold} {
			if s.hasIn(2+i) && s.in[2+i].Len() > 0 {
				*v = s.in[2+i].At(0)
			}
		}
		byScore := s.hasIn(4) && s.in[4].Len() > 0
		var chosen []int64
		for n := range scores[0] {
			boxes := corners(*s.in[0], n, scores[2], centred)
			for c := range scores[1] {
				score := func(b int) float64 { return s.in[1].At((n*scores[1]+c)*scores[2] + b) }
				var order []int
				for b := range scores[2] {
					if !byScore || score(b) > threshold {
						order = append(order, b)
					}
				}
				slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(score(b), score(a)) })
				for _, b := range suppress(boxes, order, overlap, int(limit)) {
					chosen = append(chosen, int64(n), int64(c), int64(b))
				}
			}
		}
		*s.out[0] = tensor.Of(chosen, len(chosen)/3, 3)
		return nil
	}, nil
}

// box is a rectangle by its corners.
type box struct{ x0, y0, x1, y1 float64 }

func (b box) area() float64 { return (b.x1 - b.x0) * (b.y1 - b.y0) }

// corners reads an image's boxes: two opposite corners y, x, y, x, or centre x,
// y with width and height.
func corners(t tensor.Tensor, image, count int, centred bool) []box {
	list := make([]box, count)
	for b := range list {
		at := 4 * (image*count + b)
		v0, v1, v2, v3 := t.At(at), t.At(at+1), t.At(at+2), t.At(at+3)
		if centred {
			list[b] = box{v0 - v2/2, v1 - v3/2, v0 + v2/2, v1 + v3/2}
		} else {
			list[b] = box{min(v1, v3), min(v0, v2), max(v1, v3), max(v0, v2)}
		}
	}
	return list
}

// suppress keeps at most limit boxes, none of which overlaps one before it by
// more than the given share of their union.
func suppress(boxes []box, order []int, overlap float64, limit int) []int {
	var kept []int
	for _, b := range order {
		if len(kept) >= limit {
			break
		}
		clash := slices.ContainsFunc(kept, func(k int) bool { return intersection(boxes[b], boxes[k]) > overlap })
		if !clash {
			kept = append(kept, b)
		}
	}
	return kept
}

// intersection over union.
func intersection(a, b box) float64 {
	shared := box{max(a.x0, b.x0), max(a.y0, b.y0), min(a.x1, b.x1), min(a.y1, b.y1)}
	if shared.x1 <= shared.x0 || shared.y1 <= shared.y0 {
		return 0
	}
	return shared.area() / (a.area() + b.area() - shared.area())
}
