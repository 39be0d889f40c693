//! One method for each endpoint of the control API, but for those about models.

use orchestrator_core::env::{EnvironmentReport, EnvironmentStatus};
use orchestrator_core::event::Event;
use orchestrator_core::hardware::Hardware;
use orchestrator_core::instance::InstanceSummary;
use orchestrator_core::operation::{Operation, OperationId};
use orchestrator_core::{EnvKey, InstanceName};

use super::{Call, Client, ClientError, ItemStream, LOADING, STOPPING, encode, stream};
use crate::api::{DaemonStatus, HealthAnswer, InstanceDescription, InstanceList, LogLine, LogLines, LogStream, ShutdownRequest};

impl Client {
    /// Asks whether the daemon serves.
    pub async fn health(&self) -> Result<HealthAnswer, ClientError> {
        self.json(Call::get("/health")).await
    }

    /// Asks who the daemon is and how it does.
    pub async fn status(&self) -> Result<DaemonStatus, ClientError> {
        self.json(Call::get("/api/v1/status")).await
    }

    /// Asks the daemon to end, with or without the servers it runs. Returns when it has begun to.
    pub async fn shutdown(&self, request: ShutdownRequest) -> Result<(), ClientError> {
        self.done(Call::post("/api/v1/shutdown").body(encode(&request)?)).await
    }

    /// Lists the instances, and what is wrong with configurations that cannot be used.
    pub async fn instances(&self) -> Result<InstanceList, ClientError> {
        self.json(Call::get("/api/v1/instances")).await
    }

    /// Returns everything about one instance.
    pub async fn describe(&self, name: &InstanceName) -> Result<InstanceDescription, ClientError> {
        self.json(Call::get(&format!("/api/v1/instances/{name}"))).await
    }

    /// Asks for an instance to be started; answers at once.
    pub async fn up(&self, name: &InstanceName) -> Result<InstanceSummary, ClientError> {
        self.json(Call::post(&format!("/api/v1/instances/{name}/up"))).await
    }

    /// Starts an instance and waits until it is ready or has failed.
    pub async fn up_and_wait(&self, name: &InstanceName) -> Result<InstanceSummary, ClientError> {
        self.json(Call::post(&format!("/api/v1/instances/{name}/up?wait=true")).within(LOADING)).await
    }

    /// Stops an instance; answers when nothing of it runs any more.
    pub async fn down(&self, name: &InstanceName) -> Result<InstanceSummary, ClientError> {
        self.json(Call::post(&format!("/api/v1/instances/{name}/down?wait=true")).within(STOPPING)).await
    }

    /// Asks for an instance to be stopped and started again; answers at once.
    pub async fn restart(&self, name: &InstanceName) -> Result<InstanceSummary, ClientError> {
        self.json(Call::post(&format!("/api/v1/instances/{name}/restart")).within(STOPPING)).await
    }

    /// Stops an instance, starts it again and waits until it is ready or has failed.
    pub async fn restart_and_wait(&self, name: &InstanceName) -> Result<InstanceSummary, ClientError> {
        self.json(Call::post(&format!("/api/v1/instances/{name}/restart?wait=true")).within(LOADING)).await
    }

    /// Forgets a stopped instance: its configuration stays with its owner, its state and logs go.
    pub async fn remove(&self, name: &InstanceName) -> Result<(), ClientError> {
        self.done(Call::delete(&format!("/api/v1/instances/{name}")).within(STOPPING)).await
    }

    /// Stops an instance where it runs, and forgets it.
    pub async fn stop_and_remove(&self, name: &InstanceName) -> Result<(), ClientError> {
        self.done(Call::delete(&format!("/api/v1/instances/{name}?force=true")).within(STOPPING)).await
    }

    /// Returns the last lines of an instance's logs.
    pub async fn logs(&self, name: &InstanceName, output: LogStream, tail: usize) -> Result<Vec<LogLine>, ClientError> {
        let path = format!("/api/v1/instances/{name}/logs?tail={tail}&stream={}", word(output));
        self.json::<LogLines>(Call::get(&path)).await.map(|answer| answer.lines)
    }

    /// Returns the last lines of an instance's logs, and then new ones as they come.
    pub async fn follow_logs(&self, name: &InstanceName, output: LogStream, tail: usize) -> Result<ItemStream<LogLine>, ClientError> {
        let path = format!("/api/v1/instances/{name}/logs?tail={tail}&stream={}&follow=true", word(output));
        let response = self.answer(Call::get(&path).stream()).await?;
        Ok(stream::values(self.target(), response))
    }

    /// Returns the events after a number, oldest first.
    pub async fn events(&self, after: u64, limit: usize) -> Result<Vec<Event>, ClientError> {
        self.json(Call::get(&format!("/api/v1/events?after={after}&limit={limit}"))).await
    }

    /// Returns the last events, oldest first.
    pub async fn last_events(&self, limit: usize) -> Result<Vec<Event>, ClientError> {
        self.json(Call::get(&format!("/api/v1/events?limit={limit}"))).await
    }

    /// Returns new events as they come.
    pub async fn follow_new_events(&self) -> Result<ItemStream<Event>, ClientError> {
        let response = self.answer(Call::get("/api/v1/events?follow=true").stream()).await?;
        Ok(stream::values(self.target(), response))
    }

    /// Returns the events after a number, and then new ones as they come: none is missed, none comes twice.
    pub async fn follow_events(&self, after: u64) -> Result<ItemStream<Event>, ClientError> {
        let call = Call { last_event: Some(after), ..Call::get("/api/v1/events?follow=true").stream() };
        let response = self.answer(call).await?;
        Ok(stream::values(self.target(), response))
    }

    /// Lists the recipes for environments and what is installed of them.
    pub async fn environments(&self) -> Result<Vec<EnvironmentStatus>, ClientError> {
        self.json(Call::get("/api/v1/envs")).await
    }

    /// Begins to build an environment, or joins whoever builds it already.
    pub async fn create_environment(&self, key: &EnvKey) -> Result<Operation, ClientError> {
        self.json(Call::post(&format!("/api/v1/envs/{key}/create"))).await
    }

    /// Tests an installed environment.
    pub async fn test_environment(&self, key: &EnvKey) -> Result<EnvironmentReport, ClientError> {
        self.json(Call::post(&format!("/api/v1/envs/{key}/test")).within(STOPPING)).await
    }

    /// Removes an environment that no instance uses.
    pub async fn remove_environment(&self, key: &EnvKey) -> Result<(), ClientError> {
        self.done(Call::delete(&format!("/api/v1/envs/{key}")).within(STOPPING)).await
    }

    /// Lists the operations, newest first.
    pub async fn operations(&self) -> Result<Vec<Operation>, ClientError> {
        self.json(Call::get("/api/v1/operations")).await
    }

    /// Returns one operation.
    pub async fn operation(&self, id: OperationId) -> Result<Operation, ClientError> {
        self.json(Call::get(&format!("/api/v1/operations/{id}"))).await
    }

    /// Returns an operation with each change of it, until its end.
    pub async fn follow_operation(&self, id: OperationId) -> Result<ItemStream<Operation>, ClientError> {
        let path = format!("/api/v1/operations/{id}?follow=true");
        let response = self.answer(Call::get(&path).stream()).await?;
        Ok(stream::values(self.target(), response))
    }

    /// Cancels an operation.
    pub async fn cancel_operation(&self, id: OperationId) -> Result<(), ClientError> {
        self.done(Call::delete(&format!("/api/v1/operations/{id}"))).await
    }

    /// Returns what the daemon's machine has.
    pub async fn hardware(&self) -> Result<Hardware, ClientError> {
        self.json(Call::get("/api/v1/hardware")).await
    }

    /// Returns what the daemon's machine has, with what each engine says that it could use.
    pub async fn hardware_and_engines(&self) -> Result<Hardware, ClientError> {
        self.json(Call::get("/api/v1/hardware?engine=true").within(STOPPING)).await
    }
}

const fn word(output: LogStream) -> &'static str {
    match output {
        LogStream::Stdout => "stdout",
        LogStream::Stderr => "stderr",
        LogStream::Both => "both",
    }
}

/// Escapes a value for a query: everything but letters, digits and `-._~/` by its bytes.
pub(super) fn escape(text: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push('%');
            escaped.push(char::from(DIGITS[usize::from(byte >> 4)]));
            escaped.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
    escaped
}
