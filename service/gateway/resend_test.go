package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/switchyard-app/switchyard/service/gateway/shape"
	"github.com/switchyard-app/switchyard/service/gateway/verdict"
)

// refusing plays an engine that refuses, in turn, with what it is given, and then answers.
func refusing(sent *[]string, refusals ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		n := len(*sent)
		*sent = append(*sent, string(body))
		if n >= len(refusals) || refusals[n] == "" {
			answers(200, "application/json", `{"type":"message","content":[{"type":"text","text":"well"}]}`)(w, r)
			return
		}
		text, _ := json.Marshal(refusals[n])
		answers(500, "application/json", `{"error":{"code":500,"message":`+string(text)+`,"type":"server_error"}}`)(w, r)
	}
}

const (
	badSchema   = "JSON schema error at #/properties/f: unrecognized type file"
	badID       = "Error: Jinja Exception: Tool call IDs should be alphanumeric strings with length 9!"
	oneAtOnce   = "Error: Jinja Exception: This model only supports single tool-calls at once!"
	noSystem    = "Error: Jinja Exception: System role not supported"
	twoRoles    = "Error: Jinja Exception: Only user and assistant roles are supported!"
	alternate   = "Error: Jinja Exception: Conversation roles must alternate user/assistant/user/assistant/..."
	unseen      = "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj"
	noUserQuery = "Error: Jinja Exception: No user query found in messages."
)

// What a refusal teaches is tried, and remembered when it helped.
func TestRefusalsTeach(t *testing.T) {
	for _, tt := range []struct {
		name     string
		refusals []string
		sent     int
		learned  string
		reason   Reason
	}{
		{"a schema", []string{badSchema}, 2, "loose_schemas", ""},
		{"ids", []string{badID}, 2, "short_ids", ""},
		{"two calls", []string{oneAtOnce}, 2, "one_call", ""},
		{"a system", []string{noSystem}, 2, "no_system", ""},
		{"an image", []string{unseen}, 2, "blind", ""},
		{"a tool's result", []string{alternate, alternate}, 3, "no_tools", ""},
		{"three things", []string{badSchema, badID, oneAtOnce}, 4, "loose_schemas short_ids one_call", ""},
		{"four things", []string{badSchema, badID, oneAtOnce, noSystem, ""}, 4, "", verdict.TemplateRefused},
		{"one that does not help", []string{badSchema, badSchema, ""}, 2, "", verdict.SchemaRefused},
		{"one of two", []string{twoRoles, twoRoles}, 3, "no_tools", ""},
		{"the first of two", []string{twoRoles}, 2, "no_system", ""},
		{"nothing", []string{noUserQuery}, 1, "", verdict.TemplateRefused},
		{"something, and then nothing", []string{badID, noUserQuery}, 2, "", verdict.TemplateRefused},
		{"a crash", []string{"Compute error."}, 1, "", EngineFailed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var sent []string
			learned := make(chan string, 9)
			r := newRig(t, refusing(&sent, tt.refusals...), func(o *Options) {
				o.Learned = func(tag string, l shape.Lesson) { learned <- fmt.Sprint(tag, " ", l) }
			})
			r.ask(hello)
			record := r.records(1)[0]
			var want []string
			for _, l := range strings.Fields(tt.learned) {
				want = append(want, tiny.Tag+" "+l)
			}
			var got []string
			for range len(learned) {
				got = append(got, <-learned)
			}
			if len(sent) != tt.sent || !slices.Equal(got, want) || record.Error != tt.reason {
				t.Errorf("sent %d times, want %d; learned %q, want %q; %q", len(sent), tt.sent, got, want, record.Error)
			}
			if tt.reason != "" {
				return
			}
			before := len(sent)
			if r.ask(hello); len(sent) != before+1 || sent[before] != sent[before-1] || len(learned) > 0 {
				t.Errorf("the next request: sent %d times, %s; learned %d", len(sent)-before, sent[len(sent)-1], len(learned))
			}
		})
	}
}

// A need that is known from outside is not learned again, and its refusal is final.
func TestWhatIsKnownIsNotLearned(t *testing.T) {
	var sent []string
	known := tiny
	known.Needs.ShortIDs = true
	r := newRig(t, refusing(&sent, badID, badID), func(o *Options) {
		o.Model = func(context.Context, string) Model { return known }
		o.Learned = func(tag string, l shape.Lesson) { t.Errorf("learned %s", l) }
	})
	if status, answer, _ := r.ask(hello); status != 400 || !strings.Contains(answer, "length 9") || len(sent) != 1 {
		t.Errorf("%d %s, sent %d times", status, answer, len(sent))
	}
}

// What was learned of an engine is tried again with the next one.
func TestWhatWasLearnedIsForgotten(t *testing.T) {
	var sent []string
	r := newRig(t, refusing(&sent, badID, "", badID), nil)
	r.ask(hello)
	r.g.Forget(tiny.Tag)
	if status, _, _ := r.ask(hello); status != 200 || len(sent) != 4 || sent[2] != sent[0] || sent[3] != sent[1] {
		t.Errorf("%d, sent %q", status, sent)
	}
}

// Requests that fill the context together take turns from then on; one that was alone is
// too long.
func TestACrowdedContext(t *testing.T) {
	const full = `{"error":{"code":500,"message":"Context size has been exceeded.","type":"server_error"}}`
	var at atomic.Int32
	both := make(chan struct{})
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		now := at.Add(1)
		if now > 2 {
			answers(200, "application/json", `{"type":"message","content":[{"type":"text","text":"x"}]}`)(w, req)
			return
		}
		if now == 2 {
			close(both)
		}
		<-both
		answers(500, "application/json", full)(w, req)
	}), nil)
	var all sync.WaitGroup
	ask := func(want int) {
		all.Go(func() {
			if status, answer, _ := r.ask(hello); status != want || want == 529 && !strings.Contains(answer, "take turns") {
				t.Errorf("%d %s", status, answer)
			}
		})
	}
	ask(529)
	ask(529)
	all.Wait()
	ask(200)
	all.Wait()
	if slots := r.g.Snapshot().Loads[0].Slots; slots != 1 {
		t.Errorf("%d at a time", slots)
	}

	alone := newRig(t, answers(500, "application/json", full), nil)
	if status, answer, _ := alone.ask(hello); status != 400 || !strings.Contains(answer, "prompt is too long: 65537 tokens") {
		t.Errorf("%d %s", status, answer)
	}
	unknown := newRig(t, answers(500, "application/json", full), func(o *Options) {
		o.Model = func(context.Context, string) Model { return Model{Tag: tiny.Tag} }
	})
	if status, answer, _ := unknown.ask(hello); status != 400 || strings.Contains(answer, " 0 maximum") {
		t.Errorf("with an unknown context: %d %s", status, answer)
	}
}

// An answer that got lost between Model Runner and its engine is asked for once more.
func TestALostAnswer(t *testing.T) {
	for _, tt := range []struct{ as, lost, sent, status int }{{500, 1, 2, 200}, {502, 1, 2, 200}, {500, 2, 2, 500}} {
		sent := 0
		r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if sent++; sent <= tt.lost {
				w.WriteHeader(tt.as)
				return
			}
			answers(200, "application/json", `{"type":"message","content":[{"type":"text","text":"well"}]}`)(w, r)
		}), nil)
		if status, answer, _ := r.ask(hello); status != tt.status || sent != tt.sent {
			t.Errorf("%d lost: %d %s, sent %d times", tt.lost, status, answer, sent)
		}
	}
}

// An answer does not repeat what the request had begun it with.
func TestPrefill(t *testing.T) {
	r := newRig(t, answers(200, "application/json", `{"type":"message","content":[{"type":"text","text":"{\"a\":1}"}]}`), nil)
	begun := `{"model":"m","messages":[{"role":"user","content":"as JSON"},{"role":"assistant","content":"{"}]}`
	if _, answer, _ := r.ask(begun); !strings.Contains(answer, `"text":"\"a\":1}"`) {
		t.Error(answer)
	}
	if _, answer, _ := r.ask(hello); !strings.Contains(answer, `"text":"{\"a\":1}"`) {
		t.Error(answer)
	}
	marked := newRig(t, answers(200, "application/json", `{"type":"message","content":[{"type":"text","text":"<`+shape.Joiner+`|a|> b"}]}`), nil)
	if _, answer, _ := marked.ask(`{"model":"m","messages":[{"role":"user","content":"go on"},{"role":"assistant","content":"<|a|>"}]}`); !strings.Contains(answer, `"text":" b"`) {
		t.Error(answer)
	}
}

// Of a model whose runner was down nothing is known until it is loaded.
func TestARequestThatStartsTheRunner(t *testing.T) {
	var sent []string
	asked := 0
	r := newRig(t, refusing(&sent), func(o *Options) {
		o.Model = func(context.Context, string) Model {
			m := tiny
			if asked++; asked > 1 {
				m.Needs.Markers = []string{"[INST]"}
			}
			return m
		}
	})
	r.ask(strings.Replace(hello, "hi", "[INST]", 1))
	if len(sent) != 1 || strings.Contains(sent[0], "[INST]") {
		t.Errorf("sent %q", sent)
	}
}
