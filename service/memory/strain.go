package memory

import (
	"strings"

	"github.com/switchyard-app/switchyard/gpu"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/words"
)

// Strain is how short the graphics memory is.
type Strain string

const (
	Relaxed Strain = ""
	Amber   Strain = "amber" // little is free
	Red     Strain = "red"   // next to nothing is: what asks for more fails
)

// limit is how little may be free before a level is reached, in bytes.
func (s Strain) limit(total int64) int64 {
	switch s {
	case Red:
		return max(512<<20, total*4/100)
	case Amber:
		return max(1<<30, total*10/100)
	}
	return 0
}

// Follower follows the graphics memory, one reading after the other. A level is
// reached with the second reading in a row, and left with some room: so there is one
// warning for an episode.
type Monitor struct {
	level   Strain
	pending Strain // what the reading before said
	text    string // of the episode, as it began
}

// See takes a reading. It returns the level from now on.
func (s *Monitor) Update(free, total int64) Strain {
	if free < 0 || total <= 0 {
		s.pending = Relaxed
		return s.level // nothing is known: it stays
	}
	room := total * 5 / 100
	now := Relaxed
	for _, level := range []Strain{Red, Amber} {
		limit := level.limit(total)
		if s.level == level || s.level == Red { // it is left later than it is reached
			limit += room
		}
		if free < limit {
			now = level
			break
		}
	}
	worse := now == Red && s.level != Red || now == Amber && s.level == Relaxed
	if worse && s.pending != now && !(s.pending == Red && now == Amber) {
		s.pending = now
		return s.level
	}
	s.pending, s.level = now, now
	if now == Relaxed {
		s.text = ""
	}
	return s.level
}

// Warning is what a person should know of an episode.
func (s *Monitor) Warning(v state.VRAM, models []state.Model) (state.Warning, bool) {
	if s.level == Relaxed {
		return state.Warning{}, false
	}
	free, total := gpu.Free(v.Devices), gpu.Total(v.Devices)
	if s.text == "" {
		s.text = words.T("the GPU's memory is short: %s of %s are free", words.Size(max(free, 1)), words.Size(total)) + holders(total-free, models)
	}
	code := "vram_low"
	if s.level == Red {
		code = "vram_out"
	}
	return state.Warning{Code: code, Text: s.text, Remedy: words.T("unload a model (switchyard unload), take a smaller context (switchyard context MODEL 32K), or end other programs that use the GPU")}, true
}

// holders names who holds the memory.
func holders(used int64, models []state.Model) string {
	const worth = 1 << 30
	var parts []string
	for _, m := range models {
		if m.Loaded {
			parts = append(parts, words.T("%s holds about %s", runner.Short(m.Tag), words.Size(m.Need)))
			used -= m.Need
		}
	}
	if used > worth {
		parts = append(parts, words.T("other programs hold about %s", words.Size(used)))
	}
	if len(parts) == 0 {
		return ""
	}
	return "; " + strings.Join(parts, ", ")
}

// OnCPU tells whether a loaded model cannot be in the GPU's memory: next to nothing
// of it is taken.
func OnCPU(v state.VRAM, models []state.Model) (state.Model, bool) {
	used, total := int64(-1), gpu.Total(v.Devices)
	if free := gpu.Free(v.Devices); free >= 0 && total > 0 {
		used = total - free
	}
	for _, m := range models {
		if used >= 0 && m.Loaded && m.Size > 2<<30 && used < m.Size/3 {
			return m, true
		}
	}
	return state.Model{}, false
}
