//! Reads the words with which `uv` and `pip` give up.
//!
//! Owns: telling a missing network and a full disk from everything else, and choosing the words to show.

/// Why an installer gave up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum InstallFailure {
    /// The index was not reached.
    Network {
        /// The installer's own words.
        detail: String,
    },
    /// Nothing can be written any more.
    DiskFull,
    /// Anything else.
    Other {
        /// The installer's own words.
        detail: String,
    },
}

/// The longest detail that is shown, in characters.
const LONGEST_DETAIL: usize = 400;

const DISK_FULL: [&str; 4] = ["No space left on device", "os error 28", "[Errno 28]", "Disk quota exceeded"];

const NETWORK: [&str; 24] = [
    "dns error",
    "failed to lookup address",
    "Name or service not known",
    "Temporary failure in name resolution",
    "Connection refused",
    "Connection reset",
    "connection closed",
    "Network is unreachable",
    "Network unreachable",
    "No route to host",
    "client error (Connect)",
    "tunnel error",
    "operation timed out",
    "request timed out",
    "Failed to establish a new connection",
    "Max retries exceeded",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "ProxyError",
    "Cannot connect to proxy",
    "invalid peer certificate",
    "CERTIFICATE_VERIFY_FAILED",
    "HTTP status server error",
    "error decoding response body",
];

/// Reads the last lines of an installer that failed.
pub(super) fn classify(lines: &[String]) -> InstallFailure {
    let has = |words: &[&str]| lines.iter().any(|line| words.iter().any(|word| line.contains(word)));
    if has(&DISK_FULL) {
        return InstallFailure::DiskFull;
    }
    let detail = detail_of(lines);
    if has(&NETWORK) { InstallFailure::Network { detail } } else { InstallFailure::Other { detail } }
}

/// Chooses the words to show: why `pip` had to try again, the first error and its deepest cause, or else the last line.
fn detail_of(lines: &[String]) -> String {
    let mut trimmed = lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty());
    let error = trimmed.clone().find_map(|line| line.strip_prefix("error: ").or_else(|| line.strip_prefix("ERROR: ")));
    let cause = trimmed.clone().rev().find_map(|line| line.strip_prefix("cause: ").or_else(|| line.strip_prefix("Caused by: ")));
    // Having given up, `pip` says that there is no such package, which is not what happened.
    let retried = trimmed.clone().find_map(|line| line.split_once("connection broken by ").map(|(_, why)| broken_by(why)));
    let detail = match (retried, error, cause) {
        (Some(why), _, _) => format!("the connection was broken: {why}"),
        (None, Some(error), Some(cause)) => format!("{error}: {cause}"),
        (None, Some(error), None) => error.to_owned(),
        (None, None, _) => trimmed.next_back().unwrap_or("it said nothing").to_owned(),
    };
    let mut short: String = detail.chars().take(LONGEST_DETAIL).collect();
    if detail.chars().nth(LONGEST_DETAIL).is_some() {
        short.push('…');
    }
    short
}

/// Takes the words out of the exception that `pip` shows: `'NewConnectionError('<… object at 0x7f>: the words')': /simple/uv/`.
fn broken_by(why: &str) -> &str {
    let inner = why.rsplit_once(">: ").map_or(why, |(_, inner)| inner);
    inner.split("')").next().unwrap_or(inner).trim_matches('\'')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &InstallFailure) {
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        assert_eq!(classify(&lines), *expected, "{text}");
    }

    #[test]
    fn uv_without_a_network_is_told_apart() {
        for cause in [
            "cause: tcp connect error\n  cause: Connection refused (os error 111)",
            "cause: dns error\n  cause: failed to lookup address information: Name or service not known",
            "cause: tunnel error: failed to create underlying connection\n  cause: Connection refused (os error 111)",
            "cause: operation timed out",
            "cause: invalid peer certificate: UnknownIssuer",
        ] {
            let last = cause.rsplit("cause: ").next().unwrap_or_default();
            check(
                &format!(
                    "Using Python 3.11.2\nerror: Request failed after 3 retries in 9.2s\n  cause: Failed to fetch: http://i/\n  {cause}"
                ),
                &InstallFailure::Network { detail: format!("Request failed after 3 retries in 9.2s: {last}") },
            );
        }
    }

    #[test]
    fn pip_without_a_network_is_told_apart() {
        check(
            "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError('<pip._vendor.urllib3.connection.HTTPConnection \
             object at 0x7f701f337f50>: Failed to establish a new connection: [Errno 111] Connection refused')': /simple/uv/\n\
             ERROR: Could not find a version that satisfies the requirement uv==0.13.8 (from versions: none)\n\
             ERROR: No matching distribution found for uv==0.13.8",
            &InstallFailure::Network {
                detail: "the connection was broken: Failed to establish a new connection: [Errno 111] Connection refused".to_owned(),
            },
        );
    }

    #[test]
    fn a_full_disk_is_told_apart_from_either_installer() {
        check(
            "error: Failed to download `x==1`\n  cause: I/O operation failed\n  cause: failed to write: No space left on device (os error 28)",
            &InstallFailure::DiskFull,
        );
        check("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", &InstallFailure::DiskFull);
    }

    #[test]
    fn anything_else_keeps_the_installers_words() {
        check(
            "Using Python 3.11.2\nerror: No solution found when resolving dependencies\n  cause: Because there is no version of x==1.",
            &InstallFailure::Other {
                detail: "No solution found when resolving dependencies: Because there is no version of x==1.".to_owned(),
            },
        );
        check("", &InstallFailure::Other { detail: "it said nothing".to_owned() });
        check("Segmentation fault", &InstallFailure::Other { detail: "Segmentation fault".to_owned() });
    }
}
