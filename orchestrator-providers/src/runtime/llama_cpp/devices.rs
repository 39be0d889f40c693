//! What an engine says that it could run models on: `llama-server --list-devices`.

use std::path::Path;
use std::time::Duration;

use orchestrator_core::hardware::EngineDevice;
use orchestrator_core::runtime::RuntimeError;
use tokio_util::sync::CancellationToken;

use crate::env::{Program, ProgramEnd, run};

/// How long it may take: the drivers of GPUs are loaded for it.
const LIMIT: Duration = Duration::from_secs(15);
const MIB: u64 = 1024 * 1024;

/// Asks a program.
pub(super) async fn ask(path: &Path) -> Result<Vec<EngineDevice>, RuntimeError> {
    let unusable = |reason: String| RuntimeError::EngineUnusable { path: path.to_path_buf(), reason };
    let program = Program { limit: LIMIT, ..Program::quick(path, ["--list-devices"]) };
    match run(program, &CancellationToken::new(), &mut |_| {}).await {
        Ok(ProgramEnd::Exited(output)) if output.succeeded() => Ok(read(&output.stdout)),
        Ok(ProgramEnd::Exited(output)) => Err(unusable(output.last_words())),
        Ok(ProgramEnd::TimedOut(_)) => Err(unusable(format!("it did not list its devices within {} s", LIMIT.as_secs()))),
        Ok(ProgramEnd::Cancelled) => Err(unusable("it was ended".to_owned())),
        Err(error) => Err(unusable(error.to_string())),
    }
}

/// Reads the list below its heading.
fn read(lines: &[String]) -> Vec<EngineDevice> {
    let list = lines.iter().skip_while(|line| !line.starts_with("Available devices")).skip(1);
    list.take_while(|line| line.starts_with(' ')).filter_map(|line| device(line.trim())).collect()
}

/// Reads a line such as `CUDA0: NVIDIA H200 (143771 MiB, 143000 MiB free)`.
fn device(line: &str) -> Option<EngineDevice> {
    let (id, rest) = line.split_once(": ")?;
    let mebibytes = |text: &str| text.trim().strip_suffix("MiB")?.trim().parse::<u64>().ok()?.checked_mul(MIB);
    let told = rest.rsplit_once(" (").and_then(|(name, memory)| {
        let (total, free) = memory.strip_suffix(" free)")?.split_once(',')?;
        Some((name, mebibytes(total)?, mebibytes(free)?))
    });
    let (name, total, free) = told.map_or((rest, None, None), |(name, total, free)| (name, Some(total), Some(free)));
    Some(EngineDevice { id: id.to_owned(), name: name.to_owned(), memory_total_bytes: total, memory_free_bytes: free })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, &str, Option<u64>, Option<u64>)]) {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let found = read(&lines);
        let short: Vec<_> = found
            .iter()
            .map(|device| {
                let mebibytes = |bytes: Option<u64>| bytes.map(|bytes| bytes / MIB);
                (device.id.as_str(), device.name.as_str(), mebibytes(device.memory_total_bytes), mebibytes(device.memory_free_bytes))
            })
            .collect();
        assert_eq!(short, expected);
    }

    #[test]
    fn the_list_is_read_as_engines_write_it() {
        check("Available devices:\n  (none)", &[]);
        check("", &[]);
        check(
            "ggml_cuda_init: found 1 CUDA devices:\n  Device 0: NVIDIA H200, compute capability 9.0\nAvailable devices:\n  \
             CUDA0: NVIDIA H200 (143771 MiB, 143000 MiB free)\n  Vulkan0: AMD Radeon RX 7900 XTX (RADV NAVI31) (24560 MiB, 24000 MiB free)\n  \
             RPC0: elsewhere (here)\nbye: now",
            &[
                ("CUDA0", "NVIDIA H200", Some(143_771), Some(143_000)),
                ("Vulkan0", "AMD Radeon RX 7900 XTX (RADV NAVI31)", Some(24_560), Some(24_000)),
                ("RPC0", "elsewhere (here)", None, None),
            ],
        );
    }

    #[tokio::test]
    async fn a_program_that_knows_no_such_list_is_told_of() {
        assert!(ask(Path::new("/bin/false")).await.is_err());
        assert!(ask(Path::new("/does/not/exist")).await.is_err());
        assert_eq!(ask(Path::new("/bin/true")).await.ok(), Some(Vec::new()));
    }
}
