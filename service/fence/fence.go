// Package fence runs a program that can reach this machine only, and tells what else
// the program, and all that it started, tried.
package fence

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// Kind is what was tried.
type Kind string

const (
	Lookup     Kind = "lookup"     // of a name; the question is not passed on
	Connection Kind = "connection" // to another machine; it is refused
)

// Attempt is something that a fenced program tried to reach elsewhere.
type Attempt struct {
	Kind     Kind   `json:"kind"`
	Name     string `json:"name,omitempty"`     // that was looked up; empty when it could not be read
	Address  string `json:"address,omitempty"`  // of a connection, with the port
	Protocol string `json:"protocol,omitempty"` // of a connection: tcp or udp; empty when it could not be seen
	Program  string `json:"program"`            // the process' name
	Times    int    `json:"times"`
}

func (a Attempt) String() string {
	text := "connect to " + a.Address
	if a.Kind == Lookup {
		text = "look up " + cmp.Or(a.Name, "a name that could not be read")
	}
	if a.Protocol == "udp" {
		text += " (udp)"
	}
	return fmt.Sprintf("%s tried to %s, %d×", a.Program, text, a.Times)
}

// Local is a place on this machine that a fenced program was let through to.
type Local struct {
	Address string `json:"address"` // with the port, or the path of a socket
	Times   int    `json:"times"`
}

// Report is what a fenced program did.
type Report struct {
	Attempts []Attempt `json:"attempts"` // look-ups first
	Local    []Local   `json:"local"`
}

// journal gathers the Report, from several goroutines.
type journal struct {
	mu       sync.Mutex
	attempts map[Attempt]int
	local    map[string]int
}

func newJournal() *journal { return &journal{attempts: map[Attempt]int{}, local: map[string]int{}} }

func (j *journal) tried(a Attempt) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.attempts[a]++
}

func (j *journal) reached(address string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.local[address]++
}

func (j *journal) report() Report {
	j.mu.Lock()
	defer j.mu.Unlock()
	r := Report{Attempts: []Attempt{}, Local: []Local{}}
	for a, times := range j.attempts {
		a.Times = times
		r.Attempts = append(r.Attempts, a)
	}
	slices.SortFunc(r.Attempts, func(a, b Attempt) int {
		return cmp.Or(-strings.Compare(string(a.Kind), string(b.Kind)), strings.Compare(a.Name, b.Name), strings.Compare(a.Address, b.Address), strings.Compare(a.Program, b.Program))
	})
	for _, address := range slices.Sorted(maps.Keys(j.local)) {
		r.Local = append(r.Local, Local{address, j.local[address]})
	}
	return r
}

const dnsPort = 53

// verdict is what is done with an address that a program wants to reach.
type verdict int

const (
	allow  verdict = iota
	lookup         // it asks whoever resolves names
	refuse
)

// judge decides about an internet address. The unspecified one means this machine.
func judge(to netip.AddrPort) verdict {
	at := to.Addr().Unmap()
	switch {
	case to.Port() == dnsPort:
		return lookup
	case at.IsLoopback() || at.IsUnspecified():
		return allow
	}
	return refuse
}

// judgeSocket decides about a socket's path. Those of resolvers are closed: a program
// then asks itself, where the question can be read. (nscd is asked for users as well.)
func judgeSocket(path string) verdict {
	switch {
	case strings.Contains(path, "/avahi-daemon/"): // the only way for names of the local network
		return lookup
	case strings.Contains(path, "/systemd/resolve/"), strings.Contains(path, "/nscd/"):
		return refuse
	}
	return allow
}
