//! All metrics put together, for one who asks.

use std::sync::Arc;
use std::time::Instant;

use orchestrator_core::Orchestrator;
use orchestrator_core::instance::InstanceState;

use super::families::{self as family, Family};
use super::histogram::Histogram;
use super::meters::{Counter, Meters};
use super::observer::{Counts, Observed};
use super::snapshot::Snapshot;
use super::text::{Text, Value};
use crate::daemon::VERSION;
use crate::gateway::{Position, Station, Stations};

/// Picks one of the histograms of an instance.
type HistogramOf = fn(&Meters) -> &Histogram;

/// Makes the answer of `GET /metrics`.
#[derive(Clone)]
pub(crate) struct MetricsSource {
    orchestrator: Orchestrator,
    stations: Arc<Stations>,
    observed: Arc<Observed>,
    begun: Instant,
}

impl MetricsSource {
    pub(crate) fn new(orchestrator: Orchestrator, stations: Arc<Stations>, observed: Arc<Observed>) -> Self {
        Self { orchestrator, stations, observed, begun: Instant::now() }
    }

    /// Looks at everything and writes it down.
    pub(crate) async fn text(&self) -> String {
        let snapshot = Snapshot::take(&self.orchestrator).await;
        let uptime = self.begun.elapsed().as_secs_f64();
        write(&self.stations, &self.observed.lock(), &snapshot, uptime)
    }
}

/// Writes everything in the order of the families.
pub(super) fn write(stations: &Stations, counts: &Counts, snapshot: &Snapshot, uptime: f64) -> String {
    let mut text = Text::default();
    let stations = stations.all();
    let served = || stations.iter().filter(|(name, _)| !name.is_empty()).copied();
    requests(&mut text, &stations);
    let in_flight = served().map(|(name, station)| (vec![name], Value::Whole(station.meters.in_flight())));
    text.family(&family::IN_FLIGHT, in_flight);
    let histograms: [(&Family, HistogramOf); 3] = [
        (&family::WAIT, |meters| &meters.wait),
        (&family::FIRST_BYTE, |meters| &meters.first_byte),
        (&family::DURATION, |meters| &meters.duration),
    ];
    for (family, histogram) in histograms {
        text.histograms(family, served().map(|(name, station)| (name, histogram(&station.meters).read())));
    }
    scheduler(&mut text, snapshot);
    let counter = |text: &mut Text, family: &Family, counter: fn(&Meters) -> &Counter| {
        text.family(family, served().map(|(name, station)| (vec![name], Value::Whole(counter(&station.meters).get()))));
    };
    counter(&mut text, &family::PROMPT_TOKENS, |meters| &meters.prompt_tokens);
    counter(&mut text, &family::COMPLETION_TOKENS, |meters| &meters.completion_tokens);
    counter(&mut text, &family::RETRIES, |meters| &meters.retries);
    let circuits = served().flat_map(|(name, station)| {
        let present = station.breaker.position();
        Position::ALL.map(|position| (vec![name, position.as_str()], one_if(position == present)))
    });
    text.family(&family::CIRCUIT, circuits);
    counter(&mut text, &family::OPENINGS, |meters| &meters.openings);
    counter(&mut text, &family::REFUSALS, |meters| &meters.refusals);
    instances(&mut text, counts, snapshot);
    text.family(&family::EVENTS, counts.events.iter().map(|(kind, count)| (vec![kind.as_str()], Value::Whole(*count))));
    daemon(&mut text, snapshot, uptime);
    text.finish()
}

fn scheduler(text: &mut Text, snapshot: &Snapshot) {
    let queues = || snapshot.queues.iter();
    text.family(&family::QUEUE, queues().map(|row| (vec![row.name.as_str()], Value::Whole(row.waiting))));
    let counters = &snapshot.scheduler;
    text.family(&family::QUEUE_REFUSALS, [(vec![], Value::Whole(counters.refused))]);
    let evictions = [("room", counters.evicted_for_room), ("idle", counters.evicted_idle)];
    text.family(&family::EVICTIONS, evictions.map(|(reason, count)| (vec![reason], Value::Whole(count))));
    let reserved =
        queues().flat_map(|row| row.memory.iter().map(|(pool, bytes)| (vec![row.name.as_str(), pool.as_str()], Value::Whole(*bytes))));
    text.family(&family::RESERVED, reserved);
    text.family(&family::BUDGET, snapshot.budget.iter().map(|(pool, bytes)| (vec![pool.as_str()], Value::Whole(*bytes))));
}

fn requests(text: &mut Text, stations: &[(&str, &Station)]) {
    let values = stations.iter().flat_map(|(name, station)| {
        let all = station.meters.requests();
        all.map(|(route, outcome, count)| (vec![*name, route.as_str(), outcome.as_str()], Value::Whole(count)))
    });
    text.family(&family::REQUESTS, values);
}

fn instances(text: &mut Text, counts: &Counts, snapshot: &Snapshot) {
    let states = snapshot.instances.iter().flat_map(|instance| {
        let value = |state| (vec![instance.name.as_str(), state], one_if(state == instance.state));
        InstanceState::NAMES.map(value)
    });
    text.family(&family::STATE, states);
    let known = || counts.instances.iter();
    text.family(&family::STARTS, known().map(|(name, instance)| (vec![name.as_str()], Value::Whole(instance.starts))));
    text.histograms(&family::LOAD, known().map(|(name, instance)| (name.as_str(), instance.loads.read())));
    let failures = known().flat_map(|(name, instance)| instance.failures.iter().map(|(cause, count)| by_cause(name, cause, *count)));
    text.family(&family::FAILURES, failures);
    let restarts = known().flat_map(|(name, instance)| instance.restarts.iter().map(|(cause, count)| by_cause(name, cause, *count)));
    text.family(&family::RESTARTS, restarts);
    let memory =
        snapshot.instances.iter().filter_map(|instance| Some((vec![instance.name.as_str()], Value::Whole(instance.memory_bytes?))));
    text.family(&family::INSTANCE_MEMORY, memory);
}

fn daemon(text: &mut Text, snapshot: &Snapshot, uptime: f64) {
    text.family(&family::UPTIME, [(vec![], Value::Real(uptime))]);
    text.family(&family::BUILD, [(vec![VERSION], Value::Whole(1))]);
    text.family(&family::RESIDENT, snapshot.resident_bytes.map(|bytes| (vec![], Value::Whole(bytes))));
    text.family(&family::DESCRIPTORS, snapshot.descriptors.map(|open| (vec![], Value::Whole(open))));
}

fn by_cause<'a>(name: &'a str, cause: &'a str, count: u64) -> (Vec<&'a str>, Value) {
    (vec![name, cause], Value::Whole(count))
}

fn one_if(condition: bool) -> Value {
    Value::Whole(u64::from(condition))
}
