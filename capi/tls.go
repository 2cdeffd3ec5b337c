package main

// #include <string.h>
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
	defer clear(options.CertPEM) // the key may stand in it
	defer clear(options.KeyPEM)
	defer clear(options.KeyPassword)
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
		CAFile:             a.text("ca_file", o.ca_file),
		CADir:              a.text("ca_dir", o.ca_dir),
		CAPEM:              []byte(a.text("ca_pem", o.ca_pem)),
		CertFile:           a.text("cert_file", o.cert_file),
		KeyFile:            a.text("key_file", o.key_file),
		CertPEM:            a.secret("cert_pem", o.cert_pem),
		KeyPEM:             a.secret("key_pem", o.key_pem),
		KeyPassword:        copied(o.key_password),
		ServerName:         a.text("server_name", o.server_name),
		Insecure:           a.bool("insecure", o.insecure),
		AnyName:            a.bool("any_name", o.any_name),
		Strict:             a.bool("strict", o.strict),
		Pins:               a.strings("pins", o.pins, o.n_pins),
		ALPN:               a.strings("alpn", o.alpn, o.n_alpn),
		MinVersion:         uint16(o.min_version),
		MaxVersion:         uint16(o.max_version),
		CipherSuites:       a.strings("cipher_suites", o.cipher_suites, o.n_cipher_suites),
		Server:             a.bool("server", o.server),
		ClientCertOptional: a.bool("client_cert_optional", o.client_cert_optional),
	}
	a.reserved(o.reserved)
	if out.MinVersion != tls.VersionTLS12 && out.MinVersion != tls.VersionTLS13 {
		a.refuse("min_version is %#04x, expected 0x0303 or 0x0304", out.MinVersion)
	}
	certificate := out.CertFile != "" || len(out.CertPEM) != 0
	if !certificate && (out.Server || out.KeyFile != "" || len(out.KeyPEM) != 0 || out.KeyPassword != nil) {
		a.refuse("no certificate given, expected cert_file or cert_pem with server, a key or its password")
	}
	if out.Server && (out.Insecure || out.ServerName != "" || out.AnyName || len(out.Pins) != 0) {
		a.refuse("insecure, server_name, any_name and pins are for clients, expected none with server")
	}
	authorities := out.CAFile != "" || out.CADir != "" || len(out.CAPEM) != 0
	if out.ClientCertOptional && !(out.Server && authorities) {
		a.refuse("client_cert_optional is for a server with authorities, expected server and ca_file, ca_dir or ca_pem")
	}
	if a.err != nil {
		return out
	}
	// What remains wrong without any file is an argument, the rest a certificate.
	_, err := dial.NewTLS(dial.TLSOptions{
		ServerName:   out.ServerName,
		Insecure:     out.Insecure,
		AnyName:      out.AnyName,
		Strict:       out.Strict,
		Pins:         out.Pins,
		ALPN:         out.ALPN,
		MinVersion:   out.MinVersion,
		MaxVersion:   out.MaxVersion,
		CipherSuites: out.CipherSuites,
	})
	if err != nil {
		a.refuse("%s", err)
	}
	return out
}

// secret is like text for what holds a key.
func (a *arguments) secret(name string, s *C.char) []byte {
	if s != nil && *s == 0 {
		a.refuse("%s is empty, expected text or NULL", name)
	}
	return copied(s)
}

// copied is for secrets: the caller clears it, which it could not do to a string. nil
// is NULL.
func copied(s *C.char) []byte {
	if s == nil {
		return nil
	}
	return C.GoBytes(unsafe.Pointer(s), C.int(C.strlen(s)))
}

// tls is the context of a handle that may be NULL.
func (a *arguments) tls(name string, h *C.aiows_tls, server bool) *dial.TLS {
	if h == nil {
		return nil
	}
	n := C.uintptr_t(uintptr(unsafe.Pointer(h)))
	_, t := lookup[tlsContext](n)
	if t == nil {
		if a.err == nil {
			a.err = &libws.Error{Code: libws.CodeHandle, Text: name + " is not a live aiows_tls"}
		}
		return nil
	}
	if t.server != server {
		a.refuse("%s was made with server = %d, expected %d", name, truth(t.server), truth(server))
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
