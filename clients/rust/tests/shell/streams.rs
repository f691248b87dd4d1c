//! Streams: how they go on, and how they end.

use futures_util::TryStreamExt;
use interlock_client::{Client, Error, EventKind, RequirementFilter, v1};
use std::time::Duration;
use tonic::Status;

use crate::fake::{Asked, Fake, call};

fn event(sequence: i64, kind: EventKind) -> v1::RunEvent {
    v1::RunEvent { run_id: "r1".to_owned(), sequence, event: Some(kind), ..Default::default() }
}

fn started(sequence: i64) -> v1::RunEvent {
    event(sequence, EventKind::StepStarted(Default::default()))
}

fn completed(sequence: i64) -> v1::RunEvent {
    event(sequence, EventKind::WorkflowCompleted(Default::default()))
}

fn gone() -> Option<Status> {
    Some(Status::unavailable("gone"))
}

#[tokio::test]
async fn a_stream_goes_on_where_it_stood() {
    let (fake, client) = Fake::with_client().await;
    fake.change(|book| {
        book.streams.extend([
            (vec![], gone()),
            (vec![vec![started(1), started(2)]], gone()),
            (vec![vec![started(2), started(3)], vec![completed(4)]], gone()),
        ]);
    });

    let events = client.workflow("W").run(()).stream().unwrap().all().await.unwrap();

    assert_eq!(events.iter().map(|event| event.sequence()).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let book = fake.book();
    let [Asked::RunStream(first), Asked::RunStream(second), Asked::Watch(watch)] = &book.asked[..]
    else {
        panic!("other calls: {:?}", book.asked);
    };
    assert_eq!(first, second);
    assert_eq!(watch.run_id, "r1");
    assert_eq!(watch.after_sequence, 2);
    assert!(watch.end_on_pause);
}

/// tonic gives a broken connection another code when a program also has its servers, as this one.
#[tokio::test]
async fn a_stream_goes_on_when_its_connection_breaks() {
    let (fake, client, cut) = Fake::behind_a_connection().await;
    fake.change(|book| {
        book.streams.extend([
            (vec![vec![started(1)]], None),
            (vec![vec![completed(2)]], Some(Status::ok(""))),
        ]);
    });
    let mut events = client.workflow("W").run(()).stream().unwrap();
    events.try_next().await.unwrap().unwrap();

    cut.notify_one();

    assert_eq!(events.try_next().await.unwrap().unwrap().sequence(), 2);
    assert!(events.try_next().await.unwrap().is_none());
}

#[tokio::test]
async fn a_stream_ends_with_an_error_that_does_not_pass() {
    let (fake, client) = Fake::with_client().await;
    fake.change(|book| {
        book.streams.push_back((vec![vec![started(1)]], Some(Status::not_found("deleted"))));
    });
    let mut events = client.watch_run("r1").stream();
    assert!(events.try_next().await.unwrap().is_some());
    assert!(matches!(events.try_next().await, Err(Error::NotFound(_))));
    assert!(events.try_next().await.unwrap().is_none());
}

#[tokio::test]
async fn a_stream_gives_up_when_the_server_stays_away() {
    let (fake, address) = Fake::serve().await;
    fake.change(|book| book.streams.extend((0..100).map(|_| (vec![], gone()))));
    let client =
        Client::builder(address).retry_timeout(Duration::from_millis(300)).build().unwrap();
    let gave_up = client.watch_run("r1").stream().all().await;
    assert!(matches!(gave_up, Err(Error::Unavailable(_))));
    assert!(fake.book().asked.len() >= 2);
}

#[tokio::test]
async fn leaving_a_stream_is_a_cancellation_for_the_server() {
    let (fake, client) = Fake::with_client().await;
    fake.change(|book| book.streams.push_back((vec![vec![started(1)]], None)));
    let mut events = client.watch_run("r1").stream();
    events.try_next().await.unwrap().unwrap();
    assert_eq!(fake.book().cancelled, 0);

    drop(events);

    fake.until(|book| book.cancelled == 1).await;
}

#[tokio::test]
async fn waiting_for_an_item_can_be_given_up_without_loss() {
    let (fake, client) = Fake::with_client().await;
    fake.change(|book| book.streams.push_back((vec![vec![started(1)]], None)));
    let mut events = client.watch_run("r1").stream();
    events.try_next().await.unwrap().unwrap();
    let no_event = tokio::time::timeout(Duration::from_millis(50), events.try_next()).await;
    assert!(no_event.is_err());
    assert_eq!(fake.book().cancelled, 0);
}

#[tokio::test]
async fn the_inbox_resumes_by_its_token() {
    use v1::watch_requirements_response::Payload;

    let (fake, client) = Fake::with_client().await;
    let reply = |id: &str, token: &str| v1::WatchRequirementsResponse {
        payload: Some(Payload::Requirement(call(id, "t", "{}"))),
        resume_token: token.to_owned(),
    };
    fake.change(|book| {
        book.inbox.extend([
            (vec![reply("q1", "t1")], gone()),
            (vec![reply("q2", "t2")], Some(Status::ok(""))),
        ]);
    });

    let found: Vec<_> = client
        .watch_requirements(RequirementFilter::new().run_id("r1"))
        .try_collect()
        .await
        .unwrap();

    assert_eq!(found.iter().map(|one| one.id()).collect::<Vec<_>>(), ["q1", "q2"]);
    let book = fake.book();
    let [Asked::Inbox(first), Asked::Inbox(second)] = &book.asked[..] else {
        panic!("other calls: {:?}", book.asked);
    };
    assert_eq!((first.resume_token.as_str(), second.resume_token.as_str()), ("", "t1"));
    assert_eq!(first.filter, second.filter);
}
