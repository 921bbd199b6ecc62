package engine

// kernelFamilies lists the kernels, one file per family.
func kernelFamilies() []map[string]prepare {
	return []map[string]prepare{
		elementwiseKernels(), unaryKernels(), linearKernels(), movementKernels(), viewKernels(),
	}
}

// views are operators whose output is their first input in another shape, in
// the same memory.
var views = map[string]bool{
	"Identity": true, "Reshape": true, "Flatten": true, "Squeeze": true, "Unsqueeze": true,
}

// inPlace are elementwise operators whose kernels may write over an input of
// the output's type.
var inPlace = map[string]bool{"Add": true}

// dynamicOnly are operators bound anew at each run even if all shapes are known.
var dynamicOnly = map[string]bool{}

// impure are operators that folding must leave alone: their results differ from
// run to run.
var impure = map[string]bool{"RandomNormal": true, "RandomUniform": true, "RandomNormalLike": true,
	"RandomUniformLike": true, "Bernoulli": true, "Multinomial": true}
