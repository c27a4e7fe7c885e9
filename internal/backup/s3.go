package backup

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"holdfast/internal/problem"
)

// S3Config names a bucket of a store that speaks S3, and who writes to it.
type S3Config struct {
	URL    string // https://host:port; http where it is this machine
	Bucket string // it must be there
	Folder string // before the names in it; may be empty
	Region string // default us-east-1, as most stores take it
	// PathStyle writes the bucket behind the host wherever it is; without it that is so but at Amazon, Google and Alibaba.
	PathStyle bool
	User, Key string      // of an access key: its ID and its secret
	Piece     int64       // bytes that are held in memory and sent at once; default 16 MiB, least 5 MiB. A store takes 10,000 for an object
	TLS       *tls.Config // whose certificate is trusted; nil is the system's
}

// S3 is a folder of a bucket.
type S3 struct {
	cfg    S3Config
	client *minio.Client
}

// NewS3 checks the configuration, without a connection.
func NewS3(cfg S3Config) (*S3, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Host == "" || u.Path != "" && u.Path != "/" || u.User != nil || u.RawQuery != "" || u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		return nil, &problem.Error{Kind: problem.Invalid, What: "read the address of a place in S3", Why: "it is no https:// with host and port alone", Hint: "write s3: https://host:port, and the bucket beside it"}
	}
	wire := http.DefaultTransport.(*http.Transport).Clone()
	wire.Proxy, wire.TLSClientConfig, wire.DisableCompression = nil, cfg.TLS, true
	lookup := minio.BucketLookupAuto
	if cfg.PathStyle {
		lookup = minio.BucketLookupPath
	}
	cfg.Region, cfg.Piece = cmp.Or(cfg.Region, "us-east-1"), cmp.Or(cfg.Piece, 16<<20)
	client, err := minio.New(u.Host, &minio.Options{
		Creds: credentials.NewStaticV4(cfg.User, cfg.Key, ""), Secure: u.Scheme == "https", Transport: wire, Region: cfg.Region, BucketLookup: lookup, MaxRetries: 3,
	})
	if err != nil {
		return nil, &problem.Error{Kind: problem.Invalid, What: "read the address of a place in S3", Why: err.Error(), Hint: "write s3: https://host:port"}
	}
	return &S3{cfg, client}, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// String is Place.
func (s *S3) String() string {
	return "s3+" + strings.TrimSuffix(s.cfg.URL, "/") + path.Join("/", s.cfg.Bucket, s.cfg.Folder)
}

func (s *S3) object(name string) string {
	return strings.TrimPrefix(path.Join(s.cfg.Folder, name), "/")
}

// trouble is what an answer of the store, or none, means.
func (s *S3) trouble(what string, err error) error {
	p := &problem.Error{Kind: problem.Unavailable, What: what + " " + s.String(), Why: err.Error(), Hint: "look at address, ca, user and key, and at the clock of this machine", Cause: err}
	switch minio.ToErrorResponse(err).Code {
	case minio.NoSuchBucket:
		p.Kind, p.Hint = problem.NotFound, "make the bucket; holdfast makes none"
	case minio.AccessDenied:
		p.Hint = "let the user list the bucket, and get, put and delete its objects"
	}
	return p
}

// Put is Place. An object is there once all of it has arrived; what came of one that ended early is thrown away by the store.
func (s *S3) Put(ctx context.Context, name string, r io.Reader) error {
	r = whole{r}
	head, err := io.ReadAll(io.LimitReader(r, s.cfg.Piece))
	if err != nil {
		return fmt.Errorf("write to %s: %w", s, err)
	}
	opt := minio.PutObjectOptions{ContentType: "application/octet-stream", PartSize: uint64(s.cfg.Piece), SendContentMd5: true, Progress: Sending(ctx)} //nolint:gosec // the configuration takes no negative size
	size := int64(len(head))
	if r = io.MultiReader(bytes.NewReader(head), r); size == s.cfg.Piece {
		size = -1 // nobody knows
	}
	if _, err = s.client.PutObject(ctx, s.cfg.Bucket, s.object(name), r, size, opt); err != nil {
		return s.trouble("write to", err)
	}
	return nil
}

// whole is a reader whose own early end (io.ErrUnexpectedEOF) the client cannot take for the end of the object.
type whole struct{ io.Reader }

// Read is io.Reader.
func (w whole) Read(b []byte) (int, error) {
	n, err := w.Reader.Read(b)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("read what is to be written: %w", err)
	}
	return n, err
}

// Get is Place.
func (s *S3) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	r, _, _, err := minio.Core{Client: s.client}.GetObject(ctx, s.cfg.Bucket, s.object(name), minio.GetObjectOptions{})
	if minio.ToErrorResponse(err).Code == minio.NoSuchKey {
		return nil, missing(s, name)
	}
	if err != nil {
		return nil, s.trouble("open a backup in", err)
	}
	return r, nil
}

// List is Place.
func (s *S3) List(ctx context.Context) ([]string, error) {
	ctx, stop := context.WithTimeout(ctx, time.Hour) // ends what lists, however this ends
	defer stop()
	prefix := ""
	if s.object("") != "" {
		prefix = s.object("") + "/"
	}
	var names []string
	for o := range s.client.ListObjects(ctx, s.cfg.Bucket, minio.ListObjectsOptions{Prefix: prefix}) {
		if o.Err != nil {
			return nil, s.trouble("list the backups in", o.Err)
		}
		if name := strings.TrimPrefix(o.Key, prefix); name != "" && !strings.Contains(name, "/") {
			names = append(names, name)
		}
	}
	return names, ctx.Err()
}

// Remove is Place.
func (s *S3) Remove(ctx context.Context, name string) error {
	if err := s.client.RemoveObject(ctx, s.cfg.Bucket, s.object(name), minio.RemoveObjectOptions{}); err != nil {
		return s.trouble("remove a backup in", err)
	}
	return nil
}
