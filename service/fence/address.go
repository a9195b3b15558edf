package fence

import (
	"encoding/binary"
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// Address families, as Linux numbers them.
const (
	familyUnix  = 1
	familyInet  = 2
	familyInet6 = 10
)

// parseAddress reads a socket address as a program gives it to the kernel.
func parseAddress(b []byte) (family int, to netip.AddrPort, path string, ok bool) {
	if len(b) < 2 {
		return 0, to, "", false
	}
	family = int(binary.NativeEndian.Uint16(b))
	switch {
	case family == familyUnix:
		path = string(b[2:])
		if len(path) > 0 && path[0] == 0 { // an abstract name
			return family, to, "@" + strings.ToValidUTF8(path[1:], "?"), true
		}
		path, _, _ = strings.Cut(path, "\x00")
		return family, to, path, true
	case family == familyInet && len(b) >= 8:
		return family, netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), binary.BigEndian.Uint16(b[2:])), "", true
	case family == familyInet6 && len(b) >= 24:
		return family, netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[8:24])), binary.BigEndian.Uint16(b[2:])), "", true
	}
	return family, to, "", family != familyInet && family != familyInet6
}

// question reads the name that a message to a resolver asks for; empty when it is none.
func question(message []byte) string {
	var p dnsmessage.Parser
	if _, err := p.Start(message); err != nil {
		return ""
	}
	q, err := p.Question()
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(q.Name.String(), ".")
}

// refusal answers a question with a failure of the server.
func refusal(message []byte) []byte {
	var p dnsmessage.Parser
	header, err := p.Start(message)
	if err != nil {
		return nil
	}
	questions, err := p.AllQuestions()
	if err != nil {
		return nil
	}
	header.Response, header.RCode = true, dnsmessage.RCodeServerFailure
	reply := dnsmessage.Message{Header: header, Questions: questions}
	packed, err := reply.Pack()
	if err != nil {
		return nil
	}
	return packed
}
