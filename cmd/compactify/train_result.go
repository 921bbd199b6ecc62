package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/compress"
	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/format/onnx"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/jsonnum"
	"github.com/compactify/compactify/internal/words"
	"github.com/compactify/compactify/train"
)

// trainResult is the JSON object of train.
type trainResult struct {
	Arch       string        `json:"arch"`
	Params     int           `json:"params"`
	Epochs     []epochResult `json:"epochs"`
	Metric     jsonnum.Float `json:"metric"` // on the held-out examples
	MetricName string        `json:"metric_name"`
	Loss       jsonnum.Float `json:"loss"`
	HeldOut    int           `json:"held_out"`
	Lyapunov   lyapunov      `json:"lyapunov"`
	Boundary   boundary      `json:"boundary"`
	Recomputed *recomputed   `json:"recomputed,omitempty"`
	Files      trainFiles    `json:"files"`
	Bytes      int           `json:"bytes"`
	Seed       uint64        `json:"seed"`
}

type epochResult struct {
	Loss   jsonnum.Float `json:"loss"`
	Metric jsonnum.Float `json:"metric"`
	Norm   jsonnum.Float `json:"norm"`
	Lambda jsonnum.Float `json:"lambda"`
}

// lyapunov holds what is known of the descent; NaN is what was not measured.
type lyapunov struct {
	Steps           int           `json:"steps"`
	Increases       jsonnum.Float `json:"increases"`
	MaxKappa        jsonnum.Float `json:"max_kappa"`
	TwoOverEta      jsonnum.Float `json:"two_over_eta"`
	BalanceResidual jsonnum.Float `json:"balance_residual"`
}

type boundary struct {
	Approached bool          `json:"approached"`
	Norm       jsonnum.Float `json:"norm"`
	Threshold  jsonnum.Float `json:"threshold"`
}

// recomputed says what every training step computes twice to fit in memory.
type recomputed struct {
	Operations int `json:"operations"` // per step
	BytesSaved int `json:"bytes_saved"`
}

type trainFiles struct {
	Model string `json:"model"`
}

// measure evaluates the model on the held-out examples.
func (r *trainResult) measure(ctx context.Context, a *app, model *graph.Graph, heldOut *data.Set) error {
	e, err := compress.NewEvaluator(ctx, model, heldOut, "", a.pool, nil)
	if err != nil {
		return err
	}
	var m compactify.Measure
	if m, err = e.Evaluate(ctx, model); err != nil {
		return err
	}
	r.Metric, r.MetricName, r.Loss, r.HeldOut = jsonnum.Float(m.Metric), e.MetricName(), jsonnum.Float(m.Loss), m.Examples
	return nil
}

// checkOut finds out before a long work whether its result may be written.
func (a *app) checkOut() error {
	if strings.HasSuffix(a.out, ".onnx") {
		return a.checkFile(a.out)
	}
	if entries, err := os.ReadDir(a.out); a.out != "" && err == nil && len(entries) > 0 && !a.force {
		return fmt.Errorf("write into %q: the folder is not empty: %w", a.out, os.ErrExist)
	}
	return nil
}

// maxRows is about how many epochs are printed; --json has all of them.
const maxRows = 20

func (r *trainResult) text(w io.Writer) {
	rows := [][]string{{"epoch", "training loss (nats)", "training accuracy", "‖θ‖"}}
	every := (len(r.Epochs) + maxRows - 1) / maxRows
	for i, e := range r.Epochs {
		if (i+1)%every != 0 && i+1 != len(r.Epochs) {
			continue
		}
		rows = append(rows, []string{strconv.Itoa(i + 1), words.Number(float64(e.Loss)), words.Percent(float64(e.Metric), 2), words.Number(float64(e.Norm))})
	}
	columns(w, rows)
	fmt.Fprintf(w, "\n%s with %s, ", r.Arch, words.Count(r.Params, "weight", "weights"))
	if r.HeldOut > 0 {
		fmt.Fprintf(w, "%s %s on %s\n", r.MetricName, words.Metric(r.MetricName, float64(r.Metric)), words.Count(r.HeldOut, "held-out example", "held-out examples"))
	} else {
		fmt.Fprintln(w, "stopped before it was finished")
	}
	if r.Boundary.Approached {
		fmt.Fprintf(w, "the weights reached the boundary: ‖θ‖ = %s\n", words.Number(float64(r.Boundary.Norm)))
	}
	fmt.Fprintf(w, "model     %s  (%s)\n", r.Files.Model, words.Size(r.Bytes))
}
