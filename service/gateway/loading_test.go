package gateway

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// slowLoad plays a runner whose model takes a while to load, as Model Runner does it: the
// request that loads must stay.
type slowLoad struct {
	takes time.Duration
	says  string // why the model cannot be loaded
	mu    sync.Mutex
	loads int
	left  []time.Time // when a load was given up
	asked int         // real requests
}

func (s *slowLoad) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	s.mu.Lock()
	preload := r.Header.Get("X-Preload-Only") == "true"
	if preload {
		s.loads++
	} else {
		s.asked++
	}
	s.mu.Unlock()
	if !preload {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, stream)
		return
	}
	select {
	case <-time.After(s.takes):
		if s.says != "" {
			http.Error(w, s.says, http.StatusInternalServerError)
		}
	case <-r.Context().Done():
		s.mu.Lock()
		s.left = append(s.left, time.Now())
		s.mu.Unlock()
	}
}

// A client that leaves while its model loads does not end the load for the others; the
// last one does, at once.
func TestClientsThatLeaveALoad(t *testing.T) {
	for _, tt := range []struct {
		name    string
		context int
		stays   bool // the second client
	}{{"beside another", 65536, true}, {"before another in the queue", 32768, true}, {"all", 65536, false}, {"all, also from the queue", 32768, false}} {
		t.Run(tt.name, func(t *testing.T) {
			runner := &slowLoad{takes: 30 * time.Second}
			inBubbleWith(t, runner, func(t *testing.T, g *Gateway, dial func() net.Conn) {
				g.opt.Model = func(context.Context, string) Model { return Model{Tag: "m", Context: tt.context} }
				start := time.Now()
				a := dial()
				send(t, a, helloStream)
				time.Sleep(3 * time.Second)
				b := dial()
				defer b.Close()
				read := send(t, b, helloStream)
				time.Sleep(3 * time.Second)
				_ = a.Close()
				synctest.Wait()
				if len(runner.left) > 0 {
					t.Fatal("the load was given up")
				}
				if !tt.stays {
					left := time.Now()
					_ = b.Close()
					synctest.Wait()
					if len(runner.left) != 1 || runner.left[0].Sub(left) > time.Second || g.Snapshot().Running != 0 {
						t.Errorf("given up %v, left %v, %+v", runner.left, left, g.Snapshot())
					}
					return
				}
				resp, err := http.ReadResponse(read, nil)
				if err != nil {
					t.Fatal(err)
				}
				body, _ := io.ReadAll(resp.Body)
				if took := time.Since(start); took != 30*time.Second || !strings.Contains(string(body), "message_stop") || runner.loads != 1 || runner.asked != 1 {
					t.Errorf("after %s, %d loads, %d requests: %s", took, runner.loads, runner.asked, body)
				}
			})
		})
	}
}

// Whoever comes after all have left begins a load of his own.
func TestALoadBeginsAgain(t *testing.T) {
	runner := &slowLoad{takes: 10 * time.Second}
	inBubbleWith(t, runner, func(t *testing.T, g *Gateway, dial func() net.Conn) {
		a := dial()
		send(t, a, helloStream)
		time.Sleep(time.Second)
		_ = a.Close()
		synctest.Wait()
		b := dial()
		defer b.Close()
		begin := time.Now()
		resp, err := http.ReadResponse(send(t, b, helloStream), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		if took := time.Since(begin); took != 10*time.Second || runner.loads != 2 {
			t.Errorf("after %s, %d loads", took, runner.loads)
		}
	})
}

// A model that cannot be loaded is tried once for all that wait for it.
func TestALoadFailsOnce(t *testing.T) {
	runner := &slowLoad{takes: 5 * time.Second, says: "unable to load runner: not enough GPU memory to load the model (CUDA)"}
	inBubbleWith(t, runner, func(t *testing.T, g *Gateway, dial func() net.Conn) {
		var all sync.WaitGroup
		for range 2 {
			conn := dial()
			defer conn.Close()
			read := send(t, conn, helloStream)
			all.Go(func() {
				resp, err := http.ReadResponse(read, nil)
				if err != nil {
					t.Error(err)
					return
				}
				if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 400 || !strings.Contains(string(body), "not enough GPU memory for ai/tiny") {
					t.Errorf("%d %s", resp.StatusCode, body)
				}
			})
		}
		all.Wait()
		if runner.loads != 1 || runner.asked != 0 {
			t.Errorf("%d loads, %d requests", runner.loads, runner.asked)
		}
	})
}

// Nor is a load that fails after minutes done a second time by the request.
func TestALongLoadFailsOnce(t *testing.T) {
	runner := &slowLoad{takes: 5 * time.Minute, says: "unable to load runner: error waiting for runner to be ready: took too long to initialize"}
	inBubbleWith(t, runner, func(t *testing.T, g *Gateway, dial func() net.Conn) {
		conn := dial()
		defer conn.Close()
		resp, err := http.ReadResponse(send(t, conn, helloStream), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		if runner.loads != 1 || runner.asked != 0 {
			t.Errorf("%d loads, %d requests", runner.loads, runner.asked)
		}
	})
}

// A model that has answered is not asked to load again so soon.
func TestWhatIsLoadedIsNotLoaded(t *testing.T) {
	runner := &slowLoad{}
	inBubbleWith(t, runner, func(t *testing.T, g *Gateway, dial func() net.Conn) {
		for i, want := range []int{1, 1, 2} {
			conn := dial()
			resp, err := http.ReadResponse(send(t, conn, helloStream), nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = conn.Close()
			synctest.Wait()
			if runner.loads != want || runner.asked != i+1 {
				t.Errorf("%d loads, %d requests", runner.loads, runner.asked)
			}
			if i == 1 {
				time.Sleep(warmFor)
			}
		}
		g.loads.failed(tiny.Tag, EngineFailed)
		if h := g.loads.join(tiny); !h.cold() {
			t.Error("its engine is gone, and it is taken for loaded")
		} else {
			h.leave()
		}
	})
}

// A client that leaves while the runner starts is gone at once, and the start goes on for
// the others.
func TestClientsThatLeaveAStart(t *testing.T) {
	runner := &slowLoad{}
	inBubbleWith(t, runner, func(t *testing.T, g *Gateway, dial func() net.Conn) {
		up := make(chan struct{})
		var ended sync.Once
		working := g.transport.base.DialContext
		g.transport.base.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			select {
			case <-up:
				return working(ctx, network, address)
			default:
				return nil, &net.OpError{Op: "dial", Err: io.EOF}
			}
		}
		givenUp, revivals := 0, 0
		g.opt.Revive = func(ctx context.Context) error {
			revivals++
			select {
			case <-time.After(20 * time.Second):
				ended.Do(func() { close(up) })
				return nil
			case <-ctx.Done():
				givenUp++
				return ctx.Err()
			}
		}
		begin := time.Now()
		a := dial()
		send(t, a, helloStream)
		time.Sleep(time.Second)
		b := dial()
		defer b.Close()
		read := send(t, b, helloStream)
		time.Sleep(time.Second)
		_ = a.Close()
		synctest.Wait()
		if records := g.Records(); len(records) != 1 || records[0].Error != ClientGone || givenUp != 0 {
			t.Errorf("%+v, given up %d times", records, givenUp)
		}
		resp, err := http.ReadResponse(read, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		if took := time.Since(begin); resp.StatusCode != 200 || took != 20*time.Second || revivals != 1 {
			t.Errorf("%d after %s, %d starts", resp.StatusCode, took, revivals)
		}
	})
}

// A load whose connection breaks tells nothing: the request itself is sent.
func TestALoadThatBreaks(t *testing.T) {
	broken, asked := 0, 0
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Preload-Only") != "" {
			broken++
			panic(http.ErrAbortHandler)
		}
		asked++
		answers(200, "application/json", `{"type":"message","content":[{"type":"text","text":"well"}]}`)(w, r)
	}))
	defer upstream.Close()
	r := newRig(t, nil, func(o *Options) { o.Upstream = func(context.Context) Upstream { return Upstream{URL: upstream.URL} } })
	if status, answer, _ := r.ask(hello); status != 200 || broken == 0 || asked != 1 {
		t.Errorf("%d %s; %d loads, %d requests", status, answer, broken, asked)
	}
}
