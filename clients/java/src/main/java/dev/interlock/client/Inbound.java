package dev.interlock.client;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusException;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.function.Function;

/**
 * One call that streams replies, read one by one. The server sends no more than is read, apart from
 * what fits the windows of the transport.
 */
final class Inbound<R> {
  private final ClientCall<?, ?> call;
  private final BlockingQueue<Arrival<R>> arrivals = new LinkedBlockingQueue<>();

  private sealed interface Arrival<R> {
    record Reply<R>(R reply) implements Arrival<R> {}

    record End<R>(Status status, Metadata trailers) implements Arrival<R> {}
  }

  private Inbound(ClientCall<?, ?> call) {
    this.call = call;
  }

  /** Starts a call; {@code view} makes of each reply what {@link #read} gives. */
  static <Q, M, R> Inbound<R> open(
      Channel channel, MethodDescriptor<Q, M> method, Q request, Function<M, R> view) {
    ClientCall<Q, M> call = channel.newCall(method, CallOptions.DEFAULT);
    Inbound<R> inbound = new Inbound<>(call);
    call.start(
        new ClientCall.Listener<M>() {
          @Override
          public void onMessage(M message) {
            inbound.arrivals.add(new Arrival.Reply<>(view.apply(message)));
          }

          @Override
          public void onClose(Status status, Metadata trailers) {
            inbound.arrivals.add(new Arrival.End<>(status, trailers));
          }
        },
        new Metadata());
    call.sendMessage(request);
    call.halfClose();
    return inbound;
  }

  /** The next reply; null when the stream has ended well. */
  R read() throws InterruptedException, StatusException {
    call.request(1);
    Arrival<R> arrival = arrivals.take();
    if (arrival instanceof Arrival.Reply<R> reply) {
      return reply.reply;
    }
    Arrival.End<R> end = (Arrival.End<R>) arrival;
    if (!end.status.isOk()) {
      throw end.status.asException(end.trailers);
    }
    return null;
  }

  /** Ends the call, if it has not ended. */
  void cancel() {
    call.cancel("the client left the stream", null);
  }
}
