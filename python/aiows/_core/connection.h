// connection.h: the methods of Connection.
#ifndef AIOWS_CONNECTION_H
#define AIOWS_CONNECTION_H

#include "core.h"

// --- connection.c
bool was_made(Connection *self); // RuntimeError before __init__

// --- calls.c
PyObject *connection_recv(PyObject *op, PyObject *const *args, Py_ssize_t n, PyObject *names);
PyObject *connection_recv_many(PyObject *op, PyObject *const *args, Py_ssize_t n, PyObject *names);
PyObject *connection_recv_part(PyObject *op, PyObject *unused);
PyObject *connection_stream(PyObject *op, PyObject *unused);
PyObject *connection_anext(PyObject *op);
PyObject *connection_send(PyObject *op, PyObject *const *args, Py_ssize_t n, PyObject *names);
PyObject *connection_send_nowait(PyObject *op, PyObject *const *args, Py_ssize_t n,
                                 PyObject *names);
PyObject *connection_send_fragment(PyObject *op, PyObject *args);
PyObject *connection_drain(PyObject *op, PyObject *unused);
PyObject *connection_take_turn(PyObject *op, PyObject *unused);
PyObject *connection_end_turn(PyObject *op, PyObject *unused);
PyObject *connection_ping(PyObject *op, PyObject *data);
PyObject *connection_pong(PyObject *op, PyObject *data);
PyObject *connection_close(PyObject *op, PyObject *args);
PyObject *connection_abort(PyObject *op, PyObject *unused);

// --- attached.c
PyObject *connection_feed(PyObject *op, PyObject *data);
PyObject *connection_feed_end(PyObject *op, PyObject *args);
PyObject *connection_take_socket(PyObject *op, PyObject *unused);
PyObject *connection_drain_output(PyObject *op, PyObject *object);

#endif
