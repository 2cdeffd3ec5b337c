package dial

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Proxy is a parsed proxy URL.
type Proxy struct {
	Scheme   string // "http", "https", "socks4", "socks4a", "socks5" or "socks5h"
	Host     string // as [URI.Host]
	Port     int    // 80, 443 for https and 1080 for socks unless given
	User     string // percent-decoded
	Password string // percent-decoded
	HasUser  bool
	Raw      string // as given, without userinfo: safe to print
}

// ProxyURLError says why a proxy URL was refused. It never holds userinfo.
type ProxyURLError struct {
	URL    string // as given, without anything that may be userinfo
	Reason string
}

func (e *ProxyURLError) Error() string {
	return "proxy " + strconv.Quote(shorten(e.URL, 120)) + ": " + e.Reason
}

var proxyPorts = map[string]int{
	"http": 80, "https": 443, "socks4": 1080, "socks4a": 1080, "socks5": 1080, "socks5h": 1080,
}

// ParseProxy parses the URL of a proxy; every error is a *[ProxyURLError].
//
// Userinfo is percent-decoded and becomes Basic credentials (RFC 7617) of http and
// https, a user name with its password (RFC 1929) of socks5 and socks5h, and the
// user id of socks4 and socks4a, which know no password: one that is given is not
// sent. Refused: other schemes, a path, a query, a fragment, spaces, control
// characters, an empty host, a port outside 1 to 65535, a user without a password
// where one belongs to it.
func ParseProxy(s string) (*Proxy, error) {
	p, reason := parseProxy(s)
	if reason != "" {
		return nil, &ProxyURLError{URL: redact(s), Reason: reason}
	}
	return p, nil
}

func parseProxy(s string) (*Proxy, string) {
	if !utf8.ValidString(s) {
		return nil, "not UTF-8"
	}
	for i, r := range s {
		if r == ' ' || unicode.IsControl(r) {
			return nil, "character " + strconv.QuoteRune(r) + " at offset " + strconv.Itoa(i) + ", expected it percent-encoded"
		}
	}
	const known = "expected http, https, socks4, socks4a, socks5 or socks5h"
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || !isScheme(scheme) {
		return nil, "no scheme, " + known
	}
	p := &Proxy{Scheme: strings.ToLower(scheme)}
	if p.Port, ok = proxyPorts[p.Scheme]; !ok {
		return nil, "scheme " + strconv.Quote(shorten(scheme, 40)) + ", " + known
	}
	authority := strings.TrimSuffix(rest, "/")
	hostport := authority
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		hostport = authority[i+1:]
		if reason := p.setUserinfo(authority[:i]); reason != "" {
			return nil, reason
		}
	}
	if strings.ContainsAny(rest[:len(authority)], "/?#") {
		return nil, "a path, query or fragment, which mean nothing here"
	}
	host, port, reason := splitHostPort(hostport)
	if reason != "" {
		return nil, reason
	}
	if host == "" {
		return nil, "empty host"
	}
	if port != "" {
		if p.Port, ok = parsePort(port); !ok {
			return nil, "port " + strconv.Quote(shorten(port, 80)) + ", expected a number from 1 to 65535"
		}
	}
	if p.Host, reason = parseHost(host); reason != "" {
		return nil, "host " + strconv.Quote(shorten(host, 80)) + ": " + reason
	}
	p.Raw = p.Scheme + "://" + hostport
	return p, ""
}

func (p *Proxy) setUserinfo(info string) string {
	user, password, hasPassword := strings.Cut(info, ":")
	var ok1, ok2 bool
	p.User, ok1 = percentDecode(user)
	p.Password, ok2 = percentDecode(password)
	p.HasUser = true
	socks := strings.HasPrefix(p.Scheme, "socks")
	switch {
	case !ok1 || !ok2:
		return "percent sign without two hexadecimal digits in the user name or password, expected %25"
	case !hasPassword && !p.socks4():
		return "a user name without a password"
	case strings.ContainsFunc(p.User, unicode.IsControl) || strings.ContainsFunc(p.Password, unicode.IsControl):
		return "control character in the user name or password"
	case !socks && strings.IndexByte(p.User, ':') >= 0:
		return "colon in the user name, which Basic authentication cannot carry (RFC 7617 section 2)"
	case p.socks4():
		p.Password = ""
	case socks && p.User == "":
		return "empty user name (RFC 1929 section 2)"
	}
	if socks && (len(p.User) > 255 || len(p.Password) > 255) {
		return "user name or password longer than 255 octets (RFC 1929 section 2)"
	}
	return ""
}

func (p *Proxy) socks4() bool { return p.Scheme == "socks4" || p.Scheme == "socks4a" }

// tunnel is a way to host and port that goes through a proxy.
type tunnel struct {
	*Proxy
	o    *Options
	host string // without zone, which means nothing to the proxy
	port int
}

// target is what the proxy is asked for.
func (t *tunnel) target() string { return net.JoinHostPort(t.host, strconv.Itoa(t.port)) }

// fail makes an error of the way to the proxy, or of what it answered.
func (t *tunnel) fail(op string, err error) *Error {
	e := newError(op, t.Host, t.Port, err)
	e.Proxy, e.target = t.Raw, t.target()
	return e
}

// about makes err one of the way to the proxy.
func (t *tunnel) about(err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return t.fail(OpProxy, err)
	}
	e.Proxy, e.target = t.Raw, t.target()
	return e
}

func (o *Options) tunnel(host string, port int) *tunnel {
	host, _, _ = strings.Cut(host, "%")
	return &tunnel{Proxy: o.Proxy, o: o, host: host, port: port}
}

// dialProxy is Dial through o.Proxy; config is nil for ws, and where o is Bare.
func (o *Options) dialProxy(ctx context.Context, host string, port int, config *tls.Config) (*Socket, error) {
	t := o.tunnel(host, port)
	s, err := t.open(ctx)
	if err != nil || config == nil {
		return s, err
	}
	stream := net.Conn(s.TLS)
	if s.TLS == nil {
		s.Adapter = NewAdapter(s.Conn)
		stream = s.Adapter
	}
	s.TLS, s.ProxyTLS = tls.Client(stream, config), false
	s.host, s.port, s.proxy, s.offer = t.host, port, t.Raw, offer{config: config, client: true}
	return secureWithin(ctx, o.HandshakeTimeout, s)
}

// open returns a socket that leads to the target.
func (t *tunnel) open(ctx context.Context) (*Socket, error) {
	if ip, err := netip.ParseAddr(t.host); err == nil && t.socks4() && !ip.Unmap().Is4() {
		return nil, t.fail(OpProxy, errors.New("SOCKS4 has no IPv6 addresses, expected socks5"))
	}
	switch t.Scheme {
	case "socks4", "socks5":
		return t.openResolved(ctx)
	}
	return t.openTo(ctx, t.host)
}

// openResolved resolves the target's name here and tries its addresses in turn: the
// proxy learns only one at a time.
func (t *tunnel) openResolved(ctx context.Context) (*Socket, error) {
	const most = 8
	of := Options{} // the proxy decides about its own addresses
	if t.socks4() {
		of.Family = 4
	}
	addresses, err := of.resolve(ctx, t.host)
	if err != nil {
		e := newError(OpResolve, t.host, t.port, err)
		e.Proxy = t.Raw
		return nil, e
	}
	var first error
	for _, ip := range addresses[:min(len(addresses), most)] {
		s, err := t.openTo(ctx, ip.String())
		if err == nil {
			return s, nil
		}
		if first == nil {
			first = err
		}
		var reply *SocksError
		if !errors.As(err, &reply) || reply.final || ctx.Err() != nil {
			break
		}
	}
	return nil, first
}

// openTo connects to the proxy and asks it for host.
func (t *tunnel) openTo(ctx context.Context, host string) (*Socket, error) {
	c, err := t.o.stream(ctx, t.Host, t.Port)
	if err != nil {
		return nil, t.about(err)
	}
	s := &Socket{Conn: c}
	// Cancelling ends whatever is waited for below.
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	err = t.ask(ctx, s, host)
	stop()
	if ctx.Err() != nil && (err == nil || errors.Is(err, os.ErrDeadlineExceeded)) {
		err = t.fail(OpProxy, ctx.Err())
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return s, nil
}

func (t *tunnel) ask(ctx context.Context, s *Socket, host string) error {
	switch t.Scheme {
	case "https":
		if t.o.Bare {
			return nil
		}
		config, err := t.config()
		if err != nil {
			return t.fail(OpTLS, err)
		}
		a := NewAdapter(s.Conn)
		*s = Socket{Conn: s.Conn, TLS: tls.Client(a, config), Adapter: a, ProxyTLS: true,
			host: t.Host, port: t.Port, offer: offer{config: config, client: true}}
		if _, err := secureWithin(ctx, t.o.ProxyHandshakeTimeout, s); err != nil {
			return t.about(err)
		}
		err = t.connectHTTP(s.TLS)
		var e *Error
		if errors.As(err, &e) { // it may be of TLS after all
			err = t.about(s.Explain(e.Err))
		}
		return err
	case "http":
		return t.connectHTTP(s.Conn)
	case "socks5", "socks5h":
		return t.connectSocks5(ctx, s.Conn, host)
	}
	return t.connectSocks4(s.Conn, host)
}

// config is for TLS to the proxy itself.
func (t *tunnel) config() (*tls.Config, error) {
	uri := URI{Host: t.Host}
	o := Options{URI: &uri, TLS: t.o.ProxyTLS, ServerName: t.o.ProxyServerName}
	return o.config()
}
