//! Every metric there is. What is told, and the page that describes it, are written from this one table.

use std::fmt::Write as _;

/// What kind of a metric it is, in Prometheus' words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It only grows while the daemon runs.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Times in buckets.
    Histogram,
}

impl Kind {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// The labels that each of its values has, in this order.
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
}

/// Declares the metrics and the list of all of them.
macro_rules! families {
    ($( $name:ident = $kind:ident $text:literal [$( $label:literal ),*] $help:literal; )+) => {
        $( pub(super) const $name: Family = Family { name: $text, kind: Kind::$kind, labels: &[$( $label ),*], help: $help }; )+

        /// Every metric, in the order in which they are told.
        pub(super) const ALL: &[&Family] = &[$( &$name ),+];
    };
}

families! {
    REQUESTS = Counter "orchestrator_requests_total" ["instance", "route", "outcome"]
        "Requests of the gateway's clients that have ended. `outcome` is the class of the status, `broken` where the engine left the answer unfinished, `aborted` where the client went before its end. `instance` is empty where a request reached none.";
    IN_FLIGHT = Gauge "orchestrator_requests_in_flight" ["instance"]
        "Requests that have a place in the instance now.";
    WAIT = Histogram "orchestrator_request_wait_seconds" ["instance"]
        "From a request's arrival to its place in the instance: queue, eviction and start.";
    FIRST_BYTE = Histogram "orchestrator_request_first_byte_seconds" ["instance"]
        "From a request's arrival to the first byte of its answer's body; of a stream that is about the first token.";
    DURATION = Histogram "orchestrator_request_duration_seconds" ["instance"]
        "From a request's arrival to the end of its answer.";
    PROMPT_TOKENS = Counter "orchestrator_prompt_tokens_total" ["instance"]
        "Tokens that the instance read, as the ends of its answers say.";
    COMPLETION_TOKENS = Counter "orchestrator_completion_tokens_total" ["instance"]
        "Tokens that the instance wrote, as the ends of its answers say.";
    QUEUE = Gauge "orchestrator_queue_length" ["instance"]
        "Requests that wait for the instance: to be loaded, or for a place.";
    QUEUE_REFUSALS = Counter "orchestrator_queue_refusals_total" []
        "Requests that were not let in: the queue was full, they waited too long, or nothing could serve them.";
    EVICTIONS = Counter "orchestrator_evictions_total" ["reason"]
        "Instances that were unloaded: `room` for another one, `idle` after their `ttl`.";
    RESERVED = Gauge "orchestrator_memory_reserved_bytes" ["instance", "memory"]
        "Memory that the instance holds or asks for in the scheduler's books, by kind: `host`, `gpu0` and so on.";
    BUDGET = Gauge "orchestrator_memory_budget_bytes" ["memory"]
        "Memory that all instances together may hold, by kind.";
    RETRIES = Counter "orchestrator_request_retries_total" ["instance"]
        "Requests that were sent a second time because the engine failed before anything of its answer was passed on.";
    CIRCUIT = Gauge "orchestrator_circuit_state" ["instance", "state"]
        "1 for the state that the instance's circuit is in, 0 for the others.";
    OPENINGS = Counter "orchestrator_circuit_openings_total" ["instance"]
        "How many times the instance's circuit opened, failed trials included.";
    REFUSALS = Counter "orchestrator_circuit_refusals_total" ["instance"]
        "Requests that an open circuit refused.";
    STATE = Gauge "orchestrator_instance_state" ["instance", "state"]
        "1 for the state that the instance is in, 0 for the others.";
    STARTS = Counter "orchestrator_instance_starts_total" ["instance"]
        "Starts of the instance's server that began.";
    LOAD = Histogram "orchestrator_instance_load_seconds" ["instance"]
        "From the beginning of a start to the first good answer of the server. Their number is that of the loads.";
    FAILURES = Counter "orchestrator_instance_failures_total" ["instance", "cause"]
        "Servers that ended although they should run, or could not be started.";
    RESTARTS = Counter "orchestrator_instance_restarts_total" ["instance", "cause"]
        "Starts that followed a failure, by its cause.";
    INSTANCE_MEMORY = Gauge "orchestrator_instance_memory_bytes" ["instance"]
        "Resident memory of the instance's server with everything it started, in steps of a MiB.";
    EVENTS = Counter "orchestrator_events_total" ["kind"]
        "Events that were stored. `missed` counts those that came too fast to be looked at here.";
    UPTIME = Gauge "orchestrator_uptime_seconds" []
        "For how long the daemon has served.";
    BUILD = Gauge "orchestrator_build_info" ["version"]
        "1, with the daemon's version.";
    RESIDENT = Gauge "process_resident_memory_bytes" []
        "Resident memory of the daemon.";
    DESCRIPTORS = Gauge "process_open_fds" []
        "Descriptors that the daemon has open.";
}

/// Writes the page about them, `docs/metrics.md`.
#[must_use]
pub fn reference() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         `GET /metrics` on the daemon's port or socket answers in Prometheus' text format (0.0.4). Who may ask, and with what\n\
         key, is as for every other request. Counters begin at zero with each daemon. Values of labels are names of instances\n\
         and words of ours; nothing that a client writes becomes one. What never happened is left out.\n\n\
         ```yaml\nscrape_configs:\n  - job_name: orchestrator\n    static_configs:\n      - targets: [\"127.0.0.1:8484\"]\n```\n\n\
         This page is generated by `cargo xtask gen`.\n\n\
         | metric | type | labels | meaning |\n| --- | --- | --- | --- |\n",
    );
    for family in ALL {
        let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        // Writing to a `String` cannot fail.
        let _ = writeln!(page, "| `{}` | {} | {} | {} |", family.name, family.kind.as_str(), labels.join(", "), family.help);
    }
    page
}
