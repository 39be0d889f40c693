//! The ports that are configured: free, ours, or somebody else's.

use std::net::SocketAddr;

use orchestrator_core::config::daemon::GatewayConfig;
use orchestrator_core::config::{InstanceCatalog, load_daemon_config};
use orchestrator_core::process::LocalLauncher;
use orchestrator_core::process::ports::{holder_of, is_free};
use orchestrator_core::{ErrorCode, Launcher as _, Paths};
use orchestrator_server::api::DaemonStatus;

use super::Check;

pub(super) async fn checks(paths: &Paths, daemon: Option<&DaemonStatus>) -> Vec<Check> {
    let config = load_daemon_config(&paths.config_file()).unwrap_or_default();
    let gateway = match daemon {
        Some(status) => Check::ok("ports", format!("{} is the daemon's", status.endpoint)),
        None => gateway(&config.gateway),
    };
    let mut checks = vec![gateway];
    // What cannot be looked for is not known to be ours.
    let ours = LocalLauncher::of_home(paths).discover().await.unwrap_or_default();
    for spec in InstanceCatalog::scan(&paths.instances_dir()).specs() {
        let Some(port) = spec.server.port else { continue };
        let address = SocketAddr::new(spec.server.host, port.get());
        let is_its_own = ours.iter().any(|workload| workload.instance == spec.name && workload.address == address);
        if !is_its_own && !is_usable(address) {
            let detail = format!("{port} of the instance {} is taken{}", spec.name, by_whom(address));
            checks.push(Check::warn("ports", detail, "end that process, or change `server.port`"));
        }
    }
    checks
}

fn gateway(config: &GatewayConfig) -> Check {
    let port = config.port.unwrap_or(GatewayConfig::PREFERRED_PORT);
    let address = SocketAddr::new(config.host, port);
    match (is_usable(address), config.port) {
        (true, _) => Check::ok("ports", format!("{address} is free for the daemon")),
        (false, Some(_)) => Check::fail(
            "ports",
            ErrorCode::PortTaken,
            format!("{address}, which the daemon is to use, is taken{}", by_whom(address)),
            "end that process, or change `gateway.port` in config.yaml",
        ),
        (false, None) => Check::ok("ports", format!("{address} is taken{}; the daemon will use a free one", by_whom(address))),
    }
}

/// A port that cannot be asked about (no such address here, no right to it) is not free for us.
fn is_usable(address: SocketAddr) -> bool {
    is_free(address).unwrap_or(false)
}

fn by_whom(address: SocketAddr) -> String {
    holder_of(address).map(|holder| format!(" by {holder}")).unwrap_or_default()
}
