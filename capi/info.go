package main

// #include <stdlib.h>
// #include "gate.h"
// #include "shim.h"
import "C"

import (
	"encoding/binary"
	"sync"
	"unsafe"

	"aiows/libws/dial"
	"aiows/libws/handshake"
)

// infos keeps what info calls gave pointers into, until the handle is freed. An
// unchanged description is packed once, so that asking often costs nothing more;
// a connection's changes a few times in its life.
type infos struct {
	mu    sync.Mutex
	freed bool
	last  string // what the newest block says
	block unsafe.Pointer
	all   []unsafe.Pointer
}

// pack calls lay with packers over the memory for what it lays out. false: out of
// memory, or the handle was freed meanwhile.
func (s *infos) pack(lay func(*packer)) (ok, live bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.freed {
		return false, false
	}
	var measure packer
	lay(&measure)
	if s.block == nil || s.last != string(measure.said) {
		block := C.gate_alloc(C.size_t(max(measure.used, 1)))
		if block == nil {
			return false, true
		}
		s.last, s.block = string(measure.said), block
		s.all = append(s.all, block)
	}
	lay(&packer{base: s.block})
	return true, true
}

func (s *infos) free() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.all {
		C.free(p)
	}
	s.freed, s.last, s.block, s.all = true, "", nil, nil
}

// packer lays strings and arrays out one after the other. Without a base it only
// measures and notes what is said, and every pointer is NULL.
type packer struct {
	base unsafe.Pointer
	used uintptr
	said []byte
}

// count notes how many parts follow, so that no two layouts say the same.
func (p *packer) count(n int) {
	if p.base == nil {
		p.said = binary.AppendUvarint(p.said, uint64(n))
	}
}

func (p *packer) room(n, align uintptr) unsafe.Pointer {
	p.used = (p.used + align - 1) &^ (align - 1)
	at := p.used
	p.used += n
	if p.base == nil {
		return nil
	}
	return unsafe.Add(p.base, at)
}

func (p *packer) text(s string) *C.char {
	p.count(len(s))
	at := p.room(uintptr(len(s))+1, 1)
	if at == nil {
		p.said = append(p.said, s...)
		return nil
	}
	into := unsafe.Slice((*byte)(at), len(s)+1)
	into[copy(into, s)] = 0
	return (*C.char)(at)
}

func (p *packer) bytes(b []byte) (unsafe.Pointer, C.size_t) {
	p.count(len(b))
	if len(b) == 0 {
		return nil, 0
	}
	at := p.room(uintptr(len(b)), 1)
	if at == nil {
		p.said = append(p.said, b...)
	} else {
		copy(unsafe.Slice((*byte)(at), len(b)), b)
	}
	return at, C.size_t(len(b))
}

func (p *packer) texts(list []string) (**C.char, C.size_t) {
	p.count(len(list))
	if len(list) == 0 {
		return nil, 0
	}
	at := (**C.char)(p.room(uintptr(len(list))*unsafe.Sizeof((*C.char)(nil)), 8))
	for i, s := range list {
		if t := p.text(s); at != nil {
			unsafe.Slice(at, len(list))[i] = t
		}
	}
	return at, C.size_t(len(list))
}

func (p *packer) headers(h handshake.Header) (*C.aiows_header, C.size_t) {
	p.count(len(h))
	if len(h) == 0 {
		return nil, 0
	}
	at := (*C.aiows_header)(p.room(uintptr(len(h))*unsafe.Sizeof(C.aiows_header{}), 8))
	for i, f := range h {
		packed := C.aiows_header{name: p.text(f.Name), value: p.text(f.Value)}
		if at != nil {
			unsafe.Slice(at, len(h))[i] = packed
		}
	}
	return at, C.size_t(len(h))
}

func (p *packer) attempts(list []dial.Attempt) (*C.aiows_attempt, C.size_t) {
	p.count(len(list))
	if len(list) == 0 {
		return nil, 0
	}
	at := (*C.aiows_attempt)(p.room(uintptr(len(list))*unsafe.Sizeof(C.aiows_attempt{}), 8))
	for i := range list {
		a := &list[i]
		packed := C.aiows_attempt{address: p.text(a.Address), text: p.text(a.Error()), os_errno: C.int32_t(a.Errno())}
		if at != nil {
			unsafe.Slice(at, len(list))[i] = packed
		}
	}
	return at, C.size_t(len(list))
}

// packed is the result of an info call.
func packed(ok, live bool) C.int32_t {
	switch {
	case !live:
		return C.AIOWS_ERR_HANDLE
	case !ok:
		return C.AIOWS_ERR_MEMORY
	}
	return C.AIOWS_OK
}

//export go_conn_info
func go_conn_info(h C.uintptr_t, out *C.aiows_conn_info_t) (rc C.int32_t) {
	defer guard(&rc)
	_, c := lookup[conn](h)
	if c == nil {
		return C.AIOWS_ERR_HANDLE
	}
	i := c.ws.Info()
	out.state = C.int32_t(i.State)
	out.server = truth(i.Server)
	out.response_status = C.int32_t(i.ResponseStatus)
	out.added_host = truth(i.AddedHost)
	out.close_received = C.uint16_t(i.CloseReceived)
	out.close_sent = C.uint16_t(i.CloseSent)
	out.tls_resumed = truth(i.TLSResumed)
	return packed(c.infos.pack(func(p *packer) {
		out.request_headers, out.n_request_headers = p.headers(i.RequestHeaders)
		out.response_headers, out.n_response_headers = p.headers(i.ResponseHeaders)
		out.uri = p.text(i.URI)
		out.subprotocol = p.text(i.Subprotocol)
		out.extensions = p.text(i.Extensions)
		out.local_address = p.text(i.LocalAddress)
		out.remote_address = p.text(i.RemoteAddress)
		out.tls_version = p.text(i.TLSVersion)
		out.tls_cipher_suite = p.text(i.TLSCipherSuite)
		out.request_target = p.text(i.RequestTarget)
		out.response_reason = p.text(i.ResponseReason)
		out.close_reason_received = p.text(i.CloseReasonReceived)
		out.close_reason_sent = p.text(i.CloseReasonSent)
		out.response_body, out.response_body_len = p.bytes(i.ResponseBody)
		out.tls_alpn = p.text(i.TLSALPN)
		out.tls_peer_certificate, out.tls_peer_certificate_len = p.bytes(i.TLSPeerCertificate)
		out.attempts, out.n_attempts = p.attempts(i.Attempts)
		out.proxy = p.text(i.Proxy)
	}))
}

//export go_request_info
func go_request_info(h C.uintptr_t, out *C.aiows_request_info_t) (rc C.int32_t) {
	defer guard(&rc)
	_, r := lookup[request](h)
	if r == nil {
		return C.AIOWS_ERR_HANDLE
	}
	method, target, local, remote, header, subprotocols := r.ws.Info()
	return packed(r.infos.pack(func(p *packer) {
		out.headers, out.n_headers = p.headers(header)
		out.subprotocols, out.n_subprotocols = p.texts(subprotocols)
		out.method = p.text(method)
		out.target = p.text(target)
		out.local_address = p.text(local)
		out.remote_address = p.text(remote)
		status, text, fields := r.ws.Refusal()
		out.refusal_status, out.refusal_text = C.int32_t(status), p.text(text)
		out.refusal_headers, out.n_refusal_headers = p.headers(fields)
	}))
}
