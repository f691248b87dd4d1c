package dev.interlock.client;

import java.util.Optional;

/** The events of a run; no stored event is missing, and none comes twice. */
public final class RunStream extends ServerStream<Event> {
  private final RunCursor cursor;

  RunStream(Caller caller, RunCursor cursor) {
    super(new Resuming<>(caller, cursor));
    this.cursor = cursor;
  }

  /**
   * The run as it was when the server began to send, or began again; empty before that, and where
   * the stream started or continued the run itself.
   */
  public Optional<Run> snapshot() {
    return cursor.snapshot();
  }
}
