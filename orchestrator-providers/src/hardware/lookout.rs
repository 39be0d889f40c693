//! [`Lookout`]: a thread of its own for one driver's library, so that a driver that hangs holds up nobody for long.
//!
//! ```text
//!           first question, or its time has come               no library, no driver, it failed
//!  Unasked ─────────────────────────────────────► Open ───────────────────────────────────────► Absent
//!                                                 │  ▲                                             │
//!                    no answer in time: while it  └──┘                                             │
//!                    owes one, nobody waits for it         after a long while ◄────────────────────┘
//! ```
//!
//! Libraries are loaded, used and let go in that thread only. Why no process of its own: the library is loaded where
//! [`super::LinuxHardware`] has reason to expect a GPU that it drives, and engines load the same driver. What is lost is
//! protection against a driver that crashes; one that hangs costs a thread.

use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use orchestrator_core::hardware::{Device, DeviceUse};
use tokio::sync::oneshot;

/// A library that is loaded and sees GPUs. It never leaves its thread.
pub(super) trait Sight {
    /// Returns what is there now; `None` when the library is of no use any more.
    fn devices(&mut self) -> Option<Vec<Device>>;

    /// Returns which process holds how much of which GPU.
    fn uses(&mut self) -> Vec<DeviceUse> {
        Vec::new()
    }
}

/// Loads the library; `None` where there is none, or no driver below it.
pub(super) type Opener = Arc<dyn Fn() -> Option<Box<dyn Sight>> + Send + Sync>;

/// How long a library is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For its first answer: some drivers wake their GPUs first.
    pub(super) first: Duration,
    /// For every other one.
    pub(super) usual: Duration,
    /// Until one that was not there is looked for again: a driver may be installed while we run.
    pub(super) absent: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { first: Duration::from_secs(4), usual: Duration::from_secs(2), absent: Duration::from_mins(10) }
    }
}

/// Everybody's end of the thread.
pub(super) struct Lookout {
    name: &'static str,
    open: Opener,
    patience: Patience,
    state: Mutex<State>,
}

enum State {
    Unasked,
    Absent { again: Instant },
    Open { questions: mpsc::Sender<Question>, has_answered: bool, late: Option<oneshot::Receiver<Answer>> },
}

struct Question {
    is_about_uses: bool,
    answer: oneshot::Sender<Answer>,
}

enum Answer {
    Devices(Vec<Device>),
    Uses(Vec<DeviceUse>),
}

impl Lookout {
    pub(super) fn new(name: &'static str, open: Opener, patience: Patience) -> Self {
        Self { name, open, patience, state: Mutex::new(State::Unasked) }
    }

    /// Returns the GPUs that the library sees; none, when it is not there or does not tell in time.
    pub(super) async fn devices(&self) -> Vec<Device> {
        match self.ask(false).await {
            Some(Answer::Devices(devices)) => devices,
            Some(Answer::Uses(_)) | None => Vec::new(),
        }
    }

    /// Returns who uses them. A library that was not asked for its GPUs yet is not loaded for that.
    pub(super) async fn uses(&self) -> Vec<DeviceUse> {
        let is_open = matches!(*self.lock(), State::Open { .. });
        match if is_open { self.ask(true).await } else { None } {
            Some(Answer::Uses(uses)) => uses,
            Some(Answer::Devices(_)) | None => Vec::new(),
        }
    }

    async fn ask(&self, is_about_uses: bool) -> Option<Answer> {
        let (answer, mut answered) = oneshot::channel();
        let limit = self.send(Question { is_about_uses, answer })?;
        match tokio::time::timeout(limit, &mut answered).await {
            Ok(Ok(answer)) => {
                self.note_answer();
                Some(answer)
            }
            Ok(Err(_)) => {
                *self.lock() = State::Absent { again: Instant::now() + self.patience.absent };
                None
            }
            Err(_) => {
                if let State::Open { late, .. } = &mut *self.lock() {
                    tracing::warn!("{} did not answer within {} ms; it is done without until it does", self.name, limit.as_millis());
                    late.get_or_insert(answered);
                }
                None
            }
        }
    }

    /// Passes a question on and returns how long its answer is waited for; `None` where there is no use in asking.
    fn send(&self, question: Question) -> Option<Duration> {
        let mut state = self.lock();
        match &mut *state {
            State::Absent { again } if *again > Instant::now() => return None,
            State::Unasked | State::Absent { .. } => {
                let questions = self.begin()?;
                *state = State::Open { questions, has_answered: false, late: None };
            }
            State::Open { late, .. } => match late.as_mut().map(oneshot::Receiver::try_recv) {
                Some(Err(oneshot::error::TryRecvError::Empty)) => return None,
                Some(Ok(_) | Err(oneshot::error::TryRecvError::Closed)) | None => *late = None,
            },
        }
        let State::Open { questions, has_answered, .. } = &*state else { return None };
        let limit = if *has_answered { self.patience.usual } else { self.patience.first };
        if questions.send(question).is_err() {
            *state = State::Absent { again: Instant::now() + self.patience.absent };
            return None;
        }
        Some(limit)
    }

    fn begin(&self) -> Option<mpsc::Sender<Question>> {
        let (questions, asked) = mpsc::channel();
        let open = self.open.clone();
        let thread = std::thread::Builder::new().name(self.name.to_owned()).spawn(move || watch(&open, &asked));
        thread.inspect_err(|error| tracing::warn!(%error, "no thread to look for GPUs with {}", self.name)).ok().map(|_| questions)
    }

    fn note_answer(&self) {
        if let State::Open { has_answered, .. } = &mut *self.lock() {
            *has_answered = true;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing is half done where something could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers until nobody asks any more or there is nothing to see. Questions without an answer are dropped with it.
fn watch(open: &Opener, asked: &mpsc::Receiver<Question>) {
    let Some(mut sight) = open() else { return };
    while let Ok(question) = asked.recv() {
        let answer = if question.is_about_uses {
            Answer::Uses(sight.uses())
        } else {
            let Some(devices) = sight.devices() else { return };
            Answer::Devices(devices)
        };
        // Whoever asked may not have waited.
        let _ = question.answer.send(answer);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::sync::atomic::{AtomicUsize, Ordering};

    use orchestrator_core::instance::spec::Backend;

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_mins(1);

    /// Sees as many GPUs as it is told, when it is told.
    struct Told(mpsc::Receiver<Option<u32>>);

    impl Sight for Told {
        fn devices(&mut self) -> Option<Vec<Device>> {
            let count = self.0.recv().ok()??;
            Some((0..count).map(|index| Device::new(Backend::Cuda, index, "x", 1)).collect())
        }

        fn uses(&mut self) -> Vec<DeviceUse> {
            vec![DeviceUse { backend: Backend::Cuda, index: 0, pid: 7, memory_bytes: 5 }]
        }
    }

    struct Rig {
        lookout: Lookout,
        tell: mpsc::Sender<Option<u32>>,
        opened: Arc<AtomicUsize>,
    }

    /// A library that can be loaded once, and counts how often somebody tried.
    fn rig(patience: Patience) -> Rig {
        let (tell, told) = mpsc::channel();
        let (told, opened) = (Mutex::new(Some(told)), Arc::new(AtomicUsize::new(0)));
        let counter = opened.clone();
        let open: Opener = Arc::new(move || {
            counter.fetch_add(1, Ordering::SeqCst);
            Some(Box::new(Told(told.lock().unwrap().take()?)))
        });
        Rig { lookout: Lookout::new("test", open, patience), tell, opened }
    }

    #[tokio::test]
    async fn a_library_is_loaded_once_and_asked_again_and_again() {
        let Rig { lookout, tell, opened } = rig(Patience { first: LONG, usual: LONG, absent: LONG });
        assert!(lookout.uses().await.is_empty(), "nothing is loaded for that");
        assert_eq!(opened.load(Ordering::SeqCst), 0);
        for count in [2, 0, 1] {
            tell.send(Some(count)).unwrap();
            assert_eq!(lookout.devices().await.len(), count as usize);
        }
        assert_eq!(lookout.uses().await[0].pid, 7);
        assert_eq!(opened.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_library_that_is_not_there_is_looked_for_again_after_a_long_while_only() {
        for (absent, expected) in [(LONG, 1), (Duration::ZERO, 3)] {
            let opened = Arc::new(AtomicUsize::new(0));
            let counter = opened.clone();
            let open: Opener = Arc::new(move || {
                counter.fetch_add(1, Ordering::SeqCst);
                None
            });
            let lookout = Lookout::new("test", open, Patience { first: LONG, usual: LONG, absent });
            for _ in 0..3 {
                assert!(lookout.devices().await.is_empty());
            }
            assert_eq!(opened.load(Ordering::SeqCst), expected);
        }
    }

    #[tokio::test]
    async fn a_driver_that_hangs_is_waited_for_once_and_heard_again_when_it_answers() {
        let Rig { lookout, tell, .. } = rig(Patience { first: SHORT, usual: LONG, absent: LONG });
        assert!(lookout.devices().await.is_empty());
        // It owes an answer: nobody waits, although now there is a minute for it.
        let begun = Instant::now();
        lookout.note_answer();
        assert!(lookout.devices().await.is_empty());
        assert!(begun.elapsed() < LONG / 2);
        for _ in 0..2 {
            tell.send(Some(1)).unwrap();
        }
        let begun = Instant::now();
        while lookout.devices().await.is_empty() {
            assert!(begun.elapsed() < LONG / 2);
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_driver_that_fails_is_let_go() {
        let Rig { lookout, tell, opened } = rig(Patience { first: LONG, usual: LONG, absent: LONG });
        tell.send(Some(1)).unwrap();
        assert_eq!(lookout.devices().await.len(), 1);
        tell.send(None).unwrap();
        assert!(lookout.devices().await.is_empty());
        assert!(lookout.devices().await.is_empty() && lookout.uses().await.is_empty());
        assert_eq!(opened.load(Ordering::SeqCst), 1);
    }
}
