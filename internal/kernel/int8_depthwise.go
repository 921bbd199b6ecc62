package kernel

// depthwiseLanes is the number of channels that a depthwise kernel takes at once.
const depthwiseLanes = 64

// packDepthwise arranges the weights of a convolution of each channel by itself:
// for each block of 64 channels and each four taps (the last filled up with zeros)
// four vectors of 16 channels with the four weights of each. Vector j holds
// channels 16l + 4j + (0 … 3) for l = 0 … 3, the order in which instructions that
// interleave bytes leave them.
func (c *Int8Conv) packDepthwise(w []int8) {
	taps := c.s.KH * c.s.KW
	groups := (taps + 3) / 4
	c.blocks = (c.s.C + depthwiseLanes - 1) / depthwiseLanes
	c.panel = groups * 4 * depthwiseLanes
	c.weights = make([]int8, c.blocks*c.panel)
	for ch := range c.s.C {
		panel := c.weights[ch/depthwiseLanes*c.panel:]
		for t := range taps {
			panel[depthwiseAt(ch%depthwiseLanes, t)] = w[ch*taps+t]
		}
	}
}

// depthwiseAt is where the weight of a channel and a tap lies in a block.
func depthwiseAt(channel, tap int) int {
	l, j, k := channel/16, channel/4%4, channel%4
	return tap/4*4*depthwiseLanes + (j*16+l*4+k)*4 + tap%4
}

// depthwiseTaps lists the offsets of the taps, filled up to a multiple of four
// with the first, whose weight there is zero.
func depthwiseTaps(s *ConvShape, pitch int) []int {
	var taps []int
	for i := range (s.KH*s.KW + 3) &^ 3 {
		at := 0
		if i < s.KH*s.KW {
			at = i/s.KW*s.DH*pitch + i%s.KW*s.DW*s.C
		}
		taps = append(taps, at)
	}
	return taps
}

// depthwise computes a strip's outputs of one block of channels.
func (t *int8Strips) depthwise(block int) {
	c, s := t.c, &t.c.s
	first := block * depthwiseLanes
	channels := min(depthwiseLanes, s.C-first)
	w := c.weights[block*c.panel:][:c.panel]
	x := t.x[first:]
	for p := 0; p < t.pixels; p += int8Chunk {
		n := min(int8Chunk, t.pixels-p)
		for i := p; i < p+n; { // rows of pixels an equal step apart
			row := min(s.OW-i%s.OW, p+n-i)
			c.kernels.depthwise(row, x[c.off[i]:], s.SW*s.C, c.taps, w, channels, t.acc[(i-p)*depthwiseLanes:])
			i += row
		}
		for v := 0; v < channels; v += int8Lanes {
			t.store(p, n, t.acc[v:], depthwiseLanes, first+v, first+v, min(int8Lanes, channels-v))
		}
	}
}

func depthwiseInt8(n int, x []uint8, step int, taps []int, w []int8, channels int, acc []int32) {
	depthwiseFrom(0, n, x, step, taps, w, channels, acc)
}

// depthwiseFrom computes channels [first, channels).
func depthwiseFrom(first, n int, x []uint8, step int, taps []int, w []int8, channels int, acc []int32) {
	for i := range n {
		sums := acc[i*depthwiseLanes:][first:channels]
		clear(sums)
		for t, at := range taps {
			for c, v := range x[i*step+at:][first:channels] {
				sums[c] += int32(v) * int32(w[depthwiseAt(first+c, t)])
			}
		}
	}
}
