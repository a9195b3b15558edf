package assets

import (
	"slices"
	"strings"
	"testing"
)

func TestTheCatalog(t *testing.T) {
	all := Suggestions()
	if len(all) == 0 || !slices.IsSortedFunc(all, func(a, b Suggestion) int { return int(a.Size - b.Size) }) {
		t.Errorf("%+v", all)
	}
	for _, s := range all {
		if !strings.Contains(s.Ref, "/") || s.About == "" || s.Context < 32768 || s.Size < 1<<30 {
			t.Errorf("%+v", s)
		}
	}
}
