//go:build unix

package dial

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// peer is a TLS server that other people wrote, in a process of its own. It
// ends with its standard input.
type peer struct {
	t     *testing.T
	stdin io.Writer
	lines *bufio.Scanner
}

func startPeer(t *testing.T, name string, args ...string) *peer {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, name)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said: %s", name, stderr.String())
		}
	})
	return &peer{t: t, stdin: stdin, lines: bufio.NewScanner(stdout)}
}

// await returns the first line of output that begins with prefix, without it.
func (p *peer) await(prefix string) string {
	p.t.Helper()
	for p.lines.Scan() {
		if rest, ok := strings.CutPrefix(p.lines.Text(), prefix); ok {
			return rest
		}
	}
	p.t.Fatalf("the peer ended before it printed %q", prefix)
	return ""
}

const pythonServer = `
import socket, ssl, sys, threading
def watch():
    sys.stdin.read()
    import os
    os._exit(0)
threading.Thread(target=watch, daemon=True).start()
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
context.load_verify_locations(sys.argv[3])
context.verify_mode = ssl.CERT_REQUIRED
context.minimum_version = context.maximum_version = ssl.TLSVersion[sys.argv[4]]
if sys.argv[4] == 'TLSv1_3':
    context.num_tickets = 5
listener = socket.create_server(('127.0.0.1', 0))
print('port', listener.getsockname()[1], flush=True)
while True:
    connection = context.wrap_socket(listener.accept()[0], server_side=True)
    print('session', connection.session_reused, connection.getpeercert()['subject'], flush=True)
    while data := connection.recv(777):
        connection.sendall(data)
    connection.unwrap()
    connection.close()
`

func TestPythonPeer(t *testing.T) {
	ca := newAuthority(t, "root")
	cert, key := ca.issue(t, nil, "127.0.0.1")
	for version, name := range map[uint16]string{tls.VersionTLS12: "TLSv1_2", tls.VersionTLS13: "TLSv1_3"} {
		t.Run(name, func(t *testing.T) {
			p := startPeer(t, "python3", "-c", pythonServer,
				writeFile(t, "cert.pem", cert), writeFile(t, "key.pem", key), writeFile(t, "ca.pem", ca.PEM), name)
			ownCert, ownKey := ca.issue(t, nil)
			ctx := mustTLS(t, TLSOptions{CAPEM: ca.PEM, CertPEM: ownCert, KeyPEM: ownKey})
			uri := mustURI(t, "wss://127.0.0.1:"+p.await("port "))
			for i := range 3 {
				s, err := Dial(t.Context(), &Options{URI: uri, TLS: ctx})
				if err != nil {
					t.Fatal(err)
				}
				state := s.TLS.ConnectionState()
				if state.Version != version || state.DidResume != (i > 0) {
					t.Errorf("connection %d: version %s, resumed %v", i, tls.VersionName(state.Version), state.DidResume)
				}
				if got := p.await("session "); !strings.HasPrefix(got, map[bool]string{false: "False", true: "True"}[i > 0]) || !strings.Contains(got, "leaf") {
					t.Errorf("connection %d: the server says %q", i, got)
				}
				r := flip(t, s, 1)
				roundTrips(t, s, r)
				if err := s.TLS.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				if got, err := r.drain(s.TLS, 1); err != io.EOF {
					t.Errorf("%q, error %v, expected io.EOF", got, err)
				}
			}
		})
	}
}

// OpenSSL asks for new keys in the middle of the data; the answer is written by
// Read, and both directions go on with the new keys.
func TestOpenSSLKeyUpdate(t *testing.T) {
	ca := newAuthority(t, "root")
	cert, key := ca.issue(t, nil, "127.0.0.1")
	p := startPeer(t, "openssl", "s_server", "-accept", "127.0.0.1:0", "-naccept", "1", "-tls1_3", "-num_tickets", "8",
		"-cert", writeFile(t, "cert.pem", cert), "-key", writeFile(t, "key.pem", key))
	s, err := Dial(t.Context(), &Options{URI: mustURI(t, "wss://"+p.await("ACCEPT ")), TLS: mustTLS(t, TLSOptions{CAPEM: ca.PEM})})
	if err != nil {
		t.Fatal(err)
	}
	r := flip(t, s, 1)
	written := 0
	s.Adapter.Flip(r.read, func(b []byte) (int, error) { written++; return r.write(b) })
	say := func(command string) {
		if _, err := io.WriteString(p.stdin, command+"\n"); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 6 {
		text := fmt.Sprintf("from the server %d\n", i)
		say(strings.TrimSuffix(text, "\n"))
		if got, err := r.drain(s.TLS, len(text)); err != nil || string(got) != text {
			t.Fatalf("%q, error %v, expected %q", got, err, text)
		}
		if i%2 == 0 { // K asks for an answer, k does not
			say("K")
			for before := written; written == before; {
				waitReadable(t, r.fd)
				if got, err := r.drain(s.TLS, 0); err != nil || len(got) != 0 {
					t.Fatalf("%q, error %v", got, err)
				}
			}
		} else {
			say("k")
			waitReadable(t, r.fd)
		}
		if _, err := fmt.Fprintf(s.TLS, "from the client %d\n", i); err != nil {
			t.Fatal(err)
		}
		p.await(fmt.Sprintf("from the client %d", i))
	}
}
