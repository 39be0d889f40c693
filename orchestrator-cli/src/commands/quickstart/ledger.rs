//! What quickstart began and has to end again.

use std::cell::RefCell;

use orchestrator_core::InstanceName;
use orchestrator_core::operation::{Operation, OperationId, OperationKind};
use orchestrator_server::Client;

use super::turn::Turn;
use crate::commands::daemon::stop;
use crate::context::Context;

/// What was begun so far. Undoing it twice undoes it once.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: RefCell<Entries>,
    turn: RefCell<Option<Turn>>,
}

#[derive(Debug, Default)]
struct Entries {
    daemon: Option<Client>,
    operation: Option<BegunOperation>,
    instance: Option<(Client, InstanceName)>,
}

#[derive(Debug)]
struct BegunOperation {
    client: Client,
    id: OperationId,
    /// What it does, in a few words.
    work: &'static str,
}

impl Ledger {
    /// Keeps the turn until everything is undone.
    pub(super) fn holds(&self, turn: Turn) {
        self.turn.replace(Some(turn));
    }

    pub(super) fn started_daemon(&self, client: &Client) {
        self.entries.borrow_mut().daemon = Some(client.clone());
    }

    pub(super) fn began_operation(&self, client: &Client, operation: &Operation) {
        let work = match operation.kind {
            OperationKind::Pull { .. } => "the fetching of the model",
            _ => "the building of the environment",
        };
        self.entries.borrow_mut().operation = Some(BegunOperation { client: client.clone(), id: operation.id, work });
    }

    pub(super) fn ended_operation(&self) {
        self.entries.borrow_mut().operation = None;
    }

    pub(super) fn starts_instance(&self, client: &Client, name: &InstanceName) {
        self.entries.borrow_mut().instance = Some((client.clone(), name.clone()));
    }

    /// Returns whether the instance would be stopped at the end.
    pub(super) fn started_instance(&self) -> bool {
        self.entries.borrow().instance.is_some()
    }

    /// Lets everything stay as it is.
    pub(super) fn keep(&self) {
        self.entries.take();
    }

    /// Ends what was begun, and says what was done.
    pub(super) async fn undo(&self, context: &Context) -> Option<String> {
        let Entries { daemon, operation, instance } = self.entries.take();
        let mut left = Vec::new();
        if let Some(BegunOperation { client, id, work }) = operation
            && client.cancel_operation(id).await.is_err()
        {
            left.push(work);
        }
        if let Some((client, name)) = instance
            && client.down(&name).await.is_err()
        {
            left.push("the instance");
        }
        // Others may have come to use the daemon meanwhile.
        if let Some(client) = daemon
            && client.status().await.is_ok_and(|status| status.instances.running == 0)
            && stop::stop_and_wait(&client, false).await.is_err()
        {
            left.push("the daemon");
        }
        if left.is_empty() {
            return Some("everything that was begun is ended; what was finished stays for the next time".to_owned());
        }
        let note = format!("this could not be ended: {}; `orch daemon stop --all` ends it", left.join(", "));
        context.output.note(&note);
        Some(note)
    }
}
