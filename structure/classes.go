package structure

// classes is a union–find over slots. A class may be fixed, for a reason, and
// carries the kinds its slots were marked with.
type classes struct {
	parent []int32
	reason []int32 // of roots: 0 if free, else 1 + the index of a reason
	marks  []uint8 // of roots
}

// Marks of classes.
const (
	markHead uint8 = 1 << iota
	markUnit
)

// add makes n slots, each a class of its own, and returns the first.
func (c *classes) add(n int) int32 {
	first := int32(len(c.parent))
	for i := range n {
		c.parent = append(c.parent, first+int32(i))
	}
	c.reason = append(c.reason, make([]int32, n)...)
	c.marks = append(c.marks, make([]uint8, n)...)
	return first
}

// find returns the class of a slot: its root. Paths are halved on the way; after
// flatten there is nothing left to write.
func (c *classes) find(i int32) int32 {
	for {
		p := c.parent[i]
		if q := c.parent[p]; q != p {
			c.parent[i] = q
			i = q
			continue
		}
		return p
	}
}

// flatten makes every slot point at its class, so that find only reads.
func (c *classes) flatten() {
	for i := range c.parent {
		c.parent[i] = c.find(int32(i))
	}
}

// union ties two slots. The smaller root stays, so that the order of calls does
// not matter; of two reasons the earlier stays.
func (c *classes) union(i, j int32) {
	i, j = c.find(i), c.find(j)
	if i == j {
		return
	}
	if j < i {
		i, j = j, i
	}
	c.parent[j] = i
	c.marks[i] |= c.marks[j]
	if r := c.reason[j]; r != 0 && (c.reason[i] == 0 || r < c.reason[i]) {
		c.reason[i] = r
	}
}

// fix makes the class of a slot one that stays. Of two reasons the earlier is
// kept.
func (c *classes) fix(i, reason int32) {
	if i = c.find(i); c.reason[i] == 0 || reason < c.reason[i] {
		c.reason[i] = reason
	}
}

func (c *classes) fixed(i int32) bool { return c.reason[c.find(i)] != 0 }

func (c *classes) mark(i int32, m uint8) { c.marks[c.find(i)] |= m }
