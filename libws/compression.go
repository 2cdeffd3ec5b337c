package libws

import "aiows/libws/deflate"

// deflateConfigs returns what o offers or accepts.
func (o *ConnOptions) deflateConfigs(check func(*deflate.Config) error) ([]deflate.Config, error) {
	if !o.Compression {
		return nil, nil
	}
	for i := range o.Deflate {
		if err := check(&o.Deflate[i]); err != nil {
			return nil, argument("deflate[%d]: %s", i, err)
		}
	}
	return nil, &Error{Code: CodeUnsupported, Text: "compression is not supported, expected 0"}
}
