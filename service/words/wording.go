package words

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Tokens writes a context size as people say it, 64K; nothing for an unknown one.
func Tokens(n int) string {
	switch {
	case n <= 0:
		return ""
	case n%1024 == 0:
		return strconv.Itoa(n/1024) + "K"
	}
	return strconv.Itoa(n)
}

// Size writes a number of bytes with a binary unit, 16.5 GiB; nothing for an unknown one.
func Size(bytes int64) string {
	if bytes <= 0 {
		return ""
	}
	const unit = 1024
	value, suffix := float64(bytes), "B"
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if value < unit {
			break
		}
		value, suffix = value/unit, next
	}
	return Decimal(value, 1) + " " + suffix
}

// Count writes a number with its noun: 1 session, 2 sessions.
func Count(n int, one, many string) string {
	if n == 1 {
		return "1 " + T(one)
	}
	return fmt.Sprintf("%d %s", n, T(many))
}

// Duration writes a number of seconds as people estimate: 40 s, 4 min, 2 h 10 min.
func Duration(seconds float64) string {
	switch s := int(seconds + 0.5); {
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 3600:
		return fmt.Sprintf("%d min", (s+30)/60)
	default:
		return fmt.Sprintf("%d h %d min", s/3600, s%3600/60)
	}
}

// Since writes a moment of the past: its time, and its day when that is another one.
func Since(t, now time.Time) string {
	t, now = t.Local(), now.Local()
	if t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return t.Format("15:04")
	}
	return t.Format(T("2 Jan 15:04"))
}

// Speed writes how fast a model writes: 41 tok/s.
func Speed(tokensPerS float64) string {
	if tokensPerS < 10 {
		return Decimal(tokensPerS, 1) + " tok/s"
	}
	return strconv.FormatFloat(tokensPerS, 'f', 0, 64) + " tok/s"
}

// Some names the first few of a list.
func Some(names []string) string {
	const few = 3
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return T("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
}
