// Package s3test gives each test a real store of its own that speaks S3.
package s3test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"holdfast/internal/port"
)

// Server is a store with TLS on loopback, whose objects are files.
type Server struct {
	URL, Bucket, User, Key string
	CA                     string      // file with the certificate that vouches for it
	TLS                    *tls.Config // that trusts it alone

	root string // a folder with a folder for each bucket
}

// Start starts Versity's gateway with one bucket. HOLDFAST_TEST_S3 names the program, which "deploy/dev/services up" builds. Without it the test is
// skipped, and fails where CI is set.
func Start(t testing.TB) *Server {
	t.Helper()
	program := os.Getenv("HOLDFAST_TEST_S3")
	if program == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("HOLDFAST_TEST_S3 is not set, and CI skips nothing: run deploy/dev/services up")
		}
		t.Skip("skipped for want of an S3 server: set HOLDFAST_TEST_S3, or run make test, which builds one")
	}
	dir := t.TempDir()
	cert, key, trust := certificate(t, dir)
	ports, err := port.Free(1)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", ports[0])
	s := &Server{
		URL: "https://" + address, Bucket: "plant-1000", User: "holdfast", Key: "a secret of forty letters", CA: cert, TLS: trust, root: filepath.Join(dir, "root"),
	}
	for _, d := range []string{s.root, filepath.Join(dir, "about")} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	said, err := os.Create(filepath.Join(dir, "said"))
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	cmd := exec.Command(program, "--port", address, "--cert", cert, "--key", key, "--quiet", "posix", "--sidecar", filepath.Join(dir, "about"), s.root)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+s.User, "ROOT_SECRET_KEY="+s.Key)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = said, said, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	await(t, address, said.Name())
	if err := s.Admin(t).MakeBucket(t.Context(), s.Bucket, minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	return s
}

// certificate is one for loopback, its key, and who trusts it alone.
func certificate(t testing.TB, dir string) (cert, key string, trust *tls.Config) {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	private, err := x509.MarshalPKCS8PrivateKey(server.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: server.Certificate().Raw}, key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	return cert, key, &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

// await waits until somebody listens.
func await(t testing.TB, address, said string) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
			return
		}
		select {
		case <-ctx.Done():
			text, _ := os.ReadFile(said)
			t.Fatalf("the S3 server does not come up: %v\n%s", err, text)
		case <-tick.C:
		}
	}
}

// Admin is a client beside the one under test.
func (s *Server) Admin(t testing.TB) *minio.Client {
	t.Helper()
	tr, err := minio.DefaultTransport(true)
	if err != nil {
		t.Fatal(err)
	}
	tr.TLSClientConfig = s.TLS
	t.Cleanup(tr.CloseIdleConnections)
	c, err := minio.New(strings.TrimPrefix(s.URL, "https://"), &minio.Options{Creds: credentials.NewStaticV4(s.User, s.Key, ""), Secure: true, Transport: tr, Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// File is where an object lies.
func (s *Server) File(name string) string {
	return filepath.Join(s.root, s.Bucket, filepath.FromSlash(name))
}
