// Package rational is exact linear algebra over the rational numbers.
package rational
