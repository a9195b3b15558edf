package shape

import "testing"

// A template that knows no system gets its prompt at the head of the first user message.
func TestASystemPromptMoves(t *testing.T) {
	const moved = `{"model":"m","messages":[{"role":"user","content":"<system-reminder>\nYou are an agent.\n</system-reminder>\nhi"}]}`
	for _, tt := range []struct{ name, in, want string }{
		{"a string", `{"model":"x","system":"You are an agent.","messages":[{"role":"user","content":"hi"}]}`, moved},
		{"a list", `{"model":"x","system":[{"type":"text","text":"x-anthropic-billing-header: 1"},{"type":"text","text":"You are an agent.","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":"hi"}]}`, moved},
		{"in the conversation", `{"model":"x","messages":[{"role":"system","content":"You are an agent."},{"role":"user","content":"hi"}]}`, moved},
		{"none", `{"model":"x","messages":[{"role":"user","content":"hi"}]}`, `{"model":"m","messages":[{"role":"user","content":"hi"}]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := Parse([]byte(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // nothing of the request itself changes
				out, err := r.For(Model{Tag: "m", Needs: Needs{NoSystem: true}})
				if err != nil || string(out.Body.Bytes()) != tt.want {
					t.Errorf("%v\n%s\nwant\n%s", err, out.Body.Bytes(), tt.want)
				}
			}
		})
	}
}

func TestLessons(t *testing.T) {
	for _, l := range []Lesson{Blind, LooseSchemas, ShortIDs, OneCall, NoTools, NoSystem} {
		if n := (Needs{}); n.Has(l) || !n.With(l).Has(l) || n.Has(l) {
			t.Errorf("%s is not learned, or before", l)
		}
	}
	if n := (Needs{}).With("of another version"); n.Has("of another version") {
		t.Error("an unknown lesson is learned")
	}
}
