//! Runs a check and sees that it ends: a panic becomes a message, an endless check ends the process.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::shell::target_dir;

/// How long one input may take, with a compiler that optimises nothing on a machine that does other things.
const DEADLINE: Duration = Duration::from_secs(20);

/// A thread that looks at the clock. It ends with the watch.
pub(super) struct Watch {
    current: Arc<Mutex<Option<Current>>>,
}

/// The input that is looked at.
struct Current {
    since: Instant,
    input: Vec<u8>,
}

impl Watch {
    pub(super) fn start(name: &'static str) -> Self {
        let current: Arc<Mutex<Option<Current>>> = Arc::default();
        let watched = Arc::downgrade(&current);
        std::thread::spawn(move || {
            while let Some(current) = watched.upgrade() {
                if let Some(Current { since, input }) = &*current.lock().unwrap_or_else(PoisonError::into_inner)
                    && since.elapsed() > DEADLINE
                {
                    let file = target_dir().join(format!("fuzz-{name}.input"));
                    let _ = std::fs::write(&file, input);
                    eprintln!("error: `{name}` did not end within {DEADLINE:?}; the input is `{}`", file.display());
                    std::process::exit(1);
                }
                drop(current);
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        Self { current }
    }

    /// Runs the check on one input; returns how long it took, or what it panicked with.
    pub(super) fn check(&self, check: fn(&[u8]), input: &[u8]) -> Result<Duration, String> {
        self.set(Some(Current { since: Instant::now(), input: input.to_vec() }));
        let begun = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| check(input)));
        let took = begun.elapsed();
        self.set(None);
        result.map(|()| took).map_err(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
            format!("panic: {}", text.unwrap_or("without a text"))
        })
    }

    fn set(&self, value: Option<Current>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = value;
    }
}
