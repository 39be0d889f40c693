//! Trees of files like those of the kernel.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use super::*;

fn write(root: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// A machine with an AMD GPU, a processor's own AMD GPU, and NVIDIA's.
pub(in crate::hardware) fn three_cards(root: &Path) {
    write(
        root,
        &[
            ("sys/class/drm/version", "drm 1.1.0 20060810\n"),
            ("sys/class/drm/card0/device/vendor", "0x10de\n"),
            ("sys/class/drm/card0/device/uevent", "DRIVER=nvidia\nPCI_SLOT_NAME=0000:01:00.0\n"),
            ("sys/class/drm/card0-DP-1/status", "connected\n"),
            ("sys/class/drm/card10/device/vendor", "0x1002\n"),
            ("sys/class/drm/card10/device/uevent", "DRIVER=amdgpu\nPCI_SLOT_NAME=0000:C5:00.0\n"),
            ("sys/class/drm/card10/device/mem_info_vram_total", "536870912\n"),
            ("sys/class/drm/card2/device/vendor", "0x1002\n"),
            ("sys/class/drm/card2/device/uevent", "DRIVER=amdgpu\nPCI_SLOT_NAME=0000:03:00.0\n"),
            ("sys/class/drm/card2/device/mem_info_vram_total", "25753026560\n"),
            ("sys/class/drm/card2/device/mem_info_vram_used", "753026560\n"),
            ("sys/class/drm/card2/device/gpu_busy_percent", "42\n"),
            ("sys/class/drm/card2/device/product_name", "AMD Instinct MI210\n"),
            ("sys/class/drm/renderD128/device/uevent", "DRIVER=nvidia\nPCI_SLOT_NAME=0000:01:00.0\n"),
            ("sys/class/drm/renderD129/device/uevent", "DRIVER=amdgpu\nPCI_SLOT_NAME=0000:03:00.0\n"),
            ("sys/class/drm/renderD130/device/uevent", "DRIVER=v3d\nOF_NAME=gpu\n"),
            ("sys/module/amdgpu/version", "6.12.12\n"),
        ],
    );
}

#[test]
fn the_gpus_of_amd_are_read_in_the_order_of_their_cards() {
    let root = tempfile::tempdir().unwrap();
    three_cards(root.path());
    let sysfs = Sysfs::at(root.path());
    let devices = sysfs.devices();
    assert_eq!(devices.len(), 2);
    let expected = Device {
        memory_free_bytes: Some(25_000_000_000),
        busy_percent: Some(42),
        driver: Some("6.12.12".to_owned()),
        pci_bus_id: Some("0000:03:00.0".to_owned()),
        seen_by: vec![DeviceSource::Sysfs],
        ..Device::new(Backend::Rocm, 0, "AMD Instinct MI210", 25_753_026_560)
    };
    assert_eq!(devices[0], expected);
    assert_eq!((devices[1].index, devices[1].memory_free_bytes, devices[1].pci_bus_id.as_deref()), (1, None, Some("0000:c5:00.0")));
    assert_eq!(sysfs.usable(), [Some("0000:01:00.0".to_owned()), Some("0000:03:00.0".to_owned()), None]);
}

#[test]
fn a_machine_without_gpus_has_none() {
    let root = tempfile::tempdir().unwrap();
    let sysfs = Sysfs::at(root.path());
    assert_eq!((sysfs.devices(), sysfs.usable()), (Vec::new(), Vec::new()));
    write(root.path(), &[("sys/class/drm/card0/device/vendor", "0x1002\n"), ("sys/class/drm/card0/device/mem_info_vram_total", "much\n")]);
    assert_eq!(sysfs.devices(), []);
}

/// What a process says of a GPU that it has open.
fn descriptor(root: &Path, pid: u32, number: u32, target: &str, text: &str) {
    let process = root.join(format!("proc/{pid}"));
    write(&process, &[(&format!("fdinfo/{number}"), text)]);
    fs::create_dir_all(process.join("fd")).unwrap();
    std::os::unix::fs::symlink(target, process.join(format!("fd/{number}"))).unwrap();
}

#[test]
fn what_processes_hold_is_summed_over_their_users_of_a_gpu() {
    let root = tempfile::tempdir().unwrap();
    three_cards(root.path());
    let sysfs = Sysfs::at(root.path());
    let said = |client: u32, rest: &str| format!("pos:\t0\ndrm-driver:\tamdgpu\ndrm-client-id:\t{client}\ndrm-pdev:\t0000:03:00.0\n{rest}");
    let render = "/dev/dri/renderD129";
    descriptor(root.path(), 70, 3, render, &said(1, "drm-total-vram:\t900 MiB\ndrm-resident-vram:\t512 MiB\n"));
    // A copy of the descriptor: the same user.
    descriptor(root.path(), 70, 4, render, &said(1, "drm-total-vram:\t900 MiB\ndrm-resident-vram:\t512 MiB\n"));
    descriptor(root.path(), 70, 5, render, &said(2, "drm-memory-vram:\t1024 KiB\n"));
    descriptor(root.path(), 71, 3, render, &said(3, "drm-total-vram:\t4096\n"));
    // Another file, another GPU, nothing told.
    descriptor(root.path(), 72, 3, "/home/x", &said(4, "drm-total-vram:\t4096\n"));
    descriptor(root.path(), 73, 3, render, "drm-driver:\tnvidia\ndrm-pdev:\t0000:01:00.0\ndrm-total-vram:\t8 KiB\n");
    descriptor(root.path(), 74, 3, render, &said(5, ""));
    write(root.path(), &[("proc/self/fd/x", ""), ("proc/meminfo", "")]);
    let held: Vec<_> = sysfs.uses(&sysfs.devices()).into_iter().map(|held| (held.pid, held.index, held.memory_bytes)).collect();
    assert_eq!(held, [(70, 0, 513 << 20), (71, 0, 4096)]);
    assert_eq!(sysfs.uses(&[]), []);
}
