package dial

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"

	"golang.org/x/crypto/scrypt"
)

// What a key file may cost. OpenSSL writes 2048 iterations, others a million; its
// scrypt takes 16 MiB.
const (
	maxIterations   = 10_000_000
	maxScryptMemory = 256 << 20
)

// encryptedKey is EncryptedPrivateKeyInfo (RFC 5958 section 3).
type encryptedKey struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

// pbes2 is PBES2-params (RFC 8018 appendix A.4).
type pbes2 struct {
	Derivation, Encryption pkix.AlgorithmIdentifier
}

// pbkdf2Params are of RFC 8018 appendix A.2.
type pbkdf2Params struct {
	Salt       []byte
	Iterations int
	KeyLength  int                      `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
}

// scryptParams are of RFC 7914 section 7.
type scryptParams struct {
	Salt      []byte
	N, R, P   int
	KeyLength int `asn1:"optional"`
}

var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidScrypt = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11591, 4, 11}
)

var keyHashes = map[string]func() hash.Hash{
	"":                    sha1.New, // the default of PBKDF2-params
	"1.2.840.113549.2.7":  sha1.New,
	"1.2.840.113549.2.8":  sha256.New224,
	"1.2.840.113549.2.9":  sha256.New,
	"1.2.840.113549.2.10": sha512.New384,
	"1.2.840.113549.2.11": sha512.New,
}

// keyCipher decrypts with a key of size octets in CBC mode.
type keyCipher struct {
	size int
	make func(key []byte) (cipher.Block, error)
}

var keyCiphers = map[string]keyCipher{
	"2.16.840.1.101.3.4.1.2":  {16, aes.NewCipher},
	"2.16.840.1.101.3.4.1.22": {24, aes.NewCipher},
	"2.16.840.1.101.3.4.1.42": {32, aes.NewCipher},
	"1.2.840.113549.3.7":      {24, des.NewTripleDESCipher},
}

var errMalformedKey = errors.New("the encrypted private key is malformed")

// decryptPKCS8 undoes PBES2 (RFC 8018 section 6.2), which is what PKCS #8 keys are
// encrypted with since 1999.
func decryptPKCS8(der, password []byte) ([]byte, error) {
	var k encryptedKey
	if !unmarshal(der, &k) {
		return nil, errMalformedKey
	}
	if !k.Algorithm.Algorithm.Equal(oidPBES2) {
		return nil, fmt.Errorf("the private key is encrypted with %s, expected PBES2, as openssl pkcs8 -topk8 writes it",
			k.Algorithm.Algorithm)
	}
	var p pbes2
	if !unmarshal(k.Algorithm.Parameters.FullBytes, &p) {
		return nil, errMalformedKey
	}
	c, ok := keyCiphers[p.Encryption.Algorithm.String()]
	if !ok {
		return nil, fmt.Errorf("the private key is encrypted with %s, expected AES or triple DES in CBC mode", p.Encryption.Algorithm)
	}
	key, err := deriveKey(&p.Derivation, password, c.size)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	block, err := c.make(key)
	if err != nil {
		return nil, err
	}
	var iv []byte
	n := block.BlockSize()
	if !unmarshal(p.Encryption.Parameters.FullBytes, &iv) || len(iv) != n || len(k.Data) == 0 || len(k.Data)%n != 0 {
		return nil, errMalformedKey
	}
	plain := make([]byte, len(k.Data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, k.Data)
	// A wrong password is told by the padding or, once in 256 times, by what is below it.
	padding := int(plain[len(plain)-1])
	if padding == 0 || padding > n || !isKey(plain[:len(plain)-padding]) {
		clear(plain)
		return nil, errPassword
	}
	return plain[:len(plain)-padding], nil
}

func deriveKey(a *pkix.AlgorithmIdentifier, password []byte, size int) ([]byte, error) {
	switch {
	case a.Algorithm.Equal(oidPBKDF2):
		var p pbkdf2Params
		if !unmarshal(a.Parameters.FullBytes, &p) || p.Iterations < 1 || p.KeyLength != 0 && p.KeyLength != size {
			return nil, errMalformedKey
		}
		if p.Iterations > maxIterations {
			return nil, fmt.Errorf("the private key wants %d iterations of PBKDF2, expected at most %d", p.Iterations, maxIterations)
		}
		h := keyHashes[p.PRF.Algorithm.String()]
		if h == nil {
			return nil, fmt.Errorf("the private key is encrypted with PBKDF2 over %s, expected HMAC with SHA-1 or SHA-2", p.PRF.Algorithm)
		}
		return pbkdf2.Key(h, string(password), p.Salt, p.Iterations, size)
	case a.Algorithm.Equal(oidScrypt):
		var p scryptParams
		if !unmarshal(a.Parameters.FullBytes, &p) || p.N < 2 || p.R < 1 || p.P < 1 || p.KeyLength != 0 && p.KeyLength != size {
			return nil, errMalformedKey
		}
		if p.P > 64 || p.R > maxScryptMemory/128/p.N {
			return nil, fmt.Errorf("the private key wants scrypt with N %d, r %d and p %d, expected at most %d MiB and p 64",
				p.N, p.R, p.P, maxScryptMemory>>20)
		}
		key, err := scrypt.Key(password, p.Salt, p.N, p.R, p.P, size)
		if err != nil {
			return nil, errMalformedKey
		}
		return key, nil
	}
	return nil, fmt.Errorf("the private key is encrypted with a key by %s, expected PBKDF2 or scrypt", a.Algorithm)
}

// unmarshal takes DER with nothing behind it.
func unmarshal(der []byte, into any) bool {
	rest, err := asn1.Unmarshal(der, into)
	return err == nil && len(rest) == 0
}
