package main

// #include "shim.h"
import "C"

import (
	"fmt"
	"math"
	"time"
	"unsafe"

	"aiows/libws"
	"aiows/libws/deflate"
	"aiows/libws/handshake"
)

// arguments reads the fields of C structs into Go ones. The first that is wrong is
// kept in err, and what follows yields zero values.
type arguments struct{ err error }

func (a *arguments) refuse(format string, args ...any) {
	if a.err == nil {
		a.err = refuse(format, args...)
	}
}

// text is a string that may be NULL but, being given, not empty.
func (a *arguments) text(name string, s *C.char) string {
	if s == nil {
		return ""
	}
	if *s == 0 {
		a.refuse("%s is empty, expected text or NULL", name)
	}
	return C.GoString(s)
}

func (a *arguments) bool(name string, v C.int32_t) bool {
	if v != 0 && v != 1 {
		a.refuse("%s is %d, expected 0 or 1", name, v)
	}
	return v == 1
}

func (a *arguments) int(name string, v C.int32_t, low, high int) int {
	if int(v) < low || int(v) > high {
		a.refuse("%s is %d, expected %d to %d", name, v, low, high)
	}
	return int(v)
}

func (a *arguments) milliseconds(name string, v C.int64_t) time.Duration {
	const most = C.int64_t(math.MaxInt64 / int64(time.Millisecond))
	if v < 0 || v > most {
		a.refuse("%s is %d, expected 0 to %d milliseconds", name, v, int64(most))
		return 0
	}
	return time.Duration(v) * time.Millisecond
}

func (a *arguments) reserved(v C.uint32_t) {
	if v != 0 {
		a.refuse("reserved is %d, expected 0", v)
	}
}

// span reports whether n elements of size bytes at p can be a piece of memory.
func (a *arguments) span(name string, p unsafe.Pointer, n C.size_t, size uintptr) bool {
	switch {
	case n == 0:
		return false
	case p == nil:
		a.refuse("%s is NULL and n_%s is %d", name, name, n)
		return false
	case uintptr(n) > math.MaxInt64/size:
		a.refuse("n_%s is %d, more than memory holds", name, n)
		return false
	}
	return true
}

func (a *arguments) strings(name string, p **C.char, n C.size_t) []string {
	if !a.span(name, unsafe.Pointer(p), n, unsafe.Sizeof(*p)) {
		return nil
	}
	var list []string
	for i, s := range unsafe.Slice(p, int(n)) {
		if s == nil {
			a.refuse("%s[%d] is NULL", name, i)
			return nil
		}
		list = append(list, C.GoString(s))
	}
	return list
}

func (a *arguments) headers(p *C.aiows_header, n C.size_t) handshake.Header {
	if !a.span("headers", unsafe.Pointer(p), n, unsafe.Sizeof(*p)) {
		return nil
	}
	var list handshake.Header
	for i, f := range unsafe.Slice(p, int(n)) {
		if f.name == nil || f.value == nil {
			a.refuse("headers[%d] has a name or value that is NULL", i)
			return nil
		}
		list = append(list, handshake.Field{Name: C.GoString(f.name), Value: C.GoString(f.value)})
	}
	return list
}

// agent is a product token: NULL means our own, "" none.
func agent(s *C.char) string {
	if s == nil {
		return "aiows/" + version
	}
	return C.GoString(s)
}

func (a *arguments) conn(o *C.aiows_conn_options) libws.ConnOptions {
	compression := a.bool("compression", o.compression)
	if !compression && o.deflate_len > 0 {
		a.refuse("deflate_len is %d and compression is 0, expected 1", o.deflate_len)
	}
	if o.write_low > o.write_high {
		a.refuse("write_low is %d, expected at most write_high, which is %d", o.write_low, o.write_high)
	}
	a.reserved(o.reserved)
	a.reserved(o.reserved2)
	a.reserved(o.reserved3)
	return libws.ConnOptions{
		LogFrames:       a.bool("log_frames", o.log_frames),
		AutoPong:        a.bool("auto_pong", o.auto_pong),
		AutoClose:       a.bool("auto_close", o.auto_close),
		CloseTimeout:    a.milliseconds("close_timeout_ms", o.close_timeout_ms),
		PingInterval:    a.milliseconds("ping_interval_ms", o.ping_interval_ms),
		PingTimeout:     a.milliseconds("ping_timeout_ms", o.ping_timeout_ms),
		MaxMessageSize:  uint64(o.max_message_size),
		MaxFragments:    uint32(o.max_fragments),
		MaxFragmentSize: uint64(o.max_fragment_size),
		Stream:          a.bool("stream", o.stream),
		WriteHigh:       uint64(o.write_high),
		WriteLow:        uint64(o.write_low),
		ReadAhead:       uint64(o.read_ahead),
		Compression:     compression,
		Deflate:         a.deflate(o.deflate, o.deflate_len),
	}
}

func (a *arguments) deflate(p *C.aiows_deflate, n C.size_t) []deflate.Config {
	if n == 0 {
		return nil
	}
	list := make([]deflate.Config, n)
	for i, d := range unsafe.Slice(p, int(n)) {
		flag := func(name string, v C.uint8_t) bool {
			return a.bool(fmt.Sprintf("deflate[%d].%s", i, name), C.int32_t(v))
		}
		a.reserved(C.uint32_t(d.reserved))
		list[i] = deflate.Config{
			ServerNoContextTakeover:    flag("server_no_context_takeover", d.server_no_context_takeover),
			ClientNoContextTakeover:    flag("client_no_context_takeover", d.client_no_context_takeover),
			RequireClientMaxWindowBits: flag("require_client_max_window_bits", d.require_client_max_window_bits),
			ServerMaxWindowBits:        int(d.server_max_window_bits),
			ClientMaxWindowBits:        int(d.client_max_window_bits),
			Level:                      int(d.level),
			History:                    int(d.history),
		}
	}
	return list
}

func (a *arguments) connect(o *C.aiows_connect_options) *libws.ConnectOptions {
	out := &libws.ConnectOptions{
		Host:         a.text("host", o.host),
		Port:         a.int("port", o.port, 0, math.MaxUint16),
		TLS:          a.tls("tls", o.tls, false),
		ServerName:   a.text("server_name", o.server_name),
		OpenTimeout:  a.milliseconds("open_timeout_ms", o.open_timeout_ms),
		Origin:       a.text("origin", o.origin),
		UserAgent:    agent(o.user_agent),
		Subprotocols: a.strings("subprotocols", o.subprotocols, o.n_subprotocols),
		Headers:      a.headers(o.headers, o.n_headers),
		RawLines:     a.strings("raw_lines", o.raw_lines, o.n_raw_lines),
		Conn:         a.conn(o.conn),

		HasSocket:           o.fd != -1,
		Socket:              a.int("fd", o.fd, -1, math.MaxInt32),
		UnixPath:            a.text("unix_path", o.unix_path),
		LocalAddress:        a.text("local_address", o.local_address),
		LocalPort:           a.int("local_port", o.local_port, 0, math.MaxUint16),
		Family:              int(o.family),
		Interleave:          a.int("interleave", o.interleave, 0, math.MaxInt32),
		HappyEyeballsDelay:  a.milliseconds("happy_eyeballs_delay_ms", o.happy_eyeballs_delay_ms),
		TLSHandshakeTimeout: a.milliseconds("tls_handshake_timeout_ms", o.tls_handshake_timeout_ms),
		TLSShutdownTimeout:  a.milliseconds("tls_shutdown_timeout_ms", o.tls_shutdown_timeout_ms),
		MaxRedirects:        a.int("max_redirects", o.max_redirects, 0, math.MaxInt32),
		Proxy:               a.text("proxy", o.proxy),
		ProxyEnvironment:    a.strings("proxy_environment", o.proxy_environment, o.n_proxy_environment),
		ProxyTLS:            a.tls("proxy_tls", o.proxy_tls, false),
		ProxyServerName:     a.text("proxy_server_name", o.proxy_server_name),

		ProxyTLSHandshakeTimeout: a.milliseconds("proxy_tls_handshake_timeout_ms", o.proxy_tls_handshake_timeout_ms),
		ProxyTLSShutdownTimeout:  a.milliseconds("proxy_tls_shutdown_timeout_ms", o.proxy_tls_shutdown_timeout_ms),
	}
	out.Dial = a.bool("dial", o.dial)
	a.reserved(o.reserved)
	a.reserved(o.reserved2)
	if out.RawLines != nil {
		if o.user_agent != nil {
			a.refuse("user_agent is %q beside raw_lines, expected NULL and a User-Agent line", out.UserAgent)
		}
		out.UserAgent = ""
	}
	return out
}

func (a *arguments) listen(o *C.aiows_listen_options) *libws.ListenOptions {
	return &libws.ListenOptions{
		Backlog:       a.int("backlog", o.backlog, 1, math.MaxInt32),
		ReusePort:     a.bool("reuse_port", o.reuse_port),
		MaxHandshakes: a.int("max_handshakes", o.max_handshakes, 1, math.MaxInt32),
		TLS:           a.tls("tls", o.tls, true),
		OpenTimeout:   a.milliseconds("open_timeout_ms", o.open_timeout_ms),
		ServerName:    agent(o.server_name),
		HasSocket:     o.fd != -1,
		Socket:        a.int("fd", o.fd, -1, math.MaxInt32),
		AnyRequest:    a.bool("any_request", o.any_request),
	}
}

func (a *arguments) accept(o *C.aiows_accept_options) *libws.AcceptOptions {
	a.reserved(o.reserved)
	return &libws.AcceptOptions{
		Subprotocol: a.text("subprotocol", o.subprotocol),
		Headers:     a.headers(o.headers, o.n_headers),
		Conn:        a.conn(o.conn),
	}
}
