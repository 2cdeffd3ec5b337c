package libws

import (
	"crypto/tls"
	"strconv"
	"strings"
	"time"

	"aiows/libws/dial"
	"aiows/libws/handshake"
	"aiows/libws/wire"
)

// info is what is known of a connection beside its state; the loop lock guards it.
type info struct {
	uri, target   string
	proxy         string           // its URL without credentials; "": none
	request       *handshake.Built // client
	received      string           // server: the fields of the request, packed
	sent          string           // server: the answer as it went out
	local, remote string
	response      *handshake.Response
	body          []byte
	subprotocol   string
	extensions    string
	secure        *secured // nil without TLS
}

// secured is what a TLS handshake came to.
type secured struct {
	version, suite, alpn string
	certificate          []byte // DER, of the peer
	resumed              bool
}

func (i *info) adopt(h *handover) {
	if h.request != nil {
		i.uri, i.target, i.proxy, i.request = h.uri, h.target, h.proxy, h.request
	}
	i.local, i.remote = h.local, h.remote
	i.response, i.body = h.response, h.body
	i.subprotocol, i.extensions = h.subprotocol, h.extensions
	if h.tls != nil && !h.proxyTLS {
		s := h.tls.ConnectionState()
		i.secure = &secured{
			version: tls.VersionName(s.Version), suite: tls.CipherSuiteName(s.CipherSuite),
			alpn: s.NegotiatedProtocol, resumed: s.DidResume,
		}
		if len(s.PeerCertificates) > 0 {
			i.secure.certificate = s.PeerCertificates[0].Raw
		}
	}
}

// ConnInfo describes a connection. Strings are empty where there is nothing.
type ConnInfo struct {
	State               State
	Server              bool
	URI                 string // without credentials
	Subprotocol         string
	Extensions          string
	LocalAddress        string
	RemoteAddress       string
	TLSVersion          string
	TLSCipherSuite      string
	TLSALPN             string // the protocol agreed on
	TLSPeerCertificate  []byte // DER, not to be changed
	TLSResumed          bool
	RequestTarget       string
	RequestHeaders      handshake.Header
	AddedHost           bool // raw lines lacked Host
	ResponseStatus      int
	ResponseReason      string
	ResponseHeaders     handshake.Header
	ResponseBody        []byte
	CloseReceived       uint16
	CloseSent           uint16
	CloseReasonReceived string
	CloseReasonSent     string
	Attempts            []dial.Attempt // each address that did not answer
	Proxy               string         // without credentials
}

// Info returns a copy of what is known of the connection.
func (c *Conn) Info() *ConnInfo {
	c.loop.mu.Lock()
	defer c.loop.mu.Unlock()
	i := &c.info
	r := &ConnInfo{
		State: c.State(), Server: c.role == wire.Server, URI: i.uri,
		Subprotocol: i.subprotocol, Extensions: i.extensions,
		LocalAddress: i.local, RemoteAddress: i.remote,
		RequestTarget: i.target,
		CloseReceived: uint16(c.ending.received), CloseReasonReceived: c.ending.reason,
		ResponseBody: i.body, Proxy: i.proxy,
	}
	if s := i.secure; s != nil {
		r.TLSVersion, r.TLSCipherSuite, r.TLSALPN = s.version, s.suite, s.alpn
		r.TLSPeerCertificate, r.TLSResumed = s.certificate, s.resumed
	}
	if c.err != nil {
		r.Attempts = c.err.Attempts
	}
	switch {
	case i.request != nil:
		r.RequestHeaders, r.AddedHost = i.request.Header, i.request.AddedHost
	case i.sent != "":
		r.RequestHeaders = unpackHeader(i.received)
		r.ResponseHeaders = sentHeader(i.sent)
		r.ResponseStatus, r.ResponseReason = 101, "Switching Protocols"
	}
	if i.response != nil {
		r.ResponseStatus, r.ResponseReason, r.ResponseHeaders = i.response.Status, i.response.Reason, i.response.Header
	}
	if c.writer.closeSent.Load() {
		r.CloseSent, r.CloseReasonSent = uint16(c.writer.closeCode), c.writer.closeReason
	}
	return r
}

// packHeader makes one string of the fields, since a server may hold very many: a
// header with its strings takes three times the memory.
func packHeader(h handshake.Header) string {
	var b strings.Builder
	n := 0
	for _, f := range h {
		n += len(f.Name) + len(f.Value) + 2
	}
	b.Grow(n)
	for _, f := range h {
		b.WriteString(f.Name)
		b.WriteByte(':')
		b.WriteString(f.Value)
		b.WriteByte('\n')
	}
	return b.String()
}

// unpackHeader undoes packHeader: no name holds a colon, no value a line feed.
func unpackHeader(s string) (h handshake.Header) {
	for s != "" {
		var line string
		line, s, _ = strings.Cut(s, "\n")
		name, value, _ := strings.Cut(line, ":")
		h = append(h, handshake.Field{Name: name, Value: value})
	}
	return h
}

// sentHeader reads back the fields of an answer of ours.
func sentHeader(answer string) handshake.Header {
	p := handshake.NewResponseParser()
	if done, _, err := p.Feed([]byte(answer)); !done || err != nil {
		return nil
	}
	return p.Response().Header
}

// ConnStats counts what a connection did.
type ConnStats struct {
	MessagesReceived, MessagesSent uint64
	FramesReceived, FramesSent     uint64
	BytesReceived, BytesSent       uint64        // by the socket, before TLS
	ReadAhead                      uint64        // bytes, after TLS, that came before the host wanted them
	Latency                        time.Duration // of the newest ping that was answered
	// Bytes of messages, and of their frames' payloads: what compression makes of them.
	MessageBytesReceived, MessageBytesSent uint64
	PayloadBytesReceived, PayloadBytesSent uint64
	RoundTrips                             RoundTrips
}

// Stats returns the connection's counters.
func (c *Conn) Stats() ConnStats {
	n := &c.counters
	s := ConnStats{
		MessagesReceived: n.messagesReceived.Load(), MessagesSent: n.messagesSent.Load(),
		FramesReceived: n.framesReceived.Load(), FramesSent: n.framesSent.Load(),
		BytesReceived: c.bytesReceived.Load(), BytesSent: c.out.sent.Load(),
		ReadAhead:            n.readAhead.Load(),
		Latency:              time.Duration(n.latency.Load()),
		MessageBytesReceived: n.messageBytesReceived.Load(), MessageBytesSent: n.messageBytesSent.Load(),
		PayloadBytesReceived: n.payloadBytesReceived.Load(), PayloadBytesSent: n.payloadBytesSent.Load(),
		RoundTrips: c.measured.Load().summary(),
	}
	if !c.compressing.Load() {
		s.MessageBytesReceived, s.MessageBytesSent = s.PayloadBytesReceived, s.PayloadBytesSent
	}
	return s
}

// describe names the connection in a log line, without credentials.
func (c *Conn) describe() string {
	text := c.info.uri
	if text == "" {
		text = c.info.target
	}
	if c.info.proxy != "" {
		text += " by proxy " + c.info.proxy
	}
	if c.info.remote != "" {
		text += " " + c.info.remote
	}
	if c.ending.received != 0 {
		text += " close code " + strconv.Itoa(int(c.ending.received))
	}
	if c.err != nil {
		text += ": " + c.err.Error()
	}
	return text
}
