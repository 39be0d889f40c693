//! Whether there is room for a model. Pure, but for one question to the file system.

use std::io;
use std::path::Path;

use crate::config::daemon::ModelsConfig;
use crate::error::{ErrorCode, Problem};

/// The bytes in a GB, as the configuration counts.
const GB: u64 = 1_000_000_000;

/// What models may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DiskLimits {
    quota: Option<u64>,
    keep_free: u64,
}

/// What they take now, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct DiskUse {
    /// All models that we fetched.
    pub(super) used: u64,
    /// What pulls that are under way will still take.
    pub(super) reserved: u64,
    /// What the file system has left.
    pub(super) free: u64,
}

/// Why there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shortage {
    /// The quota does not allow it.
    Quota {
        /// The quota in bytes.
        quota: u64,
        /// What is used or promised.
        taken: u64,
        /// What is needed besides.
        needed: u64,
    },
    /// The file system has not enough left.
    Disk {
        /// What is left and not promised.
        free: u64,
        /// What must stay free.
        keep_free: u64,
        /// What is needed.
        needed: u64,
    },
}

impl DiskLimits {
    pub(super) fn of(config: &ModelsConfig) -> Self {
        Self { quota: config.max_disk_gb.map(|gb| gb.saturating_mul(GB)), keep_free: config.keep_free_gb.saturating_mul(GB) }
    }

    /// Decides whether `needed` bytes more may be taken.
    pub(super) fn check(&self, disk: DiskUse, needed: u64) -> Result<(), Shortage> {
        let taken = disk.used.saturating_add(disk.reserved);
        if let Some(quota) = self.quota.filter(|quota| taken.saturating_add(needed) > *quota) {
            return Err(Shortage::Quota { quota, taken, needed });
        }
        let free = disk.free.saturating_sub(disk.reserved);
        if needed > 0 && free < needed.saturating_add(self.keep_free) {
            return Err(Shortage::Disk { free, keep_free: self.keep_free, needed });
        }
        Ok(())
    }
}

impl Shortage {
    /// Says it to whoever asked for `what`.
    pub(super) fn into_problem(self, what: &str, folder: &Path) -> Problem {
        let (title, cause) = match self {
            Self::Quota { quota, taken, needed } => (
                format!("{what} does not fit into the quota for models"),
                format!("it needs {} more, and {} of {} are taken", size(needed), size(taken), size(quota)),
            ),
            Self::Disk { free, keep_free, needed } => (
                format!("{what} does not fit on the disk of `{}`", folder.display()),
                format!("it needs {} more, {} are free, and {} are to stay free", size(needed), size(free), size(keep_free)),
            ),
        };
        let hint = match self {
            Self::Quota { .. } => {
                "`orch model prune` removes models that no instance uses; `models.max_disk_gb` in `config.yaml` is the quota"
            }
            Self::Disk { .. } => {
                "`orch model prune` removes models that no instance uses; `models.keep_free_gb` in `config.yaml` is what stays free"
            }
        };
        Problem::new(ErrorCode::ModelNoSpace, title).with_cause(cause).with_hint(hint)
    }
}

/// Writes a number of bytes for people.
pub(super) fn size(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "it is shown with two digits")]
    let value = bytes as f64;
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{:.1} kB", value / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", value / 1e6),
        _ => format!("{:.1} GB", value / 1e9),
    }
}

/// Returns the bytes that are left where `folder` is or will be.
pub(super) fn free_bytes(folder: &Path) -> io::Result<u64> {
    let there = folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    let found = rustix::fs::statvfs(there)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    fn limits(quota: Option<u64>, keep_free: u64) -> DiskLimits {
        DiskLimits { quota, keep_free }
    }

    #[test]
    fn a_quota_counts_what_is_used_promised_and_needed() {
        let disk = DiskUse { used: 60, reserved: 30, free: 1_000 };
        assert_eq!(limits(Some(100), 0).check(disk, 10), Ok(()));
        assert_eq!(limits(Some(100), 0).check(disk, 11), Err(Shortage::Quota { quota: 100, taken: 90, needed: 11 }));
        assert_eq!(limits(None, 0).check(disk, 970), Ok(()));
    }

    #[test]
    fn some_of_the_disk_stays_free() {
        let disk = DiskUse { used: 0, reserved: 50, free: 200 };
        assert_eq!(limits(None, 100).check(disk, 50), Ok(()));
        assert_eq!(limits(None, 100).check(disk, 51), Err(Shortage::Disk { free: 150, keep_free: 100, needed: 51 }));
        // What is here already needs no room, however full it is.
        assert_eq!(limits(None, 100).check(DiskUse { free: 0, ..disk }, 0), Ok(()));
    }

    #[test]
    fn numbers_beyond_every_disk_are_refused_and_do_not_overflow() {
        let disk = DiskUse { used: u64::MAX, reserved: u64::MAX, free: u64::MAX };
        assert!(limits(Some(u64::MAX - 1), u64::MAX).check(disk, u64::MAX).is_err());
        assert!(limits(None, u64::MAX).check(DiskUse { free: 1, ..DiskUse::default() }, u64::MAX).is_err());
    }

    #[test]
    fn the_space_of_a_folder_that_is_not_there_yet_is_that_of_its_parent() {
        let folder = tempfile::tempdir().unwrap();
        assert!(free_bytes(&folder.path().join("a/b/c")).unwrap() > 0);
    }

    #[test]
    fn people_read_sizes_in_units() {
        assert_eq!([size(7), size(1_500), size(42_000_000), size(42_100_000_000)], ["7 bytes", "1.5 kB", "42.0 MB", "42.1 GB"]);
    }
}
