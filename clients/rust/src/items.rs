//! Sequences whose items come over the wire: pages and streams.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt, TryStreamExt};
use tokio::time::sleep;
use tonic::Status;

use crate::Error;
use crate::backoff::Backoff;
use crate::wire::Wire;

/// Items that come over the wire, one by one. Dropping it ends the call behind it.
///
/// It is a [`Stream`], and can be read without any trait:
///
/// ```no_run
/// # async fn example(client: interlock_client::Client) -> Result<(), interlock_client::Error> {
/// let mut events = client.watch_run("run-id").stream();
/// while let Some(event) = events.try_next().await? {
///     println!("{} {}", event.sequence(), event.name());
/// }
/// # Ok(())
/// # }
/// ```
///
/// After an error it has ended.
#[must_use = "nothing is called before the first item is asked for"]
pub struct Items<T>(BoxStream<'static, Result<T, Error>>);

impl<T> Items<T> {
    /// The next item; none at the end. When this future is dropped, the next one goes on where it
    /// stood.
    ///
    /// # Errors
    ///
    /// The item cannot be read.
    pub async fn try_next(&mut self) -> Result<Option<T>, Error> {
        self.0.try_next().await
    }

    /// All items up to the end.
    ///
    /// # Errors
    ///
    /// An item cannot be read.
    pub async fn all(self) -> Result<Vec<T>, Error> {
        self.0.try_collect().await
    }
}

impl<T> Stream for Items<T> {
    type Item = Result<T, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(context)
    }
}

impl<T> fmt::Debug for Items<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Items").finish_non_exhaustive()
    }
}

/// The items of a list, page by page as they are asked for. `read` gives the items on a page and
/// the token of the next one, by the page's token.
pub(crate) fn pages<T, F, R>(mut read: F) -> Items<T>
where
    T: Send + 'static,
    F: FnMut(String) -> R + Send + 'static,
    R: Future<Output = Result<(Vec<T>, String), Error>> + Send + 'static,
{
    let pages = stream::try_unfold(Some(String::new()), move |token| {
        let reading = token.map(&mut read);
        async move {
            let Some(reading) = reading else {
                return Ok(None);
            };
            let (items, next) = reading.await?;
            let items = stream::iter(items.into_iter().map(Ok::<T, Error>));
            Ok::<_, Error>(Some((items, Some(next).filter(|token| !token.is_empty()))))
        }
    });
    Items(pages.try_flatten().boxed())
}

/// Where a stream stands: how to go on from there, and what is new in a reply.
pub(crate) trait Cursor: Send + 'static {
    type Reply: Send + 'static;
    type Item: Send + 'static;

    /// Starts the call that goes on from here.
    fn open(&mut self, wire: &Wire) -> impl Future<Output = Result<Replies<Self>, Status>> + Send;

    /// Takes a reply in; gives its new items, or none when it shows no progress.
    fn receive(&mut self, reply: Self::Reply) -> Option<Vec<Self::Item>>;

    /// Whether nothing can follow, so that a lost connection loses nothing.
    fn is_finished(&self) -> bool {
        false
    }
}

/// The replies of one call.
pub(crate) type Replies<C> = BoxStream<'static, Result<<C as Cursor>::Reply, Status>>;

/// A stream that goes on by itself after the server was unavailable.
pub(crate) fn resuming<C: Cursor>(wire: Arc<Wire>, cursor: C) -> Items<C::Item> {
    let backoff = wire.backoff();
    let resuming = Resuming { wire, cursor, backoff, replies: None, items: VecDeque::new() };
    let items = stream::try_unfold(resuming, |mut resuming| async move {
        Ok(resuming.next().await?.map(|item| (item, resuming)))
    });
    Items(items.boxed())
}

struct Resuming<C: Cursor> {
    wire: Arc<Wire>,
    cursor: C,
    backoff: Backoff,
    replies: Option<Replies<C>>,
    items: VecDeque<C::Item>,
}

impl<C: Cursor> Resuming<C> {
    async fn next(&mut self) -> Result<Option<C::Item>, Error> {
        while self.items.is_empty() {
            match self.receive().await {
                Ok(Some(reply)) => self.take_in(reply),
                Ok(None) => return Ok(None),
                Err(_) if self.cursor.is_finished() => return Ok(None),
                Err(status) => self.wait_after(status.into()).await?,
            }
        }
        Ok(self.items.pop_front())
    }

    async fn receive(&mut self) -> Result<Option<C::Reply>, Status> {
        let replies = match &mut self.replies {
            Some(replies) => replies,
            None => self.replies.insert(self.cursor.open(&self.wire).await?),
        };
        replies.try_next().await
    }

    fn take_in(&mut self, reply: C::Reply) {
        if let Some(items) = self.cursor.receive(reply) {
            self.backoff.reset();
            self.items.extend(items);
        }
    }

    /// Waits before the stream goes on, or ends it with the error.
    async fn wait_after(&mut self, error: Error) -> Result<(), Error> {
        self.replies = None;
        let delay = self.backoff.next(&error).ok_or(error)?;
        sleep(delay).await;
        Ok(())
    }
}
