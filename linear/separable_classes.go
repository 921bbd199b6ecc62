package linear

import (
	"github.com/compactify/compactify/internal/separation"
)

// The likelihood of a multinomial problem has no maximum exactly if there are directions
// w_k with (w_y − w_k)·x ≥ 0 for every example and every class k other than its own, y,
// and not all 0: an inequality for each pair of an example and another class, in the
// directions of all classes but the last, whose direction may be taken to be 0.

// stacked are those inequalities; block k of the coordinates is class k's, its last one
// the intercept.
func (s *separated) stacked() separation.Points {
	rows := s.vectors()
	block := s.block()
	p := separation.Points{Dim: max(1, block*(s.classes-1))}
	for k, i := range s.examples {
		own := int(s.Y[i])
		for other := range s.classes {
			if other == own {
				continue
			}
			v := separation.Vector{Index: []int32{}}
			for class := range s.classes - 1 {
				sign := 0.0
				switch class {
				case own:
					sign = 1
				case other:
					sign = -1
				default:
					continue
				}
				s.appendTo(&v, rows[k], class*block, sign)
			}
			p.Rows = append(p.Rows, v)
		}
	}
	return p
}

// block is how many coordinates a class has.
func (s *separated) block() int {
	if s.intercept {
		return len(s.columns) + 1
	}
	return len(s.columns)
}

// appendTo adds a row and its intercept at coordinate base.
func (s *separated) appendTo(v *separation.Vector, row separation.Vector, base int, sign float64) {
	for k, x := range row.Value {
		if x == 0 {
			continue
		}
		j := k
		if row.Index != nil {
			j = int(row.Index[k])
		}
		v.Index, v.Value = append(v.Index, int32(base+j)), append(v.Value, sign*x)
	}
	if s.intercept {
		v.Index, v.Value = append(v.Index, int32(base+len(s.columns))), append(v.Value, sign)
	}
}

// example is that of inequality i.
func (s *separated) example(i int) int {
	if s.Family == Multinomial {
		i /= s.classes - 1
	}
	return s.examples[i]
}

// rival is the class that inequality i of a multinomial problem tells an example from.
func (s *separated) rival(i int) int {
	other := i % (s.classes - 1)
	if other >= int(s.Y[s.example(i)]) {
		other++
	}
	return other
}

// tied counts the examples of tied inequalities, which are ascending.
func (s *separated) tied(rows []int) int {
	count, last := 0, -1
	for _, i := range rows {
		if e := s.example(i); e != last {
			count, last = count+1, e
		}
	}
	return count
}

// centred are directions and intercepts of all classes, moved so that they add up to 0.
func (s *separated) centred(u []float64) (direction, intercept []float64) {
	block := s.block()
	direction = make([]float64, s.classes*s.X.cols)
	if s.intercept {
		intercept = make([]float64, s.classes)
	}
	for c := range block {
		mean := 0.0
		for k := range s.classes - 1 {
			mean += u[k*block+c] / float64(s.classes)
		}
		for k := range s.classes {
			x := -mean
			if k < s.classes-1 {
				x += u[k*block+c]
			}
			if c < len(s.columns) {
				direction[k*s.X.cols+s.columns[c]] = x
			} else {
				intercept[k] = x
			}
		}
	}
	return direction, intercept
}
