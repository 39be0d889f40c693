//! `orch ps`: the instances in a table.

use orchestrator_core::instance::InstanceSummary;

use crate::context::Context;
use crate::error::CommandError;
use crate::output::table::{self, Cell, Column};
use crate::output::{format, state};

/// The columns. The numbers say which goes first where it is narrow.
const COLUMNS: [Column; 12] = [
    Column::words("NAME", 0),
    Column::numbers("PID", 3),
    Column::numbers("PORT", 1),
    Column::words("RUNTIME", 9),
    Column::words("BACKEND", 7),
    Column::words("DEVICE", 8),
    Column::words("MODEL", 5).cut_to(10),
    Column::words("HEALTH", 0),
    Column::numbers("UPTIME", 2),
    Column::numbers("MEMORY", 4),
    VRAM,
    Column::numbers("RESTARTS", 6),
];

/// Shown only where a GPU tells of an instance.
const VRAM: Column = Column::numbers("VRAM", 4);
/// Where it stands.
const VRAM_INDEX: usize = 10;

/// How much of a model's name is shown.
const LONGEST_MODEL: usize = 40;

/// Lists the instances.
pub(crate) async fn run(context: &Context) -> Result<(), CommandError> {
    let client = context.client().await?;
    let list = client.instances().await?;
    let output = context.output;
    if output.is_json() {
        output.json(&list.instances)?;
    } else if !list.instances.is_empty() {
        output.text(&render(&list.instances, output.width()))?;
    } else if list.problems.is_empty() {
        output.note("There is no instance yet. Make one and start it:\n\n  orch init NAME --model FILE\n  orch up NAME\n\nor see it all work: `orch quickstart`");
    }
    for problem in &list.problems {
        output.problem(problem);
    }
    output.warnings(&list.warnings);
    Ok(())
}

/// Lays out the table.
#[must_use]
pub(crate) fn render(instances: &[InstanceSummary], width: Option<usize>) -> String {
    let mut columns = COLUMNS.to_vec();
    let mut rows: Vec<Vec<Cell>> = instances.iter().map(row).collect();
    if instances.iter().all(|instance| instance.vram_mb.is_none()) {
        columns.remove(VRAM_INDEX);
        for row in &mut rows {
            row.remove(VRAM_INDEX);
        }
    }
    table::render(&columns, &rows, width)
}

fn row(instance: &InstanceSummary) -> Vec<Cell> {
    // The state says more than the health where there is no server.
    let health = match instance.state.as_str() {
        state @ ("stopped" | "stopping" | "starting" | "backoff" | "failed") => state,
        _ => instance.health.as_str(),
    };
    vec![
        Cell::new(instance.name.as_str()),
        Cell::optional(instance.pid),
        Cell::optional(instance.port),
        Cell::new(instance.runtime.as_str()),
        Cell::new(instance.backend.as_str()),
        Cell::new(instance.device.as_str()),
        Cell::new(format::shorten(&instance.model, LONGEST_MODEL)),
        Cell::new(health).styled(state::health_style(instance.health)),
        Cell::optional(instance.uptime_seconds.map(format::uptime)),
        Cell::optional(instance.memory_mb.map(format::megabytes)),
        Cell::optional(instance.vram_mb.map(format::megabytes)),
        Cell::new(instance.restarts.to_string()),
    ]
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use orchestrator_core::InstanceName;
    use orchestrator_core::instance::Health;
    use orchestrator_core::instance::spec::Backend;
    use orchestrator_core::runtime::RuntimeKind;

    use super::*;

    fn instances() -> Vec<InstanceSummary> {
        let base = InstanceSummary {
            name: InstanceName::try_new("qwen3-8b").unwrap(),
            pid: Some(4_021),
            port: Some(41_873),
            runtime: RuntimeKind::LlamaCpp,
            backend: Backend::Cpu,
            device: "cpu".to_owned(),
            model: "qwen3-8b-q4_k_m".to_owned(),
            state: "ready".to_owned(),
            health: Health::Healthy,
            uptime_seconds: Some(192),
            memory_mb: Some(412),
            vram_mb: None,
            restarts: 0,
        };
        let stopped = InstanceSummary {
            name: InstanceName::try_new("demo").unwrap(),
            pid: None,
            port: None,
            state: "stopped".to_owned(),
            health: Health::Unknown,
            uptime_seconds: None,
            memory_mb: None,
            ..base.clone()
        };
        let failed = InstanceSummary {
            name: InstanceName::try_new("big").unwrap(),
            state: "backoff".to_owned(),
            health: Health::Error,
            model: "x".repeat(60),
            restarts: 12,
            memory_mb: Some(20_480),
            ..base.clone()
        };
        vec![base, stopped, failed]
    }

    fn plain(width: Option<usize>) -> String {
        anstream::adapter::strip_str(&render(&instances(), width)).to_string()
    }

    #[test]
    fn everything_is_shown_where_there_is_room() {
        insta::assert_snapshot!(plain(None));
    }

    #[test]
    fn the_memory_of_gpus_is_shown_where_one_tells() {
        let mut instances = instances();
        instances[0].vram_mb = Some(5_120);
        insta::assert_snapshot!(anstream::adapter::strip_str(&render(&instances, None)).to_string());
    }

    #[test]
    fn the_less_important_columns_go_where_it_is_narrow() {
        for width in [120, 80, 60, 40, 20] {
            let text = plain(Some(width));
            insta::assert_snapshot!(format!("width_{width}"), text);
            assert!(text.lines().all(|line| line.chars().count() <= width), "wider than {width}:\n{text}");
        }
    }

    #[test]
    fn the_json_has_exactly_the_keys_of_the_contract() {
        let value = serde_json::to_value(&instances()[1]).unwrap();
        let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        let mut expected =
            ["name", "pid", "port", "runtime", "backend", "device", "model", "state", "health", "uptime_seconds", "memory_mb", "restarts"];
        expected.sort_unstable();
        assert_eq!(keys, expected);
    }
}
