package legal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

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

// LEGAL_ENGINES names llama.cpp servers by their URLs. Each gets LEGAL_COUNT requests: all
// go through the template, the parser and the grammar (count_tokens does that), and one in
// LEGAL_ANSWERS is answered with a token.
func TestEnginesRefuseNoLegalRequest(t *testing.T) {
	engines := strings.Fields(os.Getenv("LEGAL_ENGINES"))
	if len(engines) == 0 {
		t.Skip("LEGAL_ENGINES names no llama.cpp server")
	}
	count, answers := number("LEGAL_COUNT", 1000), number("LEGAL_ANSWERS", 50)
	seed := uint64(number("LEGAL_SEED", 1))
	var all sync.WaitGroup
	for i, url := range engines {
		all.Go(func() { refuses(t, url, count, answers, rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
	all.Wait()
}

func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

func refuses(t *testing.T, url string, count, answers int, random *rand.Rand) {
	var props struct {
		Template string `json:"chat_template"`
	}
	if _, body := ask(t, http.MethodGet, url+"/props", nil); json.Unmarshal(body, &props) != nil || props.Template == "" {
		t.Errorf("%s has no template", url)
		return
	}
	need := shape.Read(props.Template)
	need.Blind = true
	began, refused := time.Now(), 0
	for sent := 0; sent < count; {
		session, err := Session(bytesOf(random))
		if err != nil {
			t.Error(err)
			return
		}
		for _, body := range session {
			got := shaped(t, body, need)
			path := "/v1/messages/count_tokens"
			if answers > 0 && sent%answers == 0 {
				path, got = "/v1/messages", short(got)
			}
			status, answer := ask(t, http.MethodPost, url+path, got)
			if sent++; status != http.StatusOK && !bytes.Contains(answer, []byte("does not match the expected")) { // what a model without sense says
				if refused++; refused <= 20 {
					t.Errorf("%s%s: %d %s\n%s\n%s", url, path, status, answer, body, got)
				}
			}
		}
	}
	fmt.Printf("%s: %d requests in %v, %d refused\n", url, count, time.Since(began).Round(time.Second), refused)
}

// short is a request for one token.
func short(body []byte) []byte {
	var r map[string]json.RawMessage
	if json.Unmarshal(body, &r) != nil {
		return body
	}
	r["max_tokens"] = json.RawMessage("1")
	out, _ := json.Marshal(r)
	return out
}

func ask(t *testing.T, method, url string, body []byte) (status int, answer []byte) {
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0, nil
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Error(err)
		return 0, nil
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return resp.StatusCode, answer
}
