package kernel

// packPanel copies a panel of width × k, with p outermost; wide is the panel's
// full width, and what lies between is set to zero.
//
//	dst[p·wide+i] ← src[i·across+p·along]
func (t *tiles[T]) packPanel(dst []T, wide int, src []T, across, along, width, k int) {
	dst = dst[:wide*k]
	if across == 1 && width == wide && t.copyB != nil {
		if wide == t.nr {
			t.copyB(k, dst, src, along)
		} else {
			t.copyA(k, dst, src, along)
		}
		return
	}
	if across == 1 {
		for p := range k {
			row := dst[p*wide:][:wide]
			copy(row, src[p*along:][:width])
			clear(row[width:])
		}
		return
	}
	if width < wide {
		clear(dst)
	}
	i, bulk := 0, 0 // rows below i are done up to bulk
	if t.transpose != nil && along == 1 {
		for bulk = k / t.square * t.square; bulk > 0 && i+t.square <= width; i += t.square {
			t.transpose(bulk, dst[i:], wide, src[i*across:], across)
		}
	}
	for r := range width {
		line, start := src[r*across:], 0
		if r < i {
			start = bulk
		}
		for p := start; p < k; p++ {
			dst[p*wide+r] = line[p*along]
		}
	}
}
