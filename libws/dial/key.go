package dial

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

var errPassword = errors.New("wrong password for the private key")

func loadCertificate(o *TLSOptions) (*tls.Certificate, error) {
	fromFile, fromPEM := o.CertFile != "", len(o.CertPEM) != 0
	switch {
	case fromFile && fromPEM:
		return nil, fmt.Errorf("certificate file %q and certificate pem both given, expected one", o.CertFile)
	case o.KeyFile != "" && len(o.KeyPEM) != 0:
		return nil, fmt.Errorf("key file %q and key pem both given, expected one", o.KeyFile)
	case !fromFile && !fromPEM && (o.KeyFile != "" || len(o.KeyPEM) != 0):
		return nil, errors.New("a key without a certificate")
	case !fromFile && !fromPEM && o.KeyPassword != nil:
		return nil, errors.New("a key password without a key")
	case !fromFile && !fromPEM && o.Server:
		return nil, errors.New("a server context without a certificate")
	case !fromFile && !fromPEM:
		return nil, nil
	}

	var err error
	certName, chain := "certificate pem", o.CertPEM
	if fromFile {
		certName = fmt.Sprintf("certificate file %q", o.CertFile)
		if chain, err = readFile("certificate file", o.CertFile); err != nil {
			return nil, err
		}
		defer clear(chain) // the key may stand in it
	}
	keyName, key := certName, chain
	switch {
	case o.KeyFile != "":
		keyName = fmt.Sprintf("key file %q", o.KeyFile)
		if key, err = readFile("key file", o.KeyFile); err != nil {
			return nil, err
		}
		defer clear(key)
	case len(o.KeyPEM) != 0:
		keyName, key = "key pem", o.KeyPEM
	}
	plain, err := plainKey(key, o.KeyPassword)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", keyName, err)
	}
	defer clear(plain)
	cert, err := tls.X509KeyPair(chain, plain)
	if err != nil {
		name := certName
		if keyName != certName {
			name += " with " + keyName
		}
		return nil, fmt.Errorf("%s: %s", name, strings.TrimPrefix(err.Error(), "tls: "))
	}
	return &cert, nil
}

// plainKey returns the first private key of data in PEM, decrypted. The caller
// clears it.
func plainKey(data, password []byte) ([]byte, error) {
	for {
		var block *pem.Block
		block, data = pem.Decode(data)
		if block == nil {
			return nil, errors.New("no private key found, expected PEM")
		}
		if block.Type != "PRIVATE KEY" && !strings.HasSuffix(block.Type, " PRIVATE KEY") {
			continue
		}
		defer clear(block.Bytes)
		//lint:ignore SA1019 keys of this kind are in use, and nothing else reads them
		older := x509.IsEncryptedPEMBlock(block)
		if block.Type != "ENCRYPTED PRIVATE KEY" && !older {
			return pem.EncodeToMemory(block), nil
		}
		if password == nil {
			return nil, errors.New("the private key is encrypted, expected a password for it")
		}
		kind, decrypt := "PRIVATE KEY", decryptPKCS8
		if older {
			kind, decrypt = block.Type, func(_, password []byte) ([]byte, error) { return decryptPEM(block, password) }
		}
		der, err := decrypt(block.Bytes, password)
		if err != nil {
			return nil, err
		}
		defer clear(der)
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), nil
	}
}

// decryptPEM undoes the encryption that OpenSSL had before PKCS #8 (RFC 1421). It
// holds no checksum: what a wrong password yields is told by its form.
func decryptPEM(block *pem.Block, password []byte) ([]byte, error) {
	//lint:ignore SA1019 see plainKey
	der, err := x509.DecryptPEMBlock(block, password)
	if errors.Is(err, x509.IncorrectPasswordError) {
		return nil, errPassword
	}
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "x509: "))
	}
	if !isKey(der) {
		clear(der)
		return nil, errPassword
	}
	return der, nil
}

func isKey(der []byte) bool {
	if _, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return true
	}
	if _, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return true
	}
	_, err := x509.ParseECPrivateKey(der)
	return err == nil
}
