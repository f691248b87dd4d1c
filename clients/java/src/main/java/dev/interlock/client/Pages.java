package dev.interlock.client;

import java.util.ArrayDeque;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.Queue;
import java.util.function.Function;

/** The items of a list, read page by page as they are asked for; anew for each iterator. */
final class Pages<P, T> implements Iterable<T> {
  private final Function<String, P> read;
  private final Function<P, List<T>> items;
  private final Function<P, String> nextToken;

  /**
   * @param read gives a page by its token
   * @param items gives the items of a page
   * @param nextToken gives the token of the page after it; empty on the last
   */
  Pages(Function<String, P> read, Function<P, List<T>> items, Function<P, String> nextToken) {
    this.read = read;
    this.items = items;
    this.nextToken = nextToken;
  }

  @Override
  public Iterator<T> iterator() {
    return new Iterator<>() {
      private final Queue<T> page = new ArrayDeque<>();
      private String token = "";

      // A page may be empty without being the last.
      @Override
      public boolean hasNext() {
        while (page.isEmpty() && token != null) {
          P reply = read.apply(token);
          page.addAll(items.apply(reply));
          token = nextToken.apply(reply).isEmpty() ? null : nextToken.apply(reply);
        }
        return !page.isEmpty();
      }

      @Override
      public T next() {
        if (!hasNext()) {
          throw new NoSuchElementException("the list has ended");
        }
        return page.remove();
      }
    };
  }
}
