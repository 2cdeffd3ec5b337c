package libws

// PanicHook, when set, hears of a panic in a goroutine of this package, which ends
// that goroutine alone. The C ABI answers every later call with an error then.
var PanicHook func(reason any)

// spawn runs f on a goroutine that cannot take the process down.
func spawn(f func()) {
	go func() {
		defer func() {
			if PanicHook == nil {
				return
			}
			if reason := recover(); reason != nil {
				PanicHook(reason)
			}
		}()
		f()
	}()
}
