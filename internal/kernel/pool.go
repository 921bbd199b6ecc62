package kernel

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
)

// Pool is a fixed group of goroutines that kernels are spread over, together
// with the scratch memory they pack operands into. Scratch grows to what the
// largest call needed and is kept until the pool is collected.
//
// A Pool may be used from several goroutines: one call at a time is spread, the
// others run on their callers. Call [Pool.Close] to end the goroutines.
type Pool struct {
	set     Set
	threads int

	busy  atomic.Bool // held by the For that is spread, and for good after Close
	close sync.Once
	ended sync.WaitGroup

	// The call in progress; written by the holder of busy before it wakes helpers.
	body    func(worker, lo, hi int)
	n       int
	parts   int
	errs    []error // by worker
	pending atomic.Int32
	done    signal
	wake    []signal // by worker; the first is unused

	scratch32 freeList[gemm[float32]]
	scratch64 freeList[gemm[float64]]
	jobs32    freeList[job[float32]]
	jobs64    freeList[job[float64]]
	quantize  freeList[quantizing]
}

// NewPool starts a pool of the given number of threads, of which the caller of
// [Pool.For] is one; threads < 1 means one per processor that Go may use. A set
// that the machine lacks is lowered to [Best].
func NewPool(threads int, set Set) *Pool {
	if threads < 1 {
		threads = runtime.GOMAXPROCS(0)
	}
	p := &Pool{set: min(set, Best()), threads: threads, errs: make([]error, threads), wake: make([]signal, threads)}
	p.done.sleep = make(chan struct{}, 1)
	for w := 1; w < threads; w++ {
		p.wake[w].sleep = make(chan struct{}, 1)
		p.ended.Add(1)
		go p.help(w, 0)
	}
	return p
}

// Threads returns the number of threads, at least 1.
func (p *Pool) Threads() int { return p.threads }

// Set returns the instruction set in use.
func (p *Pool) Set() Set { return p.set }

// Close ends the pool's goroutines after the call in progress. A closed pool
// still works, on its caller alone. Close is idempotent.
func (p *Pool) Close() {
	p.close.Do(func() {
		for !p.busy.CompareAndSwap(false, true) {
			runtime.Gosched()
		}
		p.body = nil
		for w := 1; w < p.threads; w++ {
			p.wake[w].post()
		}
		p.ended.Wait()
	})
}

// For splits [0, n) into at most Threads contiguous ranges of at least grain
// elements (one range if n is less) and runs body on all of them at once. The
// caller is worker 0; worker is in [0, Threads) and no two ranges of one call
// share it, so it may index per-worker memory. Where ranges begin depends on
// the number of threads: a body must give the same result for any split.
//
// A call from inside a body, or while another goroutine's call is spread, runs
// whole on its caller as worker 0.
//
// A panic in a body becomes a [*PanicError]; ranges that did not panic are
// finished. Of several errors that of the lowest worker is returned.
func (p *Pool) For(n, grain int, body func(worker, lo, hi int)) error {
	if n <= 0 {
		return nil
	}
	parts := min(p.threads, max(1, n/max(1, grain)))
	if parts == 1 || !p.busy.CompareAndSwap(false, true) {
		return protect(body, 0, 0, n)
	}
	p.body, p.n, p.parts = body, n, parts
	p.pending.Store(int32(parts - 1))
	seen := p.done.count.Load()
	for w := 1; w < parts; w++ {
		p.wake[w].post()
	}
	p.share(0)
	p.done.wait(seen)
	var err error
	for w, e := range p.errs[:parts] {
		if err == nil {
			err = e
		}
		p.errs[w] = nil
	}
	p.body = nil
	p.busy.Store(false)
	return err
}

// share runs worker w's range of the call in progress.
func (p *Pool) share(w int) {
	lo, hi := p.n*w/p.parts, p.n*(w+1)/p.parts
	p.errs[w] = protect(p.body, w, lo, hi)
}

// help is the life of a helper: wait, run a range, report.
func (p *Pool) help(w int, seen uint32) {
	working := false
	defer func() {
		if working { // runtime.Goexit in a body took this goroutine: replace it
			p.errs[w] = fmt.Errorf("parallel loop: worker %d: body called runtime.Goexit", w)
			go p.help(w, seen)
			p.report()
			return
		}
		p.ended.Done()
	}()
	for {
		seen = p.wake[w].wait(seen)
		if p.body == nil {
			return
		}
		working = true
		p.share(w)
		working = false
		p.report()
	}
}

func (p *Pool) report() {
	if p.pending.Add(-1) == 0 {
		p.done.post()
	}
}

// signal is an event counter that one goroutine waits on.
type signal struct {
	count  atomic.Uint32
	asleep atomic.Bool
	sleep  chan struct{} // one slot, filled by the post that finds the waiter asleep
	_      [48]byte      // a cache line each
}

func (s *signal) post() {
	s.count.Add(1)
	if s.asleep.CompareAndSwap(true, false) {
		s.sleep <- struct{}{}
	}
}

// Waiters spin for some tens of microseconds before they sleep: consecutive
// loops of one model follow each other faster than the scheduler wakes a thread.
const (
	spinRounds = 200
	spinLoads  = 100
)

// wait returns the count once it differs from seen.
func (s *signal) wait(seen uint32) uint32 {
	for range spinRounds {
		for range spinLoads {
			if c := s.count.Load(); c != seen {
				return c
			}
		}
		runtime.Gosched()
	}
	for {
		s.asleep.Store(true)
		if s.count.Load() != seen && s.asleep.CompareAndSwap(true, false) {
			return s.count.Load()
		}
		<-s.sleep
		// The wake-up may come late, from a post this wait already knows of.
		if c := s.count.Load(); c != seen {
			return c
		}
	}
}

// PanicError is a panic that a loop body ended with.
type PanicError struct {
	Value any    // what was given to panic
	Stack string // innermost frames, "function file:line", joined by " < "
}

// Error implements error.
func (e *PanicError) Error() string {
	return fmt.Sprintf("parallel loop: panic: %v [%s]", e.Value, e.Stack)
}

// Unwrap returns Value if it is an error, or nil.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// protect runs body and turns a panic into an error.
func protect(body func(worker, lo, hi int), worker, lo, hi int) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &PanicError{r, innermost(6)}
		}
	}()
	body(worker, lo, hi)
	return nil
}

// innermost describes the frames that led to the panic being recovered.
func innermost(limit int) string {
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	var top []string
	for len(top) < limit {
		f, more := frames.Next()
		if f.Function != "" && !strings.HasPrefix(f.Function, "runtime.") {
			top = append(top, fmt.Sprintf("%s %s:%d", f.Function, filepath.Base(f.File), f.Line))
		}
		if !more {
			break
		}
	}
	return strings.Join(top, " < ")
}

// freeList keeps objects for reuse. Unlike sync.Pool it is never emptied, so a
// steady state does not allocate.
type freeList[T any] struct {
	mu   sync.Mutex
	free []*T
}

func (l *freeList[T]) get() *T {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.free); n > 0 {
		x := l.free[n-1]
		l.free = l.free[:n-1]
		return x
	}
	return new(T)
}

func (l *freeList[T]) put(x *T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free = append(l.free, x)
}
