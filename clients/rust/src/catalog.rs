//! What the server can run, and the sessions that runs share.

use serde::Serialize;

use crate::backoff::new_request_id;
use crate::items::{Items, pages};
use crate::{Client, Error, Json, json, v1};

impl Client {
    /// Lists the workflows that can be started, by name, newest version only.
    pub fn list_workflows(&self) -> Items<v1::Workflow> {
        let wire = self.wire.clone();
        pages(move |page_token| {
            let request = v1::ListWorkflowsRequest { page_token, ..Default::default() };
            let wire = wire.clone();
            async move {
                let page = wire.call(request).await?;
                Ok((page.workflows, page.next_page_token))
            }
        })
    }

    /// Gets the newest version of a workflow.
    pub async fn get_workflow(&self, id: impl Into<String>) -> Result<v1::Workflow, Error> {
        let request = v1::GetWorkflowRequest { workflow_id: id.into(), version: None };
        Ok(self.wire.call(request).await?.workflow.unwrap_or_default())
    }

    /// Gets a session; [`list_runs`](Self::list_runs) gives its runs.
    pub async fn get_session(&self, id: impl Into<String>) -> Result<v1::Session, Error> {
        let request = v1::GetSessionRequest { session_id: id.into() };
        Ok(self.wire.call(request).await?.session.unwrap_or_default())
    }

    /// Replaces the state of a session with a JSON object, and creates the session when it does
    /// not exist.
    pub async fn update_session(
        &self,
        id: impl Into<String>,
        state: impl Serialize,
    ) -> Result<v1::Session, Error> {
        let session = v1::Session {
            session_id: id.into(),
            state_json: json::write(state)?,
            ..Default::default()
        };
        let request = v1::UpdateSessionRequest {
            session: Some(session),
            update_mask: Some(prost_types::FieldMask { paths: vec!["state_json".to_owned()] }),
            allow_missing: true,
            request_id: new_request_id(),
        };
        Ok(self.wire.call(request).await?.session.unwrap_or_default())
    }
}

impl v1::Session {
    /// What functions, tools and agents of its runs can read and change: a JSON object.
    pub fn state(&self) -> Json<'_> {
        Json::new(&self.state_json)
    }
}
