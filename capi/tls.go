package main

// #include "shim.h"
import "C"

import (
	"crypto/tls"
	"unsafe"

	"aiows/libws"
	"aiows/libws/dial"
)

// tlsContext is what a handle of an aiows_tls stands for.
type tlsContext struct {
	*dial.TLS
	server bool
}

//export go_tls_new
func go_tls_new(o *C.aiows_tls_options, out *C.uintptr_t, e *C.aiows_error) (rc C.int32_t) {
	defer guard(&rc)
	var a arguments
	options := a.tlsOptions(o)
	if a.err != nil {
		return explain(e, a.err)
	}
	t, err := dial.NewTLS(*options)
	if err != nil {
		return explain(e, &libws.Error{Code: libws.CodeCertificate, Text: err.Error()})
	}
	*out = save(&tlsContext{t, options.Server}).handle()
	return C.AIOWS_OK
}

func (a *arguments) tlsOptions(o *C.aiows_tls_options) *dial.TLSOptions {
	out := &dial.TLSOptions{
		CAFile:     a.text("ca_file", o.ca_file),
		CAPEM:      []byte(a.text("ca_pem", o.ca_pem)),
		CertFile:   a.text("cert_file", o.cert_file),
		KeyFile:    a.text("key_file", o.key_file),
		CertPEM:    []byte(a.text("cert_pem", o.cert_pem)),
		KeyPEM:     []byte(a.text("key_pem", o.key_pem)),
		ServerName: a.text("server_name", o.server_name),
		Insecure:   a.bool("insecure", o.insecure),
		ALPN:       a.strings("alpn", o.alpn, o.n_alpn),
		MinVersion: uint16(o.min_version),
		MaxVersion: uint16(o.max_version),
		Server:     a.bool("server", o.server),
	}
	if out.MinVersion != tls.VersionTLS12 && out.MinVersion != tls.VersionTLS13 {
		a.refuse("min_version is %#04x, expected 0x0303 or 0x0304", out.MinVersion)
	}
	certificate := out.CertFile != "" || len(out.CertPEM) != 0
	if !certificate && (out.Server || out.KeyFile != "" || len(out.KeyPEM) != 0) {
		a.refuse("no certificate given, expected cert_file or cert_pem with server or a key")
	}
	if out.Server && (out.Insecure || out.ServerName != "") {
		a.refuse("insecure and server_name are for clients, expected neither with server")
	}
	if a.err != nil {
		return out
	}
	// What remains wrong without any file is an argument, the rest a certificate.
	_, err := dial.NewTLS(dial.TLSOptions{
		ServerName: out.ServerName,
		ALPN:       out.ALPN,
		MinVersion: out.MinVersion,
		MaxVersion: out.MaxVersion,
	})
	if err != nil {
		a.refuse("%s", err)
	}
	return out
}

// tls is the context of a handle that may be NULL.
func (a *arguments) tls(h *C.aiows_tls, server bool) *dial.TLS {
	if h == nil {
		return nil
	}
	n := C.uintptr_t(uintptr(unsafe.Pointer(h)))
	_, t := lookup[tlsContext](n)
	if t == nil {
		if a.err == nil {
			a.err = &libws.Error{Code: libws.CodeHandle, Text: "tls is not a live aiows_tls"}
		}
		return nil
	}
	if t.server != server {
		a.refuse("tls was made with server = %d, expected %d", truth(t.server), truth(server))
	}
	return t.TLS
}

//export go_tls_free
func go_tls_free(h C.uintptr_t) (rc C.int32_t) {
	defer guard(&rc)
	b, _ := lookup[tlsContext](h)
	if b == nil || b.end() == nil {
		return C.AIOWS_ERR_HANDLE
	}
	return C.AIOWS_OK
}
