// Command compactify shrinks trained models inside a budget.
//
// Results go to standard output, progress and errors to standard error; with
// --json exactly one JSON object is printed. The exit statuses are mapped from
// errors in one place, see exit.go.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	status := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}
