package legal

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"testing"

	"github.com/switchyard-app/switchyard/service/gateway/shape"
)

// needs are those of templates of every kind.
var needs = []shape.Needs{{}, {LooseSchemas: true}, {Blind: true, ShortIDs: true}, {OneCall: true}, {NoTools: true}, {NoSystem: true, Thinking: true, Efforts: true, Markers: []string{"[INST]", "<|im_start|>"}}}

// shaped writes a request for a model, and fails the test on an error.
func shaped(t testing.TB, body []byte, n shape.Needs) []byte {
	t.Helper()
	r, err := shape.Parse(body)
	if err != nil {
		t.Fatalf("%v\n%s", err, body)
	}
	out, err := r.For(shape.Model{Tag: "m", Needs: n})
	if err != nil {
		t.Fatalf("%v\n%s", err, body)
	}
	return out.Body.Bytes()
}

// conversation are the bytes of a request's messages, without the list's end.
func conversation(t testing.TB, body []byte) []byte {
	t.Helper()
	var r struct {
		Messages json.RawMessage
	}
	if err := json.Unmarshal(body, &r); err != nil {
		t.Fatalf("%v\n%s", err, body)
	}
	return bytes.TrimSuffix(r.Messages, []byte("]"))
}

func roles(t testing.TB, body []byte) (all []string) {
	t.Helper()
	var r struct{ Messages []struct{ Role string } }
	if err := json.Unmarshal(body, &r); err != nil {
		t.Fatal(err)
	}
	for _, m := range r.Messages {
		all = append(all, m.Role)
	}
	return all
}

// check is what holds for the requests of every session.
func check(t testing.TB, session [][]byte, n shape.Needs) {
	t.Helper()
	var before []byte
	for i, body := range session {
		got := shaped(t, body, n)
		for j, role := range roles(t, got) {
			if want := [2]string{"user", "assistant"}[j%2]; role != want {
				t.Fatalf("turn %d, needs %+v: message %d is of %q\n%s\n%s", i, n, j, role, body, got)
			}
		}
		if again := shaped(t, got, n); !bytes.Equal(again, got) {
			t.Fatalf("turn %d, needs %+v: another one the second time\n%s\n%s\n%s", i, n, body, got, again)
		}
		now := conversation(t, got)
		if !bytes.HasPrefix(now, before) {
			t.Fatalf("turn %d, needs %+v does not begin as the turn before\n%s\n%s", i, n, before, now)
		}
		before = now
	}
}

func FuzzLegalRequests(f *testing.F) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		f.Add(bytesOf(random))
	}
	f.Fuzz(func(t *testing.T, choices []byte) {
		session, err := Session(choices)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range needs {
			check(t, session, n)
		}
	})
}

func bytesOf(random *rand.Rand) []byte {
	choices := make([]byte, 20+random.IntN(300))
	for i := range choices {
		choices[i] = byte(random.Uint32())
	}
	return choices
}
