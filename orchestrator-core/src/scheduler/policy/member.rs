//! One instance as the policy sees it: what it may do, what it holds, and how busy it is.
//!
//! ```text
//!         summon            ask              permit           ready
//!  Away ─────────► Coming ───────► Asking ──────────► Loading ───────► Ready ⇄ Unwell
//!   ▲ ▲               │ gave up       │ called off        │               │ evict, idle, told to stop
//!   │ └───────────────┴───────────────┘                   ▼               ▼
//!   └───────────────────────────────────────────────── Leaving ◄──────────┘
//! ```
//!
//! Only `Loading`, `Ready`, `Unwell` and `Leaving` hold memory and one of the places of `max_running`.

use std::time::Duration;

use super::room::MemoryNeed;
use super::terms::Rank;
use super::{MemberId, Moment};
use crate::runtime::RuntimeKind;

/// What an instance is allowed, from its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberSettings {
    /// Its kind of engine.
    pub runtime: RuntimeKind,
    /// How many requests it is given at a time.
    pub concurrency: Option<u32>,
    /// How many requests may wait for it.
    pub queue_depth: usize,
    /// How long a request may wait for it.
    pub longest_wait: Duration,
    /// Which of several instances is started first; higher first.
    pub priority: i32,
    /// Whether it is never unloaded to make room.
    pub pinned: bool,
    /// After how long without a request it is unloaded.
    pub ttl: Option<Duration>,
}

/// What went wrong with an instance that does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It is started again by itself, later.
    Backoff,
    /// A person must look at it.
    Failed,
}

/// An instance that is about to start and waits for room.
#[derive(Debug, Clone)]
pub(super) struct Asking {
    pub(super) need: MemoryNeed,
    pub(super) since: Moment,
    /// Since when there is too little free memory on the machine, although there should be enough.
    pub(super) short_since: Option<Moment>,
}

/// Where an instance is.
#[derive(Debug, Clone)]
pub(super) enum Residence {
    Away {
        trouble: Option<Trouble>,
    },
    /// Its task was told to start, or does so by itself, and has not asked for room yet.
    Coming {
        since: Moment,
    },
    Asking(Asking),
    Loading {
        since: Moment,
    },
    Ready {
        since: Moment,
    },
    Unwell {
        since: Moment,
    },
    Leaving,
}

/// One instance.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) settings: MemberSettings,
    pub(super) residence: Residence,
    /// What it holds while it holds anything.
    pub(super) need: MemoryNeed,
    /// When it was given room last.
    pub(super) permitted_at: Moment,
    /// Whether somebody besides waiting requests wants it to run, and since when.
    pub(super) wish: Option<Moment>,
    /// Whether it was told to start because requests wait for it.
    pub(super) is_summoned: bool,
    /// Whether it was summoned beside others of its kind that are full; it may then not push anybody out.
    pub(super) is_expansion: bool,
    /// Until when it is not summoned beside others again.
    pub(super) no_expansion_before: Moment,
    /// Until when others that serve the same are preferred: it fails its requests.
    pub(super) shunned_until: Moment,
    pub(super) in_flight: u32,
    /// How many operations keep requests away from it.
    pub(super) holds: u32,
    /// Whether it gets no more requests, because another one needs its room.
    pub(super) is_closing: bool,
    /// When the last request began or ended.
    pub(super) last_used: Moment,
    /// The number of the last request it was given, for taking turns.
    pub(super) last_turn: u64,
    /// How long its loads take.
    pub(super) load_time: Option<Duration>,
    /// How long its requests take.
    pub(super) service_time: Option<Duration>,
}

impl Member {
    pub(super) fn new(settings: MemberSettings, now: Moment) -> Self {
        Self {
            settings,
            residence: Residence::Away { trouble: None },
            need: MemoryNeed::default(),
            permitted_at: Moment::ZERO,
            wish: None,
            is_summoned: false,
            is_expansion: false,
            no_expansion_before: Moment::ZERO,
            shunned_until: Moment::ZERO,
            in_flight: 0,
            holds: 0,
            is_closing: false,
            last_used: now,
            last_turn: 0,
            load_time: None,
            service_time: None,
        }
    }

    /// Forgets who wanted it to run.
    pub(super) const fn forget_calls(&mut self) {
        self.wish = None;
        self.is_summoned = false;
        self.is_expansion = false;
    }

    /// Returns whether it holds memory and a place.
    pub(super) const fn is_resident(&self) -> bool {
        matches!(self.residence, Residence::Loading { .. } | Residence::Ready { .. } | Residence::Unwell { .. } | Residence::Leaving)
    }

    pub(super) const fn is_leaving(&self) -> bool {
        matches!(self.residence, Residence::Leaving)
    }

    /// Returns whether it may be given one more request now.
    pub(super) fn has_place(&self) -> bool {
        matches!(self.residence, Residence::Ready { .. })
            && !self.is_closing
            && self.holds == 0
            && self.settings.concurrency.is_none_or(|most| self.in_flight < most)
    }

    /// Returns whether others are preferred.
    pub(super) fn is_shunned(&self, now: Moment) -> bool {
        self.shunned_until > now
    }

    /// Returns whether a request may wait for it instead of going to one that is shunned.
    pub(super) fn is_refuge(&self, now: Moment) -> bool {
        let may_start = !matches!(self.residence, Residence::Away { .. }) || self.no_expansion_before <= now;
        !self.is_shunned(now) && self.is_promising() && self.holds == 0 && may_start
    }

    /// Returns whether a request can be served by it sooner or later.
    pub(super) const fn is_promising(&self) -> bool {
        !matches!(self.residence, Residence::Away { trouble: Some(_) } | Residence::Unwell { .. })
    }

    /// Returns since when it has been ready.
    pub(super) const fn ready_since(&self) -> Option<Moment> {
        match self.residence {
            Residence::Ready { since } | Residence::Unwell { since } => Some(since),
            _ => None,
        }
    }

    /// Returns until when it is not unloaded for another one: at first it earns back what its load has cost.
    pub(super) fn residency_end(&self, configured: Option<Duration>) -> Option<Moment> {
        let since = self.ready_since()?;
        Some(since + configured.unwrap_or_else(|| self.load_time.unwrap_or_default().min(LONGEST_OWN_RESIDENCY)))
    }

    /// Returns how well it can be done without: for how long it was not used, against what its load costs.
    pub(super) fn dispensability(&self, now: Moment) -> f64 {
        let idle = now.saturating_sub(self.last_used).as_secs_f64();
        idle / self.load_time.unwrap_or(USUAL_LOAD).max(SHORTEST_LOAD).as_secs_f64()
    }

    const fn is_in_use(&self) -> bool {
        self.in_flight > 0 || self.holds > 0
    }

    /// Returns when it is unloaded because nobody uses it; later, while somebody does.
    pub(super) fn idle_end(&self, now: Moment) -> Option<Moment> {
        let since = self.ready_since()?;
        let ttl = self.settings.ttl.filter(|_| !self.settings.pinned)?;
        Some(if self.is_in_use() { now + ttl.max(NEXT_IDLE_LOOK) } else { self.last_used.max(since) + ttl })
    }

    /// Returns the claim of whoever wants it to run, besides requests.
    pub(super) fn wish_rank(&self, ageing: Duration) -> Option<Rank> {
        self.wish.map(|since| Rank::of(since, self.settings.priority, ageing))
    }
}

/// How soon one that is in use is looked at again, when it is to be unloaded as soon as it is not.
const NEXT_IDLE_LOOK: Duration = Duration::from_millis(100);
/// The longest time that a load is earned back in.
const LONGEST_OWN_RESIDENCY: Duration = Duration::from_mins(1);
/// What a load is taken to cost before the first one was seen.
const USUAL_LOAD: Duration = Duration::from_secs(5);
const SHORTEST_LOAD: Duration = Duration::from_millis(10);

/// The list of all instances; a number is never given twice.
#[derive(Debug, Default)]
pub(super) struct Members(Vec<Option<Member>>);

impl Members {
    pub(super) fn enrol(&mut self, member: Member) -> MemberId {
        self.0.push(Some(member));
        MemberId(self.0.len() - 1)
    }

    pub(super) fn dismiss(&mut self, id: MemberId) {
        if let Some(slot) = self.0.get_mut(id.0) {
            *slot = None;
        }
    }

    pub(super) fn get(&self, id: MemberId) -> Option<&Member> {
        self.0.get(id.0)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: MemberId) -> Option<&mut Member> {
        self.0.get_mut(id.0)?.as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (MemberId, &Member)> {
        self.0.iter().enumerate().filter_map(|(index, member)| Some((MemberId(index), member.as_ref()?)))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (MemberId, &mut Member)> {
        self.0.iter_mut().enumerate().filter_map(|(index, member)| Some((MemberId(index), member.as_mut()?)))
    }
}
