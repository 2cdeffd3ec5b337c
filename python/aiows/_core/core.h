// core.h: what the files of the extension aiows._core share.
//
// The extension knows asyncio's task protocol and aiows.h, nothing of URIs,
// headers or the names of exceptions: those are the Python modules' above it.
#ifndef AIOWS_CORE_H
#define AIOWS_CORE_H

#include <pyconfig.h>
#ifdef Py_GIL_DISABLED
#error "aiows does not support free-threaded builds of Python yet"
#endif

// The oldest supported headers: those of 3.12 and later leave out reference counts
// that 3.11 needs.
#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030b0000
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <stdbool.h>
#include <stdint.h>

#include "aiows.h"
#include "library.h"

// UNUSED marks the parameter that a CPython signature wants and nothing reads.
#define UNUSED __attribute__((unused))

// replace puts value, which it steals, into *slot.
static inline void replace(PyObject **slot, PyObject *value)
{
	PyObject *old = *slot;
	*slot = value;
	Py_XDECREF(old);
}

// call_one is PyObject_CallOneArg, which the limited API lacks.
static inline PyObject *call_one(PyObject *function, PyObject *argument)
{
	return PyObject_CallFunctionObjArgs(function, argument, NULL);
}

// CORE_NAMES are the attribute names looked up at run time, interned once.
#define CORE_NAMES(X)                                                                              \
	X(call_soon)                                                                               \
	X(call_exception_handler)                                                                  \
	X(is_closed)                                                                               \
	X(remove_reader)                                                                           \
	X(context)                                                                                 \
	X(run)                                                                                     \
	X(code)                                                                                    \
	X(os_errno)                                                                                \
	X(close_code)                                                                              \
	X(http_status)                                                                             \
	X(message)                                                                                 \
	X(_on_open)                                                                                \
	X(_on_failed)                                                                              \
	X(_on_ping)                                                                                \
	X(_on_pong)                                                                                \
	X(_on_log)                                                                                 \
	X(_on_output)                                                                              \
	X(_on_input)                                                                               \
	X(_on_socket)                                                                              \
	X(_on_tunnel)                                                                              \
	X(_on_closing)                                                                             \
	X(_on_closed)                                                                              \
	X(_on_finished)                                                                            \
	X(_closed_exception)                                                                       \
	X(_concurrency_error)                                                                      \
	X(_send_parts)                                                                             \
	X(_map_error)

// State is what one module object owns.
typedef struct State {
	PyTypeObject *loop_type;
	PyTypeObject *connection_type;
	PyTypeObject *blocking_type;
	PyTypeObject *awaitable_type;
	PyTypeObject *waiter_type;
	PyTypeObject *tls_type;
	PyTypeObject *listener_type;
	PyTypeObject *request_type;
	PyObject *error_type;
	PyObject *closed_ok; // set_closed_ok: ends async for
	// Of asyncio and contextvars, imported by the first Loop.
	PyObject *cancelled_error;
	PyObject *invalid_state_error;
	PyObject *running_loop; // asyncio._get_running_loop
	PyObject *current_tasks; // the dict of them before 3.14, else NULL
	PyObject *current_task; // asyncio.current_task
	PyObject *copy_context;
	PyObject *task_type; // asyncio.Task
	PyObject *done_future; // an asyncio.Future whose result is None
	bool asyncio_imported;
#define X(name) PyObject *s_##name;
	CORE_NAMES(X)
#undef X
} State;

typedef struct Loop Loop;
typedef struct Connection Connection;
typedef struct Awaitable Awaitable;
typedef struct Waiter Waiter;
typedef struct Listener Listener;
typedef struct Request Request;

enum { EVENTS_PER_POLL = 256, SPARES = 8 };

struct Loop {
	PyObject ob_base;
	State *state;
	PyObject *asyncio_loop; // a weak reference, so that a map from loops to Loops empties
	aiows_loop *handle; // NULL: closed
	aiows_event *events; // EVENTS_PER_POLL of them
	size_t n_events; // in the batch in hand
	size_t next_event; // first one that was not dispatched
	uint64_t batch_bytes;
	unsigned long thread; // that ran the asyncio loop when last asked, or 0
	uint32_t quick; // completions since a task was last suspended
	int64_t started; // when ready began with a batch, 0 outside and with one event
	int8_t can_step; // 1, 0, or -1: not asked yet in this call of ready
	bool dispatching; // inside ready
	bool ran; // the event in hand ran a callback or a step
	bool opened; // in this call of loop_ready: a task has to start first
	bool closed; // close was called; the handle may live until ready returns
	int32_t gave_up; // why the library refuses this loop for good, or 0
	bool idle_due; // the last connection or listener went
	// Finished ones for the next recv, send or suspension of any connection: they are
	// in the processor's cache, a connection's own would not be.
	uint8_t n_awaitables;
	uint8_t n_waiters;
	Awaitable *awaitables[SPARES];
	Waiter *waiters[SPARES];
	Connection *with_raw; // owned: those that got raw messages with the batch in hand
	Connection *connections; // all that have a handle; the registered ones are owned
	Listener *listeners; // owned until closed and the batch in hand is done
	Request *requests; // all there are, borrowed
	Py_ssize_t n_registered;
	Py_ssize_t n_listening;
	PyObject *on_idle; // or NULL
	PyObject *weakrefs;
};

// Once Close is sent the queue takes about as much beyond its mark: a paused connection
// drops what still arrives, so as to reach the peer's Close.
enum { LATE_BYTES = 2 << 20, LATE_COST = 64 };

// Message is one element of a connection's queue. A long one of the batch in hand
// becomes an object when it is received, while ready runs, so that those which a task
// takes one by one pass through the same memory: the processor has it at hand.
typedef struct Message {
	PyObject *object; // str or bytes, (data, fin, text) for a part; NULL: still in its event
	union {
		int64_t time_ns;
		const aiows_event *event;
	} from;
} Message;

// The order follows use: what each message touches comes first.
struct Connection {
	PyObject ob_base;
	State *state; // NULL before __init__
	Loop *loop; // owned, and kept until dealloc
	aiows_conn *handle;
	PyObject *on_message; // or NULL
	uint8_t status; // AIOWS_CONNECTING to AIOWS_CLOSED, as far as dispatched
	bool registered;
	bool paused;
	bool writable_owed;
	bool text_as_bytes;
	bool muted; // on_message failed, or a message was lost: the rest is dropped
	bool listed; // in loop->with_raw
	bool parted; // the newest one that became an object is a part that others follow
	bool streaming; // parts of the message at the front were handed out alone
	bool streams; // parts were asked for
	uint32_t count; // of messages in the ring
	uint32_t raw; // of those that are not objects yet, the newest ones
	uint32_t head;
	uint32_t ring_mask;
	Message *ring; // a power of two of them, or NULL
	Awaitable *receiver; // the suspended or scheduled recv, borrowed
	Waiter *waiter; // its waiter while attached
	int64_t received_at;
	uint32_t high; // pause above it; UINT32_MAX: never
	uint32_t low; // resume at or below it
	size_t late; // bytes queued since the queue was short, after Close
	uint64_t writable_epoch; // WRITABLE events dispatched
	PyObject *parts; // list of bytes: of a message that was not complete for recv, or NULL
	uint32_t turns; // of whoever sends a message in parts, and of the sends that wait
	Waiter *senders; // attached waiters of send and drain, oldest first
	Waiter *last_sender;
	PyObject *run; // run of the context captured for on_message
	PyObject *last_info; // of a closed Loop's connection
	PyObject *last_stats;
	PyObject *last_error;
	PyObject *weakrefs;
	Connection *next_raw; // of loop->with_raw
	Connection *previous; // of loop->connections
	Connection *next;
};

// Those up to OP_PART receive.
enum { OP_RECV, OP_NEXT, OP_MANY, OP_PART, OP_SEND, OP_DRAIN, OP_TURN };

// Of an awaitable that needs the turn to send: it waits for it, or has it.
enum { TURN_NONE, TURN_AWAITED, TURN_TAKEN };

struct Awaitable {
	PyObject ob_base;
	Connection *conn; // NULL once finished
	PyObject *payload; // OP_SEND: the message
	Waiter *waiter;
	uint8_t op;
	uint8_t phase;
	uint8_t kind; // OP_SEND: AIOWS_TEXT or AIOWS_BINARY
	int8_t decode; // OP_RECV: 1, 0, or -1: as it came
	uint8_t turn; // TURN_*
	uint32_t most; // OP_MANY: messages
};

// Waiter is the future that a task awaits: it has one callback, which the reader
// callback of the loop may call directly.
enum { WAITER_PENDING, WAITER_DONE, WAITER_CANCELLED };
enum { PLACE_NONE, PLACE_RECEIVER, PLACE_SENDER };

#define EPOCH_TURN (UINT64_MAX - 2) // of a waiter that end_turn wakes
#define EPOCH_CLOSED (UINT64_MAX - 1) // of a waiter that only CLOSED wakes
#define EPOCH_ALL UINT64_MAX // wakes every one

struct Waiter {
	PyObject ob_base;
	Connection *conn; // NULL while spare
	PyObject *callback;
	PyObject *context;
	uint8_t status;
	uint8_t place;
	bool entered; // the task was stepped: with the result, an exception or close
	char blocking; // _asyncio_future_blocking
	PyObject *cancel_message;
	// PLACE_SENDER only:
	uint64_t epoch; // the connection's writable_epoch, or EPOCH_CLOSED
	Waiter *previous; // of conn->senders
	Waiter *next;
};

struct Listener {
	PyObject ob_base;
	Loop *loop;
	aiows_listener *handle; // NULL: closed
	PyObject *on_request;
	Listener *next; // of loop->listeners
	int32_t port;
};

typedef struct TLS {
	PyObject ob_base;
	aiows_tls *handle;
} TLS;

// --- module.c
extern PyModuleDef core_module;
State *state_of_base(PyTypeObject *type); // of the first base that is ours
int import_asyncio(State *state);
bool is_finalizing(void); // the process ends: Go must not be entered

// --- errors.c
PyObject *error_type_new(void);
PyObject *error_new(State *state, int32_t code, const aiows_error *error);
void raise_error(State *state, int32_t code, const aiows_error *error);
void raise_conn_error(Connection *conn, int32_t code); // by way of _map_error
void raise_object(PyObject *exception); // steals; NULL: already raised
void raise_closed(Connection *conn);
void raise_concurrency(Connection *conn);
PyObject *text_lenient(const char *data, Py_ssize_t len); // UTF-8 with surrogateescape

// --- options.c
typedef struct Field {
	const char *name;
	uint8_t type;
	uint16_t offset;
	uint16_t count; // FIELD_STRINGS, _HEADERS, _DEFLATE: offset of the number of them
} Field;

enum {
	FIELD_INT32,
	FIELD_UINT16,
	FIELD_UINT32,
	FIELD_INT64,
	FIELD_UINT64,
	FIELD_BOOL, // int32_t
	FIELD_FLAG, // uint8_t
	FIELD_STRING,
	FIELD_SECRET, // bytes
	FIELD_STRINGS,
	FIELD_HEADERS,
	FIELD_BYTES, // pointer and length, for reading only
	FIELD_ATTEMPTS, // aiows_attempt *, for reading only
	FIELD_TLS,
	FIELD_DEFLATE,
};

// Scratch keeps what an option struct points at alive.
typedef struct Scratch {
	PyObject *objects; // list
	void *blocks[8];
	int n_blocks;
} Scratch;

extern const Field conn_fields[];
extern const Field connect_fields[];
extern const Field listen_fields[];
extern const Field accept_fields[];
extern const Field tls_fields[];
int scratch_init(Scratch *scratch);
void scratch_free(Scratch *scratch);
// set_fields sets the options named in kwargs, each in the first table that has it;
// None leaves the default. tables and targets end with NULL.
int set_fields(State *state, Scratch *scratch, PyObject *kwargs, const Field *const *tables,
               void *const *targets);
int headers_from_object(Scratch *scratch, PyObject *object, const aiows_header **out, size_t *n);
const char *text_from_object(Scratch *scratch, PyObject *object);
// start_connection returns what function, aiows_connect or aiows_attach, did with the
// options named in kwargs, or SEND_RAISED with an exception set.
int start_connection(__typeof__(lib.connect) function, State *state, aiows_loop *loop,
                     PyObject *uri, PyObject *kwargs, uint64_t user_data, aiows_conn **handle,
                     aiows_error *error);

// --- info.c
PyObject *headers_to_list(const aiows_header *headers, size_t n);
PyObject *strings_to_list(const char *const *strings, size_t n);
PyObject *info_of(State *state, aiows_conn *handle);
PyObject *stats_of(State *state, aiows_conn *handle);
PyObject *error_of(State *state, aiows_conn *handle);
PyObject *conn_info(Connection *conn);
PyObject *conn_stats(Connection *conn);
PyObject *conn_error(Connection *conn);
void conn_remember(Connection *conn); // keeps the three above, as the handle ends
PyObject *loop_stats(Loop *loop);

// --- loop.c
extern PyType_Spec loop_spec;
PyObject *loop_asyncio(Loop *loop); // new reference; RuntimeError when it is gone
int loop_check(Loop *loop);
void loop_add(Loop *loop, Connection *conn); // before the handle exists
void loop_forget(Loop *loop, Connection *conn); // drops the registration
void loop_unlink(Loop *loop, Connection *conn);
void loop_finish_close(Loop *loop);
void loop_drop(Loop *loop, bool wake);
void loop_wake(Loop *loop); // has ready called again
int loop_call_soon(Loop *loop, PyObject *callback, PyObject *argument, PyObject *context);

// --- dispatch.c
int64_t now_ns(void); // CLOCK_MONOTONIC
PyObject *loop_ready(Loop *loop, PyObject *unused);
int report_exception(Loop *loop, PyObject *subject, const char *message);

// --- connection.c
extern PyType_Spec connection_spec;
int queue_marks(PyObject *high, PyObject *low, uint32_t *high_out, uint32_t *low_out);

// --- blocking.c
extern PyType_Spec blocking_spec;

// --- message.c
PyObject *message_of(const aiows_event *event, bool as_bytes);
PyObject *message_decode(PyObject *message, int decode); // steals; 1, 0, or -1: as it is
PyObject *message_new(Connection *conn, const aiows_event *event);
int queue_message(Connection *conn, const aiows_event *event);
void queue_convert(Loop *loop); // the messages that point into the batch in hand
PyObject *queue_pop(Connection *conn);
// message_next returns the next whole message. NULL without an exception: there is none.
PyObject *message_next(Connection *conn);
// messages_next returns a list of all whole messages that are queued, up to most; NULL as above.
PyObject *messages_next(Connection *conn, uint32_t most);
PyObject *part_next(Connection *conn); // (data, fin, text) of the next part; one is there

// Payload is the bytes of a str or bytes-like object, in place.
typedef struct Payload {
	Py_buffer buffer;
	const char *data;
	Py_ssize_t len;
	bool exported;
} Payload;

int message_kind(PyObject *message, PyObject *text);
int payload_open(Payload *payload, PyObject *object);
void payload_close(Payload *payload);

// send_payload and send_message return what aiows_send did, or SEND_RAISED with an
// exception set.
enum { SEND_RAISED = INT32_MIN };
int send_payload(aiows_conn *handle, PyObject *payload, int kind, uint32_t flags, size_t *len_out);
int send_message(Connection *conn, PyObject *payload, int kind, uint32_t flags, size_t *len_out);

// --- methods.c
#define HOOK_DOC(name, arguments) name "($self" arguments ", /)\n--\n\n"
PyObject *hook_nothing(PyObject *op, PyObject *unused);
PyObject *hook_map_error(PyObject *op, PyObject *error);
PyObject *hook_send_parts(PyObject *op, PyObject *args);
#define MEMBER(type, name, kind, field, doc) { name, kind, offsetof(type, field), READONLY, doc }
// COMMON_MEMBERS are the attributes of both that are members of their structs.
#define COMMON_MEMBERS(type)                                                                       \
	MEMBER(type, "state", T_UBYTE, status, "0 connecting, 1 open, 2 closing, 3 closed."),      \
		MEMBER(type, "received_at", T_LONGLONG, received_at,                               \
		       "CLOCK_MONOTONIC ns of the socket read of the last message returned."),     \
		MEMBER(type, "paused", T_BOOL, paused, "Whether the queue holds the peer back."),  \
		MEMBER(type, "_streaming", T_BOOL, streaming,                                      \
		       "Whether a message was begun by _recv_part() and not ended."),              \
		MEMBER(type, "__weaklistoffset__", T_PYSSIZET, weakrefs, NULL)
PyObject *buffered_of(State *state, aiows_conn *handle, size_t more);
// keywords_from reads arguments by position or name; those that are not given stay as they
// are. Without a second keyword there is one.
int keywords_from(PyObject *const *args, Py_ssize_t n, PyObject *names,
                  const char *const keywords[2], PyObject **values);
int message_from(PyObject *const *args, Py_ssize_t n, PyObject *names, PyObject **message,
                 PyObject **text);
int decode_from_object(PyObject *value, int *decode); // 1, 0, or -1 for NULL and None
// send_fragment and send_control return what the library did, without when handle is NULL,
// or SEND_RAISED.
int send_fragment(aiows_conn *handle, int32_t without, int kind, int fin, PyObject *data);
int send_control(aiows_conn *handle, int32_t without, __typeof__(lib.ping) function,
                 PyObject *data);

// --- awaitable.c
extern PyType_Spec awaitable_spec;
PyObject *awaitable_new(Connection *conn, int op);

// --- waiter.c
extern PyType_Spec waiter_spec;
Waiter *waiter_new(Connection *conn);
void waiter_attach_receiver(Waiter *waiter, Awaitable *receiver);
void waiter_attach_sender(Waiter *waiter, uint64_t epoch);
void waiter_detach(Waiter *waiter);
void waiter_recycle(Waiter *waiter); // steals
int waiter_wake(Waiter *waiter, bool step);
int wake_receiver(Connection *conn, bool step);
int wake_senders(Connection *conn, uint64_t epoch, bool step);
void end_turn(Connection *conn); // lets the next one send
void leave_turn(Awaitable *self); // gives up the turn, or its place among those that wait for it

// --- listener.c
extern PyType_Spec listener_spec;
extern PyType_Spec request_spec;
PyObject *listener_new(Loop *loop, PyObject *args, PyObject *kwargs);
int listener_dispatch(Listener *listener, aiows_request *request);
int request_gone(Loop *loop, aiows_request *handle);

// --- tls.c
extern PyType_Spec tls_spec;

#endif
