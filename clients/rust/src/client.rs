//! The client, and how it connects.

use std::sync::Arc;
use std::time::Duration;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Endpoint;
#[cfg(feature = "tls")]
use tonic::transport::{Certificate, ClientTlsConfig};

use crate::wire::Wire;
use crate::{Error, Workflow};

/// A connection to an Interlock server.
///
/// It connects when it is first used, and again when the connection was lost. Clones share it, and
/// are cheap. Every method that calls the server fails with the family of [`Error`] that fits.
///
/// ```no_run
/// # async fn example() -> Result<(), interlock_client::Error> {
/// use interlock_client::Client;
///
/// let client = Client::new("localhost:50051")?;
/// let run = client.workflow("WeatherWorkflow").run("Tokyo?").await?;
/// println!("{}", run.output());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) wire: Arc<Wire>,
}

impl Client {
    /// A client without encryption and without a token, for example for `"localhost:50051"`. Must
    /// be called within a Tokio runtime.
    ///
    /// # Errors
    ///
    /// [`Error::Connection`]: the target is malformed.
    pub fn new(target: impl Into<String>) -> Result<Self, Error> {
        Self::builder(target).build()
    }

    /// A client with more to say about how it connects.
    pub fn builder(target: impl Into<String>) -> ClientBuilder {
        ClientBuilder::new(target.into())
    }

    /// A handle for running a workflow. Asks the server nothing.
    pub fn workflow(&self, workflow_id: impl Into<String>) -> Workflow {
        Workflow::new(self.clone(), workflow_id.into())
    }
}

/// Says how a [`Client`] connects.
#[derive(Clone)]
#[must_use]
pub struct ClientBuilder {
    target: String,
    #[cfg(feature = "tls")]
    tls: Option<ClientTlsConfig>,
    token: Option<String>,
    timeout: Option<Duration>,
    retry_timeout: Duration,
}

impl ClientBuilder {
    fn new(target: String) -> Self {
        let builder = Self {
            target,
            #[cfg(feature = "tls")]
            tls: None,
            token: None,
            timeout: None,
            retry_timeout: Duration::from_secs(30),
        };
        #[cfg(feature = "tls")]
        if builder.target.starts_with("https://") {
            return builder.tls();
        }
        builder
    }

    /// Encrypts, and trusts the roots of the system.
    #[cfg(feature = "tls")]
    pub fn tls(self) -> Self {
        self.tls_config(ClientTlsConfig::new().with_native_roots())
    }

    /// Encrypts, and trusts only this root, which is in PEM format.
    #[cfg(feature = "tls")]
    pub fn ca_certificate(self, pem: impl AsRef<[u8]>) -> Self {
        self.tls_config(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)))
    }

    /// Encrypts as tonic is told to, for example with a certificate of the client.
    #[cfg(feature = "tls")]
    pub fn tls_config(mut self, tls: ClientTlsConfig) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Sends a token with every call, as `authorization: Bearer TOKEN`.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Deadline of every call that does not wait for a run, its retries included; none by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// For how long to try again while the server is unavailable; 30 seconds by default. Nothing
    /// happens twice by it.
    pub fn retry_timeout(mut self, retry_timeout: Duration) -> Self {
        self.retry_timeout = retry_timeout;
        self
    }

    /// Makes the client. Must be called within a Tokio runtime.
    ///
    /// # Errors
    ///
    /// [`Error::Connection`]: the target, the token or a certificate is malformed.
    pub fn build(self) -> Result<Client, Error> {
        let wire = Wire {
            channel: self.endpoint()?.connect_lazy(),
            authorization: self.authorization()?,
            timeout: self.timeout,
            retry_timeout: self.retry_timeout,
        };
        Ok(Client { wire: Arc::new(wire) })
    }

    fn endpoint(&self) -> Result<Endpoint, Error> {
        let endpoint = Endpoint::from_shared(self.uri())
            .map_err(malformed)?
            .user_agent(concat!("interlock-rust/", env!("CARGO_PKG_VERSION")))
            .map_err(malformed)?
            .connect_timeout(Duration::from_secs(20))
            // A connection that has died is noticed within 40 seconds, also while nothing is sent.
            .http2_keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(10))
            .keep_alive_while_idle(true);
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return endpoint.tls_config(tls.clone()).map_err(malformed);
        }
        Ok(endpoint)
    }

    fn authorization(&self) -> Result<Option<MetadataValue<Ascii>>, Error> {
        let Some(token) = &self.token else {
            return Ok(None);
        };
        let mut value = MetadataValue::try_from(format!("Bearer {token}")).map_err(malformed)?;
        // Kept out of logs.
        value.set_sensitive(true);
        Ok(Some(value))
    }

    fn uri(&self) -> String {
        if self.target.contains("://") {
            return self.target.clone();
        }
        #[cfg(feature = "tls")]
        if self.tls.is_some() {
            return format!("https://{}", self.target);
        }
        format!("http://{}", self.target)
    }
}

/// Says what is malformed, with what is behind it.
fn malformed(error: impl std::error::Error + 'static) -> Error {
    let errors = std::iter::successors(Some(&error as &(dyn std::error::Error + 'static)), |one| {
        one.source()
    });
    Error::Connection(errors.map(ToString::to_string).collect::<Vec<_>>().join(": "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_target_needs_no_scheme() {
        assert!(Client::new("localhost:50051").is_ok());
        assert!(Client::new("http://localhost:50051").is_ok());
        assert!(Client::new("[::1]:50051").is_ok());
    }

    #[tokio::test]
    async fn what_is_malformed_is_said_at_once() {
        for builder in [
            Client::builder("no host"),
            Client::builder("localhost:1").token("line\nbreak"),
            #[cfg(feature = "tls")]
            Client::builder("localhost:1").ca_certificate("-----BEGIN CERTIFICATE-----\n!"),
        ] {
            assert!(matches!(builder.build(), Err(Error::Connection(_))));
        }
    }
}
