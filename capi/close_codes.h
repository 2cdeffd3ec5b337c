// Code generated from libws/wire by go generate; DO NOT EDIT.
#define CLOSE_CODE_MAP(X) \
	X(0, 999, "unused") \
	X(1000, 1000, "normal closure") \
	X(1001, 1001, "going away") \
	X(1002, 1002, "protocol error") \
	X(1003, 1003, "unsupported data") \
	X(1004, 1004, "reserved") \
	X(1005, 1005, "no status received") \
	X(1006, 1006, "abnormal closure") \
	X(1007, 1007, "invalid frame payload data") \
	X(1008, 1008, "policy violation") \
	X(1009, 1009, "message too big") \
	X(1010, 1010, "mandatory extension") \
	X(1011, 1011, "internal error") \
	X(1012, 1012, "service restart") \
	X(1013, 1013, "try again later") \
	X(1014, 1014, "bad gateway") \
	X(1015, 1015, "TLS handshake") \
	X(1016, 2999, "unassigned") \
	X(3000, 3000, "unauthorized") \
	X(3001, 3002, "registered") \
	X(3003, 3003, "forbidden") \
	X(3004, 3007, "registered") \
	X(3008, 3008, "timeout") \
	X(3009, 3999, "registered") \
	X(4000, 4999, "private use") \
	X(5000, 65535, "invalid")
