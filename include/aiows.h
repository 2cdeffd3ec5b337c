// aiows.h - the C interface of aiows, a WebSocket engine (RFC 6455, RFC 7692).
//
// One loop owns any number of connections behind one pollable descriptor. Watch
// aiows_loop_fd for readability with whatever the program already uses (poll,
// epoll, libuv, asyncio); when it turns readable call aiows_poll, which reads
// every ready socket, answers pings, and hands back a batch of events.
//
//     aiows_loop *loop = aiows_loop_new(NULL, NULL);
//     aiows_conn *conn;
//     aiows_connect(loop, "wss://example.com/feed", NULL, 0, &conn, NULL);
//     for (;;) {
//         aiows_event ev[64];
//         size_t n;
//         aiows_poll(loop, ev, 64, -1, &n);
//         for (size_t i = 0; i < n; i++) { ... }
//     }
//
// Rules that hold for every function
//   Results    int32_t: 0 or a negative AIOWS_ERR_*; or a handle, NULL on failure.
//              Where a parameter aiows_error *err exists it may be NULL.
//   Handles    opaque; one freed, foreign or NULL is answered with
//              AIOWS_ERR_HANDLE, never dereferenced. The numeric value of a
//              freed handle is not reused soon.
//   Threads    any thread may call anything, unless said otherwise.
//   Blocking   nothing blocks but aiows_poll and aiows_recv with a timeout other than
//              0, aiows_connect_blocking, and aiows_listen with a host name. The
//              library never calls back into the program.
//   Strings    UTF-8, ended by NUL; payloads are pointer and length. Whatever is
//              passed in is copied before the function returns.
//   Structs    begin with their size in bytes; fill options with the matching
//              aiows_..._options_init first, then change what you need. A size
//              that is not that of a struct of this or another version is
//              AIOWS_ERR_ARGUMENT; a field of a newer header that the library
//              does not know, and that is not 0, is AIOWS_ERR_UNSUPPORTED.
//   fork       in a child of a process that has used the library every function
//              but aiows_version, aiows_abi_version, aiows_strerror and
//              aiows_close_code_name answers AIOWS_ERR_FORKED: fork first and
//              connect afterwards, or start children with posix_spawn.
//   Signals    a handler that the program installs after loading the library
//              must be set with SA_ONSTACK, as the Go runtime inside requires.
//              SIGPIPE is never raised by this library. SIGCHLD wants a handler:
//              the runtime's threads take it from signalfd and sigwait.
//   dlclose    has no effect; load with RTLD_NODELETE or link directly.
#ifndef AIOWS_H
#define AIOWS_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define AIOWS_API __attribute__((visibility("default")))
#else
#define AIOWS_API
#endif

// AIOWS_ABI is the number that aiows_abi_version of a matching library returns.
#define AIOWS_ABI 1

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aiows_loop aiows_loop;
typedef struct aiows_conn aiows_conn;
typedef struct aiows_listener aiows_listener;
typedef struct aiows_request aiows_request;
typedef struct aiows_tls aiows_tls;

// ---------------------------------------------------------------- errors

// AIOWS_ERROR_MAP lists every error once: name, number, text. Numbers are only
// ever added.
#define AIOWS_ERROR_MAP(X)                                                                         \
	X(AGAIN, -1, "too many bytes are waiting to be sent")                                      \
	X(BUSY, -2, "another thread is inside the loop or the connection")                         \
	X(HANDLE, -3, "not a live handle of this kind")                                            \
	X(ARGUMENT, -4, "invalid argument")                                                        \
	X(STATE, -5, "not possible in this state")                                                 \
	X(CLOSED, -6, "the connection is closed or closing")                                       \
	X(MEMORY, -7, "out of memory")                                                             \
	X(FORKED, -8, "the library was used before fork; connect after fork instead")              \
	X(INTERNAL, -9, "internal error; the library stopped")                                     \
	X(UTF8, -10, "text is not valid UTF-8")                                                    \
	X(URI, -11, "not a valid ws or wss URI")                                                   \
	X(HEADER, -12, "header field refused")                                                     \
	X(RESOLVE, -13, "host name could not be resolved")                                         \
	X(CONNECT, -14, "connection could not be opened")                                          \
	X(TLS, -15, "TLS failed")                                                                  \
	X(CERTIFICATE, -16, "certificate could not be verified or loaded")                         \
	X(TIMEOUT, -17, "timed out")                                                               \
	X(HANDSHAKE, -18, "the peer's handshake is not valid")                                     \
	X(STATUS, -19, "the server answered with another status than 101")                         \
	X(PROTOCOL, -20, "the peer broke RFC 6455")                                                \
	X(TOO_BIG, -21, "message over the size limit")                                             \
	X(LOST, -22, "the connection ended without a close handshake")                             \
	X(ABORTED, -23, "the connection was aborted by the program")                               \
	X(KEEPALIVE, -24, "no answer to a ping in time")                                           \
	X(SYSTEM, -25, "a system call failed")                                                     \
	X(UNSUPPORTED, -26, "not supported")                                                       \
	X(PROXY, -27, "the proxy refused or failed")

enum {
	AIOWS_OK = 0,
	AIOWS_PENDING = 1, // aiows_send with AIOWS_FORCE: queued, above the high mark;
			   // aiows_feed: taken, above read_ahead
#define AIOWS_X(name, number, text) AIOWS_ERR_##name = number,
	AIOWS_ERROR_MAP(AIOWS_X)
#undef AIOWS_X
};

// aiows_error says what went wrong. The caller owns it and sets size; the rest
// is written by the call that fails and left alone by one that succeeds.
typedef struct aiows_error {
	uint32_t size;        // sizeof(aiows_error), set by the caller
	int32_t code;         // AIOWS_ERR_*
	int32_t os_errno;     // errno of the system call behind it, or 0
	uint16_t close_code;  // the close code sent because of it, or 0
	uint16_t http_status; // the status of the peer's HTTP answer, or 0
	char message[256];    // what happened, naming the value; NUL-ended
} aiows_error;

// ---------------------------------------------------------------- library

// aiows_version returns the version, such as "0.1.0". Static; works after fork.
AIOWS_API const char *aiows_version(void);

// aiows_abi_version returns AIOWS_ABI of the library. Works after fork.
AIOWS_API int32_t aiows_abi_version(void);

// aiows_strerror returns the text of an AIOWS_ERR_* code, "unknown error" for
// any other number. Static; works after fork.
AIOWS_API const char *aiows_strerror(int32_t code);

// aiows_close_code_name returns the IANA name of a close code ("normal
// closure"), the name of its range ("private use"), or "invalid". Static; works
// after fork.
AIOWS_API const char *aiows_close_code_name(int32_t code);

enum { AIOWS_LOG_OFF = 0, AIOWS_LOG_ERROR = 1, AIOWS_LOG_INFO = 2, AIOWS_LOG_DEBUG = 3 };

// aiows_set_log writes a line per event of up to level to the descriptor fd,
// which stays the caller's and must stay open; AIOWS_LOG_OFF (the default)
// ends it. Lines hold no payload and no credentials; one that fd has no room for
// is dropped.
//
// Returns 0 or AIOWS_ERR_ARGUMENT.
AIOWS_API int32_t aiows_set_log(int32_t level, int32_t fd);

// ---------------------------------------------------------------- loop

typedef struct aiows_loop_options {
	uint32_t size;
	uint32_t reserved;
	int32_t watchdog; // 1 (default): see aiows_poll; 0: nothing happens but in aiows_poll
	uint32_t reserved2;
} aiows_loop_options;

AIOWS_API void aiows_loop_options_init(aiows_loop_options *options, size_t size);

// aiows_loop_new makes a loop. options may be NULL for the defaults.
//
// Returns NULL with AIOWS_ERR_SYSTEM when no descriptor is left.
AIOWS_API aiows_loop *aiows_loop_new(const aiows_loop_options *options, aiows_error *err);

// aiows_loop_fd returns the descriptor to watch for readability, or a negative
// error. It belongs to the loop: do not read or close it.
AIOWS_API int32_t aiows_loop_fd(aiows_loop *loop);

enum {
	AIOWS_EV_OPEN = 1,    // the handshake is done; precedes the first MESSAGE
	AIOWS_EV_FAILED = 2,  // the connection never opened: code, see aiows_conn_error
	AIOWS_EV_MESSAGE = 3, // kind, data, len; a part of one, see aiows_conn_stream
	AIOWS_EV_PING = 4,    // data, len; already answered unless auto_pong is 0
	AIOWS_EV_PONG = 5,    // data, len; pongs to the library's own pings are not told
	AIOWS_EV_CLOSING = 6, // the peer's Close came: code, data is the reason
	AIOWS_EV_CLOSED = 7,  // the end: code, close_sent, data is the reason, flags
	AIOWS_EV_WRITABLE = 8, // follows AIOWS_ERR_AGAIN or AIOWS_PENDING exactly once
	AIOWS_EV_REQUEST = 9, // a client asks a listener for a connection: request
	AIOWS_EV_GONE = 10,   // it left, or its time ran out, unanswered: request; the
			      // handle stays until aiows_request_free
	AIOWS_EV_LOG = 11,    // a line of log_frames: data, len; code: how many lines before it
			      // were dropped
	AIOWS_EV_OUTPUT = 12, // of an attached connection: aiows_drain has something
	AIOWS_EV_INPUT = 13,  // the same: aiows_feed takes bytes again, see there
	AIOWS_EV_SOCKET = 14, // the same, with dial: aiows_take_socket has the socket
	AIOWS_EV_TUNNEL = 15  // the same: an https proxy leads to the server from here on
};

enum { AIOWS_TEXT = 1, AIOWS_BINARY = 2 };

enum {
	AIOWS_EVF_FIN = 1,   // MESSAGE: the whole message, or its end
	AIOWS_EVF_CLEAN = 2, // CLOSED: Close frames went both ways (RFC 6455 7.1.4)
	AIOWS_EVF_PEER = 4,  // CLOSED: the peer's Close came before ours was sent
	AIOWS_EVF_BLOCK = 8  // the payload has a block of its own: taking is free
};

// aiows_event is 64 bytes, now and later. Addresses are integers, so that every
// language reads the same layout.
typedef struct aiows_event {
	uint32_t type;       // AIOWS_EV_*
	uint16_t kind;       // MESSAGE: AIOWS_TEXT or AIOWS_BINARY
	uint16_t flags;      // AIOWS_EVF_*
	uint64_t conn;       // the aiows_conn; REQUEST, GONE: the aiows_listener
	uint64_t user_data;  // as given to aiows_connect, aiows_accept, aiows_listen
	uint64_t data;       // payload or reason; valid until the next aiows_poll
	uint64_t len;        // bytes at data
	int64_t time_ns;     // CLOCK_MONOTONIC when the bytes were read
	int32_t code;        // FAILED: AIOWS_ERR_*. CLOSING, CLOSED: the close code
			     // received, 1005 when it had none, 1006 when none came
	uint16_t close_sent; // CLOSED: the close code sent, 0 when none was
	uint16_t reserved;
	uint64_t request; // REQUEST, GONE: the aiows_request; otherwise 0
} aiows_event;

// AIOWS_TRY_POLL as timeout_ms: like 0, but answer AIOWS_ERR_BUSY rather than wait
// for a thread that is inside the loop.
#define AIOWS_TRY_POLL (-2)

// aiows_poll fills events with up to cap events and sets *n_out.
//
// timeout_ms: 0 never blocks; -1 waits for an event, aiows_wake or a signal; a
// positive number waits at most that long; AIOWS_TRY_POLL never waits for a
// lock either. Payloads stay valid until the next aiows_poll on this loop. Each
// connection gets exactly one FAILED or CLOSED, its last event. A full array
// does not mean that more is there, nor an unfilled one that nothing is: go by
// the descriptor. Two threads that poll one loop take turns.
//
// A program that does not poll for more than 100 ms, though the descriptor is
// readable, is stood in for by a thread of the library, the watchdog: pings and the
// peer's Close are answered, what waits to be sent is written, timeouts run, and up to
// read_ahead bytes of each connection are read. Events and their order stay as they
// are; they come with the next aiows_poll. It neither accepts connections nor touches
// the batch in hand.
//
// Returns 0 (with *n_out 0 after a timeout, a wake or a signal),
//   AIOWS_ERR_BUSY      AIOWS_TRY_POLL only
//   AIOWS_ERR_HANDLE, AIOWS_ERR_ARGUMENT, AIOWS_ERR_FORKED, AIOWS_ERR_INTERNAL
AIOWS_API int32_t aiows_poll(aiows_loop *loop, aiows_event *events, size_t cap, int32_t timeout_ms,
                             size_t *n_out);

// aiows_event_take gives the payload of an event of the newest batch to the
// caller, who gives it back with aiows_free. Moved when AIOWS_EVF_BLOCK is set,
// else copied; the event's own data must not be used afterwards. *data_out is
// NULL for an empty payload. Only for the thread that polled, before its next
// aiows_poll; at most once per event (AIOWS_ERR_STATE).
AIOWS_API int32_t aiows_event_take(aiows_loop *loop, aiows_event *event, void **data_out,
                                   size_t *len_out);

// aiows_free releases memory that the library gave away. NULL is allowed.
AIOWS_API void aiows_free(void *data);

// aiows_wake makes the descriptor readable and ends one aiows_poll that waits;
// when none waits, the next one returns at once. Async-signal-unsafe.
AIOWS_API int32_t aiows_wake(aiows_loop *loop);

typedef struct aiows_loop_stats_s {
	uint32_t size;
	uint32_t connections;    // opening, open or closing
	uint32_t listeners;
	uint32_t handles;        // live handles of this loop, the loop's own included
	uint64_t blocks;         // blocks of memory held
	uint64_t block_bytes;    // bytes in them
	uint64_t polls;          // calls of aiows_poll
	uint64_t events;         // events handed out
	uint64_t bytes_received; // by sockets, before TLS
	uint64_t bytes_sent;
	uint64_t stalls;         // times that the watchdog stood in for the program
} aiows_loop_stats_t;

// aiows_loop_stats fills *stats_out, whose size the caller sets.
AIOWS_API int32_t aiows_loop_stats(aiows_loop *loop, aiows_loop_stats_t *stats_out);

// aiows_trim returns spare memory of the loop and of the runtime to the system.
// Takes milliseconds.
AIOWS_API int32_t aiows_trim(aiows_loop *loop);

// aiows_loop_free aborts the loop's connections, closes its listeners, and makes
// every handle of it invalid, its own included. No event follows. Memory of the
// newest batch is freed.
AIOWS_API int32_t aiows_loop_free(aiows_loop *loop);

// ---------------------------------------------------------------- TLS

typedef struct aiows_tls_options {
	uint32_t size;
	int32_t server;          // 1: for aiows_listen; cert and key are then required
	int32_t insecure;        // 1: do not verify the peer's certificate; pins still hold
	uint16_t min_version;    // 0x0303 TLS 1.2 (the default, and the least), 0x0304
	uint16_t max_version;    // 0: the newest
	const char *ca_file;     // PEM file; replaces the system's authorities
	const char *ca_pem;      // the same as text; both may be given
	const char *cert_file;   // PEM chain, leaf first, and its key
	const char *key_file;    // NULL: the key stands in cert_file
	const char *cert_pem;    // the same as text
	const char *key_pem;
	const char *server_name; // verified and sent (SNI) instead of the URI's host
	const char *const *alpn; // protocols to offer; NULL: none
	size_t n_alpn;
	const char *ca_dir;       // a directory of them: every file counts that holds PEM
				  // certificates, whatever its name
	const char *key_password; // of an encrypted key; not looked at for another
	const char *const *pins;  // what the server's own certificate must be, see below
	size_t n_pins;
	const char *const *cipher_suites; // those of TLS 1.2 to allow, by IANA name, in any
	size_t n_cipher_suites;           // order; those of TLS 1.3 cannot be chosen
	int32_t any_name;        // 1: verify the server's chain and not its name
	int32_t client_cert_optional; // 1: a server with authorities lets clients in that show
				      // no certificate; one that is shown is verified
	int32_t strict;          // 1: refuse chains that break RFC 5280, as OpenSSL's
				 // X509_V_FLAG_X509_STRICT does
	uint32_t reserved;
} aiows_tls_options;

AIOWS_API void aiows_tls_options_init(aiows_tls_options *options, size_t size);

// aiows_tls_new makes a TLS context that connections and listeners share:
// certificates are loaded once and sessions resume. Reads files, so it may take
// milliseconds. What it is given is not kept, the key's password least of all.
//
// Authorities: what ca_file, ca_dir and ca_pem hold is trusted as it is, so that a
// server's own certificate or an intermediate one does, too. Without any of the three
// a client trusts the system's, which Go's crypto/x509 looks for once, at the first
// verification; it reads SSL_CERT_FILE and SSL_CERT_DIR as they were when the process
// started. A server with authorities wants a certificate of each client.
//
// Keys may be encrypted as PKCS #8 with PBES2 (PBKDF2 or scrypt, AES or triple DES in
// CBC mode), or in the older way of PEM (Proc-Type). A client's certificate is sent to
// every server that asks for one.
//
// Pins: one of them must be of the certificate that the server shows. 64 hexadecimal
// digits, colons allowed, are the SHA-256 of the certificate; "sha256//" and base64, as
// curl has it, that of its public key. The certificate is verified besides; with
// insecure the pin alone decides, which is for certificates signed by nobody else.
//
// Returns NULL with AIOWS_ERR_CERTIFICATE (a file or PEM text that cannot be
// read or holds no certificate or key, a wrong password) or AIOWS_ERR_ARGUMENT.
AIOWS_API aiows_tls *aiows_tls_new(const aiows_tls_options *options, aiows_error *err);

// aiows_tls_free ends the handle; connections that use the context keep it.
AIOWS_API int32_t aiows_tls_free(aiows_tls *tls);

// ---------------------------------------------------------------- client

// aiows_header is one field of an HTTP head.
typedef struct aiows_header {
	const char *name;
	const char *value;
} aiows_header;

enum { AIOWS_COMPRESSION_OFF = 0, AIOWS_COMPRESSION_DEFLATE = 1 };

// AIOWS_WINDOW_ANY as client_max_window_bits of an offer: the parameter without a
// value, by which a client says that it will obey whatever the server chooses.
#define AIOWS_WINDOW_ANY (-1)

// aiows_deflate is one configuration of permessage-deflate (RFC 7692 section 7.1):
// what a client offers, or what a server accepts. 0 is the default of every field,
// so { .size = sizeof(aiows_deflate) } is one to start from.
//
// A client fails the connection (AIOWS_ERR_HANDSHAKE) when the answer is not what
// it offered. A server answers an offer with the narrower of what both say; an offer
// that it cannot meet is declined, and the next one is tried.
//
// A connection keeps what compression has to remember and nothing else: history bytes
// of what it sent, and a window of 2 to the power of the peer's window bits of what
// it received, from when that much came. Without context takeover neither is kept.
typedef struct aiows_deflate {
	uint32_t size;
	// 1: whoever is named forgets each message before it compresses the next.
	uint8_t server_no_context_takeover;
	uint8_t client_no_context_takeover;
	// 1: a server declines offers without client_max_window_bits, which must then be
	// set here. AIOWS_ERR_ARGUMENT for a client.
	uint8_t require_client_max_window_bits;
	uint8_t reserved;
	int32_t server_max_window_bits; // 8 to 15: of the server's window; 0: not said
	int32_t client_max_window_bits; // 8 to 15: of the client's; 0: not said, in an offer
					// AIOWS_WINDOW_ANY too
	int32_t level;   // 1 (fastest) to 9 (smallest) for what is sent; 0: the default, 5.
			 // What is longer than a window below 15 bits has but one level
	int32_t history; // bytes of sent text that prime the compressor, at most 32768;
			 // 0: the default, 1536
} aiows_deflate;

// aiows_conn_options hold for connections of both roles. Times are
// milliseconds, 0 switches the timer off; sizes are bytes.
typedef struct aiows_conn_options {
	uint32_t size;
	int32_t auto_pong;         // 1 (default): answer pings at once
	int32_t auto_close;        // 1 (default): answer the peer's Close at once
	int32_t compression;       // AIOWS_COMPRESSION_OFF (default), AIOWS_COMPRESSION_DEFLATE
	int64_t close_timeout_ms;  // 10000: from our Close to the end of the connection
	int64_t ping_interval_ms;  // 20000: between keepalive pings
	int64_t ping_timeout_ms;   // 20000: for the answer, else 1011 and CLOSED
	uint64_t max_message_size; // 1048576: more closes with 1009; 0: no limit
	uint64_t write_high;       // 65536: aiows_send answers AGAIN above it
	uint64_t write_low;        // 16384: WRITABLE comes at or below it
	uint32_t max_fragments;    // 0: no limit on the frames of one message
	uint32_t reserved;
	uint64_t read_ahead;       // 1048576: read while paused or not polled; 0: nothing
	// With AIOWS_COMPRESSION_DEFLATE only: what a client offers, in order of preference,
	// or what a server accepts, in order, at most 16, all of one size. NULL: one
	// configuration that asks for nothing; a client's has AIOWS_WINDOW_ANY.
	// Raw lines and headers of a request that hold Sec-WebSocket-Extensions are the offer
	// instead, whatever is said here.
	const aiows_deflate *deflate;
	size_t deflate_len;
	// 0: no limit on the payload of one frame, nor on the text of a compressed one that is
	// told alone; more closes with 1009.
	uint64_t max_fragment_size;
	int32_t stream; // 1: messages are told in parts from the first one on, see aiows_conn_stream
	uint32_t reserved2;
	// 1: each frame, and the heads of the handshake, are told as LOG events, before what
	// they are about if aiows_poll gets room for three events or more. A line is text
	// without a line feed: an arrow (> sent, < received), and
	//     TEXT 'hello' [5 bytes]
	//     BINARY 00 01 02 [binary, 3 bytes, continued]
	// Of a long payload some 75 characters are shown. Values of header fields and query
	// parameters whose names tell of a secret (auth, cookie, key, token and so on in
	// them) are not, nor are user and password of a URI. 1024 lines wait at most, more
	// are dropped and counted. Default 0.
	int32_t log_frames;
	uint32_t reserved3;
} aiows_conn_options;

AIOWS_API void aiows_conn_options_init(aiows_conn_options *options, size_t size);

typedef struct aiows_connect_options {
	uint32_t size;
	int32_t port; // connect to this port instead of the URI's; 0: no
	const char *host; // connect to this host instead of the URI's
	aiows_tls *tls; // NULL: verified against the system's authorities
	const char *server_name; // TLS server name instead of the URI's host
	int64_t open_timeout_ms; // 10000: name resolution to the 101; 0: none
	const char *origin; // NULL: no Origin field
	const char *user_agent; // NULL: "aiows/VERSION"; "": none
	const char *const *subprotocols; // in order of preference
	size_t n_subprotocols;
	const aiows_header *headers; // in this order; they replace default fields
	size_t n_headers;
	// the whole request, a line each, no CRLF; headers apply on top; origin, user_agent and
	// subprotocols must be unset
	const char *const *raw_lines;
	size_t n_raw_lines;
	const aiows_conn_options *conn; // NULL: the defaults
	int32_t fd; // -1; else a connected stream socket, see aiows_connect
	int32_t family; // 0; 4, 6: only addresses of IPv4, of IPv6
	const char *unix_path; // connect to this Unix socket; @ first: abstract
	const char *local_address; // name or address to bind to before connecting
	int32_t local_port; // port to bind to before connecting; 0: any
	// 1: addresses of the first family that come before families alternate (RFC 8305 section
	// 4); 0: the resolver's order
	int32_t interleave;
	// 250: the next address is tried beside one that does not answer; 0: when that has
	// failed
	int64_t happy_eyeballs_delay_ms;
	// 60000: for the TLS handshake; then AIOWS_ERR_TIMEOUT with os_errno ECONNABORTED; 0:
	// none
	int64_t tls_handshake_timeout_ms;
	// 30000: from the second Close frame to the end of TLS, within close_timeout_ms; 0: none
	int64_t tls_shutdown_timeout_ms;
	int32_t max_redirects; // 10; 0: none is followed
	uint32_t reserved;
	const char *proxy; // URL of a proxy; NULL: none; "env": see below
	// for an https proxy; NULL: verified against the system's authorities
	aiows_tls *proxy_tls;
	const char *proxy_server_name; // TLS server name instead of an https proxy's host
	// NAME=value each, with proxy "env" only; NULL: the environment that the process started
	// with
	const char *const *proxy_environment;
	size_t n_proxy_environment;
	int64_t proxy_tls_handshake_timeout_ms; // 60000: as tls_handshake_timeout_ms
	// 30000: as tls_shutdown_timeout_ms, with a ws URI, whose TLS ends at the proxy; with
	// wss nobody waits for an end of the outer TLS
	int64_t proxy_tls_shutdown_timeout_ms;
	int32_t dial; // 1, for aiows_attach: the library connects, the program does TLS; 0
	uint32_t reserved2;
} aiows_connect_options;

AIOWS_API void aiows_connect_options_init(aiows_connect_options *options, size_t size);

// aiows_connect starts to open a connection and returns at once; OPEN or FAILED
// follows as an event. uri is ws:// or wss:// with an optional user:password@,
// which is sent as Basic credentials. options may be NULL. user_data comes back
// in every event of the connection.
//
// It connects to the URI's host and port, or to one of these, of which at most one
// may be given; the Host field and the name that TLS verifies stay the URI's:
//   host, port  and local_address, local_port and family as for the URI's
//   unix_path   a Unix stream socket
//   fd          a stream socket that is connected already. The library makes a
//               duplicate before this returns, which it closes in the end; the program
//               keeps its own descriptor and may close it at once. It must not use the
//               socket any more, which becomes non-blocking
// The addresses of a name are tried as RFC 8305 says; what each one answered is in
// aiows_conn_info.
//
// Answers of status 300, 301, 302, 303, 307 and 308 with one Location field are
// followed, up to max_redirects, all within open_timeout_ms; aiows_conn_info tells the
// last URI, request and answer. The Location may be relative (RFC 3986), or http and
// https, which stand for ws and wss. To another origin (scheme, host or port) neither
// credentials of the URI nor the header fields Authorization, Cookie,
// Proxy-Authorization and Host are sent. The connection fails with the status in
// http_status and
//   AIOWS_ERR_HANDSHAKE  one redirect too many, or one from wss to ws
//   AIOWS_ERR_URI        the Location is no URI of ws, wss, http or https
//   AIOWS_ERR_ARGUMENT   another origin and unix_path, host or port; or any with fd
// With raw_lines, which were written for one server, no redirect is followed: it fails
// with AIOWS_ERR_STATUS. options->tls is used for every wss:// URI on the way, so that a
// ws:// URI may come with one unless max_redirects is 0.
//
// A proxy is http://host:port, https (TLS to the proxy), socks4, socks4a, socks5 or
// socks5h, with user:password@ where it wants credentials (percent-encoded; socks4 and
// socks4a take a user id alone). http and https are asked by CONNECT, for ws and wss
// alike; socks4 and socks5 get an address that is resolved here, the others the name.
// host, port, tls and server_name stay what they are without one; local_address,
// local_port, family and the like are about the way to the proxy. fd and unix_path know
// none: AIOWS_ERR_ARGUMENT. proxy "env" takes the
// first that is set of wss_proxy, socks_proxy and https_proxy, or for a ws URI of
// ws_proxy, socks_proxy, https_proxy and http_proxy, in lower or upper case, unless
// no_proxy names the host of the URI. FAILED is
//   AIOWS_ERR_CONNECT, AIOWS_ERR_RESOLVE, AIOWS_ERR_TLS, AIOWS_ERR_CERTIFICATE
//                    also when it is the proxy that was not reached: the message says so
//   AIOWS_ERR_PROXY  the proxy refused, or its answer is none; http_status is that of an
//                    answer to CONNECT, whose fields and body aiows_conn_info has
//
// Returns 0 and the handle in *conn_out, or AIOWS_ERR_URI, AIOWS_ERR_HEADER,
// AIOWS_ERR_ARGUMENT (also a proxy URL that cannot be used), AIOWS_ERR_HANDLE (loop,
// options->tls or options->proxy_tls), AIOWS_ERR_SYSTEM (fd is no socket, or no
// descriptor is left for the duplicate): then no event follows.
AIOWS_API int32_t aiows_connect(aiows_loop *loop, const char *uri,
                                const aiows_connect_options *options, uint64_t user_data,
                                aiows_conn **conn_out, aiows_error *err);

// ---------------------------------------------------------------- connection

enum {
	AIOWS_COMPRESS = 1, // AIOWS_ERR_UNSUPPORTED unless compression was negotiated
	AIOWS_NO_COMPRESS = 2, // send this message as it is; not with AIOWS_COMPRESS
	AIOWS_TRY = 4, // AIOWS_ERR_BUSY rather than wait for another writer
	AIOWS_FORCE = 8 // queue whatever is pending; see AIOWS_PENDING
};

// aiows_send queues one message and never blocks.
//
// data is copied before return. Any thread may call; order holds per thread. As
// much as the socket takes is written at once. A message is never refused for
// its own size. Where compression was negotiated the message is compressed, unless
// that makes it longer or flags hold AIOWS_NO_COMPRESS.
//
// Returns 0, or:
//   AIOWS_PENDING     with AIOWS_FORCE only: the message is queued and the bytes
//                     pending exceed the high mark; exactly one
//                     AIOWS_EV_WRITABLE or AIOWS_EV_CLOSED follows
//   AIOWS_ERR_AGAIN   bytes pending already exceed the high mark, nothing was
//                     queued; exactly one AIOWS_EV_WRITABLE or AIOWS_EV_CLOSED
//                     follows
//   AIOWS_ERR_BUSY    AIOWS_TRY only, nothing was queued
//   AIOWS_ERR_CLOSED  a Close frame was already sent or received, or the
//                     connection was lost
//   AIOWS_ERR_STATE   not open yet, or a fragmented message is being sent
//   AIOWS_ERR_UTF8    kind is AIOWS_TEXT and data is not UTF-8
//   AIOWS_ERR_UNSUPPORTED  AIOWS_COMPRESS and no compression was negotiated
AIOWS_API int32_t aiows_send(aiows_conn *conn, int32_t kind, uint32_t flags, const void *data,
                             size_t len);

// aiows_send_fragment queues one frame of a message in parts (RFC 6455 5.4). The
// first call decides kind, later ones repeat it; fin ends the message. A text
// fragment may end inside a character, the message may not (AIOWS_ERR_UTF8). Whether
// the message is compressed is decided with its first fragment. Until fin, aiows_send answers AIOWS_ERR_STATE; control frames pass.
AIOWS_API int32_t aiows_send_fragment(aiows_conn *conn, int32_t kind, uint32_t flags, int32_t fin,
                                      const void *data, size_t len);

// aiows_slice is one payload of aiows_send_many.
typedef struct aiows_slice {
	const void *data;
	size_t len;
} aiows_slice;

// aiows_send_many queues n messages of one kind with as few writes as possible.
// *n_out says how many were queued; when fewer than n, the result is what
// aiows_send would have answered for the next one.
AIOWS_API int32_t aiows_send_many(aiows_conn *conn, int32_t kind, uint32_t flags,
                                  const aiows_slice *messages, size_t n, size_t *n_out);

// aiows_ping queues a Ping of at most 125 bytes; AIOWS_ERR_ARGUMENT for more.
AIOWS_API int32_t aiows_ping(aiows_conn *conn, const void *data, size_t len);

// aiows_pong queues an unasked or, with auto_pong 0, an asked Pong.
AIOWS_API int32_t aiows_pong(aiows_conn *conn, const void *data, size_t len);

// aiows_close starts the close handshake (RFC 6455 7.1.2): a Close frame follows
// what is queued, then CLOSED comes after the peer's answer or the close timeout.
// code is 1000 to 1014 without 1004, 1005 and 1006, or 3000 to 4999; 0 sends none.
// reason is at most 123 bytes of UTF-8, NULL for none. Messages that arrive before
// the peer's Close are still told, unless reading is paused: then they are dropped, with
// all that follow, also after aiows_resume.
// With auto_close 0 it also answers the peer's Close. A second call changes nothing,
// nor does one after aiows_abort.
//
// Returns 0, AIOWS_ERR_ARGUMENT, AIOWS_ERR_CLOSED after the end. On a connection
// that is still opening it works as aiows_abort.
AIOWS_API int32_t aiows_close(aiows_conn *conn, int32_t code, const char *reason);

// aiows_abort ends the connection without a handshake; CLOSED (1006) or FAILED
// (AIOWS_ERR_ABORTED) follows. Nothing is written any more once it has returned: what
// waits to be sent is dropped.
AIOWS_API int32_t aiows_abort(aiows_conn *conn);

// aiows_pause stops MESSAGE events of conn after the batch in hand, and what follows
// a message not told yet. Up to read_ahead bytes more are read, and control frames
// among them answered; then the peer is held back by TCP, its pings wait, and our own
// ping timeout is suspended. CLOSED still comes when no message precedes it.
// aiows_resume goes on. Neither waits for a lock that is held for long; both may be
// called twice.
AIOWS_API int32_t aiows_pause(aiows_conn *conn);
AIOWS_API int32_t aiows_resume(aiows_conn *conn);

// aiows_conn_stream has messages told in parts, on 1, or as a whole, on 0: then a MESSAGE
// event tells one frame as soon as it is complete, and only the last of a message has
// AIOWS_EVF_FIN. A frame that is longer than 1 MiB comes in several parts of at most that,
// so that a message of any length takes little memory, with max_message_size 0. Parts may
// be empty, and those of text may end inside a character; kind is that of the message. Of a
// compressed message each tells the text that can be inflated so far, which may be a thousand
// times as long: max_fragment_size bounds it.
//
// On reaches the message that is being received: what has come of it is told by the next
// aiows_poll. Off holds from the next message on. All limits hold as for whole messages; what
// is wrong with a message is found with its part, after those before it were told.
//
// Returns 0, AIOWS_ERR_ARGUMENT, AIOWS_ERR_CLOSED after the end.
AIOWS_API int32_t aiows_conn_stream(aiows_conn *conn, int32_t on);

// aiows_buffered sets *bytes_out to the bytes accepted and not yet written.
AIOWS_API int32_t aiows_buffered(aiows_conn *conn, size_t *bytes_out);

enum { AIOWS_CONNECTING = 0, AIOWS_OPEN = 1, AIOWS_CLOSING = 2, AIOWS_CLOSED = 3 };

// aiows_attempt is an address that was tried in vain.
typedef struct aiows_attempt {
	const char *address; // "192.0.2.1:443"
	const char *text; // why it failed
	int32_t os_errno; // or 0
	int32_t reserved;
} aiows_attempt;

// aiows_conn_info_t describes a connection. Its pointers stay valid until
// aiows_conn_free; strings are "" and arrays NULL where there is nothing.
typedef struct aiows_conn_info_s {
	uint32_t size;
	int32_t state; // AIOWS_CONNECTING to AIOWS_CLOSED
	int32_t server; // 1: accepted by a listener
	// 101; another one after FAILED, the proxy's when the error is AIOWS_ERR_PROXY; 0: none
	// came
	int32_t response_status;
	// without credentials, the last one after redirects; "" for a server
	const char *uri;
	const char *subprotocol; // the one agreed on
	const char *extensions; // the answer's Sec-WebSocket-Extensions
	// "192.0.2.1:443", "[2001:db8::1]:443"; of a Unix socket the path, @ first for an
	// abstract one, or ""
	const char *local_address;
	const char *remote_address; // the proxy's where there is one
	const char *tls_version; // of TLS with the server: "TLS 1.3"; "" without TLS
	const char *tls_cipher_suite;
	const char *request_target; // "/path?query"
	const aiows_header *request_headers; // as sent or received, in order
	size_t n_request_headers;
	const char *response_reason; // the text beside the status
	const aiows_header *response_headers;
	size_t n_response_headers;
	const void *response_body; // of an answer other than 101, at most 64 KiB
	size_t response_body_len;
	int32_t added_host; // 1: raw_lines lacked Host and it was added
	uint16_t close_received; // code of the peer's Close, 1005 without, 0: none
	uint16_t close_sent; // code of our Close, 1005 without, 0: none
	const char *close_reason_received;
	const char *close_reason_sent;
	const char *tls_alpn; // the protocol agreed on by ALPN
	const void *tls_peer_certificate; // DER of what the peer showed; NULL: nothing
	size_t tls_peer_certificate_len;
	int32_t tls_resumed; // 1: from a session of an earlier connection
	uint32_t reserved;
	const aiows_attempt *attempts; // after FAILED because no address answered, in order
	size_t n_attempts;
	const char *proxy; // its URL without credentials
} aiows_conn_info_t;

// aiows_conn_info fills *info_out, whose size the caller sets.
AIOWS_API int32_t aiows_conn_info(aiows_conn *conn, aiows_conn_info_t *info_out);

typedef struct aiows_conn_stats_s {
	uint32_t size;
	uint32_t reserved;
	uint64_t messages_received;
	uint64_t messages_sent;
	uint64_t frames_received;
	uint64_t frames_sent;
	uint64_t bytes_received; // by the socket, before TLS
	uint64_t bytes_sent;
	int64_t latency_ns; // round trip of the newest ping that was answered, or 0
	uint64_t bytes_ahead; // read, after TLS, while paused or not polled
	// Bytes of messages, and of the payloads of their frames: the ratio of what
	// compression made of them. The same where none was negotiated.
	uint64_t message_bytes_received;
	uint64_t message_bytes_sent;
	uint64_t payload_bytes_received;
	uint64_t payload_bytes_sent;
	// Round trips of keepalive pings and of those by aiows_ping, 32 of which are timed at
	// a time: how many were measured, the longest, and percentiles, which are off by at
	// most 1/16, or half a microsecond. After some ten thousand of about one length old
	// ones weigh less. Nanoseconds; 0 before the first. They take half a KiB from then on.
	uint64_t rtt_samples;
	int64_t rtt_p50_ns;
	int64_t rtt_p90_ns;
	int64_t rtt_p99_ns;
	int64_t rtt_max_ns;
} aiows_conn_stats_t;

// aiows_conn_stats fills *stats_out, whose size the caller sets.
AIOWS_API int32_t aiows_conn_stats(aiows_conn *conn, aiows_conn_stats_t *stats_out);

// aiows_conn_error fills *error_out with why conn failed or closed; code is 0
// after a clean end. AIOWS_ERR_STATE before FAILED or CLOSED.
AIOWS_API int32_t aiows_conn_error(aiows_conn *conn, aiows_error *error_out);

// aiows_conn_set_user_data changes what later events of conn carry.
AIOWS_API int32_t aiows_conn_set_user_data(aiows_conn *conn, uint64_t user_data);

// aiows_conn_free ends the handle. Before FAILED or CLOSED it aborts, and no later
// poll names the connection; entries in the array in hand are the caller's to skip.
AIOWS_API int32_t aiows_conn_free(aiows_conn *conn);

// ---------------------------------------------------------------- own I/O

// A client connection without a socket: the program carries its bytes, over a TLS library,
// a tunnel or a transport of its own, or from a test. It moves what aiows_drain gives to
// the peer, and what the peer sends to aiows_feed. All else is as with aiows_connect:
// events, limits, timers, keepalive, compression, aiows_poll and the loop's descriptor.
//
//     aiows_attach(loop, "wss://example.com/feed", NULL, 0, &conn, NULL);
//     on AIOWS_EV_OUTPUT:                    while aiows_drain gives bytes, send them
//     when the transport has bytes:          aiows_feed; stop reading after AIOWS_PENDING
//     on AIOWS_EV_INPUT:                     read the transport again
//     when the transport ends or breaks:     aiows_feed_end
//     when aiows_drain answers ERR_CLOSED:   end the transport's sending side
//     on FAILED or CLOSED:                   drain once more, close the transport
//
// Any thread may feed and drain, also while another polls. Each function takes its bytes
// as one piece, so that two threads that feed one connection, or drain it, must agree on
// an order between them.
//
// Servers have no such connections: aiows_listen takes a socket.

// aiows_attach starts to open a connection whose bytes the program carries and returns at
// once; the request can be drained by then. uri names the resource and the Host field; it
// may be wss, since whoever carries the bytes may encrypt them. options is as for
// aiows_connect, without the fields that say where and how to connect: AIOWS_ERR_ARGUMENT for
// host, port, fd, unix_path, local addresses, family, proxies, TLS contexts and server names;
// numbers for them (interleave, happy_eyeballs_delay_ms, TLS timeouts) mean nothing.
// open_timeout_ms runs from this call to the 101, close_timeout_ms and the keepalive as ever;
// what waits for the peer ends the connection only after the program has polled twice since,
// as it may hold what came in time.
// aiows_conn_info has no addresses, unless the library connected, and no TLS version. After a
// redirect FAILED comes with AIOWS_ERR_STATUS, and aiows_attach_redirect goes on.
//
// With options->dial the library connects, and the program does no more than TLS. Fields that
// say where to connect hold then, with proxies and errors as for aiows_connect; only TLS
// contexts and server names are AIOWS_ERR_ARGUMENT, and the times of TLS handshakes mean
// nothing. Unless FAILED does, there comes
//   AIOWS_EV_SOCKET  aiows_take_socket has a socket that leads to the server, or to an https
//                    proxy, which aiows_conn_info names. TLS is to begin, with the proxy or
//                    for a wss URI with the server; then the bytes are carried over it
//   AIOWS_EV_TUNNEL  with an https proxy, next: it has been asked by what was drained, and
//                    leads to the server. What is drained after the next aiows_poll is for the
//                    server, for a wss URI in a TLS of its own inside of the proxy's
//
// Returns as aiows_connect does.
AIOWS_API int32_t aiows_attach(aiows_loop *loop, const char *uri,
                               const aiows_connect_options *options, uint64_t user_data,
                               aiows_conn **conn_out, aiows_error *err);

// aiows_attach_redirect starts another attached connection, to where conn was redirected:
// it follows FAILED with AIOWS_ERR_STATUS, at most once, before aiows_conn_free. The URI of
// *conn_out in aiows_conn_info says where the program has to connect. Options are those of
// conn with what is left of max_redirects and of open_timeout_ms; what does not go to another
// origin is left out, as aiows_connect says. A redirect that it would not follow has failed
// conn by AIOWS_ERR_HANDSHAKE or AIOWS_ERR_URI instead.
//
// Returns 0, or AIOWS_ERR_STATE: conn was not redirected, or max_redirects is 0.
AIOWS_API int32_t aiows_attach_redirect(aiows_conn *conn, uint64_t user_data, aiows_conn **conn_out,
                                        aiows_error *err);

// aiows_take_socket gives the socket that AIOWS_EV_SOCKET told of to the program, which closes
// it: a descriptor that is connected, non-blocking and close-on-exec. Until it is taken it is
// the library's.
//
// Returns it, or AIOWS_ERR_STATE: not told of yet, taken already, or the connection has ended.
AIOWS_API int32_t aiows_take_socket(aiows_conn *conn);

// aiows_feed takes len bytes that the peer sent, all of them or none. They are copied, and
// read by the next aiows_poll. Bytes that wait to be told, since the program paused the
// connection or did not poll, are bounded by read_ahead: a call that starts at or below it
// is never refused for its own size, so that at most read_ahead and one call are held.
//
// Returns 0, or:
//   AIOWS_PENDING      taken, but more than read_ahead wait now; exactly one
//                      AIOWS_EV_INPUT, FAILED or CLOSED follows, INPUT once at most half
//                      of read_ahead waits
//   AIOWS_ERR_AGAIN    AIOWS_PENDING was answered and what follows it has not come, and
//                      more than read_ahead wait still: nothing was taken
//   AIOWS_ERR_CLOSED   aiows_feed_end was called, or the connection has ended
//   AIOWS_ERR_STATE    the connection has a socket
//   AIOWS_ERR_MEMORY   the connection ends
AIOWS_API int32_t aiows_feed(aiows_conn *conn, const void *data, size_t len);

// aiows_feed_end says that the peer sends no more. os_errno is 0 for an orderly end, else
// what broke the transport; message, which may be NULL, says it in words. Both reach
// aiows_conn_error. What was fed before is still told, then FAILED or CLOSED follows.
//
// Returns 0, AIOWS_ERR_CLOSED (a second time, or after the end), AIOWS_ERR_STATE (the
// connection has a socket), AIOWS_ERR_ARGUMENT (os_errno is negative).
AIOWS_API int32_t aiows_feed_end(aiows_conn *conn, int32_t os_errno, const char *message);

// aiows_drain moves up to cap bytes for the peer to buffer and sets *n_out. AIOWS_EV_OUTPUT
// comes when the output becomes more than empty, and not again before it was drained empty;
// a program that drains without being told may see none. What was not drained counts as not
// yet written, for aiows_buffered and the write marks. A cap of 0 moves nothing.
//
// Returns 0, also when nothing is there now (*n_out is 0), or:
//   AIOWS_ERR_CLOSED   nothing is there and nothing follows. Before CLOSED this means that
//                      the peer shall see the end of the stream, as it would see FIN: end
//                      the transport's sending side and go on feeding. One OUTPUT tells it
//   AIOWS_ERR_STATE    the connection has a socket
//
// After FAILED or CLOSED up to 64 KiB that were written before can still be drained, unless
// the connection was aborted: a Close frame, most often.
AIOWS_API int32_t aiows_drain(aiows_conn *conn, void *buffer, size_t cap, size_t *n_out);

// ---------------------------------------------------------------- blocking

// aiows_connect_blocking opens a connection and waits for it, for programs that have no
// loop: the connection gets one of its own, which ends with aiows_conn_free. aiows_recv
// takes its events; everything else is as for any connection. options may be NULL. It may
// take open_timeout_ms.
//
// Nothing else runs in the program's threads; while none is in aiows_recv, the watchdog
// answers pings, writes what waits, and keeps the timeouts, see aiows_poll.
//
// Returns 0 and the handle in *conn_out, or a negative error, which *err explains: what
// aiows_connect returns, AIOWS_ERR_SYSTEM when no descriptor is left, why the opening
// failed, or AIOWS_ERR_ABORTED when a signal handler ran meanwhile.
AIOWS_API int32_t aiows_connect_blocking(const char *uri, const aiows_connect_options *options,
                                         aiows_conn **conn_out, aiows_error *err);

// aiows_recv waits for the next event of a connection that aiows_connect_blocking opened:
// a MESSAGE; a PONG to aiows_ping; WRITABLE after AIOWS_ERR_AGAIN or AIOWS_PENDING; PING
// only with auto_pong 0, CLOSING with auto_close 0, LOG with log_frames. What data of it
// points to stays valid until the next aiows_recv of the connection.
//
// timeout_ms is as for aiows_poll, from -1 on. Any thread may call, one at a time. After
// aiows_close, call it until it answers AIOWS_ERR_CLOSED to wait for the end.
//
// Returns 0, or:
//   AIOWS_ERR_CLOSED   the connection has ended, *event_out is the CLOSED event, also at
//                      later calls; aiows_conn_error says why
//   AIOWS_ERR_TIMEOUT  no event within timeout_ms, or a signal handler ran before one;
//                      nothing is lost
//   AIOWS_ERR_BUSY     another thread is in aiows_recv for the connection
//   AIOWS_ERR_STATE    a connection of a loop of the program's: that one's aiows_poll
//                      tells its events
//   AIOWS_ERR_HANDLE   also when aiows_conn_free was called meanwhile
AIOWS_API int32_t aiows_recv(aiows_conn *conn, int32_t timeout_ms, aiows_event *event_out);

// ---------------------------------------------------------------- server

typedef struct aiows_listen_options {
	uint32_t size;
	int32_t backlog; // 1024
	int32_t reuse_port; // 1: SO_REUSEPORT
	// 1024: opening connections at a time, until they are accepted or refused; the rest wait
	// in the kernel
	int32_t max_handshakes;
	aiows_tls *tls; // NULL: plain ws; made with server = 1
	int64_t open_timeout_ms; // 10000: from accept to the end of the handshake
	const char *server_name; // the Server field; NULL: "aiows/VERSION"; "": none
	int32_t fd; // -1; else a bound socket to listen on, see aiows_listen
	int32_t any_request; // 1: REQUEST also for requests that are no upgrade
} aiows_listen_options;

AIOWS_API void aiows_listen_options_init(aiows_listen_options *options, size_t size);

// aiows_listen listens on host and port ("127.0.0.1", "::1", "" for every
// address of IPv4 and IPv6; port 0 lets the system choose, see
// aiows_listener_port). A name is resolved before this returns, which may block:
// pass an address where that matters.
//
// With options->fd it listens on a stream socket of IPv4, IPv6 or Unix that the
// program has bound, for instance one that a service manager passed on; host is
// then NULL or "" and port 0. The library uses a duplicate and makes the socket
// non-blocking. The program keeps its own descriptor: while it is open, clients
// still reach the backlog after aiows_listener_close. Addresses of a Unix socket
// are "" or a path, with @ for the first octet of an abstract one.
//
// A REQUEST event comes for each client whose upgrade request is valid; others are
// answered with 400, 405 or 426. It may be answered at any time before open_timeout_ms
// is over; if that passes, or the client leaves, a GONE event names the request.
// With options->any_request one comes for each well-formed head, so that a program
// can answer plain HTTP (a health check) by aiows_reject.
//
// TLS handshakes run on threads of the library, a bounded number at a time over all
// listeners; a client that sends nothing occupies none. When no descriptor is left
// the listener rests for moments, and open connections go on.
//
// Returns NULL with AIOWS_ERR_SYSTEM (os_errno says why), AIOWS_ERR_ARGUMENT (also
// for an fd that is no such socket, or connected) or AIOWS_ERR_HANDLE.
AIOWS_API aiows_listener *aiows_listen(aiows_loop *loop, const char *host, int32_t port,
                                       const aiows_listen_options *options, uint64_t user_data,
                                       aiows_error *err);

// aiows_listener_port returns the port, 0 for a Unix socket, or a negative error.
AIOWS_API int32_t aiows_listener_port(aiows_listener *listener);

// aiows_listener_close stops accepting; connections stay. Requests that were not
// answered are, with 503.
AIOWS_API int32_t aiows_listener_close(aiows_listener *listener);

// aiows_listener_free closes and ends the handle.
AIOWS_API int32_t aiows_listener_free(aiows_listener *listener);

// aiows_request_info_t describes a request. Its pointers stay valid until
// aiows_request_free.
typedef struct aiows_request_info_s {
	uint32_t size;
	uint32_t reserved;
	const char *method;
	const char *target;
	const char *local_address;
	const char *remote_address;
	const aiows_header *headers;
	size_t n_headers;
	const char *const *subprotocols; // offered, in the client's order
	size_t n_subprotocols;
	// What aiows_accept would answer a request that any_request let through and that is
	// no upgrade: 400, 405, 426 and so on, fields, and why; 0, 0 and "" for an upgrade.
	int32_t refusal_status;
	int32_t refusal_reserved;
	const char *refusal_text;
	const aiows_header *refusal_headers;
	size_t n_refusal_headers;
} aiows_request_info_t;

// aiows_request_info fills *info_out, whose size the caller sets.
AIOWS_API int32_t aiows_request_info(aiows_request *request, aiows_request_info_t *info_out);

typedef struct aiows_accept_options {
	uint32_t size;
	uint32_t reserved;
	const char *subprotocol; // one of the offered; NULL: none
	const aiows_header *headers; // added to the answer
	size_t n_headers;
	const aiows_conn_options *conn; // NULL: the defaults
} aiows_accept_options;

AIOWS_API void aiows_accept_options_init(aiows_accept_options *options, size_t size);

// aiows_accept answers 101; OPEN follows for *conn_out. The request's handle
// lives on until aiows_request_free.
//
// Returns 0, AIOWS_ERR_HEADER, AIOWS_ERR_ARGUMENT (a subprotocol that was not
// offered: the request can still be answered), AIOWS_ERR_STATE (already
// answered), AIOWS_ERR_CLOSED (the client left, or its time ran out),
// AIOWS_ERR_HANDSHAKE (any_request let one through that is no upgrade: it is now
// answered with 400, 405 or 426).
AIOWS_API int32_t aiows_accept(aiows_request *request, const aiows_accept_options *options,
                               uint64_t user_data, aiows_conn **conn_out, aiows_error *err);

// aiows_reject answers with an HTTP status (200 to 599), fields and body, then
// closes. Results as for aiows_accept.
AIOWS_API int32_t aiows_reject(aiows_request *request, int32_t status, const aiows_header *headers,
                               size_t n_headers, const void *body, size_t body_len);

// aiows_request_free ends the handle; a request not answered is, with 503.
AIOWS_API int32_t aiows_request_free(aiows_request *request);

#ifdef __cplusplus
}
#endif

#endif // AIOWS_H
