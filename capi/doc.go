// Package main is the C interface of aiows, built as a shared library.
//
// It translates between include/aiows.h and libws and holds no protocol logic.
// The public functions are C (shim_*.c): they pass the gate (gate.c), bring the
// caller's structs to this library's size, and call the functions marked with
// //export, which the version script hides. Each of those starts with
// "defer guard(&rc)".
package main

//go:generate go run ./gen errors ../include/aiows.h ../libws/code.go
//go:generate go run ./gen close-codes close_codes.h
