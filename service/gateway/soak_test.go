package gateway

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-app/switchyard/internal/lab/messages"
)

// Ten thousand requests, a third of whose clients go away at some moment, leave
// nothing behind: no goroutine, no place in the queue, no memory.
func TestSoak(t *testing.T) {
	const requests, clients, seed = 10_000, 32, 42
	s := &messages.Server{Answer: strings.Repeat("word ", 50), Model: "m"}
	r := newRig(t, engine(s), nil)
	transport := &http.Transport{MaxIdleConnsPerHost: clients}
	body := strings.Replace(helloStream, "hi", strings.Repeat("some words ", 1000), 1)
	run := func(n int) {
		jobs := make(chan int)
		var all sync.WaitGroup
		for range clients {
			all.Go(func() {
				for i := range jobs {
					random := rand.New(rand.NewPCG(seed, uint64(i)))
					ctx, cancel := context.WithCancel(t.Context())
					if random.IntN(3) == 0 {
						time.AfterFunc(time.Duration(random.IntN(int(5*time.Millisecond))), cancel)
					}
					req := r.request(http.MethodPost, "/v1/messages", body).WithContext(ctx)
					req.Header.Set("X-Claude-Code-Session-Id", strconv.Itoa(i%7))
					if resp, err := transport.RoundTrip(req); err == nil {
						_, _ = io.Copy(io.Discard, resp.Body)
						_ = resp.Body.Close()
					}
					cancel()
				}
			})
		}
		for i := range n {
			jobs <- i
		}
		close(jobs)
		all.Wait()
	}
	settle := func() (goroutines int, heap uint64) {
		transport.CloseIdleConnections()
		r.g.transport.close()
		limit := time.After(20 * time.Second)
		for last := -1; ; last = goroutines {
			if s := r.g.Snapshot(); s.Running+s.Waiting == 0 {
				if goroutines = runtime.NumGoroutine(); goroutines == last {
					break
				}
			}
			select {
			case <-limit:
				t.Fatalf("it does not come to rest: %+v, %d goroutines", r.g.Snapshot(), goroutines)
			case <-time.After(100 * time.Millisecond):
			}
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return goroutines, m.HeapAlloc
	}
	run(requests / 10) // fills the ring and the pools
	goroutines, heap := settle()
	run(requests)
	moreGoroutines, moreHeap := settle()
	if moreGoroutines > goroutines+2 {
		stacks := make([]byte, 1<<20)
		t.Errorf("%d goroutines before, %d after\n%s", goroutines, moreGoroutines, stacks[:runtime.Stack(stacks, true)])
	}
	if moreHeap > heap+4<<20 {
		t.Errorf("heap %d KB before, %d KB after", heap>>10, moreHeap>>10)
	}
	if n := r.g.ring.added; n < requests*3/4 { // a client that leaves before the body has arrived made no request
		t.Errorf("only %d requests were recorded", n)
	}
	if r.g.bodies.TryAcquire(memory) {
		r.g.bodies.Release(memory)
	} else {
		t.Error("some body is still held")
	}
	for _, s := range r.g.Snapshot().Sessions {
		if s.Running != 0 {
			t.Errorf("%+v", s)
		}
	}
	if status, _, _ := r.ask(hello); status != 200 {
		t.Errorf("afterwards: %d", status)
	}
}

// A crowd that holds connections keeps no one out for good, and no more get in
// than there is room for.
func TestACrowdOfConnections(t *testing.T) {
	s := &messages.Server{Answer: "still here", Model: "m"}
	r := newRig(t, engine(s), nil)
	var crowd []net.Conn
	defer func() {
		for _, c := range crowd {
			_ = c.Close()
		}
	}()
	for range maxConnections + 50 {
		c, err := net.Dial("tcp", r.host)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, "POST /v1/messages HTTP/1.1\r\nHost: local") // and then nothing
		crowd = append(crowd, c)
	}
	if status, body, _ := r.ask(hello); status != 200 || !strings.Contains(body, "still here") {
		t.Errorf("%d %s", status, body)
	}
	// 200 well-behaved clients at once are all answered, two at a time.
	var all sync.WaitGroup
	var mu sync.Mutex
	statuses := map[int]int{}
	for range 200 {
		all.Go(func() {
			resp, err := http.DefaultTransport.RoundTrip(r.request(http.MethodPost, "/v1/messages", hello))
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			mu.Lock()
			statuses[resp.StatusCode]++
			mu.Unlock()
		})
	}
	all.Wait()
	if statuses[200]+statuses[529] != 200 || statuses[200] < 2+maxWaiting {
		t.Errorf("statuses %v", statuses)
	}
	r.records(201) // what is recorded has left the queue
	if running := r.g.queue(tiny.Tag).load().Running; running != 0 {
		t.Errorf("%d are still running", running)
	}
}

// A body of 32 MB passes; together they never take more than the gateway allows.
func TestLargeBodiesAreBounded(t *testing.T) {
	var read int
	var mu sync.Mutex
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		n, _ := io.Copy(io.Discard, req.Body)
		mu.Lock()
		read = int(n)
		mu.Unlock()
		answers(200, "application/json", `{"type":"message","content":[{"type":"text","text":"much"}]}`)(w, req)
	}), func(o *Options) { o.Model = func(context.Context, string) Model { return Model{Tag: "m"} } })
	body := strings.Replace(hello, "hi", strings.Repeat("word ", (maxBody-len(hello))/5), 1)
	if status, answer, _ := r.ask(body); status != 200 || read < len(body)-100 {
		t.Errorf("%d %s, the runner read %d of %d bytes", status, answer, read, len(body))
	}
	if status, _, _ := r.ask(body + strings.Repeat(" ", 200)); status != 413 {
		t.Errorf("a larger one: %d", status)
	}
	r.records(1)
	if err := r.g.bodies.Acquire(t.Context(), memory); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := http.DefaultTransport.RoundTrip(r.request(http.MethodPost, "/v1/messages", hello).WithContext(ctx)); err == nil {
		t.Error("a body was read beyond what may be held")
	}
	r.g.bodies.Release(memory)
	if status, _, _ := r.ask(hello); status != 200 {
		t.Errorf("afterwards: %d", status)
	}
}
