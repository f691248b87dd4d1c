package dev.interlock.client;

import io.grpc.BindableService;
import io.grpc.Context;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.Server;
import io.grpc.ServerBuilder;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.io.IOException;

/** A server on a port of its own, for services that stand for Interlock's. */
final class FakeServer implements AutoCloseable {
  private final Server server;

  FakeServer(BindableService service) throws IOException {
    ServerBuilder<?> builder = Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create());
    server = builder.addService(service).build().start();
  }

  InterlockClient.Builder client() {
    return InterlockClient.builder("localhost:" + server.getPort());
  }

  /** Waits until the client has cancelled a call; to be used inside of the call. */
  static void awaitCancellation(Context context) {
    java.util.concurrent.CountDownLatch cancelled = new java.util.concurrent.CountDownLatch(1);
    context.addListener(it -> cancelled.countDown(), Runnable::run);
    try {
      cancelled.await();
    } catch (InterruptedException interrupted) {
      throw new IllegalStateException(interrupted);
    }
  }

  static StatusRuntimeException unavailable() {
    return Status.UNAVAILABLE.withDescription("away").asRuntimeException();
  }

  /** An error with details, as Interlock sends it. */
  static StatusRuntimeException error(Status.Code code, com.google.protobuf.Message... details) {
    com.google.rpc.Status.Builder status =
        com.google.rpc.Status.newBuilder().setCode(code.value()).setMessage("the message");
    for (com.google.protobuf.Message detail : details) {
      status.addDetails(com.google.protobuf.Any.pack(detail));
    }
    return StatusProto.toStatusRuntimeException(status.build());
  }

  static StatusRuntimeException error(Status.Code code, String reason) {
    return error(
        code,
        com.google.rpc.ErrorInfo.newBuilder().setDomain("interlock.dev").setReason(reason).build());
  }

  @Override
  public void close() {
    server.shutdownNow();
  }
}
