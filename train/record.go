package train

import (
	"encoding/json"
	"fmt"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/internal/jsonnum"
)

// Record is what the folder of a training run says of it, as training.json: what was
// asked, and every figure that was measured on the way. It is enough, with the models
// beside it and the data, to check the claims that theory makes of such a run.
type Record struct {
	Format    string           `json:"format"` // [RecordFormat]
	Version   int              `json:"version"`
	Arch      string           `json:"arch"`
	Seed      uint64           `json:"seed"`
	Data      data.Origin      `json:"data"`      // of the examples that trained
	Optimizer string           `json:"optimizer"` // sgd, nesterov, adam, lbfgs or flow
	Momentum  jsonnum.Float    `json:"momentum"`
	Batch     int              `json:"batch"`
	Planned   int              `json:"planned"` // epochs
	Rate      string           `json:"rate"`    // a schedule, or a number and how it decays
	Penalties []PenaltyRecord  `json:"penalties"`
	Loss      Loss             `json:"loss"`              // that was minimised; "" counts as the cross-entropy, or the squared error of numbers
	Augment   string           `json:"augment,omitempty"` // how images were changed, as [data.ParseAugmentation] reads it
	Dropout   Dropout          `json:"dropout"`
	Smoothing jsonnum.Float    `json:"smoothing"`
	Initial   PlaceRecord      `json:"initial"` // θ₀
	Final     PlaceRecord      `json:"final"`   // the model that was kept
	Zero      PlaceRecord      `json:"zero"`    // θ = 0, the boundary
	Epochs    []EpochRecord    `json:"epochs"`
	Descent   *DescentRecord   `json:"descent,omitempty"`
	Flow      *json.RawMessage `json:"flow,omitempty"` // of a gradient flow: what it says of itself
	Files     FilesRecord      `json:"files"`
}

// RecordFormat is the Format of a [Record] of Version 1.
const RecordFormat = "compactify-training"

// PenaltyRecord is a [Penalty].
type PenaltyRecord struct {
	Kind     PenaltyKind   `json:"kind"`
	Schedule string        `json:"schedule"`
	Alpha    jsonnum.Float `json:"alpha,omitempty"` // of elastic
}

// PlaceRecord is a model's place: the mean loss over all training examples without
// dropout, and its norm.
type PlaceRecord struct {
	Loss    jsonnum.Float `json:"loss"` // nats per example
	Norm    jsonnum.Float `json:"norm"` // ‖θ‖₂
	Penalty jsonnum.Float `json:"penalty"`
}

// EpochRecord is an [Epoch].
type EpochRecord struct {
	Loss        jsonnum.Float `json:"loss"`
	Metric      jsonnum.Float `json:"metric"`
	Norm        jsonnum.Float `json:"norm"`
	Lambda      jsonnum.Float `json:"lambda"`
	Rate        jsonnum.Float `json:"rate"`
	Penalty     jsonnum.Float `json:"penalty"`
	Schedule    jsonnum.Float `json:"schedule_term"` // what the change of λ to the next epoch adds to the objective at these weights, λ̇R of a step of one epoch
	Zeros       int           `json:"zeros"`
	Turn        jsonnum.Float `json:"turn"` // radians
	ValidLoss   jsonnum.Float `json:"valid_loss"`
	ValidMetric jsonnum.Float `json:"valid_metric"`
}

// DescentRecord is a [Descent].
type DescentRecord struct {
	Every     int            `json:"every"`
	Steps     int            `json:"steps"`
	Measured  int            `json:"measured"`
	Increases int            `json:"increases"`
	Function  string         `json:"function"`
	Largest   jsonnum.Float  `json:"largest_rise"`
	Total     jsonnum.Float  `json:"total_rise"`
	MaxKappa  jsonnum.Float  `json:"max_kappa"`
	AtEdge    int            `json:"above_edge"`
	Samples   []SampleRecord `json:"samples"`
}

// SampleRecord is a [Sample].
type SampleRecord struct {
	Step           int           `json:"step"`
	Epoch          int           `json:"epoch"`
	Rate           jsonnum.Float `json:"rate"`
	Lambda         jsonnum.Float `json:"lambda"`
	Loss           jsonnum.Float `json:"loss"`
	LossAfter      jsonnum.Float `json:"loss_after"`
	Objective      jsonnum.Float `json:"objective"`
	ObjectiveAfter jsonnum.Float `json:"objective_after"`
	Energy         jsonnum.Float `json:"energy"`
	EnergyAfter    jsonnum.Float `json:"energy_after"`
	Kappa          jsonnum.Float `json:"kappa"`
	Edge           jsonnum.Float `json:"edge"`
	Rho            jsonnum.Float `json:"rho"`
	Norm           jsonnum.Float `json:"norm"`
	GradNorm       jsonnum.Float `json:"grad_norm"`
}

// FilesRecord names the files beside the record.
type FilesRecord struct {
	Initial string `json:"initial"`        // θ₀
	Model   string `json:"model"`          // the model that was kept
	Rise    string `json:"rise,omitempty"` // the witness of the largest rise
}

// The names of a training run's files.
const (
	RecordFile     = "training.json"
	InitialFile    = "initial.onnx"
	CheckpointFile = "checkpoint.safetensors"
	RiseFile       = "witness-rise.safetensors"
)

// NewEpochRecord writes an epoch down. next is λ of the next epoch, or its own λ in the
// last.
func NewEpochRecord(e Epoch, next float64) EpochRecord {
	f := func(x float64) jsonnum.Float { return jsonnum.Float(x) }
	r := EpochRecord{Loss: f(e.Loss), Metric: f(e.Metric), Norm: f(e.Norm), Lambda: f(e.Lambda), Rate: f(e.Rate), Penalty: f(e.Penalty), Zeros: e.Zeros, Turn: f(e.Turn),
		ValidLoss: f(e.ValidLoss), ValidMetric: f(e.ValidMetric)}
	if e.Lambda > 0 {
		r.Schedule = f((next - e.Lambda) / e.Lambda * e.Penalty)
	}
	return r
}

// NewDescentRecord writes what a monitor saw down.
func NewDescentRecord(m Monitor) *DescentRecord {
	d, f := m.Descent, func(x float64) jsonnum.Float { return jsonnum.Float(x) }
	r := &DescentRecord{Every: m.Every, Steps: d.Steps, Measured: d.Measured, Increases: d.Increases, Function: d.Function,
		Largest: f(d.Largest), Total: f(d.Total), MaxKappa: f(d.MaxKappa), AtEdge: d.AtEdge, Samples: []SampleRecord{}}
	for _, s := range d.Samples {
		r.Samples = append(r.Samples, SampleRecord{s.Step, s.Epoch, f(s.Rate), f(s.Lambda), f(s.Loss), f(s.LossAfter), f(s.Objective), f(s.ObjectiveAfter),
			f(s.Energy), f(s.EnergyAfter), f(s.Kappa), f(s.Edge), f(s.Rho), f(s.Norm), f(s.GradNorm)})
	}
	return r
}

// Encode writes the record as indented JSON.
func (r *Record) Encode() ([]byte, error) {
	r.Format, r.Version = RecordFormat, 1
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return nil, fmt.Errorf("encode training record: %w", err)
	}
	return append(b, '\n'), nil
}

// DecodeRecord reads what [Record.Encode] wrote.
func DecodeRecord(file []byte) (*Record, error) {
	var r Record
	if err := json.Unmarshal(file, &r); err != nil {
		return nil, fmt.Errorf("decode training record: %w", err)
	}
	if r.Format != RecordFormat || r.Version != 1 {
		return nil, fmt.Errorf("decode training record: format: got %q of version %d, want %q of version 1", r.Format, r.Version, RecordFormat)
	}
	return &r, nil
}
