package kernel

import (
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestForCoversEachIndexOnce(t *testing.T) {
	for _, threads := range []int{1, 2, 3, 8} {
		p := newPool(t, threads, Portable)
		for _, n := range []int{0, 1, 2, 7, 100, 1000} {
			for _, grain := range []int{0, 1, 3, 2000} {
				seen := make([]atomic.Int32, n)
				var users [8]atomic.Int32
				err := p.For(n, grain, func(worker, lo, hi int) {
					if users[worker].Add(1) != 1 || hi <= lo {
						t.Errorf("worker %d: range [%d, %d): empty or a second one", worker, lo, hi)
					}
					if worker > 0 && hi-lo < grain {
						t.Errorf("range [%d, %d) is shorter than grain %d", lo, hi, grain)
					}
					for i := lo; i < hi; i++ {
						seen[i].Add(1)
					}
				})
				if err != nil {
					t.Fatal(err)
				}
				for i := range seen {
					if got := seen[i].Load(); got != 1 {
						t.Fatalf("%d threads, n %d, grain %d: index %d ran %d times", threads, n, grain, i, got)
					}
				}
			}
		}
	}
}

func TestForNestsAndShares(t *testing.T) {
	p := newPool(t, 3, Portable)
	var sum atomic.Int64
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for range 50 {
				if err := p.For(6, 1, func(_, lo, hi int) {
					for range hi - lo {
						if err := p.For(10, 1, func(worker, lo, hi int) {
							if worker != 0 && lo == 0 {
								t.Error("nested call: range 0 not on worker 0")
							}
							sum.Add(int64(hi - lo))
						}); err != nil {
							t.Error(err)
						}
					}
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	callers.Wait()
	if got := sum.Load(); got != 4*50*6*10 {
		t.Errorf("inner iterations: got %d, want %d", got, 4*50*6*10)
	}
}

func TestForTurnsPanicIntoError(t *testing.T) {
	cause := errors.New("boom")
	for _, threads := range []int{1, 2, 4} {
		p := newPool(t, threads, Portable)
		for range 20 {
			var done atomic.Int32
			err := p.For(4, 1, func(_, lo, hi int) {
				done.Add(int32(hi - lo))
				panic(cause)
			})
			var pe *PanicError
			if !errors.As(err, &pe) || !errors.Is(err, cause) {
				t.Fatalf("%d threads: got error %v, want one that wraps %v", threads, err, cause)
			}
			if !strings.Contains(err.Error(), "TestForTurnsPanicIntoError") {
				t.Fatalf("error %q does not name the function that panicked", err)
			}
			if done.Load() != 4 {
				t.Fatalf("iterations started: got %d, want 4", done.Load())
			}
		}
		if err := p.For(4, 1, func(_, _, _ int) {}); err != nil {
			t.Errorf("pool after a panic: %v", err)
		}
	}
}

func TestForSurvivesGoexit(t *testing.T) {
	p := newPool(t, 2, Portable)
	for range 3 {
		err := p.For(2, 1, func(worker, _, _ int) {
			if worker == 1 {
				runtime.Goexit()
			}
		})
		if err == nil || !strings.Contains(err.Error(), "Goexit") {
			t.Fatalf("got error %v, want one about Goexit", err)
		}
	}
}

func TestClosedPoolWorksSerially(t *testing.T) {
	before := runtime.NumGoroutine()
	p := NewPool(4, Portable)
	p.Close()
	p.Close()
	if now := runtime.NumGoroutine(); now > before {
		t.Errorf("goroutines after Close: got %d, want at most %d", now, before)
	}
	n := 0
	if err := p.For(9, 1, func(_, lo, hi int) { n += hi - lo }); err != nil || n != 9 {
		t.Errorf("closed pool: ran %d of 9, error %v", n, err)
	}
}

func TestForDoesNotAllocate(t *testing.T) {
	p := newPool(t, 2, Portable)
	var hits [2]int
	body := func(worker, _, _ int) { hits[worker]++ }
	if n := testing.AllocsPerRun(100, func() {
		if err := p.For(2, 1, body); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}

func TestParseSet(t *testing.T) {
	for s := Portable; s <= AVX512; s++ {
		got, err := ParseSet(s.String())
		if (err == nil) != (s <= Best()) || err == nil && got != s {
			t.Errorf("ParseSet(%q) = %v, %v on a machine with %v", s, got, err, Best())
		}
	}
	if got, err := ParseSet("auto"); err != nil || got != Best() {
		t.Errorf("ParseSet(auto) = %v, %v, want %v", got, err, Best())
	}
	if _, err := ParseSet("mmx"); err == nil {
		t.Error("ParseSet(mmx): got no error")
	}
}

func BenchmarkFor(b *testing.B) {
	p := newPool(b, 2, Portable)
	var hits [2]struct {
		n int
		_ [56]byte
	}
	body := func(worker, _, _ int) { hits[worker].n++ }
	b.ReportAllocs()
	for b.Loop() {
		if err := p.For(2, 1, body); err != nil {
			b.Fatal(err)
		}
	}
}

// A post that is held up between counting and waking must not end the next wait.
func TestWaitIgnoresLateWakeUp(t *testing.T) {
	s := &signal{sleep: make(chan struct{}, 1)}
	s.count.Add(1) // a post, held up after counting
	seen := s.wait(0)
	done := make(chan uint32)
	go func() { done <- s.wait(seen) }()
	for !s.asleep.Load() {
		runtime.Gosched()
	}
	if s.asleep.CompareAndSwap(true, false) { // the post goes on
		s.sleep <- struct{}{}
	}
	select {
	case c := <-done:
		t.Fatalf("wait returned count %d without a new post", c)
	case <-time.After(20 * time.Millisecond):
	}
	s.post()
	if c := <-done; c != seen+1 {
		t.Errorf("count: got %d, want %d", c, seen+1)
	}
}
