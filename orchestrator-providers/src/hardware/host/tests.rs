#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use super::*;

const MEMINFO: &str = "MemTotal:       16000000 kB\nMemFree:         1000000 kB\nMemAvailable:    8000000 kB\n";

fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Host) {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let host = Host::at(root.path().join("proc"), root.path().join("cgroup"));
    (root, host)
}

#[test]
fn without_limits_the_memory_is_the_machines() {
    let (_root, host) = machine(&[("proc/meminfo", MEMINFO), ("proc/cpuinfo", "processor\t: 0\nmodel name\t: A CPU\n")]);
    assert_eq!(host.memory(), HostMemory { total: 16_000_000 * 1024, available: 8_000_000 * 1024 });
    assert_eq!(host.cpu_name().as_deref(), Some("A CPU"));
}

#[test]
fn the_narrowest_limit_above_us_bounds_the_memory() {
    let (_root, host) = machine(&[
        ("proc/meminfo", MEMINFO),
        ("proc/self/cgroup", "0::/outer/inner\n"),
        ("cgroup/outer/inner/memory.max", "max\n"),
        ("cgroup/outer/memory.max", "2000000000\n"),
        ("cgroup/outer/memory.current", "900000000\n"),
        ("cgroup/outer/memory.stat", "anon 5\ninactive_file 400000000\n"),
    ]);
    assert_eq!(host.memory(), HostMemory { total: 2_000_000_000, available: 1_500_000_000 });
}

#[test]
fn the_first_version_of_control_groups_is_read_too() {
    let (_root, host) = machine(&[
        ("proc/meminfo", MEMINFO),
        ("proc/self/cgroup", "12:cpu,cpuacct:/x\n5:memory:/docker/abc\n"),
        ("cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        // A container sees its own group at the root.
        ("cgroup/memory/docker/abc/memory.limit_in_bytes", "1000000000\n"),
        ("cgroup/memory/docker/abc/memory.usage_in_bytes", "1500000000\n"),
    ]);
    assert_eq!(host.memory(), HostMemory { total: 1_000_000_000, available: 0 });
}

#[test]
fn files_that_are_missing_or_damaged_leave_things_out() {
    let (_root, host) = machine(&[("proc/meminfo", "MemTotal: many kB\nMemFree:\n"), ("proc/self/cgroup", "nonsense\n0::/../..\n")]);
    assert_eq!(host.memory(), HostMemory { total: 0, available: 0 });
    assert_eq!(host.cpu_name(), None);
}
