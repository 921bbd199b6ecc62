//go:build !amd64

package kernel

var winogradSets = [...]winogradSet{Portable: {winogradInputGo, winogradOutputGo}}
