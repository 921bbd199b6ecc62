package engine

import (
	"slices"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// chain is several elementwise nodes as one step, see [compiler.fuseChains]: an
// operator of this package with any number of inputs, which broadcast, and of
// outputs. Some of these are of the one shape that the chain computes in; behind
// them come sums of such values. Its attributes are those of chainCode.
const (
	chain     = "Chain"
	chainKind = graph.DomainInternal + "." + chain
)

// chainCode is what a chain computes. Values are numbered: inputs first, then the
// result of each operation.
type chainCode struct {
	ops     []string  // operations by name, see [kernel.Link]
	args    []int     // two per operation: the values it reads; −1 for none
	factors []float32 // by operation
	outputs []int     // the value that each output is, sums excepted
	sums    []int     // the values that are summed
	means   []int     // by sum: 1 if it is divided by the number of terms
	shape   []int     // that the chain computes in
	kept    []int     // of summed values as [A, B, C]: B and C; sums are over A and C
}

func (c *chainCode) attributes() graph.Attributes {
	return graph.Attributes{graph.Strings("ops", c.ops...), graph.Ints("args", c.args...),
		graph.Floats("factors", c.factors...), graph.Ints("outputs", c.outputs...),
		graph.Ints("sums", c.sums...), graph.Ints("means", c.means...), graph.Ints("shape", c.shape...), graph.Ints("kept", c.kept...)}
}

func chainCodeOf(n *graph.Node) *chainCode {
	ops, _ := n.Attrs.Get("ops")
	return &chainCode{ops.Strings, n.Attrs.Ints("args"), n.Attrs.Floats("factors"), n.Attrs.Ints("outputs"),
		n.Attrs.Ints("sums"), n.Attrs.Ints("means"), n.Attrs.Ints("shape"), n.Attrs.Ints("kept")}
}

// lastRead is the last operation that reads value v; −1 if none does.
func (c *chainCode) lastRead(v int) int {
	last := -1
	for k, a := range c.args {
		if a == v {
			last = k / 2
		}
	}
	if slices.Contains(c.sums, v) {
		last = len(c.ops)
	}
	return last
}

// overwrites reports whether output k may take over the memory of dense input i:
// from the operation on that writes it, nobody reads the input.
func (c *chainCode) overwrites(inputs, k, i int) bool {
	return k < len(c.outputs) && c.outputs[k]-inputs >= c.lastRead(i)
}

// chainBlock is about how many elements go through all operations before the
// next: a few slices of so many stay in the first-level cache.
const chainBlock = 2048

func chainKernels() map[string]prepare {
	return map[string]prepare{
		chainKind: variants{tensor.Float32: bindChain[float32], tensor.Float64: bindChain[float64]}.by(0),
	}
}

// chainStep is a bound chain.
type chainStep[T float] struct {
	s        *site
	code     *kernel.Chain[T]
	size     int // elements of the shape computed in
	block    int // elements at a time, the last time less
	blocks   int
	body     func(worker, lo, hi int)
	operands []chainOperand
	register []int // by value: of the block's scratch, −1 for one that lies elsewhere
	outputs  []int // by value: the output that it is, −1 for none
	count    int   // registers
	memory   *scratch
	cycle    *scratch           // operands that repeat themselves, expanded
	base     [][]T              // by value: the whole tensor, or the cycle
	slices   [][][]T            // by worker and value: of the block under way
	filler   []kernel.Filler[T] // by worker

	sums, means []int
	kept        int      // B of [A, B, C]
	row         int      // C
	stretches   int      // the most that a block has
	partial     *scratch // sums of stretches, by sum, block and stretch; then sums by row of B
}

// chainOperand is how a chain reads an input.
type chainOperand struct {
	n     *nest
	dense bool // element i of the output reads element i
	cycle int  // how many expanded elements repeat; 0 for an operand to expand block by block
	at    int  // the start of these in the step's cycles
}

func bindChain[T float](s *site) (func() error, error) {
	code := chainCodeOf(s.node)
	c := &chainStep[T]{s: s, size: elements(code.shape)}
	if err := c.bindOperands(code.shape); err != nil {
		return nil, err
	}
	c.place(code)
	links := make([]kernel.Link, len(code.ops))
	for i, op := range code.ops {
		links[i] = kernel.Link{Op: op, Dst: len(s.in) + i, X: code.args[2*i], Y: code.args[2*i+1], Factor: float64(code.factors[i])}
	}
	var err error
	if c.code, err = kernel.NewChain[T](links); err != nil {
		return nil, s.errorf("%w", err)
	}
	c.memory = s.scratch(elementBytes[T]() * c.block * c.count * s.pool.Threads())
	c.base = make([][]T, len(s.in)+len(links))
	for range s.pool.Threads() {
		c.slices = append(c.slices, make([][]T, len(c.base)))
	}
	c.filler = make([]kernel.Filler[T], s.pool.Threads())
	c.blocks = (c.size + c.block - 1) / c.block
	c.bindSums(code)
	c.body = c.run
	grain := 1 + elementGrain/(c.block*max(1, len(links)))
	return func() error { return c.do(grain) }, nil
}

// do expands the operands that repeat themselves, runs all blocks and adds up the
// sums.
func (c *chainStep[T]) do(grain int) error {
	for v := range c.base {
		switch {
		case v < len(c.operands) && c.operands[v].cycle > 0:
			o := &c.operands[v]
			c.base[v] = scratchOf[T](c.cycle)[o.at:][:o.cycle]
			c.expand(0, v, 0, o.cycle, c.base[v])
		case v < len(c.operands):
			c.base[v] = tensor.Data[T](*c.s.in[v])
		case c.outputs[v] >= 0:
			c.base[v] = tensor.Data[T](*c.s.out[c.outputs[v]])
		}
	}
	if err := c.s.pool.For(c.blocks, grain, c.body); err != nil {
		return err
	}
	for k := range c.sums {
		c.finish(k)
	}
	return nil
}

// maxCycle bounds the elements of an expanded operand: a quarter of a second-level
// cache.
const maxCycle = 1 << 16

// bindOperands finds how each input is read. An operand that repeats itself is
// expanded once for all blocks; the longest such period decides on the block.
func (c *chainStep[T]) bindOperands(shape []int) error {
	period := 1
	for i := range c.s.in {
		n, err := newNest(shape, broadcastStrides(c.s.inShape(i), shape))
		if err != nil {
			return c.s.errorf("%w", err)
		}
		o := chainOperand{n: n, dense: len(n.dims) == 1 && n.strides[0][0] == 1 || n.size == 1}
		c.operands = append(c.operands, o)
		if p := o.period(); p <= maxCycle && p%period == 0 && blockOf(p) > 0 {
			period = p
		}
	}
	c.block = max(1, min(blockOf(period), c.size))
	cycles := 0
	for i := range c.operands {
		o := &c.operands[i]
		switch p := o.period(); {
		case o.dense || o.n.strides[0][0] != 0:
		case c.block%p == 0 || c.block == c.size:
			o.cycle = c.block
		case p%c.block == 0 && p <= maxCycle:
			o.cycle = p
		}
		o.at = cycles
		cycles += o.cycle
	}
	c.cycle = c.s.scratch(elementBytes[T]() * cycles)
	return nil
}

// blockOf is the elements of a block that fits operands of a period: a multiple
// of it, or an even part; 0 if there is no such part of a good size.
func blockOf(period int) int {
	if period <= chainBlock {
		return chainBlock / period * period
	}
	for parts := (period + chainBlock - 1) / chainBlock; period/parts >= chainBlock/4; parts++ {
		if period%parts == 0 {
			return period / parts
		}
	}
	return 0
}

// period is after how many elements of the output the operand repeats itself.
func (o *chainOperand) period() int {
	if o.dense || o.n.strides[0][0] != 0 {
		return max(1, o.n.size)
	}
	p := 1
	for _, d := range o.n.dims[1:] {
		p *= d
	}
	return max(1, p)
}

// place gives values registers for as long as they are read.
func (c *chainStep[T]) place(code *chainCode) {
	inputs := len(c.s.in)
	c.register, c.outputs = make([]int, inputs+len(code.ops)), make([]int, inputs+len(code.ops))
	for v := range c.register {
		c.register[v], c.outputs[v] = -1, -1
		if v < inputs && !c.operands[v].dense && c.operands[v].cycle == 0 {
			c.register[v] = c.count
			c.count++
		}
	}
	for k, v := range code.outputs {
		c.outputs[v] = k
	}
	var free []int
	for i := range code.ops {
		for k, v := range code.args[2*i : 2*i+2] {
			again := k == 1 && v == code.args[2*i]
			if v >= inputs && c.register[v] >= 0 && code.lastRead(v) == i && !again {
				free = append(free, c.register[v])
			}
		}
		v := inputs + i
		switch {
		case c.outputs[v] >= 0:
		case len(free) > 0:
			c.register[v] = free[len(free)-1]
			free = free[:len(free)-1]
		default:
			c.register[v] = c.count
			c.count++
		}
	}
}

// run computes blocks [lo, hi).
func (c *chainStep[T]) run(worker, lo, hi int) {
	values := c.slices[worker]
	memory := scratchOf[T](c.memory)[worker*c.count*c.block:]
	for b := lo; b < hi; b++ {
		at := b * c.block
		n := min(c.block, c.size-at)
		for v := range values {
			r := c.register[v]
			switch {
			case r < 0 && v < len(c.operands) && c.operands[v].cycle > 0:
				values[v] = c.base[v][at%c.operands[v].cycle:][:n]
			case r < 0:
				values[v] = c.base[v][at:][:n]
			default:
				values[v] = memory[r*c.block:][:n]
				if v < len(c.operands) {
					c.expand(worker, v, at, n, values[v])
				}
			}
		}
		c.code.Run(c.s.pool.Set(), values)
		for k, v := range c.sums {
			c.add(k, b, values[v])
		}
	}
}

// expand copies what elements [at, at+n) of the output read of input i.
func (c *chainStep[T]) expand(worker, i, at, n int, dst []T) {
	x, nest := tensor.Data[T](*c.s.in[i]), c.operands[i].n
	step := nest.step(0)
	for w := nest.from(at, at+n); w.next(); {
		to, from := dst[w.pos-at:][:w.len], x[w.off[0]:]
		switch {
		case step != 0:
			copy(to, from)
		case w.len < shortFill:
			fill(to, from[0])
		default:
			c.filler[worker].Fill(c.s.pool.Set(), to, from[0])
		}
	}
}

// shortFill is up to how many elements a plain loop is faster.
const shortFill = 32

// bindSums prepares sums over A and C of values seen as [A, B, C]. A block adds up
// each stretch of a row of C that it holds; the stretches are added in order.
func (c *chainStep[T]) bindSums(code *chainCode) {
	c.sums, c.means = code.sums, code.means
	if len(c.sums) == 0 {
		return
	}
	c.kept, c.row = code.kept[0], code.kept[1]
	c.stretches = c.block/c.row + 2
	c.partial = c.s.scratch(8 * (len(c.sums)*c.blocks*c.stretches + c.kept))
}

// partials is where the sums of block b's stretches for sum k stand.
func (c *chainStep[T]) partials(k, b int) []float64 {
	return scratchOf[float64](c.partial)[(k*c.blocks+b)*c.stretches:][:c.stretches]
}

// add sums the stretches of block b: the rest of a row, whole rows, and the start
// of one.
func (c *chainStep[T]) add(k, b int, x []T) {
	sums, set := c.partials(k, b), c.s.pool.Set()
	if first := min((c.row-b*c.block%c.row)%c.row, len(x)); first > 0 {
		kernel.RowSums(set, sums[:1], x[:first], first)
		x, sums = x[first:], sums[1:]
	}
	whole := len(x) / c.row
	kernel.RowSums(set, sums[:whole], x[:whole*c.row], c.row)
	if x = x[whole*c.row:]; len(x) > 0 {
		kernel.RowSums(set, sums[whole:whole+1], x, len(x))
	}
}

// finish adds up the stretches of sum k.
func (c *chainStep[T]) finish(k int) {
	acc := scratchOf[float64](c.partial)[len(c.sums)*c.blocks*c.stretches:][:c.kept]
	clear(acc)
	entry, left := 0, c.row // of B, and elements until the next one
	for b := range c.blocks {
		n := min(c.block, c.size-b*c.block)
		for _, sum := range c.partials(k, b) {
			if n == 0 {
				break
			}
			acc[entry] += sum
			took := min(n, left)
			n -= took
			if left -= took; left == 0 {
				left = c.row
				if entry++; entry == c.kept {
					entry = 0
				}
			}
		}
	}
	y := tensor.Data[T](*c.s.out[len(c.s.out)-len(c.sums)+k])
	for i, sum := range acc {
		if c.means[k] != 0 {
			sum /= float64(c.size / c.kept)
		}
		y[i] = T(sum)
	}
}
