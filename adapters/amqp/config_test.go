package amqp

import (
	"fmt"
	"strings"
	"testing"
)

func TestConfigIsChecked(t *testing.T) {
	tests := []struct {
		name   string
		change func(c *Config)
		want   string // key of the mistake, "" for none
	}{
		{"good", func(*Config) {}, ""},
		{"no address", func(c *Config) { c.Addresses = nil }, "addresses"},
		{"another scheme", func(c *Config) { c.Addresses[0] = "http://mq" }, "addresses[0]"},
		{"credentials in the address", func(c *Config) { c.Addresses[0] = "amqps://u:p@mq" }, "addresses[0]"},
		{"plain to another host", func(c *Config) { c.Addresses[0] = "amqp://mq.example" }, "addresses[0]"},
		{"plain where the network is trusted", func(c *Config) { c.Addresses[0], c.AllowPlaintext = "amqp://mq.example", true }, ""},
		{"plain on this machine", func(c *Config) { c.Addresses[0] = "amqp://127.0.0.1:5672" }, ""},
		{"a secret written out", func(c *Config) { c.Password = "hunter2" }, "password"},
		{"nobody", func(c *Config) { c.User, c.Password = "", "" }, "user"},
		{"a certificate alone", func(c *Config) { c.User, c.Password, c.TLS = "", "", TLS{Cert: "a", Key: "b"} }, ""},
		{"a certificate without a key", func(c *Config) { c.TLS.Cert = "a" }, "tls"},
		{"a negative time", func(c *Config) { c.Heartbeat = -1 }, "heartbeat"},
		{"a window too wide", func(c *Config) { c.Publish.Window = maxWindow + 1 }, "publish.window"},
		{"no queue to receive from", func(c *Config) { c.Receive.Queue = "" }, "receive.queue"},
		{"messages that would be lost", func(c *Config) { c.Queues[0].DeliveryLimit = 3 }, "queues[0].delivery_limit"},
		{"the oldest would be lost", func(c *Config) { c.Queues[0].MaxLength = 3 }, "queues[0].max_length"},
		{"at least once without what it needs", func(c *Config) { c.Queues[0].AtLeastOnce, c.Queues[0].DeadLetter = true, "x" }, "queues[0].at_least_once"},
		{"at least once", func(c *Config) { c.Queues[0].AtLeastOnce, c.Queues[0].DeadLetter, c.Queues[0].Reject = true, "x", true }, ""},
		{"an exchange without a name", func(c *Config) { c.Exchanges[0].Name = "" }, "exchanges[0].name"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := Config{
				Addresses: []string{"amqps://mq.example:5671/plant"}, User: "u", Password: "file:secret", Exchanges: []Exchange{{Name: "x"}},
				Queues: []Queue{{Name: "q"}}, Publish: &Publish{}, Receive: &Receive{Queue: "q"},
			}
			tt.change(&c)
			err := c.check()
			if (tt.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), ": "+tt.want+": ") {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if s := fmt.Sprintf("%v %+v", c, c); tt.want == "" && strings.Contains(s, "hunter2") {
				t.Errorf("the configuration shows a secret: %s", s)
			}
		})
	}
}
