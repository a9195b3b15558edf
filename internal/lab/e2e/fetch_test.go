//go:build e2e && linux

package e2e

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/switchyard-app/switchyard/internal/lab"
	"github.com/switchyard-app/switchyard/internal/lab/gguf"
)

// enticing are messages that an engine could take for an order to fetch URL, or to open FILE.
var enticing = map[string]string{
	"an image":                    asks(list(picture(`{"type":"url","url":"URL"}`))),
	"an image among words":        asks(list(txt("herons"), picture(`{"type":"url","url":"URL"}`), txt("swans"))),
	"an image without a type":     asks(list(picture(`{"url":"URL"}`))),
	"an image's data":             asks(list(picture(`{"type":"base64","media_type":"image/png","data":"URL"}`))),
	"an image's data and URL":     asks(list(picture(`{"type":"base64","media_type":"image/png","data":"` + dot + `","url":"URL"}`))),
	"an image's kind":             asks(list(picture(`{"type":"base64","media_type":"URL","data":"` + dot + `"}`))),
	"an image of a system":        systemSays(list(picture(`{"type":"url","url":"URL"}`))),
	"an image of the model":       asks(`"herons"`) + "," + answers(list(picture(`{"type":"url","url":"URL"}`))) + "," + asks(`"cranes"`),
	"an image in a result":        asks(`"herons"`) + "," + answers(list(looking)) + "," + asks(list(gives("toolu_01", list(picture(`{"type":"url","url":"URL"}`))))),
	"an image's data in a result": asks(`"herons"`) + "," + answers(list(looking)) + "," + asks(list(gives("toolu_01", list(picture(`{"type":"base64","media_type":"image/png","data":"URL"}`))))),
	"a document":                  asks(list(paper(`{"type":"url","url":"URL"}`))),
	"a document in a result":      asks(`"herons"`) + "," + answers(list(looking)) + "," + asks(list(gives("toolu_01", list(paper(`{"type":"url","url":"URL"}`))))),
	"an image in a document":      asks(list(paper(`{"type":"content","content":[` + picture(`{"type":"url","url":"URL"}`) + `]}`))),
	"an image of a search":        asks(list(`{"type":"search_result","source":"URL","title":"t","content":[` + picture(`{"type":"url","url":"URL"}`) + `]}`)),
	"OpenAI's image":              asks(list(`{"type":"image_url","image_url":{"url":"URL"}}`)),
	"OpenAI's image in a result":  asks(`"herons"`) + "," + answers(list(looking)) + "," + asks(list(gives("toolu_01", list(`{"type":"image_url","image_url":{"url":"URL"}}`)))),
	"OpenAI's sound":              asks(list(`{"type":"input_audio","input_audio":{"data":"URL","format":"wav"}}`)),
	"OpenAI's sound by URL":       asks(list(`{"type":"audio_url","audio_url":{"url":"URL"}}`)),
	"OpenAI's film":               asks(list(`{"type":"video_url","video_url":{"url":"URL"}}`)),
	"OpenAI's newer image":        asks(list(`{"type":"input_image","image_url":"URL"}`)),
	"a sound as an image":         asks(list(`{"type":"audio","source":{"type":"url","url":"URL"}}`)),
	"a film as an image":          asks(list(`{"type":"video","source":{"type":"url","url":"URL"}}`)),
	"a text":                      asks(`"look at URL <__media__>"`),
}

// No engine fetches anything for a session: a model that sees is shown images, documents,
// sound by address, in prompts, results and documents; nothing connects to the listener and nothing
// opens the file. That the engine would, the same request shows that goes past the gateway.
func TestNothingIsFetchedByTheEngine(t *testing.T) {
	if !inNamespace(t, func() error {
		parts, err := lab.Build(t.Context())
		if err == nil {
			_, err = parts.WithLlama(t.Context())
		}
		return err
	}) {
		return
	}
	u := engineUser(t)
	u.add("ai/eye", gguf.Model{Sees: true, Context: 65536})
	image, err := base64.StdEncoding.DecodeString(dot)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var fetched []string
	listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		fetched = append(fetched, r.URL.Path)
		mu.Unlock()
		_, _ = w.Write(image)
	}))
	defer listener.Close()
	file := filepath.Join(u.home, "secret.png")
	u.write(file, string(image))
	opened := u.watch(file)
	u.write(u.settings, "{}\n")
	u.serving()
	u.must("offline", "eye")
	var settings struct{ Env map[string]string }
	if err := json.Unmarshal([]byte(u.read()), &settings); err != nil {
		t.Fatal(err)
	}
	took := func() (all []string) {
		mu.Lock()
		defer mu.Unlock()
		all, fetched = append(fetched, opened()...), nil
		return all
	}
	ask := func(base, messages string) (int, string) {
		t.Helper()
		body := `{"model":"docker.io/ai/eye:latest","max_tokens":20,"messages":[` + messages + `]}`
		req, err := http.NewRequestWithContext(u.ctx, http.MethodPost, base+"/v1/messages", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+settings.Env["ANTHROPIC_AUTH_TOKEN"])
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(data)
	}
	through, past := settings.Env["ANTHROPIC_BASE_URL"], u.runner.URL+"/anthropic"
	if status, said := ask(through, asks(list(picture(pixel)))); status != 200 || !strings.Contains(said, gguf.Answer) {
		t.Fatalf("an image of its own: %d %s", status, said)
	}
	for name, messages := range enticing {
		for what, address := range map[string]string{"fetched": listener.URL + "/picture.png", "opened": "file://" + file, "opened as data": "data:image/png;file=" + file, "opened by its path": file} {
			status, said := ask(through, strings.ReplaceAll(messages, "URL", address))
			if status != 200 {
				t.Errorf("%s, %s: %d %s", name, what, status, said)
			}
			if all := took(); all != nil {
				t.Errorf("%s was %s: %q", name, what, all)
			}
		}
	}
	for _, name := range []string{"an image", "an image in a result"} {
		if ask(past, strings.ReplaceAll(enticing[name], "URL", listener.URL+"/picture.png")); took() == nil {
			t.Errorf("%s past the gateway was not fetched either: this proves nothing", name)
		}
	}
}

// watch tells who opened a file since it was asked last.
func (u *user) watch(file string) (opened func() []string) {
	u.Helper()
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		u.Fatal(err)
	}
	u.Cleanup(func() { _ = unix.Close(fd) })
	if _, err := unix.InotifyAddWatch(fd, file, unix.IN_OPEN); err != nil {
		u.Fatal(err)
	}
	return func() []string {
		var events [4096]byte
		if n, _ := unix.Read(fd, events[:]); n > 0 {
			return []string{file}
		}
		return nil
	}
}
