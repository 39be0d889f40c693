//! Which instances a command is for, and doing the same to several at once.

use std::future::Future;

use futures_util::future::join_all;
use orchestrator_core::instance::InstanceSummary;
use orchestrator_core::{InstanceName, Problem};
use orchestrator_server::{Client, ClientError};

use crate::args::instance::Selection;
use crate::error::CommandError;

/// The instances a command is for.
#[derive(Debug)]
pub(crate) struct Selected {
    /// Their names, each once.
    pub(crate) names: Vec<InstanceName>,
    /// What cannot be one of them, because its configuration cannot be used.
    pub(crate) problems: Vec<Problem>,
}

/// Finds out which instances are meant; `--all` takes those that `wanted` lets pass.
pub(crate) async fn resolve(
    client: &Client,
    selection: &Selection,
    wanted: impl Fn(&InstanceSummary) -> bool,
) -> Result<Selected, CommandError> {
    if !selection.all {
        return Ok(Selected { names: each_once(&selection.names), problems: Vec::new() });
    }
    let list = client.instances().await?;
    let names = list.instances.into_iter().filter(wanted).map(|instance| instance.name).collect();
    Ok(Selected { names, problems: list.problems })
}

/// Returns the names without repetitions, in their order.
#[must_use]
pub(crate) fn each_once(names: &[InstanceName]) -> Vec<InstanceName> {
    let mut unique: Vec<InstanceName> = Vec::new();
    for name in names {
        if !unique.contains(name) {
            unique.push(name.clone());
        }
    }
    unique
}

/// Does `work` for each name at the same time, and tells what came of it apart from what went wrong.
pub(crate) async fn for_each<T, F>(names: &[InstanceName], work: impl Fn(InstanceName) -> F) -> (Vec<T>, Vec<Problem>)
where
    F: Future<Output = Result<T, ClientError>>,
{
    let results = join_all(names.iter().cloned().map(work)).await;
    let mut done = Vec::new();
    let mut problems = Vec::new();
    for result in results {
        match result {
            Ok(value) => done.push(value),
            Err(error) => problems.push(error.into_problem()),
        }
    }
    (done, problems)
}
