//! A chat straight with an engine that this process owns: admission, the changes its configuration asks for, time
//! limits, one repeat, and what a failure is called. The gateway of the daemon does the same for those who connect.

use std::error::Error;
use std::pin::Pin;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use orchestrator_core::error::{Coded, causes_of};
use orchestrator_core::orchestrator::{Lease, Orchestrator};
use orchestrator_core::{ErrorCode, InstanceName, Problem};
use orchestrator_server::client::ItemStream;
use orchestrator_server::{Client, ClientError};
use serde_json::{Map, Value};

use crate::closable::Items;

/// How long an engine may be silent once it is known to be ended.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long the end of an engine is waited for after its connection failed, before the request is repeated.
const SEEING_THE_END: Duration = Duration::from_millis(500);

/// Why an engine gave no answer, or only a part of one.
#[derive(Debug, thiserror::Error)]
enum EngineError {
    /// It took no connection, broke it, or broke the protocol.
    #[error("`{instance}` broke off before it had answered")]
    Broken {
        /// The instance.
        instance: InstanceName,
        /// How.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// It said nothing for too long.
    #[error("`{instance}` said nothing for {after:?}")]
    Silent {
        /// The instance.
        instance: InstanceName,
        /// How long was waited.
        after: Duration,
    },
}

impl Coded for EngineError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Broken { .. } => ErrorCode::UpstreamFailed,
            Self::Silent { .. } => ErrorCode::UpstreamTimeout,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Broken { instance, .. } => format!("`describe(\"{instance}\")` shows what happened, `logs(\"{instance}\")` what it said"),
            Self::Silent { .. } => {
                "ask for less, or raise `limits.first_byte` in `config.yaml` or `server.timeout` of the instance".to_owned()
            }
        })
    }
}

/// A place on an engine that is ready, held until it is dropped.
struct Place {
    lease: Lease,
    client: Client,
    first_byte: Duration,
}

/// What is sent to an engine, and how its answer is read.
trait Exchange {
    type Answer;
    async fn send(&self, client: &Client, body: &Value) -> Result<Self::Answer, ClientError>;
}

/// The answer comes as a whole.
struct Whole;

/// The answer comes piece by piece.
struct Pieces;

impl Exchange for Whole {
    type Answer = Value;

    async fn send(&self, client: &Client, body: &Value) -> Result<Value, ClientError> {
        client.chat(body).await
    }
}

impl Exchange for Pieces {
    type Answer = ItemStream<Value>;

    async fn send(&self, client: &Client, body: &Value) -> Result<ItemStream<Value>, ClientError> {
        client.chat_stream(body).await
    }
}

/// Asks for a whole answer.
pub(crate) async fn chat(orchestrator: &Orchestrator, model: &str, fields: &Map<String, Value>) -> Result<Value, Problem> {
    exchange(orchestrator, model, fields, &Whole).await.map(|(_, answer)| answer)
}

/// Asks for an answer in pieces. The place on the engine is held until the stream is dropped.
pub(crate) async fn chat_stream(orchestrator: &Orchestrator, model: &str, fields: &Map<String, Value>) -> Result<Items<Value>, Problem> {
    let (place, chunks) = exchange(orchestrator, model, fields, &Pieces).await?;
    let silence = place.lease.spec().server.timeout.get();
    let gone = Box::pin(place.lease.gone());
    let pieces = Some(PiecesOfAnswer { instance: place.lease.instance().clone(), chunks, silence, gone, is_gone: false, _place: place });
    Ok(Box::pin(stream::unfold(pieces, |pieces| async {
        let mut pieces = pieces?;
        let item = pieces.next().await?;
        let is_over = item.is_err();
        Some((item, if is_over { None } else { Some(pieces) }))
    })))
}

async fn exchange<E: Exchange>(
    orchestrator: &Orchestrator,
    model: &str,
    fields: &Map<String, Value>,
    exchange: &E,
) -> Result<(Place, E::Answer), Problem> {
    let mut is_repeat = false;
    loop {
        let place = admit(orchestrator, model).await?;
        let body = rewrite(fields, &place);
        let error = match tokio::time::timeout(place.first_byte, exchange.send(&place.client, &body)).await {
            Ok(Ok(answer)) => return Ok((place, answer)),
            Ok(Err(ClientError::Problem(problem))) => return Err(problem),
            Ok(Err(error)) => broken(place.lease.instance(), error),
            Err(_) => return Err(EngineError::Silent { instance: place.lease.instance().clone(), after: place.first_byte }.into()),
        };
        if is_repeat {
            return Err(error.into());
        }
        // Nothing of an answer was handed on. The watch over the engine should know of its end before it is asked for again.
        let _ = tokio::time::timeout(SEEING_THE_END, place.lease.gone()).await;
        is_repeat = true;
    }
}

async fn admit(orchestrator: &Orchestrator, model: &str) -> Result<Place, Problem> {
    let lease = orchestrator.admit(model).await?;
    let client = Client::http(&format!("http://{}", lease.address()), None)?;
    Ok(Place { lease, client, first_byte: orchestrator.config().limits.first_byte.get() })
}

/// Sets and strips the fields that the instance's configuration names.
fn rewrite(fields: &Map<String, Value>, place: &Place) -> Value {
    let mut fields = fields.clone();
    let changes = &place.lease.spec().request;
    for name in &changes.strip {
        fields.remove(name);
    }
    fields.extend(changes.set.clone());
    Value::Object(fields)
}

fn broken(instance: &InstanceName, error: ClientError) -> EngineError {
    // The client takes what it talks to for a daemon: of its words only the causes fit an engine.
    let cause = match error {
        ClientError::Protocol { detail, .. } => detail,
        other => causes_of(&other).first().cloned().unwrap_or_else(|| other.to_string()),
    };
    EngineError::Broken { instance: instance.clone(), source: cause.into() }
}

/// An answer under way.
struct PiecesOfAnswer {
    instance: InstanceName,
    chunks: ItemStream<Value>,
    /// How long the engine may say nothing.
    silence: Duration,
    gone: Pin<Box<dyn Future<Output = ()> + Send>>,
    is_gone: bool,
    /// Held for its drop.
    _place: Place,
}

impl PiecesOfAnswer {
    async fn next(&mut self) -> Option<Result<Value, Problem>> {
        loop {
            tokio::select! {
                biased;
                chunk = tokio::time::timeout(self.silence, self.chunks.next()) => {
                    return match chunk {
                        Ok(Some(Ok(chunk))) => Some(Ok(chunk)),
                        Ok(Some(Err(ClientError::Problem(problem)))) => Some(Err(problem)),
                        Ok(Some(Err(error))) => Some(Err(broken(&self.instance, error).into())),
                        Ok(None) => None,
                        Err(_) => Some(Err(self.fell_silent().into())),
                    };
                }
                // An engine that is being ended may finish its answer, if it goes on with it.
                () = &mut self.gone, if !self.is_gone => {
                    self.is_gone = true;
                    self.silence = self.silence.min(LAST_WORDS);
                }
            }
        }
    }

    fn fell_silent(&self) -> EngineError {
        let instance = self.instance.clone();
        if self.is_gone {
            return EngineError::Broken { instance, source: "its server ended".into() };
        }
        EngineError::Silent { instance, after: self.silence }
    }
}
