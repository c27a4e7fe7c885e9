package access

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // RFC 6238: what authenticator programs compute
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"time"
)

const (
	totpEvery  = 30 // seconds that a code is good for
	totpSecret = 20 // bytes
	recoveries = 8  // codes for who has lost the device
)

func base32Of(b []byte) string {
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b)
}

// totp is the code of a step (RFC 6238, six digits).
func totp(secret []byte, step int64) string {
	mac := hmac.New(sha1.New, secret)
	_ = binary.Write(mac, binary.BigEndian, step) // a hash takes everything
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 0xf
	return fmt.Sprintf("%06d", (binary.BigEndian.Uint32(sum[at:at+4])&0x7fffffff)%1_000_000)
}

// stepOf finds the step that a code is of: this one or the one before, since a person takes time to type. 0 if it is of neither.
func stepOf(secret []byte, code string, now time.Time) int64 {
	this := now.Unix() / totpEvery
	found := int64(0)
	for _, step := range []int64{this - 1, this} {
		if subtle.ConstantTimeCompare([]byte(totp(secret, step)), []byte(code)) == 1 {
			found = step
		}
	}
	return found
}

// newSecret is the secret of a device.
func newSecret() []byte {
	secret := make([]byte, totpSecret)
	_, _ = rand.Read(secret) // which does not fail
	return secret
}

// otpauth is the secret as authenticator programs take it in.
func otpauth(plant, name string, secret []byte) string {
	v := url.Values{"secret": {base32Of(secret)}, "issuer": {"Holdfast " + plant}}
	return "otpauth://totp/" + url.PathEscape("Holdfast "+plant+":"+name) + "?" + strings.ReplaceAll(v.Encode(), "+", "%20")
}

// newRecovery makes the recovery codes: as they are shown, once, and as they are kept. Each has 80 bits, so that a plain hash is enough.
func newRecovery() (shown, kept []string) {
	for range recoveries {
		b := make([]byte, 10)
		_, _ = rand.Read(b) // which does not fail
		code := strings.ToLower(base32Of(b))
		shown = append(shown, code[:4]+"-"+code[4:8]+"-"+code[8:12]+"-"+code[12:])
		kept = append(kept, recoveryHash(code))
	}
	return shown, kept
}

// recoveryHash is what is kept of a recovery code, however it was typed.
func recoveryHash(code string) string {
	sum := sha256.Sum256([]byte(strings.ToLower(strings.NewReplacer("-", "", " ", "").Replace(code))))
	return hex.EncodeToString(sum[:])
}
