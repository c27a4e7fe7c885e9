package erpmock

import (
	"errors"
	"net/http"
	"net/url"

	"holdfast/internal/message"
)

// open reads a body that is encrypted to the ERP, with the header that it has for whoever reads it. An ERP that has a key takes none that is
// not. The header Ce-Id names the message.
func (c *call) open(body []byte) ([]byte, http.Header, error) {
	if c.m.cfg.Decrypter == nil || len(body) == 0 {
		return body, c.r.Header, nil
	}
	if c.r.Header.Get("Content-Type") != message.MediaJOSE {
		return body, c.r.Header, errors.New("what it carries is not encrypted")
	}
	var plain []byte
	var media string
	id, err := url.PathUnescape(c.r.Header.Get("Ce-Id"))
	if err == nil {
		plain, media, err = c.m.cfg.Decrypter.Decrypt(body, id)
	}
	if err != nil {
		return body, c.r.Header, err
	}
	c.entry.Encrypted = true
	header := c.r.Header.Clone()
	header.Set("Content-Type", media)
	return plain, header, nil
}
