package message

// MediaJOSE is the media type of a body that is encrypted (RFC 7515 section 9.2.1).
const MediaJOSE = "application/jose"

// Encrypter makes a body readable by its receiver alone. What it makes differs each time; media is the type of the body, and event the ID of
// the message that it is of, both of which the receiver gets with it. An error of kind Unavailable has the message wait.
type Encrypter interface {
	Encrypt(body []byte, media, event string) ([]byte, error)
}

// Decrypter reads what an Encrypter has made for an event; its error is of kind Integrity.
type Decrypter interface {
	Decrypt(text []byte, event string) (body []byte, media string, err error)
}
