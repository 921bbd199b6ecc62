// Package data reads labelled examples and makes the built-in ones.
//
// [Open] turns a specification into a [Source]: a training set and, when the
// source brings one, a test set. A specification is one of
//
//	glyphs                   the built-in digits: 12,000 training and 2,000 test images [1, 28, 28]
//	DIR                      IDX files under the names MNIST uses; CIFAR-10 batches; or JPEG and PNG
//	                         images, one folder per class, possibly below train/ and test/
//	FILE.npz                 NumPy arrays x and y, optionally x_test and y_test; or, for a model that is
//	                         known, one array per input, named like it, and y
//	FILE.safetensors         the same, one tensor per input, NAME or in/NAME
//	FILE.csv[.gz]            comma-separated values, one labelled example per row
//	FILE.tar[.gz]            images, one folder per class
//	FILE.bin[.gz]            CIFAR-10 binary records
//	FILE[.gz]                LIBSVM text, "label index:value …"
//	unlabeled:ANY-OF-THESE   the same without labels
//
// A [Set] keeps examples as they were stored, a byte image as bytes, and scales
// them when [Set.Fill] writes them into a batch:
//
//	image bytes    x/255 by default, (x/255 − mean)/std with Normalize, x with Raw
//	other numbers  x by default, (x − mean)/std with Normalize
//
// Image bytes are images from JPEG, PNG and CIFAR-10 files, glyphs, and unsigned
// bytes in an IDX file or NumPy array with at least two dimensions per example.
// A flat row of unsigned bytes counts as numbers.
//
// Nothing here is random except glyphs and [Split], and both draw from streams
// named by a seed: equal inputs give equal sets on any number of threads.
package data
