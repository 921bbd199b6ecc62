package main

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/internal/words"
)

// memoryLook is how often the resident memory is looked at under --max-memory.
const memoryLook = 10 * time.Millisecond

// overMemoryError says that the process came to hold more than --max-memory.
type overMemoryError struct{ used, cap int }

func (e *overMemoryError) Error() string {
	return fmt.Sprintf("--max-memory: stopped: the program came to hold %s, want at most %s", words.Size(e.used), words.Size(e.cap))
}

// watchMemory stops the command when it holds more than --max-memory and giving
// back what is free does not help. The function it returns ends the watch.
func (a *app) watchMemory() (end func()) {
	done := make(chan struct{})
	go func() {
		ticker := time.NewTicker(memoryLook)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
			}
			if engine.Resident() <= int(a.maxMemory) {
				continue
			}
			debug.FreeOSMemory()
			if used := engine.Resident(); used > int(a.maxMemory) {
				a.stop(&overMemoryError{used, int(a.maxMemory)})
				return
			}
		}
	}()
	return func() { close(done) }
}
