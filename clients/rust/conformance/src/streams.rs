//! Streams that are read in portions.

use std::time::Duration;

use interlock_client::{Error, Event, Items, Requirement};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::request::Request;

/// A stream of either kind.
pub enum Stream {
    Events(Items<Event>),
    Requirements(Items<Requirement>),
}

/// An item of either kind.
pub enum Item {
    Event(Event),
    Requirement(Requirement),
}

/// A loop over a stream, which waits for its next item between two portions, too.
pub struct Reading {
    /// None while the next item is waited for.
    stream: Option<Stream>,
    next: Option<JoinHandle<(Stream, Next)>>,
}

type Next = Result<Option<Item>, Error>;

impl Reading {
    pub fn new(stream: Stream) -> Self {
        Self { stream: Some(stream), next: None }
    }

    /// Items as a request says, and whether the stream has ended.
    pub async fn read(&mut self, request: &Request<'_>) -> Result<(Vec<Item>, bool), Error> {
        let count = request.number("count").map_or(usize::MAX, |count| count as usize);
        let limit = request.seconds("timeout").unwrap_or(Duration::from_secs(86_400));
        let end = Instant::now() + limit;
        let mut items = Vec::new();
        while items.len() < count {
            let Some(next) = self.next(end).await else {
                break;
            };
            let Some(item) = next? else {
                return Ok((items, true));
            };
            let is_last = item.name().is_some_and(|name| Some(name) == request.text("until"));
            items.push(item);
            if is_last {
                break;
            }
        }
        Ok((items, false))
    }

    /// The next item; none when the time is over, and then the next call gets it.
    async fn next(&mut self, end: Instant) -> Option<Next> {
        if let Some(mut stream) = self.stream.take() {
            self.next = Some(tokio::spawn(async move {
                let next = stream.next().await;
                (stream, next)
            }));
        }
        let (stream, next) = timeout_at(end, self.next.as_mut()?).await.ok()?.expect("no panic");
        self.stream = Some(stream);
        self.next = None;
        Some(next)
    }
}

/// Leaves the loop, wherever it is.
impl Drop for Reading {
    fn drop(&mut self) {
        if let Some(next) = &self.next {
            next.abort();
        }
    }
}

impl Stream {
    async fn next(&mut self) -> Next {
        match self {
            Self::Events(events) => Ok(events.try_next().await?.map(Item::Event)),
            Self::Requirements(found) => Ok(found.try_next().await?.map(Item::Requirement)),
        }
    }
}

impl Item {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Event(event) => Some(event.name()),
            Self::Requirement(_) => None,
        }
    }
}
