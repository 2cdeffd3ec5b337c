package libws

// FDHook, when set before the first loop is made, hears of every descriptor that
// this package owns. The C ABI uses it to close them in a forked child. It is
// called from any goroutine and must not call this package.
var FDHook func(fd int, open bool)

func track(fd int) {
	if FDHook != nil {
		FDHook(fd, true)
	}
}

// untrack precedes the close, so that a number is never listed for its next owner.
func untrack(fd int) {
	if FDHook != nil {
		FDHook(fd, false)
	}
}
