package data

import (
	"bytes"
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// imageFile is one encoded image of a folder or archive.
type imageFile struct {
	name  string // slash-separated path inside the source
	class string // name of the folder it lies in; "" at the top
	data  []byte
}

func isImageName(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".jpg", ".jpeg", ".png":
		return !strings.HasPrefix(path.Base(name), ".")
	}
	return false
}

// openImageFolder reads DIR/CLASS/IMAGE, DIR/train/CLASS/IMAGE and
// DIR/test/CLASS/IMAGE, or without labels any arrangement.
func openImageFolder(dir string, o Options, unlabeled bool) (Source, error) {
	var files []imageFile
	left := o.maxBytes()
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !isImageName(filepath.ToSlash(p)) {
			return err
		}
		data, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		if left -= int64(len(data)); left < 0 {
			return tooLarge(o.maxBytes())
		}
		rel, err := filepath.Rel(dir, p)
		files = append(files, imageFile{name: filepath.ToSlash(rel), data: data})
		return err
	})
	if err != nil {
		return Source{}, fmt.Errorf("read images %q: %w", dir, err)
	}
	return imageSource(dir, files, o, unlabeled)
}

// imageSource sorts the images into splits and classes and decodes them.
func imageSource(name string, files []imageFile, o Options, unlabeled bool) (Source, error) {
	fail := func(err error) (Source, error) {
		return Source{}, fmt.Errorf("read images %q: %w", name, err)
	}
	if len(files) == 0 {
		return fail(fmt.Errorf("got no .jpg, .jpeg or .png files, want one folder of them per class"))
	}
	var sets [2]*Set
	classes := o.ClassNames
	splits := splitImages(files)
	for k, split := range splits {
		if len(split) == 0 {
			continue
		}
		var l labels
		if !unlabeled {
			var err error
			if l, err = folderLabels(split, classes); err != nil {
				return fail(err)
			}
			classes = l.names // of the training images, for the test images
		}
		pixels, shape, err := decodeImages(split, o.maxBytes())
		if err != nil {
			return fail(err)
		}
		full := name
		if len(splits[1]) > 0 {
			full += []string{" train", " test"}[k]
		}
		if sets[k], err = newSet(full, dense[uint8]{pixels, product(shape)}, shape, true, l, o); err != nil {
			return Source{}, err
		}
	}
	return pairSource(sets[0], sets[1])
}

// splitImages strips the folders that all images share, and separates a folder
// train from one test (or val, valid, validation) beside it. Images come sorted
// by class, then by path.
func splitImages(files []imageFile) (splits [2][]imageFile) {
	depth := sharedFolders(files)
	below := func(f imageFile) []string { return strings.Split(f.name, "/")[depth:] }
	tops := map[string]bool{}
	for _, f := range files {
		tops[below(f)[0]] = true
	}
	test := ""
	for _, name := range []string{"test", "val", "valid", "validation"} {
		if tops["train"] && tops[name] && len(tops) == 2 {
			test = name
		}
	}
	for _, f := range files {
		parts, k := below(f), 0
		if test != "" {
			if parts[0] == test {
				k = 1
			}
			parts = parts[1:]
		}
		if len(parts) > 1 {
			f.class = parts[0]
		}
		splits[k] = append(splits[k], f)
	}
	for _, s := range splits {
		slices.SortFunc(s, func(a, b imageFile) int {
			return cmp.Or(strings.Compare(a.class, b.class), strings.Compare(a.name, b.name))
		})
	}
	return splits
}

// sharedFolders is the number of leading folders that all images share and that
// are not their class: a single top folder with folders in it.
func sharedFolders(files []imageFile) int {
	depth := 0
	for {
		var first string
		for _, f := range files {
			parts := strings.Split(f.name, "/")
			if len(parts)-depth < 3 || (first != "" && parts[depth] != first) {
				return depth
			}
			first = parts[depth]
		}
		depth++
	}
}

// folderLabels makes the folder name the class, in the order of names or else
// alphabetically.
func folderLabels(files []imageFile, names []string) (labels, error) {
	cells := make([]string, len(files))
	for i, f := range files {
		if f.class == "" {
			return labels{}, fmt.Errorf("image %q: lies in no class folder", f.name)
		}
		cells[i] = f.class
	}
	return namedLabels(cells, Options{ClassNames: names})
}

// decodeImages decodes all images into one array: [1, H, W] if all are grey,
// else [3, H, W]. Errors are reported for the first bad image in order.
func decodeImages(files []imageFile, limit int64) (pixels []byte, shape []int, err error) {
	size, channels, err := imageShape(files)
	if err != nil {
		return nil, nil, err
	}
	if int64(size.X) > limit/int64(size.Y)/int64(channels*len(files)) {
		return nil, nil, fmt.Errorf("%d images of %d×%d pixels: %w", len(files), size.X, size.Y, tooLarge(limit))
	}
	each := channels * size.X * size.Y
	pixels = make([]byte, each*len(files))
	errs := make([]error, len(files))
	threads := min(runtime.GOMAXPROCS(0), len(files))
	var workers sync.WaitGroup
	for w := range threads {
		workers.Go(func() {
			for i := w; i < len(files); i += threads {
				errs[i] = decodeImage(pixels[i*each:(i+1)*each], files[i], channels)
			}
		})
	}
	workers.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, nil, err
		}
	}
	return pixels, []int{channels, size.Y, size.X}, nil
}

// imageShape reads the headers: one size for all, 1 channel if all are grey.
func imageShape(files []imageFile) (size image.Point, channels int, err error) {
	channels = 1
	for i, f := range files {
		config, err := decodeConfig(f)
		if err != nil {
			return size, 0, fmt.Errorf("image %q: %w", f.name, noEOF(err))
		}
		got := image.Pt(config.Width, config.Height)
		if i == 0 {
			size = got
		}
		if got != size {
			return size, 0, fmt.Errorf("image %q: size: got %d×%d, want %d×%d as %q",
				f.name, got.X, got.Y, size.X, size.Y, files[0].name)
		}
		if config.ColorModel != color.GrayModel && config.ColorModel != color.Gray16Model {
			channels = 3
		}
	}
	if size.X < 1 || size.Y < 1 {
		return size, 0, fmt.Errorf("image %q: size: got %d×%d, want at least 1×1", files[0].name, size.X, size.Y)
	}
	return size, channels, nil
}

// The format is told by the contents: extensions lie.
var pngMagic = []byte("\x89PNG\r\n\x1a\n")

func decodeConfig(f imageFile) (image.Config, error) {
	if bytes.HasPrefix(f.data, pngMagic) {
		return png.DecodeConfig(bytes.NewReader(f.data))
	}
	return jpeg.DecodeConfig(bytes.NewReader(f.data))
}

// decodeImage writes the planes of one image, whose size was checked, to dst.
func decodeImage(dst []byte, f imageFile, channels int) error {
	decode := func(r io.Reader) (image.Image, error) { return jpeg.Decode(r) }
	if bytes.HasPrefix(f.data, pngMagic) {
		decode = png.Decode
	}
	img, err := decode(bytes.NewReader(f.data))
	if err != nil {
		return fmt.Errorf("image %q: %w", f.name, noEOF(err))
	}
	b := img.Bounds()
	n := b.Dx() * b.Dy()
	if len(dst) != channels*n {
		return fmt.Errorf("image %q: size: got %d×%d, want what its header says", f.name, b.Dx(), b.Dy())
	}
	if ycc, ok := img.(*image.YCbCr); ok && channels == 3 {
		planesOfYCbCr(dst, ycc)
		return nil
	}
	for i := range n {
		at := img.At(b.Min.X+i%b.Dx(), b.Min.Y+i/b.Dx())
		if channels == 1 {
			dst[i] = color.GrayModel.Convert(at).(color.Gray).Y
			continue
		}
		// Transparency is dropped, not blended: the colour under it counts.
		c := color.NRGBAModel.Convert(at).(color.NRGBA)
		dst[i], dst[n+i], dst[2*n+i] = c.R, c.G, c.B
	}
	return nil
}
