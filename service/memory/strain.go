package memory

import (
	"strings"

	"github.com/switchyard-app/switchyard/gpu"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/words"
)

// Strain is how short of memory the GPU is.
type Strain string

// The levels of strain.
const (
	Relaxed Strain = ""
	Amber   Strain = "amber" // little is free
	Red     Strain = "red"   // almost nothing is free: what asks for more fails
)

// limit is below how many free bytes a level is reached.
func (s Strain) limit(total int64) int64 {
	switch s {
	case Red:
		return max(512<<20, total*4/100)
	case Amber:
		return max(1<<30, total*10/100)
	}
	return 0
}

// Monitor watches the graphics memory. A level is reached by two readings in a row, and
// left only with some memory to spare, so that one shortage gives one warning. The zero
// value is ready to use.
type Monitor struct {
	level   Strain
	pending Strain // the level of the previous reading, if higher than level
	text    string // of the warning, as the shortage began
}

// Update takes a reading in bytes, and returns the level from now on. Negative numbers
// are unknown, and change nothing.
func (s *Monitor) Update(free, total int64) Strain {
	if free < 0 || total <= 0 {
		s.pending = Relaxed
		return s.level // unknown
	}
	room := total * 5 / 100
	now := Relaxed
	for _, level := range []Strain{Red, Amber} {
		limit := level.limit(total)
		if s.level == level || s.level == Red { // left later than reached
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

// Warning is the warning of the current shortage; ok is false if there is none.
func (s *Monitor) Warning(v state.VRAM, models []state.Model) (w state.Warning, ok bool) {
	if s.level == Relaxed {
		return state.Warning{}, false
	}
	free, total := gpu.Free(v.Devices), gpu.Total(v.Devices)
	if s.text == "" {
		s.text = words.T("the GPU is running out of memory: %s of %s is free", words.Size(max(free, 1)), words.Size(total)) + holders(total-free, models)
	}
	code := "vram_low"
	if s.level == Red {
		code = "vram_out"
	}
	return state.Warning{Code: code, Text: s.text, Remedy: words.T("unload a model (switchyard unload), use a smaller context (switchyard context MODEL 32K), or close other programs that use the GPU")}, true
}

// holders says which models and other programs use the memory.
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

// OnCPU finds a loaded model that cannot be in the GPU's memory, because too little of
// that is used.
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
