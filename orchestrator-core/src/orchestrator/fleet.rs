//! All instances: the configurations as they were last read, and the task of each.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use super::Services;
use super::routes::{Routes, ServedModel};
use crate::config::catalog::InstanceCatalog;
use crate::error::{ErrorCode, Problem};
use crate::instance::InstanceSpec;
use crate::instance::driver::{self, Beginning, InstanceHandle};
use crate::model::ModelReference;
use crate::names::InstanceName;
use crate::runtime::RuntimeKind;
use crate::scheduler::policy::MemberId;

/// How long a reading of the configurations is good enough for a name nobody knows.
const FRESH: Duration = Duration::from_secs(1);

/// The instances of one home. The lock is held for moments only, never across an await.
#[derive(Default)]
pub(super) struct Fleet {
    members: RwLock<Members>,
}

#[derive(Default)]
struct Members {
    handles: BTreeMap<InstanceName, InstanceHandle>,
    /// What the files said when they were last read; errors included.
    configured: BTreeMap<InstanceName, Result<Arc<InstanceSpec>, Problem>>,
    /// Files and folders that belong to no instance.
    strays: Vec<Problem>,
    routes: Arc<Routes>,
    /// What clients asked for already, until the routes change.
    targets: HashMap<String, Arc<Target>>,
    /// The active instance of each runtime; clients may ask for it by the runtime's name.
    active: HashMap<RuntimeKind, InstanceName>,
    read_at: Option<Instant>,
}

/// The instances that can serve what a client asks for.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) members: Arc<[MemberId]>,
    /// The kind of engine whose active instance was asked for.
    pub(super) follows: Option<RuntimeKind>,
    handles: Vec<InstanceHandle>,
}

impl Target {
    fn new(handles: Vec<InstanceHandle>, follows: Option<RuntimeKind>) -> Self {
        Self { members: handles.iter().map(|handle| handle.member).collect(), follows, handles }
    }

    pub(super) fn handle(&self, member: MemberId) -> Option<&InstanceHandle> {
        self.handles.iter().find(|handle| handle.member == member)
    }

    pub(super) fn handles(&self) -> &[InstanceHandle] {
        &self.handles
    }
}

impl Fleet {
    /// Reads every configuration again. Running servers keep the one they were started with.
    pub(super) fn reload(&self, services: &Services) {
        let catalog = InstanceCatalog::scan(&services.paths.instances_dir());
        let mut configured = BTreeMap::new();
        let strays = catalog.problems.into_iter().map(Problem::from).collect();
        for entry in catalog.entries {
            configured.insert(entry.name, entry.spec.map(Arc::new).map_err(Problem::from));
        }
        let mut members = self.write();
        members.configured = configured;
        members.strays = strays;
        members.read_at = Some(Instant::now());
        members.reroute();
    }

    /// Returns what the instance's file said when it was last read.
    pub(super) fn configured(&self, name: &InstanceName) -> Option<Result<Arc<InstanceSpec>, Problem>> {
        self.read().configured.get(name).cloned()
    }

    /// Returns the problems of everything that cannot be used.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let members = self.read();
        let mut problems: Vec<Problem> = Vec::new();
        for problem in members.configured.values().filter_map(|spec| spec.as_ref().err()).chain(&members.strays) {
            // A conflict stands beside each of the instances it concerns.
            if !problems.contains(problem) {
                problems.push(problem.clone());
            }
        }
        problems
    }

    /// Returns the references of all models that instances name.
    pub(super) fn configured_models(&self) -> Vec<ModelReference> {
        let members = self.read();
        let mut models: Vec<_> = members.configured.values().flatten().map(|spec| spec.model.reference.clone()).collect();
        models.sort_by_key(ToString::to_string);
        models.dedup();
        models
    }

    /// Returns every configuration that can be used.
    pub(super) fn configured_specs(&self) -> Vec<Arc<InstanceSpec>> {
        self.read().configured.values().flatten().cloned().collect()
    }

    /// Returns every configured or running instance, by name.
    pub(super) fn names(&self) -> Vec<InstanceName> {
        let members = self.read();
        let mut names: Vec<_> = members.handles.keys().chain(members.configured.keys()).cloned().collect();
        names.sort();
        names.dedup();
        names
    }

    /// Returns the task of an instance that has one.
    pub(super) fn handle(&self, name: &InstanceName) -> Option<InstanceHandle> {
        self.read().handles.get(name).cloned()
    }

    /// Returns the task of the instance that the scheduler knows by this number.
    pub(super) fn handle_of(&self, member: MemberId) -> Option<InstanceHandle> {
        self.read().handles.values().find(|handle| handle.member == member).cloned()
    }

    /// Returns every task there is.
    pub(super) fn handles(&self) -> Vec<(InstanceName, InstanceHandle)> {
        self.read().handles.iter().map(|(name, handle)| (name.clone(), handle.clone())).collect()
    }

    /// Returns the task of an instance, and begins it where there is none.
    pub(super) fn handle_or_begin(&self, services: &Arc<Services>, spec: &Arc<InstanceSpec>) -> InstanceHandle {
        let mut members = self.write();
        let begin = || driver::spawn(services, spec.clone(), Beginning::Stopped);
        members.handles.entry(spec.name.clone()).or_insert_with(begin).clone()
    }

    /// Adds the task of an instance that recovery found.
    pub(super) fn insert(&self, name: InstanceName, handle: InstanceHandle) {
        let mut members = self.write();
        members.handles.insert(name, handle);
        members.reroute();
    }

    /// Forgets an instance.
    pub(super) fn remove(&self, name: &InstanceName) {
        let mut members = self.write();
        members.handles.remove(name);
        members.configured.remove(name);
        members.reroute();
    }

    /// Finds the instances a client means. A name nobody knows is looked for once more in the files.
    pub(super) fn find(&self, services: &Arc<Services>, model: &str) -> Result<Arc<Target>, Problem> {
        if let Some(target) = self.read().targets.get(model) {
            return Ok(target.clone());
        }
        if let Some(target) = self.find_known(services, model) {
            return target;
        }
        let is_new = InstanceName::try_new(model).is_ok_and(|name| services.paths.instance_dir(&name).exists());
        if is_new || self.read().read_at.is_none_or(|read_at| read_at.elapsed() > FRESH) {
            self.reload(services);
            if let Some(target) = self.find_known(services, model) {
                return target;
            }
        }
        Err(self.read().routes.unknown(model))
    }

    fn find_known(&self, services: &Arc<Services>, model: &str) -> Option<Result<Arc<Target>, Problem>> {
        let (names, follows) = {
            let members = self.read();
            let active = || {
                let (runtime, name) = members.active.iter().find(|(runtime, _)| runtime.as_str() == model)?;
                Some((std::slice::from_ref(name), Some(*runtime)))
            };
            let Some((names, follows)) = members.routes.find(model).map(|names| (names, None)).or_else(active) else {
                // The file of an instance may be there and broken.
                let name = InstanceName::try_new(model).ok()?;
                return members.configured.get(&name)?.clone().err().map(Err);
            };
            (names.to_vec(), follows)
        };
        let mut handles = Vec::new();
        let mut problem = None;
        for name in names {
            match self
                .handle(&name)
                .map(Ok)
                .or_else(|| self.configured(&name).map(|spec| spec.map(|spec| self.handle_or_begin(services, &spec))))
            {
                Some(Ok(handle)) => handles.push(handle),
                Some(Err(broken)) => problem = Some(broken),
                None => {}
            }
        }
        if handles.is_empty() {
            return problem.map(Err);
        }
        let target = Arc::new(Target::new(handles, follows));
        self.write().targets.insert(model.to_owned(), target.clone());
        Some(Ok(target))
    }

    /// Notes the active instance of a runtime.
    pub(super) fn set_active(&self, runtime: RuntimeKind, name: InstanceName) {
        let mut members = self.write();
        members.active.insert(runtime, name);
        members.targets.clear();
    }

    /// Returns the active instance of a runtime.
    pub(super) fn active(&self, runtime: RuntimeKind) -> Option<InstanceName> {
        self.read().active.get(&runtime).cloned()
    }

    /// Lists what clients may ask for.
    pub(super) fn served(&self) -> Vec<ServedModel> {
        let members = self.read();
        let served = members.specs().map(|spec| ServedModel {
            id: spec.name.to_string(),
            instance: spec.name.clone(),
            aliases: spec.aliases.clone(),
            model: spec.model.reference.short_name(),
            state: members.handles.get(&spec.name).map_or("stopped", |handle| handle.snapshot.borrow().state.name()).to_owned(),
        });
        served.collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Members> {
        self.members.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Members> {
        self.members.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Members {
    /// Returns the usable configuration of each instance: the file's, else the one its server was started with.
    fn specs(&self) -> impl Iterator<Item = Arc<InstanceSpec>> + Clone {
        let mut specs: BTreeMap<&InstanceName, Arc<InstanceSpec>> = BTreeMap::new();
        for (name, handle) in &self.handles {
            let snapshot = handle.snapshot.borrow();
            if snapshot.state.server().is_some() {
                specs.insert(name, snapshot.spec.clone());
            }
        }
        for (name, spec) in &self.configured {
            if let Ok(spec) = spec {
                specs.insert(name, spec.clone());
            }
        }
        specs.into_values().collect::<Vec<_>>().into_iter()
    }

    fn reroute(&mut self) {
        let specs: Vec<_> = self.specs().collect();
        self.routes = Arc::new(Routes::new(specs.iter()));
        self.targets.clear();
    }
}

/// Says that there is no such instance.
pub(super) fn unknown_instance(name: &InstanceName, known: &[InstanceName]) -> Problem {
    let problem = Problem::new(ErrorCode::InstanceUnknown, format!("there is no instance `{name}`"));
    let near = known.iter().map(|known| (strsim::jaro_winkler(known.as_str(), name.as_str()), known));
    let near = near.filter(|(likeness, _)| *likeness > 0.8).max_by(|a, b| a.0.total_cmp(&b.0));
    problem.with_hint(match near {
        Some((_, near)) => format!("is `{near}` meant? `orch ps` lists all instances"),
        None => format!("make one with `orch init {name} --model file:/path/model.gguf`; `orch ps` lists all instances"),
    })
}
