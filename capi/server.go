package main

// #include "shim.h"
import "C"

import (
	"math"
	"unsafe"

	"aiows/libws"
)

// listener is what a handle of an aiows_listener stands for.
type listener struct {
	ws   *libws.Listener
	loop *loop
}

// request is what a handle of an aiows_request stands for.
type request struct {
	ws    *libws.Request
	loop  *loop
	infos infos
}

//export go_listen
func go_listen(h C.uintptr_t, host *C.char, port C.int32_t, o *C.aiows_listen_options, userData C.uint64_t, out *C.uintptr_t, e *C.aiows_error) (rc C.int32_t) {
	defer guard(&rc)
	l := loopOf(h)
	if l == nil {
		return C.AIOWS_ERR_HANDLE
	}
	var a arguments
	options := a.listen(o)
	options.Port = a.int("port", port, 0, math.MaxUint16)
	if a.err != nil {
		return explain(e, a.err)
	}
	options.Host = C.GoString(host)
	ws, err := l.ws.Listen(options, uint64(userData))
	if err != nil {
		return explain(e, err)
	}
	b := save(&listener{ws, l})
	if !l.adopt(b.handle(), func() { b.end() }) {
		b.end()
		ws.Close()
		return C.AIOWS_ERR_HANDLE
	}
	ws.SetHandle(uint64(b.handle()))
	if err := ws.Start(); err != nil {
		l.forget(b.handle())
		b.end()
		ws.Close()
		return explain(e, err)
	}
	*out = b.handle()
	return C.AIOWS_OK
}

//export go_listener_port
func go_listener_port(h C.uintptr_t) (rc C.int32_t) {
	defer guard(&rc)
	_, ln := lookup[listener](h)
	if ln == nil {
		return C.AIOWS_ERR_HANDLE
	}
	return C.int32_t(ln.ws.Port())
}

//export go_listener_close
func go_listener_close(h C.uintptr_t) (rc C.int32_t) {
	defer guard(&rc)
	_, ln := lookup[listener](h)
	if ln == nil {
		return C.AIOWS_ERR_HANDLE
	}
	ln.ws.Close()
	return C.AIOWS_OK
}

//export go_listener_free
func go_listener_free(h C.uintptr_t) (rc C.int32_t) {
	defer guard(&rc)
	b, ln := lookup[listener](h)
	if ln == nil {
		return C.AIOWS_ERR_HANDLE
	}
	ln.loop.forget(h)
	if b.end() == nil {
		return C.AIOWS_ERR_HANDLE
	}
	ln.ws.Close()
	return C.AIOWS_OK
}

// newRequest names a request in its event. libws calls it from Poll.
func (l *loop) newRequest(ws *libws.Request) uint64 {
	b := save(&request{ws: ws, loop: l})
	ended := func() {
		if r := b.end(); r != nil {
			r.infos.free()
		}
	}
	if !l.adopt(b.handle(), ended) {
		ended()
		return 0
	}
	return uint64(b.handle())
}

//export go_accept
func go_accept(h C.uintptr_t, o *C.aiows_accept_options, userData C.uint64_t, out *C.uintptr_t, e *C.aiows_error) (rc C.int32_t) {
	defer guard(&rc)
	_, r := lookup[request](h)
	if r == nil {
		return C.AIOWS_ERR_HANDLE
	}
	var a arguments
	options := a.accept(o)
	if a.err != nil {
		return explain(e, a.err)
	}
	ws, err := r.ws.NewConn(options, uint64(userData))
	if err != nil {
		return explain(e, err)
	}
	if *out = r.loop.newConn(ws); *out == 0 {
		return C.AIOWS_ERR_HANDLE
	}
	return C.AIOWS_OK
}

//export go_reject
func go_reject(h C.uintptr_t, status C.int32_t, headers *C.aiows_header, n C.size_t, body unsafe.Pointer, bodyLen C.size_t) (rc C.int32_t) {
	defer guard(&rc)
	_, r := lookup[request](h)
	if r == nil {
		return C.AIOWS_ERR_HANDLE
	}
	var a arguments
	extra := a.headers(headers, n)
	a.int("status", status, 200, 599)
	if a.err != nil {
		return result(a.err)
	}
	return result(r.ws.Reject(int(status), extra, hostBytes(body, bodyLen)))
}

//export go_request_free
func go_request_free(h C.uintptr_t) (rc C.int32_t) {
	defer guard(&rc)
	b, r := lookup[request](h)
	if r == nil {
		return C.AIOWS_ERR_HANDLE
	}
	r.loop.forget(h)
	if b.end() == nil {
		return C.AIOWS_ERR_HANDLE
	}
	r.ws.Free()
	r.infos.free()
	return C.AIOWS_OK
}
