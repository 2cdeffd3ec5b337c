//go:build unix

package dial

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The keys are encrypted by OpenSSL, in every way that it offers and Go can undo.
func TestEncryptedKeys(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		missing(t, "openssl")
	}
	const password = "pa\u00df \"word"
	ca := newAuthority(t, "root")
	cert, key := ca.issue(t, nil, "127.0.0.1")
	plain := writeFile(t, "plain.pem", key)
	run := func(args ...string) ([]byte, error) {
		out := filepath.Join(t.TempDir(), "key.pem")
		cmd := exec.Command(openssl, append(args, "-in", plain, "-out", out, "-passout", "pass:"+password)...)
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", cmd, err, text)
		}
		return readFile("key", out)
	}
	for _, args := range []string{
		"pkcs8 -topk8", "pkcs8 -topk8 -v2 aes-128-cbc", "pkcs8 -topk8 -v2 aes-192-cbc -v2prf hmacWithSHA1",
		"pkcs8 -topk8 -v2 des3", "pkcs8 -topk8 -v2prf hmacWithSHA512 -iter 5000", "pkcs8 -topk8 -scrypt",
		"ec -aes256", "ec -aes128", "ec -des3",
	} {
		t.Run(args, func(t *testing.T) {
			encrypted, err := run(strings.Fields(args)...)
			if err != nil {
				t.Fatal(err)
			}
			given := bytes.Clone(encrypted)
			got, err := NewTLS(TLSOptions{CertPEM: cert, KeyPEM: given, KeyPassword: []byte(password)})
			if err != nil {
				t.Fatal(err)
			}
			want, err := NewTLS(TLSOptions{CertPEM: cert, KeyPEM: key})
			if err != nil {
				t.Fatal(err)
			}
			k := want.base.Certificates[0].PrivateKey.(*ecdsa.PrivateKey)
			if !k.Equal(got.base.Certificates[0].PrivateKey) {
				t.Error("another key came out")
			}
			if !bytes.Equal(given, encrypted) {
				t.Error("the caller's key was changed")
			}
			for _, wrong := range []string{"", "secret2"} {
				_, err = NewTLS(TLSOptions{CertPEM: cert, KeyPEM: encrypted, KeyPassword: []byte(wrong)})
				if !errors.Is(err, errPassword) || strings.Contains(err.Error(), "secret") {
					t.Errorf("error %v, expected a wrong password", err)
				}
			}
			_, err = NewTLS(TLSOptions{CertPEM: cert, KeyPEM: encrypted})
			if err == nil || !strings.Contains(err.Error(), "encrypted, expected a password") {
				t.Errorf("error %v, expected that a password is missing", err)
			}
			both := append(bytes.Clone(cert), encrypted...)
			if _, err := NewTLS(TLSOptions{CertPEM: both, KeyPassword: []byte(password)}); err != nil {
				t.Errorf("key beside the chain: %v", err)
			}
		})
	}
	if _, err := NewTLS(TLSOptions{CertPEM: cert, KeyPEM: key, KeyPassword: []byte("not looked at")}); err != nil {
		t.Error(err)
	}
	for _, kind := range []string{"-iter 1", "-scrypt -scrypt_N 16 -scrypt_r 1 -scrypt_p 1"} {
		damage(t, run, password, kind)
	}
	encrypted, err := run("pkcs8", "-topk8", "-v1", "PBE-SHA1-3DES")
	if err != nil {
		t.Fatal(err)
	}
	_, err = NewTLS(TLSOptions{CertPEM: cert, KeyPEM: encrypted, KeyPassword: []byte(password)})
	if err == nil || !strings.Contains(err.Error(), "encrypted with 1.2.840.113549.1.12.1.3, expected PBES2") {
		t.Errorf("error %v, expected one about PBES2", err)
	}
}

func TestEncryptedRSAKey(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	//lint:ignore SA1019 see plainKey
	block, err := x509.EncryptPEMBlock(rand.Reader, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key), []byte("x"), x509.PEMCipherAES192)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := plainKey(pem.EncodeToMemory(block), []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := pem.Decode(plain); b.Type != "RSA PRIVATE KEY" || !bytes.Equal(b.Bytes, x509.MarshalPKCS1PrivateKey(key)) {
		t.Error("another key came out")
	}
	// One password in 256 leaves the padding whole: that is no key, either.
	for i := range 600 {
		if _, err := plainKey(pem.EncodeToMemory(block), []byte{'y', byte(i), byte(i >> 8)}); !errors.Is(err, errPassword) {
			t.Fatalf("error %v, expected a wrong password", err)
		}
	}
}

// damage changes each octet of the part that is read before the key is, which no
// checksum protects.
func damage(t *testing.T, run func(...string) ([]byte, error), password, kind string) {
	t.Helper()
	encrypted, err := run(append([]string{"pkcs8", "-topk8"}, strings.Fields(kind)...)...)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(encrypted)
	der, err := decryptPKCS8(block.Bytes, []byte(password))
	if err != nil || !isKey(der) {
		t.Fatalf("error %v", err)
	}
	for i := range len(block.Bytes) - len(der) {
		for _, bit := range []byte{1, 0x10, 0x80} {
			changed := bytes.Clone(block.Bytes)
			changed[i] ^= bit
			if got, err := decryptPKCS8(changed, []byte(password)); err == nil && !isKey(got) {
				t.Errorf("octet %d changed: what came out is no key", i)
			}
		}
	}
}
