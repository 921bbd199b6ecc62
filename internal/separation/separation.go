// Package separation decides whether a hyperplane separates two classes of points,
// and proves it.
package separation
