package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/compactify/compactify/tensor"
)

// dtypes lists the number types that safetensors has, in the reference
// implementation's order: of never decreasing width. Its 8-bit E4M3 is the
// finite one.
var dtypes = []struct {
	name  string
	dtype tensor.DType
}{
	{"BOOL", tensor.Bool}, {"F4", tensor.Float4E2M1}, {"U8", tensor.Uint8}, {"I8", tensor.Int8},
	{"F8_E5M2", tensor.Float8E5M2}, {"F8_E4M3", tensor.Float8E4M3FN}, {"F8_E8M0", tensor.Float8E8M0},
	{"F8_E4M3FNUZ", tensor.Float8E4M3FNUZ}, {"F8_E5M2FNUZ", tensor.Float8E5M2FNUZ},
	{"I16", tensor.Int16}, {"U16", tensor.Uint16}, {"F16", tensor.Float16}, {"BF16", tensor.BFloat16},
	{"I32", tensor.Int32}, {"U32", tensor.Uint32}, {"F32", tensor.Float32},
	{"C64", tensor.Complex64}, {"F64", tensor.Float64}, {"I64", tensor.Int64}, {"U64", tensor.Uint64},
}

// rank is a number type's place in dtypes, -1 if safetensors does not have it.
func rank(d tensor.DType) int {
	for i, row := range dtypes {
		if row.dtype == d {
			return i
		}
	}
	return -1
}

const metadataKey = "__metadata__"

// header is the parsed header.
type header struct {
	tensors  []info
	metadata map[string]string
}

// info is a tensor's entry in the header.
type info struct {
	name       string
	dtype      string
	shape      []int
	begin, end int
}

func parseHeader(data []byte) (*header, error) {
	if len(data) == 0 || data[0] != '{' {
		return nil, errors.New("want JSON that begins with {")
	}
	if !utf8.Valid(data) {
		return nil, errors.New("not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	h := &header{}
	err := eachMember(dec, func(key string) (err error) {
		if key == metadataKey {
			h.metadata, err = parseMetadata(dec)
			return err
		}
		t := info{name: key}
		if err := t.parse(dec); err != nil {
			return fmt.Errorf("tensor %q: %w", key, err)
		}
		h.tensors = append(h.tensors, t)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("something follows the JSON object")
	}
	return h, nil
}

// eachMember visits the members of a JSON object; visit consumes the value.
func eachMember(dec *json.Decoder, visit func(key string) error) error {
	if err := expect(dec, '{'); err != nil {
		return err
	}
	seen := make(map[string]bool)
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return noEOF(err)
		}
		key, ok := token.(string)
		if !ok {
			return fmt.Errorf("got %v, want a name", token)
		}
		if seen[key] {
			return fmt.Errorf("name %q: given twice", key)
		}
		seen[key] = true
		if err := visit(key); err != nil {
			return err
		}
	}
	return expect(dec, '}')
}

func expect(dec *json.Decoder, want json.Delim) error {
	token, err := dec.Token()
	if err != nil {
		return noEOF(err)
	}
	if token != want {
		return fmt.Errorf("got %v, want %v", token, want)
	}
	return nil
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func parseMetadata(dec *json.Decoder) (map[string]string, error) {
	m := make(map[string]string)
	err := eachMember(dec, func(key string) error {
		token, err := dec.Token()
		if err != nil {
			return noEOF(err)
		}
		text, ok := token.(string)
		if !ok {
			return fmt.Errorf("%s %q: got %v, want a string", metadataKey, key, token)
		}
		m[key] = text
		return nil
	})
	return m, err
}

func (t *info) parse(dec *json.Decoder) error {
	found := 0
	err := eachMember(dec, func(key string) error {
		switch key {
		case "dtype":
			found++
			token, err := dec.Token()
			if err != nil {
				return noEOF(err)
			}
			name, ok := token.(string)
			if !ok {
				return fmt.Errorf("dtype: got %v, want a name", token)
			}
			t.dtype = name
		case "shape":
			found++
			var err error
			if t.shape, err = parseSizes(dec); err != nil {
				return fmt.Errorf("shape: %w", err)
			}
		case "data_offsets":
			found++
			list, err := parseSizes(dec)
			if err == nil && len(list) != 2 {
				err = fmt.Errorf("got %d numbers, want 2", len(list))
			}
			if err != nil {
				return fmt.Errorf("data_offsets: %w", err)
			}
			t.begin, t.end = list[0], list[1]
		default:
			return fmt.Errorf("got key %q, want dtype, shape and data_offsets", key)
		}
		return nil
	})
	if err == nil && found != 3 {
		err = fmt.Errorf("got %d keys, want dtype, shape and data_offsets", found)
	}
	return err
}

// parseSizes reads an array of whole numbers.
func parseSizes(dec *json.Decoder) ([]int, error) {
	if err := expect(dec, '['); err != nil {
		return nil, err
	}
	list := []int{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, noEOF(err)
		}
		number, ok := token.(json.Number)
		n, err := strconv.ParseUint(number.String(), 10, 64)
		if !ok || err != nil || n > math.MaxInt {
			return nil, fmt.Errorf("got %v, want a whole number", token)
		}
		list = append(list, int(n))
	}
	return list, expect(dec, ']')
}

// file gives the tensors their data, all of which must be covered.
func (h *header) file(data []byte) (*File, error) {
	slices.SortStableFunc(h.tensors, func(a, b info) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end))
	})
	f := &File{Metadata: h.metadata, Tensors: make([]Named, 0, len(h.tensors))}
	end := 0
	for _, t := range h.tensors {
		switch {
		case t.begin < end:
			return nil, fmt.Errorf("tensor %q: data_offsets: got %d, want %d: it overlaps the one before", t.name, t.begin, end)
		case t.begin > end:
			return nil, fmt.Errorf("tensor %q: data_offsets: got %d, want %d: the bytes between belong to no tensor", t.name, t.begin, end)
		case t.end < t.begin || t.end > len(data):
			return nil, fmt.Errorf("tensor %q: data_offsets: got %d to %d of %d bytes", t.name, t.begin, t.end, len(data))
		}
		v, err := t.tensor(data[t.begin:t.end:t.end])
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.name, err)
		}
		f.Tensors = append(f.Tensors, Named{t.name, v})
		end = t.end
	}
	if end != len(data) {
		return nil, fmt.Errorf("data: got %d bytes, want %d as the header says", len(data), end)
	}
	return f, nil
}

func (t *info) tensor(raw []byte) (tensor.Tensor, error) {
	d := tensor.Undefined
	for _, row := range dtypes {
		if row.name == t.dtype {
			d = row.dtype
		}
	}
	if d == tensor.Undefined {
		return tensor.Tensor{}, fmt.Errorf("dtype: got %q, want a type such as F32", t.dtype)
	}
	v, err := tensor.FromRaw(d, t.shape, raw)
	if err != nil {
		return tensor.Tensor{}, err
	}
	return v, wholeBytes(v)
}

// wholeBytes refuses 4-bit tensors that end inside a byte, which the format does
// not allow.
func wholeBytes(t tensor.Tensor) error {
	if t.DType().Bits() < 8 && t.Len()*t.DType().Bits()%8 != 0 {
		return fmt.Errorf("%v: ends inside a byte", t)
	}
	return nil
}

// layout returns the header, its length included, and the tensors in the order
// of their data.
func layout(f *File) ([]byte, []Named, error) {
	order := slices.Clone(f.Tensors)
	slices.SortStableFunc(order, func(a, b Named) int {
		return cmp.Or(cmp.Compare(rank(b.DType()), rank(a.DType())), cmp.Compare(a.Name, b.Name))
	})
	head := bytes.NewBuffer(make([]byte, 8))
	head.WriteByte('{')
	sep := ""
	if len(f.Metadata) > 0 {
		if err := checkText(f.Metadata); err != nil {
			return nil, nil, err
		}
		fmt.Fprintf(head, "%s:%s", quote(metadataKey), quote(f.Metadata)) // maps are written in the order of their keys
		sep = ","
	}
	seen, offset := make(map[string]bool, len(order)), 0
	for _, t := range order {
		place := rank(t.DType())
		switch {
		case place < 0:
			return nil, nil, fmt.Errorf("tensor %q: safetensors has no name for number type %v", t.Name, t.DType())
		case seen[t.Name] || t.Name == metadataKey:
			return nil, nil, fmt.Errorf("tensor %q: the name is taken", t.Name)
		case !utf8.ValidString(t.Name):
			return nil, nil, fmt.Errorf("tensor %q: the name is not UTF-8", t.Name)
		}
		if err := wholeBytes(t.Tensor); err != nil {
			return nil, nil, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		seen[t.Name] = true
		shape := t.Shape()
		if shape == nil {
			shape = []int{}
		}
		end := offset + len(t.Raw())
		fmt.Fprintf(head, `%s%s:{"dtype":%s,"shape":%s,"data_offsets":[%d,%d]}`, sep, quote(t.Name), quote(dtypes[place].name), quote(shape), offset, end)
		sep, offset = ",", end
	}
	head.WriteByte('}')
	for head.Len()%8 != 0 {
		head.WriteByte(' ')
	}
	size := head.Len() - 8
	if size > MaxHeader {
		return nil, nil, fmt.Errorf("header: got %d bytes, want at most %d", size, MaxHeader)
	}
	binary.LittleEndian.PutUint64(head.Bytes(), uint64(size))
	return head.Bytes(), order, nil
}

// checkText refuses metadata that JSON would silently change.
func checkText(m map[string]string) error {
	for key, text := range m {
		if !utf8.ValidString(key) || !utf8.ValidString(text) {
			return fmt.Errorf("%s %q: not UTF-8", metadataKey, key)
		}
	}
	return nil
}

// quote is a value in JSON. Strings, sizes and maps of strings always have one.
func quote(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(fmt.Sprintf("safetensors: JSON of %v: %v", v, err))
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
