package gateway

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-app/switchyard/service/gateway/verdict"
)

// pipes is a listener whose connections are in memory, so that time may be a test's own.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error { p.once.Do(func() { close(p.done) }); return nil }

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (p *pipes) dial(ctx context.Context) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// inBubble runs a test with a gateway and a runner whose time is the bubble's.
func inBubble(t *testing.T, runner http.HandlerFunc, test func(t *testing.T, g *Gateway, dial func() net.Conn)) {
	inBubbleWith(t, loading(runner), test)
}

// inBubbleWith is inBubble with a runner that loads its models.
func inBubbleWith(t *testing.T, runner http.Handler, test func(t *testing.T, g *Gateway, dial func() net.Conn)) {
	synctest.Test(t, func(t *testing.T) {
		up, down := newPipes(), newPipes()
		upstream := &http.Server{Handler: runner}
		go func() { _ = upstream.Serve(up) }()
		g := New(Options{
			Tokens:   func() []string { return []string{token} },
			Upstream: func(context.Context) Upstream { return Upstream{URL: "http://runner"} },
			Model:    func(context.Context, string) Model { return tiny },
		})
		g.transport.base.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return up.dial(ctx) }
		go func() { _ = g.Serve(down) }()
		test(t, g, func() net.Conn {
			conn, err := down.dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return conn
		})
		_ = g.server.Close()
		g.transport.close()
		_ = upstream.Close()
		synctest.Wait()
	})
}

// send writes a request by hand and returns the connection's reader.
func send(t *testing.T, conn net.Conn, body string) *bufio.Reader {
	t.Helper()
	go func() { // a pipe has no buffer
		_, _ = io.WriteString(conn, "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "+token+"\r\nContent-Length: "+
			strconv.Itoa(len(body))+"\r\n\r\n"+body)
	}()
	return bufio.NewReader(conn)
}

const stream = `event: message_start
data: {"type":"message_start","message":{"id":"m","type":"message","role":"assistant","content":[],"model":"tiny.gguf","stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":7,"cache_read_input_tokens":3,"output_tokens":0}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":5}}

event: message_stop
data: {"type":"message_stop"}

`

func TestPingsKeepASilentStreamAlive(t *testing.T) {
	inBubble(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		time.Sleep(35 * time.Second) // the prompt is being read
		w.Header().Set("Content-Type", "text/event-stream")
		head, tail, _ := strings.Cut(stream, "event: content_block_stop")
		_, _ = io.WriteString(w, head)
		_ = http.NewResponseController(w).Flush()
		time.Sleep(25 * time.Second) // another session's prompt is being read
		_, _ = io.WriteString(w, "event: content_block_stop"+tail)
	}, func(t *testing.T, g *Gateway, dial func() net.Conn) {
		start := time.Now()
		conn := dial()
		defer conn.Close()
		resp, err := http.ReadResponse(send(t, conn, helloStream), nil)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); resp.StatusCode != 200 || took != patience {
			t.Errorf("status %d after %s", resp.StatusCode, took)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != time.Minute {
			t.Errorf("it took %s", took)
		}
		if n := strings.Count(string(body), ping); n != 3+2 {
			t.Errorf("%d pings in\n%s", n, body)
		}
		got := strings.ReplaceAll(string(body), ping, "")
		if want := strings.Replace(stream, "tiny.gguf", "claude-opus-4-6", 1); got != want {
			t.Errorf("got %s", got)
		}
		synctest.Wait()
		records := g.Records()
		if len(records) != 1 || records[0].TTFT != 35_000 || records[0].Duration != 60_000 || records[0].TokensPerS != 0.2 || records[0].InputTokens != 10 || records[0].CachedTokens != 3 {
			t.Errorf("%+v", records)
		}
	})
}

func TestALateErrorIsAnEventOfTheStream(t *testing.T) {
	inBubble(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		time.Sleep(15 * time.Second)
		http.Error(w, "unable to load runner: not enough GPU memory to load the model (CUDA)", 500)
	}, func(t *testing.T, g *Gateway, dial func() net.Conn) {
		conn := dial()
		defer conn.Close()
		resp, err := http.ReadResponse(send(t, conn, helloStream), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		want := ping + `event: error` + "\n" + `data: {"error":{"message":"not enough GPU memory for ai/tiny with a context of 65536 tokens: choose a smaller model or context, or unload another model (switchyard unload)","type":"invalid_request_error"},"type":"error"}` + "\n\n"
		if err != nil || string(body) != want {
			t.Errorf("%v %s\nwant %s", err, body, want)
		}
		synctest.Wait()
		if records := g.Records(); len(records) != 1 || records[0].Status != 400 || records[0].Error != verdict.OutOfMemory {
			t.Errorf("%+v", records)
		}
	})
}

func TestPingsWhileTheRequestWaitsForItsTurn(t *testing.T) {
	inBubble(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		time.Sleep(15 * time.Second)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, stream)
	}, func(t *testing.T, g *Gateway, dial func() net.Conn) {
		var all sync.WaitGroup
		for i := range 3 { // two at a time: 64K are two sessions
			all.Go(func() {
				conn := dial()
				defer conn.Close()
				time.Sleep(time.Duration(i) * time.Millisecond)
				resp, err := http.ReadResponse(send(t, conn, helloStream), nil)
				if err != nil {
					t.Error(err)
					return
				}
				body, _ := io.ReadAll(resp.Body)
				if want := []int{1, 1, 2}[i]; strings.Count(string(body), ping) != want {
					t.Errorf("request %d: %s", i, body)
				}
			})
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if s := g.Snapshot(); s.Running != 2 || s.Waiting != 1 {
			t.Errorf("%+v", s)
		}
		all.Wait()
		synctest.Wait()
		if s := g.Snapshot(); s.Running != 0 || s.Waiting != 0 {
			t.Errorf("%+v", s)
		}
		records := g.Records()
		if last := records[len(records)-1]; last.Queued != 14_998 {
			t.Errorf("%+v", last)
		}
	})
}

func TestAClientThatGoesFreesItsPlace(t *testing.T) {
	var gone atomic.Value
	inBubble(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		gone.Store(time.Now())
	}, func(t *testing.T, g *Gateway, dial func() net.Conn) {
		conns := []net.Conn{dial(), dial(), dial()} // the last one waits in the queue
		for _, c := range conns {
			send(t, c, helloStream)
			time.Sleep(time.Second)
		}
		left := time.Now()
		_ = conns[2].Close()
		synctest.Wait()
		if s := g.Snapshot(); s.Running != 2 || s.Waiting != 0 {
			t.Errorf("one left the queue: %+v", s)
		}
		for _, c := range conns {
			_ = c.Close()
		}
		synctest.Wait()
		if s := g.Snapshot(); s.Running != 0 || gone.Load().(time.Time).Sub(left) > time.Second {
			t.Errorf("%+v, the runner learnt it after %s", s, gone.Load().(time.Time).Sub(left))
		}
		for _, r := range g.Records() {
			if r.Error != ClientGone || r.Status != 499 {
				t.Errorf("%+v", r)
			}
		}
	})
}

// A client that sends or takes nothing holds nothing for long.
func TestSlowClients(t *testing.T) {
	for _, tt := range []struct {
		name, head string
		until      time.Duration
	}{
		{"a header that never ends", "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nX: ", 5 * time.Second},
		{"a body that never ends, without a token", "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{", slow},
		{"a body that never ends", "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + token + "\r\nContent-Length: 99\r\n\r\n{", slow},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, g *Gateway, dial func() net.Conn) {
				start := time.Now()
				conn := dial()
				defer conn.Close()
				_, _ = io.WriteString(conn, tt.head)
				time.Sleep(tt.until + 5*time.Second)
				synctest.Wait()
				if s := g.Snapshot(); s.Running != 0 {
					t.Errorf("after %s: %+v", time.Since(start), s)
				}
				rest, _ := io.ReadAll(conn) // what is left, then the end
				if time.Since(start) > tt.until+6*time.Second {
					t.Errorf("the connection was held for %s; %.100s", time.Since(start), rest)
				}
			})
		})
	}
}

// A client that takes nothing of its answer, a suspended one for instance, loses
// its place. Its time is a real one: a lock is held meanwhile, which a bubble's
// time waits for.
func TestAnAnswerThatNobodyReads(t *testing.T) {
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, strings.Replace(stream, "hi", strings.Repeat("long ", 4<<20), 1))
	}), nil)
	r.g.stuck = 100 * time.Millisecond
	conn, err := net.Dial("tcp", r.host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	send(t, conn, helloStream)
	if records := r.records(1); records[0].Error == "" {
		t.Errorf("%+v", records)
	}
	if s := r.g.Snapshot(); s.Running != 0 {
		t.Errorf("%+v", s)
	}
}

func TestTheQueueIsFairAndBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(7)
		var order []string
		var mu sync.Mutex
		var all sync.WaitGroup
		enter := func(session string, side bool) {
			all.Go(func() {
				leave, err := q.enter(t.Context(), session, side, 1)
				if err != nil {
					t.Errorf("%s: %v", session, err)
					return
				}
				mu.Lock()
				name := session
				if side {
					name += "+"
				}
				order = append(order, name)
				mu.Unlock()
				time.Sleep(time.Second)
				leave()
				leave() // once is enough
			})
			synctest.Wait()
		}
		// a has a crowd of subagents before anybody else comes.
		enter("a", false)
		enter("a", true)
		enter("a", true)
		enter("a", true)
		enter("b", true)
		enter("b", false)
		enter("c", false)
		enter("a", false)
		if _, err := q.enter(t.Context(), "d", false, 1); err != errQueueFull {
			t.Errorf("the queue takes an eighth: %v", err)
		}
		all.Wait()
		if got, want := strings.Join(order, " "), "a b c a b+ a+ a+ a+"; got != want {
			t.Errorf("order %s, want %s", got, want)
		}
		if load := q.load(); load.Running+load.Waiting != 0 || len(q.running) != 0 {
			t.Errorf("left behind: %+v %v", load, q.running)
		}
	})
}

func TestTheQueueForgetsSessions(t *testing.T) {
	q := newQueue(1)
	for i := range 10_000 {
		leave, err := q.enter(t.Context(), strconv.Itoa(i), false, 4)
		if err != nil {
			t.Fatal(err)
		}
		leave()
	}
	if len(q.served) > 600 {
		t.Errorf("%d sessions are remembered", len(q.served))
	}
}

func TestHowManyAtATime(t *testing.T) {
	for _, tt := range []struct {
		model    Model
		parallel int
		want     int
	}{
		{Model{}, 0, 4}, {Model{Context: 16384}, 0, 1}, {Model{Context: 32768}, 0, 1}, {Model{Context: 65536}, 0, 2}, {Model{Context: 262144}, 0, 4},
		{Model{Context: 262144, Slots: 1}, 0, 1}, {Model{Context: 262144, Slots: 8}, 0, 8}, {Model{Context: 32768, Slots: 8}, 3, 3},
	} {
		if got := New(Options{Parallel: tt.parallel}).parallel(tt.model); got != tt.want {
			t.Errorf("%+v, configured %d: %d, want %d", tt.model, tt.parallel, got, tt.want)
		}
	}
}
