// Package algebra is small dense linear algebra in double precision.
package algebra
