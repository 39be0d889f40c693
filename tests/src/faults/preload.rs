//! [`Preload`]: faults that only the C library can bring, loaded into the daemon of one home: a disk that is full at the
//! Nth write, a wall clock that jumps.
//!
//! Owns the building of `preload/preload.c` and the file that steers it; both have one layout.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::Command;

use crate::TestHome;

/// The shared object's source.
const SOURCE: &str = include_str!("../../preload/preload.c");

/// Where the numbers stand in the file.
#[derive(Clone, Copy)]
enum Field {
    Seen = 0,
    First = 8,
    Last = 16,
    Failed = 24,
    Ahead = 32,
}

/// Steers what is loaded into the processes of one home.
#[derive(Debug)]
pub(super) struct Preload {
    control: File,
}

impl Preload {
    const LIBRARY: &str = "preload.so";
    const CONTROL: &str = "preload.control";

    /// Builds the shared object into the home, and sees to it that every `orch` of this home loads it from now on.
    pub(super) fn install(home: &TestHome) {
        let folder = home.path();
        let (source, library, control) = (folder.join("preload.c"), folder.join(Self::LIBRARY), folder.join(Self::CONTROL));
        std::fs::write(&source, SOURCE).unwrap();
        let built = Command::new("cc").args(["-std=gnu11", "-O1", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source).output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        std::fs::write(&control, [0; 4096]).unwrap();
        home.set_variable("LD_PRELOAD", &library);
        home.set_variable("ORCH_FAULTS_CONTROL", &control);
        // Without a slash at its end, as the system writes it.
        home.set_variable("ORCH_FAULTS_BELOW", folder.components().collect::<PathBuf>());
    }

    /// Opens what steers the processes of a home in which it was installed.
    pub(super) fn of(home: &TestHome) -> Self {
        Self { control: OpenOptions::new().read(true).write(true).open(home.path().join(Self::CONTROL)).unwrap() }
    }

    fn put(&self, field: Field, value: u64) {
        self.control.write_all_at(&value.to_ne_bytes(), field as u64).unwrap();
    }

    fn get(&self, field: Field) -> u64 {
        let mut bytes = [0; 8];
        self.control.read_exact_at(&mut bytes, field as u64).unwrap();
        u64::from_ne_bytes(bytes)
    }

    /// From now on the daemon's writes number `first` (counted from 1) to `last` find a full disk.
    pub(super) fn fill_disk(&self, first: u64, last: u64) {
        self.put(Field::First, 0);
        self.put(Field::Seen, 0);
        self.put(Field::Failed, 0);
        self.put(Field::Last, last);
        self.put(Field::First, first);
    }

    /// Gives room again, and returns how many writes found none.
    pub(super) fn relieve_disk(&self) -> u64 {
        self.put(Field::First, 0);
        self.get(Field::Failed)
    }

    /// Returns how many writes the daemon made since the disk was filled last, or since its start.
    pub(super) fn writes(&self) -> u64 {
        self.get(Field::Seen)
    }

    /// Sets the wall clock of every process of the home this many nanoseconds ahead of the machine's.
    pub(super) fn set_clock_ahead(&self, nanoseconds: i64) {
        self.put(Field::Ahead, nanoseconds.cast_unsigned());
    }
}
