package dial

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Options says where and how [Dial] connects. Only URI is required.
type Options struct {
	URI *URI
	// TLS is the context of wss connections; nil is one shared by the process
	// that verifies against the system's certificates. A ws URI does not use it.
	TLS *TLS
	// ServerName is sent (SNI) and verified instead of the URI's host; it goes
	// before the context's own.
	ServerName string
	// Host and Port, where not zero, are connected to instead of the URI's; the
	// Host field and the verified name stay the URI's. Host takes a name or an
	// address, IPv6 with or without brackets.
	Host string
	Port int
	// Socket, where not nil, is the connected stream to use; Dial owns it, also when
	// it fails. Path is a Unix socket to connect to, @ first for an abstract one. With
	// either, Host, Port and what follows about addresses have no meaning.
	Socket net.Conn
	Path   string
	// LocalHost, a name or an address, and LocalPort are bound to before connecting.
	LocalHost string
	LocalPort int
	// Family is 4 or 6 for addresses of IPv4 or IPv6 alone, 0 for both.
	Family int
	// Interleave is how many addresses of the first family are tried before families
	// alternate; 0 keeps the resolver's order.
	Interleave int
	// Delay is when the next address is tried though the one before has not answered;
	// 0 waits until it failed.
	Delay time.Duration
	// HandshakeTimeout bounds the TLS handshake; 0 leaves that to the context.
	HandshakeTimeout time.Duration
	// Proxy is what leads there; nil is the direct way. It resolves the name, but
	// for socks4 and socks5. What is said about addresses is about its own then.
	Proxy *Proxy
	// ProxyTLS is the context of TLS to an https proxy, nil as for TLS;
	// ProxyServerName goes before the proxy's host, as ServerName does.
	// ProxyHandshakeTimeout is like HandshakeTimeout.
	ProxyTLS              *TLS
	ProxyServerName       string
	ProxyHandshakeTimeout time.Duration
	// UserAgent is told to http and https proxies; "" is not.
	UserAgent string
	// Exchange, where not nil, is filled with what an http or https proxy was asked and
	// answered, as far as it went.
	Exchange *Exchange
	// Bare leaves TLS to the caller: the socket leads to the server, or to an https proxy,
	// which has not been asked yet; [Options.Ask] does that. TLS, ProxyTLS and what belongs
	// to them have no meaning.
	Bare bool
	// Nagle leaves TCP_NODELAY off. Small messages then wait for the peer's
	// acknowledgement, up to 40 ms on Linux.
	Nagle bool
}

// Socket is an open connection, still in Go's poller and blocking.
type Socket struct {
	Conn    net.Conn  // the raw connection
	TLS     *tls.Conn // nil for ws, unless it goes through an https proxy
	Adapter *Adapter  // what TLS runs on; nil without it
	// ProxyTLS tells that TLS ends at the proxy.
	ProxyTLS bool

	host  string
	port  int
	proxy string // what TLS to the server goes through
	offer offer
}

// Close closes the connection at once, without a TLS alert.
func (s *Socket) Close() error { return s.Conn.Close() }

// Dial resolves, connects, asks the proxy if there is one, and does the TLS handshake.
// Addresses are tried as in Happy Eyeballs (RFC 8305), if Delay and Interleave say so.
//
// It blocks; ctx bounds all of it and cancels it at any point. Every error but
// those of wrong options is an *[Error]; nothing is left open then.
func Dial(ctx context.Context, o *Options) (*Socket, error) {
	s, err := o.dial(ctx)
	if err != nil && o.Socket != nil {
		o.Socket.Close()
	}
	return s, err
}

func (o *Options) dial(ctx context.Context) (*Socket, error) {
	host, port, err := o.target()
	if err != nil {
		return nil, err
	}
	var config *tls.Config
	if o.URI.Secure && !o.Bare {
		if config, err = o.config(); err != nil {
			return nil, newError(OpTLS, host, port, err)
		}
	}

	if o.Proxy != nil && o.Socket == nil && o.Path == "" {
		return o.dialProxy(ctx, host, port, config)
	}
	c, err := o.stream(ctx, host, port)
	if err != nil {
		return nil, err
	}
	if config == nil {
		return &Socket{Conn: c}, nil
	}
	a := NewAdapter(c)
	return secureWithin(ctx, o.HandshakeTimeout, &Socket{Conn: c, TLS: tls.Client(a, config), Adapter: a,
		host: host, port: port, offer: offer{config: config, client: true}})
}

// target is the host and port to lead to.
func (o *Options) target() (host string, port int, err error) {
	if o.URI == nil {
		return "", 0, errors.New("dial: no uri")
	}
	host, port = o.URI.Host, o.URI.Port
	if o.Host != "" {
		var reason string
		if host, reason = connectHost(o.Host); reason != "" {
			return "", 0, &Error{Op: OpResolve, Host: shorten(o.Host, 80), Port: port, Err: errors.New(reason)}
		}
	}
	if o.Port != 0 {
		if port = o.Port; port < 1 || port > 65535 {
			return "", 0, &Error{Op: OpConnect, Host: host, Port: port, Err: errors.New("port outside 1 to 65535")}
		}
	}
	return host, port, nil
}

// stream is connect with what holds for every socket.
func (o *Options) stream(ctx context.Context, host string, port int) (net.Conn, error) {
	c, err := o.connect(ctx, host, port)
	if err != nil {
		return nil, err
	}
	if tcp, ok := c.(*net.TCPConn); ok && o.Nagle { // the net package sets TCP_NODELAY
		if err := tcp.SetNoDelay(false); err != nil {
			c.Close()
			return nil, newError(OpConnect, host, port, err)
		}
	}
	return c, nil
}

// secureWithin is secure with a time limit of its own, unless it is 0.
func secureWithin(ctx context.Context, limit time.Duration, s *Socket) (*Socket, error) {
	if limit == 0 {
		return secure(ctx, s)
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	s, err := secure(limited, s)
	var e *Error
	if errors.As(err, &e) && limited.Err() != nil && ctx.Err() == nil {
		e.Errno, e.Limit = syscall.ECONNABORTED, limit
	}
	return s, err
}

// ServerTLS does the server's side of the TLS handshake on an accepted
// connection, which it closes on failure. It blocks; ctx bounds it. Errors are
// *[Error] with the peer's address.
func ServerTLS(ctx context.Context, c net.Conn, t *TLS) (*Socket, error) {
	host, port := "", 0
	if addr, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		host, port = addr.IP.String(), addr.Port
	}
	config := t.Server()
	if len(config.Certificates) == 0 {
		c.Close()
		return nil, newError(OpTLS, host, port, errors.New("the context has no certificate"))
	}
	a := NewAdapter(c)
	return secure(ctx, &Socket{Conn: c, TLS: tls.Server(a, config), Adapter: a,
		host: host, port: port, offer: offer{config: config}})
}

func secure(ctx context.Context, s *Socket) (*Socket, error) {
	err := s.TLS.HandshakeContext(withOffer(ctx, &s.offer))
	if err == nil && s.TLS.ConnectionState().NegotiatedProtocol == "h2" {
		err = errors.New("the peers agreed on h2 by ALPN, expected a protocol of HTTP/1.1")
	}
	if err != nil {
		s.Conn.Close()
		if s.offer.client && s.offer.config.RootCAs == nil {
			err = withoutSystemRoots(err)
		}
		return nil, s.tlsError(s.offer.explain(err))
	}
	return s, nil
}

func (s *Socket) tlsError(err error) *Error {
	e := newError(OpTLS, s.host, s.port, err)
	e.Proxy = s.proxy
	return e
}

// Explain returns what err of reading or writing means: an *[Error] for an alert by
// which the peer refuses the TLS handshake late, else err. In TLS 1.3 a client is done
// before the server has looked at its certificate.
func (s *Socket) Explain(err error) error {
	if s.TLS == nil || err == nil {
		return err
	}
	var alert *peerAlert
	explained := s.offer.explain(err)
	if errors.As(explained, &alert) {
		return s.tlsError(explained)
	}
	return explained
}

func (o *Options) config() (*tls.Config, error) {
	t := o.TLS
	if t == nil {
		var err error
		if t, err = defaultTLS(); err != nil {
			return nil, err
		}
	}
	if o.ServerName == "" {
		name, _, _ := strings.Cut(o.URI.Host, "%") // certificates know no zones
		return t.Client(name), nil
	}
	name, reason := serverName(o.ServerName)
	if reason != "" {
		return nil, errors.New("server name " + strconv.Quote(shorten(o.ServerName, 80)) + ": " + reason)
	}
	return t.named(name), nil
}

// serverName takes a host name or an address without a zone.
func serverName(s string) (name, reason string) {
	name, reason = connectHost(s)
	if strings.IndexByte(name, '%') >= 0 {
		return "", "an address with a zone, expected one without"
	}
	return name, reason
}

// connectHost takes a name or an address, IPv6 with or without brackets and with
// its zone unencoded.
func connectHost(s string) (host, reason string) {
	bare := s
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		bare = s[1 : len(s)-1]
	}
	if ip, err := netip.ParseAddr(bare); err == nil && (bare == s || ip.Is6()) {
		return ip.String(), ""
	}
	if s == "" {
		return "", "empty host"
	}
	return asciiName(s)
}
