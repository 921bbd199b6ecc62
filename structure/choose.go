package structure

// Channel is one channel of a group.
type Channel struct {
	Group string // its ID
	Index int
}

// Removable goes through channels in the given order and returns those that can
// be removed after all that it returned before them: a channel without which an
// axis would be empty stays. Blocks can always go. Channels that do not exist are
// passed over.
func (a *Analysis) Removable(order []Channel) []Channel {
	left, counts := a.occupancy()
	removed := make(map[int32]bool)
	var list []Channel
	for _, c := range order {
		g := a.byID[c.Group]
		if g == nil || c.Index < 0 || c.Index >= g.Channels {
			continue
		}
		if g.Kind == Block {
			list = append(list, c)
			continue
		}
		class := g.classes[c.Index]
		if removed[class] || !fits(left, counts[class]) {
			continue
		}
		removed[class] = true
		for _, n := range counts[class] {
			left[n.axis] -= n.slots
		}
		list = append(list, c)
	}
	return list
}

// share is how many slots of an axis a class has.
type share struct{ axis, slots int }

func fits(left []int, shares []share) bool {
	for _, n := range shares {
		if left[n.axis] <= n.slots {
			return false
		}
	}
	return true
}

// occupancy counts the slots of every axis, and by class where they are.
func (a *Analysis) occupancy() (sizes []int, byClass map[int32][]share) {
	x := a.axes
	byClass = make(map[int32][]share)
	for _, v := range x.values {
		for _, axis := range x.of[v] {
			at := len(sizes)
			sizes = append(sizes, axis.size)
			for i := range axis.size {
				c := x.find(axis.slot(i))
				if x.reason[c] != 0 {
					continue
				}
				list := byClass[c]
				if last := len(list) - 1; last >= 0 && list[last].axis == at {
					list[last].slots++
				} else {
					byClass[c] = append(list, share{at, 1})
				}
			}
		}
	}
	return sizes, byClass
}

// Selection puts channels into the form that [Remove] takes.
func Selection(list []Channel) map[string][]int {
	selection := make(map[string][]int)
	for _, c := range list {
		selection[c.Group] = append(selection[c.Group], c.Index)
	}
	return selection
}
