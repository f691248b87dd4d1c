package dev.interlock.client;

import io.grpc.Channel;
import java.util.List;
import java.util.Optional;

/** Where a stream stands: what to call to go on from there, and what is new in a reply. */
interface Cursor<R, T> {
  /** Starts the call that goes on from here. */
  Inbound<R> open(Channel channel);

  /** Takes a reply in: its new items, or nothing when it shows no progress. */
  Optional<List<T>> receive(R reply);

  /** Whether nothing can follow, so that a lost connection loses nothing. */
  boolean isFinished();
}
