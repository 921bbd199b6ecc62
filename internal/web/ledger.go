package web

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/compactify/compactify/compress"
	"github.com/compactify/compactify/internal/words"
)

// ledger is the section on where the bytes are.
type ledger struct {
	Bars   []stack
	Tables []ledgerTable
}

// stack is a bar of parts, each a share of the longest bar.
type stack struct {
	Name, Total string
	Parts       []part
}

type part struct {
	Class, Name, Bytes string
	Percent            float64 // of the longest bar
}

type ledgerTable struct {
	Name string
	Open bool
	Rows []ledgerRow
}

type ledgerRow struct {
	compress.LedgerEntry
	Size  string
	Share string
	Bar   float64 // percent of the largest entry
}

// openRows is how many rows a table may have to be shown unfolded.
const openRows = 16

func newLedger(r *compress.Result) *ledger {
	if r.Before.Total == 0 && r.After.Total == 0 {
		return nil
	}
	longest := float64(max(r.Before.Total, r.After.Total, 1))
	l := &ledger{}
	for _, side := range []struct {
		name string
		sum  compress.LedgerSum
	}{{"before", r.Before}, {"after", r.After}} {
		if side.sum.Total == 0 {
			continue
		}
		s := stack{Name: side.name, Total: words.Size(side.sum.Total)}
		for _, p := range []struct {
			class, name string
			bytes       int
		}{{"payload", "weights", side.sum.Payload}, {"scales", "scales", side.sum.Scales}, {"metadata", "graph and names", side.sum.Metadata}} {
			s.Parts = append(s.Parts, part{p.class, p.name, words.Grouped(p.bytes), max(0, 100*float64(p.bytes)/longest)})
		}
		l.Bars = append(l.Bars, s)
		l.Tables = append(l.Tables, newLedgerTable(side.name, side.sum))
	}
	return l
}

// newLedgerTable lists the tensors, largest first.
func newLedgerTable(name string, sum compress.LedgerSum) ledgerTable {
	entries := slices.Clone(sum.Tensors)
	slices.SortStableFunc(entries, func(a, b compress.LedgerEntry) int { return cmp.Compare(b.Bytes, a.Bytes) })
	t := ledgerTable{Name: fmt.Sprintf("%s: %s", name, words.Count(len(entries), "stored tensor", "stored tensors")), Open: len(entries) <= openRows}
	for _, e := range entries {
		t.Rows = append(t.Rows, ledgerRow{e, words.Grouped(e.Bytes), words.Percent(ratio(e.Bytes, sum.Total), 1), 100 * ratio(e.Bytes, entries[0].Bytes)})
	}
	return t
}

func ratio(a, b int) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// layerRow is one layer with the bars of its cells, in percent.
type layerRow struct {
	Name, Kind, Shape               string
	Bits, Zeros, SNR, Before, After string
	BitsBar, ZerosBar, SNRBar       float64
	BeforeBar, AfterBar             float64
}

// fullSNR is the ratio at which a bar is full: about 16 bits per weight.
const fullSNR = 96

func layerRows(layers []compress.Layer) []layerRow {
	largest := 0
	for _, l := range layers {
		largest = max(largest, l.BytesBefore, l.BytesAfter)
	}
	var rows []layerRow
	for _, l := range layers {
		snr := float64(l.SNR)
		row := layerRow{Name: l.Name, Kind: l.Kind, Shape: dims(l.Shape), Bits: fmt.Sprint(l.Bits), Zeros: words.Percent(ratio(l.Zeros, l.Params), 1),
			SNR: "exact", Before: words.Grouped(l.BytesBefore), After: words.Grouped(l.BytesAfter),
			BitsBar: clamp(100 * float64(l.Bits) / 32), ZerosBar: clamp(100 * ratio(l.Zeros, l.Params)), SNRBar: 100,
			BeforeBar: 100 * ratio(l.BytesBefore, largest), AfterBar: 100 * ratio(l.BytesAfter, largest)}
		if len(l.ShapeAfter) > 0 && !slices.Equal(l.Shape, l.ShapeAfter) {
			row.Shape += " → " + dims(l.ShapeAfter)
		}
		if finite(snr) {
			row.SNR, row.SNRBar = words.Fixed(snr, 1)+" dB", clamp(100*snr/fullSNR)
		} else if snr != snr || snr < 0 {
			row.SNR, row.SNRBar = words.Number(snr), 0
		}
		rows = append(rows, row)
	}
	return rows
}

func clamp(x float64) float64 { return max(0, min(100, x)) }

func dims(shape []int) string {
	s := ""
	for i, n := range shape {
		if i > 0 {
			s += " × "
		}
		s += fmt.Sprint(n)
	}
	return s
}
