package amqp

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"holdfast/adapters/adaptertest"
	"holdfast/adapters/amqp/amqptest"
	"holdfast/internal/port"
)

// proxy stands between a link and its broker, understands enough of AMQP to see messages and confirms, and does with the next message
// what the suite wants.
type proxy struct {
	broker  string
	address string

	mu       sync.Mutex
	listener net.Listener
	fault    adaptertest.Fault
	attempts map[string]int
	conns    map[*net.TCPConn]bool
	down     bool
	accepted atomic.Int64
}

// cut closes every connection, and gives how many there were so far.
func (p *proxy) cut() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
	return p.accepted.Load()
}

func newProxy(t *testing.T, b *amqptest.Broker) *proxy {
	t.Helper()
	u, err := url.Parse(b.Address)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{broker: u.Host, attempts: map[string]int{}, conns: map[*net.TCPConn]bool{}}
	if p.listener, err = port.Listen(); err != nil { // meet listens on it again
		t.Fatal(err)
	}
	p.address = p.listener.Addr().String()
	go p.serve(p.listener)
	t.Cleanup(p.stop)
	return p
}

func (p *proxy) serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		p.accepted.Add(1)
		go p.pass(c.(*net.TCPConn))
	}
}

// stop closes the door and every connection.
func (p *proxy) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
	_ = p.listener.Close()
	for c := range p.conns {
		_ = c.Close()
	}
}

// meet sets the fault; it opens the door again.
func (p *proxy) meet(t *testing.T, f adaptertest.Fault) {
	t.Helper()
	if f == adaptertest.Down {
		p.stop()
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
	if p.down {
		l, err := net.Listen("tcp", p.address)
		if err != nil {
			t.Fatal(err)
		}
		p.listener, p.down = l, false
		go p.serve(l)
	}
}

// take counts an attempt and gives the fault that it meets, once.
func (p *proxy) take(id string) adaptertest.Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.attempts[id]++
	f := p.fault
	p.fault = adaptertest.None
	return f
}

func (p *proxy) count(id string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.attempts[id]
}

func (p *proxy) pass(c *net.TCPConn) {
	s, err := net.Dial("tcp", p.broker)
	if err != nil {
		_ = c.Close()
		return
	}
	broker := s.(*net.TCPConn)
	p.mu.Lock()
	p.conns[c], p.conns[broker] = true, true
	late := p.down // since it was accepted
	p.mu.Unlock()
	if late {
		_, _ = c.Close(), broker.Close()
		return
	}
	acked, hang := make(chan struct{}, 1<<12), make(chan struct{})
	go p.back(broker, c, acked, hang)
	p.forth(c, broker, acked, hang)
}

// forth passes what the client sends, frame by frame, and commits the fault when a message is whole.
func (p *proxy) forth(c, broker *net.TCPConn, acked, hang chan struct{}) {
	defer broker.Close()
	in := bufio.NewReader(c)
	head := make([]byte, 8) // "AMQP0091"
	if _, err := io.ReadFull(in, head); err != nil {
		return
	}
	_, _ = broker.Write(head)
	var message []byte
	id := ""
	for {
		f, err := readFrame(in)
		if err != nil {
			return
		}
		message = append(message, f...)
		switch {
		case f[0] == 1 && binary.BigEndian.Uint32(f[7:]) == 60<<16|40: // basic.publish
			continue
		case f[0] == 2:
			id = messageID(f[7:])
			continue
		case f[0] != 3:
			_, _ = broker.Write(message)
			message = nil
			continue
		}
		fault := p.take(id)
		switch fault {
		case adaptertest.ResetAfter, adaptertest.CloseAfter, adaptertest.HangAfter:
			for len(acked) > 0 {
				<-acked
			}
			close(hang)
			_, _ = broker.Write(message)
			<-acked
		}
		switch fault {
		case adaptertest.ResetBefore, adaptertest.ResetAfter:
			_ = c.SetLinger(0)
			_ = c.Close()
			return
		case adaptertest.CloseBefore, adaptertest.CloseAfter:
			_ = c.Close()
			return
		case adaptertest.HangBefore, adaptertest.HangAfter:
			_, _ = io.Copy(io.Discard, in)
			return
		}
		_, _ = broker.Write(message)
		message = nil
	}
}

// back passes what the broker sends until it shall not, and tells of confirms.
func (p *proxy) back(broker, c *net.TCPConn, acked, hang chan struct{}) {
	defer c.Close()
	in := bufio.NewReader(broker)
	for {
		f, err := readFrame(in)
		if err != nil {
			return
		}
		if f[0] == 1 && binary.BigEndian.Uint32(f[7:]) == 60<<16|80 { // basic.ack
			select {
			case acked <- struct{}{}:
			default:
			}
		}
		select {
		case <-hang:
		default:
			_, _ = c.Write(f)
		}
	}
}

func readFrame(in io.Reader) ([]byte, error) {
	head := make([]byte, 7)
	if _, err := io.ReadFull(in, head); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[3:])
	if size > 1<<20 {
		return nil, errors.New("too large a frame")
	}
	f := append(head, make([]byte, size+1)...)
	_, err := io.ReadFull(in, f[7:])
	return f, err
}

// messageID reads the property of a content header whose properties before it are a content type, perhaps headers, a delivery mode and
// perhaps a correlation ID, as ours are.
func messageID(b []byte) string {
	flags, b := binary.BigEndian.Uint16(b[12:]), b[14:]
	short := func() string {
		n := int(b[0])
		s := string(b[1 : 1+n])
		b = b[1+n:]
		return s
	}
	if flags&0x8000 != 0 { // content type
		short()
	}
	if flags&0x2000 != 0 { // headers
		b = b[4+binary.BigEndian.Uint32(b):]
	}
	if flags&0x1000 != 0 { // delivery mode
		b = b[1:]
	}
	if flags&0x0400 != 0 { // correlation ID
		short()
	}
	return short()
}
