//! Where streams stand: what was received, and how to go on from there.

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt, TryStreamExt};
use tonic::Status;

use crate::items::{Cursor, Replies};
use crate::wire::Wire;
use crate::{Event, EventKind, Requirement, v1};

/// The position in the events of one run.
pub(crate) struct RunCursor {
    /// Starts the first call. Until it has brought an event, it is also what is repeated, with the
    /// same request id, so that nothing starts twice.
    opening: Option<Opening>,
    /// What to watch after that. Run and sequence are kept up to date.
    watch: v1::WatchRunRequest,
    /// Whether the stream ends when the run pauses, whatever the server does.
    is_leg: bool,
    is_finished: bool,
    texts: Texts,
}

/// A call that starts or continues a run.
#[derive(Clone)]
enum Opening {
    Run(v1::RunStreamRequest),
    Continue(v1::ContinueRunStreamRequest),
}

impl RunCursor {
    /// Starts a run and goes on until it pauses or ends.
    pub(crate) fn starting(request: v1::RunStreamRequest) -> Self {
        Self::of_leg(Opening::Run(request), String::new())
    }

    /// Continues a run and goes on until it pauses again or ends.
    pub(crate) fn continuing(request: v1::ContinueRunStreamRequest) -> Self {
        let run_id = request.run_id.clone();
        Self::of_leg(Opening::Continue(request), run_id)
    }

    /// Watches a run.
    pub(crate) fn watching(watch: v1::WatchRunRequest) -> Self {
        Self { opening: None, watch, is_leg: false, is_finished: false, texts: Texts::default() }
    }

    fn of_leg(opening: Opening, run_id: String) -> Self {
        let watch = v1::WatchRunRequest { run_id, end_on_pause: true, ..Default::default() };
        Self { opening: Some(opening), is_leg: true, ..Self::watching(watch) }
    }

    /// The event in a message, unless it is of an unknown kind or was received before.
    fn admit(&mut self, message: v1::RunEvent) -> Option<Event> {
        let is_stored = !matches!(message.event, Some(EventKind::ContentDelta(_)));
        if is_stored {
            self.advance(&message)?;
        }
        let event = Event::new(message).filter(|event| self.texts.admits(event))?;
        if is_stored {
            self.is_finished = event.ends() || (self.is_leg && event.pauses());
        }
        Some(event)
    }

    /// Moves the position to a stored event; none when it was received before.
    fn advance(&mut self, message: &v1::RunEvent) -> Option<()> {
        if message.sequence <= self.watch.after_sequence {
            return None;
        }
        self.opening = None;
        self.watch.run_id.clone_from(&message.run_id);
        self.watch.after_sequence = message.sequence;
        Some(())
    }
}

impl Cursor for RunCursor {
    /// Events; none stands for a snapshot, which is no progress.
    type Reply = Option<Vec<v1::RunEvent>>;
    type Item = Event;

    async fn open(&mut self, wire: &Wire) -> Result<Replies<Self>, Status> {
        self.texts.resume();
        Ok(match self.opening.clone() {
            Some(Opening::Run(request)) => wire.open(request).await?.map_ok(of_run).boxed(),
            Some(Opening::Continue(request)) => {
                wire.open(request).await?.map_ok(of_continue).boxed()
            }
            None => wire.open(self.watch.clone()).await?.map_ok(of_watch).boxed(),
        })
    }

    fn receive(&mut self, reply: Self::Reply) -> Option<Vec<Event>> {
        Some(reply?.into_iter().filter_map(|message| self.admit(message)).collect())
    }

    fn is_finished(&self) -> bool {
        self.is_finished
    }
}

fn of_run(reply: v1::RunStreamResponse) -> Option<Vec<v1::RunEvent>> {
    match reply.payload {
        Some(v1::run_stream_response::Payload::Events(batch)) => Some(batch.events),
        _ => Some(Vec::new()),
    }
}

fn of_continue(reply: v1::ContinueRunStreamResponse) -> Option<Vec<v1::RunEvent>> {
    match reply.payload {
        Some(v1::continue_run_stream_response::Payload::Events(batch)) => Some(batch.events),
        _ => Some(Vec::new()),
    }
}

fn of_watch(reply: v1::WatchRunResponse) -> Option<Vec<v1::RunEvent>> {
    match reply.payload {
        Some(v1::watch_run_response::Payload::Events(batch)) => Some(batch.events),
        Some(v1::watch_run_response::Payload::Snapshot(_)) => None,
        _ => Some(Vec::new()),
    }
}

/// Keeps pieces of text from coming twice. They are not stored by the server: after a lost
/// connection some may come again, and some never come.
#[derive(Default)]
struct Texts {
    /// Index of the last piece of each step that writes.
    last: HashMap<String, i64>,
    /// The same when the connection was lost.
    skipped_until: HashMap<String, i64>,
    /// Steps whose whole text was delivered.
    ended: HashSet<String>,
}

impl Texts {
    /// The connection was lost: pieces that were delivered may come again.
    fn resume(&mut self) {
        self.skipped_until.clone_from(&self.last);
    }

    /// Notes an event, and says whether it is to be delivered.
    fn admits(&mut self, event: &Event) -> bool {
        let Some(step) = event.step() else {
            return true;
        };
        match event.kind() {
            EventKind::ContentDelta(piece) => return self.admits_piece(&step.step_id, piece.index),
            EventKind::StepStarted(_) => {
                self.forget(&step.step_id);
                self.ended.remove(&step.step_id);
            }
            EventKind::StepCompleted(_) | EventKind::StepFailed(_) | EventKind::StepSkipped(_) => {
                self.forget(&step.step_id);
                self.ended.insert(step.step_id.clone());
            }
            _ => {}
        }
        true
    }

    fn admits_piece(&mut self, step_id: &str, index: i64) -> bool {
        let is_old = self.skipped_until.get(step_id).is_some_and(|last| index <= *last);
        if is_old || self.ended.contains(step_id) {
            return false;
        }
        self.last.insert(step_id.to_owned(), index);
        true
    }

    fn forget(&mut self, step_id: &str) {
        self.last.remove(step_id);
        self.skipped_until.remove(step_id);
    }
}

/// The position in the changes of requirements.
pub(crate) struct InboxCursor(pub(crate) v1::WatchRequirementsRequest);

impl Cursor for InboxCursor {
    type Reply = v1::WatchRequirementsResponse;
    type Item = Requirement;

    async fn open(&mut self, wire: &Wire) -> Result<Replies<Self>, Status> {
        Ok(wire.open(self.0.clone()).await?.boxed())
    }

    fn receive(&mut self, reply: Self::Reply) -> Option<Vec<Requirement>> {
        if !reply.resume_token.is_empty() {
            self.0.resume_token = reply.resume_token;
        }
        Some(match reply.payload {
            Some(v1::watch_requirements_response::Payload::Requirement(message)) => {
                vec![Requirement::new(message)]
            }
            _ => Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(sequence: i64, event: Option<EventKind>) -> v1::RunEvent {
        let step = v1::StepRef { step_id: "s1".to_owned(), ..Default::default() };
        v1::RunEvent {
            run_id: "r1".to_owned(),
            sequence,
            step: Some(step),
            event,
            ..Default::default()
        }
    }

    fn started(sequence: i64) -> v1::RunEvent {
        message(sequence, Some(EventKind::StepStarted(Default::default())))
    }

    fn piece(sequence: i64, index: i64) -> v1::RunEvent {
        let text = format!("<{index}>");
        let delta = v1::ContentDelta { text, index, ..Default::default() };
        message(sequence, Some(EventKind::ContentDelta(delta)))
    }

    fn cursor() -> RunCursor {
        RunCursor::starting(v1::RunStreamRequest::default())
    }

    fn received(cursor: &mut RunCursor, messages: Vec<v1::RunEvent>) -> Vec<i64> {
        let events = cursor.receive(Some(messages)).unwrap();
        events.iter().map(Event::sequence).collect()
    }

    #[test]
    fn the_opening_is_repeated_until_an_event_was_stored() {
        let mut cursor = cursor();
        received(&mut cursor, vec![piece(0, 1)]);
        assert!(cursor.opening.is_some());

        received(&mut cursor, vec![started(1)]);

        assert!(cursor.opening.is_none());
        assert_eq!((cursor.watch.run_id.as_str(), cursor.watch.after_sequence), ("r1", 1));
        assert!(cursor.watch.end_on_pause);
    }

    #[test]
    fn no_stored_event_comes_twice() {
        let mut cursor = cursor();
        assert_eq!(received(&mut cursor, vec![started(1), started(2)]), [1, 2]);
        assert_eq!(received(&mut cursor, vec![started(2), started(3)]), [3]);
    }

    #[test]
    fn kinds_that_are_newer_are_left_out_and_count_for_resuming() {
        let mut cursor = cursor();
        assert_eq!(received(&mut cursor, vec![started(1), message(2, None)]), [1]);
        assert_eq!(cursor.watch.after_sequence, 2);
    }

    #[test]
    fn a_snapshot_is_no_progress_and_a_heartbeat_is() {
        let heartbeat = v1::watch_run_response::Payload::Heartbeat(Default::default());
        let snapshot = v1::watch_run_response::Payload::Snapshot(Default::default());
        let reply = |payload| v1::WatchRunResponse { payload: Some(payload) };
        assert_eq!(of_watch(reply(snapshot)), None);
        assert_eq!(of_watch(reply(heartbeat)), Some(Vec::new()));
        assert_eq!(of_watch(v1::WatchRunResponse { payload: None }), Some(Vec::new()));
    }

    #[test]
    fn a_leg_is_over_at_a_pause_and_a_watch_is_not() {
        let pause = || message(1, Some(EventKind::WorkflowPaused(Default::default())));
        let mut leg = cursor();
        received(&mut leg, vec![pause()]);
        assert!(leg.is_finished());

        let mut watch = RunCursor::watching(Default::default());
        received(&mut watch, vec![pause()]);
        assert!(!watch.is_finished());
        let end = message(2, Some(EventKind::WorkflowFailed(Default::default())));
        received(&mut watch, vec![end]);
        assert!(watch.is_finished());
    }

    #[test]
    fn pieces_of_text_do_not_come_again() {
        let mut cursor = cursor();
        assert_eq!(received(&mut cursor, vec![started(1), piece(1, 1), piece(1, 2)]).len(), 3);
        cursor.texts.resume();
        assert_eq!(received(&mut cursor, vec![piece(1, 2), piece(1, 3)]).len(), 1);
        received(&mut cursor, vec![message(2, Some(EventKind::StepCompleted(Default::default())))]);
        assert_eq!(received(&mut cursor, vec![piece(2, 4)]).len(), 0);
    }

    #[test]
    fn another_attempt_of_a_step_writes_from_the_beginning() {
        let mut cursor = cursor();
        received(&mut cursor, vec![started(1), piece(1, 5)]);
        cursor.texts.resume();
        assert_eq!(received(&mut cursor, vec![started(2), piece(2, 1)]).len(), 2);
    }

    #[test]
    fn the_inbox_goes_on_from_its_newest_token() {
        let mut cursor = InboxCursor(Default::default());
        let mut reply =
            v1::WatchRequirementsResponse { resume_token: "t1".to_owned(), payload: None };
        assert_eq!(cursor.receive(reply.clone()), Some(Vec::new()));
        reply.resume_token.clear();
        cursor.receive(reply);
        assert_eq!(cursor.0.resume_token, "t1");
    }
}
