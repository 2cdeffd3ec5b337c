module aiows

go 1.26.0

require (
	github.com/klauspost/compress v1.20.3
	github.com/mattn/go-pointer v0.0.1
	golang.org/x/crypto v0.58.0
	golang.org/x/net v0.62.0
	golang.org/x/sys v0.49.0
)

require golang.org/x/text v0.43.0 // indirect
