package dial

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/proxy"
)

// SocksError is a complete answer of a SOCKS proxy that opens no tunnel.
type SocksError struct {
	Reason string // the name of the reply
	final  bool   // it is not about the address: another one would be answered alike
}

func (e *SocksError) Error() string { return e.Reason }

// connectSocks5 does the negotiation of RFC 1928 and RFC 1929. golang.org/x/net reads
// not an octet more than belongs to it.
func (t *tunnel) connectSocks5(ctx context.Context, c net.Conn, host string) error {
	var auth *proxy.Auth
	if t.HasUser {
		auth = &proxy.Auth{User: t.User, Password: t.Password}
	}
	address := net.JoinHostPort(t.Host, strconv.Itoa(t.Port))
	d, err := proxy.SOCKS5("tcp", address, auth, connected{c})
	if err == nil {
		_, err = d.(proxy.ContextDialer).DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(t.port)))
	}
	if err != nil {
		return t.fail(OpProxy, t.socks5Error(err))
	}
	return nil
}

// connected stands for the connection to the proxy, which is open.
type connected struct{ net.Conn }

func (c connected) Dial(string, string) (net.Conn, error) { return c.Conn, nil }

func (c connected) DialContext(context.Context, string, string) (net.Conn, error) {
	return c.Conn, nil
}

// socks5Error tells answers, of which golang.org/x/net gives the text alone, from
// errors of the socket.
func (t *tunnel) socks5Error(err error) error {
	var oe *net.OpError
	if errors.As(err, &oe) && strings.HasPrefix(oe.Op, "socks") {
		err = oe.Err
	}
	var ne net.Error
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &ne) || errors.Is(err, context.Canceled) {
		return err
	}
	text := err.Error()
	if reply, ok := strings.CutPrefix(text, "unknown error "); ok {
		return &SocksError{Reason: reply}
	}
	switch {
	case text == "no acceptable authentication methods" && !t.HasUser:
		text += ": credentials are wanted, expected user:password@ in the proxy URL"
	case strings.HasSuffix(text, "authentication failed"):
		text += ": the credentials were refused"
	case strings.HasPrefix(text, "unexpected protocol version"):
		text += ", expected 5"
	}
	return &SocksError{Reason: text, final: true}
}

// The replies of SOCKS4; the protocol has no RFC.
var socks4Replies = map[byte]string{
	91: "request rejected or failed",
	92: "request rejected because the proxy cannot reach identd here",
	93: "request rejected because identd here reports another user id",
}

// connectSocks4 does the negotiation of SOCKS4; a host that is a name makes it SOCKS4a.
func (t *tunnel) connectSocks4(c net.Conn, host string) error {
	request := binary.BigEndian.AppendUint16([]byte{4, 1}, uint16(t.port))
	ip, err := netip.ParseAddr(host)
	if name := err != nil; name {
		request = append(append(append(request, 0, 0, 0, 1), t.User...), 0)
		request = append(append(request, host...), 0)
	} else {
		request = append(append(append(request, ip.Unmap().AsSlice()...), t.User...), 0)
	}
	if _, err := c.Write(request); err != nil {
		return t.fail(OpProxy, err)
	}
	var answer [8]byte
	if _, err := io.ReadFull(c, answer[:]); err != nil {
		return t.fail(OpProxy, err)
	}
	switch version, reply := answer[0], answer[1]; {
	case version != 0:
		return t.fail(OpProxy, &SocksError{Reason: fmt.Sprintf("version %d, expected 0 (SOCKS4)", version), final: true})
	case reply == 90:
		return nil
	case socks4Replies[reply] != "":
		return t.fail(OpProxy, &SocksError{Reason: socks4Replies[reply]})
	default:
		return t.fail(OpProxy, &SocksError{Reason: fmt.Sprintf("reply %d, expected 90 (SOCKS4)", reply)})
	}
}
