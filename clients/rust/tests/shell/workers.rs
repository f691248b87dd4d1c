//! Workers: what they claim, what they report, how they stop.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use interlock_client::{CallOutcome, Client, Error, HandlerError, Worker, v1};
use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinHandle;
use tonic::Status;
use v1::external_result::Outcome;
use v1::requirement_resolution::Resolution;

use crate::fake::{Fake, call};

/// A worker at work.
struct Working {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), Error>>,
    outcomes: Arc<Mutex<Vec<CallOutcome>>>,
}

impl Working {
    fn start(worker: Worker) -> Self {
        let (stop, stopped) = oneshot::channel();
        let outcomes = Arc::new(Mutex::new(Vec::new()));
        let noted = outcomes.clone();
        let worker = worker.on_end(move |_, outcome| noted.lock().unwrap().push(outcome));
        let task = tokio::spawn(worker.run_until(async { drop(stopped.await) }));
        Self { stop, task, outcomes }
    }

    async fn stop(self) -> Vec<CallOutcome> {
        drop(self.stop);
        self.task.await.unwrap().unwrap();
        Arc::into_inner(self.outcomes).unwrap().into_inner().unwrap()
    }
}

/// The answers that were reported, in order.
fn answers(fake: &Fake) -> Vec<Outcome> {
    let book = fake.book();
    let answer = |report: &&v1::ResolveRequirementRequest| match report
        .resolution
        .clone()
        .unwrap()
        .resolution
    {
        Some(Resolution::ExternalResult(result)) => result.outcome.unwrap(),
        other => panic!("another answer: {other:?}"),
    };
    book.reports().iter().map(answer).collect()
}

fn echo(client: &Client) -> Worker {
    Worker::new(client).tool("echo", async |call| Ok(call.args::<Value>()?))
}

/// A worker whose handler waits until it is told to end; also says when a handler has begun.
fn waiting(client: &Client) -> (Worker, Arc<Notify>, watch::Sender<bool>) {
    let (begun, may_end) = (Arc::new(Notify::new()), watch::Sender::new(false));
    let (says_begun, told) = (begun.clone(), may_end.clone());
    let worker = Worker::new(client).tool("wait", move |_| {
        let mut told = told.subscribe();
        says_begun.notify_one();
        async move {
            told.wait_for(|may_end| *may_end).await?;
            Ok("ended")
        }
    });
    (worker, begun, may_end)
}

#[tokio::test]
async fn a_call_is_claimed_executed_and_reported() {
    let (fake, client) = Fake::with_client().await;
    fake.change(|book| book.calls.push_back(call("q1", "echo", r#"{"n":9007199254740993}"#)));
    let working = Working::start(echo(&client).worker_id("w1").workflow_id("W"));

    fake.until(|book| book.reports().len() == 1).await;

    assert_eq!(working.stop().await, [CallOutcome::Reported]);
    assert_eq!(answers(&fake), [Outcome::ResultJson(r#"{"n":9007199254740993}"#.to_owned())]);
    let book = fake.book();
    let claim = book.claims()[0];
    assert_eq!((claim.worker_id.as_str(), claim.workflow_id.as_str()), ("w1", "W"));
    assert_eq!(claim.tool_names, ["echo"]);
    let report = book.reports()[0];
    assert_eq!(report.resolution.as_ref().unwrap().requirement_id, "q1");
    assert_eq!((report.claim_epoch, report.hold_run), (1, false));
}

#[tokio::test]
async fn the_agent_reads_why_a_handler_failed() {
    let (fake, client) = Fake::with_client().await;
    fake.change(|book| {
        book.calls.extend(["fail", "panic", "mistype"].map(|tool| call(tool, tool, r#"{"a":1}"#)));
    });
    let worker = Worker::new(&client)
        .tool("fail", async |_| Err::<(), HandlerError>("no such table".into()))
        .tool("panic", async |_| -> Result<(), HandlerError> { panic!("out of order") })
        .tool("mistype", async |call| Ok(call.args::<String>()?));
    let working = Working::start(worker);

    fake.until(|book| book.reports().len() == 3).await;

    assert_eq!(working.stop().await, [CallOutcome::Failed; 3]);
    let texts = answers(&fake).into_iter().map(|outcome| match outcome {
        Outcome::ErrorMessage(text) => text,
        other => panic!("no error: {other:?}"),
    });
    let texts: Vec<_> = texts.collect();
    assert_eq!(texts[..2], ["no such table", "the handler panicked: out of order"]);
    assert!(texts[2].starts_with("JSON: invalid type: map, expected a string"), "{}", texts[2]);
}

#[tokio::test]
async fn no_more_calls_run_at_a_time_than_it_may() {
    let (fake, client) = Fake::with_client().await;
    fake.change(|book| {
        book.calls.extend((0..5).map(|number| call(&format!("q{number}"), "wait", "{}")));
    });
    let (worker, begun, may_end) = waiting(&client);
    let working = Working::start(worker.concurrency(2));
    begun.notified().await;
    begun.notified().await;
    assert_eq!(fake.book().claims().len(), 2);
    assert_eq!(fake.book().calls.len(), 3);

    may_end.send_replace(true);

    fake.until(|book| book.reports().len() == 5).await;
    assert_eq!(working.stop().await, [CallOutcome::Reported; 5]);
}

#[tokio::test]
async fn a_claim_is_renewed_while_the_handler_runs() {
    let (fake, client) = Fake::with_client().await;
    fake.change(|book| book.calls.push_back(call("q1", "wait", "{}")));
    let (worker, _, may_end) = waiting(&client);
    let working = Working::start(worker.lease(Duration::from_millis(30)));

    fake.until(|book| book.renewals() >= 3).await;
    may_end.send_replace(true);

    fake.until(|book| book.reports().len() == 1).await;
    assert_eq!(working.stop().await, [CallOutcome::Reported]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_is_renewed_while_the_handler_blocks_its_thread() {
    let (fake, client) = Fake::with_client().await;
    fake.change(|book| book.calls.push_back(call("q1", "block", "{}")));
    let (may_end, told) = std::sync::mpsc::channel::<()>();
    let told = Arc::new(Mutex::new(told));
    let worker = Worker::new(&client).tool("block", move |_| {
        let told = told.clone();
        async move { Ok(told.lock().unwrap().recv().is_err()) }
    });
    let working = Working::start(worker.lease(Duration::from_millis(30)));

    fake.until(|book| book.renewals() >= 2).await;
    drop(may_end);

    assert_eq!(working.stop().await, [CallOutcome::Reported]);
    assert_eq!(answers(&fake), [Outcome::ResultJson("true".to_owned())]);
}

#[tokio::test]
async fn a_handler_whose_claim_is_lost_is_dropped_and_nothing_is_reported() {
    let (fake, client) = Fake::with_client().await;
    fake.change(|book| {
        book.refuses_renewals = true;
        book.calls.push_back(call("q1", "wait", "{}"));
    });
    let (told, mut elsewhere) = tokio::sync::mpsc::unbounded_channel();
    let worker = Worker::new(&client).tool("wait", move |call| {
        // What a handler has started elsewhere is told.
        let told = told.clone();
        tokio::spawn({
            let call = call.clone();
            async move {
                call.cancelled().await;
                told.send(call.is_cancelled())
            }
        });
        std::future::pending::<Result<(), HandlerError>>()
    });
    let working = Working::start(worker.lease(Duration::from_millis(30)));

    assert!(elsewhere.recv().await.unwrap());

    assert_eq!(working.stop().await, [CallOutcome::Lost]);
    assert_eq!(fake.book().reports().len(), 0);
}

#[tokio::test]
async fn a_result_that_comes_too_late_is_lost() {
    let (fake, client) = Fake::with_client().await;
    fake.change(|book| {
        book.calls.push_back(call("q1", "echo", "{}"));
        book.report_errors.push_back(Status::failed_precondition("claimed again"));
    });
    let working = Working::start(echo(&client));
    fake.until(|book| book.reports().len() == 1 && book.claims().len() == 2).await;
    assert_eq!(working.stop().await, [CallOutcome::Lost]);
    assert_eq!(fake.book().reports().len(), 1);
}

#[tokio::test]
async fn the_agent_reads_that_a_result_was_refused() {
    let (fake, client) = Fake::with_client().await;
    fake.change(|book| {
        book.calls.push_back(call("q1", "echo", "{}"));
        book.report_errors.push_back(Status::invalid_argument("too deep"));
    });
    let working = Working::start(echo(&client));
    fake.until(|book| book.reports().len() == 2).await;
    assert_eq!(working.stop().await, [CallOutcome::Failed]);
    let why = "the result was refused: InvalidArgument: too deep".to_owned();
    assert_eq!(answers(&fake)[1], Outcome::ErrorMessage(why));
}

#[tokio::test]
async fn the_agent_reads_that_a_result_is_too_large() {
    let (fake, client) = Fake::with_client().await;
    fake.change(|book| book.calls.push_back(call("q1", "large", "{}")));
    let worker = Worker::new(&client).tool("large", async |_| Ok("x".repeat(17 * 1024 * 1024)));
    let working = Working::start(worker);
    fake.until(|book| book.reports().len() == 1).await;
    assert_eq!(working.stop().await, [CallOutcome::Failed]);
    assert!(matches!(&answers(&fake)[..], [Outcome::ErrorMessage(_)]));
}

#[tokio::test]
async fn an_outage_does_not_end_it() {
    let (fake, address) = Fake::serve().await;
    let client = Client::builder(address).retry_timeout(Duration::ZERO).build().unwrap();
    let gone = || Status::unavailable("gone");
    fake.change(|book| {
        book.claim_errors.extend([gone(), gone(), Status::internal("broken")]);
        book.report_errors.extend([gone(), gone()]);
        book.calls.push_back(call("q1", "echo", "{}"));
    });
    let working = Working::start(echo(&client));

    fake.until(|book| book.reports().len() == 3).await;

    assert_eq!(working.stop().await, [CallOutcome::Reported]);
    let book = fake.book();
    let same = |one: &&v1::ClaimRequirementRequest| one.request_id == book.claims()[0].request_id;
    assert!(book.claims()[..4].iter().all(same), "a claim is repeated as it is");
    assert_eq!(book.reports()[0], book.reports()[2]);
}

#[tokio::test]
async fn a_worker_that_may_not_claim_says_so() {
    let (fake, client) = Fake::with_client().await;
    fake.change(|book| book.claim_errors.push_back(Status::permission_denied("no")));
    let ended = echo(&client).run().await;
    assert!(matches!(ended, Err(Error::PermissionDenied(_))));
}

#[tokio::test]
async fn stopping_an_idle_worker_cancels_its_claim() {
    let (fake, client) = Fake::with_client().await;
    let working = Working::start(echo(&client));
    fake.until(|book| book.claims().len() == 1).await;
    assert_eq!(working.stop().await, []);
    fake.until(|book| book.cancelled == 1).await;
    assert_eq!(fake.book().releases(), 0);
}

#[tokio::test]
async fn stopping_lets_handlers_end_and_report() {
    let (fake, client) = Fake::with_client().await;
    fake.change(|book| {
        book.calls.extend(["q1", "q2"].map(|id| call(id, "wait", "{}")));
    });
    let (worker, begun, may_end) = waiting(&client);
    let working = Working::start(worker);
    begun.notified().await;
    let stopping = tokio::spawn(working.stop());

    may_end.send_replace(true);

    assert_eq!(stopping.await.unwrap(), [CallOutcome::Reported]);
    assert_eq!(answers(&fake), [Outcome::ResultJson(json!("ended").to_string())]);
    assert_eq!(fake.book().calls.len(), 1, "nothing new is claimed");
}

#[tokio::test]
async fn after_its_grace_claims_are_released() {
    let (fake, client) = Fake::with_client().await;
    fake.change(|book| book.calls.push_back(call("q1", "wait", "{}")));
    let (worker, begun, _may_end) = waiting(&client);
    let working = Working::start(worker.grace(Duration::from_millis(10)));
    begun.notified().await;

    assert_eq!(working.stop().await, [CallOutcome::Released]);

    let book = fake.book();
    assert_eq!((book.releases(), book.reports().len()), (1, 0));
}

#[tokio::test]
async fn a_claim_that_was_granted_while_stopping_is_given_back() {
    let (fake, client) = Fake::with_client().await;
    fake.change(|book| {
        book.loses_claims = true;
        book.calls.push_back(call("q1", "echo", "{}"));
    });
    let working = Working::start(echo(&client));
    fake.until(|book| book.calls.is_empty()).await;

    assert_eq!(working.stop().await, []);

    let book = fake.book();
    assert_eq!((book.releases(), book.reports().len()), (1, 0));
    assert_eq!(book.claims()[0].request_id, book.claims()[1].request_id);
}
