//go:build unix

package pulls

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
)

func TestNewTags(t *testing.T) {
	known := map[string]string{"docker.io/ai/a:latest": "1", "docker.io/ai/b:latest": "2"}
	models := []runner.Model{
		{ID: "1", Tags: []string{"docker.io/ai/a:latest", "docker.io/local/mine:latest"}}, // another tag
		{ID: "3", Tags: []string{"docker.io/ai/b:latest"}},                                // an update
		{ID: "4", Tags: []string{"docker.io/ai/c:latest"}, Size: 5},
	}
	var got []string
	for _, p := range newTags(known, models) {
		got = append(got, fmt.Sprint(p.Ref, " ", p.Updated))
	}
	if strings.Join(got, ", ") != "ai/b true, ai/c false" {
		t.Errorf("%v", got)
	}
}

func TestTheRate(t *testing.T) {
	var r rate
	now := time.Now()
	for i := range 20 {
		now = now.Add(500 * time.Millisecond)
		r.update(now, int64(i)*5<<20)
	}
	if got := r.perS / (1 << 20); got < 9.5 || got > 10.5 {
		t.Errorf("%.1f MB/s, want 10", got)
	}
	if text := (state.Pull{Ref: "ai/x", State: state.Pulling, Done: 43, Total: 100, Left: 240}).Text(); text != "ai/x  43 %  4 min left" {
		t.Errorf("%q", text)
	}
}
