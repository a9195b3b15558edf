// Package network tells how far this machine's network goes, and when that changes. It
// sends nothing: it listens to what the system says.
package network

// Reach is how far the network goes.
type Reach string

const (
	Unknown Reach = ""        // the system does not tell
	Online  Reach = "online"  // there is a way out
	Portal  Reach = "portal"  // a login page comes first
	Offline Reach = "offline" // this machine is alone, or its network leads nowhere
)
