package interlock

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	interlockv1 "github.com/interlock-dev/interlock/clients/go/interlock/v1"
)

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

// fake stands for an Interlock server: it answers as a test says, over a real connection.
type fake struct {
	interlockv1.UnimplementedRunServiceServer
	interlockv1.UnimplementedRequirementServiceServer

	run       func(*interlockv1.RunRequest) (*interlockv1.Run, error)
	waitRun   func(*interlockv1.WaitRunRequest) (*interlockv1.Run, error)
	contin    func(*interlockv1.ContinueRunRequest) (*interlockv1.Run, error)
	runStream func(*interlockv1.RunStreamRequest, grpc.ServerStreamingServer[interlockv1.RunStreamResponse]) error
	watchRun  func(*interlockv1.WatchRunRequest, grpc.ServerStreamingServer[interlockv1.WatchRunResponse]) error

	watchRequirements func(
		*interlockv1.WatchRequirementsRequest, grpc.ServerStreamingServer[interlockv1.WatchRequirementsResponse],
	) error
	listRequirements func(*interlockv1.ListRequirementsRequest) (*interlockv1.ListRequirementsResponse, error)
	claim            func(context.Context, *interlockv1.ClaimRequirementRequest) (*interlockv1.Requirement, error)
	renew            func(*interlockv1.RenewClaimRequest) error
	resolve          func(*interlockv1.ResolveRequirementRequest) error
	release          func(*interlockv1.ReleaseClaimRequest) error
}

// serve starts the fake, and gives a client of it.
func serve(t *testing.T, server *fake, options Options) *Client {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	service := grpc.NewServer()
	interlockv1.RegisterRunServiceServer(service, server)
	interlockv1.RegisterRequirementServiceServer(service, server)
	go service.Serve(listener)
	t.Cleanup(service.Stop)
	client, err := New(listener.Addr().String(), &options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func (f *fake) Run(_ context.Context, request *interlockv1.RunRequest) (*interlockv1.RunResponse, error) {
	run, err := f.run(request)
	return &interlockv1.RunResponse{Run: run}, err
}

func (f *fake) WaitRun(_ context.Context, request *interlockv1.WaitRunRequest) (*interlockv1.WaitRunResponse, error) {
	run, err := f.waitRun(request)
	return &interlockv1.WaitRunResponse{Run: run}, err
}

func (f *fake) ContinueRun(
	_ context.Context, request *interlockv1.ContinueRunRequest,
) (*interlockv1.ContinueRunResponse, error) {
	run, err := f.contin(request)
	return &interlockv1.ContinueRunResponse{Run: run}, err
}

func (f *fake) RunStream(
	request *interlockv1.RunStreamRequest, stream grpc.ServerStreamingServer[interlockv1.RunStreamResponse],
) error {
	return f.runStream(request, stream)
}

func (f *fake) WatchRun(
	request *interlockv1.WatchRunRequest, stream grpc.ServerStreamingServer[interlockv1.WatchRunResponse],
) error {
	return f.watchRun(request, stream)
}

func (f *fake) WatchRequirements(
	request *interlockv1.WatchRequirementsRequest,
	stream grpc.ServerStreamingServer[interlockv1.WatchRequirementsResponse],
) error {
	return f.watchRequirements(request, stream)
}

func (f *fake) ListRequirements(
	_ context.Context, request *interlockv1.ListRequirementsRequest,
) (*interlockv1.ListRequirementsResponse, error) {
	return f.listRequirements(request)
}

func (f *fake) ClaimRequirement(
	ctx context.Context, request *interlockv1.ClaimRequirementRequest,
) (*interlockv1.ClaimRequirementResponse, error) {
	requirement, err := f.claim(ctx, request)
	return &interlockv1.ClaimRequirementResponse{Requirement: requirement}, err
}

func (f *fake) RenewClaim(
	_ context.Context, request *interlockv1.RenewClaimRequest,
) (*interlockv1.RenewClaimResponse, error) {
	return &interlockv1.RenewClaimResponse{}, f.renew(request)
}

func (f *fake) ResolveRequirement(
	_ context.Context, request *interlockv1.ResolveRequirementRequest,
) (*interlockv1.ResolveRequirementResponse, error) {
	return &interlockv1.ResolveRequirementResponse{}, f.resolve(request)
}

func (f *fake) ReleaseClaim(
	_ context.Context, request *interlockv1.ReleaseClaimRequest,
) (*interlockv1.ReleaseClaimResponse, error) {
	return &interlockv1.ReleaseClaimResponse{}, f.release(request)
}

// failure is an error as the server makes them.
func failure(code codes.Code, reason string, metadata map[string]string, details ...protoadapt.MessageV1) error {
	info := &errdetails.ErrorInfo{Reason: reason, Domain: "interlock.dev", Metadata: metadata}
	all := append([]protoadapt.MessageV1{info}, details...)
	failed, err := status.New(code, "it failed").WithDetails(all...)
	if err != nil {
		panic(err)
	}
	return failed.Err()
}

// shutdown is what a server that stops says.
func shutdown() error {
	delay := &errdetails.RetryInfo{RetryDelay: durationpb.New(time.Millisecond)}
	return failure(codes.Unavailable, "SERVER_SHUTDOWN", nil, delay)
}

func receive[T any](t *testing.T, from <-chan T, what string) T {
	t.Helper()
	select {
	case one := <-from:
		return one
	case <-time.After(patience):
		t.Fatalf("%s did not happen", what)
		panic("unreachable")
	}
}

func mustBe(t *testing.T, err, family error) {
	t.Helper()
	if !errors.Is(err, family) {
		t.Fatalf("got %v, want %v", err, family)
	}
}

func must[T any](t *testing.T) func(T, error) T {
	t.Helper()
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}
