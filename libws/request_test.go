package libws

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestGoneBeforeTheAnswer: the host hears of a client that leaves while its request waits,
// whatever else the client sent, and others are served meanwhile.
func TestGoneBeforeTheAnswer(t *testing.T) {
	overBoth(t, func(t *testing.T, secure *testTLS) {
		for _, leave := range []string{"fin", "half", "reset"} {
			for _, tail := range []int{0, 1000} {
				t.Run(fmt.Sprint(leave, tail), func(t *testing.T) {
					h := newHost(t)
					ln := h.listen(secure)
					p := h.ask(ln, secure, []byte(sampleRequest))
					e := h.until(EventRequest, 100)
					r := h.requests[e.Request-1]
					p.write(make([]byte, tail))
					other := h.ask(ln, secure, []byte(sampleRequest))
					c := h.accept(2, quiet(nil))
					h.until(EventOpen, 2)
					other.head()
					if n := h.loop.Stats().Connections; n != 2 {
						t.Fatalf("%d connections", n)
					}
					switch leave {
					case "fin":
						_ = p.socket.Close()
					case "half":
						_ = p.socket.CloseWrite()
					case "reset":
						p.reset()
					}
					if e := h.until(EventGone, 100); h.requests[e.Request-1] != r || e.UserData != 77 {
						t.Errorf("gone is %+v", e.Event)
					}
					if _, err := r.NewConn(&AcceptOptions{}, 0); err != CodeClosed {
						t.Errorf("accept: %v", err)
					}
					if err := r.Reject(400, nil, nil); err != CodeClosed {
						t.Errorf("reject: %v", err)
					}
					r.Free()
					other.send(1, "still here")
					h.until(EventMessage, 2)
					c.Free()
					h.gone("both")
					if len(h.seen) > 0 {
						t.Errorf("events %+v", h.seen)
					}
				})
			}
		}
	})
}

// TestFreedRequestIsNotGone: the host asked to hear no more of it.
func TestFreedRequestIsNotGone(t *testing.T) {
	h := newHost(t)
	ln := h.listen(nil)
	h.cap = 1
	p, q := h.ask(ln, nil, []byte(sampleRequest)), h.ask(ln, nil, []byte(sampleRequest))
	first, second := h.until(EventRequest, 100).Request, h.until(EventRequest, 100).Request
	p.reset()
	q.reset()
	gone := h.until(EventGone, 100).Request // the other's waits for room in a batch
	h.requests[first+second-gone-1].Free()
	h.gone("both")
	if len(h.seen) > 0 {
		t.Errorf("events %+v", h.seen)
	}
}

// TestAnyRequest: with the option the host answers what is no upgrade, or has the
// engine say what is wrong with it.
func TestAnyRequest(t *testing.T) {
	overBoth(t, func(t *testing.T, secure *testTLS) {
		plain := "GET /health HTTP/1.1\r\nHost: h\r\n\r\n"
		for _, c := range []struct{ request, want string }{
			{plain, "HTTP/1.1 426 "},
			{strings.Replace(plain, "GET", "POST", 1), "HTTP/1.1 405 "},
			{strings.Replace(sampleRequest, "Version: 13", "Version: 12", 1), "HTTP/1.1 426 "},
			{"GET / HTTP/1.1\r\nA b\r\n\r\n", ""},
		} {
			t.Run(strings.Fields(c.request)[0]+c.want, func(t *testing.T) {
				h := newHost(t)
				ln := h.listenWith(secure, func(o *ListenOptions) { o.AnyRequest = true })
				if c.want == "" { // no head: no request
					p := h.ask(ln, secure, []byte(c.request))
					if a := h.answer(p); !strings.HasPrefix(a, "HTTP/1.1 400 ") {
						t.Errorf("%q: answer %q", c.request, a)
					}
					p.socket.Close()
					h.gone("malformed")
					return
				}
				p := h.ask(ln, secure, []byte(c.request))
				r := h.requests[h.until(EventRequest, 100).Request-1]
				var e *Error
				if _, err := r.NewConn(&AcceptOptions{}, 0); !errors.As(err, &e) || e.Code != CodeHandshake {
					t.Errorf("%q: accept: %v", c.request, err)
				}
				if err := r.Reject(200, nil, nil); err == nil {
					t.Errorf("%q: answered twice", c.request)
				}
				if a := h.answer(p); !strings.HasPrefix(a, c.want) {
					t.Errorf("%q: answer %q", c.request, a)
				}
				p.socket.Close()

				p = h.ask(ln, secure, []byte(c.request))
				r = h.requests[h.until(EventRequest, 100).Request-1]
				if method, target, _, _, _, _ := r.Info(); !strings.HasPrefix(c.request, method+" "+target+" ") {
					t.Errorf("%q: request %s %s", c.request, method, target)
				}
				status, text, _ := r.Refusal()
				if !strings.HasPrefix(c.want, fmt.Sprintf("HTTP/1.1 %d ", status)) || text == "" {
					t.Errorf("%q: refusal %d %q", c.request, status, text)
				}
				if err := r.Reject(200, nil, []byte("fine\n")); err != nil {
					t.Error(err)
				}
				if a := h.answer(p); !strings.HasPrefix(a, "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(a, "\r\n\r\nfine\n") {
					t.Errorf("%q: answer %q", c.request, a)
				}
				p.socket.Close()
				h.gone("answered")
			})
		}
	})
}
