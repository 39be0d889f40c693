//! Where everything lives. Values only: nothing here touches the disk or the environment.

use std::path::{Path, PathBuf};

use crate::names::{EnvKey, InstanceName};

/// The folders and files of one home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    home: Option<PathBuf>,
    config: PathBuf,
    data: PathBuf,
    state: PathBuf,
    logs: PathBuf,
    cache: PathBuf,
}

impl Paths {
    /// Puts everything under one directory (`--home DIR`, `ORCH_HOME`).
    #[must_use]
    pub fn in_home(home: &Path) -> Self {
        Self {
            home: Some(home.to_path_buf()),
            config: home.to_path_buf(),
            data: home.to_path_buf(),
            state: home.join("state"),
            logs: home.join("logs"),
            cache: home.join("cache"),
        }
    }

    /// Uses the four directories of the XDG convention, each already ending in the program's own name.
    #[must_use]
    pub fn in_directories(config: PathBuf, data: PathBuf, state: PathBuf, cache: PathBuf) -> Self {
        let logs = state.join("logs");
        Self { home: None, config, data, state, logs, cache }
    }

    /// The directory that everything lies under; `None` where the directories of the XDG convention are used.
    #[must_use]
    pub fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// The folder of everything people write.
    #[must_use]
    pub fn config_dir(&self) -> &Path {
        &self.config
    }

    /// The daemon's configuration file, written by people.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.config.join("config.yaml")
    }

    /// The folder that holds one folder for each instance.
    #[must_use]
    pub fn instances_dir(&self) -> PathBuf {
        self.config.join("instances")
    }

    /// The folder of one instance's configuration.
    #[must_use]
    pub fn instance_dir(&self, name: &InstanceName) -> PathBuf {
        self.instances_dir().join(name.as_str())
    }

    /// The folder of all environments.
    #[must_use]
    pub fn envs_dir(&self) -> PathBuf {
        self.data.join("envs")
    }

    /// The folder of the versions of one environment.
    #[must_use]
    pub fn env_dir(&self, key: &EnvKey) -> PathBuf {
        self.envs_dir().join(key.as_str())
    }

    /// The folder of programs we brought in for ourselves, such as `uv`.
    #[must_use]
    pub fn tools_dir(&self) -> PathBuf {
        self.data.join("tools")
    }

    /// The folder of the local model store.
    #[must_use]
    pub fn models_dir(&self) -> PathBuf {
        self.data.join("models")
    }

    /// The folder of runtime state; private to its owner.
    #[must_use]
    pub fn state_dir(&self) -> &Path {
        &self.state
    }

    /// The state database.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.state.join("orchestrator.sqlite")
    }

    /// The lock whoever owns this home holds.
    #[must_use]
    pub fn owner_lock(&self) -> PathBuf {
        self.state.join("daemon.lock")
    }

    /// The daemon's Unix socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.state.join("daemon.sock")
    }

    /// The API key for clients beyond loopback (mode 0600).
    #[must_use]
    pub fn api_key_file(&self) -> PathBuf {
        self.state.join("api-key")
    }

    /// The folder of all logs.
    #[must_use]
    pub fn logs_dir(&self) -> &Path {
        &self.logs
    }

    /// The folder of one instance's logs.
    #[must_use]
    pub fn instance_logs_dir(&self, name: &InstanceName) -> PathBuf {
        self.logs.join(name.as_str())
    }

    /// The daemon's own log.
    #[must_use]
    pub fn daemon_log(&self) -> PathBuf {
        self.logs.join("daemon.log")
    }

    /// The folder of what can be fetched again.
    #[must_use]
    pub fn cache_dir(&self) -> &Path {
        &self.cache
    }

    /// The text that marks a process as one of this home's: the absolute state folder.
    #[must_use]
    pub fn owner_tag(&self) -> String {
        self.state.to_string_lossy().into_owned()
    }
}
