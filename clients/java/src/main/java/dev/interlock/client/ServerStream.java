package dev.interlock.client;

import java.util.Iterator;
import java.util.NoSuchElementException;

/**
 * What the server sends, one by one, for a {@code for} loop in a {@code try}.
 *
 * <p>The first call is made when the first item is asked for. Reading blocks; it goes on by itself
 * after a lost connection or a restart of the server, and gives up with {@link
 * InterlockException.Unavailable} when the server is away for too long. Leaving the {@code try}
 * closes the stream, which cancels the call. Interrupting the thread that reads does so too, and
 * reading throws {@link InterlockException.Cancelled}.
 *
 * <p>One thread reads at a time; any thread may close.
 *
 * @param <T> what comes
 */
public class ServerStream<T> implements Iterable<T>, AutoCloseable {
  private final Resuming<?, T> source;

  ServerStream(Resuming<?, T> source) {
    this.source = source;
  }

  /** The rest of the stream: every iterator goes on where the one before it stood. */
  @Override
  public Iterator<T> iterator() {
    return new Iterator<>() {
      private T next;

      @Override
      public boolean hasNext() {
        next = next == null ? source.next().orElse(null) : next;
        return next != null;
      }

      @Override
      public T next() {
        if (!hasNext()) {
          throw new NoSuchElementException("the stream has ended");
        }
        T item = next;
        next = null;
        return item;
      }
    };
  }

  /** Ends the stream, and the call behind it; the run goes on. */
  @Override
  public void close() {
    source.close();
  }
}
