//! stub
use crate::error::*;
use crate::instance::InstanceSpec;
use crate::names::InstanceName;
/// x
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct ConfigError;
impl Coded for ConfigError {
    fn code(&self) -> ErrorCode {
        ErrorCode::ConfigInvalid
    }
}
/// x
pub struct InstanceCatalog {
    /// x
    pub entries: Vec<Entry>,
}
/// x
pub struct Entry {
    /// x
    pub name: Option<InstanceName>,
    /// x
    pub spec: Result<InstanceSpec, ConfigError>,
}
impl InstanceCatalog {
    /// x
    pub fn scan(_p: &std::path::Path) -> Self {
        loop {}
    }
}
impl InstanceSpec {
    /// x
    pub fn model_reference(&self) -> Result<crate::model::ModelReference, ConfigError> {
        loop {}
    }
}
