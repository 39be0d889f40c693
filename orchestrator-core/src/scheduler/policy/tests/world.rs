//! A world for the policy: instances that take their time to prepare, load, answer and stop, a machine whose memory is
//! free only a while after they are gone, and a clock that is moved by hand. It checks each thing the policy does.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::super::*;

pub(super) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// How an instance behaves.
#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) need: MemoryNeed,
    pub(super) prepares: Duration,
    pub(super) loads: Duration,
    pub(super) stops: Duration,
    /// How long its memory is not free after it is gone.
    pub(super) lingers: Duration,
    pub(super) answers: Duration,
    /// How many of its loads fail from now on.
    pub(super) failures: u32,
}

impl Model {
    pub(super) fn of_size(bytes: u64) -> Self {
        Self {
            need: MemoryNeed::host(bytes),
            prepares: ms(1),
            loads: ms(1_000),
            stops: ms(100),
            lingers: ms(0),
            answers: ms(200),
            failures: 0,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Real {
    Stopped,
    Preparing,
    Asking,
    Loading,
    Ready,
    Stopping,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Prepared(MemberId, u64),
    Loaded(MemberId, u64),
    Gone(MemberId, u64),
    Answered { request: u64, member: MemberId, begun: Moment },
    Freed(MemoryNeed2),
    Looked { at: Moment, free: MemoryNeed2, taken: BTreeMap<MemberId, MemoryNeed2> },
}

/// [`MemoryNeed`], ordered.
type MemoryNeed2 = BTreeMap<MemoryPool, u64>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Served { member: MemberId, waited: Duration },
    Refused(Refusal),
    Left,
}

pub(super) struct Instance {
    pub(super) model: Model,
    pub(super) real: Real,
    pub(super) in_flight: u32,
    pub(super) pinned: bool,
    /// Tells what belongs to an earlier life.
    life: u64,
}

pub(super) struct World {
    pub(super) policy: Policy,
    pub(super) now: Moment,
    pub(super) instances: Vec<Instance>,
    pub(super) outcomes: BTreeMap<u64, Outcome>,
    pub(super) log: Vec<String>,
    pub(super) steps: u64,
    budget: Budget,
    /// What the machine has free, as it says itself.
    pub(super) free: BTreeMap<MemoryPool, u64>,
    waiting: HashMap<Ticket, (u64, Moment)>,
    agenda: BinaryHeap<Reverse<(Moment, u64, Happening)>>,
    next: u64,
    next_request: u64,
    /// Whether an instance may be let in although the machine is short.
    pub(super) may_be_short: bool,
}

pub(super) fn settings() -> MemberSettings {
    MemberSettings {
        runtime: RuntimeKind::LlamaCpp,
        concurrency: None,
        queue_depth: 1_000,
        longest_wait: Duration::from_hours(1),
        priority: 0,
        pinned: false,
        ttl: None,
    }
}

impl World {
    pub(super) fn new(budget: Budget, rules: Rules) -> Self {
        Self {
            policy: Policy::new(budget.clone(), rules),
            now: ms(1),
            instances: Vec::new(),
            outcomes: BTreeMap::new(),
            log: Vec::new(),
            steps: 0,
            free: budget.memory.clone(),
            budget,
            waiting: HashMap::new(),
            agenda: BinaryHeap::new(),
            next: 0,
            next_request: 0,
            may_be_short: false,
        }
    }

    /// One place: the memory holds one of these models at a time.
    pub(super) fn with_memory(bytes: u64) -> Self {
        Self::new(Budget { memory: BTreeMap::from([(MemoryPool::Host, bytes)]), most_running: None }, Rules::default())
    }

    pub(super) fn add(&mut self, model: Model, settings: MemberSettings) -> MemberId {
        let pinned = settings.pinned;
        let id = self.policy.enrol(settings, self.now);
        assert_eq!(id.0, self.instances.len());
        self.instances.push(Instance { model, real: Real::Stopped, in_flight: 0, pinned, life: 0 });
        id
    }

    pub(super) fn ask_for(&mut self, target: &[MemberId], client: u64, priority: i32) -> u64 {
        self.arrive(&Arrival { target: Arc::from(target), client: ClientId(client), priority, follows: None })
    }

    /// Asks for the active instance.
    pub(super) fn ask_for_active(&mut self, target: MemberId, client: u64) -> u64 {
        let follows = Some(crate::runtime::RuntimeKind::LlamaCpp);
        self.arrive(&Arrival { target: Arc::from([target]), client: ClientId(client), priority: 0, follows })
    }

    /// Makes an instance the active one of its kind of engine.
    pub(super) fn activate(&mut self, member: MemberId) {
        self.policy.activate(crate::runtime::RuntimeKind::LlamaCpp, Arc::from([member]), self.now);
        self.settle();
    }

    /// Lets requests reach an instance again.
    pub(super) fn release(&mut self, member: MemberId) {
        self.policy.release(member, self.now);
        self.settle();
    }

    fn arrive(&mut self, arrival: &Arrival) -> u64 {
        self.next_request += 1;
        let request = self.next_request;
        match self.policy.arrive(arrival, self.now) {
            Admission::Granted(member) => self.serve(request, member, Duration::ZERO),
            Admission::Refused(refusal) => {
                self.outcomes.insert(request, Outcome::Refused(refusal));
            }
            Admission::Queued(ticket) => {
                self.waiting.insert(ticket, (request, self.now));
            }
        }
        self.settle();
        request
    }

    pub(super) fn leave(&mut self, request: u64) {
        let Some((&ticket, _)) = self.waiting.iter().find(|(_, (waiting, _))| *waiting == request) else { return };
        self.waiting.remove(&ticket);
        self.outcomes.insert(request, Outcome::Left);
        self.policy.abandon(ticket, self.now);
        self.settle();
    }

    pub(super) fn waiting(&self) -> Vec<u64> {
        let mut waiting: Vec<u64> = self.waiting.values().map(|(request, _)| *request).collect();
        waiting.sort_unstable();
        waiting
    }

    /// A person starts it.
    pub(super) fn up(&mut self, id: MemberId) {
        match self.instances[id.0].real {
            Real::Stopped => self.prepare(id),
            Real::Preparing | Real::Asking => self.policy.wish(id, self.now),
            Real::Loading | Real::Ready | Real::Stopping => {}
        }
        self.settle();
    }

    /// A person stops it.
    pub(super) fn down(&mut self, id: MemberId) {
        match self.instances[id.0].real {
            Real::Stopped | Real::Stopping => {}
            Real::Preparing | Real::Asking => {
                self.become_real(id, Real::Stopped);
                self.policy.observe(id, Observation::Stopped, self.now);
            }
            Real::Loading | Real::Ready => self.stop(id),
        }
        self.settle();
    }

    /// Its server is killed.
    pub(super) fn crash(&mut self, id: MemberId) {
        if matches!(self.instances[id.0].real, Real::Loading | Real::Ready) {
            self.end(id);
            self.policy.observe(id, Observation::Stopped, self.now);
        }
        self.settle();
    }

    /// It fails its requests.
    pub(super) fn shun(&mut self, id: MemberId, pause: Duration) {
        self.policy.shun(id, pause, self.now);
        self.settle();
    }

    fn prepare(&mut self, id: MemberId) {
        self.become_real(id, Real::Preparing);
        self.policy.observe(id, Observation::Starting, self.now);
        let life = self.instances[id.0].life;
        self.plan(self.instances[id.0].model.prepares, Happening::Prepared(id, life));
    }

    fn stop(&mut self, id: MemberId) {
        self.become_real(id, Real::Stopping);
        self.policy.observe(id, Observation::Stopping, self.now);
        let life = self.instances[id.0].life;
        self.plan(self.instances[id.0].model.stops, Happening::Gone(id, life));
    }

    /// The process is gone; its memory follows.
    fn end(&mut self, id: MemberId) {
        self.become_real(id, Real::Stopped);
        let model = &self.instances[id.0].model;
        self.plan(model.lingers, Happening::Freed(model.need.0.clone()));
    }

    fn become_real(&mut self, id: MemberId, real: Real) {
        self.log.push(format!("{:?} {id:?} {real:?}", self.now));
        let instance = &mut self.instances[id.0];
        instance.real = real;
        instance.life += 1;
    }

    fn plan(&mut self, after: Duration, what: Happening) {
        self.next += 1;
        self.agenda.push(Reverse((self.now + after, self.next, what)));
    }

    fn serve(&mut self, request: u64, member: MemberId, waited: Duration) {
        let instance = &mut self.instances[member.0];
        assert_eq!(instance.real, Real::Ready, "a request was let in to one that is {:?}", instance.real);
        instance.in_flight += 1;
        let answers = instance.model.answers;
        self.outcomes.insert(request, Outcome::Served { member, waited });
        self.plan(answers, Happening::Answered { request, member, begun: self.now });
    }

    /// Does what the policy wants done, and checks that it may want it.
    pub(super) fn settle(&mut self) {
        self.steps += 1;
        while self.policy.has_effects() {
            for effect in self.policy.take_effects() {
                self.log.push(format!("{:?} {effect:?}", self.now));
                self.perform(effect);
            }
        }
        self.check();
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Grant { ticket, member } => {
                let (request, since) = self.waiting.remove(&ticket).expect("nobody waits with this ticket");
                self.serve(request, member, self.now - since);
            }
            Effect::Refuse { ticket, refusal } => {
                let (request, _) = self.waiting.remove(&ticket).expect("nobody waits with this ticket");
                self.outcomes.insert(request, Outcome::Refused(refusal));
            }
            Effect::Summon(id) => {
                if self.instances[id.0].real == Real::Stopped {
                    self.prepare(id);
                }
            }
            Effect::CallOff(id) | Effect::Deny { member: id, .. } => {
                assert_eq!(self.instances[id.0].real, Real::Asking);
                self.become_real(id, Real::Stopped);
                let is_denied = matches!(effect, Effect::Deny { .. });
                self.policy.observe(id, if is_denied { Observation::Failed } else { Observation::Stopped }, self.now);
            }
            Effect::Permit { member: id, is_short } => {
                assert_eq!(self.instances[id.0].real, Real::Asking);
                assert!(self.may_be_short || !is_short, "the machine is short");
                self.become_real(id, Real::Loading);
                let need = self.instances[id.0].model.need.clone();
                for (pool, bytes) in need.0 {
                    let free = self.free.entry(pool).or_insert(u64::MAX / 2);
                    assert!(is_short || *free >= bytes, "{id:?} starts before its memory is free: {bytes} of {free}");
                    *free = free.saturating_sub(bytes);
                }
                let life = self.instances[id.0].life;
                self.plan(self.instances[id.0].model.loads, Happening::Loaded(id, life));
            }
            Effect::Evict { member: id, .. } => {
                let instance = &self.instances[id.0];
                assert_eq!(instance.real, Real::Ready, "{id:?} is unloaded while it is {:?}", instance.real);
                assert_eq!(instance.in_flight, 0, "{id:?} is unloaded with requests in flight");
                assert!(!instance.pinned, "{id:?} is pinned");
                self.stop(id);
            }
            Effect::Look => {
                let loading = self.policy.loading().map(|id| (id, self.instances[id.0].model.need.0.clone())).collect();
                self.plan(ms(2), Happening::Looked { at: self.now, free: self.free.clone(), taken: loading });
            }
        }
    }

    fn check(&self) {
        let resident = |instance: &&Instance| matches!(instance.real, Real::Loading | Real::Ready | Real::Stopping);
        for (pool, limit) in &self.budget.memory {
            let held: u64 = self.instances.iter().filter(resident).map(|instance| instance.model.need.of(*pool)).sum();
            assert!(held <= *limit, "{held} of {limit} bytes of {pool} are held");
        }
        if let Some(most) = self.budget.most_running {
            assert!(self.instances.iter().filter(resident).count() <= most as usize, "too many run");
        }
    }

    /// Moves the clock to the next thing that happens. Returns whether there was one.
    pub(super) fn step(&mut self) -> bool {
        let due = self.policy.next_due(self.now).map(|due| due.max(self.now + Duration::from_nanos(1)));
        let next = self.agenda.peek().map(|Reverse((at, _, _))| *at);
        match (due, next) {
            (None, None) => false,
            (Some(due), next) if next.is_none_or(|next| due < next) => {
                self.now = due;
                self.policy.tick(self.now);
                self.settle();
                true
            }
            (_, _) => {
                let Reverse((at, _, what)) = self.agenda.pop().unwrap();
                self.now = at;
                self.happen(what);
                self.settle();
                true
            }
        }
    }

    /// Lets everything happen until this moment.
    pub(super) fn run_until(&mut self, end: Moment) {
        loop {
            let due = self.policy.next_due(self.now).into_iter();
            let next = due.chain(self.agenda.peek().map(|Reverse((at, _, _))| *at)).min();
            if next.is_none_or(|next| next > end) {
                self.now = self.now.max(end);
                return;
            }
            self.step();
        }
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Prepared(id, life) if self.instances[id.0].life == life => {
                self.become_real(id, Real::Asking);
                let need = self.instances[id.0].model.need.clone();
                self.policy.ask(id, need, self.now);
            }
            Happening::Loaded(id, life) if self.instances[id.0].life == life => {
                if self.instances[id.0].model.failures > 0 {
                    self.instances[id.0].model.failures -= 1;
                    self.end(id);
                    self.policy.observe(id, Observation::Failed, self.now);
                } else {
                    self.become_real(id, Real::Ready);
                    self.policy.observe(id, Observation::Ready, self.now);
                }
            }
            Happening::Gone(id, life) if self.instances[id.0].life == life => {
                self.end(id);
                self.policy.observe(id, Observation::Stopped, self.now);
            }
            Happening::Prepared(..) | Happening::Loaded(..) | Happening::Gone(..) => {}
            Happening::Answered { member, begun, .. } => {
                self.instances[member.0].in_flight -= 1;
                self.policy.finish(member, self.now - begun, self.now);
            }
            Happening::Freed(need) => {
                for (pool, bytes) in need {
                    *self.free.entry(pool).or_default() += bytes;
                }
            }
            Happening::Looked { at, free, taken } => {
                let taken = taken.into_iter().map(|(id, taken)| (id, MemoryNeed(taken))).collect();
                self.policy.read(Reading { at, free, taken }, self.now);
            }
        }
    }

    pub(super) fn is_served(&self, request: u64) -> bool {
        matches!(self.outcomes.get(&request), Some(Outcome::Served { .. }))
    }

    #[track_caller]
    pub(super) fn assert_served_by(&self, request: u64, id: MemberId) {
        match self.outcomes.get(&request) {
            Some(Outcome::Served { member, .. }) if *member == id => {}
            other => panic!("request {request} should be served by {id:?} and was: {other:?}\n{}", self.log.join("\n")),
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let last = self.log.len().saturating_sub(80);
            eprintln!("{}\n{:#?}", self.log[last..].join("\n"), self.budget);
        }
    }
}
