package interlock

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"time"

	"google.golang.org/grpc"
	grpcbackoff "google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	interlockv1 "github.com/interlock-dev/interlock/clients/go/interlock/v1"
)

// Version is the version of this package.
const Version = "0.1.0"

const (
	messageBytesMax     = 16 << 20
	retryTimeoutDefault = 30 * time.Second
)

// Options says how to connect. The zero value is a connection without encryption.
type Options struct {
	// TLS encrypts the connection; &tls.Config{} trusts the roots of the system.
	TLS *tls.Config
	// Token is sent with every call, as "authorization: Bearer TOKEN".
	Token string
	// Timeout bounds every call that does not wait for a run, its retries included; 0 means
	// that only the caller's context does.
	Timeout time.Duration
	// RetryTimeout says for how long to try again while the server is unavailable; 0 means
	// 30 seconds, less means not at all. Nothing happens twice by it.
	RetryTimeout time.Duration
	// DialOptions are passed on to gRPC.
	DialOptions []grpc.DialOption
}

// Client is a connection to an Interlock server. It is safe for concurrent use.
type Client struct {
	conn         *grpc.ClientConn
	timeout      time.Duration
	retryTimeout time.Duration

	runs         interlockv1.RunServiceClient
	requirements interlockv1.RequirementServiceClient
	workflows    interlockv1.WorkflowServiceClient
	sessions     interlockv1.SessionServiceClient
}

// New makes a client of the server at a target, for example "localhost:50051". It connects
// with the first call. No options mean the zero value.
func New(target string, options *Options) (*Client, error) {
	if options == nil {
		options = &Options{}
	}
	conn, err := grpc.NewClient(target, dialOptions(options)...)
	if err != nil {
		return nil, fmt.Errorf("interlock: %w", err)
	}
	client := &Client{
		conn:         conn,
		timeout:      options.Timeout,
		retryTimeout: max(0, options.RetryTimeout),
		runs:         interlockv1.NewRunServiceClient(conn),
		requirements: interlockv1.NewRequirementServiceClient(conn),
		workflows:    interlockv1.NewWorkflowServiceClient(conn),
		sessions:     interlockv1.NewSessionServiceClient(conn),
	}
	if options.RetryTimeout == 0 {
		client.retryTimeout = retryTimeoutDefault
	}
	return client, nil
}

// Conn is the connection, for methods of the contract that have no verb here.
func (c *Client) Conn() *grpc.ClientConn { return c.conn }

// Close ends the connection. Calls that are under way fail with [ErrCancelled].
func (c *Client) Close() error { return c.conn.Close() }

func dialOptions(options *Options) []grpc.DialOption {
	transport := insecure.NewCredentials()
	if options.TLS != nil {
		transport = credentials.NewTLS(options.TLS)
	}
	dial := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithUserAgent("interlock-go/" + Version),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(messageBytesMax), grpc.MaxCallSendMsgSize(messageBytesMax),
		),
		// A connection that has died is noticed within 40 seconds, also while nothing is sent.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: 30 * time.Second, Timeout: 10 * time.Second, PermitWithoutStream: true,
		}),
		// The client has its own backoff: the connection's must not add to it.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: grpcbackoff.Config{
				BaseDelay: backoffShortest, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second,
			},
			MinConnectTimeout: 5 * time.Second,
		}),
		// It also has its own retries, and spares the name server a question about them.
		grpc.WithDisableServiceConfig(),
	}
	if options.Token != "" {
		dial = append(dial, grpc.WithPerRPCCredentials(bearer(options.Token)))
	}
	return append(dial, options.DialOptions...)
}

// bearer is a token that goes with every call.
type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

func (bearer) RequireTransportSecurity() bool { return false }

// method is a method of the contract with one reply.
type method[Request, Reply any] = func(context.Context, Request, ...grpc.CallOption) (Reply, error)

// call makes a call, and makes it again while the server is unavailable: the same request,
// with the same request id. The server may wait for so long before it replies.
func call[Request, Reply any](
	ctx context.Context, c *Client, method method[Request, Reply], request Request, wait time.Duration,
) (Reply, error) {
	if c.timeout > 0 {
		limited, cancel := context.WithTimeout(ctx, c.timeout+wait)
		defer cancel()
		ctx = limited
	}
	return persist(ctx, &backoff{limit: c.retryTimeout}, method, request)
}

// persist makes a call for as long as the backoff allows.
func persist[Request, Reply any](
	ctx context.Context, outage *backoff, method method[Request, Reply], request Request,
) (Reply, error) {
	for {
		reply, err := method(ctx, request)
		if err == nil {
			return reply, nil
		}
		if err := outage.survive(ctx, errorFrom(err)); err != nil {
			return reply, err
		}
	}
}

// valueOf is what options say; none say nothing.
func valueOf[Options any](options *Options) Options {
	if options == nil {
		return *new(Options)
	}
	return *options
}

// newID is a random UUID.
func newID() string {
	var id [16]byte
	rand.Read(id[:]) // Never fails.
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
