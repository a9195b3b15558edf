package tray

import (
	"fmt"
	"testing"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/state"
)

// BenchmarkMenuOfAThousandModels is what a change of the State costs with a large store.
func BenchmarkMenuOfAThousandModels(b *testing.B) {
	s := state.State{Route: claude.Local, Runner: up, Model: "docker.io/ai/m7:latest", Context: 65536}
	for i := range 1000 {
		s.Models = append(s.Models, state.Model{Tag: fmt.Sprintf("docker.io/ai/m%d:latest", i), Size: 1 << 30, Context: 65536})
	}
	b.ReportAllocs()
	for b.Loop() {
		if len(menuFor(s)) == 0 {
			b.Fatal("no menu")
		}
	}
}
