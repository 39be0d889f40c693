//! Sums the progress of several files up for whoever watches a pull: bytes, rate, time left. About ten updates a second.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use orchestrator_core::model::PullPlan;
use orchestrator_core::operation::{FilePhase, FileProgress, Progress, ProgressUnit, ProgressUpdate};

use super::FetchObserver;

/// The shortest time between two updates. A change of phase does not wait.
const SHORTEST_GAP: Duration = Duration::from_millis(100);
/// The time over which the rate is measured.
const RATE_WINDOW: Duration = Duration::from_secs(5);
/// The shortest time that tells anything of the rate.
const RATE_MINIMUM: Duration = Duration::from_millis(500);

/// The progress of a pull. Each file has its own observer, see [`Self::file`].
pub struct PullProgress<'a> {
    watcher: &'a dyn Progress,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    files: Vec<FileProgress>,
    /// The files whose first count was taken: what was here before is not fetched now.
    counted: Vec<bool>,
    rate: Rate,
    told: Option<Instant>,
}

impl<'a> PullProgress<'a> {
    /// Watches the files of a plan, in its order.
    #[must_use]
    pub fn of_plan(plan: &PullPlan, watcher: &'a dyn Progress) -> Self {
        let file = |file: &orchestrator_core::model::PlannedFile| FileProgress {
            name: file.name.clone(),
            done: file.present_bytes,
            total: file.size_bytes,
            phase: FilePhase::Waiting,
        };
        Self::new(plan.files.iter().map(file).collect(), watcher)
    }

    /// Watches some files.
    #[must_use]
    pub fn new(files: Vec<FileProgress>, watcher: &'a dyn Progress) -> Self {
        let counted = vec![false; files.len()];
        Self { watcher, state: Mutex::new(State { files, counted, rate: Rate::default(), told: None }) }
    }

    /// Returns the observer of one file, by its place. One that is not there is heard and not told of.
    #[must_use]
    pub fn file(&self, index: usize) -> FileObserver<'_> {
        FileObserver { pull: self, index }
    }

    fn change(&self, index: usize, change: impl FnOnce(&mut State) -> Urgency) {
        let now = Instant::now();
        let mut state = self.lock();
        if index >= state.files.len() {
            return;
        }
        let urgency = change(&mut state);
        let due = state.told.is_none_or(|told| now.duration_since(told) >= SHORTEST_GAP);
        if due || urgency == Urgency::Now {
            state.told = Some(now);
            let update = state.update(now);
            // Told under the lock, so that updates arrive in their order; whoever is told returns at once.
            self.watcher.update(update);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for PullProgress<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PullProgress").field("state", &*self.lock()).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Urgency {
    Now,
    WhenDue,
}

/// The observer of one file of a pull.
#[derive(Debug, Clone, Copy)]
pub struct FileObserver<'a> {
    pull: &'a PullProgress<'a>,
    index: usize,
}

impl FetchObserver for FileObserver<'_> {
    fn phase(&self, phase: FilePhase) {
        self.pull.change(self.index, |state| {
            let file = &mut state.files[self.index];
            let changed = file.phase != phase;
            file.phase = phase;
            if phase == FilePhase::Done {
                file.done = file.total.unwrap_or(file.done);
            }
            if changed { Urgency::Now } else { Urgency::WhenDue }
        });
    }

    fn present(&self, bytes: u64) {
        self.pull.change(self.index, |state| {
            let before = std::mem::replace(&mut state.files[self.index].done, bytes);
            let first = !std::mem::replace(&mut state.counted[self.index], true);
            state.rate.add(Instant::now(), if first { 0 } else { bytes.saturating_sub(before) });
            Urgency::WhenDue
        });
    }
}

impl State {
    fn update(&self, now: Instant) -> ProgressUpdate {
        let done: u64 = self.files.iter().map(|file| file.done).fold(0, u64::saturating_add);
        let total = self.files.iter().map(|file| file.total).try_fold(0_u64, |sum, total| Some(sum.saturating_add(total?)));
        let rate = self.rate.per_second(now);
        let left = total.map(|total| total.saturating_sub(done));
        let eta_seconds = rate.filter(|rate| *rate > 0).and_then(|rate| Some(left?.div_ceil(rate)));
        let files = if self.files.len() > 1 { self.files.clone() } else { Vec::new() };
        let phase = phase_of_all(&self.files).to_owned();
        ProgressUpdate { phase, done: Some(done), total, unit: ProgressUnit::Bytes, rate, eta_seconds, files }
    }
}

/// Says in a word what happens to all of them.
fn phase_of_all(files: &[FileProgress]) -> &'static str {
    let any = |phase| files.iter().any(|file| file.phase == phase);
    if any(FilePhase::Fetching) {
        "fetching"
    } else if any(FilePhase::Verifying) {
        "verifying"
    } else if any(FilePhase::Waiting) {
        "waiting"
    } else {
        "done"
    }
}

/// How much was fetched over the last seconds.
#[derive(Debug, Default)]
struct Rate {
    fetched: u64,
    samples: VecDeque<(Instant, u64)>,
}

impl Rate {
    fn add(&mut self, now: Instant, bytes: u64) {
        self.fetched = self.fetched.saturating_add(bytes);
        if self.samples.back().is_none_or(|(last, _)| now.duration_since(*last) >= SHORTEST_GAP) {
            self.samples.push_back((now, self.fetched));
        }
        // One sample older than the window stays, to measure from.
        while self.samples.get(1).is_some_and(|(second, _)| now.duration_since(*second) >= RATE_WINDOW) {
            self.samples.pop_front();
        }
    }

    fn per_second(&self, now: Instant) -> Option<u64> {
        let (since, before) = self.samples.front()?;
        let time = now.duration_since(*since);
        if time < RATE_MINIMUM {
            return None;
        }
        let bytes = u128::from(self.fetched - before);
        u64::try_from(bytes * 1_000_000 / time.as_micros().max(1)).ok()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[derive(Default)]
    struct Kept(Mutex<Vec<ProgressUpdate>>);

    impl Progress for Kept {
        fn update(&self, update: ProgressUpdate) {
            self.0.lock().unwrap().push(update);
        }
    }

    fn file(name: &str, total: Option<u64>) -> FileProgress {
        FileProgress { name: name.to_owned(), done: 0, total, phase: FilePhase::Waiting }
    }

    #[test]
    fn files_are_summed_up_and_changes_of_phase_are_told_at_once() {
        let kept = Kept::default();
        let pull = PullProgress::new(vec![file("a", Some(100)), file("b", Some(50))], &kept);
        pull.file(0).phase(FilePhase::Fetching);
        pull.file(0).present(60);
        pull.file(1).phase(FilePhase::Fetching);
        pull.file(0).phase(FilePhase::Verifying);
        pull.file(1).phase(FilePhase::Done);
        pull.file(0).phase(FilePhase::Done);
        pull.file(7).phase(FilePhase::Done);
        let updates = kept.0.lock().unwrap();
        let seen: Vec<_> = updates.iter().map(|update| (update.phase.as_str(), update.done.unwrap())).collect();
        assert_eq!(seen, [("fetching", 0), ("fetching", 60), ("fetching", 60), ("verifying", 110), ("done", 150)]);
        assert!(updates.iter().all(|update| update.total == Some(150) && update.files.len() == 2));
    }

    #[test]
    fn many_changes_are_few_updates() {
        let kept = Kept::default();
        let pull = PullProgress::new(vec![file("a", None)], &kept);
        let begun = Instant::now();
        for bytes in 0..10_000 {
            pull.file(0).present(bytes);
        }
        let most = begun.elapsed().as_millis() / SHORTEST_GAP.as_millis() + 1;
        let updates = kept.0.lock().unwrap();
        assert!(updates.len() as u128 <= most, "{} updates", updates.len());
        assert!(updates.iter().all(|update| update.total.is_none() && update.files.is_empty()));
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut rate = Rate::default();
        rate.add(at(0), 0);
        assert_eq!(rate.per_second(at(100)), None);
        rate.add(at(1_000), 1_000);
        assert_eq!(rate.per_second(at(1_000)), Some(1_000));
        for second in 2..=20 {
            rate.add(at(second * 1_000), 4_000);
        }
        assert_eq!(rate.per_second(at(20_000)), Some(4_000));
        rate.add(at(40_000), 0);
        assert!(rate.per_second(at(40_000)).unwrap() == 0, "nothing came for a while");
    }
}
