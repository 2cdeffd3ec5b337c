package main

// #include "aiows.h"
import "C"

import (
	"unsafe"

	"aiows/libws"
	"aiows/libws/deflate"
)

// What libws and aiows.h both say has to agree, or this file does not compile: an
// index that is not 0 is out of range.
var (
	cEvent  C.aiows_event
	goEvent libws.Event

	_ = [1]struct{}{}[unsafe.Sizeof(cEvent)-64]
	_ = [1]struct{}{}[unsafe.Sizeof(goEvent)-64]

	_ = [1]struct{}{}[unsafe.Offsetof(cEvent._type)-unsafe.Offsetof(goEvent.Type)]
	_ = [1]struct{}{}[unsafe.Offsetof(cEvent.kind)-unsafe.Offsetof(goEvent.Kind)]
	_ = [1]struct{}{}[unsafe.Offsetof(cEvent.flags)-unsafe.Offsetof(goEvent.Flags)]
	_ = [1]struct{}{}[unsafe.Offsetof(cEvent.conn)-unsafe.Offsetof(goEvent.Conn)]
	_ = [1]struct{}{}[unsafe.Offsetof(cEvent.user_data)-unsafe.Offsetof(goEvent.UserData)]
	_ = [1]struct{}{}[unsafe.Offsetof(cEvent.data)-unsafe.Offsetof(goEvent.Data)]
	_ = [1]struct{}{}[unsafe.Offsetof(cEvent.len)-unsafe.Offsetof(goEvent.Len)]
	_ = [1]struct{}{}[unsafe.Offsetof(cEvent.time_ns)-unsafe.Offsetof(goEvent.Time)]
	_ = [1]struct{}{}[unsafe.Offsetof(cEvent.code)-unsafe.Offsetof(goEvent.Code)]
	_ = [1]struct{}{}[unsafe.Offsetof(cEvent.close_sent)-unsafe.Offsetof(goEvent.CloseSent)]
	_ = [1]struct{}{}[unsafe.Offsetof(cEvent.request)-unsafe.Offsetof(goEvent.Request)]

	_ = [1]struct{}{}[unsafe.Sizeof(cEvent._type)-unsafe.Sizeof(goEvent.Type)]
	_ = [1]struct{}{}[unsafe.Sizeof(cEvent.kind)-unsafe.Sizeof(goEvent.Kind)]
	_ = [1]struct{}{}[unsafe.Sizeof(cEvent.flags)-unsafe.Sizeof(goEvent.Flags)]
	_ = [1]struct{}{}[unsafe.Sizeof(cEvent.conn)-unsafe.Sizeof(goEvent.Conn)]
	_ = [1]struct{}{}[unsafe.Sizeof(cEvent.user_data)-unsafe.Sizeof(goEvent.UserData)]
	_ = [1]struct{}{}[unsafe.Sizeof(cEvent.data)-unsafe.Sizeof(goEvent.Data)]
	_ = [1]struct{}{}[unsafe.Sizeof(cEvent.len)-unsafe.Sizeof(goEvent.Len)]
	_ = [1]struct{}{}[unsafe.Sizeof(cEvent.time_ns)-unsafe.Sizeof(goEvent.Time)]
	_ = [1]struct{}{}[unsafe.Sizeof(cEvent.code)-unsafe.Sizeof(goEvent.Code)]
	_ = [1]struct{}{}[unsafe.Sizeof(cEvent.close_sent)-unsafe.Sizeof(goEvent.CloseSent)]
	_ = [1]struct{}{}[unsafe.Sizeof(cEvent.request)-unsafe.Sizeof(goEvent.Request)]

	_ = [1]struct{}{}[C.AIOWS_EV_OPEN-libws.EventOpen]
	_ = [1]struct{}{}[C.AIOWS_EV_FAILED-libws.EventFailed]
	_ = [1]struct{}{}[C.AIOWS_EV_MESSAGE-libws.EventMessage]
	_ = [1]struct{}{}[C.AIOWS_EV_PING-libws.EventPing]
	_ = [1]struct{}{}[C.AIOWS_EV_PONG-libws.EventPong]
	_ = [1]struct{}{}[C.AIOWS_EV_CLOSING-libws.EventClosing]
	_ = [1]struct{}{}[C.AIOWS_EV_CLOSED-libws.EventClosed]
	_ = [1]struct{}{}[C.AIOWS_EV_WRITABLE-libws.EventWritable]
	_ = [1]struct{}{}[C.AIOWS_EV_REQUEST-libws.EventRequest]
	_ = [1]struct{}{}[C.AIOWS_EV_GONE-libws.EventGone]
	_ = [1]struct{}{}[C.AIOWS_EV_LOG-libws.EventLog]
	_ = [1]struct{}{}[C.AIOWS_EV_OUTPUT-libws.EventOutput]
	_ = [1]struct{}{}[C.AIOWS_EV_INPUT-libws.EventInput]
	_ = [1]struct{}{}[C.AIOWS_EV_SOCKET-libws.EventSocket]
	_ = [1]struct{}{}[C.AIOWS_EV_TUNNEL-libws.EventTunnel]

	_ = [1]struct{}{}[C.AIOWS_EVF_FIN-libws.FlagFin]
	_ = [1]struct{}{}[C.AIOWS_EVF_CLEAN-libws.FlagClean]
	_ = [1]struct{}{}[C.AIOWS_EVF_PEER-libws.FlagPeer]
	_ = [1]struct{}{}[C.AIOWS_EVF_BLOCK-libws.FlagBlock]

	_ = [1]struct{}{}[C.AIOWS_WINDOW_ANY-deflate.AnyWindow]

	_ = [1]struct{}{}[C.AIOWS_TEXT-libws.Text]
	_ = [1]struct{}{}[C.AIOWS_BINARY-libws.Binary]

	_ = [1]struct{}{}[C.AIOWS_COMPRESS-libws.SendCompress]
	_ = [1]struct{}{}[C.AIOWS_NO_COMPRESS-libws.SendNoCompress]
	_ = [1]struct{}{}[C.AIOWS_TRY-libws.SendTry]
	_ = [1]struct{}{}[C.AIOWS_FORCE-libws.SendForce]

	_ = [1]struct{}{}[C.AIOWS_LOG_ERROR-libws.LogError]
	_ = [1]struct{}{}[C.AIOWS_LOG_INFO-libws.LogInfo]
	_ = [1]struct{}{}[C.AIOWS_LOG_DEBUG-libws.LogDebug]

	_ = [1]struct{}{}[C.AIOWS_CONNECTING-libws.StateConnecting]
	_ = [1]struct{}{}[C.AIOWS_OPEN-libws.StateOpen]
	_ = [1]struct{}{}[C.AIOWS_CLOSING-libws.StateClosing]
	_ = [1]struct{}{}[C.AIOWS_CLOSED-libws.StateClosed]

	_ = [1]struct{}{}[C.AIOWS_ERR_AGAIN-libws.CodeAgain]
	_ = [1]struct{}{}[C.AIOWS_ERR_PROXY-libws.CodeProxy]
)
