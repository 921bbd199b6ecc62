package compress

import (
	"github.com/compactify/compactify"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/jsonnum"
)

// Result is what a run came to: the object the command line prints, and the
// source of the report. The keys named in the command line's contract are
// stable.
type Result struct {
	Baseline      Baseline       `json:"baseline"`
	Compact       Compact        `json:"compact"`
	Budget        Contract       `json:"budget"`
	Paths         []Leg          `json:"paths"`
	Verify        Verify         `json:"verify"`
	Files         Files          `json:"files"`
	Seed          uint64         `json:"seed"`
	SHA256        string         `json:"sha256"`
	Data          DataUsed       `json:"data"`
	Head          string         `json:"head"`                  // logits, probabilities or log-probabilities; or signal
	Profiles      []Curve        `json:"profiles"`              // every path walked on the selection split
	Trials        []Trial        `json:"trials"`                // every plan that was carried out and measured
	Repairs       []Repair       `json:"repairs,omitempty"`     // layers that were set a step back because a plan did not fit
	Evaluations   int            `json:"evaluations"`           // how often a model was run over a set of examples
	CacheHits     int            `json:"cache_hits"`            // how often that was not needed: an equal model had been measured
	Tunings       int            `json:"tunings"`               // how many models were fine-tuned
	Layers        []Layer        `json:"layers"`                // the layers worked on, before and after
	Tensors       []Fate         `json:"tensors"`               // every stored tensor: what became of it; the bytes add up to those of the files
	Alone         []Alone        `json:"left_alone"`            // every tensor left as it was, and why
	Activations   *Rounded       `json:"activations,omitempty"` // how activations were rounded; nil where they are floats
	Domains       []Domain       `json:"domains,omitempty"`     // other examples compared with those of calibration
	Corrections   *Corrections   `json:"corrections,omitempty"` // what made rounding cost less; nil where nothing is rounded
	Before        LedgerSum      `json:"ledger_before"`
	After         LedgerSum      `json:"ledger_after"`
	WouldFit      string         `json:"would_fit,omitempty"`         // the least budget that the best rejected model meets; another run with it may choose another model
	WouldFitBytes int            `json:"would_fit_bytes,omitempty"`   // the size of the model where that is more than --max-bytes
	Rejected      string         `json:"rejected,omitempty"`          // why no model was accepted
	Warnings      []string       `json:"warnings,omitempty"`          // what makes the figures doubtful; Notes begins with these
	Notes         []string       `json:"notes,omitempty"`             // what the user should know
	MemoryBytes   int            `json:"memory_bytes"`                // resident memory at the peak, as it was estimated before the work
	MemoryPeak    int            `json:"memory_peak_bytes,omitempty"` // as it was in the end, where the system tells
	Memory        MemoryEstimate `json:"memory_estimate"`             // what takes it
	Seconds       float64        `json:"seconds"`
	Version       string         `json:"version"`
	Kernel        string         `json:"kernel"`
	Command       []string       `json:"command,omitempty"` // what was typed, the program's name left out
}

// newResult is what holds of a job if no file is ever judged: the held-out
// examples are for that file alone, so nothing is known on them.
func newResult(job Job) *Result {
	r := &Result{Seed: job.Seed, Version: Version, Kernel: job.Pool.Set().String(), Command: job.Command,
		Baseline: Baseline{Metric: nan, Loss: nan, Latency: noLatency, Bytes: job.ModelBytes},
		Compact:  Compact{Metric: nan, Loss: nan, Latency: noLatency, KL: nan},
		Budget:   Contract{Kind: string(job.Budget.Kind), Limit: jsonnum.Float(job.Budget.Limit), Measured: nan, CI95: [2]jsonnum.Float{nan, nan}, Verdict: NotMet},
		Paths:    []Leg{}, Profiles: []Curve{}, Trials: []Trial{}, Layers: []Layer{}, Alone: []Alone{}, Tensors: []Fate{},
		Verify: Verify{MaxAbsErr: nan, Tolerance: nan, NodesMaxErr: nan, Fast: nan, FastLimit: nan}}
	if job.Model != nil {
		r.Baseline.Params = job.Model.NumParams()
	}
	return r
}

// Baseline is the original model on the held-out examples.
type Baseline struct {
	Metric     jsonnum.Float `json:"metric"`
	MetricName string        `json:"metric_name"`
	Loss       jsonnum.Float `json:"loss"`
	Bytes      int           `json:"bytes"`
	Params     int           `json:"params"`
	Latency
}

// Compact is the exported file on the held-out examples.
type Compact struct {
	Metric        jsonnum.Float `json:"metric"`
	Loss          jsonnum.Float `json:"loss"`
	Bytes         int           `json:"bytes"` // 0 where no file was written
	ParamsNonzero int           `json:"params_nonzero"`
	Latency
	KL jsonnum.Float `json:"kl"` // from the original's answers, nats per example
}

// Latency is how long one example takes in this program, on this CPU.
type Latency struct {
	LatencyMS   jsonnum.Float `json:"latency_ms"`      // median
	LatencyLow  jsonnum.Float `json:"latency_low_ms"`  // with LatencyHigh, a 95 % interval of the median
	LatencyHigh jsonnum.Float `json:"latency_high_ms"` // the same
}

var noLatency = Latency{nan, nan, nan}

// Leg is one path of the combination that was chosen, with how far it goes.
type Leg struct {
	Kind  string        `json:"kind"`
	T     jsonnum.Float `json:"t"`
	Param jsonnum.Float `json:"param"` // share of weights or of channels removed, or mean bits per weight
}

// Verify compares the reloaded file on the portable, unfused executor with the
// model in memory: on the same executor, where the two must agree at every node,
// and as the search ran it, on the fast and fused kernels.
type Verify struct {
	MaxAbsErr jsonnum.Float `json:"max_abs_err"` // of the answers, both on the portable executor
	Tolerance jsonnum.Float `json:"tolerance"`
	OK        bool          `json:"ok"` // all that follows included
	Examples  int           `json:"examples"`

	Nodes        int           `json:"nodes"`                // values between nodes that were compared; 0 where the graphs do not match node by node
	NodesMaxErr  jsonnum.Float `json:"nodes_max_rel_err"`    // the largest difference of one, relative to its largest element
	WorstNode    string        `json:"worst_node,omitempty"` // where that was, if anything differed
	Fast         jsonnum.Float `json:"fast_max_abs_err"`     // of the answers, the file on the portable executor against memory on the fast kernels
	FastLimit    jsonnum.Float `json:"fast_tolerance"`
	RoundsValues bool          `json:"rounds_activations"` // then a value near the edge of two steps may fall on either side, and Fast allows for it
}

// Files are the artefacts, as paths from the caller's directory.
type Files struct {
	Model       string `json:"model"`
	Report      string `json:"report"`
	Certificate string `json:"certificate"`
}

// DataUsed says which examples were used for what; the parts are disjoint.
type DataUsed struct {
	Source      string `json:"source"`
	Eval        string `json:"eval,omitempty"` // where the held-out examples come from, if not from the source
	Training    int    `json:"training"`       // fine-tuning and calibration
	Calibration int    `json:"calibration"`
	Selection   int    `json:"selection"`
	HeldOut     int    `json:"held_out"`
	HeldOutFrom string `json:"held_out_from"` // the source's own test split, or the share set aside
	Mapping     string `json:"mapping,omitempty"`
}

// Curve is a measured profile with what the budget makes of it.
type Curve struct {
	Kind       string           `json:"kind"`
	Points     []CurvePoint     `json:"points"`
	Limit      CurveLimit       `json:"limit"`
	ArrivalT   jsonnum.Float    `json:"arrival_t"`
	HorizonT   jsonnum.Float    `json:"horizon_t"`
	FurthestT  jsonnum.Float    `json:"furthest_t"`
	Bracket    [2]jsonnum.Float `json:"bracket"`
	BudgetLoss jsonnum.Float    `json:"budget_loss"` // the loss at which a budget in nats is used up; NaN for other budgets
}

// CurvePoint is one measured model.
type CurvePoint struct {
	T        jsonnum.Float `json:"t"`
	Param    jsonnum.Float `json:"param"`
	Loss     jsonnum.Float `json:"loss"`
	Metric   jsonnum.Float `json:"metric"`
	KL       jsonnum.Float `json:"kl"`
	Bytes    int           `json:"bytes"`
	Norm     jsonnum.Float `json:"norm"`
	Spent    jsonnum.Float `json:"spent"` // of the budget, in its unit
	Examples int           `json:"examples"`
}

// CurveLimit compares the left limit at t=1 with the value there.
type CurveLimit struct {
	LossLeft jsonnum.Float      `json:"loss_left"`
	LossAt   jsonnum.Float      `json:"loss_at"`
	Boundary string             `json:"boundary"`
	Verdict  compactify.Verdict `json:"verdict"`
}

// Trial is one plan as it was measured on the selection split.
type Trial struct {
	Bytes    int           `json:"bytes"`
	MeanBits jsonnum.Float `json:"mean_bits"`
	Sparsity jsonnum.Float `json:"sparsity"` // share of weights held at zero by pruning
	Channels int           `json:"channels_removed"`
	Tuned    int           `json:"tuned_epochs"`
	Warm     bool          `json:"warm_start"` // fine-tuned from the weights of a larger trial, not of the original
	Spent    jsonnum.Float `json:"spent"`
	Worst    jsonnum.Float `json:"worst"`                  // the worse end of the paired 95 % interval
	Varied   jsonnum.Float `json:"varied"`                 // spent on changed copies of the examples; NaN without
	Joint    jsonnum.Float `json:"worst_with_varied"`      // worse end of the interval that the examples and their changed copies give together; NaN without
	Doubted  jsonnum.Float `json:"worst_by_probabilities"` // worse end of the interval of what the original's probabilities say that changed answers cost; NaN without
	KL       jsonnum.Float `json:"kl"`
	Fits     bool          `json:"fits"`
	Chosen   bool          `json:"chosen"`
}

// Layer is one weight before and after.
type Layer struct {
	Name        string        `json:"name"`
	Kind        string        `json:"kind"` // the operator that reads it
	Shape       []int         `json:"shape"`
	ShapeAfter  []int         `json:"shape_after"` // without the channels that were removed; empty if nothing is left
	Bits        int           `json:"bits"`
	Zeros       int           `json:"zeros"` // weights that are exactly zero
	Params      int           `json:"params"`
	BytesBefore int           `json:"bytes_before"`
	BytesAfter  int           `json:"bytes_after"` // integers and scales
	SNR         jsonnum.Float `json:"snr_db"`      // of the weights themselves
}

// Alone is a tensor that was left as it was.
type Alone struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Bytes  int    `json:"bytes"`
	Reason string `json:"reason"`
}

// LedgerSum is where the bytes of a file are.
type LedgerSum struct {
	Payload  int           `json:"payload"`
	Scales   int           `json:"scales"`
	Metadata int           `json:"metadata"`
	Total    int           `json:"total"`
	Tensors  []LedgerEntry `json:"tensors"`
}

// LedgerEntry is one stored tensor.
type LedgerEntry struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Role     string `json:"role"`
	Encoding string `json:"encoding"` // dense or sparse
	Bytes    int    `json:"bytes"`
}

func sumLedger(l graph.Ledger) LedgerSum {
	s := LedgerSum{Payload: l.Payload, Scales: l.Scales, Metadata: l.Metadata, Total: l.Total}
	for _, e := range l.Tensors {
		encoding := "dense"
		if e.Sparse {
			encoding = "sparse"
		}
		s.Tensors = append(s.Tensors, LedgerEntry{Name: e.Name, Type: e.DType.String(), Role: string(e.Role), Encoding: encoding, Bytes: e.Bytes})
	}
	return s
}

// NewCurve presents a profile under a budget.
func NewCurve(p compactify.Profile, b compactify.Budget) Curve {
	c := Curve{Kind: p.Kind, ArrivalT: jsonnum.Float(p.Arrival()), HorizonT: jsonnum.Float(p.Horizon(b)), BudgetLoss: nan}
	if b.Kind == compactify.LossRise && len(p.Points) > 0 {
		c.BudgetLoss = jsonnum.Float(p.Original().Loss + b.Limit)
	}
	for _, q := range p.Points {
		c.Points = append(c.Points, CurvePoint{T: jsonnum.Float(q.T), Param: jsonnum.Float(q.Param), Loss: jsonnum.Float(q.Loss),
			Metric: jsonnum.Float(q.Metric), KL: jsonnum.Float(q.KL), Bytes: q.Bytes, Norm: jsonnum.Float(q.Norm),
			Spent: jsonnum.Float(b.Spent(p.Original(), q.Measure)), Examples: q.Examples})
	}
	t, bracket, ok := p.Furthest(b)
	c.FurthestT, c.Bracket = jsonnum.Float(t), [2]jsonnum.Float{jsonnum.Float(bracket[0]), jsonnum.Float(bracket[1])}
	if !ok {
		c.FurthestT = nan
	}
	l := p.Limit
	c.Limit = CurveLimit{LossLeft: jsonnum.Float(l.Left), LossAt: jsonnum.Float(l.At), Boundary: l.Boundary.Name, Verdict: l.Verdict}
	return c
}
