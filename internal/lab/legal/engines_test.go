//go:build engines

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

// LEGAL_ENGINES names llama.cpp servers by their URLs. Each gets LEGAL_COUNT requests: all
// go through the template, the parser and the grammar (count_tokens does that), and one in
// LEGAL_ANSWERS is answered with a token.
func TestEnginesRefuseNoLegalRequest(t *testing.T) {
	engines := strings.Fields(os.Getenv("LEGAL_ENGINES"))
	if len(engines) == 0 {
		t.Fatal("LEGAL_ENGINES names no llama.cpp server")
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
