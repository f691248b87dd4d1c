//! A service that stands for Interlock's: it speaks the contract over a real connection, answers as
//! a test tells it to, and keeps what it was asked.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::{Stream, StreamExt, stream};
use interlock_client::{Client, RequirementKind, RequirementState, v1};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tonic::metadata::MetadataMap;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// Traits of servers, generated from the contract.
#[allow(clippy::all)]
mod generated {
    include!("generated/interlock.v1.rs");
}

use generated::requirement_service_server::{RequirementService, RequirementServiceServer};
use generated::run_service_server::{RunService, RunServiceServer};

/// What a call that streams replies sends; then it stays open, unless it ends with a status.
type Script<T> = (Vec<T>, Option<Status>);

type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Everything that the service knows.
#[derive(Clone, Default)]
pub struct Fake {
    book: Arc<Mutex<Book>>,
    changes: Arc<watch::Sender<u64>>,
}

/// What a test tells the service, and what it was asked.
#[derive(Default)]
pub struct Book {
    /// Answers to unary calls of runs, in order.
    pub runs: VecDeque<Result<v1::Run, Status>>,
    /// What streams of runs send, in order.
    pub streams: VecDeque<Script<Vec<v1::RunEvent>>>,
    /// What streams of requirements send, in order.
    pub inbox: VecDeque<Script<v1::WatchRequirementsResponse>>,
    /// Calls that wait for a worker.
    pub calls: VecDeque<v1::Requirement>,
    /// Errors of the next claims.
    pub claim_errors: VecDeque<Status>,
    /// Whether claims are granted, but their replies never sent.
    pub loses_claims: bool,
    /// Whether claims that are renewed turn out to be lost.
    pub refuses_renewals: bool,
    /// Errors of the next reports.
    pub report_errors: VecDeque<Status>,

    pub asked: Vec<Asked>,
    pub metadata: Vec<MetadataMap>,
    /// How many open streams and waiting calls the client has left.
    pub cancelled: usize,
    granted: Option<(String, v1::Requirement)>,
}

/// A request that came.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    Run(v1::RunRequest),
    Wait(v1::WaitRunRequest),
    RunStream(v1::RunStreamRequest),
    Watch(v1::WatchRunRequest),
    Inbox(v1::WatchRequirementsRequest),
    Claim(v1::ClaimRequirementRequest),
    Renew(v1::RenewClaimRequest),
    Release(v1::ReleaseClaimRequest),
    Resolve(v1::ResolveRequirementRequest),
}

impl Fake {
    /// Serves until the test ends; gives the address, too.
    pub async fn serve() -> (Self, String) {
        let fake = Self::default();
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = incoming.local_addr().unwrap().to_string();
        let server = Server::builder()
            .add_service(RunServiceServer::new(fake.clone()))
            .add_service(
                RequirementServiceServer::new(fake.clone())
                    .max_decoding_message_size(64 * 1024 * 1024),
            )
            .serve_with_incoming(incoming);
        tokio::spawn(server);
        (fake, address)
    }

    /// A served service, and a client of it.
    pub async fn with_client() -> (Self, Client) {
        let (fake, address) = Self::serve().await;
        (fake, Client::new(address).unwrap())
    }

    /// The same behind a connection that breaks when somebody is notified.
    pub async fn behind_a_connection() -> (Self, Client, Arc<Notify>) {
        let (fake, address) = Self::serve().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::new(listener.local_addr().unwrap().to_string()).unwrap();
        let cut = Arc::new(Notify::new());
        let is_cut = cut.clone();
        tokio::spawn(async move {
            while let Ok((mut ours, _)) = listener.accept().await {
                let mut theirs = TcpStream::connect(&address).await.unwrap();
                tokio::select! {
                    _ = copy_bidirectional(&mut ours, &mut theirs) => {}
                    () = is_cut.notified() => {}
                }
            }
        });
        (fake, client, cut)
    }

    pub fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap()
    }

    /// Changes what the service knows, and tells who waits for it.
    pub fn change<T>(&self, change: impl FnOnce(&mut Book) -> T) -> T {
        let result = change(&mut self.book());
        self.changes.send_modify(|count| *count += 1);
        result
    }

    /// Waits until something is so.
    pub async fn until(&self, is_so: impl Fn(&Book) -> bool) {
        let mut changes = self.changes.subscribe();
        let waiting = changes.wait_for(|_| is_so(&self.book()));
        let limit = std::time::Duration::from_secs(20);
        tokio::time::timeout(limit, waiting).await.expect("it should have become so").unwrap();
    }

    fn asked<T>(&self, request: Request<T>, asked: impl FnOnce(T) -> Asked) {
        let metadata = request.metadata().clone();
        let asked = asked(request.into_inner());
        self.change(|book| {
            book.metadata.push(metadata);
            book.asked.push(asked);
        });
    }

    fn next_run(&self) -> Result<v1::Run, Status> {
        self.change(|book| book.runs.pop_front())
            .unwrap_or_else(|| Err(Status::internal("no answer")))
    }

    /// Sends what a script says; then notes when the client leaves.
    fn play<T: Send + 'static>(&self, script: Option<Script<T>>) -> Response<Replies<T>> {
        let (items, end) = script.unwrap_or((Vec::new(), Some(Status::internal("no answer"))));
        let sent = stream::iter(items.into_iter().map(Ok));
        let left = Left(self.clone());
        let rest: Replies<T> = match end {
            Some(status) if status.code() == tonic::Code::Ok => Box::pin(stream::empty()),
            Some(status) => Box::pin(stream::iter([Err(status)])),
            None => Box::pin(stream::once(async move {
                let _left = left;
                std::future::pending().await
            })),
        };
        Response::new(Box::pin(sent.chain(rest)))
    }
}

/// Notes that a client has left when it is dropped.
struct Left(Fake);

impl Drop for Left {
    fn drop(&mut self) {
        self.0.change(|book| book.cancelled += 1);
    }
}

impl Book {
    pub fn claims(&self) -> Vec<&v1::ClaimRequirementRequest> {
        self.asked
            .iter()
            .filter_map(|asked| match asked {
                Asked::Claim(request) => Some(request),
                _ => None,
            })
            .collect()
    }

    pub fn renewals(&self) -> usize {
        self.asked.iter().filter(|asked| matches!(asked, Asked::Renew(_))).count()
    }

    pub fn releases(&self) -> usize {
        self.asked.iter().filter(|asked| matches!(asked, Asked::Release(_))).count()
    }

    pub fn reports(&self) -> Vec<&v1::ResolveRequirementRequest> {
        self.asked
            .iter()
            .filter_map(|asked| match asked {
                Asked::Resolve(request) => Some(request),
                _ => None,
            })
            .collect()
    }

    /// The call that this request claims: the one that it was granted before, or the oldest.
    fn grant(&mut self, request: &v1::ClaimRequirementRequest) -> Option<v1::Requirement> {
        if let Some((request_id, granted)) = &self.granted
            && *request_id == request.request_id
        {
            return Some(granted.clone());
        }
        let mut call = self.calls.pop_front()?;
        let epoch = call.claim.take().map_or(1, |claim| claim.epoch + 1);
        let worker_id = request.worker_id.clone();
        call.claim = Some(v1::RequirementClaim { worker_id, epoch, expire_time: None });
        self.granted = Some((request.request_id.clone(), call.clone()));
        Some(call)
    }
}

/// A call that waits for a worker.
pub fn call(id: &str, tool: &str, args: &str) -> v1::Requirement {
    v1::Requirement {
        requirement_id: id.to_owned(),
        run_id: "r1".to_owned(),
        kind: RequirementKind::ExternalExecution.into(),
        state: RequirementState::Pending.into(),
        subject: Some(v1::requirement::Subject::ToolExecution(v1::ToolExecution {
            tool_name: tool.to_owned(),
            tool_args_json: args.to_owned(),
            ..Default::default()
        })),
        ..Default::default()
    }
}

#[tonic::async_trait]
impl RunService for Fake {
    async fn run(
        &self,
        request: Request<v1::RunRequest>,
    ) -> Result<Response<v1::RunResponse>, Status> {
        self.asked(request, Asked::Run);
        Ok(Response::new(v1::RunResponse { run: Some(self.next_run()?) }))
    }

    async fn wait_run(
        &self,
        request: Request<v1::WaitRunRequest>,
    ) -> Result<Response<v1::WaitRunResponse>, Status> {
        self.asked(request, Asked::Wait);
        Ok(Response::new(v1::WaitRunResponse { run: Some(self.next_run()?) }))
    }

    /// Never answers.
    async fn get_run(
        &self,
        _request: Request<v1::GetRunRequest>,
    ) -> Result<Response<v1::GetRunResponse>, Status> {
        let _left = Left(self.clone());
        std::future::pending().await
    }

    async fn run_stream(
        &self,
        request: Request<v1::RunStreamRequest>,
    ) -> Result<Response<Replies<v1::RunStreamResponse>>, Status> {
        use v1::run_stream_response::Payload;
        self.asked(request, Asked::RunStream);
        let batch = |events| v1::RunStreamResponse {
            payload: Some(Payload::Events(v1::RunEvents { events })),
        };
        let script = self.change(|book| book.streams.pop_front());
        Ok(self.play(script.map(|(batches, end)| (batches.into_iter().map(batch).collect(), end))))
    }

    async fn watch_run(
        &self,
        request: Request<v1::WatchRunRequest>,
    ) -> Result<Response<Replies<v1::WatchRunResponse>>, Status> {
        use v1::watch_run_response::Payload;
        self.asked(request, Asked::Watch);
        let batch = |events| v1::WatchRunResponse {
            payload: Some(Payload::Events(v1::RunEvents { events })),
        };
        let script = self.change(|book| book.streams.pop_front());
        Ok(self.play(script.map(|(batches, end)| (batches.into_iter().map(batch).collect(), end))))
    }
}

#[tonic::async_trait]
impl RequirementService for Fake {
    async fn watch_requirements(
        &self,
        request: Request<v1::WatchRequirementsRequest>,
    ) -> Result<Response<Replies<v1::WatchRequirementsResponse>>, Status> {
        self.asked(request, Asked::Inbox);
        let script = self.change(|book| book.inbox.pop_front());
        Ok(self.play(script))
    }

    async fn claim_requirement(
        &self,
        request: Request<v1::ClaimRequirementRequest>,
    ) -> Result<Response<v1::ClaimRequirementResponse>, Status> {
        let asked = request.get_ref().clone();
        self.asked(request, Asked::Claim);
        if let Some(error) = self.change(|book| book.claim_errors.pop_front()) {
            return Err(error);
        }
        let left = Left(self.clone());
        let mut changes = self.changes.subscribe();
        let requirement = loop {
            changes.mark_unchanged();
            let granted = self.book().grant(&asked);
            let waits = asked.wait_timeout.is_some_and(|wait| wait.seconds > 0);
            if waits && granted.is_some() && self.book().loses_claims {
                std::future::pending::<()>().await;
            }
            if granted.is_some() || !waits {
                break granted;
            }
            changes.changed().await.unwrap();
        };
        std::mem::forget(left);
        Ok(Response::new(v1::ClaimRequirementResponse { requirement }))
    }

    async fn renew_claim(
        &self,
        request: Request<v1::RenewClaimRequest>,
    ) -> Result<Response<v1::RenewClaimResponse>, Status> {
        self.asked(request, Asked::Renew);
        if self.book().refuses_renewals {
            return Err(Status::failed_precondition("the claim is lost"));
        }
        Ok(Response::new(v1::RenewClaimResponse::default()))
    }

    async fn release_claim(
        &self,
        request: Request<v1::ReleaseClaimRequest>,
    ) -> Result<Response<v1::ReleaseClaimResponse>, Status> {
        self.asked(request, Asked::Release);
        Ok(Response::new(v1::ReleaseClaimResponse {}))
    }

    async fn resolve_requirement(
        &self,
        request: Request<v1::ResolveRequirementRequest>,
    ) -> Result<Response<v1::ResolveRequirementResponse>, Status> {
        self.asked(request, Asked::Resolve);
        match self.change(|book| book.report_errors.pop_front()) {
            Some(error) => Err(error),
            None => Ok(Response::new(v1::ResolveRequirementResponse::default())),
        }
    }
}
