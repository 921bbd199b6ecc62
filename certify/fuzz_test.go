package certify

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/compactify/compactify/train"
)

// FuzzWitness: what is accepted survives a round trip, and nothing panics, also when it
// is replayed.
func FuzzWitness(f *testing.F) {
	g := linear(f, 1, 0.5, 0.4)
	s := penalised(f, g, ridgeSet(f), train.L2, 0.5)
	j, err := newJudge(s, Options{})
	if err != nil {
		f.Fatal(err)
	}
	w := j.compare("row8", "a step", []float64{1, 2}, []float64{3, 4}, s.Penalties...)
	if err := settle(f.Context(), s, j.o, w); err != nil {
		f.Fatal(err)
	}
	whole, err := w.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Fuzz(func(t *testing.T, file []byte) {
		_, _ = Replay(t.Context(), s, file, Options{})
		w, err := DecodeWitness(file)
		if err != nil {
			if !errors.Is(err, ErrWitness) {
				t.Fatalf("got error %v, want ErrWitness", err)
			}
			return
		}
		again, err := w.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeWitness(again); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzHead: heads without the checksum in the way.
func FuzzHead(f *testing.F) {
	f.Add([]byte(`{"format":"compactify-witness","version":1,"claim":"row8","penalty":[{"kind":"l2","lambda":1,"alpha":0}],"a":{"loss":1},"b":{"loss":"NaN"}}`))
	f.Fuzz(func(t *testing.T, head []byte) {
		var h witnessHead
		if json.Unmarshal(head, &h) != nil {
			return
		}
		if _, err := h.witness(); err != nil {
			return
		}
	})
}

// FuzzRecord: whatever a training record says, reading it does not panic.
func FuzzRecord(f *testing.F) {
	r := &train.Record{Arch: "mlp:2-2", Planned: 2, Penalties: []train.PenaltyRecord{{Kind: train.L2, Schedule: "geom:1e-3..1"}},
		Epochs:  []train.EpochRecord{{Norm: 1}},
		Descent: &train.DescentRecord{Steps: 2, Measured: 1, Samples: []train.SampleRecord{{Step: 1, Epoch: 1, ObjectiveAfter: 1, Norm: 1}}}}
	file, err := r.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file)
	g, set := linear(f, 1, 0.5, 0.4), ridgeSet(f)
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := train.DecodeRecord(file)
		if err != nil {
			return
		}
		list, err := lastPenalties(r)
		if err != nil {
			return
		}
		s := penalised(t, g, set, train.L2, 0)
		s.Record, s.Penalties = r, list
		s.limits()
		j, err := newJudge(s, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, check := range []func(c *Claim){func(c *Claim) { j.iterates(c, 1) }, j.recorded, func(c *Claim) { _ = j.balance(t.Context(), c) }} {
			check(new(Claim))
		}
	})
}
