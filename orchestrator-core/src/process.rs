//! stub
use crate::launcher::*;
use crate::names::InstanceName;
use std::sync::Arc;
/// x
pub struct LocalLauncher;
impl LocalLauncher {
    /// x
    pub fn new(_: String) -> Self {
        Self
    }
}
#[async_trait::async_trait]
impl Launcher for LocalLauncher {
    async fn start(&self, _order: &LaunchOrder) -> Result<Arc<dyn Workload>, LaunchError> {
        loop {}
    }
    async fn adopt(&self, _instance: &InstanceName, _identity: &WorkloadIdentity) -> Result<Option<Arc<dyn Workload>>, LaunchError> {
        loop {}
    }
    async fn discover(&self) -> Result<Vec<DiscoveredWorkload>, LaunchError> {
        loop {}
    }
}
/// x
pub mod ports {
    use std::net::*;
    /// x
    #[derive(Debug)]
    pub struct PortHolder;
    impl std::fmt::Display for PortHolder {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            Ok(())
        }
    }
    /// x
    pub fn free_port(_h: IpAddr) -> std::io::Result<u16> {
        Ok(1)
    }
    /// x
    pub fn is_free(_a: SocketAddr) -> bool {
        true
    }
    /// x
    pub fn holder_of(_a: SocketAddr) -> Option<PortHolder> {
        None
    }
}
/// x
pub mod output {
    /// x
    pub fn rotate_if_large(_p: &std::path::Path, _m: u64, _k: u8) -> std::io::Result<()> {
        Ok(())
    }
}
