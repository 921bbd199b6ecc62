package kernel

//go:generate go run ./asm -family winograd -out winograd_kernels_amd64.s -stubs winograd_kernels_amd64.go -pkg kernel

var winogradSets = [...]winogradSet{
	Portable: {winogradInputGo, winogradOutputGo},
	AVX2: {
		func(a *winogradArgs) { swinogradInputAVX2(a.raw()) },
		func(a *winogradArgs) { swinogradOutputAVX2(a.raw()) },
	},
	AVX512: {
		func(a *winogradArgs) { swinogradInputAVX512(a.raw()) },
		func(a *winogradArgs) { swinogradOutputAVX512(a.raw()) },
	},
}
