//! Calls with one reply: deadlines, attempts, waiting.

use std::time::Duration;

use interlock_client::{Client, Error, RunState, v1};
use tonic::Status;

use crate::fake::{Asked, Fake};

fn run(state: RunState) -> Result<v1::Run, Status> {
    Ok(v1::Run { run_id: "r1".to_owned(), state: state.into(), ..Default::default() })
}

#[tokio::test]
async fn a_call_is_repeated_as_it_is_while_the_server_is_unavailable() {
    let (fake, client) = Fake::with_client().await;
    fake.change(|book| {
        book.runs.extend([
            Err(Status::unavailable("gone")),
            Err(Status::unavailable("gone")),
            run(RunState::Completed),
        ]);
    });

    let run = client.workflow("W").run("Tokyo?").await.unwrap();

    assert_eq!(run.state(), RunState::Completed);
    let book = fake.book();
    assert_eq!(book.asked.len(), 3);
    assert!(book.asked.iter().all(|asked| *asked == book.asked[0]));
    let Asked::Run(request) = &book.asked[0] else {
        panic!("another call");
    };
    assert_eq!(request.request_id.len(), 36);
    assert_eq!(request.spec.as_ref().unwrap().input_json, r#""Tokyo?""#);
}

#[tokio::test]
async fn nothing_else_is_repeated() {
    let (fake, client) = Fake::with_client().await;
    fake.change(|book| book.runs.push_back(Err(Status::aborted("changed"))));
    let error = client.workflow("W").run(()).await.unwrap_err();
    assert!(matches!(error, Error::Conflict(_)));
    assert_eq!(fake.book().asked.len(), 1);
}

#[tokio::test]
async fn it_gives_up_when_the_server_stays_away() {
    let (_, address) = Fake::serve().await;
    let nobody = address.replace("127.0.0.1", "127.0.0.2");
    let client = Client::builder(nobody).retry_timeout(Duration::from_millis(300)).build().unwrap();
    let Err(Error::Unavailable(failure)) = client.get_run("r1").await else {
        panic!("nobody is there");
    };
    assert!(failure.message.contains("refused"), "{}", failure.message);
}

#[tokio::test]
async fn a_call_ends_at_its_deadline() {
    let (fake, address) = Fake::serve().await;
    let client = Client::builder(address).timeout(Duration::from_millis(100)).build().unwrap();
    let error = client.get_run("r1").await.unwrap_err();
    assert!(matches!(error, Error::DeadlineExceeded(_)), "{error}");
    fake.until(|book| book.cancelled == 1).await;
}

#[tokio::test]
async fn a_call_whose_future_is_dropped_is_cancelled() {
    let (fake, client) = Fake::with_client().await;
    let call = tokio::time::timeout(Duration::from_millis(200), client.get_run("r1")).await;
    assert!(call.is_err());
    fake.until(|book| book.cancelled == 1).await;
}

#[tokio::test]
async fn a_run_is_waited_for_in_slices() {
    let (fake, client) = Fake::with_client().await;
    fake.change(|book| {
        book.runs.extend([run(RunState::Running), run(RunState::Running), run(RunState::Paused)]);
    });

    let run = client.workflow("W").run(()).wait_timeout(Duration::from_secs(45)).await.unwrap();

    assert!(run.is_paused());
    let waits: Vec<_> = fake
        .book()
        .asked
        .iter()
        .map(|asked| match asked {
            Asked::Run(request) => request.wait_timeout.unwrap().seconds,
            Asked::Wait(request) => request.wait_timeout.unwrap().seconds,
            _ => panic!("another call"),
        })
        .collect();
    assert_eq!(waits, [30, 30, 30]);
}

#[tokio::test]
async fn a_run_that_shall_not_be_waited_for_is_given_as_it_is() {
    let (fake, client) = Fake::with_client().await;
    fake.change(|book| book.runs.push_back(run(RunState::Running)));
    let run = client.workflow("W").run(()).wait_timeout(Duration::ZERO).await.unwrap();
    assert_eq!(run.state(), RunState::Running);
    assert_eq!(fake.book().asked.len(), 1);
}

#[tokio::test]
async fn the_token_goes_with_every_call() {
    let (fake, address) = Fake::serve().await;
    fake.change(|book| book.runs.push_back(run(RunState::Completed)));
    let client = Client::builder(address).token("secret").build().unwrap();
    client.workflow("W").run(()).await.unwrap();
    assert_eq!(fake.book().metadata[0].get("authorization").unwrap(), "Bearer secret");
    assert!(!format!("{client:?}").contains("secret"));
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_at_once() {
    let (fake, client) = Fake::with_client().await;
    let input = "x".repeat(17 * 1024 * 1024);
    let error = client.workflow("W").run(input).await.unwrap_err();
    assert!(matches!(error, Error::ResourceExhausted(_)), "{error}");
    assert_eq!(error.reason(), "SIZE_LIMIT_EXCEEDED");
    assert_eq!(fake.book().asked.len(), 0);
}

#[tokio::test]
async fn what_cannot_be_json_is_refused_at_once() {
    let (fake, client) = Fake::with_client().await;
    let no_json = std::collections::HashMap::from([((1, 2), "a key must be a text")]);
    let error = client.workflow("W").run(&no_json).await.unwrap_err();
    assert!(matches!(error, Error::Json(_)), "{error}");
    assert!(client.workflow("W").run(&no_json).stream().is_err());
    assert_eq!(fake.book().asked.len(), 0);
}

#[tokio::test]
async fn what_was_not_decided_is_not_sent() {
    let (fake, client) = Fake::with_client().await;
    fake.change(|book| {
        let step = v1::StepRequirement {
            executor_requirements: vec![crate::fake::call("q1", "t", "{}")],
            ..Default::default()
        };
        let run = v1::Run { step_requirements: vec![step], ..Default::default() };
        book.runs.push_back(Ok(v1::Run { state: RunState::Paused.into(), ..run }));
    });
    let run = client.workflow("W").run(()).await.unwrap();
    let undecided = run.requirements().next().unwrap();
    assert!(matches!(client.resolve(undecided).await, Err(Error::Refused(_))));
    assert_eq!(fake.book().reports().len(), 0);
}
