package dial

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// fakeProxy is a proxy of any scheme that notes what it is asked for. It writes octet
// by octet.
type fakeProxy struct {
	scheme string
	user   string // "name:password", the name alone for socks4; "": none
	refuse func(asked string) []byte

	mu    sync.Mutex
	asked []string
}

// start returns the URL, without credentials.
func (p *fakeProxy) start(t *testing.T, tls *TLS) string {
	t.Helper()
	addr := listen(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
		if p.scheme != "https" {
			p.serve(c, c)
			return
		}
		if s, err := ServerTLS(context.Background(), c, tls); err == nil {
			p.serve(s.TLS, c)
		}
	})
	return fmt.Sprintf("%s://%s", p.scheme, addr)
}

func (p *fakeProxy) note(asked string) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, asked)
	if p.refuse != nil {
		return p.refuse(asked)
	}
	return nil
}

func (p *fakeProxy) serve(c, socket net.Conn) {
	in := bufio.NewReader(c)
	var asked string
	var granted []byte
	switch p.scheme {
	case "http", "https":
		asked, granted = p.readConnect(c, in)
	case "socks4", "socks4a":
		asked, granted = p.readSocks4(c, in)
	default:
		asked, granted = p.readSocks5(c, in)
	}
	if asked == "" {
		return
	}
	if no := p.note(asked); no != nil {
		drip(c, no)
		return
	}
	far, err := net.Dial("tcp", asked)
	if err != nil {
		return
	}
	defer far.Close()
	drip(c, granted)
	go func() {
		_, _ = io.Copy(bare{far}, in)
		_ = far.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(bare{c}, far)
	_ = socket.Close()
}

// bare hides what io.Copy would splice with, by pipes that it keeps.
type bare struct{ io.Writer }

func drip(c net.Conn, b []byte) {
	for i := range b {
		if _, err := c.Write(b[i : i+1]); err != nil {
			return
		}
	}
}

func (p *fakeProxy) readConnect(c net.Conn, in *bufio.Reader) (string, []byte) {
	head := textproto.NewReader(in)
	line, err := head.ReadLine()
	if err != nil {
		return "", nil
	}
	fields, err := head.ReadMIMEHeader()
	if err != nil {
		return "", nil
	}
	asked := strings.TrimSuffix(strings.TrimPrefix(line, "CONNECT "), " HTTP/1.1")
	if fields.Get("Host") != asked || fields.Get("User-Agent") != "tester" {
		drip(c, []byte("HTTP/1.1 400 "+line+"\r\n\r\n"))
		return "", nil
	}
	want := ""
	if p.user != "" {
		want = "Basic " + base64.StdEncoding.EncodeToString([]byte(p.user))
	}
	if fields.Get("Proxy-Authorization") != want {
		drip(c, []byte("HTTP/1.1 407 Who Are You\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 4\r\n\r\ntell"))
		return "", nil
	}
	return asked, []byte("HTTP/1.0 100 Wait\r\n\r\nHTTP/1.0 200 Connection established\r\nContent-Length: 5\r\n\r\n")
}

func (p *fakeProxy) readSocks4(c net.Conn, in *bufio.Reader) (string, []byte) {
	var head [8]byte
	if _, err := io.ReadFull(in, head[:]); err != nil || head[0] != 4 || head[1] != 1 {
		return "", nil
	}
	id, err := in.ReadString(0)
	if err != nil {
		return "", nil
	}
	host := net.IP(head[4:8]).String()
	if head[4]|head[5]|head[6] == 0 {
		if host, err = in.ReadString(0); err != nil {
			return "", nil
		}
		host = strings.TrimSuffix(host, "\x00")
	}
	if strings.TrimSuffix(id, "\x00") != p.user {
		drip(c, []byte{0, 93, 0, 0, 0, 0, 0, 0})
		return "", nil
	}
	return net.JoinHostPort(host, strconv.Itoa(int(head[2])<<8|int(head[3]))), []byte{0, 90, 1, 2, 3, 4, 5, 6}
}

func (p *fakeProxy) readSocks5(c net.Conn, in *bufio.Reader) (string, []byte) {
	read := func(n int) []byte {
		b := make([]byte, n)
		_, _ = io.ReadFull(in, b)
		return b
	}
	methods := read(int(read(2)[1]))
	method := byte(0)
	if p.user != "" {
		method = 2
	}
	if !strings.Contains(string(methods), string(method)) {
		drip(c, []byte{5, 0xff})
		return "", nil
	}
	drip(c, []byte{5, method})
	if method == 2 {
		name := read(int(read(2)[1]))
		password := read(int(read(1)[0]))
		if string(name)+":"+string(password) != p.user {
			drip(c, []byte{1, 7})
			return "", nil
		}
		drip(c, []byte{1, 0})
	}
	head := read(4)
	var host string
	switch head[3] {
	case 1:
		host = net.IP(read(4)).String()
	case 3:
		host = string(read(int(read(1)[0])))
	case 4:
		host = net.IP(read(16)).String()
	default:
		return "", nil
	}
	port := read(2)
	bound := []byte{5, 0, 0, 3, 4, 'h', 'o', 's', 't', 1, 2}
	return net.JoinHostPort(host, strconv.Itoa(int(port[0])<<8|int(port[1]))), bound
}
