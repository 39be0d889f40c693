//! [`SmallDisk`]: a folder of a home on a disk of its own that can be filled to the last byte.
//!
//! A file system in memory, which takes the right to mount; where that is missing, the round falls back on writes that
//! find a full disk (`preload`).

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::TestHome;

/// A mounted file system; dropping it takes it away with all it holds.
#[derive(Debug)]
struct SmallDisk(PathBuf);

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _nothing_more_to_do = unmount(&self.0, UnmountFlags::DETACH);
    }
}

/// Puts a folder of the home that is still empty on a small disk of its own. Returns whether that is allowed here.
pub(super) fn put_on_small_disk(home: &TestHome, folder: &str) -> bool {
    let path = home.path().join(folder);
    std::fs::create_dir_all(&path).unwrap();
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    let is_allowed = mount("tmpfs", &path, "tmpfs", flags, Some(c"size=12m,mode=0700")).is_ok();
    if is_allowed {
        home.hold(SmallDisk(path));
    }
    is_allowed
}

/// What fills a disk; dropping it gives the room back.
#[derive(Debug)]
pub(super) struct Ballast(PathBuf);

impl Ballast {
    /// Fills the disk of a folder to its last byte.
    pub(super) fn fill(folder: &Path) -> Self {
        let path = folder.join("ballast");
        let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        for size in [64 * 1024, 4096, 1] {
            let piece = vec![b'x'; size];
            loop {
                match file.write(&piece) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        Self(path)
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        let _it_is_there = std::fs::remove_file(&self.0);
    }
}
