// blocking.h: a connection that threads wait on, with a core loop of its own.
//
// Whoever waits drives: it polls the loop, without the GIL, and dispatches for all; the
// others follow, each on a lock, until it has done a turn. While nobody waits the
// library's watchdog answers pings and keeps the timeouts. The GIL guards everything
// here, and driving the batch in hand.
#ifndef AIOWS_BLOCKING_H
#define AIOWS_BLOCKING_H

#include "core.h"

enum { BATCH = 64 };

#define NO_DEADLINE INT64_MAX

// What an Item is: a whole message, a part that others follow, the last part.
enum { PART_NONE, PART_MORE, PART_LAST };

typedef struct Item {
	PyObject *object; // str or bytes, bytes of a part
	int64_t time_ns;
	uint8_t part; // PART_*
	uint8_t kind; // AIOWS_TEXT or AIOWS_BINARY
} Item;

// What a receiver wants: whole messages, or what recv_streaming hands out.
enum { WANT_WHOLE, WANT_PART };

// What is read and written at a time; what a TLS record holds; how often a turn reads.
enum { CARRY_PIECE = 64 * 1024, CARRY_RECORD = 16 * 1024, CARRY_TURNS = 16 };

// Layer is a TLS object and what it has not taken yet.
typedef struct Layer {
	PyObject *tls; // ssl.SSLObject; NULL: there is none
	PyObject *incoming; // ssl.MemoryBIO
	PyObject *outgoing;
	char *clear; // bytes that are not encrypted yet, CARRY_RECORD at most
	Py_ssize_t clear_len;
} Layer;

// Carrier holds the socket and the TLS objects of an attached connection, and what is
// under way between them and the core. Only who drives uses it.
typedef struct Carrier {
	int fd; // ours
	Layer tls; // what the core's bytes go through, or nothing but its clear
	Layer outer; // with an https proxy, in which tls is; without tls: none
	PyObject *want_read; // exceptions of ssl
	PyObject *tls_error;
	PyObject *out; // encrypted bytes for the socket from out_at on, or NULL
	PyObject *why; // str: what was wrong in TLS, or NULL
	char *plain; // decrypted bytes that the core has not taken; NULL: nothing is carried
	char *between; // of the outer one: decrypted bytes that tls.incoming has not taken
	Py_ssize_t plain_len;
	Py_ssize_t between_len;
	Py_ssize_t out_at;
	int broken_by; // errno of writing
	bool full; // the core takes no more
	bool over; // it was told that nothing comes any more
	bool finished; // nothing more is encrypted
	bool outer_over; // nothing comes any more out of the outer one
	bool owed; // something was queued while another thread drove
} Carrier;

typedef struct Blocking {
	PyObject ob_base;
	State *state; // NULL before __init__
	aiows_loop *loop; // NULL before connect and after the end
	aiows_conn *handle;
	PyObject *wait; // or NULL: waits in place of aiows_poll, called with fd and seconds
	PyObject *on_message; // or NULL: gets messages in place of recv
	PyObject *followers; // list of locks, or NULL
	aiows_event *events; // BATCH of them; the receiver takes its messages from here
	size_t n_events;
	size_t next_event;
	int64_t polled_at;
	uint64_t turns; // that drivers have done
	uint64_t deliverer; // the thread that is delivering
	uint8_t status; // AIOWS_CONNECTING to AIOWS_CLOSED, as far as dispatched
	bool opened;
	bool driving;
	bool receiving; // a thread is inside recv
	bool delivering; // a thread takes messages for on_message
	bool calling; // and is in it, or about to be
	bool muted; // on_message failed: the rest is dropped
	bool finish_owed; // CLOSED was dispatched before the last message was delivered
	bool paused;
	bool writable_owed;
	bool parted; // the newest MESSAGE that was looked at is a part that others follow
	bool streaming; // parts of the message at the front were handed out alone
	uint8_t parts_kind;
	uint64_t writable_epoch; // WRITABLE events dispatched
	uint32_t high; // pause above it; UINT32_MAX: never
	uint32_t low; // resume at or below it
	size_t late; // bytes queued since the queue was short, after Close
	Item *ring; // a power of two of them, or NULL: what others than the receiver found
	uint32_t count;
	uint32_t head;
	uint32_t ring_mask;
	PyObject *parts; // list of bytes: of a message that was not complete for recv, or NULL
	int64_t received_at;
	PyObject *closed; // (code, reason, sent, flags) of CLOSED, or NULL
	Carrier carrier;
	bool attached;
	bool socket_due; // _await_socket has one to take
	bool tunnelled; // an https proxy leads to the server
	bool redirected; // the handle is of the connection that follows a redirect
	PyObject *last_info;
	PyObject *last_stats;
	PyObject *last_error;
	PyObject *weakrefs;
} Blocking;

// --- blocking.c
bool blocking_made(Blocking *self); // RuntimeError before __init__
bool blocking_usable(Blocking *self); // nor in a forked child
size_t blocking_queued(Blocking *self);
void blocking_drop(Blocking *self); // what is queued

// --- waiting.c
int take_item(Blocking *self, bool as_bytes, Item *item);
int turn(Blocking *self, int64_t deadline, bool receiving);
int follow(Blocking *self, int64_t deadline);
void wake_followers(Blocking *self);
int call_hook(Blocking *self, PyObject *name, PyObject *argument);
int glance(Blocking *self);
int driven(Blocking *self, int result); // ends driving, and returns result
void end_loop(Blocking *self);
PyObject *raise_ended(Blocking *self); // NULL
int deadline_from_object(PyObject *timeout, int64_t *deadline);

// --- carrying.c
bool carried(Blocking *self);
int carry(Blocking *self);
int carry_out(Blocking *self);
int carry_push(Blocking *self);
int carry_wait(Blocking *self, int loop_fd, int32_t timeout_ms, PyObject *seconds);
int carry_last(Blocking *self);
size_t carry_held(Blocking *self); // bytes drained and not written
void carry_drop(Blocking *self);
int carry_traverse(Blocking *self, visitproc visit, void *arg);
PyObject *blocking_carry(PyObject *op, PyObject *args);
PyObject *blocking_carry_within(PyObject *op, PyObject *args);

// --- callback.c
int attend(Blocking *self, int64_t deadline); // turn, by a thread that does not receive
bool refuse_receiver(Blocking *self); // raises where messages go to on_message
int tell_end(Blocking *self);
PyObject *blocking_turn(PyObject *op, PyObject *args);
PyObject *blocking_await_end(PyObject *op, PyObject *args);

// --- blocking_recv.c
PyObject *take(Blocking *self, int want, int decode, bool *failed);
PyObject *blocking_recv(PyObject *op, PyObject *const *args, Py_ssize_t n, PyObject *names);
PyObject *blocking_next(PyObject *op);
PyObject *blocking_take(PyObject *op, PyObject *args);
PyObject *blocking_recv_part(PyObject *op, PyObject *unused);
PyObject *blocking_stream(PyObject *op, PyObject *unused);

// --- blocking_send.c
int32_t start_close(Blocking *self, int close_code, const char *reason);
PyObject *blocking_send(PyObject *op, PyObject *const *args, Py_ssize_t n, PyObject *names);
PyObject *blocking_send_fragment(PyObject *op, PyObject *args);
PyObject *blocking_ping(PyObject *op, PyObject *data);
PyObject *blocking_pong(PyObject *op, PyObject *data);
PyObject *blocking_close(PyObject *op, PyObject *args);
PyObject *blocking_abort(PyObject *op, PyObject *unused);

#endif
