// Package kernel holds the hot loops: matrix products, vector kernels and the
// goroutines they are spread over.
//
// Every function works on plain slices and takes a [*Pool], which names the
// instruction [Set] and the number of threads. Each loop exists in portable Go;
// where it pays there is an assembly twin, generated with avo (see asm/).
//
// # Determinism
//
// For a given set, results have the same bits at any thread count: work is split
// over outputs, never over sums; blocking depends on shapes only. Portable code
// rounds every product before adding it, so that it gives the same bits on
// machines whose compilers fuse multiply and add.
//
// # Errors
//
// Slices too short for the stated shape are a programmer's mistake and panic
// before any element is touched. [Pool.For] turns a panic in a body into an
// error, wherever it runs.
package kernel

//go:generate go run ./asm -out kernels_amd64.s -stubs kernels_amd64.go -pkg kernel

// Float is a number type that the kernels compute with.
type Float interface{ float32 | float64 }
