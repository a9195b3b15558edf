// Package gateway is the loopback HTTP server between Claude Code and Docker
// Model Runner. It makes every local model answer Claude Code, keeps the machine
// from being overrun, and is the one place that knows what sessions really use.
package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/netutil"
	"golang.org/x/sync/semaphore"

	"github.com/switchyard-app/switchyard/service/gateway/shape"
)

// Upstream is where the runner's API is.
type Upstream struct {
	URL    string // http(s)://host:port, with a path prefix if need be; over a socket only the path counts
	Socket string // a unix socket; empty for TCP
}

// Model is what a request's name means on this machine.
type Model struct {
	Tag     string // the full tag; empty when none is chosen
	Context int    // tokens that the engine loads it with; 0 when unknown
	Slots   int    // requests that the engine serves at a time; 0 when unknown
	Missing bool   // the runner has no such model
	Needs   shape.Needs
}

// Options are what the gateway needs from outside. Functions may be called from
// many goroutines.
type Options struct {
	Tokens   func() []string // accepted bearer tokens; none: no request is let in
	Upstream func(ctx context.Context) Upstream
	Model    func(ctx context.Context, name string) Model
	Revive   func(ctx context.Context) error  // brings a runner that does not answer up; nil: that is not allowed
	Parallel int                              // requests at a time for a model; 0: what the model bears
	Changed  func()                           // a Snapshot would be another one now; must not block; may be nil
	Learned  func(tag string, l shape.Lesson) // an engine's refusal taught what a model needs; must not block; may be nil
	Served   func(tag string, why Reason)     // a request ended, well or because of why; must not block; may be nil
}

const (
	// minContext is what one session of Claude Code needs to work in, in tokens.
	minContext = 32_768
	// unknownDensity is how many bytes a token takes at least, until the engine has counted some.
	unknownDensity = 2
	// defaultSlots is how many requests llama.cpp's server takes at a time when it is not told; they share the context.
	defaultSlots = 4
)

// Gateway is the server. Close it when it has served.
type Gateway struct {
	opt       Options
	server    *http.Server
	proxy     *httputil.ReverseProxy
	transport *transport
	loads     *loads
	bodies    *semaphore.Weighted
	ring      *ring
	metrics   *metrics
	sessions  *sessions
	stuck     time.Duration

	mu      sync.Mutex
	queues  map[string]*queue         // by model
	taught  map[string][]shape.Lesson // by model; what engines' refusals taught since the start
	dense   map[string]float64
	crowded map[string]time.Time // when requests together last needed more than a model's context
}

// New makes a gateway. It opens nothing.
func New(opt Options) *Gateway {
	g := &Gateway{
		opt: opt, bodies: semaphore.NewWeighted(memory), ring: newRing(), sessions: newSessions(), stuck: stuck,
		queues: map[string]*queue{}, taught: map[string][]shape.Lesson{}, dense: map[string]float64{}, crowded: map[string]time.Time{},
	}
	g.metrics = newMetrics()
	g.transport = newTransport(g)
	g.loads = newLoads(g.transport)
	g.proxy = &httputil.ReverseProxy{
		Transport: g.transport, FlushInterval: -1, BufferPool: &buffers{},
		Rewrite:        func(p *httputil.ProxyRequest) { exchangeOf(p.In.Context()).rewrite(p.Out) },
		ModifyResponse: func(r *http.Response) error { return exchangeOf(r.Request.Context()).answered(r) },
		ErrorHandler:   func(_ http.ResponseWriter, r *http.Request, err error) { exchangeOf(r.Context()).failed(err) },
		ErrorLog:       slog.NewLogLogger(slog.DiscardHandler, 0), // broken streams are recorded, not logged
	}
	g.server = &http.Server{
		Handler: localOnly(http.HandlerFunc(g.route)), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0),
	}
	return g
}

// route knows what Claude Code asks for, and nothing else.
func (g *Gateway) route(w http.ResponseWriter, r *http.Request) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	switch method + " " + r.URL.Path {
	case "GET /", "GET /api/hello": // asks only whether something answers
		w.WriteHeader(http.StatusOK)
	case "GET /v1/models":
		g.authorized(g.listModels)(w, r)
	case "POST /v1/messages":
		g.authorized(g.messages)(w, r)
	case "POST /v1/messages/count_tokens":
		g.authorized(g.countTokens)(w, r)
	default:
		notFound(r.URL.Path).write(w)
	}
}

// Serve serves on a loopback listener until Shutdown or Close.
func (g *Gateway) Serve(l net.Listener) error {
	err := g.server.Serve(netutil.LimitListener(l, maxConnections))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Shutdown closes the listeners and lets requests in progress end while the context lasts.
func (g *Gateway) Shutdown(ctx context.Context) error {
	defer g.transport.close()
	if err := g.server.Shutdown(ctx); err != nil {
		return g.server.Close()
	}
	return nil
}

// localOnly refuses what a browser may be made to send here by any web page, also
// under a name of its own that points to this machine (DNS rebinding).
func localOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A client that is refused cannot hold the connection with a body that never comes.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(slow))
		if !loopback(r.Host) || r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" {
			(&failure{status: http.StatusForbidden, kind: "permission_error", reason: Unauthorized,
				message: "Switchyard's gateway serves only programs on this machine, not web pages"}).write(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func loopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func (g *Gateway) authorized(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok {
			given = r.Header.Get("X-Api-Key")
		}
		if !slices.ContainsFunc(g.opt.Tokens(), func(token string) bool { return sameSecret(token, given) }) {
			(&failure{status: http.StatusUnauthorized, kind: "authentication_error", reason: Unauthorized,
				message: "this is not the token of Switchyard's gateway: switch again (switchyard local)"}).write(w)
			return
		}
		next(w, r)
	}
}

func (g *Gateway) queue(model string) *queue {
	g.mu.Lock()
	defer g.mu.Unlock()
	q := g.queues[model]
	if q == nil {
		q = newQueue(maxWaiting)
		g.queues[model] = q
	}
	return q
}

// parallel is how many requests at a time a model bears.
func (g *Gateway) parallel(m Model) int {
	if g.takesTurns(m.Tag) {
		return 1
	}
	return Parallel(g.opt.Parallel, m.Slots, m.Context)
}

// Parallel is how many requests at a time a model is given: as many as are configured, else
// as many as its engine has slots, and as its context, which they share, has room for
// sessions. What is unknown is 0.
func Parallel(configured, slots, context int) int {
	if configured > 0 {
		return configured
	}
	if slots == 0 {
		slots = defaultSlots
	}
	if context > 0 {
		slots = min(slots, context/minContext)
	}
	return max(1, slots)
}

// needs are what is known of a model's needs from outside, and what was learned here.
func (g *Gateway) needs(m Model) shape.Needs {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := m.Needs
	for _, l := range g.taught[m.Tag] {
		n = n.With(l)
	}
	return n
}

// learnNeed remembers what a refusal taught, once.
func (g *Gateway) learnNeed(tag string, l shape.Lesson) {
	g.mu.Lock()
	known := slices.Contains(g.taught[tag], l)
	if !known {
		g.taught[tag] = append(g.taught[tag], l)
	}
	g.mu.Unlock()
	if !known && g.opt.Learned != nil {
		g.opt.Learned(tag, l)
	}
}

// Forget forgets what refusals taught about a model, because Options.Model tells it by now,
// or because its engine is another one.
func (g *Gateway) Forget(tag string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.taught, tag)
}

// tokensAtMost estimates from above how many tokens a body is: two bytes for one
// until the engine has counted some of the model's.
func (g *Gateway) tokensAtMost(model string, size int64) int {
	const margin = 1.15
	g.mu.Lock()
	defer g.mu.Unlock()
	if perToken := g.dense[model]; perToken > 0 {
		return int(float64(size) / perToken * margin)
	}
	return int(size / unknownDensity)
}

// learn remembers how many bytes a token of the model took.
func (g *Gateway) learn(model string, size int64, tokens int) {
	const enough = 1000 // a short prompt is mostly the template
	if tokens < enough {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dense[model] = float64(size) / float64(tokens)
}

func (g *Gateway) changed() {
	if g.opt.Changed != nil {
		g.opt.Changed()
	}
}

type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, 16<<10)
}

func (b *buffers) Put(p []byte) { b.pool.Put(&p) }
