package main

// #include "shim.h"
import "C"

import (
	"sync"
	"syscall"
	"unsafe"

	"aiows/libws"
)

// conn is what a handle of an aiows_conn stands for.
type conn struct {
	ws    *libws.Conn
	loop  *loop
	infos infos

	blockingMu sync.Mutex
	blocking   unsafe.Pointer // C memory, see blocking.go; nil for a connection of a shared loop
}

var connections shortcut[conn]

// newConn makes the handle and starts the connection, unless the loop ended.
func (l *loop) newConn(ws *libws.Conn) C.uintptr_t {
	c := &conn{ws: ws, loop: l}
	b := save(c)
	ended := func() {
		if c := b.end(); c != nil {
			c.infos.free()
		}
	}
	if !l.adopt(b.handle(), ended) {
		ended()
		ws.Abandon()
		return 0
	}
	ws.SetHandle(uint64(b.handle()))
	ws.Start()
	return b.handle()
}

//export go_connect
func go_connect(h C.uintptr_t, uri *C.char, o *C.aiows_connect_options, attached C.int32_t, userData C.uint64_t, out *C.uintptr_t, e *C.aiows_error) (rc C.int32_t) {
	defer guard(&rc)
	l := loopOf(h)
	if l == nil {
		return C.AIOWS_ERR_HANDLE
	}
	var a arguments
	options := a.connect(o)
	if a.err != nil {
		return explain(e, a.err)
	}
	options.URI = C.GoString(uri)
	prepare := l.ws.NewClient
	if attached != 0 {
		prepare = l.ws.Attach
	} else if options.Dial {
		return explain(e, refuse("dial is 1, which is for aiows_attach, expected 0"))
	}
	ws, err := prepare(options, uint64(userData))
	if err != nil {
		return explain(e, err)
	}
	if *out = l.newConn(ws); *out == 0 {
		return C.AIOWS_ERR_HANDLE
	}
	return C.AIOWS_OK
}

// queued is the result of a send.
func queued(pending bool, err error) C.int32_t {
	if err != nil {
		return result(err)
	}
	if pending {
		return C.AIOWS_PENDING
	}
	return C.AIOWS_OK
}

//export go_send
func go_send(h C.uintptr_t, kind C.int32_t, flags C.uint32_t, data unsafe.Pointer, n C.size_t) (rc C.int32_t) {
	defer guard(&rc)
	_, c := connections.lookup(h)
	if c == nil {
		return C.AIOWS_ERR_HANDLE
	}
	return queued(c.ws.Send(int(kind), libws.SendFlags(flags), hostBytes(data, n)))
}

//export go_send_fragment
func go_send_fragment(h C.uintptr_t, kind C.int32_t, flags C.uint32_t, fin C.int32_t, data unsafe.Pointer, n C.size_t) (rc C.int32_t) {
	defer guard(&rc)
	_, c := connections.lookup(h)
	if c == nil {
		return C.AIOWS_ERR_HANDLE
	}
	return queued(c.ws.SendFragment(int(kind), libws.SendFlags(flags), fin == 1, hostBytes(data, n)))
}

// slices are reused between calls of go_send_many, and hold no pointer between.
var slices = sync.Pool{New: func() any { return new([][]byte) }}

//export go_send_many
func go_send_many(h C.uintptr_t, kind C.int32_t, flags C.uint32_t, messages *C.aiows_slice, n C.size_t, out *C.size_t) (rc C.int32_t) {
	defer guard(&rc)
	_, c := connections.lookup(h)
	if c == nil {
		return C.AIOWS_ERR_HANDLE
	}
	list := slices.Get().(*[][]byte)
	for _, m := range unsafe.Slice(messages, int(n)) {
		*list = append(*list, hostBytes(m.data, m.len))
	}
	sent, pending, err := c.ws.SendMany(int(kind), libws.SendFlags(flags), *list)
	clear(*list)
	*list = (*list)[:0]
	slices.Put(list)
	*out = C.size_t(sent)
	return queued(pending, err)
}

// answer is the result of a call that is not made once a message.
func answer(h C.uintptr_t, call func(*libws.Conn) error) (rc C.int32_t) {
	defer guard(&rc)
	_, c := connections.lookup(h)
	if c == nil {
		return C.AIOWS_ERR_HANDLE
	}
	return result(call(c.ws))
}

//export go_ping
func go_ping(h C.uintptr_t, data unsafe.Pointer, n C.size_t) C.int32_t {
	return answer(h, func(ws *libws.Conn) error { return ws.Ping(hostBytes(data, n)) })
}

//export go_pong
func go_pong(h C.uintptr_t, data unsafe.Pointer, n C.size_t) C.int32_t {
	return answer(h, func(ws *libws.Conn) error { return ws.Pong(hostBytes(data, n)) })
}

//export go_close
func go_close(h C.uintptr_t, code C.int32_t, reason *C.char) C.int32_t {
	return answer(h, func(ws *libws.Conn) error { return ws.Close(int(code), C.GoString(reason)) })
}

//export go_abort
func go_abort(h C.uintptr_t) C.int32_t {
	return answer(h, (*libws.Conn).Abort)
}

//export go_pause
func go_pause(h C.uintptr_t) C.int32_t {
	return answer(h, (*libws.Conn).Pause)
}

//export go_resume
func go_resume(h C.uintptr_t) C.int32_t {
	return answer(h, (*libws.Conn).Resume)
}

//export go_conn_stream
func go_conn_stream(h C.uintptr_t, on C.int32_t) C.int32_t {
	return answer(h, func(ws *libws.Conn) error { return ws.Stream(on == 1) })
}

//export go_buffered
func go_buffered(h C.uintptr_t, out *C.size_t) (rc C.int32_t) {
	defer guard(&rc)
	_, c := connections.lookup(h)
	if c == nil {
		return C.AIOWS_ERR_HANDLE
	}
	*out = C.size_t(c.ws.Buffered())
	return C.AIOWS_OK
}

//export go_attach_redirect
func go_attach_redirect(h C.uintptr_t, userData C.uint64_t, out *C.uintptr_t, e *C.aiows_error) (rc C.int32_t) {
	defer guard(&rc)
	_, c := connections.lookup(h)
	if c == nil {
		return C.AIOWS_ERR_HANDLE
	}
	ws, err := c.ws.AttachRedirect(uint64(userData))
	if err != nil {
		return explain(e, err)
	}
	if *out = c.loop.newConn(ws); *out == 0 {
		return C.AIOWS_ERR_HANDLE
	}
	return C.AIOWS_OK
}

//export go_take_socket
func go_take_socket(h C.uintptr_t) (rc C.int32_t) {
	defer guard(&rc)
	_, c := connections.lookup(h)
	if c == nil {
		return C.AIOWS_ERR_HANDLE
	}
	fd, err := c.ws.TakeSocket()
	if err != nil {
		return result(err)
	}
	return C.int32_t(fd)
}

//export go_feed
func go_feed(h C.uintptr_t, data unsafe.Pointer, n C.size_t) (rc C.int32_t) {
	defer guard(&rc)
	_, c := connections.lookup(h)
	if c == nil {
		return C.AIOWS_ERR_HANDLE
	}
	return queued(c.ws.Feed(hostBytes(data, n)))
}

//export go_feed_end
func go_feed_end(h C.uintptr_t, errno C.int32_t, message *C.char) C.int32_t {
	return answer(h, func(ws *libws.Conn) error { return ws.FeedEnd(syscall.Errno(errno), C.GoString(message)) })
}

//export go_drain
func go_drain(h C.uintptr_t, buffer unsafe.Pointer, n C.size_t, out *C.size_t) (rc C.int32_t) {
	defer guard(&rc)
	_, c := connections.lookup(h)
	if c == nil {
		return C.AIOWS_ERR_HANDLE
	}
	drained, err := c.ws.Drain(hostBytes(buffer, n))
	*out = C.size_t(drained)
	return result(err)
}

//export go_conn_stats
func go_conn_stats(h C.uintptr_t, out *C.aiows_conn_stats_t) (rc C.int32_t) {
	defer guard(&rc)
	_, c := connections.lookup(h)
	if c == nil {
		return C.AIOWS_ERR_HANDLE
	}
	s := c.ws.Stats()
	out.messages_received = C.uint64_t(s.MessagesReceived)
	out.messages_sent = C.uint64_t(s.MessagesSent)
	out.frames_received = C.uint64_t(s.FramesReceived)
	out.frames_sent = C.uint64_t(s.FramesSent)
	out.bytes_received = C.uint64_t(s.BytesReceived)
	out.bytes_sent = C.uint64_t(s.BytesSent)
	out.latency_ns = C.int64_t(s.Latency)
	out.message_bytes_received = C.uint64_t(s.MessageBytesReceived)
	out.message_bytes_sent = C.uint64_t(s.MessageBytesSent)
	out.payload_bytes_received = C.uint64_t(s.PayloadBytesReceived)
	out.payload_bytes_sent = C.uint64_t(s.PayloadBytesSent)
	out.rtt_samples = C.uint64_t(s.RoundTrips.Samples)
	out.rtt_p50_ns = C.int64_t(s.RoundTrips.P50)
	out.rtt_p90_ns = C.int64_t(s.RoundTrips.P90)
	out.rtt_p99_ns = C.int64_t(s.RoundTrips.P99)
	out.rtt_max_ns = C.int64_t(s.RoundTrips.Max)
	out.bytes_ahead = C.uint64_t(s.ReadAhead)
	return C.AIOWS_OK
}

//export go_conn_error
func go_conn_error(h C.uintptr_t, out *C.aiows_error) (rc C.int32_t) {
	defer guard(&rc)
	_, c := connections.lookup(h)
	if c == nil {
		return C.AIOWS_ERR_HANDLE
	}
	if !c.ws.Ended() {
		return C.AIOWS_ERR_STATE
	}
	if err := c.ws.Err(); err != nil {
		explain(out, err)
	}
	return C.AIOWS_OK
}

//export go_conn_set_user_data
func go_conn_set_user_data(h C.uintptr_t, userData C.uint64_t) (rc C.int32_t) {
	defer guard(&rc)
	_, c := connections.lookup(h)
	if c == nil {
		return C.AIOWS_ERR_HANDLE
	}
	c.ws.SetUserData(uint64(userData))
	return C.AIOWS_OK
}

//export go_conn_free
func go_conn_free(h C.uintptr_t, blocking *unsafe.Pointer) (rc C.int32_t) {
	defer guard(&rc)
	b, c := connections.lookup(h)
	if c == nil {
		return C.AIOWS_ERR_HANDLE
	}
	c.loop.forget(h)
	if b.end() == nil {
		return C.AIOWS_ERR_HANDLE
	}
	c.ws.Free()
	c.infos.free()
	*blocking = c.endBlocking()
	return C.AIOWS_OK
}
