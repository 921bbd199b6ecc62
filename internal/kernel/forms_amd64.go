package kernel

import "golang.org/x/sys/cpu"

// Assembly of compact forms, by set.
var (
	lowBitKernels = [...]lowBitSet{
		Portable: {},
		AVX2: {
			multiply:  [5]func(*int){1: lowBit1AVX2, 2: lowBit2AVX2, 4: lowBit4AVX2},
			expand:    [5]func(*int){1: lowBitExpand1AVX2, 2: lowBitExpand2AVX2, 4: lowBitExpand4AVX2},
			wideLanes: [2]int{32, 16},
		},
		AVX512: {
			multiply:  [5]func(*int){1: lowBit1AVX512, 2: lowBit2AVX512, 4: lowBit4AVX512},
			expand:    [5]func(*int){1: lowBitExpand1AVX512, 2: lowBitExpand2AVX512, 4: lowBitExpand4AVX512},
			wideLanes: [2]int{64, 64},
		},
	}
	sparseKernels = [...]sparseSet{
		Portable: {blockRows: 4},
		AVX2:     {blocks: sparseBlocksAVX2, blockRows: 6, four: twoOfFourAVX2, row: sparseRowAVX2},
		AVX512:   {blocks: sparseBlocksAVX512, blockRows: 12, four: twoOfFourAVX512, row: sparseRowAVX512},
	}
	signKernels = [...]signSet{
		Portable: {rows: 1},
		AVX2:     {count: signsAVX2, rows: 1, pack: packSignsAVX2},
		AVX512:   signsOf512(),
	}
)

// signsOf512 counts with AVX2 on machines whose AVX-512 lacks population counts.
func signsOf512() signSet {
	if cpu.X86.HasAVX512VPOPCNTDQ {
		return signSet{count: signsAVX512, rows: 4, pack: packSignsAVX2}
	}
	return signSet{count: signsAVX2, rows: 1, pack: packSignsAVX2}
}
