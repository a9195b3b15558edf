package gateway

// What one client may take of the gateway.
const (
	// maxBody is what Anthropic's own API takes.
	maxBody = 32 << 20
	// memory bounds the bodies that are held at a time.
	memory = 3 * maxBody
	// maxConnections is more than any number of sessions needs.
	maxConnections = 256
	// maxWaiting bounds a model's queue.
	maxWaiting = 64
)
