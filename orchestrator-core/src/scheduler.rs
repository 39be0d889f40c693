//! Which requests are let in, and which instances are loaded.
//!
//! The [`policy`] decides, and is pure. [`Scheduler`] is the one place it lives in: it gives the policy the time, hands
//! answers to those who wait for them, and passes on what is to be done with instances as an [`Order`]. Its lock is held
//! for one decision and never across an await; a request for an instance that is ready costs one decision and no task
//! switch. Whoever performs the orders is outside (`orchestrator/scheduling.rs`).

pub(crate) mod need;
pub mod policy;

use std::collections::HashMap;
use std::collections::hash_map::Entry as Claim;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, oneshot};

use crate::config::daemon::LimitsConfig;
use crate::error::Problem;
use crate::hardware::{Device, Hardware, place_of};
use crate::instance::{InstanceSpec, InstanceState};
use crate::names::InstanceName;
use crate::runtime::RuntimeKind;
use policy::{
    Admission, Arrival, Budget, Counters, Effect, Eviction, MemberId, MemberSettings, MemberView, MemoryNeed, MemoryPool, Moment, NoRoom,
    Observation, Policy, Reading, Refusal, Rules, Ticket,
};

/// The part of the machine's memory that instances may need together, unless people say otherwise.
const HOST_PERCENT: u64 = 90;
/// The same of a GPU.
const DEVICE_PERCENT: u64 = 95;
const MIB: u64 = 1024 * 1024;

/// Something that is to be done with an instance or the machine.
#[derive(Debug)]
pub(crate) enum Order {
    /// Have it started: requests wait for it.
    Summon(MemberId),
    /// Unload it.
    Unload(MemberId, Eviction),
    /// Look how much memory is free.
    Look,
}

/// The answer to an instance that asked for room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RoomAnswer {
    /// It may start. When the machine is short of the memory that should be free, it says so.
    Permitted { is_short: bool },
    /// Nobody wants it any more.
    CalledOff,
    /// There is none, whatever is unloaded.
    None(NoRoom),
}

/// Holds the policy. Shared by all that ask it.
pub(crate) struct Scheduler {
    begun: Instant,
    desk: Mutex<Desk>,
    orders: mpsc::UnboundedSender<Order>,
    /// Tells whoever performs the orders that something is due earlier than it was.
    due: Notify,
    /// Tells those who wait for instances to drain that a request ended.
    ended: Notify,
}

/// The policy, and who waits for its answers.
struct Desk {
    policy: Policy,
    limits: LimitsConfig,
    /// The machine's GPUs. A pool of GPU memory is called by its place here.
    devices: Arc<[Device]>,
    /// Which operations have a kind of engine to themselves, in words.
    exclusive: HashMap<RuntimeKind, String>,
    names: HashMap<MemberId, InstanceName>,
    requests: HashMap<Ticket, oneshot::Sender<Result<Place, Refusal>>>,
    rooms: HashMap<MemberId, oneshot::Sender<RoomAnswer>>,
    /// Why instances could not even be told to start.
    problems: HashMap<MemberId, Problem>,
    /// How many operations wait for instances to drain.
    draining: usize,
    /// What the performer of the orders waits for.
    armed: Option<Moment>,
}

impl Scheduler {
    /// Begins with nothing loaded; the orders come out of the receiver.
    pub(crate) fn new(limits: &LimitsConfig) -> (Arc<Self>, mpsc::UnboundedReceiver<Order>) {
        let (orders, performed) = mpsc::unbounded_channel();
        let desk = Desk {
            policy: Policy::new(budget_of(limits, None), rules_of(limits)),
            limits: limits.clone(),
            devices: Arc::default(),
            exclusive: HashMap::new(),
            names: HashMap::new(),
            requests: HashMap::new(),
            rooms: HashMap::new(),
            problems: HashMap::new(),
            draining: 0,
            armed: None,
        };
        let scheduler = Self { begun: Instant::now(), desk: Mutex::new(desk), orders, due: Notify::new(), ended: Notify::new() };
        (Arc::new(scheduler), performed)
    }

    /// Takes over the limits, for a machine like this.
    pub(crate) fn configure(self: &Arc<Self>, limits: &LimitsConfig, hardware: &Hardware) {
        let (budget, rules) = (budget_of(limits, Some(hardware)), rules_of(limits));
        self.decide(|desk, now| {
            desk.limits = limits.clone();
            desk.devices = hardware.devices.clone().into();
            desk.policy.reconfigure(budget, rules, now);
        });
    }

    /// Returns the GPUs that are known, by their places.
    pub(crate) fn devices(&self) -> Arc<[Device]> {
        self.lock().devices.clone()
    }

    /// Returns the limits in force.
    pub(crate) fn limits(&self) -> LimitsConfig {
        self.lock().limits.clone()
    }

    /// Takes in an instance; `held` is what it holds already, when its server runs.
    pub(crate) fn enrol(self: &Arc<Self>, spec: &InstanceSpec, held: Option<MemoryNeed>) -> MemberId {
        self.decide(|desk, now| {
            let settings = settings_of(spec, &desk.limits);
            let id = match held {
                None => desk.policy.enrol(settings, now),
                Some(need) => desk.policy.enrol_running(settings, need, now),
            };
            desk.names.insert(id, spec.name.clone());
            id
        })
    }

    /// Takes over the settings of an instance.
    pub(crate) fn configure_member(self: &Arc<Self>, id: MemberId, spec: &InstanceSpec) {
        self.decide(|desk, now| {
            let settings = settings_of(spec, &desk.limits);
            desk.policy.configure(id, settings, now);
        });
    }

    /// Forgets an instance.
    pub(crate) fn dismiss(self: &Arc<Self>, id: MemberId) {
        self.decide(|desk, now| {
            desk.names.remove(&id);
            desk.problems.remove(&id);
            desk.policy.dismiss(id, now);
        });
    }

    /// Returns the instance with this number.
    pub(crate) fn name(&self, id: MemberId) -> Option<InstanceName> {
        self.lock().names.get(&id).cloned()
    }

    /// Takes note of what an instance has become.
    pub(crate) fn observe(self: &Arc<Self>, id: MemberId, state: &InstanceState) {
        let observation = observation_of(state);
        self.decide(|desk, now| desk.policy.observe(id, observation, now));
    }

    /// Prefers others that serve the same as an instance for so long; no longer, when that is no time at all.
    pub(crate) fn shun(self: &Arc<Self>, id: MemberId, pause: Duration) {
        self.decide(|desk, now| desk.policy.shun(id, pause, now));
    }

    /// Says that an instance's server serves nobody any more, and that its room is not free yet.
    pub(crate) fn observe_leaving(self: &Arc<Self>, id: MemberId) {
        self.decide(|desk, now| desk.policy.observe(id, Observation::Stopping, now));
    }

    /// Says that a person wants an instance to run.
    pub(crate) fn wish(self: &Arc<Self>, id: MemberId) {
        self.decide(|desk, now| desk.policy.wish(id, now));
    }

    /// Waits until there is room for an instance. Dropping the future takes the question back.
    pub(crate) async fn room(self: &Arc<Self>, id: MemberId, need: MemoryNeed) -> RoomAnswer {
        let (sender, answer) = oneshot::channel();
        self.decide(|desk, now| {
            desk.rooms.insert(id, sender);
            desk.policy.ask(id, need, now);
        });
        let question = Question { scheduler: self, id };
        let answer = answer.await.unwrap_or(RoomAnswer::CalledOff);
        std::mem::forget(question);
        answer
    }

    /// Lets a request in: at once, or when its turn comes. Dropping the future takes the request back.
    pub(crate) async fn admit(self: &Arc<Self>, arrival: &Arrival) -> Result<Place, Refusal> {
        let (ticket, answer) = match self.arrive(arrival) {
            Entry::Now(place) => return Ok(place),
            Entry::Never(refusal) => return Err(refusal),
            Entry::Later(ticket, answer) => (ticket, answer),
        };
        let waiting = Waiting { scheduler: self, ticket };
        let answer = answer.await.unwrap_or(Err(Refusal::NotServing));
        std::mem::forget(waiting);
        answer
    }

    fn arrive(self: &Arc<Self>, arrival: &Arrival) -> Entry {
        let mut desk = self.lock();
        let entry = match desk.policy.arrive(arrival, self.now()) {
            Admission::Granted(member) => Entry::Now(self.place(member)),
            Admission::Refused(refusal) => Entry::Never(refusal),
            Admission::Queued(ticket) => {
                let (sender, answer) = oneshot::channel();
                desk.requests.insert(ticket, sender);
                Entry::Later(ticket, answer)
            }
        };
        if matches!(entry, Entry::Later(..)) || desk.policy.has_effects() {
            self.settle(desk);
        }
        entry
    }

    /// Makes an instance the active one of its kind of engine: whoever waits for the active one waits for this one from now on.
    pub(crate) fn activate(self: &Arc<Self>, runtime: RuntimeKind, id: MemberId) {
        self.decide(|desk, now| desk.policy.activate(runtime, Arc::from([id]), now));
    }

    /// Takes a place for a request that another process let in, whether there is one or not.
    pub(crate) fn occupy(self: &Arc<Self>, id: MemberId) -> Place {
        self.decide(|desk, now| desk.policy.occupy(id, now));
        self.place(id)
    }

    fn place(self: &Arc<Self>, member: MemberId) -> Place {
        Place { scheduler: Some(self.clone()), member, begun: Instant::now() }
    }

    /// Notes why an instance could not be told to start, and turns away those who wait for it.
    pub(crate) fn note_unstartable(self: &Arc<Self>, id: MemberId, problem: Problem) {
        self.decide(|desk, now| {
            desk.problems.insert(id, problem);
            desk.policy.observe(id, Observation::Failed, now);
            // The next request is a reason to try again.
            desk.policy.observe(id, Observation::Stopped, now);
        });
    }

    /// Returns why an instance could not be told to start the last time.
    pub(crate) fn unstartable(&self, id: MemberId) -> Option<Problem> {
        self.lock().problems.get(&id).cloned()
    }

    /// Forgets why an instance could not be told to start.
    pub(crate) fn note_startable(&self, id: MemberId) {
        self.lock().problems.remove(&id);
    }

    /// Keeps new requests away from instances until the result is dropped; they wait.
    pub(crate) fn hold(self: &Arc<Self>, members: Vec<MemberId>) -> Hold {
        self.decide(|desk, _| {
            for id in &members {
                desk.policy.hold(*id);
            }
        });
        Hold { scheduler: self.clone(), members }
    }

    /// Gives an operation a kind of engine to itself until the result is dropped: no other operation may have it.
    ///
    /// # Errors
    /// Returns what has it already, in words.
    pub(crate) fn claim(self: &Arc<Self>, runtime: RuntimeKind, purpose: &str) -> Result<RuntimeClaim, String> {
        match self.lock().exclusive.entry(runtime) {
            Claim::Occupied(other) => Err(other.get().clone()),
            Claim::Vacant(place) => {
                place.insert(purpose.to_owned());
                Ok(RuntimeClaim { scheduler: self.clone(), runtime })
            }
        }
    }

    /// Returns the instances with this kind of engine.
    pub(crate) fn of_runtime(&self, runtime: RuntimeKind) -> Vec<MemberId> {
        self.lock().policy.of_runtime(runtime).collect()
    }

    /// Waits until no request is in flight on an instance that is held.
    pub(crate) async fn drained(&self, id: MemberId) {
        self.lock().draining += 1;
        let _counted = Draining(self);
        loop {
            let ended = self.ended.notified();
            let mut ended = std::pin::pin!(ended);
            ended.as_mut().enable();
            if self.view(id).is_none_or(|view| view.in_flight == 0) {
                return;
            }
            ended.await;
        }
    }

    /// Takes note of what the machine has free, seen by a look that began at `at`.
    pub(crate) fn read(self: &Arc<Self>, reading: Reading) {
        self.decide(|desk, now| desk.policy.read(reading, now));
    }

    /// Returns the instances that are loading.
    pub(crate) fn loading(&self) -> Vec<MemberId> {
        self.lock().policy.loading().collect()
    }

    /// Returns how an instance does.
    pub(crate) fn view(&self, id: MemberId) -> Option<MemberView> {
        self.lock().policy.view(id)
    }

    /// Returns what instances may hold together.
    pub(crate) fn budget(&self) -> Budget {
        self.lock().policy.budget().clone()
    }

    /// Returns what was counted.
    pub(crate) fn counters(&self) -> Counters {
        self.lock().policy.counters()
    }

    /// Waits until something is due, and does it. Cancel-safe.
    pub(crate) async fn keep_time(self: &Arc<Self>) {
        loop {
            let due = {
                let mut desk = self.lock();
                desk.armed = desk.policy.next_due(self.now());
                desk.armed
            };
            let alarm = async {
                match due {
                    Some(due) => tokio::time::sleep_until((self.begun + due).into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = alarm => self.decide(|desk, now| desk.policy.tick(now)),
                () = self.due.notified() => {}
            }
        }
    }

    /// Returns the present moment.
    pub(crate) fn now(&self) -> Moment {
        self.begun.elapsed()
    }

    /// Lets the policy decide something and does what follows.
    fn decide<T>(self: &Arc<Self>, decision: impl FnOnce(&mut Desk, Moment) -> T) -> T {
        let mut desk = self.lock();
        let outcome = decision(&mut desk, self.now());
        self.settle(desk);
        outcome
    }

    /// Hands out the policy's answers and passes on what is to be done.
    fn settle(self: &Arc<Self>, mut desk: MutexGuard<'_, Desk>) {
        while desk.policy.has_effects() {
            for effect in desk.policy.take_effects() {
                self.perform(&mut desk, effect);
            }
        }
        let next = desk.policy.next_due(self.now());
        if next.is_some_and(|next| desk.armed.is_none_or(|armed| next < armed)) {
            desk.armed = next;
            self.due.notify_one();
        }
    }

    fn perform(self: &Arc<Self>, desk: &mut Desk, effect: Effect) {
        // The performer is gone only when the daemon goes.
        let order = |order| drop(self.orders.send(order));
        match effect {
            Effect::Grant { ticket, member } => {
                let place = self.place(member);
                let untold = match desk.requests.remove(&ticket) {
                    Some(waiting) => waiting.send(Ok(place)).err(),
                    None => Some(Ok(place)),
                };
                if let Some(Ok(place)) = untold {
                    // Its own end would ask for the lock that is held here.
                    place.surrender();
                    desk.policy.finish(member, Duration::ZERO, self.now());
                }
            }
            Effect::Refuse { ticket, refusal } => {
                if let Some(waiting) = desk.requests.remove(&ticket) {
                    // Whoever has gone need not be told.
                    let _ = waiting.send(Err(refusal));
                }
            }
            Effect::Permit { member, is_short } => answer(desk, member, RoomAnswer::Permitted { is_short }),
            Effect::CallOff(member) => answer(desk, member, RoomAnswer::CalledOff),
            Effect::Deny { member, reason } => answer(desk, member, RoomAnswer::None(reason)),
            Effect::Summon(member) => order(Order::Summon(member)),
            Effect::Evict { member, why } => order(Order::Unload(member, why)),
            Effect::Look => order(Order::Look),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Desk> {
        // The policy is left whole by everything that can panic.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers an instance that asked for room. One that does not listen any more takes the question back itself.
fn answer(desk: &mut Desk, member: MemberId, answer: RoomAnswer) {
    if let Some(waiting) = desk.rooms.remove(&member) {
        let _ = waiting.send(answer);
    }
}

/// What becomes of a request at first.
enum Entry {
    Now(Place),
    Never(Refusal),
    Later(Ticket, oneshot::Receiver<Result<Place, Refusal>>),
}

/// A question for room that is taken back when it is dropped.
struct Question<'a> {
    scheduler: &'a Arc<Scheduler>,
    id: MemberId,
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        self.scheduler.decide(|desk, now| {
            desk.rooms.remove(&self.id);
            desk.policy.withdraw(self.id, now);
        });
    }
}

/// A request that waits, and is taken back when it is dropped.
struct Waiting<'a> {
    scheduler: &'a Arc<Scheduler>,
    ticket: Ticket,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.scheduler.decide(|desk, now| {
            // A place that was sent already is given back by its own end.
            if desk.requests.remove(&self.ticket).is_some() {
                desk.policy.abandon(self.ticket, now);
            }
        });
    }
}

/// A place on a server, given back when it is dropped.
pub(crate) struct Place {
    /// Absent once it was given back.
    scheduler: Option<Arc<Scheduler>>,
    member: MemberId,
    begun: Instant,
}

impl Place {
    /// Returns the instance.
    pub(crate) fn member(&self) -> MemberId {
        self.member
    }

    /// Gives nothing back: somebody else does.
    fn surrender(mut self) {
        self.scheduler = None;
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").field("member", &self.member).finish_non_exhaustive()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(scheduler) = self.scheduler.take() else { return };
        let mut desk = scheduler.lock();
        desk.policy.finish(self.member, self.begun.elapsed(), scheduler.now());
        let is_awaited = desk.draining > 0;
        if desk.policy.has_effects() {
            scheduler.settle(desk);
        } else {
            drop(desk);
        }
        if is_awaited {
            scheduler.ended.notify_waiters();
        }
    }
}

/// Keeps new requests away from instances while it lives.
pub(crate) struct Hold {
    scheduler: Arc<Scheduler>,
    members: Vec<MemberId>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.scheduler.decide(|desk, now| {
            for id in &self.members {
                desk.policy.release(*id, now);
            }
        });
    }
}

/// Has a kind of engine to itself while it lives.
pub(crate) struct RuntimeClaim {
    scheduler: Arc<Scheduler>,
    runtime: RuntimeKind,
}

impl Drop for RuntimeClaim {
    fn drop(&mut self) {
        self.scheduler.lock().exclusive.remove(&self.runtime);
    }
}

struct Draining<'a>(&'a Scheduler);

impl Drop for Draining<'_> {
    fn drop(&mut self) {
        self.0.lock().draining -= 1;
    }
}

fn observation_of(state: &InstanceState) -> Observation {
    match state {
        InstanceState::Stopped { .. } => Observation::Stopped,
        InstanceState::Starting { .. } => Observation::Starting,
        InstanceState::Loading { .. } => Observation::Loading,
        InstanceState::Ready { .. } => Observation::Ready,
        InstanceState::Unhealthy { .. } => Observation::Unhealthy,
        InstanceState::Stopping { .. } => Observation::Stopping,
        InstanceState::Backoff { .. } => Observation::Backoff,
        InstanceState::Failed { .. } => Observation::Failed,
    }
}

fn settings_of(spec: &InstanceSpec, limits: &LimitsConfig) -> MemberSettings {
    MemberSettings {
        runtime: spec.runtime,
        concurrency: spec.concurrency.map(std::num::NonZeroU32::get),
        queue_depth: usize::try_from(spec.queue.depth.get()).unwrap_or(usize::MAX),
        longest_wait: spec.queue.max_wait.unwrap_or(limits.start_wait).get(),
        priority: spec.priority,
        pinned: spec.pinned,
        ttl: spec.ttl.map(crate::config::ConfigDuration::get),
    }
}

fn rules_of(limits: &LimitsConfig) -> Rules {
    Rules {
        residency: limits.residency.map(crate::config::ConfigDuration::get),
        turn: limits.turn.get(),
        ageing: limits.priority_step.get(),
        balance: limits.balance,
    }
}

/// Returns what may be held. A machine that was not looked at yet, or does not tell, sets no limit of its own.
fn budget_of(limits: &LimitsConfig, hardware: Option<&Hardware>) -> Budget {
    let mut budget = Budget { most_running: limits.max_running.map(std::num::NonZeroU32::get), ..Budget::default() };
    let part = |total: u64, percent: u64| Some(total / 100 * percent).filter(|bytes| *bytes > 0);
    let host = limits.memory_mb.map(|mib| mib.saturating_mul(MIB));
    let host = host.or_else(|| part(hardware?.memory_total_bytes, HOST_PERCENT));
    budget.memory.extend(host.map(|bytes| (MemoryPool::Host, bytes)));
    let devices = hardware.map_or(&[][..], |hardware| &hardware.devices);
    for device in devices {
        let configured = limits.device_memory_mb.map(|mib| mib.saturating_mul(MIB));
        let bytes = configured.or_else(|| part(device.memory_total_bytes, DEVICE_PERCENT));
        let pool = MemoryPool::Device(place_of(devices, device.backend, device.index));
        budget.memory.extend(bytes.map(|bytes| (pool, bytes)));
    }
    budget
}
